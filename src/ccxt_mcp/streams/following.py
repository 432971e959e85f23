"""Following: many streams read as one, by one reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import repeat
from math import inf

from ccxt_mcp.errors import Failure
from ccxt_mcp.streams.events import Event, Subscription
from ccxt_mcp.streams.hub import Hub, Topic
from ccxt_mcp.streams.stream import Stream


class Following:
    """The streams of several topics, and all that they tell, in the order in which it is there to be read.

    Attributes:
        streams: by topic.
        failures: why topics have no stream.
    """

    def __init__(self) -> None:
        self.streams: dict[Topic, Stream] = {}
        self.failures: dict[Topic, Failure] = {}
        self._subscriptions: dict[Topic, Subscription] = {}
        self._ready = asyncio.Event()

    def add(self, topic: Topic, stream: Stream, subscription: Subscription) -> None:
        """Read a stream as well."""
        self.streams[topic] = stream
        self._subscriptions[topic] = subscription
        subscription.ready = self._ready
        self._ready.set()

    async def events(self) -> AsyncGenerator[tuple[Topic, Event]]:
        """Yield events until all streams have ended."""
        async with aclosing(self.events_and_pauses(repeat(inf))) as events:
            async for topic, event in events:
                if topic is not None and event is not None:
                    yield topic, event

    async def events_and_pauses(
        self, pauses: Iterator[float]
    ) -> AsyncGenerator[tuple[Topic, Event] | tuple[None, None]]:
        """Yield events, and nothing each time when so many seconds are over, until all streams have ended."""
        loop = asyncio.get_running_loop()
        due = loop.time() + next(pauses)
        while True:
            self._ready.clear()
            for topic, subscription in list(self._subscriptions.items()):
                while (event := subscription.take()) is not None:
                    yield topic, event
            if all(subscription.over for subscription in self._subscriptions.values()):
                return
            try:
                async with asyncio.timeout_at(None if due == inf else due):
                    await self._ready.wait()
            except TimeoutError:
                due = loop.time() + next(pauses)
                yield None, None

    def close(self) -> None:
        """Leave all streams."""
        for subscription in self._subscriptions.values():
            subscription.close()


@asynccontextmanager
async def following(hub: Hub, topics: Sequence[Topic]) -> AsyncGenerator[Following]:
    """Follow topics; those that cannot be followed are told in `failures`.

    Args:
        hub: where the streams are.
        topics: what to follow; the same one twice counts once.
    """
    follow = Following()

    async def open_one(topic: Topic) -> None:
        try:
            follow.add(topic, *await hub.stream(topic))
        except Failure as failure:
            follow.failures[topic] = failure

    try:
        await asyncio.gather(*(open_one(topic) for topic in dict.fromkeys(topics)))
        yield follow
    finally:
        follow.close()
