"""The slow part of the price process: what each coin is worth at every eight-hour boundary.

A coin's logarithm is a bridge between anchors 512 boundaries (about 170 days) apart. The anchors are bounded, so no
price ever runs away; between them it moves like a random walk. Everything finer than eight hours is cut out of these
boundaries by `history`.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, sqrt
from typing import TYPE_CHECKING

from .markets import ASSETS, Asset, Market
from .noise import draws, noise_key, unit

if TYPE_CHECKING:
    from collections.abc import Sequence

SESSION_MS = 8 * 3_600_000
"""Length of a session, from one boundary to the next; also Bybit's usual funding interval."""

_BLOCK = 512
_SESSIONS_A_DAY = 3
_MARKET_VOLATILITY = 0.018
_PREMIUM = 0.0012


class Prices:
    """Prices at session boundaries, a pure function of the seed; boundary n lies n * SESSION_MS after the epoch."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._bridge = lru_cache(maxsize=256)(self._draw_bridge)

    def usd(self, asset: Asset, boundary: int) -> float:
        """A coin's price in USDT."""
        own = self._log(asset.name, asset.volatility, boundary)
        return asset.usd * exp(own + asset.beta * self._log("market", _MARKET_VOLATILITY, boundary))

    def ticks(self, market: Market, boundary: int) -> int:
        """A market's price, in ticks."""
        ratio = self.usd(ASSETS[market.base], boundary) / self.usd(ASSETS[market.quote], boundary)
        return max(2, round(ratio * (1 + self.premium(market, boundary)) / market.tick))

    def premium(self, market: Market, boundary: int) -> float:
        """How far a contract trades above its index, as a ratio; zero for spot."""
        if market.category == "spot":
            return 0.0
        lean = 2 * unit(noise_key(self._seed, market.symbol, "premium"), boundary) - 0.9
        # Cubed: small as a rule, and now and then large enough to move the funding rate.
        return lean**3 * _PREMIUM

    def volatility(self, market: Market) -> float:
        """The standard deviation of a session's log return; inside a session coins move on their own."""
        coins = ASSETS[market.base], ASSETS[market.quote]
        variance = sum(coin.volatility**2 + (coin.beta * _MARKET_VOLATILITY) ** 2 for coin in coins)
        return sqrt(variance / _SESSIONS_A_DAY)

    def _log(self, name: str, volatility: float, boundary: int) -> float:
        block, offset = divmod(boundary, _BLOCK)
        return self._bridge(name, volatility, block)[offset]

    def _draw_bridge(self, name: str, volatility: float, block: int) -> Sequence[float]:
        step = volatility / sqrt(_SESSIONS_A_DAY)
        anchors = noise_key(self._seed, name, "anchor")
        reach = step * sqrt(_BLOCK)
        start = (unit(anchors, block) - 0.5) * reach
        end = (unit(anchors, block + 1) - 0.5) * reach
        draw = draws(noise_key(self._seed, name, "bridge"), block)
        walk, at = [0.0], 0.0
        for _ in range(_BLOCK):
            # Three uniform numbers are close enough to a normal one, and their sum is bounded.
            at += (draw() + draw() + draw() - 1.5) * 2 * step
            walk.append(at)
        slope = (end - start - walk[-1]) / _BLOCK
        return [start + value + slope * offset for offset, value in enumerate(walk)]
