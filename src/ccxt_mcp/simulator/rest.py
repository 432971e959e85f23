"""The public REST endpoints: each is a function of the query and the time that returns Bybit's `result`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .funding import OPEN_INTEREST_MS
from .history import MINUTE_MS
from .instruments import instrument
from .klines import INTERVALS, row
from .markets import LAUNCH
from .prices import SESSION_MS
from .query import Query, read_category, read_limit, read_whole
from .refusal import Refusal
from .ticker import ticker

if TYPE_CHECKING:
    from .world import Venue, World

Endpoint = Callable[[Query, int], dict[str, Any]]

_MOST_TRADES = {"spot": 60, "linear": 1000}
_MOST_LEVELS = {"spot": 200, "linear": 500}
_USUAL_LEVELS = {"spot": 1, "linear": 25}


class Rest:
    """The endpoints by path. `now` is the time in milliseconds. An endpoint raises Refusal where Bybit refuses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.endpoints: Mapping[str, Endpoint] = {
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/tickers": self.tickers,
            "/v5/market/orderbook": self.order_book,
            "/v5/market/recent-trade": self.trades,
            "/v5/market/kline": self.klines,
            "/v5/market/funding/history": self.funding_history,
            "/v5/market/open-interest": self.open_interest,
        }

    def instruments(self, query: Query, _now: int) -> dict[str, Any]:
        """All markets of a category; those not trading are there too."""
        category = read_category(query)
        symbol, status = query.get("symbol"), query.get("status")
        listed = [
            instrument(market)
            for market in self._world.listed(category)
            if symbol in {None, market.symbol} and status in {None, market.status}
        ]
        if symbol is not None and not listed:
            raise Refusal(10001, "Not supported symbols")
        return {"category": category, "list": listed, "nextPageCursor": ""}

    def tickers(self, query: Query, now: int) -> dict[str, Any]:
        """One ticker, or those of a category."""
        category = read_category(query)
        venues = [self._venue(query)] if query.get("symbol") else self._world.trading(category)
        return {"category": category, "list": [ticker(venue, now) for venue in venues]}

    def order_book(self, query: Query, now: int) -> dict[str, Any]:
        """The best levels of both sides."""
        venue = self._venue(query)
        market = venue.market
        limit = read_limit(query, _USUAL_LEVELS[market.category], _MOST_LEVELS[market.category])
        book = venue.depth.book(now, limit)
        return {
            "s": market.symbol,
            "b": [[market.price(price), market.size(size)] for price, size in book.bids],
            "a": [[market.price(price), market.size(size)] for price, size in book.asks],
            "ts": now,
            "u": book.update,
            "seq": book.update,
            "cts": now,
        }

    def trades(self, query: Query, now: int) -> dict[str, Any]:
        """The newest trades, newest first."""
        venue = self._venue(query)
        market = venue.market
        most = _MOST_TRADES[market.category]
        limit = read_limit(query, min(500, most), most)
        return {
            "category": market.category,
            "list": [
                {
                    "execId": str(trade.id),
                    "symbol": market.symbol,
                    "price": market.price(trade.price),
                    "size": market.size(trade.size),
                    "side": "Buy" if trade.buy else "Sell",
                    "time": str(trade.time),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                    "seq": str(trade.id),
                }
                for trade in venue.tape.recent(now, limit)
            ],
        }

    def klines(self, query: Query, now: int) -> dict[str, Any]:
        """Candles, newest first. With `start` alone the first ones from there, else the last ones up to `end`."""
        venue = self._venue(query)
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            raise Refusal(10001, "Invalid period!")
        limit = read_limit(query, 200, 1000)
        oldest, newest = interval.number(LAUNCH // MINUTE_MS), interval.number(now // MINUTE_MS)
        start, end = read_whole(query, "start"), read_whole(query, "end")
        first = oldest if start is None else max(oldest, interval.number(start // MINUTE_MS))
        last = newest if end is None else min(newest, interval.number(end // MINUTE_MS))
        if start is not None and end is None:
            last = min(last, first + limit - 1)
        rows: list[list[str]] = []
        for number in range(last, max(first, last - limit + 1) - 1, -1):
            begin = interval.minute(number)
            candle = venue.tape.candle(max(begin, LAUNCH // MINUTE_MS), interval.minute(number + 1), now)
            rows.append(row(venue.market, begin, candle))
        return {"symbol": venue.market.symbol, "category": venue.market.category, "list": rows}

    def funding_history(self, query: Query, now: int) -> dict[str, Any]:
        """Rates that have been paid, newest first."""
        venue = self._venue(query)
        if venue.contract is None:
            raise Refusal(10001, "Invalid category")
        limit = read_limit(query, 200, 200)
        start, end = read_whole(query, "startTime"), read_whole(query, "endTime")
        if start is not None and end is None:
            raise Refusal(10001, "params error: endTime can not be empty when startTime is passed")
        last = min(now, now if end is None else end) // SESSION_MS
        first = -(-max(LAUNCH, start or 0) // SESSION_MS)
        return {
            "category": venue.market.category,
            "list": [
                {
                    "symbol": venue.market.symbol,
                    "fundingRate": f"{venue.contract.funding_rate(session - 1):.8f}",
                    "fundingRateTimestamp": str(session * SESSION_MS),
                }
                for session in range(last, max(first, last - limit + 1) - 1, -1)
            ],
        }

    def open_interest(self, query: Query, now: int) -> dict[str, Any]:
        """Open interest at the end of each interval, newest first."""
        venue = self._venue(query)
        if venue.contract is None:
            raise Refusal(10001, "Invalid category")
        step = OPEN_INTEREST_MS.get(query.get("intervalTime", ""))
        if step is None:
            raise Refusal(10001, "Invalid intervalTime")
        limit = read_limit(query, 50, 200)
        start, end = read_whole(query, "startTime"), read_whole(query, "endTime")
        cursor = read_whole(query, "cursor")
        bound = min(bound for bound in (now, end, cursor) if bound is not None)
        last, first = bound // step, -(-max(LAUNCH, start or 0) // step)
        lowest = max(first, last - limit + 1)
        return {
            "symbol": venue.market.symbol,
            "category": venue.market.category,
            "list": [
                {
                    "openInterest": venue.market.size(venue.contract.open_interest(number * step)),
                    "timestamp": str(number * step),
                }
                for number in range(last, lowest - 1, -1)
            ],
            "nextPageCursor": str((lowest - 1) * step) if lowest > first else "",
        }

    def _venue(self, query: Query) -> Venue:
        venue = self._world.venue(read_category(query), query.get("symbol", ""))
        if venue is None:
            raise Refusal(10001, "Not supported symbols")
        return venue
