"""What paper trading asks of a store: one document per account, and archives of what has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class PaperLedger(Protocol):
    """An account while it is open; nobody else has it open meanwhile."""

    @property
    def state(self) -> dict[str, Any] | None:
        """The account's document in JSON's types; None for a new account."""
        ...

    def save(
        self,
        state: dict[str, Any],
        *,
        orders: Sequence[Mapping[str, Any]] = (),
        trades: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Have something written when the context ends well.

        Args:
            state: the account's new document.
            orders: orders that have ended, with at least id, clientOrderId, symbol and timestamp.
            trades: new fills, with at least id, order, symbol and timestamp.
        """
        ...


class PaperStore(Protocol):
    """Keeps paper accounts across restarts and processes."""

    def open(self, exchange: str, account: str) -> AbstractAsyncContextManager[PaperLedger]:
        """Open an account for oneself; nothing is written when the context raises. No network may be used inside."""
        ...

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
        """Return the newest `limit` archived orders that fit, oldest first."""
        ...

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
        """Return the newest `limit` archived fills that fit, oldest first."""
        ...

    async def accounts(self) -> list[tuple[str, str]]:
        """Return exchange and account of all that have a document."""
        ...

    async def reset(self, exchange: str | None, account: str | None) -> int:
        """Forget documents and archives, of all where None is given; returns how many accounts it were."""
        ...
