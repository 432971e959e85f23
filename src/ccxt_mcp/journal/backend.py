"""Backend: what a journal needs of a kind of database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Backend(Protocol):
    """Runs work in transactions, without ever blocking the event loop."""

    async def prepare(self) -> None:
        """Make what must be there before the first connection.

        Raises:
            OSError: it cannot be made.
        """
        ...

    async def transact(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Do the work in one transaction, and return what it returns once that is committed.

        Args:
            work: SQL, and nothing that waits for anything else. It may run in another thread.
            writes: whether it changes anything.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Callable[..., Awaitable[Any]]]:
        """A transaction that writes and is open while its context is; yields what runs pieces of work in it."""
        ...

    async def dispose(self) -> None:
        """Close all connections."""
        ...
