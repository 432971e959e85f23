"""Terms: nothing is sent that ccxt does not declare, since an exchange would drop it, or take it for something else."""

from __future__ import annotations

from typing import Any

import ccxt.async_support as ccxt
import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.features import features_anywhere, features_of
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.exchanges.terms import EVERYTHING, OrderTerms

SPOT: dict[str, Any] = {"type": "spot", "spot": True, "linear": None}
LINEAR: dict[str, Any] = {"type": "swap", "spot": False, "linear": True}
INVERSE: dict[str, Any] = {"type": "swap", "spot": False, "linear": False}


def terms(exchange: str, market: dict[str, Any]) -> OrderTerms:
    return OrderTerms.of(getattr(ccxt, exchange)(), market)


@pytest.mark.parametrize(
    ("exchange", "market", "takes"),
    [
        ("bybit", SPOT, {"trigger_price", "take_profit", "stop_loss", "IOC", "FOK", "PO"}),
        ("bybit", LINEAR, {"trigger_price", "take_profit", "stop_loss", "IOC", "FOK", "PO"}),
        ("binance", SPOT, {"trigger_price", "IOC", "FOK", "PO"}),
        ("kraken", SPOT, {"trigger_price", "trailing_distance", "trailing_percent", "IOC", "FOK", "PO"}),
        ("okx", LINEAR, {"trigger_price", "take_profit", "stop_loss", "trailing_percent", "IOC", "FOK", "PO"}),
        ("coincheck", SPOT, {"PO"}),
    ],
)  # fmt: skip
def test_an_exchange_takes_what_ccxt_declares(exchange: str, market: dict[str, Any], takes: set[str]) -> None:
    assert terms(exchange, market).takes == takes


@pytest.mark.parametrize("exchange", exchange_ids())
def test_every_exchange_has_terms_in_every_kind_of_market(exchange: str) -> None:
    for market in (SPOT, LINEAR, INVERSE, {"type": "option", "linear": True}, {"type": None}):
        found = terms(exchange, market)
        assert found.takes <= EVERYTHING.takes
        assert not (found.triggers_by_kind and "trigger_price" not in found.takes)


@pytest.mark.parametrize("exchange", exchange_ids())
def test_a_trailing_stop_is_taken_only_in_the_form_that_ccxt_promises(exchange: str) -> None:
    """ccxt drops the form that it does not know, and a trailing stop becomes a market order that is filled at once."""
    has = getattr(ccxt, exchange)().has
    for market in (SPOT, LINEAR, INVERSE):
        takes = terms(exchange, market).takes
        assert not ("trailing_percent" in takes and has.get("createTrailingPercentOrder") is not True)
        assert not ("trailing_distance" in takes and has.get("createTrailingAmountOrder") is not True)


@pytest.mark.parametrize(
    ("exchange", "market", "by_cost"),
    [
        ("gate", SPOT, True),
        ("gateeu", SPOT, True),
        ("gate", LINEAR, False),
        ("okx", SPOT, False),
        ("bybit", SPOT, False),
    ],
)
def test_market_buys_go_by_cost_on_spot_of_some_exchanges(exchange: str, market: dict[str, Any], by_cost: bool) -> None:
    assert terms(exchange, market).buys_by_cost is by_cost


def test_a_trigger_says_its_side_where_it_must() -> None:
    assert terms("bybit", LINEAR).directed
    assert not terms("bybit", SPOT).directed


def test_a_trigger_goes_by_kind_where_there_is_no_other_way() -> None:
    by_kind = [name for name in exchange_ids() if terms(name, SPOT).triggers_by_kind]
    assert all(not features_of(getattr(ccxt, name)(), "createOrder", SPOT).get("triggerPrice") for name in by_kind)


def test_what_is_not_taken_is_refused_with_what_is() -> None:
    with pytest.raises(Failure) as caught:
        terms("binance", SPOT).require("take_profit", "BTC/USDT on binance")
    assert caught.value.code is Code.METHOD_NOT_SUPPORTED
    assert caught.value.message == "BTC/USDT on binance has no attached take-profits that ccxt could place."
    assert caught.value.hint == "There are: trigger orders, time in force IOC, time in force FOK, post-only orders."
    with pytest.raises(Failure) as caught:
        OrderTerms(frozenset()).require("IOC", "X/Y on z")
    assert caught.value.hint == "There are: plain orders only."


def test_features_are_those_of_the_kind_of_market() -> None:
    bybit = ccxt.bybit()
    assert features_of(bybit, "createOrder", LINEAR)["triggerDirection"] is True
    assert features_of(bybit, "fetchNothing", LINEAR) == {}
    assert features_of(bybit, "createOrder", {"type": "lottery"}) == {}
    assert len(list(features_anywhere(bybit, "fetchOpenOrders"))) > 2
