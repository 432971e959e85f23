"""The server as a whole: what it loads, what it offers, what each tool answers."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ccxt_mcp.errors import Failure
from ccxt_mcp.server import INSTRUCTIONS, build_server
from ccxt_mcp.settings import Settings
from conftest import Ask, envelope, in_own_task

LAZINESS = """
import asyncio, json, sys
from pathlib import Path
from mcp import Client
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings

def loaded():
    return sorted(name for name in sys.modules if name.split(".")[0] in {"ccxt", "sqlalchemy"})

async def main():
    async with Client(build_server(Settings(cache_dir=Path(sys.argv[1])))) as client:
        await client.list_tools()
        before = loaded()
        await client.call_tool("market_ticker", {"exchange": "simulator", "symbol": "BTC/USDT"})
        print(json.dumps([before, loaded()]))

asyncio.run(main())
"""


def test_listing_the_tools_imports_no_ccxt_and_a_first_call_only_its_exchange(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LAZINESS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = json.loads(child.stdout)
    assert before == []
    exchanges = {name.split(".")[2] for name in after if name.startswith("ccxt.async_support.") and ".base" not in name}
    assert exchanges == {"bybit"}


def test_the_instructions_are_short_and_say_what_is_off() -> None:
    assert len(INSTRUCTIONS.split()) < 150
    assert "Off:" in INSTRUCTIONS
    assert "--toolsets" in INSTRUCTIONS


async def test_toolsets_choose_what_a_client_sees(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path, toolsets=("exchange", "system"))
    async with Client(build_server(settings)) as client:
        names = {tool.name.partition("_")[0] for tool in (await client.list_tools()).tools}
    assert names == {"exchange", "system"}


def test_a_toolset_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(
        Failure, match="'trading' does not exist; choose from account, all, analytics, default, exchange"
    ):
        build_server(Settings(cache_dir=tmp_path, toolsets=("trading",)))


SIMULATOR = {"exchange": "simulator"}
GOOD: dict[str, dict[str, Any]] = {
    "exchange_list": {"query": "kraken", "type": "spot"},
    "exchange_init": SIMULATOR,
    "exchange_status": SIMULATOR,
    "exchange_markets": {**SIMULATOR, "quote": "usdt", "limit": 3},
    "exchange_capabilities": SIMULATOR,
    "market_ticker": {**SIMULATOR, "symbol": "btc usdt"},
    "market_tickers": {**SIMULATOR, "limit": 3, "sort": "change"},
    "market_orderbook": {**SIMULATOR, "symbol": "BTC/USDT:USDT", "limit": 3},
    "market_trades": {**SIMULATOR, "symbol": "ETH/USDT", "limit": 3},
    "market_ohlcv": {**SIMULATOR, "symbol": "BTC/USDT", "timeframe": "1d", "since": "10 days ago"},
    "market_symbols": {"query": "btc perp", "exchanges": ["simulator"]},
    "market_funding": {**SIMULATOR, "symbol": "BTC/USDT:USDT"},
    "analytics_compare_prices": {"symbol": "BTC/USDT", "exchanges": ["simulator"]},
    "system_health": {},
    "system_audit": {"limit": 5},
    "trade_create_order": {**SIMULATOR, "symbol": "BTC/USDT", "side": "buy", "type": "limit", "amount": 0.01,
                           "price": 90_000, "client_order_id": "good"},
    "trade_modify_order": {**SIMULATOR, "client_order_id": "good", "price": 90_100},
    "trade_fetch_order": {**SIMULATOR, "client_order_id": "good"},
    "trade_fetch_orders": {**SIMULATOR, "status": "all"},
    "trade_cancel_order": {**SIMULATOR, "client_order_id": "good"},
    "trade_cancel_all": SIMULATOR,
    "trade_set_leverage": {**SIMULATOR, "symbol": "BTC/USDT:USDT", "leverage": 5},
    "account_balance": SIMULATOR,
    "account_positions": SIMULATOR,
    "account_trades": SIMULATOR,
    "account_fees": {**SIMULATOR, "symbol": "BTC/USDT"},
    "account_limits": {**SIMULATOR, "symbol": "BTC/USDT"},
    "account_orders_unknown": {},
    "stream_watch": {**SIMULATOR, "symbol": "BTC/USDT", "channels": ["ticker", "book"], "updates": 2},
    "stream_wait": {**SIMULATOR, "symbol": "BTC/USDT", "condition": "price_above", "value": 1},
    "stream_list": {},
    "stream_alert_create": {**SIMULATOR, "symbol": "BTC/USDT", "condition": "price_below", "value": 1},
    "stream_alert_list": {"status": "active"},
    "stream_alert_delete": {"alert_id": "the last one"},
}  # fmt: skip


async def test_every_tool_answers_with_a_good_example(settings: Settings, era: str) -> None:
    everything = settings.model_copy(update={"toolsets": ("all",)})
    async with in_own_task(Client(build_server(everything), mode=era)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == set(GOOD)
        made: dict[str, Any] = {}
        for name, arguments in GOOD.items():
            answer = envelope(
                await client.call_tool(name, arguments | made if name == "stream_alert_delete" else arguments)
            )
            made = {"alert_id": answer["data"]["id"]} if name == "stream_alert_create" else made
            assert answer["success"], (name, answer)
            assert answer["data"]
            assert answer["metadata"]["version"] == "TAPS-1.0.0"


async def test_a_book_is_cut_to_the_levels_asked_for_and_its_depth_sees_all(ask: Ask) -> None:
    few = (await ask("market_orderbook", **SIMULATOR, symbol="BTC/USDT", limit=2))["data"]
    many = (await ask("market_orderbook", **SIMULATOR, symbol="BTC/USDT", limit=50))["data"]
    assert [len(few[side]["rows"]) for side in ("bids", "asks")] == [2, 2]
    assert len(many["bids"]["rows"]) == 50
    assert few["bid"] == few["bids"]["rows"][0][0] < few["ask"] == few["asks"]["rows"][0][0]
    assert few["mid"] == pytest.approx((few["bid"] + few["ask"]) / 2)


async def test_candles_are_closed_unless_asked_otherwise_and_page_by_time(ask: Ask) -> None:
    closed = (await ask("market_ohlcv", **SIMULATOR, symbol="BTC/USDT", timeframe="1h", limit=5))["data"]
    running = (await ask("market_ohlcv", **SIMULATOR, symbol="BTC/USDT", timeframe="1h", limit=5, closed=False))["data"]
    opens = [row[0] for row in closed["candles"]["rows"]]
    assert len(opens) == 5
    assert {after - before for before, after in pairwise(opens)} == {3_600_000}
    assert running["candles"]["rows"][-1][0] == opens[-1] + 3_600_000
    window = await ask(
        "market_ohlcv", **SIMULATOR, symbol="BTC/USDT", timeframe="1h", since=opens[1], until=opens[3], limit=50
    )
    assert [row[0] for row in window["data"]["candles"]["rows"]] == opens[1:3]


async def test_candles_before_a_time_are_those_that_lead_up_to_it(ask: Ask) -> None:
    answer = await ask("market_ohlcv", **SIMULATOR, symbol="BTC/USDT", timeframe="1d", until="2026-06-01", limit=3)
    assert (answer["data"]["first"], answer["data"]["last"]) == ("2026-05-29T00:00:00Z", "2026-05-31T00:00:00Z")


async def test_a_list_pages_to_its_end_without_gap_or_repetition(ask: Ask) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        table = (await ask("exchange_markets", **SIMULATOR, active=None, limit=7, cursor=cursor))["data"]["markets"]
        seen += [row[0] for row in table["rows"]]
        if (cursor := table.get("next")) is None:
            break
    assert len(seen) == len(set(seen)) == table["total"] > 20


async def test_tickers_that_fail_are_named_beside_those_that_answer(ask: Ask) -> None:
    answer = await ask("market_tickers", **SIMULATOR, symbols=["BTC/USDT", "NOPE/USDT"], fields=["symbol", "last"])
    assert [row[0] for row in answer["data"]["tickers"]["rows"]] == ["BTC/USDT"]
    assert answer["data"]["failed"]["rows"][0][:2] == ["NOPE/USDT", "TAPS011"]


async def test_a_comparison_tells_who_failed_and_why(ask: Ask) -> None:
    answer = await ask("analytics_compare_prices", symbol="BTC/USDT", exchanges=["simulator", "krakn"])
    assert [row[0] for row in answer["data"]["quotes"]["rows"]] == ["simulator"]
    assert answer["data"]["failed"]["rows"][0][:2] == ["krakn", "TAPS001"]


async def test_symbols_are_found_although_one_exchange_fails(ask: Ask) -> None:
    answer = await ask("market_symbols", query="btc", exchanges=["krakn", "simulator"], limit=2)
    table = answer["data"]["symbols"]
    assert [row[0] for row in table["rows"]] == ["simulator", "simulator"]
    assert table["total"] > 2
    assert table["next"] == "2"
    assert answer["data"]["failed"]["rows"][0][:2] == ["krakn", "TAPS001"]


async def test_an_exchange_that_failed_to_open_is_not_searched_unless_named(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path, proxy_url="http://127.0.0.1:9/")  # nobody listens there
    async with Client(build_server(settings)) as client:
        opened = [
            envelope(await client.call_tool("exchange_init", {"exchange": name}))["success"]
            for name in ("kraken", "simulator")
        ]
        found = envelope(await client.call_tool("market_symbols", {"query": "btc"}))
        compared = envelope(await client.call_tool("analytics_compare_prices", {"symbol": "BTC/USDT"}))
    assert opened == [False, True]
    assert "failed" not in found["data"]
    assert "failed" not in compared["data"]


async def test_the_simulator_is_listed_only_where_it_fits(ask: Ask) -> None:
    async def listed(**filters: Any) -> set[str]:
        return {row[0] for row in (await ask("exchange_list", **filters))["data"]["exchanges"]["rows"]}

    assert "simulator" in await listed(type="swap")
    assert "simulator" in await listed(capability="fetchFundingRate")
    assert "simulator" not in await listed(type="option")
    assert "simulator" not in await listed(testnet=True)
    assert "simulator" not in await listed(country="DE")


async def test_a_window_that_ends_before_it_begins_is_refused(ask: Ask) -> None:
    answer = await ask("market_ohlcv", **SIMULATOR, symbol="BTC/USDT", since="20261120", until="2026-11-19")
    assert answer["error"]["code"] == "TAPS005"
    assert "2026-11-20" in answer["error"]["message"]


async def test_candles_that_the_exchange_does_not_send_are_mentioned(ask: Ask) -> None:
    answer = await ask("market_ohlcv", **SIMULATOR, symbol="BTC/USDT", timeframe="1m", limit=1000)
    assert "1000 candles at once" in answer["data"]["candles"]["note"]


async def test_funding_of_a_spot_market_is_refused_with_a_perpetual_to_try(ask: Ask) -> None:
    answer = await ask("market_funding", **SIMULATOR, symbol="BTC/USDT")
    assert answer["error"]["code"] == "TAPS005"
    assert "BTC/USDT:USDT" in answer["error"]["hint"]


@pytest.mark.parametrize(
    ("tool", "arguments", "names"),
    [
        ("market_ohlcv", {"symbol": "BTC/USDT", "timeframe": "7m"}, "1m, 3m, 5m"),
        ("market_ohlcv", {"symbol": "BTC/USDT", "since": "soon"}, "since"),
        (
            "market_ohlcv",
            {"symbol": "BTC/USDT", "limit": 0},
            "limit: Input should be greater than or equal to 1, not 0.",
        ),
        ("market_ticker", {"symbol": "BTC/USDT", "fields": ["lastt"]}, "last"),
        ("market_tickers", {"cursor": "x"}, "cursor"),
        ("exchange_markets", {"type": "spots"}, "type"),
        ("market_ticker", {"symbol": "BTC/USDT", "account": "mine"}, "account"),
    ],
)
async def test_a_wrong_argument_is_named_with_what_is_right(
    tool: str, arguments: dict[str, Any], names: str, ask: Ask
) -> None:
    error = (await ask(tool, **SIMULATOR, **arguments))["error"]
    assert error["code"] == "TAPS005"
    assert names in f"{error['message']} {error['hint']}"
