"""Order request: what a caller asks for, read strictly and before anything is known of the market."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal, Self, get_args

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.fingerprint import fingerprint
from ccxt_mcp.orders.number import exact, plain, read, require, shown
from ccxt_mcp.orders.quote import Side

OrderType = Literal["market", "limit"]
Unit = Literal["base", "quote", "contracts"]
TimeInForce = Literal["GTC", "IOC", "FOK", "PO"]

PRICES = ("price", "trigger_price", "take_profit", "stop_loss")
"""The fields of an order that are prices."""

_WORDS: dict[str, tuple[str, ...]] = {
    "side": get_args(Side),
    "type": get_args(OrderType),
    "unit": get_args(Unit),
    "time_in_force": get_args(TimeInForce),
}
_FLAGS = ("post_only", "reduce_only")
_REQUIRED = ("symbol", "side", "type", "amount")


@dataclass(frozen=True, slots=True)
class Trailing:
    """How far a trailing stop stays behind the best price: a distance in quote, or a percentage of that price."""

    distance: Decimal | None = None
    percent: Decimal | None = None

    @classmethod
    def read(cls, value: Any) -> Self:
        """Return what a caller wrote: "1.5%" of the price, or a distance in quote.

        Raises:
            Failure: INVALID_ORDER where it is neither.
        """
        if isinstance(value, str) and value.strip().endswith("%"):
            return cls(percent=read("trailing", value.strip()[:-1]))
        return cls(distance=read("trailing", value))

    @exact
    def at(self, price: Decimal) -> Decimal:
        """Return the distance in quote from a price."""
        if self.percent is not None:
            return price * self.percent / 100
        return self.distance or Decimal(0)

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{plain(self.percent)}%"
        return plain(self.distance or Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as it was asked for.

    Attributes:
        symbol: ccxt's unified symbol.
        side: buy or sell.
        type: market, or limit with a price.
        amount: how much, in `unit`.
        unit: base, quote or contracts; None where the caller left it open.
        price: of a limit order.
        time_in_force: rest until canceled (GTC), take and drop the rest (IOC), all or nothing (FOK), never take (PO);
            None leaves it to the exchange.
        post_only: never take; the same as PO.
        reduce_only: never more than closes the position; contracts only.
        trigger_price: the order waits until the market reaches it.
        take_profit: once filled, a market order closes what was filled when the market reaches this price.
        stop_loss: the same on the losing side.
        trailing: the order is a stop that follows the market.
        client_order_id: the caller's own id.
    """

    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    unit: Unit | None = None
    price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    trailing: Trailing | None = None
    client_order_id: str | None = None

    @classmethod
    def read(cls, **arguments: Any) -> Self:
        """Return the request that a caller's arguments make; None leaves an optional one out.

        Numbers may be texts, integers, floats or decimals. PO becomes `post_only`.

        Raises:
            Failure: INVALID_ORDER that names the argument, its value and what it may be.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        for name in _REQUIRED:
            if name not in given:
                raise _refusal(name, "missing", "given")
        values = {name: _read(name, value) for name, value in given.items()}
        if values.get("time_in_force") == "PO":
            values |= {"time_in_force": None, "post_only": True}
        return cls(**values)

    @property
    def waits(self) -> bool:
        """Whether it waits for a price before it becomes an order of the market."""
        return self.trigger_price is not None or self.trailing is not None

    @property
    def never_takes(self) -> bool:
        """Whether it must rest, in either spelling."""
        return self.post_only or self.time_in_force == "PO"

    def require_numbers(self) -> None:
        """Refuse numbers that are not above zero, finite and of a size that can be reckoned with.

        Raises:
            Failure: INVALID_ORDER.
        """
        require("amount", self.amount)
        for name in PRICES:
            if (number := getattr(self, name)) is not None:
                require(name, number)
        if self.trailing is not None:
            for number in (self.trailing.distance, self.trailing.percent):
                if number is not None:
                    require("trailing", number)

    def fingerprint(self, exchange: str, account: str) -> str:
        """Return the text that is the same for the same order only, however its numbers were written."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        facts["post_only"] = self.never_takes
        facts["time_in_force"] = None if self.time_in_force == "PO" else self.time_in_force
        facts["trailing"] = None if self.trailing is None else str(self.trailing)
        return fingerprint(exchange, account, "create", facts)


def _read(name: str, value: Any) -> Any:
    if name in _WORDS:
        return _word(name, value, _WORDS[name])
    if name == "amount" or name in PRICES:
        return read(name, value)
    if name == "trailing":
        return Trailing.read(value)
    wanted = bool if name in _FLAGS else str
    if not isinstance(value, wanted):
        raise _refusal(name, value, "true or false" if wanted is bool else "text")
    return value


def _word(name: str, value: Any, words: tuple[str, ...]) -> str:
    text = value.strip() if isinstance(value, str) else ""
    text = text.upper() if name == "time_in_force" else text.lower()
    if text not in words:
        raise _refusal(name, value, f"{', '.join(words[:-1])} or {words[-1]}")
    return text


def _refusal(name: str, value: Any, wanted: str) -> Failure:
    return Failure(
        Code.INVALID_ORDER,
        f"{name} is {shown(value)}; it must be {wanted}.",
        details={"field": name, "value": shown(value)},
    )
