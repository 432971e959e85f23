"""The form of an order: what /v5/order/create asks for, as the engine understands it.

What the simulator does not do (hedged positions, margin trading on spot, triggers by other prices than the last, limit
orders as take-profit) is refused rather than taken for something else.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from ccxt_mcp.paper.engine import OrderRequest

from .floor import name_of
from .instruments import instrument
from .query import Query, read_flag, read_number, read_price
from .records import Terms
from .refusal import Refusal

if TYPE_CHECKING:
    from ccxt_mcp.paper.engine import Book, OrderType, Side, TimeInForce

    from .markets import Market

_LINK = re.compile(r"[A-Za-z0-9_-]{1,36}")
_TIMES: dict[str, TimeInForce] = {"": "GTC", "GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "PO"}
_LIMITED = ("tpLimitPrice", "slLimitPrice")


def read_order(form: Query, market: Market, book: Book) -> tuple[OrderRequest, Terms]:
    """The order that a form asks for, and what only the wire tells of it. Raises Refusal."""
    _refuse_unknown(form, market)
    spot, side, type_ = market.category == "spot", _side(form), _type(form)
    quantity = read_number(form, "qty")
    if quantity is None:
        raise Refusal(170136 if spot else 110032, "Qty invalid")
    if not spot and type_ == "market" and quantity > Decimal(instrument(market)["lotSizeFilter"]["maxMktOrderQty"]):
        raise Refusal(130006, "The number of contracts exceeds maximum limit allowed: too large")
    unit = _unit(form, side) if spot and type_ == "market" else ""
    amount, cost = _amounts(quantity, unit, side, market, book)
    trigger = read_price(form, "triggerPrice")
    request = OrderRequest(
        symbol=name_of(market),
        side=side,
        type=type_,
        amount=amount,
        cost=cost,
        price=read_number(form, "price") if type_ == "limit" else None,
        time_in_force=_time(form, type_),
        reduce_only=not spot and (read_flag(form, "reduceOnly") or read_flag(form, "closeOnTrigger")),
        trigger_price=trigger,
        trigger_rises=None if trigger is None else _rises(form, trigger, market, book),
        client_order_id=_link(form),
        take_profit=read_price(form, "takeProfit"),
        stop_loss=read_price(form, "stopLoss"),
    )
    return request, Terms(quantity=form["qty"], unit=unit, kind=_kind(form, trigger))


def refuse_price_source(form: Query, *names: str) -> None:
    """Raise Refusal where one of these fields names another price than the last one."""
    for name in names:
        if form.get(name, "") not in {"", "LastPrice"}:
            raise Refusal(10001, f"params error: {name} invalid, the simulator knows LastPrice only")


def _refuse_unknown(form: Query, market: Market) -> None:
    refuse_price_source(form, "triggerBy", "tpTriggerBy", "slTriggerBy")
    if form.get("positionIdx", "0") != "0":
        raise Refusal(10001, "position idx not match position mode")
    if market.category == "spot" and form.get("isLeverage", "0") != "0":
        raise Refusal(170036, "You haven't enabled Cross Margin Trading yet.")
    if any(read_price(form, name) for name in _LIMITED):
        raise Refusal(110057, "The simulator has no limit orders as take profit or stop loss.")


def _side(form: Query) -> Side:
    match form.get("side"):
        case "Buy":
            return "buy"
        case "Sell":
            return "sell"
        case _:
            raise Refusal(181004, "side only support Buy or Sell.")


def _type(form: Query) -> OrderType:
    match form.get("orderType"):
        case "Market":
            return "market"
        case "Limit":
            return "limit"
        case _:
            raise Refusal(170116, "Invalid orderType.")


def _time(form: Query, type_: OrderType) -> TimeInForce:
    word = form.get("timeInForce", "")
    if word not in _TIMES:
        raise Refusal(170115, "Invalid timeInForce.")
    # A market order never rests; only whether it must be filled in full is left to say.
    return "GTC" if type_ == "market" and word != "FOK" else _TIMES[word]


def _unit(form: Query, side: Side) -> Literal["baseCoin", "quoteCoin"]:
    """What `qty` counts in a market order on spot; Bybit's rule is quote for buys and base for sells."""
    match form.get("marketUnit", ""):
        case "baseCoin":
            return "baseCoin"
        case "quoteCoin":
            return "quoteCoin"
        case "":
            return "quoteCoin" if side == "buy" else "baseCoin"
        case _:
            raise Refusal(10001, "params error: marketUnit invalid")


def _amounts(
    quantity: Decimal, unit: str, side: Side, market: Market, book: Book
) -> tuple[Decimal | None, Decimal | None]:
    """Amount and cost; a sale for an amount of quote is one of what that is worth at the best bid."""
    if unit == "quoteCoin" and side == "buy":
        return None, quantity
    if unit == "quoteCoin":
        step = Decimal(market.size(1))
        return quantity / book.bids[0].price // step * step, None
    return quantity, None


def _link(form: Query) -> str | None:
    link = form.get("orderLinkId", "")
    if link and not _LINK.fullmatch(link):
        raise Refusal(10001, "params error: orderLinkId invalid")
    return link or None


def _rises(form: Query, trigger: Decimal, market: Market, book: Book) -> bool:
    """From which side a trigger is reached; spot judges by the present price."""
    price = book.price or trigger
    direction = form.get("triggerDirection", "")
    if direction not in {"1", "2"}:
        if market.category == "linear":
            raise Refusal(10001, "params error: triggerDirection invalid")
        return trigger > price
    if direction == "1" and trigger <= price:
        raise Refusal(110092, f"expect Rising, but trigger_price[{trigger}] <= current[{price}]")
    if direction == "2" and trigger >= price:
        raise Refusal(110093, f"expect Falling, but trigger_price[{trigger}] >= current[{price}]")
    return direction == "1"


def _kind(form: Query, trigger: Decimal | None) -> str:
    if trigger is None:
        return ""
    return "tpslOrder" if form.get("orderFilter") == "tpslOrder" else "Stop"
