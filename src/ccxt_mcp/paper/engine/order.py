"""Orders: what is asked for, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self

from .money import ZERO, exact, read, text, written

if TYPE_CHECKING:
    from collections.abc import Mapping

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit"]
TimeInForce = Literal["GTC", "IOC", "FOK", "PO"]
Status = Literal["untriggered", "open", "closed", "canceled", "rejected"]
Role = Literal["take_profit", "stop_loss"]

_REQUEST_NUMBERS = frozenset({
    "amount", "cost", "price", "trigger_price", "take_profit", "stop_loss", "trailing", "trailing_rate",
})  # fmt: skip
_ORDER_NUMBERS = frozenset({"amount", "filled", "cost", "average", "reserved", "opens", "protected", "extreme"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What is asked for.

    Attributes:
        symbol: the market.
        side: buy or sell.
        type: market, or limit with a price.
        amount: in base, or in contracts; None where `cost` is given.
        cost: quote to spend, for market buys on spot.
        price: of a limit order.
        time_in_force: rest (GTC), take and drop the rest (IOC), all or nothing (FOK), never take (PO).
        reduce_only: never more than closes the position; contracts only.
        trigger_price: the order waits until the market's price reaches it.
        trigger_rises: whether it is reached from below; None to judge by the present price.
        client_order_id: the caller's own id, never used twice.
        take_profit: once filled, a market order closes what was filled when the price reaches this.
        stop_loss: the same in the other direction; whichever comes first cancels the other.
        trailing: a stop at this distance, in quote, behind the best price since; market orders only.
        trailing_rate: the same, as a fraction of that price.
    """

    symbol: str
    side: Side
    type: OrderType
    amount: Decimal | None = None
    cost: Decimal | None = None
    price: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    trigger_rises: bool | None = None
    client_order_id: str | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    trailing: Decimal | None = None
    trailing_rate: Decimal | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for a price before it becomes an order of the market."""
        return self.trigger_price is not None or self.trails

    @property
    def trails(self) -> bool:
        """Whether its trigger follows the market."""
        return self.trailing is not None or self.trailing_rate is not None

    def to_dict(self) -> dict[str, Any]:
        """The request in JSON's types; numbers as text."""
        return written(asdict(self), _REQUEST_NUMBERS)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**read(document, _REQUEST_NUMBERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is known of an order. A snapshot: what happens later is another one.

    Attributes:
        id: its id, in the order of placing.
        number: its place among all orders; earlier ones go first.
        request: its present terms, amendments included.
        status: untriggered, open, or how it ended: closed (filled), canceled, rejected (when it was triggered).
        amount: in base, or in contracts; of a market order by cost, what was bought.
        filled: how much of it was executed.
        cost: value of that in quote.
        average: price of that; None before the first fill.
        fees: what was charged, by currency.
        currency: the currency that it holds.
        reserved: how much of it.
        opens: of a contract, the amount that `reserved` is the margin and fee of.
        created: milliseconds since the epoch.
        updated: the time of its last change.
        entered: since when its present terms hold; what the market did before does not concern it.
        traded: the time of its last fill.
        reason: why it ended before it was filled.
        role: what it is to its parent.
        parent: the order that it protects the fills of.
        sibling: the order that it cancels when it triggers.
        protected: of a parent, the amount that has orders to protect it.
        triggered: when its trigger was reached.
        extreme: of a trailing stop, the best price since it was placed.
    """

    id: str
    number: int
    request: OrderRequest
    status: Status
    amount: Decimal
    created: int
    updated: int
    entered: int
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    average: Decimal | None = None
    fees: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    currency: str
    reserved: Decimal = ZERO
    opens: Decimal = ZERO
    traded: int | None = None
    reason: str | None = None
    role: Role | None = None
    parent: str | None = None
    sibling: str | None = None
    protected: Decimal = ZERO
    triggered: int | None = None
    extreme: Decimal | None = None

    @property
    def symbol(self) -> str:
        """The market."""
        return self.request.symbol

    @property
    def side(self) -> Side:
        """Buy or sell."""
        return self.request.side

    @property
    def client_order_id(self) -> str | None:
        """The caller's own id."""
        return self.request.client_order_id

    @property
    def live(self) -> bool:
        """Whether it may still be filled."""
        return self.status in {"untriggered", "open"}

    @property
    @exact
    def remaining(self) -> Decimal:
        """How much of it was not executed, whether or not it may still be."""
        return self.amount - self.filled

    @property
    @exact
    def trigger(self) -> Decimal | None:
        """The price at which it triggers now; of a trailing stop, behind the best price since it was placed."""
        request = self.request
        if not request.trails or self.extreme is None:
            return request.trigger_price
        distance = request.trailing if request.trailing is not None else self.extreme * (request.trailing_rate or ZERO)
        return self.extreme + distance if request.side == "buy" else self.extreme - distance

    def to_dict(self) -> dict[str, Any]:
        """The order in JSON's types; numbers as text."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document["request"] = self.request.to_dict()
        document["fees"] = {currency: text(fee) for currency, fee in self.fees.items()}
        return written(document, _ORDER_NUMBERS)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        values = read(document, _ORDER_NUMBERS)
        values["request"] = OrderRequest.from_dict(document["request"])
        values["fees"] = {currency: Decimal(fee) for currency, fee in document["fees"].items()}
        return cls(**values)
