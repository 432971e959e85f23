"""On the simulator's market, seen through unmodified ccxt, every answer passes ccxt's own validators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from ccxt.test.exchange.base.test_balance import test_balance as check_balance
from ccxt.test.exchange.base.test_order import test_order as check_order
from ccxt.test.exchange.base.test_position import test_position as check_position
from ccxt.test.exchange.base.test_trade import test_trade as check_trade

from ccxt_mcp.paper.broker import PaperBroker
from ccxt_mcp.simulator import Simulator
from paper.memory_store import MemoryStore
from simulator.clients import bybit
from simulator.clocks import Clock

SYMBOLS = ["BTC/USDT", "DOGE/USDT:USDT", "BTC/USDC:USDC"]


class CcxtFeed:
    """Public data straight from a ccxt class."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange

    async def book(self, symbol: str) -> Mapping[str, Any]:
        return await self._exchange.fetch_order_book(symbol, 50)

    async def trades(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        return await self._exchange.fetch_trades(symbol, limit=500)

    async def candles(self, symbol: str, since_ms: int) -> Sequence[Sequence[Any]]:
        return await self._exchange.fetch_ohlcv(symbol, "1m", since_ms, 1000)

    async def funding(self, symbol: str) -> Mapping[str, Any]:
        return await self._exchange.fetch_funding_rate(symbol)

    async def funding_history(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        return await self._exchange.fetch_funding_rate_history(symbol, since_ms, 100)


@dataclass
class Desk:
    """A paper account on a simulated market whose clock moves when it is told to."""

    clock: Clock
    exchange: Any
    broker: PaperBroker

    def price(self, symbol: str, price: float) -> float:
        return float(self.exchange.price_to_precision(symbol, price))

    def amount(self, symbol: str, dollars: float, price: float) -> float:
        size = self.exchange.market(symbol)["contractSize"] or 1
        return float(self.exchange.amount_to_precision(symbol, dollars / price / size))

    async def check(self, symbol: str) -> None:
        """Pass everything that the account shows through ccxt's validators."""
        call, now = self.broker.call, self.clock.ms
        check_balance(self.exchange, {}, "fetchBalance", await call("fetchBalance"))
        for method in ("fetchOrders", "fetchOpenOrders", "fetchClosedOrders", "fetchCanceledOrders"):
            for order in await call(method, symbol):
                check_order(self.exchange, {}, method, order, symbol, now)
        for trade in await call("fetchMyTrades", symbol):
            check_trade(self.exchange, {}, "fetchMyTrades", trade, symbol, now, False)
        for position in await call("fetchPositions", [symbol]):
            check_position(self.exchange, {}, "fetchPositions", position, symbol, now)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = Clock()
    async with Simulator(clock=clock, tick=3600, ip_limit=None) as simulator, bybit(simulator) as exchange:
        await exchange.load_markets()
        broker = PaperBroker(
            "bybit",
            "paper",
            markets=lambda: exchange.markets,
            feed=CcxtFeed(exchange),
            store=MemoryStore(),
            balances={"USDT": Decimal("123456.789012345678"), "USDC": Decimal(50_000), "BTC": Decimal("0.30000001")},
            clock_ms=lambda: clock.ms,
            precision_mode=exchange.precisionMode,
        )
        yield Desk(clock, exchange, broker)


@pytest.mark.parametrize("symbol", SYMBOLS)
async def test_orders_trades_balances_and_positions_pass_through_a_day_of_trading(desk: Desk, symbol: str):
    call = desk.broker.call
    last = (await desk.exchange.fetch_ticker(symbol))["last"]
    amount = desk.amount(symbol, 3000, last)
    if ":" in symbol:
        await call("setLeverage", 5, symbol)
    low, high = desk.price(symbol, last * 0.9), desk.price(symbol, last * 1.1)
    protection = {"takeProfit": {"triggerPrice": high}, "stopLoss": {"triggerPrice": low}}
    placed = [
        await call("createOrder", symbol, "market", "buy", amount, None, {"clientOrderId": "a", **protection}),
        await call("createOrder", symbol, "limit", "buy", amount, desk.price(symbol, last * 0.9995), {}),
        await call("createOrder", symbol, "limit", "sell", amount, desk.price(symbol, last * 1.2), {"postOnly": True}),
        await call(
            "createOrder", symbol, "market", "sell", desk.amount(symbol, 1500, last), None, {"trailingPercent": 0.5}
        ),
        await call("createOrder", symbol, "limit", "buy", amount, low, {"timeInForce": "IOC"}),
        await call("createOrder", symbol, "limit", "buy", amount, high, {"triggerPrice": high}),
    ]
    for order in placed:
        check_order(desk.exchange, {}, "createOrder", order, symbol, desk.clock.ms)
    await desk.check(symbol)
    for minutes in (0.2, 1, 7, 120, 1300):
        desk.clock.now += minutes * 60
        await desk.check(symbol)
    edited = await call("editOrder", placed[2]["id"], symbol, "limit", "sell", None, desk.price(symbol, last * 1.3))
    check_order(desk.exchange, {}, "editOrder", edited, symbol, desk.clock.ms)
    for order in await call("cancelAllOrders", symbol):
        check_order(desk.exchange, {}, "cancelAllOrders", order, symbol, desk.clock.ms)
    await desk.check(symbol)


async def test_a_resting_order_fills_at_the_first_trade_of_the_tape_that_goes_through_it(desk: Desk):
    symbol = "BTC/USDT"
    last = (await desk.exchange.fetch_ticker(symbol))["last"]
    limit = desk.price(symbol, last * 0.9998)
    began = desk.clock.ms
    order = await desk.broker.call("createOrder", symbol, "limit", "buy", 0.001, limit)
    while not (trades := await desk.broker.call("fetchMyTrades", symbol)):
        desk.clock.now += 5
        assert desk.clock.ms < began + 600_000
    tape = await desk.exchange.fetch_trades(symbol, limit=1000)
    crossing = [one for one in tape if one["timestamp"] > began and one["price"] < limit]
    assert (trades[0]["order"], trades[0]["price"]) == (order["id"], limit)
    assert trades[0]["timestamp"] <= desk.clock.ms
    assert trades[0]["takerOrMaker"] == "maker"
    assert not crossing or trades[0]["timestamp"] <= crossing[0]["timestamp"]


async def test_what_the_tape_crossed_during_an_hour_without_a_process_is_filled(desk: Desk):
    symbol = "BTC/USDT"
    last = (await desk.exchange.fetch_ticker(symbol))["last"]
    began = desk.clock.ms
    limits = [desk.price(symbol, last * (1 - step / 10_000)) for step in range(1, 40, 4)]
    orders = [await desk.broker.call("createOrder", symbol, "limit", "buy", 0.001, limit) for limit in limits]
    desk.clock.now += 3600
    candles = await desk.exchange.fetch_ohlcv(symbol, "1m", began, 61)
    lowest = min(low for time, _, _, low, *_ in candles if time >= began)
    ask = (await desk.exchange.fetch_order_book(symbol))["asks"][0][0]
    found = [await desk.broker.call("fetchOrder", order["id"], symbol) for order in orders]
    expected = ["closed" if lowest < limit or ask <= limit else "open" for limit in limits]
    assert [order["status"] for order in found] == expected
