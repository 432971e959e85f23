from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.analytics.candles import CANDLE_COLUMNS, Gap, candle_gaps, closed_candles, summarise_candles
from ccxt_mcp.errors import Code, Failure

HOUR = 3_600_000


def ms(*date: int) -> int:
    return round(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type]


def candle(open_ms: int, *values: float | None) -> list[Any]:
    return [open_ms, *(values or (1.0, 2.0, 0.5, 1.5, 10.0))]


def opens(candles: list[Any]) -> list[int]:
    return [row[0] for row in candles]


def test_a_candle_is_closed_from_the_moment_its_time_is_over() -> None:
    candles = [candle(0), candle(HOUR), candle(2 * HOUR)]
    assert opens(list(closed_candles(candles, "1h", 3 * HOUR - 1))) == [0, HOUR]
    assert opens(list(closed_candles(candles, "1h", 3 * HOUR))) == [0, HOUR, 2 * HOUR]
    assert closed_candles([], "1h", 0) == []


@pytest.mark.parametrize(
    ("timeframe", "open_ms", "over"),
    [
        ("1M", ms(2026, 1, 1), ms(2026, 2, 1)),
        ("1M", ms(2028, 2, 1), ms(2028, 3, 1)),
        ("1M", ms(2026, 12, 1), ms(2027, 1, 1)),
        ("3M", ms(2026, 11, 1), ms(2027, 2, 1)),
        ("1y", ms(2028, 1, 1), ms(2029, 1, 1)),
        ("1M", ms(2026, 1, 31, 16), ms(2026, 2, 28, 16)),  # February at UTC+8
        ("1M", ms(2026, 2, 1, 5), ms(2026, 3, 1, 5)),  # February at UTC-5
        ("1w", ms(2026, 1, 5), ms(2026, 1, 12)),
    ],
)
def test_months_and_years_close_by_the_calendar(timeframe: str, open_ms: int, over: int) -> None:
    assert closed_candles([candle(open_ms)], timeframe, over - 1) == []
    assert opens(list(closed_candles([candle(open_ms)], timeframe, over))) == [open_ms]


def test_gaps_tell_where_and_how_many_candles_are_missing() -> None:
    candles = [candle(0), candle(HOUR), candle(4 * HOUR), candle(6 * HOUR)]
    assert candle_gaps(candles, "1h") == [Gap(2 * HOUR, 4 * HOUR, 2), Gap(5 * HOUR, 6 * HOUR, 1)]


def test_months_of_different_length_are_no_gap_and_a_missing_month_is() -> None:
    year = [candle(ms(2026, month, 1)) for month in range(1, 13)]
    assert candle_gaps(year, "1M") == []
    assert candle_gaps(year[:2] + year[4:], "1M") == [Gap(ms(2026, 3, 1), ms(2026, 5, 1), 2)]


def test_a_day_that_is_an_hour_longer_or_shorter_is_no_gap() -> None:
    assert candle_gaps([candle(0), candle(23 * HOUR), candle(48 * HOUR)], "1d") == []


def test_a_summary_tells_what_the_candles_say_together() -> None:
    candles = [
        candle(ms(2026, 1, 1, 0), 100.0, 110.0, 95.0, 105.0, 0.1),
        candle(ms(2026, 1, 1, 1), 105.0, 120.5, 104.0, 120.0, 0.2),
        candle(ms(2026, 1, 1, 3), 120.0, 121.0, 90.0, 99.0, 0.3),
    ]
    assert summarise_candles(candles, "1h") == {
        "count": 3,
        "missing": 1,
        "first": "2026-01-01T00:00:00Z",
        "last": "2026-01-01T03:00:00Z",
        "open": 100.0,
        "close": 99.0,
        "high": 121.0,
        "low": 90.0,
        "volume": 0.6,
        "changePercent": -1.0,
    }


def test_no_candles_are_counted_as_none() -> None:
    assert summarise_candles([], "1h") == {"count": 0}


def test_values_that_an_exchange_does_not_give_are_left_out() -> None:
    summary = summarise_candles([candle(0, None, None, None, 5.0, None)], "1h")
    assert summary == {"count": 1, "first": "1970-01-01T00:00:00Z", "last": "1970-01-01T00:00:00Z", "close": 5.0}
    assert "changePercent" not in summarise_candles([candle(0, 0.0, 1.0, 0.0, 1.0, 0.0)], "1h")


def test_a_timeframe_that_is_none_is_invalid() -> None:
    for function in (candle_gaps, summarise_candles):
        with pytest.raises(Failure) as caught:
            function([candle(0)], "hourly")
        assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_row_of_the_table_is_ccxts_candle() -> None:
    assert CANDLE_COLUMNS == ("timestamp", "open", "high", "low", "close", "volume")


@given(st.sets(st.integers(0, 500), min_size=1), st.sampled_from(["1m", "15m", "1h", "4h", "1d", "1w"]))
def test_present_and_missing_candles_add_up_to_the_span(steps: set[int], timeframe: str) -> None:
    length = {"1m": 60_000, "15m": 900_000, "1h": HOUR, "4h": 4 * HOUR, "1d": 24 * HOUR, "1w": 168 * HOUR}[timeframe]
    summary = summarise_candles([candle(step * length) for step in sorted(steps)], timeframe)
    assert summary["count"] + summary.get("missing", 0) == max(steps) - min(steps) + 1
