"""What other servers of this kind get wrong, each shown right here through a real client on a real exchange."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ccxt_mcp.errors import Code
from ccxt_mcp.exchanges.lazy import ccxt_version
from ccxt_mcp.exchanges.store import MarketSet, MarketStore
from ccxt_mcp.gateway import Call
from ccxt_mcp.server import build_gateway, build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Fault, Simulator
from conftest import envelope, in_own_task, text_of

VENUE = "venue"
OTHER = "other"
TICKERS = "/v5/market/tickers"
MARKETS = "/v5/market/instruments-info"


@pytest.fixture
async def venue() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def other() -> AsyncIterator[Simulator]:
    async with Simulator(seed=8) as simulator:
        yield simulator


def settings_for(cache: Path, **venues: Simulator) -> Settings:
    exchanges: Any = {name: {"simulator": simulator.url} for name, simulator in venues.items()}
    return Settings(cache_dir=cache, exchanges=exchanges, deadline=5.0)


@pytest.fixture
async def client(venue: Simulator, other: Simulator, tmp_path: Path, era: str) -> AsyncIterator[Client]:
    async with in_own_task(
        Client(build_server(settings_for(tmp_path, venue=venue, other=other)), mode=era)
    ) as connected:
        yield connected


async def ask(client: Client, tool: str, exchange: str = VENUE, **arguments: Any) -> dict[str, Any]:
    return envelope(await client.call_tool(tool, {"exchange": exchange, **arguments}))


async def ticker(client: Client, symbol: str = "BTC/USDT", exchange: str = VENUE) -> dict[str, Any]:
    return await ask(client, "market_ticker", exchange, symbol=symbol)


async def test_a_price_polled_faster_than_its_ttl_still_refreshes(client: Client, venue: Simulator) -> None:
    await ticker(client)
    fresh = 0
    hits = 0
    async with asyncio.timeout(20):
        while fresh < 2:
            answer = await ticker(client)
            fresh += not answer["metadata"]["cached"]
            hits += answer["metadata"]["cached"]
            assert answer["metadata"]["ageMs"] <= 1000
    assert hits > 2 * fresh
    assert venue.requests.by_path[TICKERS] == 1 + fresh


async def test_a_first_call_during_an_outage_does_not_poison_the_exchange(client: Client, venue: Simulator) -> None:
    venue.faults.set(Fault("503"))
    down = await ticker(client)
    assert (down["error"]["code"], down["error"]["reason"]) == ("TAPS007", "maintenance")
    venue.faults.clear()
    assert (await ticker(client))["data"]["last"] > 0


async def test_fifty_first_calls_at_once_load_the_markets_once(
    client: Client, venue: Simulator, tmp_path: Path
) -> None:
    async with Client(build_server(settings_for(tmp_path / "alone", venue=venue))) as alone:
        await ticker(alone)
    once = venue.requests.by_path[MARKETS]
    venue.requests.reset()
    answers = await asyncio.gather(*(ticker(client) for _ in range(50)))
    assert all(answer["success"] for answer in answers)
    assert venue.requests.by_path[MARKETS] == once
    assert venue.requests.by_path[TICKERS] == 1


async def test_hanging_calls_delay_neither_other_symbols_nor_other_exchanges(client: Client, venue: Simulator) -> None:
    await asyncio.gather(ticker(client), ticker(client, exchange=OTHER))
    venue.faults.set(Fault("hang", path="/orderbook"))
    hanging = [
        asyncio.create_task(ask(client, "market_orderbook", symbol=symbol))
        for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    ]
    try:
        assert (await ticker(client, "ETH/USDT"))["success"]
        assert (await ticker(client, "ETH/USDT", OTHER))["success"]
        assert (await ask(client, "market_trades", symbol="SOL/USDT"))["success"]
        assert not any(task.done() for task in hanging)
    finally:
        venue.faults.clear()
        answers = await asyncio.gather(*hanging)
    assert {answer["error"]["reason"] for answer in answers} == {"timeout"}


async def test_a_cancelled_first_caller_does_not_cancel_the_others(client: Client, venue: Simulator) -> None:
    venue.faults.set(Fault("latency", seconds=0.3))
    first = asyncio.create_task(ticker(client))
    while not venue.requests.total:  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0)
    others = [asyncio.create_task(ticker(client)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    assert all(answer["success"] for answer in await asyncio.gather(*others))
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_wrong_keys_in_the_environment_never_break_public_data(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VENUE", "BYBIT", "SIMULATOR"):
        monkeypatch.setenv(f"{name}_API_KEY", "wrong-key-0123456789")
        monkeypatch.setenv(f"{name}_SECRET", "wrong-secret-0123456789")
    assert (await ticker(client))["success"]


async def test_a_mistyped_symbol_costs_later_callers_nothing(client: Client, venue: Simulator) -> None:
    await ticker(client)
    venue.requests.reset()
    for symbol in ("BTC/USDTT", "NOPE", "btc", "", "x" * 200):
        answer = await ask(client, "market_ticker", symbol=symbol)
        assert answer["error"]["code"] in {"TAPS011", "TAPS005"}
    assert venue.requests.total == 0
    health = envelope(await client.call_tool("system_health", {}))["data"]["exchanges"]
    row = dict(zip(health["columns"], health["rows"][0], strict=True))
    assert row["state"] == "closed"
    assert row["errorRate"] == 0


async def test_tickers_asked_for_at_once_become_one_request_and_each_gets_its_own(
    client: Client, venue: Simulator
) -> None:
    symbols = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT", "ADA/USDT", "LTC/USDT", "LINK/USDT"]
    await ask(client, "exchange_init")
    venue.requests.reset()
    answers = await asyncio.gather(*(ticker(client, symbol) for symbol in symbols))
    assert [answer["data"]["symbol"] for answer in answers] == symbols
    assert venue.requests.by_path[TICKERS] == 1


async def test_a_failing_batch_falls_back_to_single_requests(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("blank_ticker", times=1))
    answers = await asyncio.gather(*(ticker(client, symbol) for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT")))
    assert all(answer["success"] for answer in answers)


async def test_a_ticker_without_any_price_is_no_answer(client: Client, venue: Simulator) -> None:
    venue.faults.set(Fault("blank_ticker"))
    answer = await ticker(client)
    assert (answer["error"]["code"], answer["error"]["reason"]) == ("TAPS008", "empty_reply")


async def test_an_old_answer_serves_through_an_outage_and_says_so(client: Client, venue: Simulator) -> None:
    good = await ticker(client)
    venue.faults.set(Fault("503"))
    async with asyncio.timeout(20):
        while not (answer := await ticker(client))["metadata"]["stale"]:
            assert answer["metadata"]["cached"]
    assert answer["data"]["last"] == good["data"]["last"]
    assert answer["metadata"]["ageMs"] > 1000


async def test_the_breaker_opens_after_repeated_outages_and_closes_after_a_good_probe(
    client: Client, venue: Simulator
) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("drop"))
    reasons = [(await ticker(client, symbol))["error"]["reason"] for symbol in ("BTC/USDT",) * 6]
    assert reasons[-1] == "circuit_open"
    venue.requests.reset()
    refused = await ticker(client)
    assert refused["error"]["code"] == "TAPS007"
    assert 0 < refused["error"]["retryAfterMs"] <= 10_000
    assert venue.requests.total == 0
    assert (await ticker(client, exchange=OTHER))["success"]


async def test_a_read_is_repeated_when_the_exchange_drops_it_once(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("drop", times=1, path=TICKERS))
    venue.requests.reset()
    assert (await ticker(client))["success"]
    assert venue.requests.by_path[TICKERS] == 2


async def test_a_rate_limit_with_a_long_retry_after_is_an_answer_not_a_wait(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("429", retry_after=60, times=1))
    answer = await ticker(client)
    assert (answer["error"]["code"], answer["error"]["reason"]) == ("TAPS003", "rate_limited")
    assert 50_000 < answer["error"]["retryAfterMs"] <= 60_000
    venue.requests.reset()
    again = await ask(client, "market_orderbook", symbol="BTC/USDT")
    assert again["error"]["code"] == "TAPS003"
    assert venue.requests.total == 0


async def test_a_retry_after_without_reason_blocks_for_an_hour_at_most(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("429", retry_after=99_999, times=1))
    assert (await ticker(client))["error"]["retryAfterMs"] <= 3_600_000


async def test_a_batch_that_hangs_leaves_time_for_single_requests_and_no_stain(
    venue: Simulator, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, venue=venue).model_copy(update={"deadline": 2.0})
    async with Client(build_server(settings)) as client:
        await ask(client, "exchange_init")
        venue.faults.set(Fault("hang", path=TICKERS, times=1))
        answers = await asyncio.gather(*(ticker(client, symbol) for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT")))
        assert all(answer["success"] for answer in answers)
        assert (await ask(client, "exchange_status"))["data"]["state"] == "closed"


async def test_all_calls_of_one_tool_share_one_deadline(venue: Simulator, tmp_path: Path) -> None:
    gateway, simulators = build_gateway(settings_for(tmp_path, venue=venue).model_copy(update={"deadline": 0.3}))
    async with AsyncExitStack() as closing:
        closing.push_async_callback(gateway.close)
        closing.push_async_callback(simulators.close)
        await gateway.open(VENUE)
        venue.faults.set(Fault("hang"))
        with gateway.one_deadline():
            calls = [Call("fetchTicker", VENUE, symbol="BTC/USDT"), Call("fetchTrades", VENUE, symbol="BTC/USDT")]
            answers = [await gateway.call(call) for call in calls]
        assert [answer.failure and answer.failure.code for answer in answers] == [Code.TIMEOUT, Code.TIMEOUT]
        left = float(re.findall(r"within ([\d.e-]+) s|$", str(answers[1].failure))[0] or 0)
        assert left < 0.1  # the first took the rest


async def test_a_market_without_prices_is_no_fault_of_its_exchange(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("blank_ticker"))
    venue.requests.reset()
    answers = [await ticker(client) for _ in range(6)]
    assert {answer["error"]["reason"] for answer in answers} == {"empty_reply"}
    assert venue.requests.total == 6
    venue.faults.clear()
    assert (await ticker(client, "ETH/USDT"))["success"]


async def test_an_empty_object_is_no_answer_even_where_an_empty_list_would_be(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    for kind in ("object", "array", "html"):
        venue.faults.set(Fault(kind))  # pyright: ignore[reportArgumentType]
        for tool in ("market_ohlcv", "market_trades"):
            answer = await ask(client, tool, symbol="BTC/USDT", since="3h ago", limit=2)
            assert answer["error"]["code"] in {"TAPS008", "TAPS007"}, (kind, tool, answer)
        venue.faults.clear()


async def test_a_short_rate_limit_is_waited_for(client: Client, venue: Simulator) -> None:
    await ask(client, "exchange_init")
    venue.faults.set(Fault("429", retry_after=1, times=1))
    assert (await ticker(client))["success"]


async def test_a_restart_answers_its_first_ticker_without_downloading_markets(venue: Simulator, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, venue=venue)
    async with Client(build_server(settings)) as first:
        assert (await ticker(first))["success"]
    venue.requests.reset()
    async with Client(build_server(settings)) as second:
        assert (await ticker(second))["success"]
    assert venue.requests.by_path.get(MARKETS, 0) == 0


async def test_the_same_server_serves_a_second_session_after_the_first_has_closed(
    venue: Simulator, tmp_path: Path, era: str
) -> None:
    server = build_server(settings_for(tmp_path, venue=venue))
    for _ in range(2):
        async with Client(server, mode=era) as client:
            assert (await ticker(client))["success"]


async def test_no_answer_is_ever_above_the_cap(venue: Simulator, tmp_path: Path) -> None:
    name = "COIN" * 4
    markets = {
        f"{name}{number}/USDT": {
            "id": f"{name}{number}USDT", "symbol": f"{name}{number}/USDT", "base": f"{name}{number}", "quote": "USDT",
            "type": "spot", "spot": True, "active": True, "info": {}, "precision": {"price": 0.01, "amount": 0.01},
            "limits": {"amount": {"min": 1, "max": 10}},
        }
        for number in range(5000)
    }  # fmt: skip
    MarketStore(tmp_path, ccxt_version=ccxt_version()).write("venue-simulated", MarketSet(time.time(), markets, {}, {}))
    settings = settings_for(tmp_path, venue=venue)
    async with Client(build_server(settings)) as client:
        fields = ["symbol", "base", "quote", "type", "precision", "limits"]
        seen = 0
        cursor = None
        while True:
            result = await client.call_tool(
                "exchange_markets", {"exchange": VENUE, "limit": 1000, "fields": fields, "cursor": cursor}
            )
            assert len(text_of(result).encode()) <= settings.answer_cap
            table = envelope(result)["data"]["markets"]
            seen += len(table["rows"])
            if (cursor := table.get("next")) is None:
                break
        assert seen == 5000
        default = await client.call_tool("exchange_markets", {"exchange": VENUE})
        assert len(text_of(default).encode()) < 10_000
