"""Database: transactions that end whole, whatever becomes of those who asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection

from ccxt_mcp.errors import Failure
from ccxt_mcp.journal.address import Address
from ccxt_mcp.journal.backend import Backend
from ccxt_mcp.journal.faults import explained, unavailable
from ccxt_mcp.journal.migrations import STEPS, migrate, version_of

T = TypeVar("T")


class Database:
    """Runs work in transactions, each in a task of its own, so that a cancelled caller leaves no half of one.

    It opens, makes and upgrades its tables when it is first used. It belongs to the event loop of that moment.

    Args:
        address: where it is.
        wait: seconds to wait for a lock or a connection before giving up.
    """

    def __init__(self, address: Address, *, wait: float) -> None:
        self.address = address
        self._wait = wait
        self._backend: Backend | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(
        self,
        work: Coroutine[Any, Any, T],
        *,
        unwanted: Callable[[T], Coroutine[Any, Any, object]] | None = None,
    ) -> T:
        """Run work to its end, even when the caller is cancelled meanwhile.

        Args:
            work: transactions.
            unwanted: what to do with a result that nobody is there to take any more.

        Raises:
            Failure: JOURNAL_UNAVAILABLE after `close`.
        """
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if unwanted is not None and not task.cancelled():
                self._own(_undo(task, unwanted))
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return the task in which the work runs; `close` waits for it.

        Raises:
            Failure: JOURNAL_UNAVAILABLE after `close`.
        """
        if self._closed:
            work.close()
            raise unavailable("is closed")
        return self._own(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction that is on disk when this returns; nothing is written when it raises.

        Raises:
            Failure: JOURNAL_UNAVAILABLE, or what the work raises.
        """
        with explained():
            return await (await self._opened()).transact(work, writes=True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do work that only reads, in one transaction.

        Raises:
            Failure: JOURNAL_UNAVAILABLE, or what the work raises.
        """
        with explained():
            return await (await self._opened()).transact(work, writes=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Callable[..., Awaitable[Any]]]:
        """A transaction that writes and is open while its context is; yields what runs pieces of work in it.

        It is entered and left within one task of this database.

        Raises:
            Failure: JOURNAL_UNAVAILABLE, or what the work raises.
        """
        with explained():
            async with (await self._opened()).transaction() as run:
                yield run

    async def close(self, last: Callable[[Connection], object] | None = None) -> None:
        """Let the transactions under way end, then let go of the database.

        Args:
            last: what to write after them, if that is still possible.
        """
        self._closed = True
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        if self._backend is not None:
            if last is not None:
                with suppress(Failure):
                    await self.write(last)
            await self._backend.dispose()
            self._backend = None

    async def _opened(self) -> Backend:
        if self._backend is None:
            async with self._opening:
                self._backend = self._backend or await self._open()
        return self._backend

    async def _open(self) -> Backend:
        backend = self.address.backend(wait=self._wait)
        try:
            await backend.prepare()
            if await backend.transact(version_of, writes=False) < len(STEPS):
                await backend.transact(migrate, writes=True)
        except BaseException:
            await backend.dispose()
            raise
        return backend

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller who is gone does not fetch it, and nobody else is to be alarmed


async def _undo(task: asyncio.Task[T], unwanted: Callable[[T], Coroutine[Any, Any, object]]) -> None:
    try:
        result = await task
    except Failure:
        return  # nothing was done that could be undone
    await unwanted(result)
