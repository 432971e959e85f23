"""A hub over a real simulator, and readers that keep what they were told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from ccxt_mcp.call import Call, Sent
from ccxt_mcp.envelope import Envelope
from ccxt_mcp.server import House, build_house
from ccxt_mcp.simulator import Simulator
from ccxt_mcp.streams import Channel, Hub, Topic
from ccxt_mcp.streams.events import Event, Subscription
from ccxt_mcp.streams.stream import Stream
from desk.house import PATIENCE, SPOT, SWAP, VENUE, settings_for
from simulator.clocks import Clock

PUBLIC, PRIVATE = "/v5/public/spot", "/v5/private"
BOOK, TRADES, TICKER = "orderbook.200.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"
MARKET = (Channel.TICKER, Channel.BOOK, Channel.TRADES, Channel.CANDLES)


class Hurried:
    """A clock that runs so many times as fast as ours, from now on until it is stopped."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._wall, self._start = time.time(), time.monotonic()

    def __call__(self) -> float:
        return self._wall + (time.monotonic() - self._start) * self._speed

    def stop(self) -> None:
        self._wall, self._speed = self(), 0.0


class Reader:
    """Reads a subscription to its end, and keeps all of it."""

    def __init__(self, stream: Stream, subscription: Subscription) -> None:
        self.stream = stream
        self.subscription = subscription
        self.events: list[Event] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.subscription:
            self.events.append(event)

    @property
    def data(self) -> list[Event]:
        return [event for event in self.events if event.kind == "data"]

    @property
    def gaps(self) -> list[Event]:
        return [event for event in self.events if event.kind == "gap"]

    @property
    def kinds(self) -> list[str]:
        """The kinds of events, several of a kind in a row once."""
        kinds = [event.kind for event in self.events]
        return [kind for at, kind in enumerate(kinds) if not at or kinds[at - 1] != kind]

    @property
    def rows(self) -> list[Any]:
        """The rows of all data that are lists."""
        return [row for event in self.data for row in event.data]

    @property
    def last(self) -> Any:
        return self.data[-1].data if self.data else None

    @property
    def breaks(self) -> int:
        return sum(event.breaks for event in self.events)

    async def until(self, look: Callable[[Reader], Any]) -> Reader:
        """Wait until a look at this reader gives something true."""
        await until(lambda: look(self), lambda: (self.stream.state, self.stream.failure, self.events[-5:]))
        return self

    async def more(self, count: int = 1) -> Reader:
        """Wait until so much more data came than now."""
        wanted = len(self.data) + count
        return await self.until(lambda _: len(self.data) >= wanted)

    async def leave(self) -> None:
        self.subscription.close()
        await self._task

    async def ended(self) -> None:
        """Wait for the end of the subscription."""
        async with asyncio.timeout(PATIENCE):
            await self._task


@dataclass
class Rig:
    """A house whose exchange `venue` is a simulator, and a hub."""

    simulator: Simulator
    house: House
    hub: Hub
    clock: Clock | None = None
    readers: list[Reader] = field(default_factory=list[Reader])

    async def watch(self, channel: Channel, symbol: str | None = SPOT, **more: Any) -> Reader:
        """A reader of a topic; of the exchange `venue`, unless another one is named."""
        topic = Topic(more.pop("exchange", VENUE), channel, symbol, **more)
        reader = Reader(*await self.hub.stream(topic))
        self.readers.append(reader)
        return reader

    async def watching(self, channel: Channel, symbol: str | None = SPOT, **more: Any) -> Reader:
        """A reader that has had its first data."""
        reader = await self.watch(channel, symbol, **more)
        return await reader.until(lambda one: one.data)

    async def ask(self, method: str, symbol: str | None = SPOT, **arguments: Any) -> Envelope:
        return await self.house.gateway.call(Call(method, VENUE, symbol=symbol, arguments=arguments))

    async def order(self, side: str = "buy", amount: float = 0.001, price: float | None = None,
                    symbol: str = SPOT, **params: Any) -> str:  # fmt: skip
        """Place an order; return its id."""
        kind = "market" if price is None else "limit"
        given = {"type": kind, "side": side, "amount": amount, "price": price, "params": params}
        return (await self.send("createOrder", symbol, **given))["id"]

    async def send(self, method: str, symbol: str | None = SPOT, **arguments: Any) -> Any:
        sent: Sent = await self.house.gateway.send(Call(method, VENUE, symbol=symbol, arguments=arguments))
        assert sent.failure is None, sent.failure
        return sent.value

    def topics(self, path: str = PUBLIC) -> dict[str, int]:
        return self.simulator.streams()[path].topics

    def connections(self, path: str = PUBLIC) -> int:
        return self.simulator.streams()[path].connections

    async def tick(self, seconds: float = 1.0) -> None:
        """Let time go on, where it stands still, and tell what is new."""
        assert self.clock is not None
        self.clock.now += seconds
        await self.simulator.publish()


@asynccontextmanager
async def open_rig(
    folder: Path,
    simulator: Simulator,
    clock: Clock | None = None,
    *,
    settings: dict[str, Any] | None = None,
    **hub: Any,
) -> AsyncGenerator[Rig]:
    """A rig that retries at once; other names are the hub's."""
    house = build_house(settings_for(folder, simulator.url, **(settings or {})))
    streams = Hub(house.gateway, jitter=lambda: 0.0, **hub)
    house.gateway.live = streams.live
    rig = Rig(simulator, house, streams, clock)
    try:
        yield rig
    finally:
        await streams.close()
        for reader in rig.readers:
            await reader.ended()
        await house.close()


async def until(look: Callable[[], Any], tell: Callable[[], Any] = lambda: None) -> Any:
    """What a look gives as soon as it is true; `tell` says what was there instead if it never is."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (seen := look()):  # noqa: ASYNC110 - the simulator sets no event
                await asyncio.sleep(0.01)
            return seen
    except TimeoutError:
        raise AssertionError(tell()) from None


async def truth(simulator: Simulator, symbol: str = SPOT) -> dict[str, list[list[float]]]:
    """The book that the simulator has now, as far as streams tell it."""
    rows = await fetch(simulator, "orderbook", symbol, limit=200)
    sides = {"bids": rows["b"], "asks": rows["a"]}
    return {side: [[float(price), float(size)] for price, size in levels[:100]] for side, levels in sides.items()}


async def tape(simulator: Simulator, symbol: str = SPOT) -> list[str]:
    """The ids of the newest trades that the simulator tells on request."""
    rows = (await fetch(simulator, "recent-trade", symbol, limit=1000))["list"]
    return [row["execId"] for row in rows]


async def fetch(simulator: Simulator, what: str, symbol: str, **more: Any) -> Any:
    name = symbol.split(":", maxsplit=1)[0].replace("/", "")
    query = {"category": "linear" if symbol == SWAP else "spot", "symbol": name, **more}
    async with aiohttp.ClientSession(simulator.url) as http, http.get(f"/v5/market/{what}", params=query) as reply:
        return (await reply.json())["result"]


def sides(book: Any) -> dict[str, Any]:
    """A book's two sides."""
    return {"bids": book["bids"], "asks": book["asks"]}


def of_order(name: str, *statuses: str) -> Callable[[Reader], bool]:
    """Look whether a reader was told that an order has gone through these statuses."""
    return lambda reader: [row["status"] for row in reader.rows if row["id"] == name] == list(statuses)


async def nudge(rig: Rig, look: Callable[[], Any]) -> None:
    """Let time go on, where it stands still, until a look is true."""
    async with asyncio.timeout(PATIENCE):
        while not look():
            await rig.tick()
            await asyncio.sleep(0.01)


def consistent(reader: Reader) -> None:
    """See that numbers grow, each gap begins a generation, and every break was told."""
    numbers = [event.seq for event in reader.events]
    assert numbers == sorted(set(numbers))
    assert reader.breaks == reader.stream.counters.breaks
    generation = reader.events[0].gen
    for event in reader.events:
        assert event.gen == generation
        generation += event.kind == "gap"
