"""Exits: cancels. They ask nobody, stop at no limit, and go before all reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog

from ccxt_mcp.call import Call, Sent
from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.lookup import Wanted
from ccxt_mcp.desk.plan import id_params
from ccxt_mcp.desk.shown import shown_order
from ccxt_mcp.envelope import Envelope, Table, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.everywhere import each_kind, listing_of
from ccxt_mcp.exchanges.quirks import CANCELS_AS, lineage
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.journal import Intent, IntentKind, IntentState, NewIntent

log = structlog.get_logger(__name__)

_ATTEMPTS = 3  # a cancel may be sent again: doing it twice does no more than doing it once
_AT_ONCE = 8
_JOURNAL_PATIENCE = 0.5  # seconds that a way out waits until the journal has it
_READ_PATIENCE = 2.0  # seconds that it waits for what the journal knows of the order
_ENDED = frozenset({"canceled", "closed", "expired", "rejected"})
_NOT_THERE = frozenset({Code.ORDER_NOT_FOUND, Code.REFUSED, Code.INVALID_ORDER})
_COLUMNS = ("id", "clientOrderId", "symbol", "side", "amount", "filled", "status", "error")


_Record = asyncio.Task[Intent | None]


@dataclass(frozen=True, slots=True)
class Target:
    """The order that is to be cancelled, by either id, and who asks.

    Attributes:
        exchange: where it is.
        account: whose it is; None for the exchange's default account.
        order_id: the exchange's id.
        client_order_id: the id that we gave it.
        symbol: its market; found out where it is left out.
        who: on whose behalf, for the audit.
        tool: what was called, for the audit.
    """

    exchange: str
    account: str | None
    order_id: str | None
    client_order_id: str | None
    symbol: str | None
    who: str
    tool: str


class Exits:
    """Cancels orders, one or all.

    Args:
        desk: whose journal, gateway and lookup they use.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._gateway = desk.gateway

    async def cancel(self, target: Target) -> Envelope:
        """Cancel an order and return it as it stands afterwards.

        Raises:
            Failure: ORDER_NOT_FOUND, or OUTCOME_UNKNOWN when the exchange does not tell what became of it.
        """
        venue = await self.venue(target)
        wanted = await self.wanted(venue, target)
        return await asyncio.shield(self._desk.own(self._cancel(venue, wanted, target)))

    async def cancel_all(self, target: Target) -> Envelope:
        """Cancel all open orders of an account, or of one of its markets; tells of each what became of it.

        Raises:
            Failure: the open orders could not be listed, so that nothing is known to have been cancelled.
        """
        venue = await self.venue(target)
        symbol = None if target.symbol is None else venue.resolve(target.symbol)
        return await asyncio.shield(self._desk.own(self._cancel_all(venue, symbol, target)))

    async def cancelled(self, venue: Venue, wanted: Wanted, target: Target) -> dict[str, Any]:
        """Cancel an order that is known, and return it as it stands afterwards.

        Raises:
            Failure: as `cancel`.
        """
        return (await self._cancel(venue, wanted, target)).data

    async def venue(self, target: Target) -> Venue:
        """Return the account's exchange, where orders are allowed.

        Raises:
            Failure: the account does not exist, or the operator allows no orders on it.
        """
        return await self._gateway.account_venue(target.exchange, target.account, method="cancelOrder")

    async def wanted(self, venue: Venue, target: Target) -> Wanted:
        """Return what is known of an order: what the journal recorded fills in what the caller left out.

        Raises:
            Failure: INVALID_ARGUMENT when no id was given.
        """
        exchange, account = venue.key.exchange, venue.key.account or ""
        if target.client_order_id is None and target.order_id is None:
            raise Failure(Code.INVALID_ARGUMENT, "order_id and client_order_id are both missing; give one.")
        recorded = await self._recorded(exchange, account, target)
        known = {} if recorded is None else {**recorded.request, **(recorded.order or {})}
        ordered = None if recorded is None else recorded.request.get("symbol")
        symbol = target.symbol or ordered or known.get("symbol")
        client_id = recorded.sent_id if recorded is not None else target.client_order_id
        return Wanted(
            exchange,
            account,
            symbol=None if symbol is None else venue.resolve(symbol),
            order_id=target.order_id or known.get("id"),
            client_id=client_id,
            since=None if recorded is None else recorded.created_ms - 60_000,
            waits=None if recorded is None else known.get("triggerPrice") is not None,
        )

    async def _recorded(self, exchange: str, account: str, target: Target) -> Intent | None:
        """Return what the journal knows of an order; a journal that cannot be read stops no way out."""
        try:
            journal = await self._desk.journal()
            async with asyncio.timeout(_READ_PATIENCE):
                if target.client_order_id is not None:
                    return await journal.get(exchange, account, target.client_order_id)
                return await journal.by_order(exchange, account, target.order_id or "")
        except (Failure, TimeoutError) as error:
            log.warning("an order is looked up without the journal", reason=str(error), exchange=exchange)
            return None

    async def _cancel(self, venue: Venue, wanted: Wanted, target: Target) -> Envelope:
        if wanted.symbol is None or (wanted.order_id is None and not _params(venue, wanted)):
            found = await self._desk.lookup.find(wanted)
            if found.order is not None:
                wanted = wanted.identified(found.order)
            elif wanted.order_id is None:
                raise found.failure or Failure(Code.ORDER_NOT_FOUND, "No open or ended order has this client_order_id.")
        intent = await self._journalled(_intent(venue, wanted, target))
        sent = await self._send(venue, wanted)
        after = (await self._desk.lookup.find(wanted)).order
        if sent.fate == "accepted" or (after or {}).get("status") in _ENDED:
            told = after or {"id": wanted.order_id, "symbol": wanted.symbol, "status": None}
            await self._settled(intent, "accepted", order=told)
            return Envelope(sent.metadata, data=shown_order(told))
        failure = sent.failure or Failure(Code.INTERNAL, "The cancel was not sent.")
        if sent.fate != "unknown":
            await self._settled(intent, "rejected", error=error_dict(failure))
            raise failure
        await self._settled(intent, "unknown", error=error_dict(failure))
        raise Failure(
            Code.OUTCOME_UNKNOWN,
            f"Whether the cancel arrived is not known: {failure.message}",
            hint="A cancel may be repeated: call again.",
            details={"id": wanted.order_id, "clientOrderId": wanted.client_id},
        )

    async def _send(self, venue: Venue, wanted: Wanted) -> Sent:
        """Cancel an order as what it is: where those that wait for a price are kept apart, it may be either."""
        params = {} if wanted.order_id else _params(venue, wanted)
        forms: list[dict[str, Any]] = [params]
        if wanted.waits is not False and listing_of(venue, "cancelOrder", wanted.symbol).apart:
            forms.insert(0 if wanted.waits else 1, {**params, "trigger": True})
            kin = lineage(type(venue.exchange)) & CANCELS_AS.keys()
            forms += [{**params, **CANCELS_AS[exchange]} for exchange in sorted(kin)]
        sent = await self._send_as(wanted, forms[0])
        for form in forms[1:]:
            if sent.failure is None or sent.failure.code not in _NOT_THERE:
                break
            other = await self._send_as(wanted, form)
            sent = sent if other.failure is not None and other.failure.code in _NOT_THERE else other
        return sent

    async def _send_as(self, wanted: Wanted, params: dict[str, Any]) -> Sent:
        call = Call(
            "cancelOrder",
            wanted.exchange,
            symbol=wanted.symbol,
            arguments={"id": wanted.order_id, "params": params},
            account=wanted.account,
        )
        sent = await self._gateway.send(call, urgent=True)
        for _ in range(_ATTEMPTS - 1):
            if sent.fate != "unknown" or self._gateway.time_left() <= 0:
                break
            sent = await self._gateway.send(call, urgent=True)
        return sent

    # -- all of them ---------------------------------------------------------------------------------------------------

    async def _cancel_all(self, venue: Venue, symbol: str | None, target: Target) -> Envelope:
        exchange, account = venue.key.exchange, venue.key.account or ""
        at_once = venue.support("cancelAllOrders") != "none"
        before = await self._desk.lookup.open_orders(exchange, account, symbol)
        if before.failure is not None and not at_once:
            raise before.failure
        listed: list[dict[str, Any]] = before.data or []
        intent = await self._journalled(_intent_all(venue, symbol, listed, target))
        if at_once and (listed or before.failure):
            everything = Call("cancelAllOrders", exchange, symbol=symbol, account=account)
            apart = listing_of(venue, "cancelAllOrders", symbol).apart
            for call in await each_kind(self._gateway, everything):
                if before.failure or any(_concerns(call, order, venue, apart=apart) for order in listed):
                    await self._gateway.send(call, urgent=True)
        rows = await self._each(venue, symbol, listed, target)
        last = await self._desk.lookup.open_orders(exchange, account, symbol)
        left = None if last.failure else len(last.data)
        data: dict[str, Any] = {} if left is None else {"stillOpen": left}
        data["orders"] = Table(_COLUMNS, rows)
        if before.failure is not None:
            data["unlisted"] = error_dict(before.failure)
        if left == 0:
            await self._settled(intent, "accepted", order={"stillOpen": 0})
        else:  # each that is left has a record of its own
            told = "whether any are left is not known" if left is None else f"{left} are left"
            await self._settled(intent, "rejected", error={"reason": "not_all", "message": f"Not all ended: {told}."})
        return Envelope(before.metadata, data=data)

    async def _each(
        self, venue: Venue, symbol: str | None, listed: list[dict[str, Any]], target: Target
    ) -> list[list[Any]]:
        """Cancel one by one what is still open, and return a row for every order, as it stands afterwards."""
        exchange, account = venue.key.exchange, venue.key.account or ""
        now = await self._desk.lookup.open_orders(exchange, account, symbol)
        still = {order["id"] for order in (listed if now.failure else now.data)}
        turn = asyncio.Semaphore(_AT_ONCE)

        async def row(order: dict[str, Any]) -> list[Any]:
            wanted = Wanted(exchange, account, client_id=order.get("clientOrderId")).identified(order)
            ended, error = order, None
            async with turn:
                if order["id"] in still:
                    try:
                        ended = (await self._cancel(venue, wanted, target)).data
                    except Failure as failure:
                        error = failure.message
                else:
                    ended = (await self._desk.lookup.find(wanted)).order or {"status": None}
            return [*(ended.get(name, order.get(name)) for name in _COLUMNS[:-1]), error]

        everything = {order["id"]: order for order in [*listed, *(now.data or [])]}
        return await asyncio.gather(*(row(order) for order in everything.values()))

    # -- the journal ---------------------------------------------------------------------------------------------------

    async def _journalled(self, intent: NewIntent) -> _Record:
        """Begin to record an exit; a journal that refuses or hangs stops orders, but never a way out."""
        record = self._desk.own(self._written(intent))
        await asyncio.wait([record], timeout=_JOURNAL_PATIENCE)
        return record

    async def _written(self, intent: NewIntent) -> Intent | None:
        try:
            journal = await self._desk.journal()
            return (await journal.reserve(intent, check=_no_limit)).intent
        except Failure as failure:
            log.warning("an exit goes unrecorded", reason=failure.message, kind=intent.kind, exchange=intent.exchange)
            return None

    async def _settled(self, record: _Record, state: IntentState, **facts: Any) -> None:
        """Record what became of an exit, as soon as it is recorded itself."""
        settling = self._desk.own(self._settle(record, state, facts))
        await asyncio.wait([settling], timeout=_JOURNAL_PATIENCE)

    async def _settle(self, record: _Record, state: IntentState, facts: dict[str, Any]) -> None:
        intent = await record
        if intent is None:
            return
        try:
            journal = await self._desk.journal()
            await journal.settle(intent.id, state, **facts)
        except Failure as failure:
            log.warning("the outcome of an exit goes unrecorded", reason=failure.message, kind=intent.kind)
            return
        if state == "unknown":
            self._desk.reconciler.watch(intent)


def _params(venue: Venue, wanted: Wanted) -> dict[str, Any]:
    """Return the `params` by which the order is cancelled without the exchange's id, where that is possible."""
    return {} if wanted.client_id is None else id_params(venue, "cancelOrder", wanted.client_id, wanted.symbol)


def _concerns(call: Call, order: dict[str, Any], venue: Venue, *, apart: bool) -> bool:
    """Whether a call that cancels one kind of orders cancels this one: some exchanges count such calls dearly."""
    params = call.arguments.get("params") or {}
    market = venue.markets.get(str(order.get("symbol"))) or {}
    kind = {"type": market.get("type"), "subType": "inverse" if market.get("inverse") else "linear"}
    settles = params.get("settleCoin") in {None, market.get("settleId"), market.get("settle")}
    same = settles and all(params.get(name) in {None, value} for name, value in kind.items())
    return same and (not apart or (params.get("trigger") is True) == (order.get("triggerPrice") is not None))


def _no_limit(_: object) -> None:
    """Exits are within every limit."""


def _intent(venue: Venue, wanted: Wanted, target: Target) -> NewIntent:
    return _exit_intent(
        venue,
        "cancel",
        {"orderId": wanted.order_id, "clientOrderId": wanted.client_id, "symbol": wanted.symbol},
        target,
    )


def _intent_all(venue: Venue, symbol: str | None, listed: list[dict[str, Any]], target: Target) -> NewIntent:
    return _exit_intent(venue, "cancel_all", {"symbol": symbol, "orders": [order["id"] for order in listed]}, target)


def _exit_intent(venue: Venue, kind: IntentKind, request: dict[str, Any], target: Target) -> NewIntent:
    own_id = f"{kind}-{uuid4().hex}"
    return NewIntent(
        exchange=venue.key.exchange,
        account=venue.key.account or "",
        mode=venue.key.mode,
        kind=kind,
        client_order_id=own_id,
        sent_id=own_id,
        fingerprint=own_id,
        request=request,
        notional_usd=None,
        raises_risk=False,
        who=target.who,
        tool=target.tool,
    )
