"""Orders that rest far from the market, and three ways to place them: raw ccxt, the server, a Desk in this process."""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.direct import Direct
from bench.session import Call

TRADED = tuple(f"{base}/USDT" for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LTC", "LINK", "AVAX", "DOT"))
"""Spot markets in dollars, so that no other price is needed to value an order."""

CONTRACT = "BTC/USDT:USDT"

LIMITLESS = "[limits]\norders_per_minute = 1000000\nopen_orders = 1000000\n"
"""Limits of ours that stop no benchmark; they are checked all the same."""

UNPACED = "rate_limit = 0.01"
"""A pace that no benchmark reaches; ccxt's own for Bybit is 20 orders in five seconds, their reads included."""

_COST = 60.0  # US dollars that an order would cost: one of the smallest contract
_FAR = 0.5  # of the market's price


class Order(NamedTuple):
    """A limit order that buys, far below the market."""

    symbol: str
    amount: float
    price: float

    @property
    def arguments(self) -> dict[str, Any]:
        """What the server's tool takes, besides the exchange."""
        return {"side": "buy", "type": "limit", **self._asdict()}

    @property
    def raw(self) -> tuple[Any, ...]:
        """What ccxt's `create_order` takes."""
        return self.symbol, "limit", "buy", self.amount, self.price

    def at(self, exchange: str) -> Call:
        """Return the call that places it there."""
        return Call("trade_create_order", {"exchange": exchange, **self.arguments})


def far_orders(direct: Direct, symbols: tuple[str, ...] = TRADED) -> list[Order]:
    """Return an order for each symbol, in figures that no rule of the market has to round."""
    orders: list[Order] = []
    for symbol in symbols:
        last = direct.call("fetch_ticker", symbol)["last"]
        price = direct.written("price_to_precision", symbol, last * _FAR)
        orders.append(Order(symbol, direct.written("amount_to_precision", symbol, _COST / price), price))
    return orders


def cancel_all(direct: Direct) -> None:
    """Cancel all orders on spot, so that the exchange and its lists stay as they were."""
    direct.call("cancel_all_orders", None, {"type": "spot"})
