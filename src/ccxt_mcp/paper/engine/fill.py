"""What moves money: fills of orders, and funding payments."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from .money import read, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .order import Side

_NUMBERS = frozenset({"price", "amount", "cost", "fee", "realised"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A part of an order that was executed.

    Attributes:
        id: its own id.
        order_id: the order; of a liquidation, which has no order, the same as `id`.
        client_order_id: the order's.
        symbol: the market.
        side: what the order did.
        price: in quote.
        amount: in base, or in contracts.
        cost: value in quote: price times amount times contract size.
        fee: what was charged; negative is a rebate.
        fee_currency: base for a spot buy, quote for a spot sell, settle for a contract.
        maker: whether the order had rested.
        realised: profit of the position that this fill closed, in settle, before fees.
        liquidation: whether the position was taken over at its bankruptcy price.
        time: milliseconds since the epoch.
    """

    id: str
    order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    price: Decimal
    amount: Decimal
    cost: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    realised: Decimal = Decimal(0)
    liquidation: bool = False
    time: int

    def to_dict(self) -> dict[str, Any]:
        """The fill in JSON's types; numbers as text."""
        return written(asdict(self), _NUMBERS)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**read(document, _NUMBERS))


@dataclass(frozen=True, slots=True)
class Payment:
    """Funding that a position received, or paid where `amount` is negative."""

    symbol: str
    currency: str
    amount: Decimal
    rate: Decimal
    time: int
