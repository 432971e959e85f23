"""Stream: what is known of one channel now, and those who read it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import VenueKey
from ccxt_mcp.guards.cache import Served
from ccxt_mcp.kept import Kept
from ccxt_mcp.streams.channels import CHANNELS, Channel
from ccxt_mcp.streams.events import Event, Kind, Origin, Subscription
from ccxt_mcp.streams.ledgers import Ledger, ledger_of

State = Literal["opening", "live", "broken", "stale", "failed", "closed"]

_FRESH = 5.0  # seconds in which the newest ticker or book of a stream is as good as an answer to a request


@dataclass(frozen=True, slots=True)
class StreamKey:
    """What makes two readers share a stream.

    Attributes:
        venue: which exchange, environment and account.
        channel: what it tells of.
        symbol: the market; None for all of an account's.
        timeframe: of candles.
    """

    venue: VenueKey
    channel: Channel
    symbol: str | None = None
    timeframe: str | None = None


@dataclass(slots=True)
class Counters:
    """What happened in a stream since it began.

    Attributes:
        updates: events with data.
        breaks: gaps that were told.
        stale: how often nothing came for too long.
        dropped: rows that were lost before they came here.
        filled: rows that the exchange had left out, and a request brought.
    """

    updates: int = 0
    breaks: int = 0
    stale: int = 0
    dropped: int = 0
    filled: int = 0


class Stream:
    """One channel of one market or account, told to any number of readers.

    Args:
        key: what it is.
        clock: monotonic seconds.
        now_ms: milliseconds since the epoch.
        left: told when the last reader has gone.
        troubled: told when something may be missing although the connection stands.
    """

    def __init__(
        self,
        key: StreamKey,
        *,
        left: Callable[[Stream], None],
        now_ms: Callable[[], int],
        troubled: Callable[[Stream], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key = key
        self.row = CHANNELS[key.channel]
        self.origin: Origin = "stream"
        self.note: str | None = None
        self.state: State = "opening"
        self.failure: Failure | None = None
        self.counters = Counters()
        self.ledger: Ledger = ledger_of(key.channel)
        self.last_at: float | None = None
        self.complete: Callable[[Any], Any] | None = None
        self.depth: int | None = None
        self._left = left
        self._troubled = troubled
        self._clock = clock
        self.now_ms = now_ms
        self._readers: dict[Subscription, None] = {}
        self._newcomers: set[Subscription] = set()
        self._seq = 0
        self._gen = 0
        self._last: Event | None = None
        self._kept: tuple[int, Kept] | None = None

    # -- readers -----------------------------------------------------------------------------------------------------

    @property
    def readers(self) -> int:
        """How many read it."""
        return len(self._readers)

    def join(self) -> Subscription:
        """Return a new reader's subscription; it begins with the state of things, once that is known."""
        reader = Subscription(self, conflates=self.row.conflates)
        self._readers[reader] = None
        if self.state == "live":
            self._introduce(reader)
        elif self.state == "failed":
            reader.put(Event("error", self._seq, self._gen, self.now_ms(), failure=self.failure))
            reader.end()
        else:
            self._newcomers.add(reader)
        return reader

    def leave(self, subscription: Subscription) -> None:
        """Take a reader off the list."""
        self._newcomers.discard(subscription)
        if self._readers.pop(subscription, self) is None and not self._readers:
            self._left(self)

    # -- what happens --------------------------------------------------------------------------------------------------

    def data(self, data: Any, origin: Origin, *, complete: bool | None = None) -> None:
        """Tell what came; after a break it is the first of a new generation."""
        if self.state != "live":
            self._gen += 1
            self.state = "live"
            self.failure = None
        if self.complete is not None:
            data = self.complete(data)
        self.last_at = self._clock()
        self.counters.updates += 1
        newcomers, self._newcomers = self._newcomers, set[Subscription]()
        whole = None if not newcomers or self.row.conflates else self.ledger.so_far()
        self._seq += 1
        event = self._last = Event("data", self._seq, self._gen, self.now_ms(), data, origin, complete=complete)
        first = event if whole is None else replace(event, data=whole)
        for reader in self._readers:
            reader.put(first if newcomers and reader in newcomers else event)

    def up(self, origin: Origin) -> None:
        """Note that it works, and that a request brought nothing new; of a state, this is told after a break."""
        if self.state == "broken" and self.row.conflates and (known := self.ledger.so_far()) is not None:
            self.data(known, origin, complete=True)
            return
        self._gen = max(1, self._gen + (self.state == "broken"))
        self.state = "live"
        self.failure = None
        self._seq += bool(self._newcomers)
        while self._newcomers:
            self._introduce(self._newcomers.pop())

    def broke(self, failure: Failure) -> None:
        """Tell of a break, once until data comes again."""
        self.failure = failure
        if self.state in ("live", "stale"):
            self.counters.breaks += 1
            self._tell("gap", failure=failure, breaks=1)
            if failure.code is Code.BAD_REPLY:
                self._troubled(self)
        self.state = "broken" if self._gen else "opening"

    def missed(self, rows: int, failure: Failure | None = None) -> None:
        """Tell that something is missing although nothing broke; 0 rows for an unknown number."""
        self.counters.dropped += rows
        self.counters.breaks += 1
        self._tell("gap", failure=failure, dropped=rows, breaks=1)
        self._gen += 1

    def silent(self) -> None:
        """Tell that nothing came for too long."""
        self.counters.stale += 1
        self.state = "stale"
        self._tell("stale")
        self._troubled(self)

    def failed(self, failure: Failure) -> None:
        """Tell that it is over, and let all readers come to an end."""
        self.failure = failure
        self.state = "failed"
        self._tell("error", failure=failure)
        self._end()

    def close(self) -> None:
        """Let all readers come to an end, because the server does."""
        if self.state != "failed":
            self.state = "closed"
        self._end()

    # -- answers -----------------------------------------------------------------------------------------------------

    @property
    def fresh(self) -> bool:
        """Whether the newest data was sent by the exchange just now, so that a request could bring nothing newer."""
        return (
            self.state == "live"
            and self.origin == "stream"
            and self.last_at is not None
            and self._clock() - self.last_at <= _FRESH
        )

    @property
    def age(self) -> float | None:
        """Seconds since data came last; None before any."""
        return None if self.last_at is None else self._clock() - self.last_at

    def newest(self) -> Any:
        """Return the newest data, None before any."""
        return None if self._last is None else self._last.data

    def served(self) -> Served[Any] | None:
        """Return the newest data as an answer to a request, while it is fresh."""
        if not self.fresh or self._last is None or self.last_at is None:
            return None
        if self._kept is None or self._kept[0] != self._last.seq:
            self._kept = self._last.seq, Kept(self._last.data, no_charge)
        age = self._clock() - self.last_at
        return Served(self._last.data, cached=True, age=age, stale=False, kept=self._kept[1])

    def _tell(self, kind: Kind, **facts: Any) -> None:
        self._seq += 1
        event = Event(kind, self._seq, self._gen, self.now_ms(), **facts)
        for reader in self._readers:
            reader.put(event)

    def _introduce(self, reader: Subscription) -> None:
        """Tell a reader what is known, where the channel has such a thing."""
        known, last = self.ledger.so_far(), self._last
        if known is not None and last is not None:
            known = last.data if self.row.conflates else known
            reader.put(Event("data", self._seq, self._gen, last.at_ms, known, last.origin))

    def _end(self) -> None:
        for reader in list(self._readers):
            reader.end()
        self._readers.clear()
        self._newcomers.clear()


def no_charge(_: Any) -> None:
    """Take no note: what is made of one update goes with the next."""
