"""One symbol on many exchanges: where it is cheapest to buy, where dearest to sell, and who deviates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any, Self

from ccxt_mcp.analytics.decimals import bps, number, positive
from ccxt_mcp.envelope import Table

QUOTE_COLUMNS = ("exchange", "bid", "ask", "last", "mid", "deviationBps", "timestamp", "ageMs")

_GROSS = "gapBps is gross: fees, transfer, slippage and the quotes' different ages are not taken off."


@dataclass(frozen=True, slots=True)
class Quote:
    """What one exchange quotes for a symbol.

    Attributes:
        exchange: who quotes.
        bid: highest price that somebody pays.
        ask: lowest price for which somebody sells.
        last: price of the latest trade.
        timestamp: the exchange's own time of the quote, in milliseconds since the epoch.
        age_ms: milliseconds since we received it.
    """

    exchange: str
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    timestamp: int | None = None
    age_ms: int | None = None

    @classmethod
    def of(cls, exchange: str, ticker: Mapping[str, Any], *, age_ms: int | None = None) -> Self:
        """Return the quote that ccxt's unified ticker holds."""
        return cls(exchange, ticker.get("bid"), ticker.get("ask"), ticker.get("last"), ticker.get("timestamp"), age_ms)

    @property
    def crossed(self) -> bool:
        """Whether it bids above its own ask, which no market does for long: such a quote is not to be believed."""
        bid, ask = positive(self.bid), positive(self.ask)
        return bid is not None and ask is not None and bid > ask

    @property
    def mid(self) -> Decimal | None:
        """The middle of bid and ask; the latest trade where one of the two is missing."""
        bid, ask = positive(self.bid), positive(self.ask)
        return positive(self.last) if bid is None or ask is None else (bid + ask) / 2


def compare_prices(quotes: Sequence[Quote]) -> dict[str, Any]:
    """Return the best bid and ask, the gap between them, the median, and each exchange's deviation from it.

    All quotes must be of one unified symbol: a price in USD and one in USDT, or a spot price and a perpetual's, are
    different things, and the caller keeps them apart. Missing and non-positive prices are left out, never guessed;
    an exchange that bids above its own ask is named in `crossed` and takes no part.

    Formulas: gap = best bid - best ask, gapBps = gap / ((best bid + best ask) / 2) x 10^4; above zero somebody bids
    more than somebody else asks. median is that of the mids (see `Quote.mid`), deviationBps = (mid - median) /
    median x 10^4, midRangeBps = (highest mid - lowest mid) / median x 10^4.
    """
    sane = [quote for quote in quotes if not quote.crossed]
    bids = [(price, quote) for quote in sane if (price := positive(quote.bid)) is not None]
    asks = [(price, quote) for quote in sane if (price := positive(quote.ask)) is not None]
    mids = [mid for quote in sane if (mid := quote.mid) is not None]
    best_bid = max(bids, key=lambda pair: pair[0], default=None)
    best_ask = min(asks, key=lambda pair: pair[0], default=None)
    facts: dict[str, Any] = {}
    if best_bid:
        facts["bestBid"] = {"exchange": best_bid[1].exchange, "price": best_bid[1].bid}
    if best_ask:
        facts["bestAsk"] = {"exchange": best_ask[1].exchange, "price": best_ask[1].ask}
    if best_bid and best_ask:
        facts |= _gap(best_bid[0], best_ask[0])
    middle = median(mids) if mids else None
    if middle is not None:
        low, high = min(mids), max(mids)
        facts |= {"median": number(middle), "midLow": number(low), "midHigh": number(high)}
        facts["midRangeBps"] = bps(high - low, middle)
    if crossed := [quote.exchange for quote in quotes if quote.crossed]:
        facts["crossed"] = crossed
    return facts | {"quotes": Table(QUOTE_COLUMNS, [_row(quote, middle) for quote in quotes])}


def _gap(bid: Decimal, ask: Decimal) -> dict[str, Any]:
    gap = bid - ask
    facts: dict[str, Any] = {"gap": number(gap), "gapBps": bps(gap, (bid + ask) / 2)}
    return facts | {"note": _GROSS} if gap > 0 else facts


def _row(quote: Quote, middle: Decimal | None) -> list[Any]:
    mid = quote.mid
    deviation = None if mid is None or middle is None else bps(mid - middle, middle)
    shown = None if mid is None else number(mid)
    return [quote.exchange, quote.bid, quote.ask, quote.last, shown, deviation, quote.timestamp, quote.age_ms]
