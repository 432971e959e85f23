from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.preview import preview
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.sizing import Sized, size
from orders.markets import INVERSE, LINEAR, OPTION, QUOTE, SPOT, D, all_rules, decimals, prices, quotes, request, rules


def sized(market: dict[str, Any] = SPOT, *, quote: Quote = QUOTE, by_cost: bool = False, **arguments: Any) -> Sized:
    order = request(symbol=market["symbol"], **arguments)
    return size(order, rules(market), quote, buys_by_cost=by_cost)


def refusal(market: dict[str, Any] = SPOT, *, quote: Quote = QUOTE, by_cost: bool = False, **arguments: Any) -> Failure:
    with pytest.raises(Failure) as refused:
        sized(market, quote=quote, by_cost=by_cost, **arguments)
    assert refused.value.code is Code.INVALID_ORDER
    return refused.value


@pytest.mark.parametrize(
    ("market", "arguments", "amount", "notional"),
    [
        (SPOT, {"amount": 2}, 2, 120020),
        (SPOT, {"amount": 2, "side": "sell"}, 2, 119980),
        (SPOT, {"amount": 600, "unit": "quote", "type": "limit", "price": 30000}, "0.02", 600),
        (SPOT, {"amount": 60010, "unit": "quote"}, 1, 60010),
        (SPOT, {"amount": 59990, "unit": "quote", "side": "sell"}, 1, 59990),
        (LINEAR, {"amount": 3, "unit": "contracts"}, 3, "180.03"),
        (LINEAR, {"amount": "0.003", "unit": "base"}, 3, "180.03"),
        (LINEAR, {"amount": "180.03", "unit": "quote"}, 3, "180.03"),
        (LINEAR, {"amount": 50, "unit": "quote", "type": "limit", "price": 50000}, 1, 50),
        (INVERSE, {"amount": 3, "unit": "contracts"}, 3, 300),
        (INVERSE, {"amount": 300, "unit": "quote"}, 3, 300),
        (INVERSE, {"amount": "0.5", "unit": "base", "type": "limit", "price": 60000}, 300, 30000),
    ],
)
def test_each_unit_comes_to_the_same_amount_on_each_kind_of_market(
    market: dict[str, Any], arguments: dict[str, Any], amount: Any, notional: Any
) -> None:
    result = sized(market, **arguments)
    assert (result.amount, result.notional) == (D(str(amount)), D(str(notional)))


def test_base_and_contracts_are_told_beside_the_amount() -> None:
    linear, inverse = sized(LINEAR, amount=5, unit="contracts"), sized(INVERSE, amount=6, unit="contracts")
    assert (linear.contracts, linear.base_amount) == (5, D("0.005"))
    assert inverse.contracts == 6
    assert inverse.base_amount is not None
    assert round(inverse.base_amount, 10) == round(D(600) / D(60010), 10)
    assert sized(amount=1).contracts is None


def test_an_amount_of_contracts_without_a_unit_is_refused_and_each_meaning_is_shown() -> None:
    failure = refusal(LINEAR, amount=2)
    assert failure.message == (
        "amount is 2 without a unit, and BTC/USDT:USDT is traded in contracts. "
        "unit contracts: 2 contracts worth about 120.02 USDT; unit base: 2000 contracts worth about 120020 USDT; "
        "unit quote: 0.033327779 contracts worth about 2 USDT."
    )
    assert failure.details
    assert failure.details["units"] == ["contracts", "base", "quote"]
    inverse = refusal(INVERSE, amount=2, quote=Quote())
    assert "unit quote: 0.02 contracts worth about 2 USD" in inverse.message
    assert "unit base: 2 BTC;" in inverse.message


def test_without_a_unit_spot_means_base_and_a_linear_contract_of_one_means_contracts() -> None:
    assert sized(amount=1).amount == 1
    assert sized(LINEAR | {"contractSize": 1.0}, amount=2).amount == 2
    refusal(INVERSE | {"contractSize": 1.0}, amount=2)


def test_a_unit_that_the_market_does_not_have_is_refused_with_those_that_it_has() -> None:
    assert refusal(amount=1, unit="contracts").message == (
        "unit is contracts; BTC/USDT is a spot market and takes base or quote."
    )
    for market in (OPTION, LINEAR | {"contractSize": None}, LINEAR | {"linear": False}):
        assert refusal(market, amount=1, unit="base").message.endswith("and takes contracts.")
        result = sized(market, amount=1, unit="contracts")
        assert (result.amount, result.notional, result.notional_worst) == (1, None, None)


def test_an_amount_is_cut_and_a_price_is_rounded_and_both_are_told() -> None:
    result = sized(amount="0.00099", type="limit", price="60000.005", trigger_price="61000.999")
    assert (result.amount, result.price, result.trigger_price) == (D("0.0009"), D("60000.01"), D("61001"))
    assert result.changes == (
        "price is rounded from 60000.005 to 60000.01: BTC/USDT has steps of 0.01.",
        "trigger_price is rounded from 61000.999 to 61001: BTC/USDT has steps of 0.01.",
        "amount is cut from 0.00099 to 0.0009 BTC: BTC/USDT has steps of 0.0001.",
    )
    digits = size(request(amount="1.23456"), rules(precision={"amount": 3}, mode=3), QUOTE)
    assert digits.changes == ("amount is cut from 1.23456 to 1.23 BTC: BTC/USDT has 3 significant digits.",)


def test_a_quotient_is_cut_to_what_a_float_holds_where_the_market_tells_no_precision() -> None:
    untold = SPOT | {"precision": {"price": 0.01}}
    converted = sized(untold, amount=100, unit="quote")
    assert (converted.amount, converted.changes) == (D("0.001666388935177470"), ())
    assert sized(untold, amount="0.12345678901234567890").amount == D("0.1234567890123456789")


def test_an_amount_of_which_nothing_is_left_is_refused_with_the_smallest() -> None:
    assert refusal(amount="0.00009").message == (
        "amount is 0.00009 BTC; the smallest amount on BTC/USDT is 0.0002 BTC."
    )
    assert refusal(amount=5, unit="quote").message == (
        "amount is 5 USDT, which is 0.000083319447 BTC; the smallest amount on BTC/USDT is 0.0002 BTC."
    )
    assert refusal(LINEAR, amount="0.0005", unit="base").message == (
        "amount is 0.0005 BTC, which is 0.5 contracts; the smallest amount on BTC/USDT:USDT is 1 contracts."
    )
    assert refusal(amount=1, type="limit", price="0.004").message == (
        "price is 0.004; the smallest price on BTC/USDT is 0.01."
    )


def test_a_market_buy_goes_by_cost_where_the_exchange_wants_it() -> None:
    by_quote = sized(amount="100.129", unit="quote", by_cost=True)
    assert (by_quote.amount, by_quote.cost) == (None, D("100.12"))
    assert by_quote.changes == ("cost is cut from 100.129 to 100.12 USDT: BTC/USDT has steps of 0.01.",)
    assert (by_quote.notional, by_quote.notional_worst) == (D("100.12"), D("100.12"))
    by_base = sized(amount="0.5", by_cost=True)
    assert (by_base.amount, by_base.cost, by_base.base_amount) == (None, 30005, D("0.5"))
    assert by_base.changes == ("market buys on this exchange go by cost: 0.5 BTC at 60010 is 30005 USDT.",)
    assert refusal(amount="0.001", unit="quote", by_cost=True).message == (
        "amount is 0.001 USDT, which costs 0.001 USDT; the smallest cost on BTC/USDT is 5 USDT."
    )


@pytest.mark.parametrize(
    ("market", "arguments"),
    [
        (SPOT, {"side": "sell"}),
        (SPOT, {"type": "limit", "price": 60000}),
        (LINEAR, {"unit": "contracts"}),
    ],
)
def test_only_market_buys_on_spot_go_by_cost(market: dict[str, Any], arguments: dict[str, Any]) -> None:
    result = sized(market, amount=1, by_cost=True, **arguments)
    assert (result.amount, result.cost) == (1, None)


@pytest.mark.parametrize(
    ("market", "arguments", "missing"),
    [
        (SPOT, {"unit": "quote"}, "ask"),
        (SPOT, {"unit": "quote", "side": "sell"}, "bid"),
        (SPOT, {"unit": "base", "by_cost": True}, "ask"),
        (LINEAR, {"unit": "quote"}, "ask"),
        (INVERSE, {"unit": "base"}, "ask"),
    ],
)
def test_without_a_price_nothing_is_converted(market: dict[str, Any], arguments: dict[str, Any], missing: str) -> None:
    failure = refusal(market, amount=100, quote=Quote(last=D(60000), mark=D(60000)), **arguments)
    assert f"shows no {missing}" in failure.message


def test_without_a_quote_the_worst_value_is_not_known() -> None:
    result = sized(amount=1, type="limit", price=50000, quote=Quote(last=D(60000)))
    assert (result.notional, result.notional_worst) == (50000, None)


@pytest.mark.parametrize(
    ("arguments", "worst"),
    [
        ({"type": "limit", "price": 70000}, 70000),
        ({"type": "limit", "price": 50000}, 60010),
        ({"type": "limit", "price": 50000, "side": "sell"}, 60000),
        ({"trigger_price": 80000}, 80000),
        ({"trailing": "10%"}, 66011),
        ({"trailing": "10%", "side": "sell"}, 60000),
    ],
)
def test_the_worst_value_is_at_the_highest_of_all_prices(arguments: dict[str, Any], worst: int) -> None:
    assert sized(amount=1, **arguments).notional_worst == worst


@pytest.mark.parametrize(("trigger", "rises"), [(61000, True), (59000, False), (60000, None)])
def test_it_is_told_which_way_the_market_must_go_to_reach_the_trigger(trigger: int, rises: bool | None) -> None:
    assert sized(amount=1, trigger_price=trigger).trigger_rises is rises
    assert sized(amount=1, trigger_price=trigger, quote=Quote()).trigger_rises is None


@given(all_rules(), quotes(), st.data())
def test_what_an_order_comes_to_never_exceeds_what_was_asked_for(
    market: MarketRules, quote: Quote, data: st.DataObject
) -> None:
    units = ["contracts", "base", "quote"] if market.contract else ["base", "quote"]
    order = request(
        symbol=market.symbol,
        side=data.draw(st.sampled_from(["buy", "sell"])),
        amount=data.draw(decimals("0.0001", "1000000")),
        unit=data.draw(st.sampled_from(units)),
        **data.draw(st.sampled_from([{}, {"type": "limit", "price": data.draw(prices)}])),
    )
    try:
        result = size(order, market, quote)
    except Failure:
        assume(False)
        return
    assert result.amount is not None
    assert result.expected_price is not None
    assert result.notional is not None
    assert result.notional_worst is not None
    assert market.contract_size is not None
    with localcontext(prec=400):
        of_one = market.contract_size if market.inverse else market.contract_size * result.expected_price
        assert result.notional == result.amount * of_one
        asked = {
            "contracts": order.amount * of_one,
            "base": order.amount * result.expected_price,
            "quote": order.amount,
        }[order.unit or "base"]
        assert result.notional <= asked
        assert result.notional > asked - of_one * (market.amount.step or 0)
    assert result.notional <= result.notional_worst
    assert result.amount % (market.amount.step or 1) == 0


@given(all_rules(), prices)
def test_a_preview_holds_only_what_json_holds_and_shows_the_numbers_exactly(
    market: MarketRules, price: Decimal
) -> None:
    quote = Quote(bid=price, ask=price, age_ms=12)
    order = request(symbol=market.symbol, amount="123456", unit="contracts" if market.contract else "base")
    try:
        result = size(order, market, quote)
    except Failure:
        assume(False)
        return
    shown = preview(order, result, market, quote, usd=D("1.5"))
    assert all(isinstance(value, str | int | list) for value in shown.values())
    assert D(shown["amount"]) == result.amount
    assert shown["quoteAgeMs"] == 12
    assert result.notional_worst is not None
    assert D(shown["notionalUsd"]) == pytest.approx(result.notional_worst * D("1.5"), rel=D("1e-6"))


def test_a_preview_shows_the_effective_order() -> None:
    order = request(symbol="BTC/USDT:USDT", amount="0.0035", unit="base", type="limit", price=60000, post_only=True)
    market = rules(LINEAR)
    assert preview(order, size(order, market, QUOTE), market, QUOTE, usd=D(1)) == {
        "symbol": "BTC/USDT:USDT",
        "side": "buy",
        "type": "limit",
        "amount": "3",
        "unit": "contracts",
        "price": "60000",
        "timeInForce": "PO",
        "contracts": "3",
        "contractSize": "0.001",
        "baseAmount": "0.003",
        "base": "BTC",
        "expectedPrice": "60000",
        "notional": "180",
        "worstNotional": "180.03",
        "quote": "USDT",
        "notionalUsd": "180.03",
        "fee": "0.18",
        "bid": "59990",
        "ask": "60010",
        "changes": ["amount is cut from 3.5 to 3 contracts: BTC/USDT:USDT has steps of 1."],
    }


def test_a_preview_estimates_fees_where_they_are_in_quote() -> None:
    for market, fee in ((SPOT, "120.02"), (LINEAR, "0.12002"), (INVERSE, None)):
        order = request(symbol=market["symbol"], amount=1, unit="contracts" if market["contract"] else "base")
        assert preview(order, size(order, rules(market), QUOTE), rules(market), QUOTE).get("fee") == fee


def test_a_preview_leaves_out_what_is_not_known() -> None:
    order = request(symbol=INVERSE["symbol"], amount=1, unit="contracts")
    market = replace(rules(INVERSE), taker=None)
    shown = preview(order, size(order, market, Quote()), market, Quote())
    assert {"fee", "notionalUsd", "expectedPrice", "baseAmount", "bid", "ask", "changes"} & shown.keys() == set()
