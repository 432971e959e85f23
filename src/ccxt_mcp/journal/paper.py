"""Paper records: the state of paper accounts, and their orders and trades that are over.

`PaperRecords` is the store that paper trading asks for; it knows nothing of what a state means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, Table, select

from ccxt_mcp.journal.audit import NewEntry, append
from ccxt_mcp.journal.database import Database
from ccxt_mcp.journal.document import read, written
from ccxt_mcp.journal.locks import lock, paper_lock
from ccxt_mcp.journal.marks import forget
from ccxt_mcp.journal.schema import paper_accounts, paper_orders, paper_trades


class Ledger:
    """A paper account while it is open: its state, and what will be written when it is closed well.

    Attributes:
        state: the state as it was last saved; None for a new account.
    """

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state
        self.orders: list[Mapping[str, Any]] = []
        self.trades: list[Mapping[str, Any]] = []
        self.saved: str | None = None

    def save(
        self,
        state: dict[str, Any],
        *,
        orders: Sequence[Mapping[str, Any]] = (),
        trades: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Have a state written, and what has ended added to the archives; of several states the last one counts.

        Args:
            state: JSON types only.
            orders: orders that have ended, with id, clientOrderId, symbol and timestamp.
            trades: new fills, with id, order, symbol and timestamp.
        """
        self.saved = written(state)
        self.state = state
        self.orders.extend(orders)
        self.trades.extend(trades)


class PaperRecords:
    """Keeps paper accounts in the journal's database.

    Args:
        database: where.
        clock: milliseconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def open(self, exchange: str, account: str) -> AsyncGenerator[Ledger]:
        """Open an account for oneself: nobody else on this database has it until the context ends.

        What was saved is written when the context ends well, and nothing when it raises or is cancelled. Nothing that
        takes time, and nothing else of the journal, may be awaited inside.

        Raises:
            Failure: JOURNAL_UNAVAILABLE, on the way in or out; nothing was written then.
        """
        ready: asyncio.Future[Ledger] = asyncio.get_running_loop().create_future()
        keep: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        held = self._database.start(self._hold(exchange, account, ready, keep))
        try:
            await asyncio.wait([ready, held], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                held.result()
            yield ready.result()
        except BaseException:
            keep.set_result(False)
            await asyncio.wait([held])
            raise
        keep.set_result(True)
        await asyncio.shield(held)

    async def orders(
        self,
        exchange: str,
        account: str,
        *,
        symbol: str | None = None,
        order_id: str | None = None,
        client_order_id: str | None = None,
        since: int | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return the newest orders that have ended and fit, the oldest of them first."""
        filters = {"symbol": symbol, "id": order_id, "client_order_id": client_order_id}
        return await self._archived(paper_orders, exchange, account, filters, since, limit)

    async def trades(
        self,
        exchange: str,
        account: str,
        *,
        symbol: str | None = None,
        order_id: str | None = None,
        since: int | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return the newest trades that fit, the oldest of them first."""
        return await self._archived(
            paper_trades, exchange, account, {"symbol": symbol, "order_id": order_id}, since, limit
        )

    async def accounts(self) -> list[tuple[str, str]]:
        """Return exchange and account of each that has a state."""
        return await self._database.run(self._database.read(_accounts))

    async def reset(self, exchange: str | None, account: str | None, *, by: str = "operator") -> int:
        """Forget accounts, their archives and what their day began with; returns how many there were.

        Args:
            exchange: only there; None for everywhere.
            account: only this name; None for every one.
            by: who wants it, for the audit.
        """
        now = self._clock()
        return await self._database.run(
            self._database.write(lambda connection: _reset(connection, exchange, account, by, now))
        )

    async def _hold(
        self, exchange: str, account: str, ready: asyncio.Future[Ledger], keep: asyncio.Future[bool]
    ) -> None:
        async with self._database.transaction() as run:
            ledger: Ledger = await run(_load, exchange, account)
            ready.set_result(ledger)
            if await keep and ledger.saved is not None:
                await run(_save, exchange, account, ledger, self._clock())

    async def _archived(
        self,
        table: Table,
        exchange: str,
        account: str,
        filters: Mapping[str, str | None],
        since: int | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        wanted = select(table.c.document).where(table.c.exchange == exchange, table.c.account == account)
        for name, value in filters.items():
            wanted = wanted if value is None else wanted.where(table.c[name] == value)
        wanted = wanted if since is None else wanted.where(table.c.time_ms >= since)
        wanted = wanted.order_by(table.c.time_ms.desc(), table.c.seq.desc()).limit(limit)
        texts = await self._database.run(self._database.read(lambda connection: list(connection.scalars(wanted))))
        return [read(text) for text in reversed(texts)]


def _accounts(connection: Connection) -> list[tuple[str, str]]:
    wanted = select(paper_accounts.c.exchange, paper_accounts.c.account)
    rows = connection.execute(wanted.order_by(paper_accounts.c.exchange, paper_accounts.c.account))
    return [(row.exchange, row.account) for row in rows]


def _load(connection: Connection, exchange: str, account: str) -> Ledger:
    lock(connection, paper_lock(exchange, account))
    text = connection.execute(
        select(paper_accounts.c.state).where(*_at(paper_accounts, exchange, account))
    ).scalar_one_or_none()
    return Ledger(None if text is None else read(text))


def _save(connection: Connection, exchange: str, account: str, ledger: Ledger, now: int) -> None:
    here = _at(paper_accounts, exchange, account)
    values = {"state": ledger.saved, "updated_ms": now}
    if connection.execute(paper_accounts.update().where(*here).values(values)).rowcount == 0:
        connection.execute(paper_accounts.insert().values(exchange=exchange, account=account, **values))
    _archive(connection, paper_orders, exchange, account, ledger.orders, {"client_order_id": "clientOrderId"})
    _archive(connection, paper_trades, exchange, account, ledger.trades, {"order_id": "order"})


def _archive(
    connection: Connection,
    table: Table,
    exchange: str,
    account: str,
    documents: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
) -> None:
    latest = {
        str(document["id"]): {
            "exchange": exchange,
            "account": account,
            "id": str(document["id"]),
            "symbol": document["symbol"],
            "time_ms": document["timestamp"],
            "document": written(document),
            **{column: document.get(name) for column, name in columns.items()},
        }
        for document in documents
    }
    if latest:
        same = (*_at(table, exchange, account), table.c.id.in_(latest))
        connection.execute(table.delete().where(*same))
        connection.execute(table.insert(), list(latest.values()))


def _reset(connection: Connection, exchange: str | None, account: str | None, by: str, now: int) -> int:
    found = [(on, name) for on, name in _accounts(connection) if exchange in (None, on) and account in (None, name)]
    for on, name in found:
        lock(connection, paper_lock(on, name))
        for table in (paper_accounts, paper_orders, paper_trades):
            connection.execute(table.delete().where(*_at(table, on, name)))
        forget(connection, on, name)
    for on, name in found:
        append(connection, NewEntry("paper_reset", who=by, exchange=on, account=name, mode="paper"), now)
    return len(found)


def _at(table: Table, exchange: str, account: str) -> tuple[Any, Any]:
    return table.c.exchange == exchange, table.c.account == account
