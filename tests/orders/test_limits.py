from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.orders.facts import OrderFacts
from ccxt_mcp.orders.limits import (
    Counters,
    Limits,
    allowed_now,
    check_leverage,
    check_order,
    defaults,
    needs_confirmation,
)
from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.sizing import size
from ccxt_mcp.settings import LimitSettings
from orders.markets import LINEAR, OPTION, QUOTE, SPOT, D, all_rules, decimals, prices, quotes, request, rules

UNUSED = Counters(notional_today=D(0), orders_last_minute=0, open_orders=0, loss_today=D(0))
LIVE = Limits.of("live")


def facts(market: dict[str, Any] = SPOT, *, quote: Quote = QUOTE, usd: Any = 1, **arguments: Any) -> OrderFacts:
    unit = {"unit": "contracts"} if market["contract"] else {}
    order = request(**{"symbol": market["symbol"], "amount": "0.1"} | unit | arguments)
    sized = size(order, rules(market), quote)
    worth = None if usd is None else D(str(usd))
    return OrderFacts.of("binance", order, sized, rules(market), quote, usd=worth)


def refusal(order: OrderFacts, limits: Limits = LIVE, counters: Counters = UNUSED) -> Failure:
    with pytest.raises(Failure) as refused:
        check_order(limits, order, counters)
    assert refused.value.code is Code.LIMIT_EXCEEDED
    assert refused.value.details
    assert {"limit", "value"} <= refused.value.details.keys()
    return refused.value


def counters(**changes: Any) -> Counters:
    return replace(UNUSED, **changes)


def test_a_small_order_near_the_market_passes() -> None:
    check_order(LIVE, facts(), UNUSED)


def test_each_mode_has_defaults_and_play_money_has_wider_ones() -> None:
    assert LIVE.to_dict() == {
        "order_notional": "10000",
        "daily_notional": "50000",
        "open_orders": 20,
        "orders_per_minute": 10,
        "price_collar": "5",
        "leverage": "3",
        "daily_loss": "1000",
        "confirm_above": "100000",
    }
    for mode in ("paper", "simulated", "testnet"):
        assert Limits.of(mode).to_dict() == {
            "order_notional": "1000000",
            "daily_notional": "10000000",
            "open_orders": 200,
            "orders_per_minute": 600,
            "price_collar": "20",
            "leverage": "20",
            "confirm_above": "100000",
        }
    assert defaults("no such mode") == defaults("live")


def test_an_accounts_own_limits_go_over_the_general_ones_and_those_over_the_defaults() -> None:
    general = {"order_notional": 500, "leverage": "2", "allow_symbols": ["BTC/*"], "deny_symbols": ["*/EUR"]}
    own = {"order_notional": D("50.5"), "price_collar": None, "allow_symbols": ("ETH/*",), "deny_symbols": ["BTC/*"]}
    limits = Limits.of("live", general, own)
    assert (limits.order_notional, limits.leverage, limits.price_collar) == (D("50.5"), 2, 5)
    assert limits.allow_symbols == ("ETH/*",)
    assert limits.deny_symbols == ("*/EUR", "BTC/*")


def test_the_settings_have_the_same_limits() -> None:
    assert set(LimitSettings.model_fields) == set(Limits.__dataclass_fields__)
    given_ones = LimitSettings.model_validate(
        {"order_notional": "250", "open_orders": 3, "deny_symbols": ["A/*"]}
    ).given
    assert Limits.of("live", given_ones).order_notional == 250


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order_size": 5}, "The limit order_size is 5; it must be one that does not exist."),
        ({"order_notional": "NaN"}, "The limit order_notional is NaN; it must be a number that is not negative."),
        ({"leverage": -1}, "The limit leverage is -1; it must be a number that is not negative."),
        ({"open_orders": 1.5}, "The limit open_orders is 1.5; it must be a whole number."),
        ({"deny_symbols": "BTC/*"}, "The limit deny_symbols is BTC/*; it must be a list of texts."),
    ],
)
def test_a_limit_that_is_none_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure) as refused:
        Limits.of("live", values)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.message == message


def test_one_order_and_all_orders_of_a_day_have_a_most() -> None:
    assert refusal(facts(amount="0.2")).message == (
        "order_notional is 10000, and the order is worth up to 12002 USD and 10000 USD are left."
    )
    late = refusal(facts(), counters=counters(notional_today=D(44000)))
    assert late.details == {"limit": "daily_notional", "value": "50000", "asked": "6001", "used": "44000"}
    check_order(LIVE, facts(), counters(notional_today=D(43999)))


def test_the_value_is_the_worse_of_limit_price_and_market() -> None:
    wide = Limits(order_notional=D(6001), price_collar=D(50))
    check_order(wide, facts(type="limit", price=50000), UNUSED)
    assert refusal(facts(type="limit", price=60020), wide).details == {
        "limit": "order_notional", "value": "6001", "asked": "6002", "used": "0",
    }  # fmt: skip
    refusal(facts(type="limit", price=50000), Limits(order_notional=D(6000)))


def test_the_value_is_in_us_dollars() -> None:
    check_order(LIVE, facts(usd="1.6"), UNUSED)
    refusal(facts(usd="1.7"))


@pytest.mark.parametrize(
    ("order", "limit"),
    [
        (facts(usd=None), "order_notional"),
        (facts(usd="NaN"), "order_notional"),
        (facts(usd=0), "order_notional"),
        (facts(OPTION, amount=1, type="limit", price=60000), "order_notional"),
        (facts(LINEAR | {"contractSize": None}, amount=1), "order_notional"),
        (facts(quote=Quote(last=D(60000))), "price_collar"),
        (facts(quote=Quote(bid=D(60010), ask=D(59990))), "price_collar"),
        (facts(type="limit", price=60000, quote=Quote()), "price_collar"),
        (facts(quote=Quote(ask=D(60000), mark=D(60000))), "price_collar"),
    ],
)
def test_an_order_of_which_price_or_value_is_not_known_is_refused_and_says_what_is_missing(
    order: OrderFacts, limit: str
) -> None:
    failure = refusal(order)
    assert failure.details
    assert failure.details["limit"] == limit
    assert failure.details["missing"] in failure.message


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"notional_today": None}, "daily_notional"),
        ({"notional_today": D("NaN")}, "daily_notional"),
        ({"notional_today": D("-1")}, "daily_notional"),
        ({"orders_last_minute": None}, "orders_per_minute"),
        ({"open_orders": None}, "open_orders"),
        ({"loss_today": None}, "daily_loss"),
        ({"loss_today": D("NaN")}, "daily_loss"),
        ({"loss_today": D("Infinity")}, "daily_loss"),
    ],
)
def test_a_counter_that_is_not_known_stops_new_orders(changes: dict[str, Any], limit: str) -> None:
    failure = refusal(facts(), counters=counters(**changes))
    assert failure.details
    assert failure.details["limit"] == limit
    assert "missing" in failure.details


def test_where_no_limit_is_set_nothing_needs_to_be_known() -> None:
    check_order(Limits(), facts(usd=None, quote=Quote(), type="limit", price=1), Counters())


def test_open_orders_and_orders_of_a_minute_have_a_most() -> None:
    assert refusal(facts(), counters=counters(open_orders=20)).message == "open_orders is 20, and there are 20."
    assert refusal(facts(), counters=counters(orders_last_minute=10)).details == {
        "limit": "orders_per_minute", "value": "10", "asked": "1", "used": "10",
    }  # fmt: skip
    check_order(LIVE, facts(), counters(open_orders=19, orders_last_minute=9))


def test_a_change_of_an_open_order_adds_none() -> None:
    order = request(amount="0.1")
    sized = size(order, rules(), QUOTE)
    change = OrderFacts.of("binance", order, sized, rules(), QUOTE, usd=D(1), rests=False)
    check_order(LIVE, change, counters(open_orders=20))


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": "limit", "price": 63001, "amount": "0.01"},
        {"type": "limit", "price": 56999, "amount": "0.01", "side": "sell"},
        {"type": "limit", "trigger_price": 62000, "price": 65101, "amount": "0.01"},
        {"quote": Quote(bid=D(58000), ask=D(62000)), "amount": "0.01"},
    ],
)
def test_a_price_much_worse_than_the_market_is_refused_and_so_is_a_market_order_in_a_wide_market(
    arguments: dict[str, Any],
) -> None:
    failure = refusal(facts(**arguments))
    assert failure.details
    assert failure.details["limit"] == "price_collar"
    assert D(failure.details["asked"]) > 5


def test_a_price_within_the_collar_passes_and_so_does_one_that_only_rests() -> None:
    harmless: list[dict[str, Any]] = [
        {"type": "limit", "price": 63000},
        {"type": "limit", "price": 100},
        {"type": "limit", "price": 590000, "side": "sell"},
        {"type": "limit", "trigger_price": 70000, "price": 73000},
        {"trigger_price": 90000},
        {"trailing": "15%", "side": "sell"},
    ]
    for arguments in harmless:
        check_order(LIVE, facts(amount="0.01", **arguments), UNUSED)
    check_order(LIVE, facts(amount="0.01", type="limit", price=60000, quote=Quote(mark=D(60000))), UNUSED)


def test_an_order_that_waits_is_not_held_to_the_width_of_the_market() -> None:
    wide = Quote(bid=D(58000), ask=D(62000))
    check_order(LIVE, facts(amount="0.01", trigger_price=61000, quote=wide), UNUSED)
    check_order(LIVE, facts(amount="0.01", type="limit", price=60000, quote=wide), UNUSED)


def test_a_loss_of_the_day_stops_new_orders_and_a_gain_does_not() -> None:
    failure = refusal(facts(), counters=counters(loss_today=D(1000)))
    assert failure.message == "daily_loss is 1000, and the account lost 1000 USD today."
    check_order(LIVE, facts(), counters(loss_today=D("999.99")))
    check_order(LIVE, facts(), counters(loss_today=D(-5000)))


def test_leverage_has_a_most() -> None:
    check_leverage(LIVE, D(3))
    for leverage in (D("3.1"), D("NaN"), D("Infinity"), D(-1)):
        with pytest.raises(Failure) as refused:
            check_leverage(LIVE, leverage)
        assert refused.value.details
        assert refused.value.details["limit"] == "leverage"
    order = request(symbol="BTC/USDT:USDT", amount=1, unit="contracts")
    sized = size(order, rules(LINEAR), QUOTE)
    geared = OrderFacts.of("binance", order, sized, rules(LINEAR), QUOTE, usd=D(1), leverage=D(10))
    assert refusal(geared).details == {"limit": "leverage", "value": "3", "asked": "10"}


EXHAUSTED = Counters(notional_today=D(10) ** 9, orders_last_minute=999, open_orders=999, loss_today=D(10) ** 6)


@pytest.mark.parametrize("exhausted", [EXHAUSTED, Counters()])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"amount": 10**6},
        {"quote": Quote()},
        {"usd": None},
        {"quote": Quote(bid=D(1), ask=D(60000))},
        {"trigger_price": 30000, "side": "sell"},
        {"type": "limit", "price": 61000, "side": "buy"},
        {"type": "limit", "price": 90000, "side": "sell"},
    ],
)
def test_an_order_that_only_reduces_gets_out_whatever_is_used_up_or_unknown(
    exhausted: Counters, arguments: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"reduce_only": True, "amount": 5}
    order = facts(LINEAR, **given | arguments)
    check_order(LIVE, order, exhausted)
    assert not needs_confirmation(LIVE, order, mode="live")


def test_an_order_that_only_reduces_is_still_held_to_the_lists_and_to_a_sane_price() -> None:
    out: dict[str, Any] = {"reduce_only": True, "amount": 5, "type": "limit"}
    refusal(facts(LINEAR, **out, side="sell", price=50000))
    refusal(facts(LINEAR, **out, side="buy", price=70000))
    refusal(facts(LINEAR, **out, side="sell", price=60000), Limits(deny_symbols=("BTC/*",)))


def test_reduce_only_is_no_way_around_limits_on_spot() -> None:
    refusal(facts(reduce_only=True, amount=1))


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"allow_symbols": ("BTC/USDT",)}, True),
        ({"allow_symbols": ("btc/*",)}, True),
        ({"allow_symbols": ("ETH/*", "*/USDT")}, True),
        ({"allow_symbols": ("ETH/*",)}, False),
        ({"allow_symbols": ("BTC",)}, False),
        ({"allow_symbols": ()}, False),
        ({"allow_symbols": ("*",), "deny_symbols": ("BTC/*",)}, False),
        ({"deny_symbols": ("*/USDT",)}, False),
        ({"deny_symbols": ("*/USDT:USDT",)}, True),
        ({"allow_exchanges": ("binance",)}, True),
        ({"allow_exchanges": ("kraken",)}, False),
        ({"deny_exchanges": ("bin*",)}, False),
        ({"allow_exchanges": ()}, False),
    ],
)
def test_symbols_and_exchanges_are_allowed_and_denied_by_patterns(limits: dict[str, Any], passes: bool) -> None:
    if passes:
        check_order(Limits(**limits), facts(), UNUSED)
    else:
        failure = refusal(facts(), Limits(**limits))
        assert failure.details
        assert failure.details["limit"] in limits


@pytest.mark.parametrize(
    ("mode", "usd", "asks"),
    [("live", 1, True), ("paper", 1, False), ("paper", 20, True), ("testnet", None, True), ("simulated", "NaN", True)],
)
def test_a_human_is_asked_for_real_money_for_much_and_for_what_is_not_known(mode: str, usd: Any, asks: bool) -> None:
    assert needs_confirmation(LIVE, facts(usd=usd), mode=mode) is asks


def test_it_is_told_what_is_still_allowed() -> None:
    used = counters(notional_today=D("49000.5"), orders_last_minute=10, open_orders=3, loss_today=D("-20"))
    told = allowed_now(Limits.of("live", {"deny_symbols": ["*/EUR"]}), used)
    assert told["limits"]["deny_symbols"] == ["*/EUR"]
    assert told["left"] == {
        "daily_notional": "999.5", "daily_loss": "1020", "open_orders": 17, "orders_per_minute": 0,
    }  # fmt: skip
    assert told["stops"] == ["orders_per_minute"]
    spent = counters(notional_today=D(60000), open_orders=25, loss_today=D(2000))
    assert allowed_now(LIVE, spent)["stops"] == ["daily_notional", "daily_loss", "open_orders"]


def test_what_is_not_known_stops_and_is_not_told_as_left() -> None:
    told = allowed_now(LIVE, Counters())
    assert told["left"] == {}
    assert told["stops"] == ["daily_notional", "daily_loss", "open_orders", "orders_per_minute"]
    assert allowed_now(Limits(), Counters()) == {"limits": {}, "left": {}, "stops": []}


@given(
    all_rules(),
    quotes(),
    st.data(),
    decimals("1", "100000", 2),
    decimals("0", "100000", 2),
    decimals("0.0001", "5000", 4),
)
def test_nothing_gets_past_the_limits_by_units_contract_sizes_inverse_contracts_or_prices(
    market: MarketRules, quote: Quote, data: st.DataObject, most: Decimal, used: Decimal, usd: Decimal
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
        sized = size(order, market, quote, buys_by_cost=data.draw(st.booleans()))
        facts = OrderFacts.of("x", order, sized, market, quote, usd=usd)
        check_order(Limits(order_notional=most, daily_notional=most), facts, counters(notional_today=used))
    except Failure:
        assume(False)
        return
    assert quote.ask is not None
    assert quote.bid is not None
    assert market.contract_size is not None
    with localcontext(prec=400):
        if sized.cost is not None:
            spent = sized.cost
        else:
            assert sized.amount is not None
            fill = {"buy": quote.ask, "sell": quote.bid}[order.side]
            price = max(fill, order.price or fill) if sized.price is None else max(fill, sized.price)
            spent = sized.amount * market.contract_size * (1 if market.inverse else price)
        assert used + spent * usd <= most


@given(st.one_of(st.none(), st.decimals()), st.one_of(st.none(), st.decimals()), st.one_of(st.none(), st.decimals()))
def test_numbers_that_are_none_never_pass_and_never_break_anything(
    worth: Decimal | None, spent: Decimal | None, loss: Decimal | None
) -> None:
    order = OrderFacts(
        exchange="x", symbol="A/B", side="buy", reduces=False, notional=worth, prices={}, market_order=True, quote=QUOTE
    )
    used = counters(notional_today=spent, loss_today=loss)
    try:
        check_order(LIVE, order, used)
    except Failure as failure:
        assert failure.code is Code.LIMIT_EXCEEDED  # noqa: PT017 - no failure is as good
        return
    assert worth is not None
    assert spent is not None
    assert loss is not None
    assert 0 <= worth <= 10_000
    assert worth + spent <= 50_000
    assert loss < 1_000
