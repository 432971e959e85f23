from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.analytics.candles import CANDLE_COLUMNS
from ccxt_mcp.analytics.watched import Watched
from ccxt_mcp.envelope import Table

NOW = 1_795_486_104_000
MINUTE = 60_000

_TRADE = st.fixed_dictionaries(
    {
        "timestamp": st.integers(NOW - 1000, NOW),
        "side": st.sampled_from(["buy", "sell", None, "?"]),
        "price": st.integers(1, 50).map(float),
        "amount": st.integers(1, 20).map(lambda amount: amount / 10),
    }
)


def shown(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: summary[name] for name in names if name in summary}


@given(st.lists(st.lists(_TRADE, max_size=6), max_size=12), st.integers(1, 8))
def test_trades_add_up_as_one_list(batches: list[list[dict[str, Any]]], keep: int) -> None:
    watched = Watched("trades", keep=keep)
    for batch in batches:
        watched.see(batch, NOW)
    every = [trade for batch in batches for trade in batch]
    prices = [trade["price"] for trade in every]
    volumes = {
        side: round(sum(trade["amount"] for trade in every if trade["side"] == side), 6)
        for side in ("buy", "sell", None, "?")
    }
    summary = watched.summary()
    expected = {
        "updates": len(batches),
        "volume": pytest.approx(sum(volumes.values())),
        "buyVolume": volumes["buy"],
        "sellVolume": volumes["sell"],
        "trades": len(every),
        "gaps": 0,
        "latest": Table(
            ("timestamp", "side", "price", "amount"),
            [[trade["timestamp"], trade["side"], trade["price"], trade["amount"]] for trade in every][-keep:],
        ),
    }
    if prices:
        expected |= {"first": prices[0], "last": prices[-1], "high": max(prices), "low": min(prices)}
        expected["changePct"] = pytest.approx((prices[-1] - prices[0]) / prices[0] * 100, abs=1e-4)
    assert summary == expected


_VALUES = st.integers(1, 50).map(float)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), _VALUES, _VALUES, _VALUES), max_size=30),
    st.integers(2, 6),
)
def test_candles_count_once_each_in_their_latest_version(rows: list[tuple[Any, ...]], keep: int) -> None:
    watched = Watched("candles", keep=keep)
    versions: dict[int, list[Any]] = {}
    seen: list[list[Any]] = []
    newest = NOW
    for later, back, low, close, volume in rows:
        newest += later * MINUTE
        opened = newest - back * MINUTE
        if versions and opened not in versions and opened < max(versions):
            opened = newest
        candle = [opened, close, low + 50, low, close, volume]
        versions[opened] = candle
        seen.append(candle)
        watched.see([candle], NOW)
    summary = watched.summary()
    latest = [versions[opened] for opened in sorted(versions)]
    assert summary["latest"] == Table(CANDLE_COLUMNS, latest[-keep:])
    if not rows:
        assert summary == {"updates": 0, "gaps": 0, "latest": Table(CANDLE_COLUMNS, [])}
        return
    known = [candle[5] for candle in latest]
    assert shown(summary, "updates", "last", "volume") == {
        "updates": len(rows),
        "last": latest[-1][4],
        "volume": sum(known),
    }
    assert (summary["first"], summary["high"], summary["low"]) == (
        seen[0][4],
        max(max(candle[2], candle[4]) for candle in seen),
        min(min(candle[3], candle[4]) for candle in seen),
    )


def test_the_last_version_of_a_candle_that_comes_after_the_next_began_counts_but_is_not_the_last_price() -> None:
    watched = Watched("candles", keep=1)
    for opened, close, volume in ((NOW, 10.0, 1.0), (NOW + MINUTE, 12.0, 5.0), (NOW, 11.0, 3.0)):
        watched.see([[opened, 10.0, 13.0, 9.0, close, volume]], NOW)
    assert shown(watched.summary(), "first", "last", "volume") == {"first": 10.0, "last": 12.0, "volume": 8.0}
    assert watched.summary()["latest"].rows == [[NOW + MINUTE, 10.0, 13.0, 9.0, 12.0, 5.0]]


def test_a_list_of_candles_that_comes_again_counts_once() -> None:
    watched = Watched("candles", keep=2)
    candles = [[NOW + step * MINUTE, 1.0, 2.0, 0.5, 1.5, 10.0] for step in range(20)]
    for _ in range(3):
        watched.see(candles, NOW)
    assert watched.summary()["volume"] == 200.0
    assert watched.summary()["latest"].rows == candles[-2:]


def test_a_candle_that_changes_later_is_not_changed_in_what_was_told() -> None:
    watched = Watched("candles")
    candle = [NOW, 1.0, 2.0, 0.5, 1.5, None]
    watched.see([candle], NOW)
    candle[4] = 9.0
    assert watched.summary()["latest"].rows == [[NOW, 1.0, 2.0, 0.5, 1.5, None]]
    assert "volume" not in watched.summary()


def test_a_ticker_counts_by_its_last_price_or_else_by_its_mid() -> None:
    watched = Watched("ticker", keep=2)
    watched.see({"last": 100.0, "bid": 90.0, "ask": 91.0, "timestamp": NOW}, NOW + 5)
    watched.see({"last": None, "bid": 104.9, "ask": 105.2}, NOW + 6)
    watched.see({"last": 99.0, "bid": None, "ask": None, "timestamp": NOW + 7}, NOW + 8)
    assert watched.updates == 3
    assert watched.summary() == {
        "updates": 3,
        "first": 100.0,
        "last": 99.0,
        "high": 105.05,
        "low": 99.0,
        "changePct": -1.0,
        "gaps": 0,
        "latest": Table(
            ("timestamp", "last", "bid", "ask"), [[NOW + 6, None, 104.9, 105.2], [NOW + 7, 99.0, None, None]]
        ),
    }


@pytest.mark.parametrize("price", [None, math.nan, math.inf, True, 0.0, -1.0])
def test_what_is_no_price_is_passed_over(price: Any) -> None:
    watched = Watched("ticker")
    watched.see({"last": price, "timestamp": NOW}, NOW)
    assert shown(watched.summary(), "first", "last", "high", "low", "changePct") == {}


def test_a_book_counts_by_the_mid_of_its_best_prices() -> None:
    watched = Watched("book")
    watched.see({"bids": [[99.0, 1.0], [98.0, 9.0]], "asks": [[101.0, 2.0]], "timestamp": NOW}, NOW)
    watched.see({"bids": [], "asks": [[102.0, 3.0]], "timestamp": None}, NOW + 1)
    watched.see({"bids": [[109.0, 1.0]], "asks": [[103.0, 1.0]], "timestamp": NOW}, NOW)
    watched.see({"bids": [[104.0, 1.0, 7]], "asks": [[104.0, 1.0, 7]], "timestamp": NOW}, NOW)
    summary = watched.summary()
    assert shown(summary, "first", "last", "high", "low", "changePct") == {
        "first": 100.0,
        "last": 104.0,
        "high": 104.0,
        "low": 100.0,
        "changePct": 4.0,
    }
    assert summary["latest"] == Table(
        ("timestamp", "bid", "bidAmount", "ask", "askAmount"),
        [
            [NOW, 99.0, 1.0, 101.0, 2.0],
            [NOW + 1, None, None, 102.0, 3.0],
            [NOW, 109.0, 1.0, 103.0, 1.0],
            [NOW, 104.0, 1.0, 104.0, 1.0],
        ],
    )


def test_derived_volumes_carry_no_binary_noise() -> None:
    watched = Watched("trades")
    watched.see([{"price": 1.0, "amount": amount, "side": "buy"} for amount in (0.1, 0.2, math.nan)], NOW)
    assert shown(watched.summary(), "volume", "buyVolume", "sellVolume", "trades") == {
        "volume": 0.3,
        "buyVolume": 0.3,
        "sellVolume": 0.0,
        "trades": 3,
    }


def test_what_was_missed_is_counted() -> None:
    watched = Watched("ticker")
    watched.gap()
    assert watched.summary() == {"updates": 0, "gaps": 1, "latest": Table(("timestamp", "last", "bid", "ask"), [])}
    watched.gap(3)
    watched.gap(4)
    watched.stale()
    assert shown(watched.summary(), "gaps", "dropped", "stale") == {"gaps": 3, "dropped": 7, "stale": 1}


def test_orders_are_told_with_the_time_of_their_change() -> None:
    watched = Watched("orders", keep=2)
    order = {"id": "1", "clientOrderId": "c", "status": "open", "side": "buy", "filled": 0.0, "amount": 1.0}
    order |= {"average": None, "price": 99.0, "timestamp": NOW - 9000, "symbol": "BTC/USDT"}
    watched.see([order | {"id": "0"}, order], NOW)
    watched.see([order | {"status": "closed", "filled": 1.0, "average": 98.5, "lastUpdateTimestamp": NOW + 1}], NOW + 2)
    assert watched.summary() == {
        "updates": 2,
        "gaps": 0,
        "latest": Table(
            ("timestamp", "id", "clientOrderId", "status", "side", "filled", "amount", "average", "price"),
            [
                [NOW, "1", "c", "open", "buy", 0.0, 1.0, None, 99.0],
                [NOW + 1, "1", "c", "closed", "buy", 1.0, 1.0, 98.5, 99.0],
            ],
        ),
    }


def test_own_trades_and_positions_are_told_as_they_came() -> None:
    own, held = Watched("own_trades"), Watched("positions")
    own.see([{"timestamp": NOW, "order": "1", "side": "sell", "price": 5.0, "amount": 2.0, "id": "t"}], NOW)
    held.see([{"symbol": "BTC/USDT:USDT", "side": "long", "contracts": 3.0, "markPrice": 7.0}], NOW)
    assert own.summary()["latest"] == Table(
        ("timestamp", "order", "side", "price", "amount"), [[NOW, "1", "sell", 5.0, 2.0]]
    )
    assert held.summary()["latest"] == Table(
        ("symbol", "side", "contracts", "entryPrice", "markPrice", "liquidationPrice", "unrealizedPnl"),
        [["BTC/USDT:USDT", "long", 3.0, None, 7.0, None, None]],
    )


def test_of_a_balance_only_what_is_held_last_is_told_and_all_of_it() -> None:
    watched = Watched("balance", keep=1)
    watched.see({"total": {"BTC": 1.0, "ETH": 2.0}, "free": {}, "used": {}}, NOW)
    watched.see(
        {
            "total": {"USDT": 5.0, "BTC": 0.0, "ADA": 3.0, "XRP": None},
            "free": {"USDT": 4.0, "ADA": 3.0},
            "used": {"USDT": 1.0},
        },
        NOW,
    )
    assert watched.summary() == {
        "updates": 2,
        "gaps": 0,
        "latest": Table(("currency", "free", "used", "total"), [["ADA", 3.0, None, 3.0], ["USDT", 4.0, 1.0, 5.0]]),
    }


@given(st.integers(1, 5))
def test_no_more_than_wanted_is_kept(keep: int) -> None:
    trades, candles = Watched("trades", keep=keep), Watched("candles", keep=keep)
    for step in range(30):
        trades.see([{"price": 1.0 + step, "amount": 1.0}] * 3, NOW)
        candles.see([[NOW + step * MINUTE, 1.0, 2.0, 0.5, 1.5, 1.0]], NOW)
    assert len(trades.summary()["latest"].rows) == len(candles.summary()["latest"].rows) == keep
    assert len(trades._rows) == keep
    assert len(candles._recent._candles) == keep + 1
