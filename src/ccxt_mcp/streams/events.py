"""Events: what a stream tells, and a subscription that hands it to one reader at the reader's own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from ccxt_mcp.errors import Failure

Kind = Literal["data", "gap", "stale", "error"]
Origin = Literal["stream", "poll", "rest"]

QUEUE = 1000
"""Events that a slow reader may fall behind before the oldest are dropped and counted."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a stream tells.

    Attributes:
        kind: data; a gap, after which something may be missing; stale, where nothing came for too long; or the error
            with which the stream ended.
        seq: the number of the event in its stream.
        gen: the generation of the data: one more after each gap.
        at_ms: when it came, in milliseconds since the epoch.
        data: what came: one ticker, book or balance, the positions as they are, or a list of trades, candles or orders.
        origin: whether data was sent by the exchange, or asked for, or asked for to fill a gap.
        failure: why there is a gap, or an error.
        dropped: rows that were there and are lost to this reader; a gap without a number may have lost any.
        breaks: how many gaps in a row this one stands for.
        complete: of data that fills a gap, whether nothing is missing now.
    """

    kind: Kind
    seq: int
    gen: int
    at_ms: int
    data: Any = None
    origin: Origin = "stream"
    failure: Failure | None = None
    dropped: int = 0
    breaks: int = 0
    complete: bool | None = None


class Source(Protocol):
    """What a subscription comes from."""

    def leave(self, subscription: Subscription) -> None:
        """Take a subscription off the list."""
        ...


class Subscription:
    """One reader's way through a stream: `async for event in subscription`. It ends with the stream, or with `close`.

    A reader that falls behind delays nobody. Of tickers, books and balances it gets the newest; of everything else up
    to QUEUE events wait for it, and what is dropped then is counted in a gap that comes first.

    Args:
        source: the stream.
        conflates: whether a newer update replaces an older one that was not read yet.

    Attributes:
        ready: set whenever there is something to take; for who reads many subscriptions at once.
    """

    __slots__ = ("_conflates", "_dropped", "_ended", "_events", "_lost_gaps", "_source", "_waiter", "ready")

    def __init__(self, source: Source, *, conflates: bool) -> None:
        self._source = source
        self._conflates = conflates
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._lost_gaps = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self.ready: asyncio.Event | None = None

    def put(self, event: Event) -> None:
        """Take an event from the stream."""
        events = self._events
        if self._conflates and events and event.kind == "data" and events[-1].kind == "data":
            events[-1] = event
        else:
            if len(events) >= QUEUE:
                self._drop(events.popleft())
            events.append(event)
        self._wake()

    def end(self) -> None:
        """Let the reader come to an end after what is there already."""
        self._ended = True
        self._wake()

    async def next(self) -> Event | None:
        """Return the next event; None after the last. One reader at a time; giving up loses nothing."""
        while not self._events:
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def take(self) -> Event | None:
        """Return the next event if there is one now."""
        if not self._events:
            return None
        if self._dropped or self._lost_gaps:
            first = self._events[0]
            gap = Event("gap", first.seq - 1, first.gen, first.at_ms, dropped=self._dropped, breaks=self._lost_gaps)
            self._dropped = self._lost_gaps = 0
            return gap
        return self._events.popleft()

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._ended and not self._events

    def close(self) -> None:
        """Leave the stream; other readers notice nothing."""
        if not self._ended:
            self._source.leave(self)
        self.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.ready is not None:
            self.ready.set()

    def _drop(self, event: Event) -> None:
        self._dropped += event.dropped
        if event.kind == "data":
            self._dropped += len(event.data) if isinstance(event.data, list) else 1
        elif event.kind == "gap":
            self._lost_gaps += event.breaks
