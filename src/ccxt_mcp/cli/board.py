"""The board: what the streams of one market have told so far, for a person who looks at it or reads along."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from ccxt_mcp.analytics.decimals import bps, positive
from ccxt_mcp.errors import Failure
from ccxt_mcp.streams import Channel, Event, Subscription
from ccxt_mcp.streams.stream import Stream

_TRADES = 200
_PRICES = 240
_PACE = 5.0  # seconds over which updates are counted


class Told(NamedTuple):
    """One thing that a stream told: an event, or a note on how it is doing.

    Attributes:
        at_ms: when, in milliseconds since the epoch.
        kind: the event's kind, or note.
        channel: which stream.
        data: what came.
        text: what a person should know; of data nothing.
    """

    at_ms: int
    kind: Literal["data", "gap", "stale", "error", "note"]
    channel: Channel
    data: Any = None
    text: str = ""


class Board:
    """What is known of one market now.

    Args:
        sources: its streams, each with a subscription that nobody else reads.
        present: returns the ticker with the best bid and ask of this moment, where those are known: a ticker's stream
            may tell them late, or not at all.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Stream, Subscription]],
        *,
        present: Callable[[], dict[str, Any] | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.streams = [stream for stream, _ in sources]
        self.ticker: dict[str, Any] = {}
        self.book: dict[str, Any] = {}
        self.trades: list[dict[str, Any] | None] = []
        """The newest trades, the last one first; None where some may be missing."""
        self.prices: deque[float] = deque(maxlen=_PRICES)
        """The last prices, each another one than before."""
        self.gaps = 0
        self.dropped = 0
        self.trouble: Told | None = None
        self.failure: Failure | None = None
        self._sources = sources
        self._present = present
        self._clock = clock
        self._touch: tuple[float | None, float | None] = (None, None)
        self._counted: deque[tuple[float, int]] = deque()
        self._noted: dict[Channel, str] = {}
        self._failed: dict[Channel, Failure] = {}

    def read(self) -> list[Told]:
        """Take what the streams have told since the last time, and return it."""
        told = [item for stream, reader in self._sources for item in self._read(stream, reader)]
        tickers = (item.data for item in reversed(told) if item.kind == "data" and item.channel is Channel.TICKER)
        if (ticker := self._present() or next(tickers, None)) is not None:
            self._touch = ticker.get("bid"), ticker.get("ask")
        self.trouble = next((item for item in reversed(told) if item.kind not in ("data", "note")), self.trouble)
        now = self._clock()
        self._counted.append((now, sum(stream.counters.updates for stream in self.streams)))
        while len(self._counted) > 1 and now - self._counted[1][0] >= _PACE:
            self._counted.popleft()
        return told

    # -- what a person asks ------------------------------------------------------------------------------------------

    def shows(self, channel: Channel) -> bool:
        """Whether this is one of the streams."""
        return any(stream.key.channel is channel for stream in self.streams)

    @property
    def last(self) -> float | None:
        """The last price; None before any."""
        return self.prices[-1] if self.prices else None

    @property
    def touch(self) -> tuple[float | None, float | None]:
        """The best bid and ask: those of the order book, where there is one."""
        if self.book:
            bids, asks = self.book["bids"], self.book["asks"]
            return bids[0][0] if bids else None, asks[0][0] if asks else None
        return self._touch

    @property
    def spread_bps(self) -> float | None:
        """The spread in basis points of the middle; None where a side is missing."""
        bid, ask = map(positive, self.touch)
        return None if bid is None or ask is None else bps(ask - bid, (bid + ask) / 2)

    @property
    def age(self) -> float | None:
        """Seconds since the newest data came; None before any."""
        return min((stream.age for stream in self.streams if stream.age is not None), default=None)

    @property
    def rate(self) -> float | None:
        """Updates per second of the last seconds; None before they can be counted."""
        if not self._counted:
            return None
        (since, before), (now, after) = self._counted[0], self._counted[-1]
        return (after - before) / (now - since) if now - since >= 1 else None

    @property
    def states(self) -> dict[str, list[str]]:
        """How the streams are doing, in words, each with the channels of which it is true."""
        states: dict[str, list[str]] = {}
        for stream in self.streams:
            states.setdefault(_word(stream), []).append(str(stream.key.channel))
        return states

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, stream: Stream, reader: Subscription) -> Iterator[Told]:
        channel = stream.key.channel
        if stream.note is not None and channel not in self._noted:
            self._noted[channel] = stream.note
            yield Told(stream.now_ms(), "note", channel, text=stream.note)
        while (event := reader.take()) is not None:
            yield self._take(channel, event)
        failure = stream.failure
        if failure is None:
            self._failed.pop(channel, None)
        elif (known := self._failed.get(channel)) is None or known.message != failure.message:
            self._failed[channel] = failure  # one that no event told: it is not up yet, or fails again in another way
            yield Told(stream.now_ms(), "note", channel, text=failure.message)

    def _take(self, channel: Channel, event: Event) -> Told:
        if event.kind == "data":
            self._keep(channel, event.data)
            return Told(event.at_ms, "data", channel, event.data)
        if event.failure is not None:
            self._failed[channel] = event.failure
        if event.kind == "error":
            self.failure = event.failure
        if event.kind == "gap":
            self.gaps += max(1, event.breaks)
            self.dropped += event.dropped
            if channel is Channel.TRADES:
                self.trades.insert(0, None)
        return Told(event.at_ms, event.kind, channel, text=_text(event))

    def _keep(self, channel: Channel, data: Any) -> None:
        match channel:
            case Channel.TICKER:
                self.ticker = data
                last = data.get("last") or data.get("close")
                if last is not None and last != self.last:
                    self.prices.append(last)
            case Channel.BOOK:
                self.book = data
            case Channel.TRADES:
                for row in data:
                    self._insert(row)
                del self.trades[_TRADES:]
            case _:
                pass

    def _insert(self, trade: dict[str, Any]) -> None:
        """Put a trade before the older ones; one that a request brought late belongs after the gap that hid it."""
        at, moment = 0, trade.get("timestamp") or inf
        while at < len(self.trades) and (newer := self.trades[at]) and (newer.get("timestamp") or 0) > moment:
            at += 1
        self.trades.insert(at, trade)


def _word(stream: Stream) -> str:
    if stream.state == "opening":
        return "waiting"
    if stream.state == "live" and stream.note is not None:
        return stream.note.partition(":")[0]
    return stream.state


def _text(event: Event) -> str:
    if event.kind == "stale":
        return "nothing came for too long."
    told = [] if event.failure is None else [event.failure.message]
    if event.dropped:
        told.append(f"{event.dropped} lost.")
    return " ".join(told) or "some may be missing."
