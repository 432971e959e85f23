"""Kept order books: the same as ccxt's own, but for levels that stay as they were handed out."""

from __future__ import annotations

import copy
from typing import Any

from ccxt.async_support.base.ws.order_book import OrderBook
from ccxt.async_support.base.ws.order_book_side import Asks, IndexedAsks
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.exchanges.books import levels_of, order_book

PRICES = st.integers(1, 12).map(float)
AMOUNTS = st.sampled_from([0.0, 0.0, 1.5, 2.0, 3.25])
DELTAS = st.lists(st.tuples(st.sampled_from(["bids", "asks"]), PRICES, AMOUNTS), max_size=60)
SNAPSHOT = {"bids": [[5.0, 1.0], [4.0, 2.0]], "asks": [[6.0, 1.0], [7.0, 2.0]], "timestamp": 1_700_000_000_000}


@given(DELTAS, st.sampled_from([None, 1, 3]))
def test_they_are_kept_as_ccxt_keeps_its_own(deltas: list[tuple[str, float, float]], depth: int | None) -> None:
    ours: Any = order_book(SNAPSHOT, depth)
    theirs: Any = OrderBook(copy.deepcopy(SNAPSHOT), depth)
    for side, price, amount in deltas:
        for book in (ours, theirs):
            book[side].storeArray([price, amount])
            book.limit()
    assert dict(ours) == dict(theirs)
    for book in (ours, theirs):
        book.reset(SNAPSHOT | {"nonce": 7})
    assert dict(ours) == dict(theirs)


@given(DELTAS)
def test_levels_that_were_handed_out_stay_as_they_were(deltas: list[tuple[str, float, float]]) -> None:
    book: Any = order_book(SNAPSHOT, None)
    handed_out: list[tuple[list[list[float]], list[list[float]]]] = []
    for side, price, amount in deltas:
        book[side].store(price, amount)
        now = levels_of(book[side], 100)
        handed_out.append((now, copy.deepcopy(now)))
    for kept, as_it_was in handed_out:
        assert kept == as_it_was


def test_levels_that_ccxt_changes_are_copied() -> None:
    for side in (Asks([[1.0, 1.0]]), IndexedAsks([[1.0, 1.0, "a"]])):
        kept = levels_of(side, 100)
        side.storeArray([1.0, 2.0, "a"])
        assert kept == [[1.0, 1.0]]


def test_no_more_levels_are_handed_out_than_asked_for() -> None:
    book: Any = order_book({"bids": [[float(price), 1.0] for price in range(1, 300)]}, None)
    assert len(levels_of(book["bids"], 100)) == 100
    assert levels_of(book["bids"], 100)[0] == [299.0, 1.0]
