"""A market whose time goes on when a test says so, and a house that watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ccxt_mcp.simulator import Simulator
from desk.house import PATIENCE, SPOT, VENUE, House, data, rows
from simulator.clocks import Clock
from streams.rig import fetch

STEP = 60.0  # seconds in which the price surely moves


@dataclass
class Market:
    """A simulator whose clock stands still, and the house that watches it.

    Attributes:
        simulator: the exchange.
        clock: its time.
    """

    simulator: Simulator
    clock: Clock
    _house: House | None = None

    @property
    def house(self) -> House:
        assert self._house is not None
        return self._house

    @house.setter
    def house(self, house: House) -> None:
        self._house = house

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool about BTC/USDT on the market; return its envelope."""
        return await self.house.ask(tool, **{"symbol": SPOT, **arguments})

    async def told(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The data of a good answer."""
        return data(await self.ask(tool, **arguments))

    async def alerts(self, house: House | None = None, **arguments: Any) -> list[dict[str, Any]]:
        """The alerts, as a client of the house, or of another one, sees them."""
        return rows(data(await (house or self.house).ask("stream_alert_list", None, **arguments))["alerts"])

    async def watch(self, **arguments: Any) -> list[dict[str, Any]]:
        """What stream_watch saw of each stream, with its newest rows."""
        seen = await self.told("stream_watch", **arguments)
        return watched(seen)

    async def price(self) -> float:
        """The last price, as the exchange tells it on request."""
        return float((await fetch(self.simulator, "tickers", SPOT))["list"][0]["lastPrice"])

    async def prices(self, count: int) -> list[float]:
        """The last prices at the next steps; the clock is where it was afterwards."""
        began, found = self.clock.now, list[float]()
        for _ in range(count):
            self.clock.now += STEP
            found.append(await self.price())
        self.clock.now = began
        return found

    async def go_on(self, seconds: float = STEP) -> None:
        """Let time pass, and tell those who listen."""
        self.clock.now += seconds
        await self.simulator.publish()
        await asyncio.sleep(0.02)

    async def until(self, look: Callable[[], Awaitable[Any]], *, moving: bool = False) -> Any:
        """What a look gives as soon as it is true, while time stands still or goes on."""
        async with asyncio.timeout(PATIENCE):
            while not (seen := await look()):
                await (self.go_on() if moving else asyncio.sleep(0.02))
            return seen

    @asynccontextmanager
    async def moving(self) -> AsyncGenerator[None]:
        """Let time go on beside what a test does."""

        async def move() -> None:
            while True:
                await self.go_on()

        task = asyncio.create_task(move())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def streams(self) -> list[dict[str, Any]]:
        """The open streams."""
        return rows(data(await self.house.ask("stream_list", None))["streams"])

    @property
    def topics(self) -> set[str]:
        """What is subscribed to at the exchange."""
        return {topic for path in self.simulator.streams().values() for topic in path.topics}

    @property
    def asked(self) -> int:
        """Requests that the exchange had so far."""
        return sum(self.simulator.requests.by_path.values())


def watched(seen: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams of an answer, with their newest rows."""
    streams = rows(seen["streams"])
    return [
        stream | {"latest": rows(seen["latest"][name])} for stream, name in zip(streams, seen["latest"], strict=True)
    ]


@asynccontextmanager
async def open_market(clock: Clock) -> AsyncGenerator[Market]:
    async with Simulator(clock=clock, tick=3600, ip_limit=None, key_limit=None) as simulator:
        yield Market(simulator, clock)


__all__ = ["SPOT", "VENUE", "Market", "open_market"]
