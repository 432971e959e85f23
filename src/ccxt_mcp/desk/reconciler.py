"""Reconciler: finds out what became of writes whose answer was lost. It asks, and never sends anything again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from ccxt_mcp.desk.lookup import Found, Lookup, Wanted
from ccxt_mcp.desk.prices import decimal_of
from ccxt_mcp.errors import Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal import Intent
from ccxt_mcp.orders.client_ids import takes_client_id

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal

log = structlog.get_logger(__name__)

_FIRST_LOOK = 0.25  # seconds after the answer was lost
_MOST_PAUSE = 60.0
_LOOK_AGAIN = 1.5  # seconds after a look that counts; what is read of an account is kept for one, and is new then
_CLOCKS_APART_MS = 60_000  # by which an exchange's clock may differ from ours
_LEASE = 30.0  # seconds for which one process has an intent to itself
_CHANGES = {
    "amount": "amount",
    "price": "price",
    "triggerPrice": "triggerPrice",
    "takeProfit": "takeProfitPrice",
    "stopLoss": "stopLossPrice",
}
"""What a modification may change, and where ccxt's order tells it."""
_LOOKS_BEFORE_GONE = 2


@dataclass(slots=True)
class _Search:
    """What is known so far of one intent: how often it was looked for in vain once it could no longer appear."""

    looks: int = 0
    absent: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Reconciler:
    """Resolves intents whose outcome is unknown, by client order id, in every process but one at a time.

    An order that is seen is adopted. One that is not seen counts as never placed only when open and ended orders were
    both told, twice, after the time in which the exchange could still have executed it.

    Args:
        gateway: the way to the exchanges.
        journal: opens the journal.
        appears_within: seconds after sending in which an order may still come to be.
        now_ms: milliseconds since the epoch.
    """

    def __init__(
        self,
        gateway: Gateway,
        journal: Callable[[], Awaitable[Journal]],
        *,
        appears_within: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._gateway = gateway
        self._lookup = Lookup(gateway)
        self._journal = journal
        self._appears_within = appears_within
        self._now_ms = now_ms
        self._searches: dict[int, _Search] = {}

    async def resume(self) -> None:
        """Take up everything that an earlier or another process left unresolved."""
        journal = await self._journal()
        for intent in await journal.unresolved():
            self.watch(intent)

    def watch(self, intent: Intent) -> None:
        """Look for an intent's outcome in the background until it is known."""
        search = self._searches.setdefault(intent.id, _Search())
        if search.task is None or search.task.done():
            # In a context of its own: the deadline of the call that lost the answer is not that of the search.
            name = f"reconcile {intent.client_order_id}"
            search.task = asyncio.create_task(self._pursue(intent), name=name, context=Context())

    async def resolved_within(self, intent: Intent, seconds: float) -> Intent:
        """Return the intent as soon as its outcome is known, or as it is after some seconds; goes on in the background.

        Args:
            intent: one whose outcome is unknown.
            seconds: how long the caller waits.
        """
        self.watch(intent)
        task = self._searches[intent.id].task
        if task is not None:
            await asyncio.wait([task], timeout=max(0.0, seconds))
        with suppress(Failure):  # a journal that cannot be read says nothing against what was sent
            return await (await self._journal()).get_id(intent.id) or intent
        return intent

    async def close(self) -> None:
        """Stop looking; what is unresolved stays so in the journal, for the next process."""
        tasks = [search.task for search in self._searches.values() if search.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._searches.clear()

    async def _pursue(self, intent: Intent) -> None:
        pause = _FIRST_LOOK
        while True:
            await asyncio.sleep(pause)
            try:
                if await self.look(intent):
                    break
            except Failure as failure:
                log.info("not reconciled yet", client_order_id=intent.client_order_id, reason=failure.code.value.reason)
            except Exception:
                log.exception("a look at an unresolved order crashed", client_order_id=intent.client_order_id)
            pause = self._next_pause(intent, pause)
        self._searches.pop(intent.id, None)

    def _next_pause(self, intent: Intent, last: float) -> float:
        """Return the seconds until the next look: longer and longer, but no longer than until a look that counts."""
        pause = min(_MOST_PAUSE, last * 2)
        left = (self._over_ms(intent) - self._now_ms()) / 1000
        if left > 0:
            return min(pause, left + _LOOK_AGAIN)
        search = self._searches.get(intent.id)
        return _LOOK_AGAIN if search is not None and search.absent else pause

    async def look(self, intent: Intent) -> bool:
        """Look once for what became of an intent, and journal it; return whether it is known now.

        Raises:
            Failure: the journal or the account could not be asked.
        """
        journal = await self._journal()
        present = await journal.claim(intent.id, for_seconds=_LEASE)
        if present is None:
            recorded = await journal.get_id(intent.id)
            return recorded is None or recorded.state in {"accepted", "rejected"}
        match present.kind:
            case "create":
                return await self._create(journal, present)
            case "leverage":
                return await self._gone(journal, present, "a setting of leverage is not traced")
            case "cancel_all":
                return await self._cancel_all(journal, present)
            case _:
                return await self._change(journal, present)

    async def _create(self, journal: Journal, intent: Intent) -> bool:
        found = await self._lookup.find(await self._wanted(journal, intent))
        if found.order is not None:
            await journal.resolve(intent.id, "accepted", order=found.order, how=f"seen by {found.route}")
            return True
        return await self._absent(journal, intent, found)

    async def _change(self, journal: Journal, intent: Intent) -> bool:
        """Compare the order with what a cancel or a modification wanted of it."""
        found = await self._lookup.find(await self._wanted(journal, intent))
        order = found.order
        if order is None:
            return await self._absent(journal, intent, found)
        ended = order.get("status") in {"canceled", "closed", "expired", "rejected"}
        done = ended if intent.kind == "cancel" else _is_changed(order, intent.request)
        if done:
            await journal.resolve(intent.id, "accepted", order=order, how=f"seen by {found.route}")
            return True
        if not self._over(intent):
            return False
        return await self._gone(journal, intent, "the order is as it was")

    async def _cancel_all(self, journal: Journal, intent: Intent) -> bool:
        """Compare the open orders with those that were to be cancelled; with all, where they could not be listed."""
        answer = await self._lookup.open_orders(intent.exchange, intent.account, intent.request.get("symbol"))
        if answer.failure is not None:
            raise answer.failure
        wanted = set(intent.request.get("orders") or ())
        left = [order["id"] for order in answer.data if not wanted or order["id"] in wanted]
        if not left:
            await journal.resolve(intent.id, "accepted", order={"stillOpen": 0}, how="none of them is open")
            return True
        if not self._over(intent):
            return False
        error = {"reason": "still_open", "message": f"{len(left)} of the orders are still open."}
        await journal.resolve(intent.id, "rejected", error=error, how=error["message"])
        return True

    async def _absent(self, journal: Journal, intent: Intent, found: Found) -> bool:
        search = self._searches.setdefault(intent.id, _Search())
        search.looks += 1
        if not found.certain or not self._over(intent):
            return False
        search.absent += 1
        if search.absent < _LOOKS_BEFORE_GONE:
            return False
        return await self._gone(journal, intent, "seen neither among open nor among ended orders")

    async def _gone(self, journal: Journal, intent: Intent, why: str) -> bool:
        error = {"reason": "not_placed", "message": f"It never came to be: {why}."}
        await journal.resolve(intent.id, "rejected", error=error, how=why)
        return True

    def _over(self, intent: Intent) -> bool:
        """Whether the time is over in which the exchange could still have executed the request."""
        return self._now_ms() >= self._over_ms(intent)

    def _over_ms(self, intent: Intent) -> float:
        return intent.created_ms + (self._gateway.settings.deadline + self._appears_within) * 1000

    async def _wanted(self, journal: Journal, intent: Intent) -> Wanted:
        request = intent.request
        venue = await self._gateway.account_venue(intent.exchange, intent.account)
        traceable = intent.kind != "create" or venue.brokered("createOrder") or takes_client_id(venue.dialect)
        return Wanted(
            exchange=intent.exchange,
            account=intent.account,
            symbol=request.get("symbol"),
            order_id=request.get("orderId"),
            client_id=intent.sent_id if intent.kind == "create" else None,
            since=intent.created_ms - _CLOCKS_APART_MS,
            like=None if traceable else request,
            not_these=frozenset() if traceable else await journal.order_ids(intent.exchange, intent.account),
            waits=None if intent.kind != "create" else bool(request.keys() & {"triggerPrice", "trailing"}),
        )


def _is_changed(order: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an order has all that a modification gave it, as far as the exchange tells of it."""
    pairs = [(decimal_of(request.get(name)), decimal_of(order.get(told))) for name, told in _CHANGES.items()]
    known = [(wanted, has) for wanted, has in pairs if wanted is not None and has is not None]
    return bool(known) and all(wanted == has for wanted, has in known)
