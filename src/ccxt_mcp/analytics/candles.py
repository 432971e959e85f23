"""Candles: which are closed, which are missing, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from ccxt_mcp.analytics.decimals import exact, number, percent
from ccxt_mcp.times import iso, timeframe_ms

CANDLE_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")

Candle = Sequence[Any]
"""ccxt's unified candle: open time in milliseconds, open, high, low, close, volume."""

_FARTHEST_ZONE_MS = 14 * 3_600_000  # no time zone is farther from UTC


class Gap(NamedTuple):
    """Candles that are not there: the first missing open time, the next present one, and how many are missing."""

    first_ms: int
    next_ms: int
    missing: int


def closed_candles(candles: Sequence[Candle], timeframe: str, now_ms: int) -> list[Candle]:
    """Return the candles whose time is over at `now_ms`.

    Raises:
        Failure: INVALID_ARGUMENT when the timeframe is none.
    """
    steps = _steps(timeframe)
    return [candle for candle in candles if steps.after(candle[0]) <= now_ms]


def candle_gaps(candles: Sequence[Candle], timeframe: str) -> list[Gap]:
    """Return where candles are missing between the first and the last.

    An exchange may also leave out candles without trades; the two cannot be told apart from outside.

    Raises:
        Failure: INVALID_ARGUMENT when the timeframe is none.
    """
    steps = _steps(timeframe)
    gaps: list[Gap] = []
    for before, after in pairwise(candle[0] for candle in candles):
        first = steps.after(before)
        if missing := steps.between(first, after):
            gaps.append(Gap(first, after, missing))
    return gaps


def summarise_candles(candles: Sequence[Candle], timeframe: str) -> dict[str, Any]:
    """Return what the candles say together; only `count` when there are none.

    `first` and `last` are open times in ISO 8601, `open` is the first candle's and `close` the last one's, `high`,
    `low` and `volume` (in the exchange's unit) span all, `changePercent` = (close - open) / open x 100, `missing`
    counts the candles that are not there between first and last, and is left out when there are none.

    Raises:
        Failure: INVALID_ARGUMENT when the timeframe is none.
    """
    if not candles:
        return {"count": 0}
    missing = sum(gap.missing for gap in candle_gaps(candles, timeframe))
    facts: dict[str, Any] = {
        "count": len(candles),
        "missing": missing or None,
        "first": iso(candles[0][0]),
        "last": iso(candles[-1][0]),
        "open": candles[0][1],
        "close": candles[-1][4],
        "high": _extreme(candles, 2, max),
        "low": _extreme(candles, 3, min),
        "volume": _volume(candles),
        "changePercent": _change(candles[0][1], candles[-1][4]),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


class _Steps(NamedTuple):
    """The distance from one candle to the next: calendar months where there are any, else milliseconds."""

    ms: int
    months: int

    def after(self, open_ms: int) -> int:
        """Return when the candle that opened at `open_ms` is over, in milliseconds since the epoch."""
        if not self.months:
            return open_ms + self.ms
        month = _month(open_ms)
        return open_ms - _month_start(month) + _month_start(month + self.months)

    def between(self, first_ms: int, next_ms: int) -> int:
        """Return how many candles fit from one open time to another."""
        whole = (_month(next_ms) - _month(first_ms)) // self.months if self.months else (next_ms - first_ms) // self.ms
        return max(0, whole)


def _steps(timeframe: str) -> _Steps:
    """Return a timeframe's steps; months and years follow the calendar, unlike ccxt's 30 and 365 days."""
    ms = timeframe_ms(timeframe)
    months = {"M": 1, "y": 12}.get(timeframe[-1], 0)
    return _Steps(ms, months * int(timeframe[:-1]))


def _month(open_ms: int) -> int:
    """Return the number of the month that opens at this moment in whatever time zone the exchange keeps."""
    moment = datetime.fromtimestamp((open_ms + _FARTHEST_ZONE_MS) / 1000, UTC)
    return moment.year * 12 + moment.month - 1


def _month_start(month: int) -> int:
    return round(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def _extreme(candles: Sequence[Candle], column: int, pick: Callable[..., tuple[Decimal, Any]]) -> Any:
    """Return the highest or lowest value of a column as the exchange gave it."""
    known = [(price, candle[column]) for candle in candles if (price := exact(candle[column])) is not None]
    return pick(known, key=itemgetter(0))[1] if known else None


def _volume(candles: Sequence[Candle]) -> float | None:
    known = [volume for candle in candles if (volume := exact(candle[5])) is not None]
    return number(sum(known, Decimal(0))) if known else None


def _change(first: Any, last: Any) -> float | None:
    before, after = exact(first), exact(last)
    return percent(after - before, before) if before and after is not None else None
