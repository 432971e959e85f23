"""What a request must be, whatever the account holds. All of it is pure."""

from __future__ import annotations

from decimal import Decimal

from .market import Market
from .money import text, within_reach
from .order import OrderRequest
from .refusal import Reason, Refused

_POSITIVE = ("amount", "cost", "price", "trigger_price", "take_profit", "stop_loss", "trailing", "trailing_rate")
_PRICES = ("price", "trigger_price", "take_profit", "stop_loss")


def check(market: Market, request: OrderRequest, *, least: bool = True) -> None:
    """Raise Refused unless the request makes sense on its own and fits the market's steps and bounds.

    Args:
        market: the market.
        request: what is asked for.
        least: whether the market's least amount and value bind it; they never bind what only reduces.
    """
    least = least and not request.reduce_only
    for name in _POSITIVE:
        check_number(name, getattr(request, name))
    _check_type(request)
    _check_cost(market, request)
    _check_waiting(request)
    _check_kind_of_market(market, request)
    for name in _PRICES:
        if (price := getattr(request, name)) is not None and market.price_step and price % market.price_step:
            raise Refused(
                Reason.PRICE_STEP, f"{name} is {text(price)}; it must be a multiple of {text(market.price_step)}."
            )
    if request.amount is not None:
        check_amount(market, request.amount, least=least)
    if request.price is not None and request.amount is not None and least:
        check_cost(market, request.price * request.amount * market.contract_size)


def check_number(name: str, number: Decimal | None) -> None:
    """Raise Refused unless a number, if given, is positive and of a size that can be reckoned with."""
    if number is not None and not (within_reach(number) and number > 0):
        reason = Reason.INVALID_AMOUNT if name in {"amount", "cost"} else Reason.INVALID_PRICE
        raise Refused(reason, f"{name} must be a positive number.")


def check_amount(market: Market, amount: Decimal, *, least: bool) -> None:
    """Raise Refused unless an amount fits the market, its least included where `least` says so."""
    if market.amount_step and amount % market.amount_step:
        raise Refused(
            Reason.AMOUNT_STEP, f"amount is {text(amount)}; it must be a multiple of {text(market.amount_step)}."
        )
    if least and market.min_amount is not None and amount < market.min_amount:
        raise Refused(
            Reason.AMOUNT_TOO_SMALL, f"amount is {text(amount)}; the least here is {text(market.min_amount)}."
        )
    if market.max_amount is not None and amount > market.max_amount:
        raise Refused(Reason.AMOUNT_TOO_LARGE, f"amount is {text(amount)}; the most here is {text(market.max_amount)}.")


def check_cost(market: Market, cost: Decimal) -> None:
    """Raise Refused when an order is worth less than the market takes."""
    if market.min_cost is not None and cost < market.min_cost:
        raise Refused(
            Reason.COST_TOO_SMALL,
            f"The order is worth {text(cost)} {market.quote}; the least here is {text(market.min_cost)}.",
        )


def check_protection(request: OrderRequest, reference: Decimal) -> None:
    """Raise Refused unless profit is on the winning side of the price at which the order fills, and loss on the other.

    Args:
        request: the order.
        reference: that price: the order's own, or the market's.
    """
    for name, rises in (("take_profit", request.side == "buy"), ("stop_loss", request.side == "sell")):
        price: Decimal | None = getattr(request, name)
        if price is not None and (price <= reference if rises else price >= reference):
            where = "above" if rises else "below"
            raise Refused(
                Reason.INVALID_TRIGGER, f"{name} is {text(price)}; for this order it must be {where} {text(reference)}."
            )


def _check_type(request: OrderRequest) -> None:
    if request.type == "limit" and request.price is None:
        raise Refused(Reason.INVALID_PRICE, "A limit order needs a price.")
    if request.type == "market" and request.price is not None:
        raise Refused(Reason.INVALID_PRICE, "A market order has no price.")
    if request.type == "market" and request.time_in_force == "PO":
        raise Refused(Reason.INVALID_ORDER, "A market order cannot be post-only.")


def _check_cost(market: Market, request: OrderRequest) -> None:
    if (request.amount is None) == (request.cost is None):
        raise Refused(Reason.INVALID_AMOUNT, "Give either amount or cost.")
    if request.cost is None:
        return
    if not (market.spot and request.type == "market" and request.side == "buy"):
        raise Refused(Reason.INVALID_AMOUNT, "Only market buys on spot take a cost; give amount.")
    check_cost(market, request.cost)


def _check_waiting(request: OrderRequest) -> None:
    if sum(getattr(request, name) is not None for name in ("trigger_price", "trailing", "trailing_rate")) > 1:
        raise Refused(Reason.INVALID_ORDER, "Give one of trigger_price, trailing and trailing_rate.")
    if request.trails and request.type == "limit":
        raise Refused(Reason.INVALID_ORDER, "A trailing stop is a market order.")
    if request.trailing_rate is not None and request.trailing_rate >= 1:
        raise Refused(Reason.INVALID_TRIGGER, f"trailing_rate is {text(request.trailing_rate)}; it must be below 1.")


def _check_kind_of_market(market: Market, request: OrderRequest) -> None:
    protects = request.take_profit is not None or request.stop_loss is not None
    if market.spot and request.reduce_only:
        raise Refused(Reason.INVALID_ORDER, "reduce_only is for contracts; on spot there is no position.")
    if market.spot and protects and request.side == "sell":
        raise Refused(Reason.INVALID_ORDER, "On spot, take_profit and stop_loss go with a buy.")
    if request.reduce_only and protects:
        raise Refused(Reason.INVALID_ORDER, "An order that only reduces has no take_profit and no stop_loss.")
