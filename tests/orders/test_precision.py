from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal, localcontext

import pytest
from ccxt.base.decimal_to_precision import ROUND, TRUNCATE, decimal_to_precision
from hypothesis import example, given
from hypothesis import strategies as st

from ccxt_mcp.orders.precision import UNTOLD, Precision
from orders.markets import D

DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE = 2, 3, 4

values = st.decimals(D("1e-10"), D("1e10"), places=12, allow_nan=False, allow_infinity=False)
ticks = st.one_of(
    st.sampled_from(["1e-8", "0.00025", "0.001", "0.05", "0.25", "0.5", "1", "2.5", "5", "10", "100"]),
    st.decimals(D("0.0001"), D("100"), places=4, allow_nan=False, allow_infinity=False).map(str),
)


@pytest.fixture(autouse=True)
def own_context() -> Generator[None]:
    """Ccxt changes the thread's context, and has 28 digits unless told otherwise."""
    with localcontext(prec=60):
        yield


def theirs(value: Decimal, how: int, precision: int | str, mode: int) -> Decimal:
    return D(decimal_to_precision(format(value, "f"), how, precision, mode))


@given(values, ticks)
def test_steps_cut_and_round_as_in_ccxt(value: Decimal, tick: str) -> None:
    precision = Precision.of(tick, TICK_SIZE)
    assert precision.truncated(value) == theirs(value, TRUNCATE, tick, TICK_SIZE)
    assert precision.rounded(value) == theirs(value, ROUND, tick, TICK_SIZE)


@given(values, st.integers(-4, 12))
@example(D("0.5"), 0)
@example(D("1250"), -2)
def test_decimal_places_cut_and_round_as_in_ccxt(value: Decimal, places: int) -> None:
    precision = Precision.of(places, DECIMAL_PLACES)
    assert precision.truncated(value) == theirs(value, TRUNCATE, places, DECIMAL_PLACES)
    assert precision.rounded(value) == theirs(value, ROUND, places, DECIMAL_PLACES)


@given(values, st.integers(1, 12))
@example(D("12350"), 3)
@example(D("99999"), 3)
@example(D("0.00099995"), 4)
@example(D("123.5"), 3)
def test_significant_digits_cut_and_round_as_in_ccxt(value: Decimal, digits: int) -> None:
    precision = Precision.of(digits, SIGNIFICANT_DIGITS)
    assert precision.truncated(value) == theirs(value, TRUNCATE, digits, SIGNIFICANT_DIGITS)
    assert precision.rounded(value) == theirs(value, ROUND, digits, SIGNIFICANT_DIGITS)


@given(values, st.sampled_from([(8, DECIMAL_PLACES), (5, SIGNIFICANT_DIGITS), ("0.05", TICK_SIZE)]))
def test_what_is_cut_is_never_more_and_stays_as_it_is_when_cut_again(
    value: Decimal, told: tuple[int | str, int]
) -> None:
    precision = Precision.of(*told)
    cut = precision.truncated(value)
    assert cut <= value
    assert precision.truncated(cut) == cut


@given(values)
def test_where_nothing_is_told_nothing_is_changed(value: Decimal) -> None:
    assert UNTOLD.truncated(value) == UNTOLD.rounded(value) == value


@pytest.mark.parametrize(
    ("told", "mode"),
    [(None, TICK_SIZE), ("x", TICK_SIZE), (0, TICK_SIZE), (-1, TICK_SIZE), (float("nan"), TICK_SIZE),
     (0.001, DECIMAL_PLACES), (0, SIGNIFICANT_DIGITS), (-2, SIGNIFICANT_DIGITS), (99, DECIMAL_PLACES),
     (True, TICK_SIZE)],
)  # fmt: skip
def test_what_is_no_precision_counts_as_not_told(told: object, mode: int) -> None:
    assert Precision.of(told, mode) == UNTOLD
