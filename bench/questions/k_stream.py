"""(k) How long does a price take from the exchange to who watches it?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from bench.child import configured
from bench.feed import Feed
from bench.measure import Answer, Finding, at_most, compared, measured
from bench.streams import house
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs
from ccxt_mcp.simulator import ccxt_config
from ccxt_mcp.streams import Channel, Hub, Subscription, Topic

_SYMBOL = "BTC/USDT:USDT"
_TICK = 0.02
_SPEED = 100.0  # the exchange writes whole milliseconds of its time, which are hundredths of them here
_VENUE = "shop"
_ROUNDS = 6
_UPDATES = 60
_READERS = 1000
_DELIVERIES = 30
_TOPIC = Topic(_VENUE, Channel.TICKER, _SYMBOL)


def ask() -> Answer:
    """Watch one ticker by bare ccxt.pro and through a Hub in turn, then let a thousand read it."""
    configure_logs("warning", redactor=Redactor(()))  # a Hub runs in this process, and would log on its screen
    with TemporaryDirectory() as folder, Feed(_SPEED, tick=_TICK) as feed:
        return asyncio.run(measure(feed, Path(folder)))


async def measure(
    feed: Feed, folder: Path, *, rounds: int = _ROUNDS, updates: int = _UPDATES, readers: int = _READERS
) -> Answer:
    """Measure all of it in this process; the exchange has its own."""
    import ccxt.pro

    async with AsyncExitStack() as stack:
        config: Any = ccxt_config(feed.urls[0]) | {"timeout_on_exit": 0}
        bare: Any = ccxt.pro.bybit(config)
        stack.push_async_callback(bare.close)
        await bare.load_markets()
        inside = house(configured(folder, {_VENUE: feed.urls[0]}))
        stack.push_async_callback(inside.close)
        took: dict[str, list[list[float]]] = {"bare": [], "hub": []}
        for number in range(1 + rounds):
            theirs = await _bare(bare, feed.moment, updates)
            await bare.un_watch_ticker(_SYMBOL)
            ours = await _through(inside.hub, feed.moment, updates)
            await inside.hub.close()
            if number:
                took["bare"].append(theirs)
                took["hub"].append(ours)
        deliveries, upstream = await _to_many(inside.hub, feed, readers)
    return Answer(
        "A ticker from the exchange to those who watch it",
        _findings(took, deliveries, upstream, readers),
        baseline="a loop over bare ccxt.pro's watch_ticker",
        notes=["The clock starts when the exchange looks at its prices, and stops when the reader has the update."],
    )


def _findings(
    took: dict[str, list[list[float]]], deliveries: Sequence[float], upstream: int, readers: int
) -> list[Finding]:
    return [
        *(
            compared(
                f"exchange to one reader ({name})", [at(one) for one in took["hub"]], [at(one) for one in took["bare"]]
            )
            for name, at in (("p50", _p50), ("p95", _p95))
        ),
        measured(f"stream to each of {readers:,} readers (p50)", [_p50(deliveries)]),
        measured(f"stream to each of {readers:,} readers (p95)", [_p95(deliveries)]),
        Finding(f"subscriptions at the exchange for {readers:,} readers", upstream, "", target=at_most(1)),
    ]


async def _bare(exchange: Any, moment: Callable[[int], float], updates: int) -> list[float]:
    """Return the seconds of each update in a loop over bare ccxt.pro; the first says how things are and is none."""
    await exchange.watch_ticker(_SYMBOL)
    took: list[float] = []
    while len(took) < updates:
        ticker = await exchange.watch_ticker(_SYMBOL)
        took.append(monotonic() - moment(ticker["timestamp"]))
    return took


async def _through(hub: Hub, moment: Callable[[int], float], updates: int) -> list[float]:
    """Return the seconds of each update to a reader of the Hub."""
    subscription = await hub.subscribe(_TOPIC)
    await anext(subscription)
    took: list[float] = []
    async for event in subscription:
        took.append(monotonic() - moment(event.data["timestamp"]))
        if len(took) == updates:
            subscription.close()
            break
    return took


async def _to_many(hub: Hub, feed: Feed, readers: int) -> tuple[list[float], int]:
    """Return the seconds from the stream to each reader for some updates, and the subscriptions at the exchange."""
    stream, first = await hub.stream(_TOPIC)
    await anext(first)
    told: dict[int, float] = {}
    complete = stream.complete

    def noted(data: Any) -> Any:
        data = data if complete is None else complete(data)
        told[data["timestamp"]] = monotonic()
        return data

    stream.complete = noted
    took: list[float] = []

    async def read(subscription: Subscription) -> None:
        heard = 0
        async for event in subscription:
            if (began := told.get(event.data["timestamp"])) is not None:
                took.append(monotonic() - began)
                heard += 1
            if heard == _DELIVERIES:
                subscription.close()

    subscriptions = [await hub.subscribe(_TOPIC) for _ in range(readers)]
    async with asyncio.TaskGroup() as group:
        for subscription in subscriptions:
            group.create_task(read(subscription))
        upstream = await asyncio.to_thread(feed.subscriptions)
    return took, upstream


def _p50(figures: Sequence[float]) -> float:
    return quantiles(figures, n=20)[9]


def _p95(figures: Sequence[float]) -> float:
    return quantiles(figures, n=20)[18]
