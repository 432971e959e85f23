"""Klines: candles over Bybit's intervals, which begin at the same moments as the exchange's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .history import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .candles import Candle
    from .markets import Market

_DAY = 1440
_WEEK = 7 * _DAY
# 1970-01-01 was a Thursday; weeks begin on Monday.
_FIRST_MONDAY = 4 * _DAY


@dataclass(frozen=True, slots=True)
class Interval:
    """A way to cut time: `number` numbers the candle that holds a minute, `minute` gives a candle's first minute."""

    number: Callable[[int], int]
    minute: Callable[[int], int]


def _even(minutes: int, offset: int = 0) -> Interval:
    return Interval(lambda minute: (minute - offset) // minutes, lambda number: number * minutes + offset)


def _month_of(minute: int) -> int:
    day = datetime.fromtimestamp(minute * 60, UTC)
    return day.year * 12 + day.month - 1


def _month_start(number: int) -> int:
    return int(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()) // 60


INTERVALS: Mapping[str, Interval] = {
    **{str(minutes): _even(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": _even(_DAY),
    "W": _even(_WEEK, _FIRST_MONDAY),
    "M": Interval(_month_of, _month_start),
}


def row(market: Market, start: int, candle: Candle) -> list[str]:
    """A candle as Bybit lists it; `start` is its first minute."""
    return [
        str(start * MINUTE_MS),
        market.price(candle.open),
        market.price(candle.high),
        market.price(candle.low),
        market.price(candle.close),
        market.size(candle.volume),
        market.value(candle.turnover),
    ]
