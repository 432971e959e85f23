"""Where updates come from: ccxt's method once, then what it waits for; the method each time where that is not plain."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ccxt_mcp.exchanges.live import Live, Wait
from ccxt_mcp.simulator import Fault
from ccxt_mcp.streams import Channel
from ccxt_mcp.streams.source import Source
from desk.house import SPOT
from streams.rig import MARKET, PUBLIC, TRADES, Rig, nudge, until
from streams.test_faults import first, whole


class Fake:
    """An exchange's class as far as a source sees it: one connection, one future for all tickers."""

    def __init__(self, *, keeps: bool = True, futures: int = 1) -> None:
        self.tickers: dict[str, Any] = {}
        self.clients: dict[str, Any] = {}
        self.calls = 0
        self._keeps, self._futures = keeps, futures
        self._waits: list[Wait] = []
        self.connect()

    def connect(self) -> None:
        self.client = SimpleNamespace(url="wss://x", pending=None, future=self._future)
        self.clients = {"wss://x": self.client}

    def _future(self, _: str) -> asyncio.Future[Any]:
        self.client.pending = asyncio.get_running_loop().create_future()
        return self.client.pending

    @contextmanager
    def waits(self) -> Generator[list[Wait]]:
        self._waits = []
        yield self._waits

    @property
    def exchange(self) -> Any:
        return self

    async def watch(self, symbol: str) -> Any:
        self.calls += 1
        self._waits += [Wait(self.client, f"future {number}") for number in range(self._futures)]
        while True:
            await self._future("")
            if (found := self.tickers.get(symbol)) is not None:
                return found if self._keeps else dict(found)

    async def tell(self, symbol: str, last: float) -> None:
        """Let a message arrive."""
        await until(lambda: self.client.pending is not None and not self.client.pending.done())
        self.tickers[symbol] = {"symbol": symbol, "last": last}
        self.client.pending.set_result(None)
        await asyncio.sleep(0)


async def told(fake: Fake, *messages: tuple[str, float]) -> list[float]:
    source = Source(cast(Live, fake), Channel.TICKER, SPOT, None, watch=fake.watch, arguments=[SPOT])
    seen: list[float] = []

    async def read() -> None:
        while True:
            seen.append((await source.next())["last"])

    task = asyncio.create_task(read())
    for symbol, last in messages:
        await fake.tell(symbol, last)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    return seen


async def test_the_method_is_called_once_for_each_connection() -> None:
    fake = Fake()
    assert await told(fake, (SPOT, 1.0), (SPOT, 2.0), (SPOT, 3.0)) == [1.0, 2.0, 3.0]
    assert fake.calls == 1


async def test_what_another_market_tells_is_no_update() -> None:
    fake = Fake()
    assert await told(fake, (SPOT, 1.0), ("ETH/USDT", 9.0), ("ETH/USDT", 8.0), (SPOT, 2.0)) == [1.0, 2.0]


@pytest.mark.parametrize("fake", [{"keeps": False}, {"futures": 2}, {"futures": 0}])
async def test_where_it_is_not_plain_the_method_is_called_each_time(fake: dict[str, Any]) -> None:
    exchange = Fake(**fake)
    assert await told(exchange, (SPOT, 1.0), (SPOT, 2.0)) == [1.0, 2.0]
    assert exchange.calls == 3


async def test_nobody_waits_on_a_connection_that_is_not_in_use_any_more() -> None:
    fake = Fake()
    source = Source(cast(Live, fake), Channel.TICKER, SPOT, None, watch=fake.watch, arguments=[SPOT])
    for last in (1.0, 2.0):
        next_one = asyncio.create_task(source.next())
        await fake.tell(SPOT, last)
        assert (await next_one)["last"] == last
    fake.connect()
    next_one = asyncio.create_task(source.next())
    await fake.tell(SPOT, 3.0)
    assert (await next_one)["last"] == 3.0
    assert fake.calls == 2


@pytest.mark.parametrize("channel", MARKET)
async def test_ccxt_s_own_class_is_asked_once(still: Rig, channel: Channel) -> None:
    calls = 0
    reader = await still.watch(channel)
    await until(lambda: still.house.gateway.pool._lives)
    [live] = still.house.gateway.pool._lives.values()
    method = reader.stream.row.watch
    whole_method = getattr(live.exchange, method)

    async def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return await whole_method(*arguments)

    setattr(live.exchange, method, counted)
    still.simulator.faults.set(Fault("close", path=f"{PUBLIC}/", times=1))
    await nudge(still, lambda: not still.simulator.faults.active and len(reader.data) > 20)
    assert 1 <= calls <= 2  # the first time, and after the break


async def test_what_one_stream_lost_makes_the_others_look(still: Rig) -> None:
    book, trades = await first(still, Channel.BOOK), await first(still, Channel.TRADES)
    await asyncio.sleep(1.0)  # both are looked after now, and asked about once a minute only
    still.simulator.faults.set(Fault("silence", path=f"{PUBLIC}/"))
    for _ in range(5):
        await still.tick()
    still.simulator.faults.clear()
    await nudge(still, lambda: book.gaps)
    await trades.until(lambda one: any(event.origin == "rest" for event in one.data))
    assert trades.gaps
    await whole(still, trades)
    assert TRADES in still.topics()
