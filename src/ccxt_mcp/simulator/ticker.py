"""Tickers: the newest price, the touch and the figures of the last 24 hours, as Bybit writes them.

The 24 hours are the last 1440 one-minute candles, the one being formed included; `prevPrice24h` is the open of the
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .history import MINUTE_MS
from .prices import SESSION_MS

if TYPE_CHECKING:
    from .world import Venue

PRICES = (
    "bid1Price", "bid1Size", "ask1Price", "ask1Size", "lastPrice", "prevPrice24h", "price24hPcnt", "highPrice24h",
    "lowPrice24h", "prevPrice1h", "markPrice", "indexPrice", "usdIndexPrice",
)  # fmt: skip
"""The fields that tell a price; a blank ticker has none of them."""


def ticker(venue: Venue, now: int) -> dict[str, str]:
    """The ticker of /v5/market/tickers; `now` in milliseconds."""
    market, book = venue.market, venue.depth.book(now, 1)
    (bid,), (ask,) = book.bids, book.asks
    touch = {
        "bid1Price": market.price(bid.price),
        "bid1Size": market.size(bid.size),
        "ask1Price": market.price(ask.price),
        "ask1Size": market.size(ask.size),
    }
    return {"symbol": market.symbol, **touch, **_day(venue, now), **_extra(venue, now)}


def live_ticker(venue: Venue, now: int) -> dict[str, str]:
    """The ticker of the WebSocket topic, which has no bid and ask for spot."""
    if venue.contract is not None:
        return ticker(venue, now)
    return {"symbol": venue.market.symbol, **_day(venue, now), **_extra(venue, now)}


def _day(venue: Venue, now: int) -> dict[str, str]:
    market, day = venue.market, venue.tape.day(now)
    change = day.close / day.open - 1
    return {
        "lastPrice": market.price(day.close),
        "prevPrice24h": market.price(day.open),
        "price24hPcnt": f"{change:.4f}" if market.category == "spot" else f"{change:.6f}",
        "highPrice24h": market.price(day.high),
        "lowPrice24h": market.price(day.low),
        "turnover24h": market.value(day.turnover),
        "volume24h": market.size(day.volume),
    }


def _extra(venue: Venue, now: int) -> dict[str, str]:
    """What only spot or only contracts tell; ccxt takes a WebSocket ticker for spot by `usdIndexPrice`."""
    market, contract = venue.market, venue.contract
    if contract is None:
        reference = venue.reference
        return {"usdIndexPrice": reference.market.price(reference.last(now).price)}
    session, mark, interest = now // SESSION_MS, contract.mark(now), contract.open_interest(now)
    hour_ago = venue.tape.history.minute(now // MINUTE_MS - 60)
    return {
        "indexPrice": market.price(contract.index(now)),
        "markPrice": market.price(mark),
        "prevPrice1h": market.price(hour_ago.open),
        "openInterest": market.size(interest),
        "openInterestValue": market.value(interest * mark),
        "fundingRate": f"{contract.funding_rate(session):.8f}",
        "nextFundingTime": str((session + 1) * SESSION_MS),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
    }
