"""Opener: opens the journal when it is first needed, once, and closes it at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal
    from ccxt_mcp.journal.paper import Ledger
    from ccxt_mcp.settings import Settings

FILE = "journal.sqlite3"


class Opener:
    """Gives the one journal of the process; calling it opens it.

    Args:
        settings: where the journal is kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.journal_url or str(settings.data_dir / FILE)
        self._is_there = bool(settings.journal_url) or (settings.data_dir / FILE).exists()
        self._journal: Journal | None = None

    @property
    def is_there(self) -> bool:
        """Whether a journal may already hold something."""
        return self._is_there

    async def __call__(self) -> Journal:
        """Return the journal.

        Raises:
            Failure: INVALID_ARGUMENT when its address makes no sense, or its driver is not installed.
        """
        if self._journal is None:
            from ccxt_mcp.journal.journal import Journal  # noqa: PLC0415 - a quarter of a second that reading saves

            self._journal = Journal(self._url)
            self._is_there = True
        return self._journal

    async def close(self) -> None:
        """Close it if it was opened."""
        if self._journal is not None:
            journal, self._journal = self._journal, None
            await journal.close()


class LatePaper:
    """The journal's store of paper accounts, for those who are made before the journal is opened.

    Args:
        journal: opens the journal.
    """

    def __init__(self, journal: Opener) -> None:
        self._journal = journal

    @asynccontextmanager
    async def open(self, exchange: str, account: str) -> AsyncGenerator[Ledger]:
        """Open an account for oneself; see `PaperRecords.open`."""
        async with (await self._journal()).paper.open(exchange, account) as ledger:
            yield ledger

    async def orders(self, exchange: str, account: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return orders that have ended; see `PaperRecords.orders`."""
        return await (await self._journal()).paper.orders(exchange, account, **wanted)

    async def trades(self, exchange: str, account: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return trades; see `PaperRecords.trades`."""
        return await (await self._journal()).paper.trades(exchange, account, **wanted)

    async def accounts(self) -> list[tuple[str, str]]:
        """Return exchange and account of each that has a state."""
        return await (await self._journal()).paper.accounts()

    async def reset(self, exchange: str | None, account: str | None) -> int:
        """Forget accounts; see `PaperRecords.reset`."""
        return await (await self._journal()).paper.reset(exchange, account)
