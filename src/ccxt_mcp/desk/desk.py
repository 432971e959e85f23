"""Desk: the way of every order. Nothing is sent that is not in the journal, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import structlog

from ccxt_mcp.call import Call, Sent
from ccxt_mcp.desk.approvals import Approvals, Wish
from ccxt_mcp.desk.confirmation import Approver
from ccxt_mcp.desk.fills import Fills, expected_end
from ccxt_mcp.desk.lookup import Lookup, Wanted
from ccxt_mcp.desk.plan import Placement, Plan, Planner, create_call, number
from ccxt_mcp.desk.prices import Prices
from ccxt_mcp.desk.reconciler import Reconciler
from ccxt_mcp.desk.shown import shown_order
from ccxt_mcp.desk.standing import OpenOrders, Standing
from ccxt_mcp.envelope import Envelope, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal import Counters as Journalled
from ccxt_mcp.journal import Intent, IntentState, NewIntent
from ccxt_mcp.orders.limits import Counters, check_order
from ccxt_mcp.streams import Hub
from ccxt_mcp.text import clean_text

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal

log = structlog.get_logger(__name__)

_SHARE_FOR_FINDING_OUT = 0.9  # of the time that is left: the rest is for saying it


@dataclass(frozen=True, slots=True)
class Write:
    """One write, ready to be asked about, journalled and sent.

    Attributes:
        plan: the order as it would stand.
        intent: what the journal records before it is sent.
        call: what is sent.
        question: what a human must agree to first; None where nobody is asked.
        first: what is done once the write is journalled and before it is sent; returns what is sent instead of `call`.
        done_first: what is true once that is done, told where the write itself does not succeed.
    """

    plan: Plan
    intent: NewIntent
    call: Call
    question: str | None
    first: Callable[[], Awaitable[Call]] | None = None
    done_first: str = ""

    def half_done(self, failure: Failure) -> Failure:
        """Return why the write failed, with what was done before it."""
        if self.first is None:
            return failure
        return Failure(
            failure.code,
            f"{self.done_first} {failure.message}",
            hint=failure.hint,
            retry_after=failure.retry_after,
            details=failure.details,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was looked at before an order is reserved, since no network is asked inside of the journal."""

    open_orders: OpenOrders
    loss_today: Decimal | None


class Desk:
    """Places orders: worked out, checked, confirmed, journalled, sent once, and traced until the truth is known.

    Args:
        gateway: the way to the exchanges.
        journal: opens the journal, on first use.
        hub: where the streams of accounts are.
        randbits: random bits for client order ids.
    """

    def __init__(
        self,
        gateway: Gateway,
        journal: Callable[[], Awaitable[Journal]],
        hub: Hub,
        *,
        randbits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self.gateway = gateway
        self.journal = journal
        self.fills = Fills(hub)
        self.prices = Prices(gateway)
        self.standing = Standing(gateway, self.prices, now_ms=gateway.now_ms)
        self.lookup = Lookup(gateway)
        self.reconciler = Reconciler(
            gateway, journal, appears_within=gateway.settings.reconcile_seconds, now_ms=gateway.now_ms
        )
        self.planner = Planner(gateway, self.prices, self.standing, randbits=randbits)
        self.approvals = Approvals(gateway)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def place(self, placement: Placement, approver: Approver) -> Envelope:
        """Place an order, once, and return it as it stands at the exchange.

        The same client order id on the same account returns what was recorded.

        Args:
            placement: the order.
            approver: the way to the human, where one must agree.

        Raises:
            Failure: OUTCOME_UNKNOWN when it was sent and nobody knows what became of it; in every other case nothing
                was done.
        """
        journal = await self.journal()
        try:
            if (known := await self._recorded(journal, placement)) is not None:
                return known
            self.fills.listen(placement.exchange, placement.account)
            plan = await self.planner.plan(placement)
        except Failure as failure:
            await self.refused(placement, failure)
            raise
        question = plan.question("Place this order", placement.asked)
        write = Write(
            plan, new_intent(plan, placement), create_call(plan), question if plan.needs_confirmation else None
        )
        return await self.submit(write, placement, approver)

    async def preview(self, placement: Placement) -> Envelope:
        """Return what an order would be, and what stands in its way; nothing is sent or journalled.

        Raises:
            Failure: the order breaks a rule of the market, or cannot be worked out.
        """
        plan = await self.planner.plan(placement)
        return await self.previewed(plan, plan.effective, asks=plan.needs_confirmation)

    async def previewed(self, plan: Plan, data: Mapping[str, Any], *, asks: bool) -> Envelope:
        """Return a plan without carrying it out: what it comes to, who is asked, and which limit stops it."""
        journal = await self.journal()
        told = {"dryRun": True, **data, "needsConfirmation": asks}
        try:
            if not plan.reduces:
                await self._require_free(journal, plan)
            evidence = await self._evidence(journal, plan)
            self._check(plan, await journal.counters(plan.key.exchange, plan.account), evidence)
        except Failure as failure:
            told["refusal"] = error_dict(failure)
        facts = {"exchange": plan.key.exchange, "account": plan.account, "mode": plan.key.mode}
        return Envelope(self.gateway.metadata(**facts), data=told)

    async def _require_free(self, journal: Journal, plan: Plan) -> None:
        """Refuse a plan where the account is halted or something is unresolved, as reserving it would."""
        exchange, account = plan.key.exchange, plan.account
        halted = [halt for halt in await journal.halts() if halt.scope in {"*", f"{exchange}/{account}"}]
        if halted:
            raise Failure(Code.HALTED, f"Trading is halted: {halted[0].why or 'no reason was given'}.")
        if left := await journal.unresolved(exchange, account):
            raise Failure(Code.UNRESOLVED_ORDER, f"It is not known yet what became of {left[0].client_order_id}.")

    async def submit(self, write: Write, placement: Placement, approver: Approver) -> Envelope:
        """Carry a write out: within the limits, with the human's agreement, journalled first, sent once.

        Raises:
            Failure: as `place`.
        """
        journal = await self.journal()
        plan = write.plan
        try:
            evidence = await self._evidence(journal, plan)
            ticket = await self._agreed(journal, write, placement, evidence, approver)
            if ticket is not None:  # while a human thought, the market moved on
                plan = await self.planner.plan(placement)
                evidence = await self._evidence(journal, plan)
                write = _anew(write, plan, placement)
        except Failure as failure:
            await self.refused(placement, failure)
            raise
        try:
            reserved = await journal.reserve(
                write.intent,
                check=lambda counted: self._check(plan, counted, evidence),
                ticket=ticket,
                working_for=2 * self.gateway.settings.deadline,
            )
        except Failure as failure:
            if failure.code is Code.UNRESOLVED_ORDER:
                self.seek()
            raise
        if not reserved.is_new:
            return await self._known(reserved.intent)
        return await asyncio.shield(self.own(self._carry_out(write, reserved.intent)))

    async def _agreed(
        self, journal: Journal, write: Write, placement: Placement, evidence: Evidence, approver: Approver
    ) -> str | None:
        """Return the ticket of a human's agreement; None where nobody is asked. Limits come first."""
        if write.question is None:
            return None
        plan = write.plan
        self._check(plan, await journal.counters(plan.key.exchange, plan.account), evidence)
        wish = Wish(
            write.intent.fingerprint, plan.key.exchange, plan.account, placement.who, write.question, plan.effective
        )
        return await self.approvals.approved(journal, wish, approver)

    async def refused(self, placement: Placement, failure: Failure) -> None:
        """Put a refusal into the audit."""
        journal = await self.journal()
        row = failure.code.value
        error = {"code": row.taps, "reason": row.reason, "message": failure.message}
        await journal.append(
            "refused",
            who=placement.who,
            tool=placement.tool,
            exchange=clean_text(placement.exchange, 40),
            account=placement.account and clean_text(placement.account, 40),
            facts={"asked": placement.asked, "error": error},
        )

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _carry_out(self, write: Write, intent: Intent) -> Envelope:
        try:
            call = write.call if write.first is None else await write.first()
        except Failure as failure:
            await self._settle(intent, "rejected", error=error_dict(failure))
            raise
        try:
            return await self._send(write, intent, call)
        except Failure as failure:
            raise write.half_done(failure) from None

    async def _send(self, write: Write, intent: Intent, call: Call) -> Envelope:
        sent = await self.gateway.send(call, urgent=write.plan.reduces)
        if sent.fate == "accepted":
            order = _order(write.plan, intent, sent.value)
            settling = self.own(self._settle(intent, "accepted", order=order))
            answer = await self._with_status(write.plan, intent, sent, order, settling)
            unrecorded: str | None = await settling
            return answer if unrecorded is None else answer.map(lambda data: data | {"unrecorded": unrecorded})
        error = {} if sent.failure is None else error_dict(sent.failure)
        if sent.fate == "unknown":
            await self._settle(intent, "unknown", error=error)
            return await self._found_out(intent, sent.failure)
        await self._settle(intent, "rejected", error=error)
        raise sent.failure or Failure(Code.INTERNAL, "The order was not sent.")

    async def _settle(self, intent: Intent, state: IntentState, **facts: Any) -> str | None:
        """Record an outcome; return why that failed, where it did: what was done is then reconciled later."""
        try:
            await (await self.journal()).settle(intent.id, state, **facts)
        except Failure as failure:
            log.warning("an outcome goes unrecorded", client_order_id=intent.client_order_id, reason=failure.message)
            return failure.message
        return None

    async def _with_status(
        self, plan: Plan, intent: Intent, sent: Sent, order: dict[str, Any], settling: asyncio.Task[Any]
    ) -> Envelope:
        """Return the order with its status; of an answer with an id only, the stream or one more request tells it.

        That the order was accepted is recorded meanwhile, and what the exchange tells of it after that.
        """
        if order.get("status") is None:
            wanted = Wanted(plan.key.exchange, plan.account, plan.order.symbol, order["id"], plan.sent_id)
            found = await self.fills.told(wanted, end=expected_end(plan)) if intent.kind == "create" else None
            found = found or (await self.lookup.find(wanted)).order
            if found is not None:
                told = {name: value for name, value in found.items() if value is not None}
                order = order | told | _ours(plan, intent)
                await settling
                await self._note(intent, order)
        return Envelope(sent.metadata, data=shown_order(order) | {"effective": plan.effective})

    async def _note(self, intent: Intent, order: Mapping[str, Any]) -> None:
        with suppress(Failure):  # what matters is recorded already
            await (await self.journal()).note(intent.id, order=order)

    async def _found_out(self, intent: Intent, failure: Failure | None) -> Envelope:
        """Return a lost write's outcome if it can be found out in time; the search goes on in any case."""
        seconds = self.gateway.time_left() * _SHARE_FOR_FINDING_OUT
        return await self._as_recorded(await self.reconciler.resolved_within(intent, seconds), failure)

    async def _recorded(self, journal: Journal, placement: Placement) -> Envelope | None:
        """Return what is recorded under the caller's client order id, if that names this very order.

        The market is not asked: it may have moved so far that the order could not be placed any more.
        """
        if (wanted := placement.order.client_order_id) is None:
            return None
        venue = await self.gateway.account_venue(placement.exchange, placement.account, method="createOrder")
        exchange, account = venue.key.exchange, venue.key.account or ""
        if (known := await journal.get(exchange, account, wanted)) is None:
            return None
        order = replace(placement.order, symbol=venue.resolve(placement.order.symbol))
        if known.fingerprint != order.fingerprint(exchange, account):
            raise Failure(Code.CLIENT_ORDER_ID_USED, f"client_order_id {wanted!r} was used for another order.")
        return await self._known(known)

    async def _known(self, intent: Intent) -> Envelope:
        """Return what became of a write that was recorded before; it may have been left by a process that is gone."""
        if intent.state in {"accepted", "rejected"}:
            return await self._as_recorded(intent)
        return await self._found_out(intent, None)

    async def _as_recorded(self, intent: Intent, failure: Failure | None = None) -> Envelope:
        """Return what the journal knows of an intent, or raise it."""
        if intent.state == "accepted":
            facts = {"exchange": intent.exchange, "account": intent.account, "mode": intent.mode}
            shown = shown_order({**(intent.order or {}), **_own_id(intent)})
            return Envelope(
                self.gateway.metadata(**facts), data={**shown, "effective": intent.request, "recorded": True}
            )
        error, changes = intent.error or {}, intent.kind == "modify"
        order_id = intent.request.get("orderId") if changes else intent.client_order_id
        done = "changed" if changes else "placed"
        told = {"clientOrderId": intent.client_order_id, "state": intent.state, "cause": error.get("reason")}
        if intent.state == "rejected":
            again = "Look it up, and change it again" if changes else "Place it with another client_order_id"
            raise Failure(
                Code.REFUSED,
                f"Order {order_id} was not {done}: {error.get('message', 'it was refused.')}",
                hint=f"Nothing was done. {again} if it is still wanted.",
                details=told,
            )
        cause = f" {failure.message}" if failure is not None else ""
        raise Failure(
            Code.OUTCOME_UNKNOWN, f"Whether order {order_id} was {done} is not known yet.{cause}", details=told
        )

    # -- limits --------------------------------------------------------------------------------------------------------

    async def _evidence(self, journal: Journal, plan: Plan) -> Evidence:
        """Return what the limits need and the journal does not hold; nothing is asked for a way out."""
        exchange, account = plan.key.exchange, plan.account
        none = OpenOrders(0, self.gateway.now_ms())
        if plan.reduces:
            return Evidence(none, None)
        counts = plan.facts.rests and plan.limits.open_orders is not None
        loss = await self._loss_today(journal, plan)
        return Evidence(await self.standing.open_orders(exchange, account) if counts else none, loss)

    async def _loss_today(self, journal: Journal, plan: Plan) -> Decimal | None:
        if plan.limits.daily_loss is None:
            return None
        return await self.standing.loss_today(journal, plan.key.exchange, plan.account)

    def _check(self, plan: Plan, counted: Journalled, evidence: Evidence) -> None:
        check_order(plan.limits, plan.facts, counters(counted, evidence.open_orders, evidence.loss_today))

    # -- life ----------------------------------------------------------------------------------------------------------

    def own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a write to its end, whatever becomes of its caller."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # a caller who is gone does not fetch it, and nobody else is to be alarmed

    def seek(self) -> None:
        """Look for the outcome of everything that is unresolved, be it that of a process that is gone."""
        self.own(self.reconciler.resume())

    async def close(self) -> None:
        """Let the writes under way end, within their deadline, and stop looking for outcomes."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=self.gateway.settings.deadline)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.fills.close()
        await self.reconciler.close()


def new_intent(plan: Plan, placement: Placement) -> NewIntent:
    """Return what the journal records of a planned order before it is sent."""
    return NewIntent(
        exchange=plan.key.exchange,
        account=plan.account,
        mode=plan.key.mode,
        kind="create",
        client_order_id=plan.order.client_order_id or plan.sent_id,
        sent_id=plan.sent_id,
        fingerprint=plan.fingerprint,
        request=plan.effective,
        notional_usd=plan.facts.notional,
        raises_risk=not plan.reduces,
        who=placement.who,
        tool=placement.tool,
    )


def counters(counted: Journalled, open_orders: OpenOrders, loss_today: Decimal | None) -> Counters:
    """Return what the limits count: the journal's figures, and what was seen at the exchange before."""
    seen = open_orders.count
    return Counters(
        notional_today=None if counted.unvalued_today else counted.notional_today,
        orders_last_minute=counted.orders_last_minute,
        open_orders=None if seen is None else seen + counted.orders_since(open_orders.seen_ms),
        loss_today=loss_today,
    )


def _order(plan: Plan, intent: Intent, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an accepted order: what the exchange says of it, and what was sent where it says nothing."""
    sized = plan.sized
    known = {
        "type": plan.order.type,
        "side": plan.order.side,
        "amount": number(sized.amount),
        "price": number(sized.price),
    }
    return known | {name: item for name, item in value.items() if item is not None} | _ours(plan, intent)


def _ours(plan: Plan, intent: Intent) -> dict[str, Any]:
    """Return what we know of an order better than its exchange, whose own words for it may be others."""
    return {"symbol": plan.order.symbol, **_own_id(intent)}


def _anew(write: Write, plan: Plan, placement: Placement) -> Write:
    """Return a new order as it is worked out now; what changes an order is sent as it was asked for."""
    if write.intent.kind != "create" or write.first is not None:
        return write
    return replace(write, plan=plan, call=create_call(plan), intent=new_intent(plan, placement))


def _own_id(intent: Intent) -> dict[str, Any]:
    """Return the caller's own id of an order that was placed here; the exchange may have got another one."""
    return {"clientOrderId": intent.client_order_id} if intent.kind == "create" else {}
