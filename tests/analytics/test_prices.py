from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.analytics.prices import QUOTE_COLUMNS, Quote, compare_prices


def test_the_best_bid_is_the_highest_and_the_best_ask_the_lowest() -> None:
    summary = compare_prices([Quote("a", 99.0, 101.0), Quote("b", 99.5, 100.5), Quote("c", 98.0, 100.0)])
    assert summary["bestBid"] == {"exchange": "b", "price": 99.5}
    assert summary["bestAsk"] == {"exchange": "c", "price": 100.0}
    assert (summary["gap"], summary["gapBps"]) == (-0.5, -50.1253)
    assert (summary["median"], summary["midLow"], summary["midHigh"]) == (100.0, 99.0, 100.0)
    assert summary["midRangeBps"] == 100.0
    assert "note" not in summary


def test_a_gap_above_zero_says_that_it_is_gross() -> None:
    summary = compare_prices([Quote("cheap", 99.0, 100.0), Quote("dear", 101.0, 102.0)])
    assert (summary["gap"], summary["gapBps"]) == (1.0, 99.5025)
    assert "gross" in summary["note"]


def test_each_exchange_shows_its_deviation_from_the_median() -> None:
    table = compare_prices(
        [Quote("a", 99, 101, 100.5, 5, 20), Quote("b", 100, 104), Quote("c", None, None, 99), Quote("d")]
    )["quotes"]
    assert table.columns == QUOTE_COLUMNS
    assert table.rows == [
        ["a", 99, 101, 100.5, 100.0, 0.0, 5, 20],
        ["b", 100, 104, None, 102.0, 200.0, None, None],
        ["c", None, None, 99, 99.0, -100.0, None, None],
        ["d", None, None, None, None, None, None, None],
    ]


def test_missing_zero_negative_and_infinite_prices_are_ignored() -> None:
    summary = compare_prices(
        [Quote("zero", 0, 0, 0), Quote("negative", -5, -4), Quote("nan", math.nan, math.inf), Quote("good", 10, 12)]
    )
    assert summary["bestBid"] == {"exchange": "good", "price": 10}
    assert summary["bestAsk"] == {"exchange": "good", "price": 12}
    assert summary["median"] == 11.0


def test_nothing_is_invented_without_prices() -> None:
    assert set(compare_prices([Quote("a"), Quote("b", 0)])) == {"quotes"}
    assert compare_prices([])["quotes"].rows == []


def test_one_side_alone_has_no_gap() -> None:
    summary = compare_prices([Quote("a", bid=10)])
    assert summary["bestBid"] == {"exchange": "a", "price": 10}
    assert not {"bestAsk", "gap", "median"} & set(summary)


def test_a_quote_is_read_from_a_unified_ticker() -> None:
    ticker = {"bid": 1, "ask": 2, "last": 1.5, "timestamp": 7, "info": {}}
    assert Quote.of("a", ticker, age_ms=3) == Quote("a", 1, 2, 1.5, 7, 3)
    assert Quote.of("a", {}) == Quote("a")


PRICES = st.none() | st.floats(-1, 1e9)


@given(st.lists(st.builds(Quote, st.sampled_from("abc"), PRICES, PRICES, PRICES), max_size=8))
def test_the_median_lies_within_the_range_and_best_prices_are_quoted_ones(quotes: list[Quote]) -> None:
    summary = compare_prices(quotes)
    if "median" in summary:
        assert summary["midLow"] <= summary["median"] <= summary["midHigh"]
    if "bestBid" in summary:
        assert summary["bestBid"]["price"] == max(quote.bid for quote in quotes if quote.bid and not quote.crossed)
    if "bestAsk" in summary:
        assert summary["bestAsk"]["price"] in [quote.ask for quote in quotes]
