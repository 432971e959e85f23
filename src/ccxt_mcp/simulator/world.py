"""The world: every market's tape, book and contract figures, built from one seed on first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .book import Depth
from .funding import Contract
from .history import History
from .markets import MARKETS, Category, Market
from .prices import Prices
from .tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Venue:
    """One market and all that is known of it; `contract` only where it is one, `reference` is its base in USDT."""

    market: Market
    tape: Tape
    depth: Depth
    reference: Tape
    contract: Contract | None


class World:
    """Venues by category and symbol; the same seed always makes the same world."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._prices = Prices(seed)
        self._markets = {(market.category, market.symbol): market for market in MARKETS}
        self._venues: dict[tuple[Category, str], Venue] = {}

    def listed(self, category: Category) -> list[Market]:
        """All markets of a category, trading or not."""
        return [market for market in MARKETS if market.category == category]

    def trading(self, category: Category) -> list[Venue]:
        """The venues of a category that trade."""
        return [self._open(market) for market in self.listed(category) if market.trading]

    def venue(self, category: Category, symbol: str) -> Venue | None:
        """One venue, or None when there is no such market or it does not trade."""
        market = self._markets.get((category, symbol))
        return self._open(market) if market is not None and market.trading else None

    def _open(self, market: Market) -> Venue:
        key = (market.category, market.symbol)
        venue = self._venues.get(key)
        if venue is None:
            venue = self._venues[key] = self._build(market)
        return venue

    def _build(self, market: Market) -> Venue:
        tape = Tape(market, self._seed, self._history(market))
        own_reference = market.category == "spot" and market.quote == "USDT"
        reference = tape if own_reference else self._spot_tape(market.base)
        contract = None
        if market.category == "linear":
            contract = Contract(market, self._prices, self._spot_tape(market.base, market.quote), self._seed)
        return Venue(market, tape, Depth(tape, self._seed), reference, contract)

    def _spot_tape(self, base: str, quote: str = "USDT") -> Tape:
        return self._open(self._markets["spot", base + quote]).tape

    def _history(self, market: Market) -> History:
        prices = self._prices
        cross = market.quote == "BTC"
        return History(
            market,
            self._seed,
            shape=market.symbol if cross else market.base,
            volatility=prices.volatility(market),
            boundary=lambda session: prices.ticks(market, session),
            guide=self._quotient(market) if cross else None,
        )

    def _quotient(self, cross: Market) -> Callable[[int], int]:
        """A cross's price in ticks at the start of a minute, from its legs in USDT."""
        base, quote = (self._spot_tape(coin) for coin in (cross.base, cross.quote))
        scale = base.market.tick / quote.market.tick / cross.tick
        return lambda minute: round(base.history.opening(minute) / quote.history.opening(minute) * scale)
