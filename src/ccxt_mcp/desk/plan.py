"""Plans: an order worked out to the last digit before anything is asked of a human or sent to an exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

from ccxt_mcp.call import Call
from ccxt_mcp.desk.confirmation import question_line
from ccxt_mcp.desk.prices import Prices, decimal_of
from ccxt_mcp.desk.standing import Standing
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.terms import OrderTerms
from ccxt_mcp.exchanges.venue import Venue, VenueKey
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.orders.client_ids import create_params, fits, lookup_params, new_client_id
from ccxt_mcp.orders.facts import OrderFacts
from ccxt_mcp.orders.limits import Limits, needs_confirmation
from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.number import plain
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.orders.preview import preview
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.rules import check
from ccxt_mcp.orders.sizing import Sized, size


@dataclass(frozen=True, slots=True)
class Placement:
    """An order as a caller asks for it.

    Attributes:
        exchange: the exchange's id.
        account: the account's name; None for the exchange's default.
        order: what is asked for.
        who: on whose behalf, for the audit.
        tool: what was called, for the audit.
        changes: the id of the order that this one changes, if it changes one.
    """

    exchange: str
    account: str | None
    order: OrderRequest
    who: str
    tool: str
    changes: str | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for, by name; what was left out is left out."""
        values = {field.name: getattr(self.order, field.name) for field in fields(self.order)}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        return {name: _written(value) for name, value in given.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """An order as it would be sent.

    Attributes:
        key: exchange, mode and account.
        order: what was asked for, with ccxt's own symbol.
        rules: the market's.
        quote: the market's touch.
        sized: what would be sent.
        usd: what one unit of the market's quote currency is worth in US dollars; None if unknown.
        limits: those of the account.
        terms: what the market takes beside plain orders.
        facts: what the limits look at.
        sent_id: the client order id that the exchange would get.
        id_params: the `params` by which it gets it.
    """

    key: VenueKey
    order: OrderRequest
    rules: MarketRules
    quote: Quote
    sized: Sized
    usd: Decimal | None
    limits: Limits
    terms: OrderTerms
    facts: OrderFacts
    sent_id: str
    id_params: Mapping[str, Any]

    @property
    def account(self) -> str:
        """The account's name."""
        return self.key.account or ""

    @property
    def reduces(self) -> bool:
        """Whether it does nothing but reduce a position that is there: a way out."""
        return self.facts.reduces

    @property
    def needs_confirmation(self) -> bool:
        """Whether a human must agree: to live orders, to large ones, and to those of which the size is unknown."""
        return needs_confirmation(self.limits, self.facts, mode=self.key.mode)

    @property
    def fingerprint(self) -> str:
        """What makes it this very order and no other."""
        return self.order.fingerprint(self.key.exchange, self.account)

    @property
    def effective(self) -> dict[str, Any]:
        """What is sent and what it comes to, in JSON's types."""
        return preview(self.order, self.sized, self.rules, self.quote, usd=self.usd)

    def question(self, action: str, arguments: Mapping[str, Any]) -> str:
        """Return what a human is asked about it, made of the caller's arguments."""
        return question_line(action, self.key.exchange, self.account, self.key.mode, arguments)


class Planner:
    """Works orders out.

    Args:
        gateway: the way to the exchanges.
        prices: fresh prices.
        standing: positions of accounts.
        randbits: random bits for client order ids.
    """

    def __init__(self, gateway: Gateway, prices: Prices, standing: Standing, *, randbits: Callable[[int], int]) -> None:
        self._gateway = gateway
        self._prices = prices
        self._standing = standing
        self._randbits = randbits

    async def plan(self, placement: Placement) -> Plan:
        """Return the order as it would be sent.

        Raises:
            Failure: the order breaks a rule of the market, the account does not exist, or orders are not allowed.
        """
        exchange = placement.exchange
        venue = await self._gateway.account_venue(exchange, placement.account, method="createOrder")
        venue.require("createOrder")
        account = venue.key.account or ""
        order = replace(placement.order, symbol=venue.resolve(placement.order.symbol))
        terms = venue.order_terms(order.symbol)
        _require(terms, order, f"{order.symbol} on {exchange}")
        rules = MarketRules.of(venue.markets[order.symbol], precision_mode=venue.exchange.precisionMode)
        quote = await self._prices.quote(exchange, account, order.symbol)
        sized = size(order, rules, quote, buys_by_cost=terms.buys_by_cost)
        check(order, sized, rules, quote)
        _require_side(terms, sized, order)
        usd = await self._prices.usd(exchange, account, rules.quote)
        limits = Limits.of(venue.key.mode, *self._gateway.settings.limits_of(account))
        leverage = await self._standing.leverage(venue, order.symbol) if rules.contract else None
        rests = placement.changes is None and (order.type == "limit" or order.waits)
        facts = OrderFacts.of(exchange, order, sized, rules, quote, usd=usd, leverage=leverage, rests=rests)
        if facts.reduces:
            facts = replace(facts, reduces=await self._reduces(venue, order, sized))
        sent_id = self._sent_id(venue, order.client_order_id)
        return Plan(
            key=venue.key,
            order=order,
            rules=rules,
            quote=quote,
            sized=sized,
            usd=usd,
            limits=limits,
            terms=terms,
            facts=facts,
            sent_id=sent_id,
            id_params=id_params(venue, "createOrder", sent_id, order.symbol),
        )

    async def _reduces(self, venue: Venue, order: OrderRequest, sized: Sized) -> bool:
        """Whether a position is there that the order reduces; what an exchange ignores must not pass for an exit."""
        positions = await self._standing.positions(venue.key.exchange, venue.key.account or "", order.symbol)
        side = {"sell": "long", "buy": "short"}[order.side]
        held = [
            decimal_of(position.get("contracts")) or Decimal(0)
            for position in positions or ()
            if position.get("symbol") == order.symbol and position.get("side") == side
        ]
        return sized.amount is not None and sized.amount <= sum(held, Decimal(0))

    def _sent_id(self, venue: Venue, wanted: str | None) -> str:
        """Return the id that the exchange gets: the caller's where it has a form that the exchange accepts."""
        if wanted is None:
            return new_client_id(venue.dialect, self._randbits)
        if venue.brokered("createOrder") or fits(venue.dialect, wanted):
            return wanted
        digest = int.from_bytes(sha256(wanted.encode()).digest())
        return new_client_id(venue.dialect, lambda bits: digest % 2**bits)


def id_params(
    venue: Venue, method: Literal["createOrder", "fetchOrder", "cancelOrder"], client_id: str, symbol: str | None
) -> dict[str, Any]:
    """Return the `params` by which a ccxt method takes an id of ours; none where it takes none.

    Args:
        venue: the account's exchange.
        method: ccxt's method.
        client_id: our id.
        symbol: the order's market, where it is known.
    """
    if venue.brokered(method):
        return {"clientOrderId": client_id}
    if method == "createOrder":
        return create_params(venue.dialect, client_id)
    contract = None if symbol is None else bool(venue.markets[symbol].get("contract"))
    return lookup_params(venue.dialect, method, client_id, contract=contract)


def create_call(plan: Plan) -> Call:
    """Return the call that places a planned order."""
    sized = plan.sized
    arguments = {
        "type": plan.order.type,
        "side": plan.order.side,
        "amount": number(sized.cost if sized.amount is None and sized.cost is not None else sized.amount),
        "price": number(sized.price),
        "params": _params(plan),
    }
    return Call("createOrder", plan.key.exchange, plan.order.symbol, arguments=arguments, account=plan.account)


def _require(terms: OrderTerms, order: OrderRequest, where: str) -> None:
    """Refuse what the market does not take; an exchange would drop it silently, or take it for something else."""
    wanted = {name for name in ("trigger_price", "take_profit", "stop_loss") if getattr(order, name) is not None}
    if order.trailing is not None:
        wanted.add("trailing_distance" if order.trailing.percent is None else "trailing_percent")
    wanted |= {order.time_in_force} & {"IOC", "FOK"} | ({"PO"} if order.post_only else set())
    for name in sorted(word for word in wanted if word is not None):
        terms.require(name, where)


def _require_side(terms: OrderTerms, sized: Sized, order: OrderRequest) -> None:
    """Refuse a trigger where its exchange must be told on which side of the market it is, and nobody knows."""
    if sized.trigger_price is None or sized.trigger_rises is not None or not (terms.directed or terms.triggers_by_kind):
        return
    raise Failure(
        Code.INVALID_ORDER,
        f"trigger_price is {plain(sized.trigger_price)}, and {order.symbol} shows no price to tell its side by.",
        hint="Try again when the market has prices.",
        details={"field": "trigger_price", "value": plain(sized.trigger_price)},
    )


def _written(value: Any) -> Any:
    """Return an argument as a person reads it."""
    if isinstance(value, Decimal):
        return plain(value)
    return value if isinstance(value, bool) else str(value)


def _params(plan: Plan) -> dict[str, Any]:
    """Return ccxt's unified `params`: a fixed set of names, so that nothing can override an argument."""
    order, sized = plan.order, plan.sized
    by_cost = sized.cost is not None
    params: dict[str, Any] = {
        **plan.id_params,
        "timeInForce": order.time_in_force,
        "postOnly": order.post_only or None,
        "reduceOnly": order.reduce_only or None,
        "cost": number(sized.cost),
        "createMarketBuyOrderRequiresPrice": False if by_cost else None,
        "takeProfit": None if sized.take_profit is None else {"triggerPrice": number(sized.take_profit)},
        "stopLoss": None if sized.stop_loss is None else {"triggerPrice": number(sized.stop_loss)},
        "trailingAmount": None if order.trailing is None else number(order.trailing.distance),
        "trailingPercent": None if order.trailing is None else number(order.trailing.percent),
        **_trigger(plan),
    }
    return {name: value for name, value in params.items() if value is not None}


def _trigger(plan: Plan) -> dict[str, Any]:
    price, rises = number(plan.sized.trigger_price), plan.sized.trigger_rises
    if price is None:
        return {}
    if plan.terms.triggers_by_kind:  # a buy that waits for a rise is a stop, one that waits for a fall takes profit
        return {"stopLossPrice" if rises == (plan.order.side == "buy") else "takeProfitPrice": price}
    direction = ("ascending" if rises else "descending") if plan.terms.directed else None
    return {"triggerPrice": price, "triggerDirection": direction}


def number(value: Decimal | None) -> float | str | None:
    """Return a decimal as ccxt takes it: a number where that holds every digit, else its text."""
    if value is None:
        return None
    as_float = float(value)
    return as_float if Decimal(repr(as_float)) == value else format(value, "f")
