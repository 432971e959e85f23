"""The floor: the markets as an account's engine sees them, with their rules, books and prices in decimals.

The engine knows one kind of symbol, and BTCUSDT is both a spot market and a contract, so it is told 'spot.BTCUSDT'.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ccxt_mcp.paper import engine

from .instruments import instrument
from .markets import MARKETS, Category, Market
from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .book import Book, Level
    from .query import Query
    from .world import Venue, World

_LEVELS = 200
_MAKER = {"spot": Decimal("0.001"), "linear": Decimal("0.0002")}
_TAKER = {"spot": Decimal("0.001"), "linear": Decimal("0.00055")}
_LEVERAGE = Decimal(10)
_MAINTENANCE = {100: Decimal("0.005"), 75: Decimal("0.01")}


def name_of(market: Market) -> str:
    """How the engine calls a market."""
    return f"{market.category}.{market.symbol}"


def rules(market: Market) -> engine.Market:
    """A market's rules, those of its instrument, for the engine. Fees are those of Bybit's lowest tier."""
    told = instrument(market)
    sizes: Mapping[str, str] = told["lotSizeFilter"]
    contract = market.category == "linear"
    return engine.Market(
        symbol=name_of(market),
        base=market.base,
        quote=market.quote,
        settle=market.quote if contract else None,
        price_step=Decimal(told["priceFilter"]["tickSize"]),
        amount_step=Decimal(market.size(1)),
        min_amount=Decimal(sizes["minOrderQty"]),
        max_amount=Decimal(sizes["maxOrderQty"]),
        min_cost=Decimal(sizes["minNotionalValue"] if contract else sizes["minOrderAmt"]),
        maker=_MAKER[market.category],
        taker=_TAKER[market.category],
        max_leverage=Decimal(market.max_leverage) if contract else Decimal(1),
        leverage=_LEVERAGE if contract else Decimal(1),
        maintenance=_MAINTENANCE[market.max_leverage] if contract else Decimal(0),
    )


def price(market: Market, ticks: int) -> Decimal:
    """A price in decimals."""
    return Decimal(ticks).scaleb(-market.price_decimals)


def size(market: Market, lots: int) -> Decimal:
    """A size in decimals."""
    return Decimal(lots).scaleb(-market.lot_decimals)


class Floor:
    """All markets that trade. `now` is the world's time in milliseconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.markets = {name_of(market): market for market in MARKETS if market.trading}
        self.rules = {name: rules(market) for name, market in self.markets.items()}
        self._books: dict[str, tuple[Book, engine.Book]] = {}

    def venue(self, category: Category, symbol: str) -> Venue:
        """A venue that trades. Raises Refusal with Bybit's words, which ccxt knows."""
        venue = self._world.venue(category, symbol)
        if venue is None:
            raise Refusal(10001, "Not supported symbols")
        return venue

    def of(self, name: str) -> Venue:
        """The venue of an engine's symbol."""
        market = self.markets[name]
        return self.venue(market.category, market.symbol)

    def book(self, venue: Venue, now: int) -> engine.Book:
        """The best 200 levels of both sides; nothing that an account does changes them."""
        name, told = name_of(venue.market), venue.depth.book(now, _LEVELS)
        kept = self._books.get(name)
        if kept is None or kept[0] is not told:
            kept = self._books[name] = (told, _in_decimals(venue.market, told))
        return kept[1]

    def last(self, venue: Venue, now: int) -> Decimal:
        """The price of the newest trade."""
        return price(venue.market, venue.tape.last(now).price)

    def mark(self, venue: Venue, now: int) -> Decimal:
        """The mark price of a contract, the last price of any other market."""
        if venue.contract is None:
            return self.last(venue, now)
        return price(venue.market, venue.contract.mark(now))

    def in_usdt(self, coin: str, now: int) -> Decimal:
        """What one of a coin is worth in USDT."""
        if coin == "USDT":
            return Decimal(1)
        venue = self._world.venue("spot", f"{coin}USDT")
        if venue is not None:
            return self.last(venue, now)
        # EUR has no market in USDT: bitcoin's price in both tells.
        bitcoin = self._world.venue("spot", f"BTC{coin}")
        return self.in_usdt("BTC", now) / self.last(bitcoin, now) if bitcoin is not None else Decimal(0)

    def listed(self, query: Query, category: Category) -> list[Market]:
        """The markets that trade in a category, only the one that `symbol` names where it does."""
        symbol = query.get("symbol")
        if symbol:
            return [self.venue(category, symbol).market]
        return [market for market in self.markets.values() if market.category == category]


def _in_decimals(market: Market, book: Book) -> engine.Book:
    def side(levels: tuple[Level, ...]) -> tuple[engine.Level, ...]:
        return tuple(engine.Level(price(market, level.price), size(market, level.size)) for level in levels)

    return engine.Book(side(book.bids), side(book.asks))
