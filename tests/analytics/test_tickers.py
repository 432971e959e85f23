from __future__ import annotations

from typing import Any

import pytest

from ccxt_mcp.analytics.tickers import TICKER_FIELDS, select_fields, sorted_tickers, ticker_row
from ccxt_mcp.errors import Code, Failure


def order(tickers: list[dict[str, Any]], by: Any) -> list[str]:
    return [ticker["symbol"] for ticker in sorted_tickers(tickers, by=by)]


def test_a_row_holds_the_fields_in_their_order_and_none_for_what_is_missing() -> None:
    assert ticker_row({"symbol": "A/B", "last": 5.0, "info": {}}, ("last", "bid", "symbol")) == [5.0, None, "A/B"]


def test_volume_is_in_quote_units_else_base_units_times_the_last_price() -> None:
    tickers = [
        {"symbol": "SMALL", "quoteVolume": 5},
        {"symbol": "NONE", "baseVolume": 9},
        {"symbol": "DERIVED", "baseVolume": 10, "last": 2},
        {"symbol": "ALSO NONE", "quoteVolume": float("nan")},
        {"symbol": "LARGE", "quoteVolume": 100, "baseVolume": 1, "last": 1},
        {"symbol": "ZERO", "quoteVolume": 0},
    ]
    assert order(tickers, "volume") == ["LARGE", "DERIVED", "SMALL", "ZERO", "ALSO NONE", "NONE"]


def test_change_is_sorted_from_the_largest_gain_to_the_largest_loss() -> None:
    tickers: list[dict[str, Any]] = [
        {"symbol": "UNKNOWN", "percentage": None},
        {"symbol": "DOWN", "percentage": -3.5},
        {"symbol": "UP", "percentage": 12},
        {"symbol": "FLAT", "percentage": 0.0},
    ]
    assert order(tickers, "change") == ["UP", "FLAT", "DOWN", "UNKNOWN"]


def test_equal_values_are_in_the_order_of_their_symbols_so_that_pages_are_stable() -> None:
    tickers = [{"symbol": symbol, "percentage": 1} for symbol in "CAB"]
    assert order(tickers, "change") == order(tickers, "symbol") == ["A", "B", "C"]


def test_fields_are_the_default_unless_named() -> None:
    for wanted in (None, []):
        assert select_fields(wanted, allowed=TICKER_FIELDS, default=("symbol", "last")) == ("symbol", "last")
    assert select_fields(["last", "bid", "last"], allowed=TICKER_FIELDS, default=()) == ("last", "bid")


def test_a_field_that_does_not_exist_is_invalid_and_those_that_do_are_named() -> None:
    with pytest.raises(Failure, match="'price'") as caught:
        select_fields(["last", "price"], allowed=("last", "bid"), default=())
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "last, bid" in caught.value.hint


def test_the_fields_of_a_ticker_leave_out_the_raw_reply() -> None:
    assert not {"info", "datetime", "close"} & set(TICKER_FIELDS)
