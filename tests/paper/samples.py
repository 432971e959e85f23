"""Markets, books and orders for the engine's tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ccxt_mcp.paper.engine import Book, Engine, Level, Market, OrderRequest

D = Decimal

SPOT = Market(
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    price_step=D("0.1"),
    amount_step=D("0.001"),
    min_amount=D("0.001"),
    max_amount=D(1000),
    min_cost=D(5),
    maker=D("0.001"),
    taker=D("0.002"),
)
PERP = Market(
    symbol="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    contract_size=D("0.01"),
    price_step=D("0.1"),
    amount_step=D(1),
    min_amount=D(1),
    max_amount=D(100_000),
    maker=D("0.0002"),
    taker=D("0.0005"),
    max_leverage=D(50),
    leverage=D(10),
    maintenance=D("0.005"),
)
REBATE = Market(
    symbol="ETH/BTC",
    base="ETH",
    quote="BTC",
    price_step=D("0.00001"),
    amount_step=D("0.01"),
    maker=D("-0.0001"),
    taker=D("0.0007"),
)
MARKETS = {market.symbol: market for market in (SPOT, PERP, REBATE)}


def book(bid: Any = 100, ask: Any = 101, size: Any = 1000) -> Book:
    """A book of one level a side."""
    return Book((Level(D(str(bid)), D(str(size))),), (Level(D(str(ask)), D(str(size))),))


def levels(*pairs: tuple[Any, Any]) -> tuple[Level, ...]:
    """One side of a book from prices and amounts."""
    return tuple(Level(D(str(price)), D(str(amount))) for price, amount in pairs)


def order(market: Market = SPOT, side: Any = "buy", amount: Any = 1, price: Any = None, **more: Any) -> OrderRequest:
    """An order; a limit order when it has a price. Numbers may be of any type."""
    words = {"client_order_id", "time_in_force", "reduce_only", "trigger_rises"}
    terms: dict[str, Any] = {name: value if name in words else D(str(value)) for name, value in more.items()}
    return OrderRequest(
        symbol=market.symbol,
        side=side,
        type="market" if price is None else "limit",
        amount=None if amount is None else D(str(amount)),
        price=None if price is None else D(str(price)),
        **terms,
    )


def engine(**balances: Any) -> Engine:
    """An account with these balances."""
    return Engine(MARKETS, {name: D(str(amount)) for name, amount in balances.items()})
