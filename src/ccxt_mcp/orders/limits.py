"""Limits: what an account may do at most, whatever anybody asks for. What is not known counts as too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Self

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.facts import OrderFacts
from ccxt_mcp.orders.number import about, exact, known, plain, shown, sure

_LISTS = ("allow_symbols", "deny_symbols", "allow_exchanges", "deny_exchanges")
_COUNTS = ("open_orders", "orders_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """An account's limits. None is no limit, but for `allow_…`, where it is everything.

    Attributes:
        order_notional: value of one order, in US dollars, at the worst of its prices and the market's.
        daily_notional: value of all orders of a day (UTC), in US dollars.
        open_orders: orders that rest at the same time.
        orders_per_minute: orders within any minute.
        price_collar: percent by which a limit may be worse than the market, or than its own trigger; and that a market
            order's bid and ask may be apart.
        leverage: leverage that may be set, and that an order may be placed with.
        daily_loss: loss of a day (UTC), in US dollars, after which only reducing orders pass.
        confirm_above: value in US dollars above which a human is asked, whatever the money.
        allow_symbols: the only symbols that may be traded; patterns such as BTC/USDT, BTC/* or */USDT.
        deny_symbols: symbols that may not be traded, even if they are allowed.
        allow_exchanges: the only exchanges that may be traded on.
        deny_exchanges: exchanges that may not be traded on.
    """

    order_notional: Decimal | None = None
    daily_notional: Decimal | None = None
    open_orders: int | None = None
    orders_per_minute: int | None = None
    price_collar: Decimal | None = None
    leverage: Decimal | None = None
    daily_loss: Decimal | None = None
    confirm_above: Decimal | None = None
    allow_symbols: tuple[str, ...] | None = None
    deny_symbols: tuple[str, ...] = ()
    allow_exchanges: tuple[str, ...] | None = None
    deny_exchanges: tuple[str, ...] = ()

    @classmethod
    def of(cls, mode: str, *overrides: Mapping[str, Any]) -> Self:
        """Return the limits of an account: the defaults of its mode, then each of the overrides over those before.

        A value of None leaves the limit as it is. What is denied once stays denied: those lists add up.

        Args:
            mode: live, testnet, paper or simulated.
            overrides: settings by limit, the general ones first.

        Raises:
            Failure: INVALID_ARGUMENT that names a limit which does not exist, or a value that is none.
        """
        limits = cls(**defaults(mode))
        for values in overrides:
            changes = {name: _read(name, value) for name, value in values.items() if value is not None}
            for name in ("deny_symbols", "deny_exchanges"):
                if name in changes:
                    changes[name] = tuple(dict.fromkeys((*getattr(limits, name), *changes[name])))
            limits = replace(limits, **changes)
        return limits

    def to_dict(self) -> dict[str, Any]:
        """The limits that are set, in JSON's types; decimals as text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _written(value) for name, value in values.items() if value is not None and value != ()}


def defaults(mode: str) -> dict[str, Any]:
    """Return the limits that a careful person would choose: narrow for real money, wide for play money."""
    if mode in {"testnet", "paper", "simulated"}:
        return dict(_PLAY)
    return dict(_LIVE)


_CONFIRM_ABOVE = Decimal(100_000)
_LIVE: dict[str, Any] = {
    "order_notional": Decimal(10_000),
    "daily_notional": Decimal(50_000),
    "open_orders": 20,
    "orders_per_minute": 10,
    "price_collar": Decimal(5),
    "leverage": Decimal(3),
    "daily_loss": Decimal(1_000),
    "confirm_above": _CONFIRM_ABOVE,
}
_PLAY: dict[str, Any] = {
    "order_notional": Decimal(1_000_000),
    "daily_notional": Decimal(10_000_000),
    "open_orders": 200,
    "orders_per_minute": 600,
    "price_collar": Decimal(20),
    "leverage": Decimal(20),
    "confirm_above": _CONFIRM_ABOVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What an account has used up; None where that is not known.

    Attributes:
        notional_today: value of its orders of today (UTC), in US dollars.
        orders_last_minute: orders that it placed within the last minute.
        open_orders: orders that rest now.
        loss_today: what it lost today (UTC), in US dollars; a gain is negative.
    """

    notional_today: Decimal | None = None
    orders_last_minute: int | None = None
    open_orders: int | None = None
    loss_today: Decimal | None = None


@exact
def check_order(limits: Limits, facts: OrderFacts, counters: Counters) -> None:
    """Refuse an order that goes past a limit, or of which it cannot be said that it does not.

    An order that can only reduce a position passes all amounts, counts and halts, for there must always be a way out.
    It is held to the lists of symbols and exchanges, and its limit price must not be further on the losing side of the
    market than the collar, where the market is known.

    Args:
        limits: the account's limits.
        facts: the order.
        counters: what the account has used up, this order not included.

    Raises:
        Failure: LIMIT_EXCEEDED; its details name the limit, its value, what was asked and what is used up.
    """
    _check_lists(limits, facts)
    if facts.reduces:
        _check_way_out(limits, facts)
        return
    _check_loss(limits, counters)
    _check_collar(limits, facts)
    _check_notional(limits, facts, counters)
    _check_counts(limits, facts, counters)
    if limits.leverage is not None and facts.leverage is not None:
        check_leverage(limits, facts.leverage)


@exact
def check_leverage(limits: Limits, leverage: Decimal) -> None:
    """Refuse a leverage above the limit.

    Raises:
        Failure: LIMIT_EXCEEDED.
    """
    if limits.leverage is None:
        return
    if sure(leverage) is None:
        raise _unknown("leverage", limits.leverage, "the leverage that is set")
    if leverage > limits.leverage:
        raise _exceeded(
            "leverage", limits.leverage, f"leverage is {_told(leverage)}", asked=leverage, hint="Set a lower leverage."
        )


@exact
def needs_confirmation(limits: Limits, facts: OrderFacts, *, mode: str) -> bool:
    """Return whether a human must be asked first: always for real money, and above a value for any.

    Never for an order that can only reduce a position. A value that is not known counts as above.
    """
    if facts.reduces:
        return False
    if mode == "live" or limits.confirm_above is None:
        return mode == "live"
    worth = sure(facts.notional)
    return worth is None or worth > limits.confirm_above


@exact
def allowed_now(limits: Limits, counters: Counters) -> dict[str, Any]:
    """Return what an account may still do: its limits, what is left of them, and what stops new orders now.

    Decimals are text, US dollars where they are amounts of money. What is not known is left out of `left`.
    """
    left: dict[str, Any] = {}
    spent, loss = sure(counters.notional_today), counters.loss_today
    if limits.daily_notional is not None and spent is not None:
        left["daily_notional"] = plain(max(limits.daily_notional - spent, Decimal(0)))
    if limits.daily_loss is not None and loss is not None and loss.is_finite():
        left["daily_loss"] = plain(max(limits.daily_loss - loss, Decimal(0)))
    if limits.open_orders is not None and counters.open_orders is not None:
        left["open_orders"] = max(limits.open_orders - counters.open_orders, 0)
    if limits.orders_per_minute is not None and counters.orders_last_minute is not None:
        left["orders_per_minute"] = max(limits.orders_per_minute - counters.orders_last_minute, 0)
    watched = ("daily_notional", "daily_loss", "open_orders", "orders_per_minute")
    stops = [name for name in watched if getattr(limits, name) is not None and left.get(name) in {None, 0, "0"}]
    return {"limits": limits.to_dict(), "left": left, "stops": stops}


def _check_lists(limits: Limits, facts: OrderFacts) -> None:
    for field, name, allow, deny in (
        ("exchange", facts.exchange, limits.allow_exchanges, limits.deny_exchanges),
        ("symbol", facts.symbol, limits.allow_symbols, limits.deny_symbols),
    ):
        if pattern := _matching(name, deny):
            raise _listed(f"deny_{field}s", pattern, field, name)
        if allow is not None and _matching(name, allow) is None:
            raise _listed(f"allow_{field}s", ", ".join(allow) or "nothing", field, name)


def _check_way_out(limits: Limits, facts: OrderFacts) -> None:
    if limits.price_collar is not None and facts.quote.fair is not None:
        _check_price(limits.price_collar, facts, facts.quote.fair)


def _check_price(collar: Decimal, facts: OrderFacts, market: Decimal) -> None:
    """Refuse a limit far on the losing side: a buy far above, a sell far below what it is held against.

    That is the market when the order becomes one of the market's: its trigger, where it waits for one. Far on the other
    side it only rests, which harms nobody.
    """
    price = facts.prices.get("price")
    if price is None:
        return
    reference = facts.prices.get("trigger_price", market)
    rests = price.is_finite() and (price <= reference if facts.side == "buy" else price >= reference)
    if not rests and not _distance(price, reference) <= collar:
        raise _outside("price", price, reference, collar)


def _check_loss(limits: Limits, counters: Counters) -> None:
    if limits.daily_loss is None:
        return
    loss = counters.loss_today
    if loss is None or not loss.is_finite():
        raise _unknown("daily_loss", limits.daily_loss, "what the account is worth")
    if loss >= limits.daily_loss:
        raise _exceeded(
            "daily_loss",
            limits.daily_loss,
            f"the account lost {about(loss)} USD today",
            used=loss,
            hint="Only cancels and reduce-only orders pass until midnight UTC.",
        )


def _check_collar(limits: Limits, facts: OrderFacts) -> None:
    collar, market = limits.price_collar, facts.quote.fair
    if collar is None:
        return
    if market is None:
        raise _unknown("price_collar", collar, f"the price of {facts.symbol}")
    _check_price(collar, facts, market)
    if not facts.market_order:
        return
    width = facts.quote.width
    if width is None:
        raise _unknown("price_collar", collar, f"bid and ask of {facts.symbol}")
    if width > collar:
        raise _exceeded(
            "price_collar",
            collar,
            f"bid and ask of {facts.symbol} are {about(width)} percent apart",
            asked=width,
            hint="Place a limit order.",
        )


def _check_notional(limits: Limits, facts: OrderFacts, counters: Counters) -> None:
    worth, spent = sure(facts.notional), sure(counters.notional_today)
    for name, limit, used in (
        ("order_notional", limits.order_notional, Decimal(0)),
        ("daily_notional", limits.daily_notional, spent),
    ):
        if limit is None:
            continue
        if worth is None:
            raise _unknown(name, limit, "the order's value in US dollars")
        if used is None:
            raise _unknown(name, limit, "the value of today's orders")
        if worth + used > limit:
            left = max(limit - used, Decimal(0))
            raise _exceeded(
                name,
                limit,
                f"the order is worth up to {about(worth)} USD and {about(left)} USD are left",
                asked=worth,
                used=used,
                hint="Lower the amount.",
            )


def _check_counts(limits: Limits, facts: OrderFacts, counters: Counters) -> None:
    rows = [("orders_per_minute", limits.orders_per_minute, counters.orders_last_minute, "Wait a minute.")]
    if facts.rests:
        rows.append(("open_orders", limits.open_orders, counters.open_orders, "Cancel an order first."))
    for name, limit, used, hint in rows:
        if limit is None:
            continue
        if used is None:
            raise _unknown(name, Decimal(limit), "how many there are")
        if used >= limit:
            raise _exceeded(name, Decimal(limit), f"there are {used}", asked=1, used=used, hint=hint)


def _distance(price: Decimal, market: Decimal) -> Decimal:
    """Return how far a price is from the market, in percent; beyond any bound where it is no price."""
    return abs(price - market) / market * 100 if price.is_finite() else Decimal("Infinity")


def _matching(name: str, patterns: tuple[str, ...]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(name.upper(), pattern.upper())), None)


def _outside(name: str, price: Decimal, market: Decimal, collar: Decimal) -> Failure:
    distance = _distance(price, market)
    return _exceeded(
        "price_collar",
        collar,
        f"{name} is {_told(price)}, {about(distance)} percent worse than {about(market)}",
        asked=distance,
        hint=f"Move {name} closer to that.",
    )


def _listed(limit: str, listed: str, field: str, name: str) -> Failure:
    return Failure(
        Code.LIMIT_EXCEEDED,
        f"{field} is {shown(name)}; {limit} of this account is {shown(listed)}.",
        hint="A human changes the account's limits.",
        details={"limit": limit, "value": listed, "asked": name},
    )


def _unknown(name: str, limit: Decimal, missing: str) -> Failure:
    return Failure(
        Code.LIMIT_EXCEEDED,
        f"{name} is {plain(limit)}, and {missing} is not known now, so that nothing may be placed.",
        hint="Try again when the exchange tells it; cancels and reduce-only orders pass.",
        details={"limit": name, "value": plain(limit), "missing": missing},
    )


def _exceeded(
    name: str, limit: Decimal, because: str, *, hint: str, asked: Decimal | int | None = None, used: Any = None
) -> Failure:
    details = {"limit": name, "value": plain(limit), "asked": _told(asked), "used": _told(used)}
    return Failure(
        Code.LIMIT_EXCEEDED,
        f"{name} is {plain(limit)}, and {because}.",
        hint=hint,
        details={key: value for key, value in details.items() if value is not None},
    )


def _told(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return about(value) if value.is_finite() else str(value)
    return None if value is None else str(value)


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    if name not in Limits.__dataclass_fields__:
        raise _no_limit(name, value, "one that does not exist")
    if name in _LISTS:
        if isinstance(value, str) or not all(isinstance(word, str) for word in value):
            raise _no_limit(name, value, "a list of texts")
        return tuple(value)
    number = known(value)
    if number is None or number < 0 or (name in _COUNTS and number != number.to_integral_value()):
        raise _no_limit(name, value, "a whole number" if name in _COUNTS else "a number that is not negative")
    return int(number) if name in _COUNTS else number


def _no_limit(name: str, value: Any, wanted: str) -> Failure:
    return Failure(
        Code.INVALID_ARGUMENT,
        f"The limit {shown(name)} is {shown(value)}; it must be {wanted}.",
        hint="docs/configuration.md lists all limits.",
    )
