"""One market's history: finished candles of any length, computed on demand and not stored.

A session of eight hours is drawn between two price boundaries. It is cut into hours, an hour into quarters, a quarter
into minutes. Markets of the same base share the noise of their cuts, so their prices move together. A cross such as
ETH/BTC is guided: its parts meet at the quotient of its two legs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .candles import MARGIN, Candle, cut, merge
from .noise import draws, noise_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .markets import Market

MINUTE_MS = 60_000
QUARTER, HOUR, SESSION = 15, 60, 480
"""Lengths in minutes."""


class History:
    """Finished candles of one market. A minute, quarter, hour or session is named by its number since the Unix epoch.

    `boundary` gives the price in ticks at the start of a session; `volatility` is the standard deviation of a session's
    log return; `shape` names the noise shared with other markets. `guide` gives the price in ticks at the start of a
    minute, for a market whose price follows from others.
    """

    def __init__(
        self,
        market: Market,
        seed: int,
        *,
        shape: str,
        volatility: float,
        boundary: Callable[[int], int],
        guide: Callable[[int], int] | None = None,
    ) -> None:
        self._market = market
        self._volatility = volatility
        self._boundary = boundary
        self._guide = guide
        self._least = least_lots(market)
        self._keys = {length: noise_key(seed, shape, length) for length in (0, QUARTER, HOUR, SESSION)}
        # Bounded: enough for a year of days or a day of minutes of each market, at a few megabytes at most.
        self.session = lru_cache(maxsize=2048)(self._draw_session)
        self._hours = lru_cache(maxsize=256)(self._cut_session)
        self._quarters = lru_cache(maxsize=256)(self._cut_hour)
        self._minutes = lru_cache(maxsize=192)(self._cut_quarter)

    def hour(self, number: int) -> Candle:
        """One hour."""
        return self._hours(number // 8)[number % 8]

    def quarter(self, number: int) -> Candle:
        """One quarter of an hour."""
        return self._quarters(number // 4)[number % 4]

    def minute(self, number: int) -> Candle:
        """One minute."""
        return self._minutes(number // QUARTER)[number % QUARTER]

    def opening(self, minute: int) -> int:
        """The price in ticks at the start of a minute."""
        return next(self._pieces(minute, minute + SESSION)).open

    def span(self, first: int, stop: int) -> Candle:
        """The minutes from `first` up to, not including, `stop`."""
        return merge(self._pieces(first, stop))

    def _pieces(self, at: int, stop: int) -> Iterator[Candle]:
        while at < stop:
            left = stop - at
            if left >= SESSION and at % SESSION == 0:
                yield self.session(at // SESSION)
                at += SESSION
            elif left >= HOUR and at % HOUR == 0:
                yield self.hour(at // HOUR)
                at += HOUR
            elif left >= QUARTER and at % QUARTER == 0:
                yield self.quarter(at // QUARTER)
                at += QUARTER
            else:
                yield self.minute(at)
                at += 1

    def _draw_session(self, number: int) -> Candle:
        """One session of eight hours."""
        draw = draws(self._keys[0], number)
        open_, close = self._boundary(number), self._boundary(number + 1)
        reach = open_ * self._volatility
        stir = 1 + abs(close - open_) / max(1.0, reach)
        # A guided market needs room to follow its guide, whose way is not known yet.
        spare = 0.0 if self._guide is None else 0.4
        high = max(open_, close) + 1 + int(reach * (spare + draw()))
        low = max(1, min(open_, close) - 1 - int(reach * (spare + draw())))
        usual = self._market.daily_lots * SESSION // 1440
        volume = max(int(usual * (0.4 + 0.8 * draw()) * stir), 2 * self._least * SESSION)
        width = high - low
        mean = (open_ + close + high + low) / 4 - low + (draw() - 0.5) * 0.2 * width
        mean = min(max(mean, 2 * MARGIN * width), (1 - 2 * MARGIN) * width)
        return Candle(open_, high, low, close, volume, low * volume + int(mean * volume))

    def _cut_session(self, number: int) -> tuple[Candle, ...]:
        return self._cut(self.session(number), SESSION, HOUR, number)

    def _cut_hour(self, number: int) -> tuple[Candle, ...]:
        return self._cut(self.hour(number), HOUR, QUARTER, number)

    def _cut_quarter(self, number: int) -> tuple[Candle, ...]:
        return self._cut(self.quarter(number), QUARTER, 1, number)

    def _cut(self, whole: Candle, length: int, part: int, number: int) -> tuple[Candle, ...]:
        draw, guide = draws(self._keys[length], number), self._guide
        first, stop = number * length, (number + 1) * length
        meets = None if guide is None else [guide(minute) for minute in range(first + part, stop, part)]
        return cut(whole, length // part, self._least * part, draw, meets)


def least_lots(market: Market) -> int:
    """The smallest volume of a minute, in lots: enough for its trades to meet any turnover the margin allows."""
    return int((market.pace + 2) / MARGIN)
