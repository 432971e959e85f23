from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.analytics.book import summarise_book
from ccxt_mcp.envelope import Table

BOOK: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "timestamp": 1_795_486_104_000,
    "nonce": 1,
    "bids": [[99.9, 1.0], [99.5, 2.0], [98.0, 5.0]],
    "asks": [[100.1, 0.5], [100.5, 0.1], [103.0, 9.0]],
}


def test_best_prices_spread_and_depth_follow_their_formulas() -> None:
    summary = summarise_book(BOOK, levels=2, within=1)
    assert summary == {
        "symbol": "BTC/USDT",
        "timestamp": 1_795_486_104_000,
        "bid": 99.9,
        "ask": 100.1,
        "mid": 100.0,
        "spread": 0.2,
        "spreadBps": 20.0,
        "depthComplete": True,
        "depth": {
            "withinPercent": 1.0,
            "bidAmount": 3.0,
            "bidValue": 298.9,
            "askAmount": 0.6,
            "askValue": 60.1,
            "imbalance": 0.6652,
        },
        "bids": Table(("price", "amount"), [[99.9, 1.0], [99.5, 2.0]]),
        "asks": Table(("price", "amount"), [[100.1, 0.5], [100.5, 0.1]]),
    }


def test_derived_numbers_carry_no_binary_noise() -> None:
    book = {"bids": [[1.1, 0.1], [1.1, 0.2]], "asks": [[1.3, 0.1]]}
    summary = summarise_book(book, levels=5, within=50)
    assert (summary["mid"], summary["spread"], summary["depth"]["bidAmount"]) == (1.2, 0.2, 0.3)


def test_a_book_that_ends_before_the_bound_says_that_its_depth_is_incomplete() -> None:
    assert summarise_book(BOOK, levels=5, within=2.5)["depthComplete"] is False
    assert summarise_book(BOOK, levels=5, within=1.9)["depthComplete"] is True


def test_levels_beyond_the_table_still_count_for_the_depth() -> None:
    summary = summarise_book(BOOK, levels=1, within=1)
    assert len(summary["bids"].rows) == 1
    assert summary["depth"]["bidAmount"] == 3.0


@pytest.mark.parametrize(("bids", "asks", "known"), [([[99, 1]], [], "bid"), ([], [[101, 1]], "ask")])
def test_a_one_sided_book_tells_what_it_has(bids: list[list[float]], asks: list[list[float]], known: str) -> None:
    summary = summarise_book({"bids": bids, "asks": asks}, levels=5, within=1)
    assert set(summary) == {known, "bids", "asks"}


def test_an_empty_book_has_two_empty_tables() -> None:
    for book in ({"bids": [], "asks": []}, {"bids": None}, {}):
        assert summarise_book(book, levels=5, within=1) == {
            "bids": Table(("price", "amount")),
            "asks": Table(("price", "amount")),
        }


@pytest.mark.parametrize(("bid", "ask", "crossed"), [(101, 100, True), (100, 100, True), (99, 100, None)])
def test_a_crossed_book_is_flagged(bid: float, ask: float, crossed: bool | None) -> None:
    assert summarise_book({"bids": [[bid, 1]], "asks": [[ask, 1]]}, levels=5, within=1).get("crossed") is crossed


def test_contracts_are_turned_into_base_and_quote_units() -> None:
    book = {"bids": [[50_000, 10]], "asks": [[50_010, 10]]}
    linear = summarise_book(book, levels=5, within=1, contract_size=0.01)["depth"]
    assert (linear["bidAmount"], linear["bidValue"]) == (0.1, 5_000.0)
    inverse = summarise_book(book, levels=5, within=1, contract_size=100, inverse=True)["depth"]
    assert (inverse["bidAmount"], inverse["bidValue"]) == (0.02, 1_000.0)


def test_further_values_of_a_level_and_levels_without_price_are_left_out() -> None:
    summary = summarise_book(
        {"bids": [[None, 1], [99, 1, 1_795_486_104]], "asks": [[101, 1, "id"]]}, levels=5, within=5
    )
    assert summary["bids"].rows == [[99, 1]]
    assert summary["asks"].rows == [[101, 1]]


def test_negative_prices_have_a_spread_but_no_depth_in_percent() -> None:
    summary = summarise_book({"bids": [[-3, 1]], "asks": [[-1, 1]]}, levels=5, within=1)
    assert (summary["mid"], summary["spread"]) == (-2.0, 2.0)
    assert "depth" not in summary
    assert "spreadBps" not in summary


LEVELS = st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 1e6)).map(list), max_size=20)


@given(LEVELS, LEVELS, st.floats(0.01, 50))
def test_depth_grows_with_the_bound_and_imbalance_stays_in_its_range(
    bids: list[list[float]], asks: list[list[float]], within: float
) -> None:
    book = {"bids": sorted(bids, reverse=True), "asks": sorted(asks)}
    near, far = (summarise_book(book, levels=5, within=x).get("depth") for x in (within, min(50, within * 2)))
    if near is not None and far is not None:
        assert near["bidAmount"] <= far["bidAmount"]
        assert near["askValue"] <= far["askValue"]
        assert -1 <= near.get("imbalance", 0) <= 1
