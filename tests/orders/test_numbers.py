from __future__ import annotations

from decimal import ROUND_UP, Decimal, getcontext, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.fingerprint import fingerprint
from ccxt_mcp.orders.number import about, exact, known, plain, positive, read, shown
from ccxt_mcp.orders.order import OrderRequest, Trailing
from orders.markets import D, request


@pytest.mark.parametrize(
    ("written", "value"),
    [("1", 1), ("1.50", "1.5"), (" .25 ", "0.25"), ("7.", 7), (3, 3), (0.1, "0.1"), (1e-7, "0.0000001"), (D("2.0"), 2)],
)
def test_a_number_is_read_as_the_decimal_that_was_written(written: Any, value: Any) -> None:
    assert read("amount", written) == D(str(value))


@pytest.mark.parametrize(
    "written",
    ["", "abc", "NaN", "nan", "Infinity", "-inf", "1e5", "1E-3", "1_000", "1,5", "1 000", "+1", "-1", "0x10", "١", "１",
     "0", "0.000", 0, -3, -0.5, float("nan"), float("inf"), D("NaN"), D("sNaN"), D("-Infinity"), True, None, [], {},
     "9" * 31, "0." + "0" * 30 + "1", 10**40, 10**5000, 1e300, D("1e999999"), D("1e-999999"), "1" * 10**6,
     "1\n2", "1.2.3"],
    ids=lambda written: type(written).__name__,
)  # fmt: skip
def test_what_is_no_plain_positive_number_of_a_sane_size_is_refused_with_field_and_value(written: Any) -> None:
    with pytest.raises(Failure) as refused:
        read("amount", written)
    assert refused.value.code is Code.INVALID_ORDER
    assert refused.value.message.startswith("amount is ")
    assert len(refused.value.message) < 200
    assert refused.value.details
    assert refused.value.details["field"] == "amount"


@given(st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.booleans(), st.lists(st.integers())))
def test_reading_gives_a_number_within_reach_or_a_failure_and_nothing_else(written: Any) -> None:
    try:
        number = read("price", written)
    except Failure:
        return
    assert 0 < number < D(10) ** 30


def test_an_exchanges_number_is_a_decimal_or_unknown() -> None:
    assert known("-0.5") == D("-0.5")
    assert positive(0.1) == D("0.1")
    for nothing in (None, True, "x", "NaN", "inf", [], 1e100, "1e-100"):
        assert known(nothing) is None
    for too_low in (0, "-1", None):
        assert positive(too_low) is None


@pytest.mark.parametrize(
    ("number", "text"), [("1E+3", "1000"), ("0.100", "0.1"), ("0E-8", "0"), ("1E-7", "0.0000001"), ("100", "100")]
)
def test_numbers_are_shown_in_plain_digits(number: str, text: str) -> None:
    assert plain(D(number)) == text


def test_only_what_a_division_made_endless_is_cut_for_showing() -> None:
    with localcontext(prec=60):
        third = D(1) / D(3)
    assert about(third) == "0.33333333"
    assert about(D("0.99999999999999")) == "0.99999999999999"


def test_a_value_is_shown_short_and_on_one_line() -> None:
    assert shown("a\nb\u202ec") == "a bc"
    assert shown("") == "empty"
    assert len(shown("x" * 10_000)) == 40
    assert shown(10**5000) == "a huge integer"


def test_orders_are_reckoned_in_their_own_context_whatever_the_threads_is() -> None:
    product = exact(lambda: D("12345678901234567890.123456789") * D("1.0000000001"))
    with localcontext(prec=3, rounding=ROUND_UP):
        assert product() == D("12345678902469135780.2469135780123456789")
        assert getcontext().prec == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "long"}, "side is long; it must be buy or sell."),
        ({"type": "stop"}, "type is stop; it must be market or limit."),
        ({"unit": "lots"}, "unit is lots; it must be base, quote or contracts."),
        ({"time_in_force": "GTD"}, "time_in_force is GTD; it must be GTC, IOC, FOK or PO."),
        ({"side": 1}, "side is 1; it must be buy or sell."),
        ({"amount": None}, "amount is missing; it must be given."),
        ({"symbol": None}, "symbol is missing; it must be given."),
        ({"symbol": 7}, "symbol is 7; it must be text."),
        ({"reduce_only": "yes"}, "reduce_only is yes; it must be true or false."),
        ({"client_order_id": 7}, "client_order_id is 7; it must be text."),
    ],
)
def test_an_argument_that_is_none_of_its_values_is_refused_with_those(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure) as refused:
        request(**change)
    assert (refused.value.code, refused.value.message) == (Code.INVALID_ORDER, message)


def test_words_are_read_in_any_case_and_po_means_post_only() -> None:
    order = request(side="BUY", type="Limit", price=1, time_in_force="po", unit="Base")
    assert (order.side, order.type, order.unit) == ("buy", "limit", "base")
    assert (order.time_in_force, order.post_only) == (None, True)


@pytest.mark.parametrize(
    ("written", "trailing", "at_200"),
    [("1.5%", Trailing(percent=D("1.5")), 3), ("50", Trailing(distance=D(50)), 50), (7, Trailing(distance=D(7)), 7)],
)
def test_a_trailing_distance_is_a_percentage_or_an_amount_of_quote(
    written: Any, trailing: Trailing, at_200: int
) -> None:
    order = request(trailing=written)
    assert order.trailing == trailing
    assert trailing.at(D(200)) == at_200
    assert str(trailing) == str(written)


@pytest.mark.parametrize("written", ["%", "-1%", "NaN%", "1%%", "five", "0%"])
def test_a_trailing_distance_that_is_neither_is_refused(written: str) -> None:
    with pytest.raises(Failure, match="trailing is "):
        request(trailing=written)


def test_a_request_made_by_hand_with_a_number_that_is_none_is_found_out() -> None:
    for field in ("amount", "price", "trigger_price", "take_profit", "stop_loss"):
        values: dict[str, Any] = {"symbol": "X/Y", "side": "buy", "type": "limit", "amount": D(1), field: D("NaN")}
        with pytest.raises(Failure, match=f"{field} is NaN"):
            OrderRequest(**values).require_numbers()
    with pytest.raises(Failure, match="trailing is Infinity"):
        OrderRequest(
            symbol="X/Y", side="buy", type="market", amount=D(1), trailing=Trailing(percent=D("Infinity"))
        ).require_numbers()


ARGUMENTS: dict[str, list[Any]] = {
    "side": ["buy", "sell"],
    "type": ["market", "limit"],
    "amount": [D(1), D("1.5"), D("0.1")],
    "unit": [None, "base", "quote"],
    "price": [None, D(1), D(100)],
    "time_in_force": [None, "GTC", "IOC"],
    "post_only": [False, True],
    "reduce_only": [False, True],
    "trigger_price": [None, D(1)],
    "take_profit": [None, D(1)],
    "stop_loss": [None, D(1)],
    "trailing": [None, "1%", "1"],
    "client_order_id": [None, "a", "1"],
}
orders = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in ARGUMENTS.items()})


@given(orders, orders)
def test_two_orders_have_one_fingerprint_if_and_only_if_they_are_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    one, other = request(**a), request(**b)
    assert (one.fingerprint("binance", "main") == other.fingerprint("binance", "main")) == (one == other)


@pytest.mark.parametrize("written", [1, 1.0, "1", "1.00", D("1.0"), D("1E+0"), "01"])
def test_the_same_amount_has_the_same_fingerprint_however_it_is_written(written: Any) -> None:
    expected = request(amount="1", price="1", type="limit").fingerprint("binance", "main")
    assert request(amount=written, price=written, type="limit").fingerprint("binance", "main") == expected


def test_post_only_has_the_same_fingerprint_in_both_spellings() -> None:
    by_hand = OrderRequest(symbol="BTC/USDT", side="buy", type="limit", amount=D(1), price=D(2), time_in_force="PO")
    read_one = request(type="limit", amount=1, price=2, post_only=True)
    assert by_hand.fingerprint("binance", "main") == read_one.fingerprint("binance", "main")


def test_exchange_account_action_and_type_of_a_fact_make_a_difference() -> None:
    facts = {"amount": Decimal(1), "gone": None, "off": False}
    base = fingerprint("binance", "main", "create", facts)
    assert base == fingerprint("binance", "main", "create", {"amount": D("1.0")})
    assert len(base) == 64
    others = {
        fingerprint("okx", "main", "create", facts),
        fingerprint("binance", "other", "create", facts),
        fingerprint("binance", "main", "modify", facts),
        fingerprint("binance", "main", "create", {"amount": "1"}),
        fingerprint("binance", "main", "create", {"amount": True}),
        fingerprint("binance", "main", "create", {}),
    }
    assert len(others | {base}) == 7
