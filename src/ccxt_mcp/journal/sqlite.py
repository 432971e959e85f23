"""SQLite: a journal in a file, on disk after every commit.

Its driver is that of the standard library, in threads: a transaction is one trip to a thread and back. An asynchronous
driver makes such a trip for every call, four for a statement, which took longer than all the rest.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from sqlite3 import Connection as Driver
from sqlite3 import OperationalError
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event

T = TypeVar("T")

_READERS = 4  # threads besides the one that writes
_BETWEEN_TRIES = 0.01  # seconds
_WRITES = "ccxt_mcp_writes"  # the execution option of a transaction that takes the one writing place at its beginning


class Sqlite:
    """Transactions on a file.

    Args:
        path: the file.
        wait: seconds to wait for other writers.
    """

    def __init__(self, path: Path, *, wait: float) -> None:
        self._path = path
        self._wait = wait
        # SQLite lets one write at a time, and its waiting is no queue; within this process there is one.
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(_READERS + 1, thread_name_prefix="journal")
        self._engine = _engine(path, wait)

    async def prepare(self) -> None:
        """Make folder and file, for nobody but their owner; what is there already is left as it is.

        Raises:
            OSError: they cannot be made.
        """
        await self._in_thread(self._make)

    async def transact(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Do the work in one transaction, in a thread.

        Raises:
            TimeoutError: other writers of this process took too long.
        """
        if not writes:
            return await self._in_thread(self._whole, work, False)
        async with self._writing():
            return await self._in_thread(self._whole, work, True)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Callable[..., Awaitable[Any]]]:
        """A transaction that writes and is open while its context is.

        Raises:
            TimeoutError: other writers of this process took too long.
        """
        async with self._writing():
            connection = await self._in_thread(self._begun)
            try:
                yield partial(self._on, connection)
                await self._in_thread(connection.commit)
            finally:
                await self._in_thread(connection.close)

    async def dispose(self) -> None:
        """Close all connections and end the threads."""
        await self._in_thread(self._engine.dispose)
        self._threads.shutdown(wait=False)

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[None]:
        async with asyncio.timeout(self._wait):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def _on(self, connection: Connection, work: Callable[..., T], *arguments: Any) -> T:
        return await self._in_thread(work, connection, *arguments)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))

    def _make(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))

    def _whole(self, work: Callable[[Connection], T], writes: bool) -> T:
        with self._engine.connect() as connection, connection.execution_options(**{_WRITES: writes}).begin():
            return work(connection)

    def _begun(self) -> Connection:
        connection = self._engine.connect()
        try:
            connection.execution_options(**{_WRITES: True}).begin()
        except BaseException:
            connection.close()
            raise
        return connection


def _engine(path: Path, wait: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=_READERS + 2,  # besides one for each thread, one for a transaction that is between two trips
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": wait, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(driver: Driver, _: object) -> None:
        # Text that is no UTF-8 can only come from tampering, and must not keep the rest from being read.
        driver.text_factory = _lenient
        _log_ahead(driver, wait)
        for pragma in ("synchronous=FULL", "fullfsync=ON", "foreign_keys=ON"):
            driver.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _log_ahead(driver: Driver, wait: float) -> None:
    """Switch a file to the write-ahead log; SQLite does not wait by itself for others who do the same to a new one."""
    gives_up = time.monotonic() + wait
    while True:
        try:
            driver.execute("PRAGMA journal_mode=WAL")
        except OperationalError:
            if time.monotonic() >= gives_up:
                raise
            time.sleep(_BETWEEN_TRIES)
        else:
            return


def _lenient(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
