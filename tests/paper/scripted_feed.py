"""A market that does what a test says, seen through the feed, and a broker on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.broker import PaperBroker
from paper.memory_store import MemoryStore

MINUTE = 60_000
START = 1_763_000_040_000
"""The beginning of a minute."""

_LIMITS: dict[str, Any] = {"amount": {"min": 0.001, "max": 1000}, "cost": {"min": 5}, "leverage": {"max": 50}}


def market(symbol: str, **more: Any) -> dict[str, Any]:
    """A market as ccxt describes it."""
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    contract = bool(settle)
    return {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "spot": not contract,
        "swap": contract,
        "future": False,
        "option": False,
        "contract": contract,
        "linear": True if contract else None,
        "contractSize": 0.01 if contract else None,
        "active": True,
        "precision": {"price": 0.1, "amount": 1 if contract else 0.001},
        "limits": _LIMITS | ({"amount": {"min": 1}, "cost": {}} if contract else {}),
        "maker": 0.001,
        "taker": 0.002,
        **more,
    }


CCXT_MARKETS = {
    one["symbol"]: one
    for one in (
        market("BTC/USDT"),
        market("ETH/USDT"),
        market("OLD/USDT", active=False),
        market("BTC/USDT:USDT", maker=0.0002, taker=0.0005),
        market("BTC/USD:BTC", linear=False, inverse=True),
        market("BTC/USDT:USDT-251231", future=True, swap=False),
        market("BTC/USDT:USDT-251231-90000-C", option=True, swap=False),
    )
}


class ScriptedFeed:
    """Public data that a test writes; `down` makes every read fail. It must never be read while an account is open."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.down: Failure | None = None
        self.missing: set[str] = set()
        self.quotes: dict[str, tuple[float, float]] = {}
        self.size = 1000.0
        self.told_trades: list[dict[str, Any]] = []
        self.told_candles: list[list[Any]] = []
        self.told_funding: dict[str, Any] = {"fundingRate": 0.0001}
        self.paid: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.page = 1000

    def trade(self, time: int, price: float, amount: float | None = None) -> None:
        self.told_trades.append({"timestamp": time, "price": price, "amount": amount})

    def candle(self, time: int, *prices: float) -> None:
        self.told_candles.append([time, *prices, 1.0])

    async def book(self, symbol: str) -> Mapping[str, Any]:
        self._ask("book")
        bid, ask = self.quotes.get(symbol, (100.0, 101.0))
        return {"bids": [[bid, self.size], [None, 1]], "asks": [[ask, self.size]]}

    async def trades(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        self._ask("trades")
        return self.told_trades

    async def candles(self, symbol: str, since_ms: int) -> Sequence[Sequence[Any]]:
        self._ask("candles")
        return [row for row in self.told_candles if row[0] >= since_ms][: self.page]

    async def funding(self, symbol: str) -> Mapping[str, Any]:
        self._ask("funding")
        return self.told_funding

    async def funding_history(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        self._ask("funding_history")
        return self.paid

    def _ask(self, what: str) -> None:
        assert not self.store.busy, "the network was asked while an account was open"
        self.asked.append(what)
        if self.down is not None:
            raise self.down
        if what in self.missing:
            raise Failure(Code.METHOD_NOT_SUPPORTED, f"There is no {what} here.")


class World:
    """A clock, a feed, a store, and brokers on them."""

    def __init__(self) -> None:
        self.now = START
        self.store = MemoryStore()
        self.feed = ScriptedFeed(self.store)
        self.broker = self.new_broker()

    def new_broker(self, account: str = "paper", **more: Any) -> PaperBroker:
        """A broker as a new process has it."""
        settings: dict[str, Any] = {
            "markets": lambda: CCXT_MARKETS,
            "feed": self.feed,
            "store": self.store,
            "balances": {"USDT": Decimal(10_000), "BTC": Decimal(1), "EUR": Decimal(500)},
            "clock_ms": lambda: self.now,
            **more,
        }
        return PaperBroker("bybit", account, **settings)

    def quote(self, symbol: str, bid: float, ask: float) -> None:
        self.feed.quotes[symbol] = (bid, ask)

    async def create(self, symbol: str, type_: str, side: str, amount: Any, price: Any = None, **params: Any) -> Any:
        return await self.broker.call("createOrder", symbol, type_, side, amount, price, params)

    async def status(self, order: Any) -> Any:
        return (await self.broker.call("fetchOrder", order["id"], order["symbol"]))["status"]
