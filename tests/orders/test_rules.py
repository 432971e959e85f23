from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.market import Bounds, MarketRules
from ccxt_mcp.orders.order import OrderRequest, Trailing
from ccxt_mcp.orders.precision import UNTOLD, Precision
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.rules import check, check_leverage
from ccxt_mcp.orders.sizing import Sized, size
from orders.markets import INVERSE, LINEAR, OPTION, QUOTE, SPOT, D, request, rules


def place(market: dict[str, Any] = SPOT, *, quote: Quote = QUOTE, **arguments: Any) -> Sized:
    """Size an order and check it, as the write route does."""
    unit = {"unit": "contracts"} if market["contract"] else {}
    order = request(**{"symbol": market["symbol"], "amount": 1} | unit | arguments)
    result = size(order, rules(market), quote)
    check(order, result, rules(market), quote)
    return result


def refusal(market: dict[str, Any] = SPOT, *, quote: Quote = QUOTE, **arguments: Any) -> Failure:
    with pytest.raises(Failure) as refused:
        place(market, quote=quote, **arguments)
    assert refused.value.code is Code.INVALID_ORDER
    return refused.value


GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (SPOT, {}),
    (SPOT, {"side": "sell"}),
    (SPOT, {"type": "limit", "price": 59000, "post_only": True}),
    (SPOT, {"type": "limit", "price": 59000, "time_in_force": "FOK"}),
    (SPOT, {"time_in_force": "IOC"}),
    (SPOT, {"trigger_price": 61000}),
    (SPOT, {"type": "limit", "price": 61500, "trigger_price": 61000}),
    (SPOT, {"side": "sell", "trigger_price": 59000}),
    (SPOT, {"take_profit": 65000, "stop_loss": 55000}),
    (SPOT, {"trailing": "5%", "side": "sell"}),
    (SPOT, {"trailing": "59999", "side": "sell"}),
    (LINEAR, {"side": "sell", "take_profit": 55000, "stop_loss": 65000}),
    (LINEAR, {"reduce_only": True, "side": "sell", "trigger_price": 59000}),
    (LINEAR, {"reduce_only": True, "side": "sell", "trigger_price": 65000}),
    (INVERSE, {"reduce_only": True}),
    (OPTION, {"type": "limit", "price": 100}),
]


@pytest.mark.parametrize(("market", "arguments"), GOOD)
def test_a_sensible_order_passes(market: dict[str, Any], arguments: dict[str, Any]) -> None:
    place(market, **arguments)


@pytest.mark.parametrize(
    ("market", "arguments", "message"),
    [
        (SPOT, {"price": 60000}, "price is 60000; a market order has none."),
        (SPOT, {"type": "limit"}, "price is missing; a limit order needs one."),
        (SPOT, {"post_only": True}, "post_only is true; a market order always takes."),
        (
            SPOT,
            {"type": "limit", "price": 1000, "post_only": True, "time_in_force": "IOC"},
            "time_in_force is IOC; a post-only order rests and never takes.",
        ),
        (
            SPOT,
            {"type": "limit", "price": 1000, "post_only": True, "time_in_force": "FOK"},
            "time_in_force is FOK; a post-only order rests and never takes.",
        ),
        (SPOT, {"reduce_only": True}, "reduce_only is true; BTC/USDT is a spot market without positions."),
        (SPOT, {"side": "sell", "take_profit": 70000}, "take_profit is 70000; on spot it goes with a buy."),
        (
            LINEAR,
            {"reduce_only": True, "stop_loss": 50000},
            "stop_loss is 50000; a reduce-only order opens nothing to protect.",
        ),
        (SPOT, {"trailing": "1%", "stop_loss": 50000}, "stop_loss is 50000; it does not go with trailing."),
        (SPOT, {"amount": "0.0001"}, "amount is 0.0001 BTC; the least on BTC/USDT is 0.0002 BTC."),
        (SPOT, {"amount": "100.5"}, "amount is 100.5 BTC; the most on BTC/USDT is 100 BTC."),
        (
            SPOT,
            {"type": "limit", "price": 20, "amount": "0.2"},
            "cost is 4 USDT; the least on BTC/USDT is 5 USDT.",
        ),
        (SPOT, {"type": "limit", "price": "0.5", "amount": 50}, "price is 0.5 USDT; the least on BTC/USDT is 1 USDT."),
        (
            SPOT,
            {"type": "limit", "price": 2000000},
            "price is 2000000 USDT; the most on BTC/USDT is 1000000 USDT.",
        ),
        (
            SPOT,
            {"trigger_price": 59000},
            "trigger_price is 59000; to wait for it, a buy on BTC/USDT needs one above the market at 60000.",
        ),
        (
            SPOT,
            {"side": "sell", "trigger_price": 61000},
            "trigger_price is 61000; to wait for it, a sell on BTC/USDT needs one below the market at 60000.",
        ),
        (
            LINEAR,
            {"reduce_only": True, "trigger_price": 60000},
            "trigger_price is 60000; to wait for it, a buy on BTC/USDT:USDT needs one away from the market at 60000.",
        ),
        (SPOT, {"take_profit": 60010}, "take_profit is 60010; for a buy at 60010 it must be above that."),
        (SPOT, {"stop_loss": 60010}, "stop_loss is 60010; for a buy at 60010 it must be below that."),
        (
            SPOT,
            {"type": "limit", "price": 50000, "stop_loss": 55000},
            "stop_loss is 55000; for a buy at 50000 it must be below that.",
        ),
        (
            LINEAR,
            {"side": "sell", "take_profit": 61000},
            "take_profit is 61000; for a sell at 59990 it must be below that.",
        ),
        (
            LINEAR,
            {"side": "sell", "stop_loss": 59000},
            "stop_loss is 59000; for a sell at 59990 it must be above that.",
        ),
        (SPOT, {"trailing": "60000"}, "trailing is 60000; it must be less than the price, which is 60000."),
        (SPOT, {"trailing": "100%"}, "trailing is 100%; it must be below 100%."),
        (
            SPOT,
            {"trailing": "1%", "type": "limit", "price": 60000},
            "trailing is 1%; a trailing stop is a market order.",
        ),
        (SPOT, {"trailing": "1%", "time_in_force": "IOC"}, "trailing is 1%; a trailing stop is a market order."),
        (SPOT, {"trailing": "1%", "trigger_price": 61000}, "trailing is 1%; it does not go with trigger_price."),
    ],
)  # fmt: skip
def test_a_refusal_names_field_value_bound_and_next_step(
    market: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    failure = refusal(market, **arguments)
    assert failure.message == message
    assert failure.hint.endswith(".")
    assert failure.hint != failure.code.value.advice
    assert failure.details
    assert failure.details["field"] == message.partition(" is ")[0]


def test_a_market_that_does_not_trade_is_refused_and_one_that_may_is_not() -> None:
    with pytest.raises(Failure) as refused:
        place(SPOT | {"active": False})
    assert refused.value.code is Code.MARKET_INACTIVE
    place(SPOT | {"active": None})


def test_the_rest_of_a_position_may_be_less_than_the_least() -> None:
    market = LINEAR | {"limits": {"amount": {"min": 5, "max": 10}, "cost": {"min": 1000}}}
    refusal(market, amount=1)
    place(market, amount=1, reduce_only=True)
    refusal(market, amount=11, reduce_only=True)


def test_bounds_of_cost_are_not_held_against_inverse_contracts_whose_unit_nobody_tells() -> None:
    place(INVERSE | {"limits": {"cost": {"min": 1000}}}, amount=1)


def test_where_the_market_is_not_known_the_sides_of_triggers_are_not_held_against_the_order() -> None:
    place(quote=Quote(), trigger_price=5, amount=10)
    place(LINEAR, quote=Quote(), type="limit", price=100, take_profit=200, stop_loss=50)
    refusal(LINEAR, quote=Quote(), type="limit", price=100, take_profit=50)
    place(quote=Quote(last=D(60000)), trigger_price=61000)
    refusal(quote=Quote(last=D(60000)), trigger_price=59000)


def test_leverage_has_the_markets_bounds() -> None:
    assert check_leverage("10", rules(LINEAR)) == 10
    for wrong, message in (
        (51, "leverage is 51; the most on BTC/USDT:USDT is 50."),
        ("0.5", "leverage is 0.5; the least on BTC/USDT:USDT is 1."),
        (0, "leverage is 0; it must be above zero."),
        ("NaN", "leverage is NaN; it must be a plain decimal number such as 0.25."),
    ):
        with pytest.raises(Failure) as refused:
            check_leverage(wrong, rules(LINEAR))
        assert (refused.value.code, refused.value.message) == (Code.INVALID_ORDER, message)
    with pytest.raises(Failure, match="spot market and has none"):
        check_leverage(2, rules())


def test_both_spellings_of_post_only_are_held_to_the_same_rules() -> None:
    for spelling in ({"post_only": True}, {"time_in_force": "PO"}):
        order = replace(request(), **spelling)
        with pytest.raises(Failure, match="a market order always takes"):
            check(order, size(order, rules(), QUOTE), rules(), QUOTE)


numbers = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from([D("1e-30"), D("1e29"), D("-0"), D("sNaN"), D("1e999999"), D(60000), D(1)]),
)
maybe = st.none() | numbers
anything = st.builds(
    OrderRequest,
    symbol=st.just("BTC/USDT"),
    side=st.sampled_from(["buy", "sell"]),
    type=st.sampled_from(["market", "limit"]),
    amount=numbers,
    unit=st.sampled_from([None, "base", "quote", "contracts"]),
    price=maybe,
    time_in_force=st.sampled_from([None, "GTC", "IOC", "FOK", "PO"]),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    trigger_price=maybe,
    take_profit=maybe,
    stop_loss=maybe,
    trailing=st.none() | st.builds(Trailing, distance=numbers) | st.builds(Trailing, percent=numbers),
)
any_quote = st.builds(Quote, bid=maybe, ask=maybe, last=maybe, mark=maybe)
any_market = st.builds(
    replace,
    st.sampled_from([rules(SPOT), rules(LINEAR), rules(INVERSE), rules(OPTION)]),
    amount=st.sampled_from([UNTOLD, Precision(step=D("0.01")), Precision(digits=3)]),
    price=st.sampled_from([UNTOLD, Precision(step=D(5)), Precision(digits=3)]),
    amounts=st.just(Bounds()),
    costs=st.just(Bounds()),
)


@given(anything, any_market, any_quote, st.booleans())
def test_whatever_is_asked_for_the_outcome_is_an_order_or_a_failure(
    order: OrderRequest, market: MarketRules, quote: Quote, by_cost: bool
) -> None:
    try:
        result = size(order, market, quote, buys_by_cost=by_cost)
        check(order, result, market, quote)
    except Failure:
        return
    for number in (result.amount, result.cost, result.price, result.trigger_price, result.notional):
        assert number is None or (number.is_finite() and number > 0)
    assert (result.amount is None) != (result.cost is None)
    assert (result.price is None) == (order.type == "market")
    assert not (order.reduce_only and not market.contract)
