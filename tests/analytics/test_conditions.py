from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.analytics.conditions import Condition
from ccxt_mcp.errors import Code, Failure

MADE: list[tuple[str, dict[str, Any]]] = [
    ("price_above", {"value": 70_000}),
    ("price_below", {"value": 0.000012}),
    ("price_crosses", {"value": 1.5}),
    ("spread_below", {"value": 5}),
    ("change_over", {"value": 2.5, "window": 300}),
    ("order_filled", {"order_id": "a-1"}),
    ("liquidation_within", {"value": 10}),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "words", "channels", "private"),
    [
        (*MADE[0], "BTC/USDT trades above 70000", ("trades", "ticker"), False),
        (*MADE[1], "BTC/USDT trades below 0.000012", ("trades", "ticker"), False),
        (*MADE[2], "BTC/USDT crosses 1.5", ("trades", "ticker"), False),
        (*MADE[3], "BTC/USDT's spread is at most 5 bps of the mid", ("book",), False),
        (*MADE[4], "BTC/USDT moves by 2.5% or more within 300 s", ("trades", "ticker"), False),
        (*MADE[5], "order a-1 on BTC/USDT is filled", ("orders",), True),
        (*MADE[6], "BTC/USDT is within 10% of the position's liquidation", ("positions", "ticker"), True),
    ],
)
def test_a_condition_has_words_and_streams(
    kind: str, arguments: dict[str, Any], words: str, channels: tuple[str, ...], private: bool
) -> None:
    condition = Condition.read(kind, **arguments)
    assert condition.words("BTC/USDT") == words
    assert condition.channels == channels
    assert condition.private is private


def test_the_json_has_only_what_the_condition_has() -> None:
    assert Condition.read("change_over", value=2, window=60).to_dict() == {
        "kind": "change_over",
        "value": 2.0,
        "window": 60.0,
    }
    assert Condition.read("order_filled", order_id=" x ").to_dict() == {"kind": "order_filled", "orderId": "x"}
    assert Condition("price_crosses", 5.0, side="below").to_dict() == {
        "kind": "price_crosses",
        "value": 5.0,
        "side": "below",
    }


@given(
    st.one_of(
        st.builds(
            Condition,
            kind=st.just("price_crosses"),
            value=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
            side=st.sampled_from([None, "above", "below"]),
        ),
        st.builds(
            Condition,
            kind=st.just("change_over"),
            value=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
            window=st.floats(1, 86_400),
        ),
        st.sampled_from([Condition.read(kind, **arguments) for kind, arguments in MADE]),
        st.just(Condition("price_above", 1.0, side="above")),
        st.just(Condition("spread_below", 1.0, side="below")),
    )
)
def test_a_stored_condition_is_the_same(condition: Condition) -> None:
    assert Condition.from_dict(json.loads(json.dumps(condition.to_dict()))) == condition


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("price_over", {"value": 1}, "kind is 'price_over'"),
        ("price_above", {}, "value is missing"),
        ("change_over", {"value": 1}, "window is missing"),
        ("change_over", {"window": 10}, "value is missing"),
        ("order_filled", {}, "order_id is missing"),
        ("order_filled", {"order_id": "  "}, "order_id is empty"),
        ("order_filled", {"order_id": 5}, "order_id is empty"),
        ("price_above", {"value": 1, "window": 5}, "window is not needed for price_above"),
        ("spread_below", {"value": 1, "order_id": "x"}, "order_id is not needed"),
        ("order_filled", {"value": 1, "order_id": "x"}, "value is not needed"),
        ("price_above", {"value": 0}, "value is 0;"),
        ("price_below", {"value": -1}, "value is -1;"),
        ("price_crosses", {"value": math.nan}, "value is nan;"),
        ("spread_below", {"value": math.inf}, "value is inf;"),
        ("liquidation_within", {"value": True}, "value is True;"),
        ("price_above", {"value": "5"}, "value is 5; it must be a number"),
        ("price_above", {"value": 10**400}, "it must be a number"),
        ("change_over", {"value": 1, "window": 0.5}, "window is 0.5; it must be 1 to 86400"),
        ("change_over", {"value": 1, "window": 86_401}, "window is 86401;"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(Failure) as caught:
        Condition.read(kind, **arguments)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert says in caught.value.message


@pytest.mark.parametrize("window", [1, 86_400])
def test_the_bounds_of_the_window_are_allowed(window: float) -> None:
    assert Condition.read("change_over", value=1, window=window).window == window


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": ["price_above"], "value": 1},
        {"kind": "price_above", "value": "much"},
        {"kind": "price_above", "value": 1, "order_id": "x"},
        {"kind": "price_crosses", "value": 1, "side": "left"},
        {"kind": "price_crosses", "value": 1, "side": []},
        {"kind": "price_above", "value": 1, "side": "below"},
        {"kind": "change_over", "value": 1, "window": 60, "side": "above"},
        {"kind": "order_filled", "orderId": {"a": 1}},
    ],
)
def test_a_stored_condition_that_makes_no_sense_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(Failure) as caught:
        Condition.from_dict(data)
    assert caught.value.code is Code.INVALID_ARGUMENT
