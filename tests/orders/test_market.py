from __future__ import annotations

from typing import Any

import ccxt.async_support as ccxt_async
import pytest

from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.orders.market import Bounds, MarketRules
from ccxt_mcp.orders.precision import UNTOLD, Precision
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.usd import DOLLARS, Conversion, conversions, is_dollar
from orders.markets import INVERSE, LINEAR, OPTION, SPOT, D, rules


def test_a_markets_rules_are_exact_numbers() -> None:
    market = rules(LINEAR)
    assert (market.contract, market.linear, market.inverse, market.contract_size) == (True, True, False, D("0.001"))
    assert (market.amount, market.price, market.cost) == (Precision(D(1)), Precision(D("0.1")), Precision(D("0.1")))
    assert (market.amounts, market.prices, market.leverages) == (Bounds(D(1), D(100000)), Bounds(), Bounds(D(1), D(50)))
    assert (market.maker, market.taker, market.unit, market.settle) == (D("0.001"), D("0.002"), "contracts", "USDT")
    spot = rules(SPOT, precision={"amount": None, "price": None, "cost": "0.5"}, maker=-0.0001)
    assert (spot.amount, spot.price, spot.cost, spot.maker) == (UNTOLD, UNTOLD, Precision(D("0.5")), D("-0.0001"))
    assert (spot.unit, spot.contract_size) == ("BTC", 1)


@pytest.mark.parametrize(
    ("market", "valued"),
    [
        (SPOT, True),
        (LINEAR, True),
        (INVERSE, True),
        (OPTION, False),
        (LINEAR | {"linear": False}, False),
        (LINEAR | {"contractSize": None}, False),
        (LINEAR | {"contractSize": 0}, False),
        (SPOT | {"type": "swap", "contract": None}, False),
    ],
)
def test_a_market_whose_value_amount_and_price_do_not_tell_is_known_as_such(
    market: dict[str, Any], valued: bool
) -> None:
    assert rules(market).valued is valued


@pytest.mark.parametrize("exchange", exchange_ids())
def test_every_exchanges_bare_market_structure_makes_rules(exchange: str) -> None:
    instance = getattr(ccxt_async, exchange)()
    market = instance.safe_market_structure({"symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot"})
    result = MarketRules.of(market, precision_mode=instance.precisionMode)
    assert (result.symbol, result.kind, result.valued) == ("BTC/USDT", "spot", True)
    assert instance.precisionMode in {2, 3, 4}


@pytest.mark.parametrize(
    ("quote", "mid", "fair", "width"),
    [
        (Quote(bid=D(99), ask=D(101)), 100, 100, 2),
        (Quote(bid=D(99), ask=D(101), mark=D(7)), 100, 100, 2),
        (Quote(bid=D(101), ask=D(99)), None, None, None),
        (Quote(bid=D(99)), None, None, None),
        (Quote(bid=D(99), mark=D(100)), None, 100, None),
        (Quote(bid=D("NaN"), ask=D(101)), None, None, None),
        (Quote(bid=D(0), ask=D(101)), None, None, None),
        (Quote(last=D(100)), None, None, None),
    ],
)
def test_a_quote_knows_its_middle_only_from_both_sides_in_order(quote: Quote, mid: Any, fair: Any, width: Any) -> None:
    assert (quote.mid, quote.fair, quote.width) == (mid, fair, width)


def test_a_last_trade_is_only_good_to_compare_with() -> None:
    assert Quote(last=D(100)).market == 100
    assert Quote(last=D(100), mark=D(90)).market == 90
    assert Quote(last=D("NaN")).market is None


def test_a_buy_takes_the_ask_and_a_sell_the_bid() -> None:
    quote = Quote(bid=D(99), ask=D("Infinity"))
    assert (quote.taking("sell"), quote.taking("buy")) == (99, None)


def test_a_dollar_counts_as_one_and_needs_no_market() -> None:
    assert all(is_dollar(dollar) for dollar in DOLLARS)
    assert is_dollar("usdt")
    assert not is_dollar("EUR")
    assert list(conversions("USDC", {"USDC/USDT": {}})) == []


def test_markets_against_a_dollar_are_tried_first_and_inverted_ones_last() -> None:
    markets: dict[str, Any] = {
        "USDT/EUR": {"active": True},
        "EUR/USDC": {},
        "EUR/USD": {"active": None},
        "EUR/USDT": {"active": False},
        "BTC/EUR": {},
    }
    assert list(conversions("EUR", markets)) == [
        Conversion("EUR/USD"),
        Conversion("EUR/USDC"),
        Conversion("USDT/EUR", inverted=True),
    ]
    assert list(conversions("XYZ", markets)) == []
