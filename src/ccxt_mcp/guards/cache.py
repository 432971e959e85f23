"""Cache: answers kept for as long as they are fresh, one request for all who ask at once, and a bound on memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from ccxt_mcp.errors import Failure
from ccxt_mcp.guards.flight import Flight
from ccxt_mcp.kept import Kept

T = TypeVar("T")

_ENTRY_BYTES = 500  # of our own bookkeeping for each entry
_LARGEST_SHARE = 4  # one value may fill a quarter of the cache
_SAMPLE = 32  # elements of a long collection that are measured
_MEASURED = 2000  # objects that are measured of one value
_UNMEASURED_BYTES = 64  # assumed for each element beyond that


@dataclass(frozen=True, slots=True)
class Served(Generic[T]):
    """A value and how it was come by.

    Attributes:
        value: the value; shared by all callers, so that none may change it.
        cached: whether it was here already; not so for those who waited for its request.
        age: seconds since it arrived from the exchange.
        stale: whether it is past its time, and served because the exchange failed.
        kept: the value together with what callers make of it, while the cache has it.
    """

    value: T
    cached: bool
    age: float
    stale: bool
    kept: Kept | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since the start, and holds now.

    Attributes:
        hits: calls answered with a kept, fresh value.
        misses: calls that made a request.
        coalesced: calls that joined another one's request.
        stale_served: calls answered with a value past its time, because the request failed.
        evictions: values dropped before their time, for want of room.
        entries: values held.
        bytes: an estimate of what they take.
    """

    hits: int
    misses: int
    coalesced: int
    stale_served: int
    evictions: int
    entries: int
    bytes: int

    @property
    def hit_rate(self) -> float | None:
        """The share of calls that cost the exchange no request; None before the first call."""
        calls = self.hits + self.misses + self.coalesced
        return (self.hits + self.coalesced) / calls if calls else None


@dataclass(slots=True)
class _Tally:
    """The counters of one exchange."""

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    stale_served: int = 0
    evictions: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(slots=True, eq=False)
class _Entry:
    """A kept value; times on the cache's clock."""

    kept: Kept
    arrived: float
    fresh_until: float
    kept_until: float
    size: int

    def served(self, now: float) -> Served[Any]:
        return Served(self.kept.value, True, now - self.arrived, now >= self.fresh_until, self.kept)


class Cache:
    """Values by key; the first element of a key names the exchange that it is counted for.

    Args:
        max_bytes: the estimated size above which the least recently used values go.
        clock: seconds from any origin, monotonic.
    """

    def __init__(self, *, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        # Not cachetools: an entry needs its arrival and two ends of life besides its size, and outlives the first.
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self._flights: dict[Hashable, Flight[Served[Any]]] = {}
        self._aloft: set[Flight[Served[Any]]] = set()
        self._tallies: dict[Hashable, _Tally] = {}

    async def get_or_fetch(
        self, key: Hashable, fetch: Callable[[], Awaitable[T]], *, ttl: Callable[[T], float], stale_for: float = 0.0
    ) -> Served[T]:
        """Return the kept value while it is fresh, else the one that a single request for all callers brings.

        Args:
            key: the exchange and all else that decides the value.
            fetch: makes the request; cancelled only when every caller that waits for it is.
            ttl: seconds for which its result is fresh; 0 or less keeps it not at all.
            stale_for: seconds after that in which it may still serve, if a request fails that could be repeated.

        Raises:
            Failure: the request failed, and no value was kept that may serve instead.
        """
        if (hit := self.fresh(key)) is not None:
            return hit
        tally = self._tally(key)
        flight = self._flights.get(key)
        if flight is not None and flight.joinable:
            tally.coalesced += 1
        else:
            tally.misses += 1
            flight = self._depart(key, fetch, ttl, stale_for)
        try:
            return await flight.join()
        except Failure as failure:
            if not failure.code.retryable or (kept := self.peek(key)) is None:
                raise
            tally.stale_served += 1
            self._entries.move_to_end(key)
            return kept

    def fresh(self, key: Hashable) -> Served[Any] | None:
        """Return the kept value while it is fresh, as `get_or_fetch` does, and None when that had to ask."""
        entry, now = self._entries.get(key), self._clock()
        if entry is None or now >= entry.fresh_until:
            return None
        self._tally(key).hits += 1
        self._entries.move_to_end(key)
        return entry.served(now)

    def peek(self, key: Hashable) -> Served[Any] | None:
        """Return what is kept, fresh or stale, and change nothing."""
        entry, now = self._entries.get(key), self._clock()
        return entry.served(now) if entry is not None and now < entry.kept_until else None

    def stats(self, exchange: Hashable = None) -> CacheStats:
        """Return the counters of one exchange, or of all together."""
        tallies = self._tallies.values() if exchange is None else [self._tallies.get(exchange, _Tally())]
        return CacheStats(*(sum(getattr(tally, field.name) for tally in tallies) for field in fields(CacheStats)))

    async def close(self) -> None:
        """Cancel all requests and wait for their end."""
        await asyncio.gather(*(flight.cancel() for flight in self._aloft))

    def _depart(
        self, key: Hashable, fetch: Callable[[], Awaitable[T]], ttl: Callable[[T], float], stale_for: float
    ) -> Flight[Served[T]]:
        async def work() -> Served[T]:
            value = await fetch()
            arrived = self._clock()
            kept = self._keep(key, value, arrived, ttl(value), stale_for)
            return Served(value, cached=False, age=0.0, stale=False, kept=kept)

        def landed(flight: Flight[Served[T]]) -> None:
            self._aloft.discard(flight)
            if self._flights.get(key) is flight:
                del self._flights[key]

        flight = Flight(work(), landed)
        self._flights[key] = flight
        self._aloft.add(flight)
        return flight

    def _keep(self, key: Hashable, value: Any, arrived: float, ttl: float, stale_for: float) -> Kept | None:
        self._drop(key)
        if ttl <= 0:
            return None
        size = _ENTRY_BYTES + size_of(key) + size_of(value)
        if size * _LARGEST_SHARE > self._max_bytes:
            return None
        kept = Kept(value, charge=partial(self._charge, key))
        self._entries[key] = _Entry(kept, arrived, arrived + ttl, arrived + ttl + stale_for, size)
        self._count(key, 1, size)
        self._make_room(arrived)
        return kept

    def _charge(self, key: Hashable, made: Any) -> None:
        """Count what was made of a value; if that was replaced meanwhile, the one after it pays."""
        entry = self._entries.get(key)
        if entry is not None:
            more = size_of(made)
            entry.size += more
            self._count(key, 0, more)
            self._make_room(self._clock())

    def _make_room(self, now: float) -> None:
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            expired = oldest.kept_until <= now
            if not expired and self._bytes <= self._max_bytes:
                return
            self._drop(key)
            self._tally(key).evictions += not expired

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count(key, -1, -entry.size)

    def _count(self, key: Hashable, entries: int, size: int) -> None:
        tally = self._tally(key)
        tally.entries += entries
        tally.bytes += size
        self._bytes += size

    def _tally(self, key: Hashable) -> _Tally:
        return self._tallies.setdefault(key[0] if isinstance(key, tuple) and key else key, _Tally())


def size_of(value: Any, budget: int = _MEASURED) -> int:
    """Return an estimate of a value's bytes in memory, with a bounded number of objects looked at.

    Long collections are measured by an even sample of their elements. Dictionary keys count as shared, which they
    are among the rows of one reply; so a shared object counts as often as it is met, and strings in full.
    """
    size = sys.getsizeof(value)
    children = _children(value)
    if not children:
        return size
    looked_at = min(len(children), _SAMPLE, budget)
    if not looked_at:
        return size + len(children) * _UNMEASURED_BYTES
    share = budget // (looked_at + 1)
    step = len(children) // looked_at
    sample = islice(children, 0, looked_at * step, step)
    return size + sum(size_of(child, share) for child in sample) * len(children) // looked_at


def _children(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return ()
