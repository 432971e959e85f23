"""Many streams of many exchanges, watched in two ways: by loops over bare ccxt.pro, and through a Hub."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple, Protocol

from ccxt_mcp.server import House, build_house
from ccxt_mcp.settings import load_settings
from ccxt_mcp.simulator import ccxt_config
from ccxt_mcp.streams import CHANNELS, Channel, Subscription, Topic
from ccxt_mcp.streams.channels import book_limit

_TIMEFRAME = "1h"
_PERPETUALS = tuple(f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA"))
_BOOKS = (*_PERPETUALS, "BTC/USDC:USDC", "BTC/USDT", "ETH/USDT", "SOL/USDT")
_OPENS_WITHIN = 60.0  # seconds in which all streams have told something

EACH = 10
"""Streams of each exchange."""

FAST, SLOW = 150.0, 15.0
"""How fast time passes where trades make the messages, and where order books change by themselves."""


class Watched(NamedTuple):
    """A stream, by the number of its exchange."""

    exchange: int
    channel: Channel
    symbol: str

    @property
    def raw(self) -> tuple[Any, ...]:
        """What ccxt's method takes, for the very topic that the Hub subscribes to."""
        match self.channel:
            case Channel.BOOK:
                return self.symbol, book_limit(frozenset({"bybit"}), "swap" if ":" in self.symbol else "spot")
            case Channel.CANDLES:
                return self.symbol, _TIMEFRAME
            case _:
                return (self.symbol,)


def mixed(exchanges: int) -> list[Watched]:
    """Return ten streams for each exchange: of every four exchanges one tells its books, three all the rest."""
    rest = (
        *product((Channel.TICKER,), _PERPETUALS[:4]),
        *product((Channel.TRADES, Channel.CANDLES), _PERPETUALS[:3]),
    )
    books = tuple(product((Channel.BOOK,), _BOOKS))
    return [Watched(number, *one) for number in range(exchanges) for one in (books if _is_slow(number) else rest)]


def speeds(exchanges: int) -> list[float]:
    """Return how fast the time of each exchange has to pass, for about 50 messages a second from each stream."""
    return [SLOW if _is_slow(number) else FAST for number in range(exchanges)]


def _is_slow(number: int) -> bool:
    return number % 4 == 1


class Way(Protocol):
    """A way to watch streams.

    Attributes:
        updates: how many updates came to who watches.
    """

    updates: int

    async def open(self) -> None:
        """Watch, and return when every stream has told something."""
        ...

    async def close(self) -> None:
        """Watch no more."""
        ...


class Bare:
    """A loop for each stream over ccxt.pro's own classes, as a program without a Hub has them.

    Args:
        urls: the exchanges.
        watched: the streams.
    """

    def __init__(self, urls: Sequence[str], watched: Sequence[Watched]) -> None:
        self.updates = 0
        self._urls = urls
        self._watched = watched
        self._silent = _Silent()
        self._exchanges: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Watch, and return when every stream has told something."""
        import ccxt.pro

        for url in self._urls:
            config: Any = ccxt_config(url) | {"timeout_on_exit": 0}
            exchange: Any = ccxt.pro.bybit(config)
            self._exchanges.append(exchange)
            await exchange.load_markets()
        self._silent.set(self._watched)
        self._tasks = [asyncio.create_task(self._watch(one)) for one in self._watched]
        await self._silent.gone(self._tasks)

    async def close(self) -> None:
        """Watch no more."""
        await _cancelled(self._tasks)
        for exchange in self._exchanges:
            await exchange.close()
        self._tasks, self._exchanges = [], []

    async def _watch(self, one: Watched) -> None:
        watch, arguments = getattr(self._exchanges[one.exchange], CHANNELS[one.channel].watch), one.raw
        await watch(*arguments)
        self._silent.heard(one)
        while True:
            await watch(*arguments)
            self.updates += 1


class Hubbed:
    """One reader for each stream of a Hub.

    Args:
        environment: that of a server which knows the exchanges as `names` says.
        watched: the streams.
    """

    def __init__(self, environment: Mapping[str, str], watched: Sequence[Watched]) -> None:
        self.updates = 0
        self.told: Counter[str] = Counter()
        self._watched = watched
        self._silent = _Silent()
        self._house = house(environment)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Watch, and return when every stream has told something."""
        self._silent.set(self._watched)
        for one in self._watched:
            subscription = await self._house.hub.subscribe(topic(one))
            self._tasks.append(asyncio.create_task(self._read(one, subscription)))
        await self._silent.gone(self._tasks)

    async def close(self) -> None:
        """Watch no more."""
        await self._house.hub.close()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    def wrong(self) -> list[str]:
        """Return which streams are not live now, or had gaps."""
        streams = self._house.hub.streams()
        down = [f"{one.key} is {one.state}" for one in streams if one.state != "live"]
        missing = (
            [f"{len(streams)} streams are up, not {len(self._watched)}"] if len(streams) != len(self._watched) else []
        )
        return missing + down + [f"{count} times {what}" for what, count in self.told.items()]

    async def end(self) -> None:
        """Close everything."""
        await self.close()
        await self._house.close()

    async def _read(self, one: Watched, subscription: Subscription) -> None:
        async for event in subscription:
            if event.kind == "data":
                self._silent.heard(one)
                break
        async for event in subscription:
            if event.kind == "data":
                self.updates += 1
            else:
                self.told[f"{one.channel}: {event.kind}"] += 1


def names(urls: Sequence[str]) -> dict[str, str]:
    """Return the exchanges by the names under which a server knows them."""
    return {f"venue{number}": url for number, url in enumerate(urls)}


def topic(one: Watched) -> Topic:
    """Return what to ask a Hub for."""
    return Topic(
        f"venue{one.exchange}", one.channel, one.symbol, _TIMEFRAME if one.channel is Channel.CANDLES else None
    )


def house(environment: Mapping[str, str]) -> House:
    """Return a server's inside in this process."""
    return build_house(load_settings(environment))


class _Silent:
    """The streams that have told nothing yet."""

    def __init__(self) -> None:
        self._left: set[Watched] = set()
        self._none = asyncio.Event()

    def set(self, watched: Sequence[Watched]) -> None:
        """Wait for these."""
        self._left = set(watched)
        self._none.clear()

    def heard(self, one: Watched) -> None:
        """Wait for this one no more."""
        self._left.discard(one)
        if not self._left:
            self._none.set()

    async def gone(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Return when all have told something.

        Raises:
            RuntimeError: some did not, or a loop ended before.
        """
        waiting = asyncio.create_task(self._none.wait())
        await asyncio.wait({waiting, *tasks}, timeout=_OPENS_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await _cancelled([waiting])
            ended = [task.exception() for task in tasks if task.done() and not task.cancelled()]
            raise RuntimeError(f"these streams tell nothing: {sorted(self._left)}; ended: {ended}")


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
