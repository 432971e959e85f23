"""Quote: what a market's prices were a moment ago, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ccxt_mcp.orders.number import exact, positive

Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class Quote:
    """A market's prices; None for those that are not known. What is no price (zero, NaN) counts as not known.

    Attributes:
        bid: the best price that somebody buys at.
        ask: the best price that somebody sells at.
        last: the price of the last trade.
        mark: the exchange's fair price of a contract.
        age_ms: how old the prices are, in milliseconds.
    """

    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    mark: Decimal | None = None
    age_ms: int | None = None

    @property
    @exact
    def mid(self) -> Decimal | None:
        """The middle of bid and ask; None unless both are known and in order."""
        bid, ask = positive(self.bid), positive(self.ask)
        if bid is None or ask is None or bid > ask:
            return None
        return (bid + ask) / 2

    @property
    def fair(self) -> Decimal | None:
        """What the market is worth now: the middle, or else the mark price. A last trade may be old, so it never is."""
        mid = self.mid
        return positive(self.mark) if mid is None else mid

    @property
    def market(self) -> Decimal | None:
        """Where the market is, to compare a trigger with: the fair price, or else the last trade's."""
        fair = self.fair
        return positive(self.last) if fair is None else fair

    @property
    @exact
    def width(self) -> Decimal | None:
        """The distance of ask and bid in percent of the middle; None where that is not known."""
        mid, bid, ask = self.mid, positive(self.bid), positive(self.ask)
        if mid is None or bid is None or ask is None:
            return None
        return (ask - bid) / mid * 100

    def taking(self, side: Side) -> Decimal | None:
        """Return the price at which an order of this side is filled at once: the ask for a buy, the bid for a sell."""
        return positive(self.ask if side == "buy" else self.bid)
