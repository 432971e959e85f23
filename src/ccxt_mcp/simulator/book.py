"""One market's order book, a pure function of time.

The spread is always one tick. The last trade's price is the best ask when its taker bought and the best bid when its
taker sold, so the last price is never outside the spread and the middle is half a tick away from it. Behind the best
prices, each band of ticks holds one level at a fixed place; its size is drawn anew every four seconds, bands taking
turns, so that from one quarter of a second to the next only a few levels change.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .noise import mix, noise_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tape import Tape, Trade

SLICE_MS = 250
_TURN = 16
_BAND = 0.00006
_EPOCHS = 1 << 40


class Level(NamedTuple):
    """Price in ticks, size in lots."""

    price: int
    size: int


class Book(NamedTuple):
    """Best levels first; `update` grows with time."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    update: int


class Depth:
    """The order books of one market."""

    def __init__(self, tape: Tape, seed: int) -> None:
        self._tape = tape
        market = tape.market
        self._places = noise_key(seed, market.category, market.symbol, "places")
        self._sizes = noise_key(seed, market.category, market.symbol, "sizes")
        self._usual = max(4, market.daily_lots // 30_000)
        self._place = lru_cache(maxsize=4096)(self._draw_place)
        self._book = lru_cache(maxsize=8)(self._build)

    def book(self, now: int, levels: int) -> Book:
        """The best `levels` of each side at a time in milliseconds."""
        return self._book(self._tape.last(now), now // SLICE_MS, levels)

    def _build(self, last: Trade, slice_: int, levels: int) -> Book:
        bid = last.price - 1 if last.buy else last.price
        band = _band(last.price)
        bids = tuple(islice(self._side(bid, -1, band, slice_), levels))
        asks = tuple(islice(self._side(bid + 1, 1, band, slice_), levels))
        return Book(bids, asks, slice_ * 1_000 + last.id % 1_000)

    def _side(self, best: int, step: int, band: int, slice_: int) -> Iterator[Level]:
        number = best // band
        yield Level(best, self._size(best, 0, slice_))  # by its price: both sides may begin in one band
        steps = 1
        while number >= 0:
            price = number * band + self._place(number, band)
            if (price - best) * step > 0 and price > 0:
                yield Level(price, self._size(number, steps, slice_))
                steps += 1
            number += step

    def _size(self, number: int, steps: int, slice_: int) -> int:
        place = mix(self._places, number)
        epoch = (slice_ + (place >> 50) % _TURN) // _TURN
        bits = mix(self._sizes, number * _EPOCHS + epoch)
        fraction = (bits & 0xFFFF) / 0xFFFF
        # Thin at the touch, three times as deep from the tenth level on.
        depth = 1 + min(steps, 10) / 5
        return 1 + int(self._usual * depth * (0.1 + 1.9 * fraction * fraction))

    def _draw_place(self, number: int, band: int) -> int:
        return mix(self._places, number) % band


def _band(price: int) -> int:
    """Ticks in a band, about 0.6 basis points; a power of two, so that bands stay put while the price moves."""
    return 1 << max(0, round(price * _BAND) - 1).bit_length()
