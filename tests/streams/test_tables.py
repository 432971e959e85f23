"""CHANNELS, FREEZE and the ledgers, held against each other, against METHODS and against ccxt."""

from __future__ import annotations

import functools
import inspect
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import ccxt.pro
import pytest
from ccxt.async_support.base.exchange import Exchange

from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.live import Live, streaming
from ccxt_mcp.methods import METHODS, Tier
from ccxt_mcp.streams.channels import CHANNELS, Channel, Row, book_limit
from ccxt_mcp.streams.freeze import FREEZE, lost_rows
from ccxt_mcp.streams.ledgers import _REMEMBERED, Filled, Rest, ledger_of
from desk.house import SPOT

ROWS = list(CHANNELS.items())
PRO = ccxt.pro.exchanges


@pytest.mark.parametrize(("channel", "row"), ROWS)
def test_every_name_is_one_of_ccxt_and_a_method_wherever_it_is_claimed(channel: Channel, row: Row) -> None:
    for name in (row.watch, row.unwatch):
        claims = [one for one in instances() if one.has.get(name) is True]
        assert claims, (channel, name)
        assert all(callable(getattr(one, name)) for one in claims)
    assert callable(getattr(Exchange({}), row.watch))


@functools.cache
def instances() -> list[Any]:
    return [getattr(ccxt.pro, name)() for name in PRO]


@pytest.mark.parametrize(("channel", "row"), ROWS)
def test_every_channel_can_be_asked_for_and_touches_what_its_requests_touch(channel: Channel, row: Row) -> None:
    assert METHODS[row.poll].tier is (Tier.ACCOUNT if row.private else Tier.PUBLIC)
    assert row.private is (channel in {Channel.ORDERS, Channel.OWN_TRADES, Channel.BALANCE, Channel.POSITIONS})


@pytest.mark.parametrize(("channel", "row"), ROWS)
def test_every_channel_is_frozen_and_has_a_ledger(channel: Channel, row: Row) -> None:
    assert len(inspect.signature(FREEZE[channel]).parameters) == 3
    ledger = ledger_of(channel)
    assert ledger is not ledger_of(channel)
    assert ledger.so_far() is None
    assert row.every > 0


def test_the_tables_have_the_same_channels() -> None:
    assert set(CHANNELS) == set(FREEZE) == set(Channel)


@pytest.mark.parametrize(("channel", "row"), ROWS)
def test_every_channel_notices_silence_or_is_looked_after(channel: Channel, row: Row) -> None:
    assert row.patience < inf or row.audit, channel


def test_only_what_replaces_itself_is_conflated() -> None:
    conflated = {channel for channel, row in ROWS if row.conflates}
    assert conflated == {Channel.TICKER, Channel.BOOK, Channel.BALANCE, Channel.POSITIONS}


@pytest.mark.parametrize("exchange", ["bybit", "kraken", "bitfinex"])
def test_depths_are_such_as_the_exchange_takes(exchange: str) -> None:
    for kind in ("spot", "swap", "option"):
        limit = book_limit(frozenset({exchange}), kind)
        assert limit is not None
        assert limit >= 100
    assert book_limit(frozenset({"nowhere"}), "spot") is None


@pytest.mark.parametrize("exchange", PRO)
def test_the_guards_are_in_front_of_every_class_and_no_stream_begins_with_a_request_of_ccxts(exchange: str) -> None:
    base = exchange_class(exchange, "pro")
    guarded = streaming(base)
    assert guarded.__name__ == base.__name__
    assert guarded.client is not base.client
    instance = guarded({"timeout_on_exit": 0})
    live = Live(cast(Any, SimpleNamespace(exchange=exchange)), instance)
    for method, name in (("watchPositions", "fetchPositionsSnapshot"), ("watchPositions", "awaitPositionsSnapshot"),
                         ("watchBalance", "awaitBalanceSnapshot")):  # fmt: skip
        options = instance.options[method]
        assert options == "spot" or options[name] is False  # okx's is of another kind
    for _, row in ROWS:
        assert live.offers(row.watch) in {True, False}
        if live.offers(row.watch):
            assert callable(getattr(instance, row.watch))


# -- ledgers ---------------------------------------------------------------------------------------------------------


class Answers:
    """Requests whose answers are given."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def ask(self) -> Any:
        return self._answers.pop(0)

    async def settle(self) -> None:
        pass


async def fill(channel: Channel, told: list[Any], *answers: Any) -> list[Filled]:
    """What a ledger makes of answers, after it was told so much by a stream."""
    ledger, rest = ledger_of(channel), cast(Rest, Answers(*answers))
    for data in told:
        ledger.take(data)
    return [await ledger.fill(rest) for _ in answers]


def trade(number: int, price: float = 1.0, prefix: str = "") -> dict[str, Any]:
    return {"id": f"{prefix}{number}", "timestamp": number, "price": price, "amount": 1.0}


def trades(*numbers: int, prefix: str = "") -> list[dict[str, Any]]:
    return [trade(number, prefix=prefix) for number in numbers]


async def test_trades_between_known_ones_are_those_left_out() -> None:
    (filled,) = await fill(Channel.TRADES, [trades(5, 6)], trades(9, 8, 7, 6, 5, 4))
    assert filled == Filled(trades(7, 8, 9), complete=True)


@pytest.mark.parametrize("answer", [
    trades(4, 5, 6, 7, prefix="rest-"), [trade(5, 2.0), trade(6, 2.0), trade(7, 2.0)], trades(50, 51),
])  # fmt: skip
async def test_where_numbers_do_not_match_nothing_is_invented(answer: list[Any]) -> None:
    assert await fill(Channel.TRADES, [trades(5, 6)], answer) == [Filled(None, complete=False)]


async def test_nothing_is_filled_before_anything_was_told() -> None:
    assert await fill(Channel.TRADES, [], trades(1, 2)) == [Filled(None, complete=False)]


async def test_a_hole_that_is_too_large_is_filled_as_far_as_it_can_be() -> None:
    """Once it is clear that streams and requests number alike."""
    known, hole = await fill(Channel.TRADES, [trades(5, 6)], trades(5, 6), trades(50, 51))
    assert known == Filled(None, complete=True)
    assert hole == Filled(trades(50, 51), complete=False)


def test_trades_that_come_twice_in_one_message_are_told_once() -> None:
    ledger = ledger_of(Channel.TRADES)
    assert ledger.take(trades(1, 2, 2, 1)) == trades(1, 2)
    nameless = [{"id": None, "price": 1.0, "amount": 1.0}]
    assert ledger.take(nameless) == ledger.take(nameless) == nameless


def test_what_is_remembered_has_a_bound() -> None:
    ledger: Any = ledger_of(Channel.TRADES)
    for number in range(0, 2 * _REMEMBERED, 100):
        ledger.take(trades(*range(number, number + 100)))
    assert len(ledger._seen) == _REMEMBERED
    orders: Any = ledger_of(Channel.ORDERS)
    for number in range(2 * _REMEMBERED):
        orders.take([{"id": str(number), "status": "closed"}])
    assert len(orders._ended) == _REMEMBERED


async def test_own_trades_of_the_past_are_not_told_and_later_ones_are() -> None:
    begun, later = await fill(Channel.OWN_TRADES, [], trades(1, 2), trades(1, 2, 3))
    assert begun == Filled(None, complete=True)
    assert later == Filled(trades(3), complete=True)


def candle(minute: int, close: float = 1.0) -> list[Any]:
    return [minute * 60_000, 1.0, 1.0, 1.0, close, 1.0]


async def test_candles_are_told_when_they_change_and_old_ones_never() -> None:
    ledger = ledger_of(Channel.CANDLES)
    assert ledger.take([candle(1), candle(2)]) == [candle(1), candle(2)]
    assert ledger.take([candle(2)]) is None
    assert ledger.take([candle(2, 5.0), candle(3)]) == [candle(2, 5.0), candle(3)]
    assert ledger.take([candle(0)]) is None
    assert ledger.take([candle(4)]) == [candle(4)]
    assert ledger.so_far() == [candle(2, 5.0), candle(3), candle(4)]


@pytest.mark.parametrize(("first", "complete"), [(3, True), (4, True), (5, False)])
async def test_candles_are_complete_where_they_reach_back_to_the_running_one(first: int, complete: bool) -> None:
    (filled,) = await fill(
        Channel.CANDLES, [[candle(2), candle(3), candle(4)]], [candle(first, 9.0), candle(first + 1)]
    )
    assert filled.complete is complete


async def test_a_balance_that_is_the_same_is_not_told_again() -> None:
    def balance(at: int, **amounts: float) -> dict[str, Any]:
        return {"timestamp": at, **{part: dict(amounts) for part in ("free", "used", "total")}}

    answers = balance(2, BTC=1.0), balance(3, BTC=1.0, ETH=0.0), balance(4, BTC=2.0)
    same, also, other = await fill(Channel.BALANCE, [balance(1, BTC=1.0)], *answers)
    assert same.data is also.data is None
    assert other.data == answers[-1]


def test_rows_for_which_ccxt_had_no_room_are_counted() -> None:
    kept = SimpleNamespace(_new_updates_by_symbol={SPOT: 1234})
    live: Any = SimpleNamespace(exchange=SimpleNamespace(trades={SPOT: kept}))
    assert lost_rows(live, Channel.TRADES, trades(*range(1000)), SPOT) == 234
    assert lost_rows(live, Channel.TRADES, trades(*range(999)), SPOT) == 0
    assert lost_rows(live, Channel.ORDERS, trades(*range(1000)), SPOT) == 0
