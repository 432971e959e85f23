"""Resting orders are filled by the tape's trades, no more and no less than what traded through their price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ccxt_mcp.simulator import Simulator
from simulator.clients import outcome, trader
from simulator.clocks import Clock

if TYPE_CHECKING:
    import aiohttp

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
FACTS = ("execPrice", "execQty", "execFee", "execTime", "execType", "side", "leavesQty", "isMaker", "execPnl")


async def traded_through(trader: Any, symbol: str, price: float, since: int) -> float:
    """How much has traded below a price since a time."""
    trades = await trader.fetch_trades(symbol, limit=60)
    assert trades[0]["timestamp"] < since
    return sum(trade["amount"] for trade in trades if trade["timestamp"] > since and trade["price"] < price)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_an_order_fills_by_what_trades_through_its_price(trader: Any, clock: Clock, symbol: str) -> None:
    price = (await trader.fetch_ticker(symbol))["bid"] - 1
    if symbol == SWAP:
        await trader.set_leverage(100, symbol)
    amount = 1.0 if symbol == SPOT else 50.0
    order, start = await trader.create_order(symbol, "limit", "buy", amount, price), clock.ms
    seen: list[float] = []
    for _ in range(12):
        clock.now += 3
        found = await outcome(trader, order, symbol)
        assert found["filled"] == pytest.approx(min(amount, await traded_through(trader, symbol, price, start)))
        expected = "Filled" if found["filled"] == amount else "PartiallyFilled" if found["filled"] else "New"
        assert found["info"]["orderStatus"] == expected
        seen.append(found["filled"])
    assert len({one for one in seen if 0 < one < amount}) > 1
    trades = await trader.fetch_my_trades(symbol)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(seen[-1])
    assert {(trade["price"], trade["takerOrMaker"]) for trade in trades} == {(price, "maker")}
    left = [float(trade["info"]["leavesQty"]) for trade in trades]
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(amount - seen[-1])


async def test_what_happened_does_not_depend_on_when_somebody_looked() -> None:
    """A month in one look, and the same month in steps of hours and minutes."""

    async def month(steps: list[float]) -> list[Any]:
        clock = Clock()
        async with Simulator(clock=clock, key_limit=None, ip_limit=None) as running, trader(running, clock) as exchange:
            for distance in (-3000, -1200, -500, 500, 1500, 4000):
                price = (await exchange.fetch_ticker(SPOT))["last"] + distance
                await exchange.create_order(SPOT, "limit", "buy" if distance < 0 else "sell", 0.2, price)
                params = {"triggerPrice": price, "triggerDirection": "below" if distance < 0 else "above"}
                await exchange.create_order(SWAP, "market", "buy" if distance < 0 else "sell", 0.02, params=params)
            for step in steps:
                clock.now += step
                await exchange.fetch_balance()
            executions: list[Any] = []
            for category in ("spot", "linear"):
                for week in range(5):
                    start = (clock.ms - (week + 1) * 6 * 86_400_000) // 1
                    query = {
                        "category": category,
                        "startTime": start,
                        "endTime": start + 6 * 86_400_000 - 1,
                        "limit": 100,
                    }
                    reply = await exchange.private_get_v5_execution_list(query)
                    executions += [[one.get(name) for name in FACTS] for one in reply["result"]["list"]]
            return [executions, (await exchange.fetch_balance())["total"]]

    day = 86_400.0
    at_once = await month([30 * day])
    assert len(at_once[0]) > 60
    assert await month([day / 4] * 120) == at_once
    assert await month([day - 60, 7.0, 53.0, *[day] * 29]) == at_once


async def test_a_trading_account_never_moves_the_market(trader: Any, http: aiohttp.ClientSession) -> None:
    async def book() -> Any:
        async with http.get("/v5/market/orderbook?category=spot&symbol=BTCUSDT&limit=50") as reply:
            return (await reply.json())["result"]

    before = await book()
    await trader.create_order(SPOT, "market", "buy", 0.5)
    await trader.create_order(SPOT, "limit", "sell", 0.5, float(before["a"][0][0]) + 0.1)
    assert await book() == before


async def test_a_spot_stop_waits_without_holding_anything_and_sells_when_it_is_reached(
    trader: Any, clock: Clock
) -> None:
    last = (await trader.fetch_ticker(SPOT))["last"]
    order = await trader.create_order(SPOT, "market", "sell", 0.5, params={"triggerPrice": last - 30})
    assert (await trader.fetch_balance())["BTC"]["free"] == 2
    waiting = await trader.fetch_open_orders(SPOT, params={"trigger": True})
    assert [one["id"] for one in waiting] == [order["id"]]
    while (found := await outcome(trader, order))["status"] == "open":
        clock.now += 15
    assert (found["status"], found["filled"]) == ("closed", 0.5)
    assert found["average"] < last
    assert (await trader.fetch_balance())["BTC"]["free"] == 1.5


async def test_a_spot_buy_with_take_profit_and_stop_loss_is_sold_by_one_of_them(trader: Any, clock: Clock) -> None:
    ask = (await trader.fetch_ticker(SPOT))["ask"]
    stops = {"takeProfit": {"triggerPrice": ask + 60}, "stopLoss": {"triggerPrice": ask - 60}}
    order = await trader.create_order(SPOT, "limit", "buy", 0.1, ask, stops)
    assert (await outcome(trader, order))["status"] == "closed"
    waiting = await trader.fetch_open_orders(SPOT, params={"orderFilter": "tpslOrder"})
    assert sorted(one["triggerPrice"] for one in waiting) == pytest.approx([ask - 60, ask + 60])
    while await trader.fetch_open_orders(SPOT):
        clock.now += 20
    (sale,) = [trade for trade in await trader.fetch_my_trades(SPOT) if trade["side"] == "sell"]
    assert sale["order"] in {one["id"] for one in waiting}
    assert sale["amount"] == pytest.approx(0.0999)


async def test_a_waiting_spot_order_is_cancelled_only_as_what_it_is(trader: Any) -> None:
    last = (await trader.fetch_ticker(SPOT))["last"]
    order = await trader.create_order(SPOT, "market", "sell", 0.5, params={"triggerPrice": last - 3000})
    assert await trader.cancel_all_orders(SPOT) == []
    with pytest.raises(Exception, match="170213"):
        await trader.cancel_order(order["id"], SPOT)
    await trader.edit_order(order["id"], SPOT, "market", "sell", None, None, {"triggerPrice": last - 2000})
    changed = await trader.fetch_open_orders(SPOT)
    assert [one["triggerPrice"] for one in changed] == [pytest.approx(last - 2000)]
    await trader.cancel_order(order["id"], SPOT, {"trigger": True})
    found = await outcome(trader, order)
    assert (found["status"], found["info"]["orderStatus"]) == ("canceled", "Deactivated")
    guard = await trader.create_order(SPOT, "market", "sell", 0.5, params={"stopLossPrice": last - 3000})
    assert (await outcome(trader, guard))["info"]["stopOrderType"] == "tpslOrder"
    await trader.cancel_order(guard["id"], SPOT, {"orderFilter": "tpslOrder"})
