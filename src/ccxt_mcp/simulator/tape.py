"""One market's tape: the trades inside each minute, and everything that depends on what has traded up to now.

The trades of a minute are drawn to meet the minute's candle exactly: the first trade is the open, the last the close,
one is the high, one the low, and sizes are moved between them until volume and turnover fit. The first trade comes
with the first millisecond of the minute, so no candle is ever empty.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from .candles import Candle, merge, share
from .history import MINUTE_MS, History
from .markets import LAUNCH, Market
from .noise import draws, noise_key

if TYPE_CHECKING:
    from collections.abc import Callable

_ID_STRIDE = 1_000


class Trade(NamedTuple):
    """A trade; time in milliseconds, price in ticks, size in lots, `buy` when the taker bought. Ids grow with time."""

    id: int
    time: int
    price: int
    size: int
    buy: bool


class Tape:
    """What a market has traded. `now` is always in milliseconds; nothing later than it is ever told."""

    def __init__(self, market: Market, seed: int, history: History) -> None:
        self.market = market
        self.history = history
        self._key = noise_key(seed, market.category, market.symbol, "trades")
        self.minute_trades = lru_cache(maxsize=96)(self._draw_trades)
        self._day = lru_cache(maxsize=4)(history.span)

    def last(self, now: int) -> Trade:
        """The newest trade."""
        return self._seen(now)[-1]

    def recent(self, now: int, limit: int) -> list[Trade]:
        """The newest trades, newest first."""
        found = list(reversed(self._seen(now)))
        minute = now // MINUTE_MS - 1
        while len(found) < limit and minute * MINUTE_MS >= LAUNCH:
            found.extend(reversed(self.minute_trades(minute)))
            minute -= 1
        return found[:limit]

    def since(self, after: int, now: int, limit: int) -> list[Trade]:
        """The trades later than `after`, oldest first; only the newest `limit` when there are more."""
        found = self._seen(now)
        minute = now // MINUTE_MS - 1
        while len(found) < limit and found[0].time > after and minute * MINUTE_MS >= LAUNCH:
            found = [*self.minute_trades(minute), *found]
            minute -= 1
        return [trade for trade in found if trade.time > after][-limit:]

    def candle(self, first: int, stop: int, now: int) -> Candle:
        """The candle of the minutes from `first`, which has begun, up to `stop`, excluded, as far as it has traded."""
        current = now // MINUTE_MS
        if stop <= current:
            return self.history.span(first, stop)
        forming = traded(self._seen(now))
        return merge((self.history.span(first, current), forming)) if first < current else forming

    def day(self, now: int) -> Candle:
        """The last 1440 one-minute candles: the one being formed and the 1439 before it."""
        current = now // MINUTE_MS
        return merge((self._day(current - 1439, current), traded(self._seen(now))))

    def _seen(self, now: int) -> list[Trade]:
        """The trades of the current minute up to now; never empty."""
        trades = self.minute_trades(now // MINUTE_MS)
        return list(trades[: bisect_right(trades, now, key=attrgetter("time"))])

    def _draw_trades(self, minute: int) -> tuple[Trade, ...]:
        candle = self.history.minute(minute)
        draw = draws(self._key, minute)
        count = self.market.pace // 2 + int(draw() * (self.market.pace // 2 + 1))
        prices = _path(candle, count, draw)
        sizes = share(candle.volume - 1, [0.05 + draw() ** 3 for _ in range(count - 1)], 1)
        # The last but one trade is the odd lot: of size one, at whatever price settles the turnover to the last unit.
        sizes.insert(count - 2, 1)
        prices[count - 2] = candle.low + _balance(candle, prices, sizes, count - 2)
        times = _times(minute * MINUTE_MS, count, draw)
        base = (minute - LAUNCH // MINUTE_MS) * _ID_STRIDE
        trades: list[Trade] = []
        before = candle.open
        for i in range(count):
            price = prices[i]
            buy = price > before or (price == before and draw() < 0.5)
            trades.append(Trade(base + i, times[i], price, sizes[i], buy))
            before = price
        return tuple(trades)


def traded(trades: list[Trade]) -> Candle:
    """The candle of consecutive trades; there must be one."""
    prices = [trade.price for trade in trades]
    return Candle(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(trade.size for trade in trades),
        sum(trade.price * trade.size for trade in trades),
    )


def _path(candle: Candle, count: int, draw: Callable[[], float]) -> list[int]:
    """Prices from open to close by way of the low and the high; a rising minute visits its low first."""
    first = 1 + int(draw() * (count - 5) / 2)
    second = first + 1 + int(draw() * (count - 4 - first))
    turns = (candle.low, candle.high) if candle.close >= candle.open else (candle.high, candle.low)
    stops = ((0, candle.open), (first, turns[0]), (second, turns[1]), (count - 1, candle.close))
    noise = 0.3 * (candle.high - candle.low)
    prices = [candle.open]
    for (start, left), (end, right) in itertools.pairwise(stops):
        for i in range(start + 1, end):
            level = left + (right - left) * (i - start) / (end - start) + (draw() - 0.5) * noise
            prices.append(min(max(round(level), candle.low), candle.high))
        prices.append(right)
    return prices


def _balance(candle: Candle, prices: list[int], sizes: list[int], odd: int) -> int:
    """Move lots between trades until the odd lot's price can settle the turnover; returns that price, above the low."""
    width = candle.high - candle.low
    wanted = candle.turnover - candle.low * candle.volume
    found = sum((prices[i] - candle.low) * sizes[i] for i in range(len(prices)) if i != odd)
    if width == 0:
        return 0
    if found <= wanted:
        gains = [candle.high - price for price in prices]
        gains[odd] = 0
        return _raise(wanted - found, gains, sizes, prices.index(candle.high))
    # Too much turnover: the same game upside down, towards the low.
    gains = [price - candle.low for price in prices]
    gains[odd] = 0
    return width - _raise(width + found - wanted, gains, sizes, prices.index(candle.low))


def _raise(need: int, gains: list[int], sizes: list[int], target: int) -> int:
    """Move lots to the target until less than one more lot would bring is needed; returns that rest.

    The first round takes from all trades alike, the second collects what rounding has left.
    """
    room = sum(gain * (size - 1) for gain, size in zip(gains, sizes, strict=True))
    for part in (need / room if room else 0.0, 1.0):
        for i, gain in enumerate(gains):
            if gain:
                lots = min(int((sizes[i] - 1) * part), need // gain)
                sizes[i] -= lots
                sizes[target] += lots
                need -= lots * gain
    return need


def _times(start: int, count: int, draw: Callable[[], float]) -> list[int]:
    """Times that never repeat, the first one at the start of the minute."""
    gaps = [draw() + 0.02 for _ in range(count)]
    scale = (MINUTE_MS - count) / sum(gaps)
    times, reached = [start], 0.0
    for i, gap in enumerate(gaps[:-1], 1):
        reached += gap * scale
        times.append(start + i + int(reached))
    return times
