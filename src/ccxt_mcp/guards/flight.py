"""Flight: one owned task that any number of callers wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from ccxt_mcp.errors import Code, Failure

T = TypeVar("T")


class Flight(Generic[T]):
    """Shared work: it outlives any of its callers, and is cancelled when the last of them is.

    Args:
        work: what to do, started at once as a task in the context of the first caller.
        landed: called with the flight when its task has ended, however it ended.
    """

    def __init__(self, work: Coroutine[Any, Any, T], landed: Callable[[Self], None]) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self._landed = landed
        self._abandoned = False
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._land)

    @property
    def joinable(self) -> bool:
        """Whether another caller may still join: neither ended nor being cancelled."""
        return not self._abandoned and not self._task.done()

    async def join(self) -> T:
        """Wait for the work and return its result.

        Raises:
            Failure: the work's own, as a new object for each caller; NETWORK when the work was cancelled by
                somebody else than its callers, such as by the end of the server.
        """
        if not self._task.done():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
                if not self._waiters:
                    self._abandon()
        return self._result()

    async def cancel(self) -> None:
        """Cancel the work and wait until it has ended."""
        self._abandon()
        await asyncio.wait([self._task])

    def _abandon(self) -> None:
        if not self._task.done():
            self._abandoned = True
            self._task.cancel()

    def _land(self, task: asyncio.Task[T]) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if not task.cancelled():
            task.exception()  # marks it as seen: with every caller gone, nobody else looks at it
        self._landed(self)

    def _result(self) -> T:
        if self._task.cancelled():
            raise Failure(Code.NETWORK, "The request was dropped before it was answered.")
        error = self._task.exception()
        if isinstance(error, Failure):
            raise _twin(error)
        return self._task.result()


def _twin(failure: Failure) -> Failure:
    """Return an equal failure, because one object raised in many tasks would gather all their tracebacks."""
    twin = Failure(
        failure.code,
        failure.message,
        hint=failure.hint,
        retry_after=failure.retry_after,
        details=failure.details,
    )
    twin.__cause__ = failure.__cause__
    return twin.with_traceback(failure.__traceback__)
