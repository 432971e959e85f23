"""Answers from one cached value: each has the shape that its caller asked for, and metadata of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ccxt_mcp.envelope import Envelope
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.guards.cache import Cache
from ccxt_mcp.server import build_gateway, build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Simulator
from ccxt_mcp.tools import tool_catalogue
from ccxt_mcp.tools.answer import answer

VENUE = "venue"
CAP = 65_536


class Clock:
    """A clock that stands still until it is moved: nothing gets too old while a test runs."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def venue() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def gateway(venue: Simulator, tmp_path: Path, clock: Clock) -> AsyncIterator[Gateway]:
    exchanges: Any = {VENUE: {"simulator": venue.url}}
    gateway, simulators = build_gateway(Settings(cache_dir=tmp_path, exchanges=exchanges))
    gateway.cache = Cache(max_bytes=2**20, clock=clock)
    yield gateway
    await gateway.close()
    await simulators.close()


async def ask(gateway: Gateway, tool: str, **arguments: Any) -> Envelope:
    return await tool_catalogue()[tool].function(gateway, VENUE, "BTC/USDT", **arguments)


def structured(envelope: Envelope) -> dict[str, Any]:
    content = answer(envelope, cap=CAP).structured_content
    assert content is not None
    assert content["success"], content
    return content


async def test_each_caller_of_one_cached_ticker_gets_the_fields_that_it_asked_for(
    gateway: Gateway, venue: Simulator
) -> None:
    for _ in range(2):
        for fields in (["last"], ["bid", "ask"], ["ask", "bid"], None, ["last", "last"]):
            data = structured(await ask(gateway, "market_ticker", fields=fields))["data"]
            assert list(data) == list(dict.fromkeys(fields or data))
            assert fields or {"symbol", "last", "bid", "ask"} <= set(data)
    assert venue.requests.by_path["/v5/market/tickers"] == 1


async def test_each_caller_of_one_cached_book_gets_as_many_levels_as_it_asked_for(
    gateway: Gateway, venue: Simulator
) -> None:
    books = [
        structured(await ask(gateway, "market_orderbook", limit=limit, within=within))["data"]
        for _ in range(2)
        for limit, within in ((5, 1.0), (20, 1.0), (5, 0.01))
    ]
    assert [len(book["bids"]["rows"]) for book in books] == [5, 20, 5] * 2
    assert books[0]["depth"] == books[1]["depth"] != books[2]["depth"]
    assert books[:3] == books[3:]
    assert venue.requests.by_path["/v5/market/orderbook"] == 1


async def test_metadata_is_true_of_each_answer_although_the_data_is_rendered_once(
    gateway: Gateway, clock: Clock
) -> None:
    first = structured(await ask(gateway, "market_ticker"))
    clock.now += 0.25
    second = structured(await ask(gateway, "market_ticker"))
    third = structured(await ask(gateway, "market_ticker"))
    assert first["data"] is second["data"] is third["data"]
    told = [one["metadata"] for one in (first, second, third)]
    assert [(one["cached"], one["ageMs"]) for one in told] == [(False, 0), (True, 250), (True, 250)]
    assert len({one["requestId"] for one in told}) == 3
    assert told[0]["timestamp"] <= told[1]["timestamp"] <= told[2]["timestamp"]
    assert all(one["rateLimit"]["remaining"] > 0 for one in told)


async def test_a_hit_never_extends_the_life_of_what_was_rendered(
    gateway: Gateway, clock: Clock, venue: Simulator
) -> None:
    first = structured(await ask(gateway, "market_ticker"))
    for _ in range(4):
        clock.now += 0.24
        assert structured(await ask(gateway, "market_ticker"))["data"] is first["data"]
    clock.now += 0.05
    fresh = structured(await ask(gateway, "market_ticker"))
    assert fresh["metadata"]["cached"] is False
    assert fresh["data"] is not first["data"]
    assert venue.requests.by_path["/v5/market/tickers"] == 2


async def test_a_client_that_changes_its_answer_changes_nobody_elses(venue: Simulator, tmp_path: Path) -> None:
    exchanges: Any = {VENUE: {"simulator": venue.url}}
    arguments = {"exchange": VENUE, "symbol": "BTC/USDT", "fields": ["symbol"]}
    async with Client(build_server(Settings(cache_dir=tmp_path, exchanges=exchanges))) as client:
        for _ in range(3):
            result = await client.call_tool("market_ticker", arguments)
            assert result.structured_content is not None
            assert result.structured_content["data"] == {"symbol": "BTC/USDT"}
            result.structured_content["data"]["symbol"] = "changed"
