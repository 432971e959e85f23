"""An order book of the market, as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Level(NamedTuple):
    """A price, and the amount (base, or contracts) on offer there."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides, best prices first."""

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    @classmethod
    def at(cls, price: Decimal) -> Book:
        """A market of one price at which any amount may be had: all that a lone trade or candle tells."""
        level = (Level(price, Decimal("1e30")),)
        return cls(level, level)

    def offers(self, side: str) -> tuple[Level, ...]:
        """What an order of this side ('buy' or 'sell') would take."""
        return self.asks if side == "buy" else self.bids

    @property
    def price(self) -> Decimal | None:
        """The middle of the best prices, or the only one that there is."""
        best = [side[0].price for side in (self.bids, self.asks) if side]
        return sum(best, Decimal(0)) / len(best) if best else None
