"""Rules: what an order must be, whoever places it and however much they own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.market import Bounds, MarketRules
from ccxt_mcp.orders.number import about, exact, plain, read
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.sizing import Sized


@exact
def check(request: OrderRequest, sized: Sized, rules: MarketRules, quote: Quote) -> None:
    """Refuse an order that makes no sense on its own, or that its market does not take.

    Args:
        request: the order as it was asked for.
        sized: the same in its exchange's terms.
        rules: its market.
        quote: that market's prices now; what is not known of them is not held against the order.

    Raises:
        Failure: INVALID_ORDER or MARKET_INACTIVE that names field, value, bound and next step.
    """
    request.require_numbers()
    if rules.active is False:
        raise Failure(Code.MARKET_INACTIVE, f"{rules.symbol} does not trade at present.", details={"field": "symbol"})
    for rule in _RULES:
        rule(request, sized, rules, quote)


def check_leverage(value: Any, rules: MarketRules) -> Decimal:
    """Return the leverage that a caller asks for.

    Raises:
        Failure: INVALID_ORDER where the market has none, or not this much.
    """
    leverage = read("leverage", value)
    if not rules.contract:
        raise _wrong("leverage", leverage, f"{rules.symbol} is a spot market and has none", "Leave leverage out.")
    _within("leverage", leverage, rules.leverages, rules, "")
    return leverage


def _price_and_type(request: OrderRequest, _sized: Sized, _rules: MarketRules, _quote: Quote) -> None:
    if request.type == "market" and request.price is not None:
        raise _wrong(
            "price", request.price, "a market order has none", "Leave price out, or give type limit to hold to a price."
        )
    if request.type == "limit" and request.price is None:
        raise _wrong("price", None, "a limit order needs one", "Give a price, or type market.")


def _time_in_force(request: OrderRequest, _sized: Sized, _rules: MarketRules, _quote: Quote) -> None:
    if request.never_takes and request.type == "market":
        raise _wrong("post_only", True, "a market order always takes", "Leave post_only out, or give type limit.")
    if request.never_takes and request.time_in_force in {"IOC", "FOK"}:
        raise _wrong(
            "time_in_force",
            request.time_in_force,
            "a post-only order rests and never takes",
            "Give only one of the two.",
        )


def _kind_of_market(request: OrderRequest, _sized: Sized, rules: MarketRules, _quote: Quote) -> None:
    protections = [name for name in ("take_profit", "stop_loss") if getattr(request, name) is not None]
    if request.reduce_only and not rules.contract:
        raise _wrong(
            "reduce_only", True, f"{rules.symbol} is a spot market without positions", "Leave reduce_only out."
        )
    if not protections:
        return
    name, price = protections[0], getattr(request, protections[0])
    if request.reduce_only:
        raise _wrong(
            name, price, "a reduce-only order opens nothing to protect", "Use trigger_price to close at a price."
        )
    if not rules.contract and request.side == "sell":
        raise _wrong(name, price, "on spot it goes with a buy", "Use trigger_price to sell at a price.")
    if request.trailing is not None:
        raise _wrong(name, price, "it does not go with trailing", "Place two orders.")


def _amounts(request: OrderRequest, sized: Sized, rules: MarketRules, _quote: Quote) -> None:
    # What only reduces may be less than the least: the rest of a position must not be stuck.
    free = request.reduce_only
    if sized.amount is not None:
        _within("amount", sized.amount, _eased(rules.amounts, free), rules, f" {rules.unit}")
    if sized.notional is not None and not rules.inverse:
        _within("cost", sized.notional, _eased(rules.costs, free), rules, f" {rules.quote}")


def _prices(_request: OrderRequest, sized: Sized, rules: MarketRules, _quote: Quote) -> None:
    for name in ("price", "trigger_price"):
        if (price := getattr(sized, name)) is not None:
            _within(name, price, rules.prices, rules, f" {rules.quote}")


def _trigger(request: OrderRequest, sized: Sized, rules: MarketRules, quote: Quote) -> None:
    """A stop waits on the side where the market turns against it.

    An order that only reduces may wait on either side: there it is a stop, here it takes profit.
    """
    trigger, market = sized.trigger_price, quote.market
    if trigger is None or market is None:
        return
    if trigger == market or (not request.reduce_only and (trigger > market) != (request.side == "buy")):
        where = "away from" if request.reduce_only else "above" if request.side == "buy" else "below"
        raise _wrong(
            "trigger_price",
            trigger,
            f"to wait for it, a {request.side} on {rules.symbol} needs one {where} the market at {about(market)}",
            "Move trigger_price, or place a limit order.",
        )


def _protection(request: OrderRequest, sized: Sized, _rules: MarketRules, quote: Quote) -> None:
    entry = sized.expected_price or quote.fair
    if entry is None:
        return
    for name, price, rises in (
        ("take_profit", sized.take_profit, request.side == "buy"),
        ("stop_loss", sized.stop_loss, request.side == "sell"),
    ):
        if price is not None and (price <= entry if rises else price >= entry):
            where = "above" if rises else "below"
            raise _wrong(
                name, price, f"for a {request.side} at {about(entry)} it must be {where} that", f"Move {name}."
            )


def _trailing(request: OrderRequest, _sized: Sized, _rules: MarketRules, quote: Quote) -> None:
    if request.trailing is None:
        return
    if request.type != "market" or request.time_in_force is not None:
        raise _wrong("trailing", request.trailing, "a trailing stop is a market order", "Give type market alone.")
    if request.trigger_price is not None:
        raise _wrong("trailing", request.trailing, "it does not go with trigger_price", "Give only one of the two.")
    percent, distance = request.trailing.percent, request.trailing.distance
    if percent is not None and percent >= 100:
        raise _wrong("trailing", request.trailing, "it must be below 100%", "Lower trailing.")
    market = quote.market
    if distance is not None and market is not None and distance >= market:
        raise _wrong(
            "trailing", request.trailing, f"it must be less than the price, which is {about(market)}", "Lower trailing."
        )


_RULES: tuple[Callable[[OrderRequest, Sized, MarketRules, Quote], None], ...] = (
    _price_and_type,
    _time_in_force,
    _kind_of_market,
    _trailing,
    _amounts,
    _prices,
    _trigger,
    _protection,
)


def _eased(bounds: Bounds, free: bool) -> Bounds:
    return Bounds(most=bounds.most) if free else bounds


def _within(name: str, value: Decimal, bounds: Bounds, rules: MarketRules, unit: str) -> None:
    if bounds.least is not None and value < bounds.least:
        raise _wrong(name, value, f"the least on {rules.symbol} is {plain(bounds.least)}{unit}", "Raise it.", unit)
    if bounds.most is not None and value > bounds.most:
        raise _wrong(name, value, f"the most on {rules.symbol} is {plain(bounds.most)}{unit}", "Lower it.", unit)


def _wrong(name: str, value: Any, bound: str, next_step: str, unit: str = "") -> Failure:
    if isinstance(value, Decimal):
        shown = f"{about(value)}{unit}"
    else:
        shown = {None: "missing", True: "true"}.get(value) or str(value)
    return Failure(
        Code.INVALID_ORDER, f"{name} is {shown}; {bound}.", hint=next_step, details={"field": name, "value": shown}
    )
