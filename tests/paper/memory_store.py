"""A store of paper accounts in memory: whole, serialised, and JSON only."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any


class Ledger:
    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state
        self.saved: dict[str, Any] | None = None
        self.orders: list[Mapping[str, Any]] = []
        self.trades: list[Mapping[str, Any]] = []

    def save(
        self,
        state: dict[str, Any],
        *,
        orders: Sequence[Mapping[str, Any]] = (),
        trades: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.saved = state
        self.orders.extend(orders)
        self.trades.extend(trades)


class MemoryStore:
    """Keeps texts, so that nothing but JSON survives; `busy` tells whether an account is open."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], str] = {}
        self.archive: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        self.busy = 0
        self.saves = 0
        self.failure: Exception | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def open(self, exchange: str, account: str) -> AsyncGenerator[Ledger]:
        async with self._lock:
            await asyncio.sleep(0)  # as a database would
            if self.failure is not None:
                raise self.failure
            text = self.states.get((exchange, account))
            ledger = Ledger(None if text is None else json.loads(text))
            self.busy += 1
            try:
                yield ledger
            finally:
                self.busy -= 1
            if ledger.saved is not None:
                await asyncio.sleep(0)
                self.saves += 1
                self.states[exchange, account] = json.dumps(ledger.saved)
                self.archive[exchange, account, "orders"] += map(json.dumps, ledger.orders)
                self.archive[exchange, account, "trades"] += map(json.dumps, ledger.trades)

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
        wanted = {"symbol": symbol, "id": order_id, "clientOrderId": client_order_id}
        return self._found(exchange, account, "orders", wanted, since, limit)

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
        return self._found(exchange, account, "trades", {"symbol": symbol, "order": order_id}, since, limit)

    async def accounts(self) -> list[tuple[str, str]]:
        return sorted(self.states)

    async def reset(self, exchange: str | None, account: str | None) -> int:
        del exchange, account
        count = len(self.states)
        self.states.clear()
        self.archive.clear()
        return count

    def _found(
        self, exchange: str, account: str, what: str, wanted: Mapping[str, str | None], since: int | None, limit: int
    ) -> list[dict[str, Any]]:
        rows = [json.loads(text) for text in self.archive[exchange, account, what]]
        fitting = [
            row
            for row in rows
            if row["timestamp"] >= (since or 0)
            and all(value is None or row[name] == value for name, value in wanted.items())
        ]
        return sorted(fitting, key=lambda row: row["timestamp"])[-limit:]
