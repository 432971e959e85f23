"""Sizing: what an order comes to at its exchange, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.number import about, exact, plain
from ccxt_mcp.orders.order import PRICES, OrderRequest, Unit
from ccxt_mcp.orders.precision import UNTOLD, Precision
from ccxt_mcp.orders.quote import Quote

_UNITS: tuple[Unit, ...] = ("contracts", "base", "quote")
_QUOTIENTS = Precision(digits=16)  # of quotients where the exchange tells no precision: what a float can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """An order in its exchange's own terms.

    Attributes:
        amount: what ccxt's createOrder takes: base on spot, contracts else; None where `cost` is given.
        cost: quote to spend, of a market buy on an exchange that takes those by cost.
        price: of a limit order.
        trigger_price: as in the request, at the market's precision; so are the next two.
        take_profit: see there.
        stop_loss: see there.
        trigger_rises: whether the market must rise to reach the trigger; None where that is not known.
        base_amount: how much of the base currency it is about; None where that cannot be told.
        contracts: how many contracts; None on spot.
        expected_price: the price that `notional` is reckoned with: limit, else trigger, else the quote's.
        notional: its value in quote; None where that cannot be told.
        notional_worst: the same at the worst of limit, trigger and the quote's prices; None without a quote.
        changes: sentences on what precision has changed.
    """

    amount: Decimal | None = None
    cost: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    trigger_rises: bool | None = None
    base_amount: Decimal | None = None
    contracts: Decimal | None = None
    expected_price: Decimal | None = None
    notional: Decimal | None = None
    notional_worst: Decimal | None = None
    changes: tuple[str, ...] = ()


@exact
def size(request: OrderRequest, rules: MarketRules, quote: Quote, *, buys_by_cost: bool = False) -> Sized:
    """Return what an order comes to. Amounts are cut to the market's precision, prices are rounded to it.

    Args:
        request: the order.
        rules: its market.
        quote: that market's prices now.
        buys_by_cost: whether this exchange takes market buys on spot as quote to spend, not as base to buy.

    Raises:
        Failure: INVALID_ORDER where the unit does not fit the market or is left open on contracts, where it needs a
            price that is not known, or where nothing is left at the market's precision.
    """
    request.require_numbers()
    unit = request.unit or _default_unit(request, rules, quote)
    _require_unit(unit, rules)
    changes: list[str] = []
    prices = {name: _rounded(name, getattr(request, name), rules, changes) for name in PRICES}
    expected = prices["price"] or prices["trigger_price"] or quote.taking(request.side)
    worst = _worst_price(request, prices, quote)
    if buys_by_cost and not rules.contract and request.type == "market" and request.side == "buy":
        cost = _cost(request, unit, rules, expected, changes)
        amount, value = None, _Value(cost, cost, None if expected is None else cost / expected)
    else:
        cost, amount = None, _amount(request, unit, rules, expected, changes)
        value = _value(amount, rules, expected, worst)
    return Sized(
        amount=amount,
        cost=cost,
        **prices,
        trigger_rises=_rises(prices["trigger_price"], quote),
        base_amount=value.base,
        contracts=amount if rules.contract else None,
        expected_price=expected,
        notional=value.expected,
        notional_worst=value.worst,
        changes=tuple(changes),
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """What an amount is worth in quote, at the expected and the worst price, and how much base it is."""

    expected: Decimal | None
    worst: Decimal | None
    base: Decimal | None


def _value(amount: Decimal, rules: MarketRules, expected: Decimal | None, worst: Decimal | None) -> _Value:
    if not rules.valued or rules.contract_size is None:
        return _Value(None, None, None)
    size = amount * rules.contract_size
    if rules.inverse:
        return _Value(size, size, None if expected is None else size / expected)
    return _Value(
        None if expected is None else size * expected,
        None if worst is None else size * worst,
        size,
    )


def _worst_price(request: OrderRequest, prices: Mapping[str, Decimal | None], quote: Quote) -> Decimal | None:
    """Return the highest price at which it may be filled, as far as one can tell; None without a quote."""
    now = [price for price in (quote.taking(request.side), quote.fair) if price is not None]
    if not now:
        return None
    if request.trailing is not None and request.side == "buy":
        now.append(max(now) + request.trailing.at(max(now)))
    own = [price for price in (prices["price"], prices["trigger_price"]) if price is not None]
    return max(*now, *own, Decimal(0))


def _rises(trigger: Decimal | None, quote: Quote) -> bool | None:
    market = quote.market
    return None if trigger is None or market is None or trigger == market else trigger > market


def _default_unit(request: OrderRequest, rules: MarketRules, quote: Quote) -> Unit:
    """Return the unit of an amount that was given without one, where it can only mean one thing."""
    if not rules.contract:
        return "base"
    if rules.valued and rules.linear and rules.contract_size == 1:
        return "contracts"
    price = request.price or request.trigger_price or quote.taking(request.side)
    meanings = "; ".join(_meaning(request.amount, unit, rules, price) for unit in _UNITS if _fits(unit, rules))
    raise Failure(
        Code.INVALID_ORDER,
        f"amount is {plain(request.amount)} without a unit, and {rules.symbol} is traded in contracts. {meanings}.",
        hint="Call again with the unit that is meant.",
        details={"field": "unit", "units": [unit for unit in _UNITS if _fits(unit, rules)]},
    )


def _meaning(amount: Decimal, unit: Unit, rules: MarketRules, price: Decimal | None) -> str:
    contracts = _in_exchange_unit(amount, unit, rules, price)
    if contracts is None:
        return f"unit {unit}: {plain(amount)} {_name(unit, rules)}"
    notional = _value(contracts, rules, price, None).expected
    worth = "" if notional is None else f" worth about {about(notional)} {rules.quote}"
    return f"unit {unit}: {about(contracts)} contracts{worth}"


def _require_unit(unit: Unit, rules: MarketRules) -> None:
    if _fits(unit, rules):
        return
    fitting = [other for other in _UNITS if _fits(other, rules)]
    kind = "a spot market" if not rules.contract else "a contract whose size in other units is not known"
    raise Failure(
        Code.INVALID_ORDER,
        f"unit is {unit}; {rules.symbol} is {kind} and takes {' or '.join(fitting)}.",
        details={"field": "unit", "value": unit, "units": fitting},
    )


def _fits(unit: Unit, rules: MarketRules) -> bool:
    return unit != "contracts" if not rules.contract else unit == "contracts" or rules.valued


def _own_unit(rules: MarketRules) -> Unit:
    return "contracts" if rules.contract else "base"


def _name(unit: Unit, rules: MarketRules) -> str:
    return {"base": rules.base, "quote": rules.quote, "contracts": "contracts"}[unit]


def _in_exchange_unit(amount: Decimal, unit: Unit, rules: MarketRules, price: Decimal | None) -> Decimal | None:
    """Return an amount as the exchange counts it, not yet at its precision; None where that takes an unknown price."""
    size = rules.contract_size
    if unit == "contracts" or size is None:
        return amount
    priced_in = "base" if rules.inverse else "quote"
    if unit != priced_in:
        return amount / size
    if price is None:
        return None
    return amount * price / size if rules.inverse else amount / price / size


def _amount(
    request: OrderRequest, unit: Unit, rules: MarketRules, price: Decimal | None, changes: list[str]
) -> Decimal:
    wanted = _in_exchange_unit(request.amount, unit, rules, price)
    if wanted is None:
        raise _no_price(request, unit, rules)
    told = rules.amount != UNTOLD
    amount = (rules.amount if told or unit == _own_unit(rules) else _QUOTIENTS).truncated(wanted)
    if amount <= 0:
        raise _nothing_left(request, unit, rules, wanted)
    if told and amount != wanted:
        changes.append(
            f"amount is cut from {about(wanted)} to {plain(amount)} {rules.unit}{_because(rules, rules.amount)}."
        )
    return amount


def _cost(request: OrderRequest, unit: Unit, rules: MarketRules, price: Decimal | None, changes: list[str]) -> Decimal:
    if unit == "base" and price is None:
        raise _no_price(request, unit, rules)
    wanted = request.amount * price if unit == "base" and price is not None else request.amount
    cost = rules.cost.truncated(wanted)
    if cost <= 0:
        raise Failure(
            Code.INVALID_ORDER,
            f"amount is {plain(request.amount)} {_name(unit, rules)}, which costs {about(wanted)} {rules.quote}; "
            f"the smallest cost on {rules.symbol} is {_smallest(rules.cost, rules.costs.least)} {rules.quote}.",
            hint="Raise the amount.",
            details={"field": "amount", "value": plain(request.amount)},
        )
    if unit == "base" and price is not None:
        changes.append(
            f"market buys on this exchange go by cost: {plain(request.amount)} {rules.base} at {plain(price)} "
            f"is {plain(cost)} {rules.quote}."
        )
    elif cost != wanted:
        changes.append(f"cost is cut from {about(wanted)} to {plain(cost)} {rules.quote}{_because(rules, rules.cost)}.")
    return cost


def _rounded(name: str, price: Decimal | None, rules: MarketRules, changes: list[str]) -> Decimal | None:
    if price is None:
        return None
    rounded = rules.price.rounded(price)
    if rounded <= 0:
        raise Failure(
            Code.INVALID_ORDER,
            f"{name} is {plain(price)}; the smallest price on {rules.symbol} is {_smallest(rules.price, None)}.",
            hint=f"Raise {name}.",
            details={"field": name, "value": plain(price)},
        )
    if rounded != price:
        changes.append(f"{name} is rounded from {plain(price)} to {plain(rounded)}{_because(rules, rules.price)}.")
    return rounded


def _because(rules: MarketRules, precision: Precision) -> str:
    if precision.step is not None:
        return f": {rules.symbol} has steps of {plain(precision.step)}"
    return f": {rules.symbol} has {precision.digits} significant digits"


def _smallest(precision: Precision, least: Decimal | None) -> str:
    return plain(max(bound for bound in (precision.step, least) if bound is not None))


def _no_price(request: OrderRequest, unit: Unit, rules: MarketRules) -> Failure:
    side = "ask" if request.side == "buy" else "bid"
    other = "contracts" if rules.contract else "base" if unit == "quote" else "quote"
    return Failure(
        Code.INVALID_ORDER,
        f"amount is in {_name(unit, rules)}, and {rules.symbol} shows no {side} to convert it with.",
        hint=f"Give the amount with unit {other}, or wait until the market has prices.",
        details={"field": "amount", "missing": side},
    )


def _nothing_left(request: OrderRequest, unit: Unit, rules: MarketRules, wanted: Decimal) -> Failure:
    smallest = _smallest(rules.amount, rules.amounts.least)
    converted = "" if unit == _own_unit(rules) else f", which is {about(wanted)} {rules.unit}"
    return Failure(
        Code.INVALID_ORDER,
        f"amount is {plain(request.amount)} {_name(unit, rules)}{converted}; "
        f"the smallest amount on {rules.symbol} is {smallest} {rules.unit}.",
        hint="Raise the amount.",
        details={"field": "amount", "value": plain(request.amount), "least": smallest},
    )
