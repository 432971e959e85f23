"""A Desk in this process: the write route without the protocol, with the journal on disk or without it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.flood import flood
from bench.orders import Order
from ccxt_mcp.desk.confirmation import Question, Verdict
from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.plan import Placement
from ccxt_mcp.journal import Counters, Intent, IntentState, Journal, NewIntent, Reserved
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.server import build_house
from ccxt_mcp.settings import load_settings

if TYPE_CHECKING:
    from ccxt_mcp.journal.reservation import Check


class Local:
    """A Desk on its own event loop.

    Args:
        environment: that of a server; see `configured`.
        in_memory: whether the journal is kept in memory, which no server does.
    """

    def __init__(self, environment: Mapping[str, str], *, in_memory: bool = False) -> None:
        self._runner = asyncio.Runner()
        self._house = build_house(load_settings(environment))
        self._desk = (
            Desk(self._house.gateway, MemoryJournal().opened, self._house.hub)
            if in_memory
            else self._house.trading.desk
        )

    def time(self, exchange: str, order: Order) -> float:
        """Return the seconds of one order."""

        async def timed() -> float:
            started = perf_counter()
            await self._place(exchange, order)
            return perf_counter() - started

        return self._runner.run(timed())

    def flood(self, exchange: str, orders: Sequence[Order], *, in_flight: int) -> float:
        """Return the seconds of many orders, so many of them at the same time."""
        return self._runner.run(flood([partial(self._place, exchange, order) for order in orders], in_flight))

    async def _place(self, exchange: str, order: Order) -> None:
        request = OrderRequest.read(**order.arguments)
        with self._house.gateway.one_deadline():
            await self._desk.place(Placement(exchange, None, request, "bench", "trade_create_order"), _Nobody())

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._house.close())
        self._runner.close()


class MemoryJournal(Journal):
    """What the Desk asks of a journal for an order, kept in memory: what remains is the Desk without its journal.

    Whatever else is asked for fails, for there is no database.
    """

    def __init__(self) -> None:
        super().__init__(os.devnull)
        self._intents: dict[int, Intent] = {}
        self._notional = Decimal(0)

    async def opened(self) -> Journal:
        """Return itself, as what opens a journal does."""
        return self

    async def reserve(
        self,
        new: NewIntent,
        *,
        check: Check,
        ticket: str | None = None,
        facts: Mapping[str, Any] | None = None,
        working_for: float = 60.0,
    ) -> Reserved:
        """Count and check an intent, and keep it."""
        check(Counters(notional_today=self._notional, orders_last_minute=len(self._intents)))
        self._notional += new.notional_usd or 0
        now = round(time.time() * 1000)
        intent = Intent(
            **{name: getattr(new, name) for name in NewIntent.__slots__},
            id=len(self._intents) + 1,
            order_id=None,
            state="open",
            order=None,
            error=None,
            created_ms=now,
            updated_ms=now,
            expires_ms=now + round(working_for * 1000),
            attempts=0,
            note=None,
            ticket=ticket,
        )
        self._intents[intent.id] = intent
        return Reserved(intent, is_new=True)

    async def settle(
        self,
        intent_id: int,
        state: IntentState,
        *,
        order: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Intent:
        """Return the intent as it was reserved."""
        return self._intents[intent_id]

    async def note(self, intent_id: int, *, order: Mapping[str, Any] | None = None, text: str | None = None) -> Intent:
        """Return the intent as it was reserved."""
        return self._intents[intent_id]


class _Nobody:
    """Nobody is asked: no order of the benchmark needs a human."""

    presented: str | None = None
    name = "nobody"

    async def ask(self, question: Question) -> Verdict:
        """Answer nothing."""
        return "unanswered"
