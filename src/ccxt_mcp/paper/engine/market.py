"""A market as the engine needs it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A spot market, or a linear contract.

    Attributes:
        symbol: the name by which orders and events refer to it.
        base: the currency that is traded.
        quote: the currency that prices are in.
        settle: the currency that a contract settles in; None for spot.
        contract_size: base units in a contract; 1 for spot.
        price_step: prices are multiples of it; None for any price.
        amount_step: amounts (base, or contracts) are multiples of it; None for any amount.
        min_amount: the least amount of an order; None for no bound.
        max_amount: the most.
        min_cost: the least value of an order in quote; orders that only reduce are exempt.
        maker: fee rate of an order that rested, as a fraction; negative is a rebate.
        taker: fee rate of an order that took.
        max_leverage: the most leverage of a contract.
        leverage: what a contract's leverage is before it is set.
        maintenance: maintenance margin as a fraction of the entry value.
    """

    symbol: str
    base: str
    quote: str
    settle: str | None = None
    contract_size: Decimal = _ONE
    price_step: Decimal | None = None
    amount_step: Decimal | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    min_cost: Decimal | None = None
    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    max_leverage: Decimal = _ONE
    leverage: Decimal = _ONE
    maintenance: Decimal = Decimal("0.005")

    @property
    def spot(self) -> bool:
        """Whether base and quote change hands; a contract only settles."""
        return self.settle is None

    @property
    def money(self) -> str:
        """The currency that a trade is paid in: quote for spot, settle for a contract."""
        return self.quote if self.settle is None else self.settle

    def fee_rate(self, *, maker: bool) -> Decimal:
        """The fee of a fill as a fraction of what is charged."""
        return self.maker if maker else self.taker


class Markets(Protocol):
    """Markets by symbol; a mapping is one."""

    def get(self, symbol: str, /) -> Market | None:
        """Return a market, or None."""
        ...
