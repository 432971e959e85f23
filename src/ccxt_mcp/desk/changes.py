"""Changes: an order that rests is modified, or a market's leverage is set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.desk.confirmation import Approver
from ccxt_mcp.desk.desk import Desk, Write, new_intent
from ccxt_mcp.desk.exits import Exits, Target
from ccxt_mcp.desk.lookup import Wanted
from ccxt_mcp.desk.plan import Placement, Plan, create_call, number
from ccxt_mcp.desk.prices import decimal_of
from ccxt_mcp.envelope import Envelope
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.orders.order import OrderRequest

_CHANGEABLE = frozenset({"open", None})
_REPLACE = (
    "The exchange cannot change orders: cancel this one and place a new one? If the new one is refused, none is left."
    " Do that"
)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different about an order; None leaves a thing as it is.

    Attributes:
        amount: the new whole amount, what is filled already included, in the unit of ccxt's `amount`.
        price: the new limit price.
        trigger_price: the new trigger price.
        take_profit: the new trigger price of the attached take-profit.
        stop_loss: the new trigger price of the attached stop-loss.
    """

    amount: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None

    @property
    def arguments(self) -> dict[str, Decimal]:
        """What changes, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


class Changes:
    """Modifies orders.

    Args:
        desk: whose journal, limits and confirmation they use.
        exits: finds orders, and cancels them where a change is a cancel and a new order.
    """

    def __init__(self, desk: Desk, exits: Exits) -> None:
        self._desk = desk
        self._exits = exits

    async def modify(self, target: Target, change: Change, approver: Approver, *, dry_run: bool = False) -> Envelope:
        """Change an open order, and return it as it stands afterwards.

        Where the exchange cannot change orders, it is cancelled and a new one placed; that is said, and asked, before.

        Raises:
            Failure: the order is not open, the change breaks a rule or a limit, a human must agree first, or the
                outcome is unknown.
        """
        venue = await self._exits.venue(target)
        order, wanted = await self._open_order(await self._exits.wanted(venue, target))
        placement = Placement(
            target.exchange, wanted.account, _changed(order, change), target.who, target.tool, wanted.order_id
        )
        plan = await self._desk.planner.plan(placement)
        replaces = venue.support("editOrder") != "native"
        if replaces and plan.order.type == "market" and not plan.order.waits:  # it would be filled at once
            raise Failure(
                Code.METHOD_NOT_SUPPORTED,
                f"{target.exchange} cannot change order {wanted.order_id}, and does not tell enough to replace it.",
                hint="Cancel it, and place a new one.",
            )
        asks = replaces or plan.needs_confirmation
        if dry_run:
            data = {"id": wanted.order_id, "replaces": replaces or None, **plan.effective}
            return await self._desk.previewed(plan, data, asks=asks)
        question = plan.question(
            _REPLACE if replaces else "Change this order", {"order": wanted.order_id, **change.arguments}
        )
        intent = replace(
            new_intent(plan, placement),
            kind="create" if replaces else "modify",
            fingerprint=f"modify {wanted.order_id} {plan.fingerprint}",
            request=plan.effective | {"orderId": None if replaces else wanted.order_id},
            notional_usd=_increase(plan, order),
        )
        write = Write(
            plan,
            intent,
            _edit_call(plan, wanted),
            question if asks else None,
            first=partial(self._cancelled, venue, wanted, target, plan) if replaces else None,
            done_first=f"Order {wanted.order_id} is cancelled, and the new one is not there:",
        )
        return await self._desk.submit(write, placement, approver)

    async def _open_order(self, wanted: Wanted) -> tuple[dict[str, Any], Wanted]:
        found = await self._desk.lookup.find(wanted)
        if found.order is None:
            raise found.failure or Failure(Code.ORDER_NOT_FOUND, "No order has this id.")
        if found.order.get("status") not in _CHANGEABLE:
            raise Failure(
                Code.INVALID_ORDER,
                f"order_id {found.order['id']} is {found.order.get('status')}; only open orders can be modified.",
                hint="Place a new order instead.",
            )
        return found.order, wanted.identified(found.order)

    async def _cancelled(self, venue: Venue, wanted: Wanted, target: Target, plan: Plan) -> Call:
        """Cancel the old order, and return the call for what is left to be ordered anew."""
        ended = await self._exits.cancelled(venue, wanted, target)
        filled = decimal_of(ended.get("filled"))
        if filled is None:
            raise Failure(
                Code.EXCHANGE_ERROR,
                f"Order {wanted.order_id} is cancelled, but how much of it was filled before is not known.",
                hint="Nothing was placed instead. Look it up with trade_fetch_order, then place what is left.",
            )
        amount = plan.sized.amount or Decimal(0)
        left = amount - filled
        if left <= 0:
            raise Failure(
                Code.INVALID_ORDER,
                f"amount is {amount}, and {filled} of it was filled before the order was cancelled.",
                hint="Nothing is left to order; the old order is cancelled.",
            )
        call = create_call(plan)
        return replace(call, arguments={**call.arguments, "amount": number(left)})


def _changed(order: dict[str, Any], change: Change) -> OrderRequest:
    """Return the order as it would be asked for from the start, with the change."""

    def value(name: str, was: str | None = None) -> Decimal | None:
        wanted = getattr(change, name)
        return decimal_of(order.get(was or name)) if wanted is None else wanted

    contract = ":" in str(order.get("symbol"))
    return OrderRequest.read(
        symbol=str(order["symbol"]),
        side=order.get("side"),
        type="market" if order.get("type") == "market" else "limit",
        amount=value("amount"),
        unit="contracts" if contract else "base",
        price=value("price"),
        post_only=bool(order.get("postOnly")),
        reduce_only=bool(order.get("reduceOnly")),
        trigger_price=value("trigger_price", "triggerPrice"),
        take_profit=value("take_profit", "takeProfitPrice"),
        stop_loss=value("stop_loss", "stopLossPrice"),
    )


def _increase(plan: Plan, order: dict[str, Any]) -> Decimal | None:
    """Return by how many dollars the changed order is worth more than it was, for the day's limit."""
    after, amount, price = plan.facts.notional, decimal_of(order.get("amount")), decimal_of(order.get("price"))
    if after is None or amount is None or price is None or plan.usd is None or plan.rules.inverse:
        return after
    return max(Decimal(0), after - amount * (plan.rules.contract_size or 1) * price * plan.usd)


def _edit_call(plan: Plan, wanted: Wanted) -> Call:
    call = create_call(plan)
    params = {name: item for name, item in call.arguments["params"].items() if name not in plan.id_params}
    return replace(call, method="editOrder", arguments={"id": wanted.order_id, **call.arguments, "params": params})
