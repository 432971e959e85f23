"""A position in a linear contract: one per market, with isolated margin."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self

from .money import ZERO, exact, quotient, read, share, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .order import Side

_NUMBERS = frozenset({
    "contracts", "contract_size", "cost", "margin", "leverage", "maintenance", "mark", "realised", "fees", "funding",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A position. A snapshot: what happens later is another one.

    Attributes:
        symbol: the market.
        side: long or short.
        contracts: how many, without a sign; 0 tells that it was closed.
        contract_size: base units in a contract.
        currency: the currency that it settles in.
        cost: value at entry, in quote; of what is still open.
        margin: what is held for it. A loss never exceeds it.
        leverage: entry value to margin, as it was set.
        maintenance: maintenance margin as a fraction of the entry value.
        mark: the last known mark price.
        realised: profit of the parts closed since it was opened, before fees.
        fees: what was charged for it since.
        funding: what it received since, or paid where negative.
        opened: milliseconds since the epoch.
        updated: the time of its last fill, funding or change of leverage.
    """

    symbol: str
    side: Literal["long", "short"]
    contracts: Decimal
    contract_size: Decimal
    currency: str
    cost: Decimal
    margin: Decimal
    leverage: Decimal
    maintenance: Decimal
    mark: Decimal
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    opened: int
    updated: int

    @property
    def closing_side(self) -> Side:
        """The side of an order that makes it smaller."""
        return "sell" if self.side == "long" else "buy"

    @property
    def entry_price(self) -> Decimal:
        """The average price of what is open; 0 when it was closed."""
        return self._per_unit(self.cost)

    @property
    @exact
    def value(self) -> Decimal:
        """Its value at the mark price, in quote."""
        return self.mark * self.contracts * self.contract_size

    @property
    @exact
    def unrealised(self) -> Decimal:
        """Its profit at the mark price, before fees."""
        gain = self.mark * self.contracts * self.contract_size - self.cost
        return gain if self.side == "long" else -gain

    @property
    @exact
    def maintenance_margin(self) -> Decimal:
        """The least that margin and unrealised profit together may fall to."""
        return self.cost * self.maintenance

    @property
    @exact
    def bankrupt_value(self) -> Decimal:
        """The value at which the loss is all of the margin."""
        return self.cost - self.margin if self.side == "long" else self.cost + self.margin

    @property
    def bankruptcy_price(self) -> Decimal:
        """The price at which the loss is all of the margin; 0 when it was closed."""
        return self._per_unit(self.bankrupt_value)

    @property
    @exact
    def liquidation_price(self) -> Decimal | None:
        """The mark price at which it is taken over; None when no price is low enough."""
        buffer = self.margin - self.cost * self.maintenance
        price = self._per_unit(self.cost - buffer if self.side == "long" else self.cost + buffer)
        return price if price > 0 else None

    @property
    @exact
    def liquidated(self) -> bool:
        """Whether the mark price has consumed what keeps it open."""
        return self.margin + self.unrealised <= self.maintenance_margin

    @exact
    def share(self, contracts: Decimal) -> tuple[Decimal, Decimal]:
        """The entry value and the margin of a part of it."""
        return share(self.cost, contracts, self.contracts), share(self.margin, contracts, self.contracts)

    @exact
    def _per_unit(self, value: Decimal) -> Decimal:
        units = self.contracts * self.contract_size
        return quotient(value, units) if units else ZERO

    def to_dict(self) -> dict[str, Any]:
        """The position in JSON's types; numbers as text."""
        return written(asdict(self), _NUMBERS)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**read(document, _NUMBERS))
