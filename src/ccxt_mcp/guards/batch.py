"""Batcher: single requests that come at the same time become one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from ccxt_mcp.errors import Failure
from ccxt_mcp.guards.flight import Flight

K = TypeVar("K")
V = TypeVar("V")

# Passes of the event loop without a new key after which nobody else is expected. A message that is being handled
# keeps the loop turning, so that a busy server waits for the rest of a burst and an idle one for microseconds.
_QUIET_PASSES = 10


class _Batch(Generic[K, V]):
    """The keys that are gathered, and what the callers of each wait for."""

    def __init__(self) -> None:
        self.answers: Flight[Mapping[K, V]] | None = None
        self.callers: dict[K, Flight[V]] = {}


class Batcher(Generic[K, V]):
    """Gathers the keys that are asked for within moments, and asks for them together where that is worthwhile.

    Args:
        one: asks for a single key.
        many: asks for several; it may leave keys out, which are then asked for singly.
        worthwhile: whether `many` costs less than `one` for each of these keys.
        max_window: seconds for which a batch gathers at most; only a busy event loop ever makes it that long.
        max_keys: keys with which a batch is full.
        clock: seconds from any origin, monotonic.
    """

    def __init__(
        self,
        *,
        one: Callable[[K], Awaitable[V]],
        many: Callable[[tuple[K, ...]], Awaitable[Mapping[K, V]]],
        worthwhile: Callable[[tuple[K, ...]], Awaitable[bool]],
        max_window: float = 0.03,
        max_keys: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._one = one
        self._many = many
        self._worthwhile = worthwhile
        self._max_window = max_window
        self._max_keys = max_keys
        self._clock = clock
        self._gathering: _Batch[K, V] | None = None
        self._aloft: set[Flight[Any]] = set()

    async def get(self, key: K) -> V:
        """Return the value of a key, requested together with others or alone.

        Raises:
            Failure: the single request for it failed, after the common one where there was one.
        """
        batch = self._gathering
        if batch is None or batch.answers is None or not batch.answers.joinable:
            batch = self._gathering = _Batch()
            batch.answers = self._fly(self._gather(batch))
        caller = batch.callers.get(key)
        if caller is None or not caller.joinable:
            caller = batch.callers[key] = self._fly(self._answer(key, batch.answers))
            if len(batch.callers) >= self._max_keys:
                self._gathering = None
        return await caller.join()

    async def close(self) -> None:
        """Cancel all requests and wait for their end."""
        await asyncio.gather(*(flight.cancel() for flight in self._aloft))

    def _fly(self, work: Any) -> Flight[Any]:
        flight: Flight[Any] = Flight(work, self._aloft.discard)
        self._aloft.add(flight)
        return flight

    async def _answer(self, key: K, answers: Flight[Mapping[K, V]]) -> V:
        # Every earlier caller may have gone, and the batch with them, since this one was promised a place in it.
        together = await answers.join() if answers.joinable else {}
        return together[key] if key in together else await self._one(key)

    async def _gather(self, batch: _Batch[K, V]) -> Mapping[K, V]:
        """Return the values that one request for all gathered keys brings; none if it is not made or fails."""
        await self._quiet(batch)
        if self._gathering is batch:
            self._gathering = None
        keys = tuple(key for key, caller in batch.callers.items() if caller.joinable)
        try:
            return await self._many(keys) if len(keys) > 1 and await self._worthwhile(keys) else {}
        except Failure:
            return {}

    async def _quiet(self, batch: _Batch[K, V]) -> None:
        deadline = self._clock() + self._max_window
        gathered, quiet = len(batch.callers), 0
        while quiet < _QUIET_PASSES and self._gathering is batch and self._clock() < deadline:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(batch.callers) == gathered else 0
            gathered = len(batch.callers)
