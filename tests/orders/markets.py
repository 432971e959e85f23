"""Markets and quotes for the tests of orders, as ccxt gives them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.orders.quote import Quote

TICK_SIZE = 4
D = Decimal

SPOT: dict[str, Any] = {
    "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "contract": False,
    "active": True, "maker": 0.001, "taker": 0.002, "contractSize": None,
    "precision": {"amount": 0.0001, "price": 0.01},
    "limits": {"amount": {"min": 0.0002, "max": 100}, "price": {"min": 1, "max": 1000000}, "cost": {"min": 5}},
}  # fmt: skip
LINEAR: dict[str, Any] = SPOT | {
    "symbol": "BTC/USDT:USDT", "type": "swap", "spot": False, "contract": True, "linear": True, "inverse": False,
    "settle": "USDT", "contractSize": 0.001, "precision": {"amount": 1, "price": 0.1},
    "limits": {"amount": {"min": 1, "max": 100000}, "leverage": {"min": 1, "max": 50}},
}  # fmt: skip
INVERSE: dict[str, Any] = LINEAR | {
    "symbol": "BTC/USD:BTC", "quote": "USD", "settle": "BTC", "linear": False, "inverse": True, "contractSize": 100,
}  # fmt: skip
OPTION: dict[str, Any] = LINEAR | {"symbol": "BTC/USDT:USDT-261225-100000-C", "type": "option"}
KINDS = {"spot": SPOT, "linear": LINEAR, "inverse": INVERSE}
QUOTE = Quote(bid=D("59990"), ask=D("60010"), last=D("60000"), mark=D("60000"))


def rules(market: dict[str, Any] = SPOT, mode: int = TICK_SIZE, **changes: Any) -> MarketRules:
    """Return the rules of a market."""
    return MarketRules.of(market | changes, precision_mode=mode)


def request(**arguments: Any) -> OrderRequest:
    """Return a request that is right on BTC/USDT unless told otherwise."""
    return OrderRequest.read(**{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": "0.5"} | arguments)


def decimals(least: str, most: str, places: int = 8) -> st.SearchStrategy[Decimal]:
    """Return decimals with at most so many places."""
    return st.decimals(D(least), D(most), places=places, allow_nan=False, allow_infinity=False)


steps = st.sampled_from([D(step) for step in ("1e-8", "0.0001", "0.01", "0.05", "0.1", "0.25", "1", "5", "10")])
"""Steps of amounts and prices."""

prices = st.one_of(decimals("0.00001", "1"), decimals("1", "100000", 2))
"""Prices from dust to bitcoin."""

sizes = st.sampled_from([D(size) for size in ("0.0001", "0.001", "0.01", "1", "10", "100", "1000")])
"""Contract sizes."""


@st.composite
def quotes(draw: st.DrawFn, price: Decimal | None = None) -> Quote:
    """Return a market's prices, bid and ask in order."""
    bid = draw(prices) if price is None else price
    spread = draw(decimals("0", "0.05"))
    return Quote(bid=bid, ask=bid * (1 + spread), last=bid)


@st.composite
def all_rules(draw: st.DrawFn) -> MarketRules:
    """Return a market of any kind, with any steps and any contract size."""
    market = draw(st.sampled_from(list(KINDS.values())))
    size = draw(sizes) if market["contract"] else None
    precision = {"amount": str(draw(steps)), "price": str(draw(st.sampled_from([D("1e-8"), D("0.01"), D("0.05")])))}
    return rules(market, contractSize=None if size is None else str(size), precision=precision, limits={})
