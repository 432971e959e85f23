"""PostgreSQL: a journal that several hosts share, through asyncpg."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.faults import reason_of, unavailable

T = TypeVar("T")

_CONNECTIONS = 8  # per process; more callers wait for each other
_RECYCLE = 1_800  # seconds after which a connection is not used again

# A commit is on disk when it returns, even where the server's default is otherwise; and nobody waits without end, be it
# for a lock or for a process that was stopped within a transaction.
_SESSION = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('lock_timeout', '{ms}', false);
SELECT set_config('idle_in_transaction_session_timeout', '{ms}', false);
SELECT set_config('application_name', 'ccxt-mcp', false) WHERE current_setting('application_name') = '';
"""


class Postgresql:
    """Transactions on a server.

    Args:
        dsn: its URL, as asyncpg and libpq understand it.
        wait: seconds to wait for a connection, a lock or an answer.

    Raises:
        Failure: JOURNAL_UNAVAILABLE when asyncpg is missing.
    """

    def __init__(self, dsn: str, *, wait: float) -> None:
        self._engine = _engine(dsn, wait)

    async def prepare(self) -> None:
        """The database is there, or it is for its operator to make."""

    async def transact(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Do the work in one transaction; one that reads and one that writes are the same here."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Callable[..., Awaitable[Any]]]:
        """A transaction that is open while its context is."""
        async with self._engine.begin() as connection:
            yield connection.run_sync

    async def dispose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _engine(dsn: str, wait: float) -> AsyncEngine:
    if importlib.util.find_spec("asyncpg") is None:
        raise Failure(
            Code.JOURNAL_UNAVAILABLE,
            "A journal in PostgreSQL needs asyncpg, which is not installed.",
            hint="A human installs it: pip install ccxt-mcp-server[postgres]",
        )
    import asyncpg  # noqa: PLC0415 - an extra that journals in files do without

    async def connect(*_: Any, **__: Any) -> Any:
        try:
            connection = await asyncpg.connect(dsn, timeout=ceil(wait), command_timeout=3 * wait)
            await connection.execute(_SESSION.format(ms=round(wait * 1000)))
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise unavailable(reason_of(error)) from error
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",  # each statement sees what was committed before it, under the locks it holds
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=wait,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE,
        hide_parameters=True,
    )
