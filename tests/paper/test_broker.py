"""The paper broker: ccxt's methods on an account of play money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.broker import PaperBroker
from paper.scripted_feed import MINUTE, START, World
from virtual_time import run as in_virtual_time
from virtual_time import settle

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


@pytest.fixture
def world() -> World:
    return World()


async def refused(call: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value


async def test_it_begins_with_the_balances_of_currencies_that_the_exchange_has(world: World):
    balance = await world.broker.call("fetchBalance", {})
    assert balance["total"] == {"USDT": 10_000, "BTC": 1}
    assert balance["USDT"] == {"free": 10_000, "used": 0, "total": 10_000}
    assert balance["timestamp"] == START


async def test_an_account_does_not_begin_before_the_markets_are_there(world: World):
    broker = world.new_broker(markets=dict)
    for method in ("fetchBalance", "fetchPositions"):
        assert "not loaded yet" in (await refused(broker.call(method))).message
    assert (await world.broker.call("fetchBalance"))["total"] == {"USDT": 10_000, "BTC": 1}


async def test_a_market_buy_changes_the_balance_and_is_found_among_closed_orders_and_trades(world: World):
    order = await world.create(SPOT, "market", "buy", 2, clientOrderId="mine")
    assert (order["status"], order["filled"], order["average"], order["clientOrderId"]) == ("closed", 2, 101, "mine")
    assert order["fee"] == {"currency": "BTC", "cost": 0.004}
    assert (await world.broker.call("fetchBalance"))["total"] == {"USDT": 9798, "BTC": 2.996}
    (trade,) = await world.broker.call("fetchMyTrades", SPOT)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (order["id"], 2, "taker")
    for method in ("fetchClosedOrders", "fetchOrders", "fetchCanceledAndClosedOrders"):
        assert await world.broker.call(method, SPOT) == [order]
    assert await world.broker.call("fetchCanceledOrders", SPOT) == []
    assert await world.broker.call("fetchOpenOrders", SPOT) == []


async def test_an_order_is_found_by_either_id_live_and_ended(world: World):
    order = await world.create(SPOT, "limit", "buy", 1, 90, clientOrderId="mine")
    assert order["status"] == "open"
    for when in ("live", "ended"):
        if when == "ended":
            await world.broker.call("cancelOrder", None, None, {"clientOrderId": "mine"})
        by_id = await world.broker.call("fetchOrder", order["id"], SPOT)
        by_client_id = await world.broker.call("fetchOrder", None, SPOT, {"clientOrderId": "mine"})
        assert by_id == by_client_id
        assert by_id["status"] == {"live": "open", "ended": "canceled"}[when]


async def test_open_orders_can_be_asked_for_by_market_time_number_and_client_id(world: World):
    orders: list[Any] = []
    for symbol, client_id in ((SPOT, "a"), ("ETH/USDT", "b"), (SPOT, "c")):
        orders.append(await world.create(symbol, "limit", "buy", 1, 90, clientOrderId=client_id))
        world.now += 1000

    async def ids(*arguments: Any) -> list[str]:
        return [order["clientOrderId"] for order in await world.broker.call("fetchOpenOrders", *arguments)]

    assert await ids() == ["a", "b", "c"]
    assert await ids(SPOT) == ["a", "c"]
    assert await ids(None, START + 1) == ["b", "c"]
    assert await ids(None, None, 2) == ["a", "b"]
    assert await ids(None, None, None, {"clientOrderId": "b"}) == ["b"]
    cancelled = await world.broker.call("cancelAllOrders", SPOT)
    assert [order["clientOrderId"] for order in cancelled] == ["a", "c"]
    assert await ids() == ["b"]
    assert len(await world.broker.call("cancelAllOrders")) == 1
    newest = await world.broker.call("fetchOrders", None, START + 1, 1)
    assert [order["clientOrderId"] for order in newest] == ["c"]


async def test_an_order_is_edited_in_place(world: World):
    order = await world.create(SPOT, "limit", "buy", 1, 90, clientOrderId="mine")
    edited = await world.broker.call("editOrder", order["id"], SPOT, "limit", "buy", 2, 95.5)
    assert (edited["id"], edited["amount"], edited["price"], edited["clientOrderId"]) == (order["id"], 2, 95.5, "mine")
    assert await world.broker.call("editOrder", order["id"], SPOT, "limit", "buy", 2, 95.5) == edited
    failure = await refused(world.broker.call("editOrder", order["id"], SPOT, "limit", "sell", 2, 95.5))
    assert (failure.code, failure.message) == (Code.REFUSED, "Market, type and side of an order cannot be changed.")
    stop = await world.create(SPOT, "market", "sell", 1, triggerPrice=90)
    moved = await world.broker.call(
        "editOrder", stop["id"], SPOT, "market", "sell", None, None, {"triggerPrice": 92, "timeInForce": "GTC"}
    )
    assert (moved["triggerPrice"], moved["status"], moved["amount"]) == (92, "open", 1)


async def test_every_param_reaches_the_order(world: World):
    terms: dict[str, Any] = {"timeInForce": "GTC", "postOnly": True, "clientOrderId": "a"}
    terms |= {"takeProfit": {"triggerPrice": 120}, "stopLoss": {"triggerPrice": 80}}
    order = await world.create(SPOT, "limit", "buy", "1", "90.5", **terms)
    names = ("timeInForce", "postOnly", "takeProfitPrice", "stopLossPrice", "price", "amount")
    assert [order[name] for name in names] == ["PO", True, 120, 80, 90.5, 1]
    by_cost = await world.create(SPOT, "market", "buy", 202, cost=202, createMarketBuyOrderRequiresPrice=False)
    assert (by_cost["filled"], by_cost["cost"]) == (2, 202)
    rising = await world.create(SPOT, "market", "buy", 1, triggerPrice=110, triggerDirection="ascending")
    assert rising["triggerPrice"] == rising["stopPrice"] == 110
    trailing = await world.create(SPOT, "market", "sell", 1, trailingPercent=5)
    assert trailing["triggerPrice"] == pytest.approx(100.5 * 0.95)
    assert (await world.create(SPOT, "market", "sell", 0.5, trailingAmount=5))["triggerPrice"] == 95.5
    ioc = await world.create(SPOT, "limit", "buy", 1, 90, timeInForce="IOC")
    assert (ioc["status"], ioc["info"]["reason"]) == ("canceled", "immediate_or_cancel")


async def test_contracts_have_positions_leverage_and_isolated_margin(world: World):
    leverage = await world.broker.call("setLeverage", 20, PERP, {"marginMode": "isolated"})
    assert leverage == await world.broker.call("fetchLeverage", PERP)
    assert (leverage["longLeverage"], leverage["marginMode"]) == (20, "isolated")
    await world.broker.call("setMarginMode", "isolated", PERP)
    order = await world.create(PERP, "market", "buy", 100)
    assert order["cost"] == 101
    (position,) = await world.broker.call("fetchPositions", [PERP])
    assert (position["side"], position["contracts"], position["contractSize"]) == ("long", 100, 0.01)
    assert (position["initialMargin"], position["leverage"], position["entryPrice"]) == (5.05, 20, 101)
    assert await world.broker.call("fetchPositions", ["ETH/USDT:USDT"]) == []
    closing = await world.create(PERP, "market", "sell", 500, reduceOnly=True)
    assert (closing["amount"], closing["reduceOnly"]) == (100, True)
    assert await world.broker.call("fetchPositions") == []


async def test_fees_are_those_of_the_market(world: World):
    fee = await world.broker.call("fetchTradingFee", PERP)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (("createOrder", "X/Y", "market", "buy", 1), Code.UNKNOWN_SYMBOL, "There is no market 'X/Y' here."),
        (("createOrder", "OLD/USDT", "market", "buy", 1), Code.MARKET_INACTIVE, "OLD/USDT does not trade now."),
        (
            ("createOrder", "BTC/USD:BTC", "market", "buy", 1),
            Code.METHOD_NOT_SUPPORTED,
            "BTC/USD:BTC is an inverse contract; paper accounts trade spot and perpetual linear contracts.",
        ),
        (
            ("createOrder", "BTC/USDT:USDT-251231", "market", "buy", 1),
            Code.METHOD_NOT_SUPPORTED,
            "BTC/USDT:USDT-251231 is a dated future; paper accounts trade spot and perpetual linear contracts.",
        ),
        (
            ("createOrder", "BTC/USDT:USDT-251231-90000-C", "market", "buy", 1),
            Code.METHOD_NOT_SUPPORTED,
            "BTC/USDT:USDT-251231-90000-C is an option; paper accounts trade spot and perpetual linear contracts.",
        ),
        (
            ("createOrder", SPOT, "market", "buy", 500),
            Code.INSUFFICIENT_BALANCE,
            "This needs 50500 USDT, and 10000 USDT are free.",
        ),
        (
            ("createOrder", SPOT, "stop", "buy", 1),
            Code.INVALID_ORDER,
            "type is 'stop'; paper accounts take market or limit.",
        ),
        (
            ("createOrder", SPOT, "limit", "buy", "many", 90),
            Code.INVALID_ORDER,
            "amount is 'many', which is no usable number.",
        ),
        (
            ("createOrder", SPOT, "limit", "buy", float("nan"), 90),
            Code.INVALID_ORDER,
            "amount is 'nan', which is no usable number.",
        ),
        (("createOrder", SPOT, "limit", "buy", -1, 90), Code.INVALID_ORDER, "amount must be a positive number."),
        (
            ("createOrder", SPOT, "limit", "buy", 1, 90, {"qty": "5"}),
            Code.INVALID_ORDER,
            "Paper accounts do not take qty in params.",
        ),
        (
            ("createOrder", SPOT, "limit", "buy", 1, 90, {"timeInForce": "DAY"}),
            Code.INVALID_ORDER,
            "timeInForce is 'DAY'; take GTC, IOC, FOK or PO.",
        ),
        (
            ("createOrder", SPOT, "limit", "buy", 1, 90, {"timeInForce": "IOC", "postOnly": True}),
            Code.INVALID_ORDER,
            "A post-only order rests, so timeInForce cannot be IOC.",
        ),
        (
            ("createOrder", SPOT, "market", "buy", 1, None, {"triggerPrice": 110, "triggerDirection": "up"}),
            Code.INVALID_ORDER,
            "triggerDirection is 'up'; take ascending or descending.",
        ),
        (
            ("createOrder", SPOT, "limit", "buy", 1, 90, {"stopLoss": {"triggerPrice": 80, "price": 79}}),
            Code.INVALID_ORDER,
            "stopLoss must be {'triggerPrice': PRICE}; on paper it is always a market order.",
        ),
        (
            ("createOrder", PERP, "market", "sell", 1, None, {"reduceOnly": True}),
            Code.INVALID_ORDER,
            "There is no position in BTC/USDT:USDT that a sell would reduce.",
        ),
        (("cancelOrder", "9", SPOT), Code.ORDER_NOT_FOUND, "There is no open order '9'."),
        (("fetchOrder", "9", SPOT), Code.ORDER_NOT_FOUND, "There is no order '9'."),
        (("fetchOrder", None, SPOT), Code.ORDER_NOT_FOUND, "There is no order 'None'."),
        (("editOrder", "9", SPOT, "limit", "buy", 1, 90), Code.ORDER_NOT_FOUND, "There is no open order '9'."),
        (("setLeverage", 99, PERP), Code.REFUSED, "leverage must be from 1 to 50 here."),
        (("setLeverage", "high", PERP), Code.INVALID_ARGUMENT, "leverage is 'high', which is no number."),
        (("setLeverage", 2, SPOT), Code.INVALID_ARGUMENT, "BTC/USDT is a spot market; leverage is for contracts."),
        (
            ("setMarginMode", "cross", PERP),
            Code.METHOD_NOT_SUPPORTED,
            "marginMode is 'cross'; paper accounts have isolated margin only.",
        ),
        (("withdraw", "BTC", 1), Code.METHOD_NOT_SUPPORTED, "Paper accounts have no withdraw."),
        (("advance",), Code.METHOD_NOT_SUPPORTED, "Paper accounts have no advance."),
    ],
)
async def test_what_cannot_be_done_is_refused_by_its_code(world: World, call: Any, code: Code, message: str):
    failure = await refused(world.broker.call(*call))
    assert (failure.code, failure.message) == (code, message)


async def test_a_client_order_id_is_used_once_across_restarts(world: World):
    await world.create(SPOT, "market", "buy", 1, clientOrderId="mine")
    world.broker = world.new_broker()
    failure = await refused(world.create(SPOT, "market", "buy", 1, clientOrderId="mine"))
    assert failure.code is Code.CLIENT_ORDER_ID_USED
    # Two at once: the archive has nothing yet, so the account itself must know.
    twins = [world.create(SPOT, "limit", "buy", 1, 90, clientOrderId="twin") for _ in range(2)]
    first, second = await asyncio.gather(*twins, return_exceptions=True)
    assert sorted(type(one).__name__ for one in (first, second)) == ["Failure", "dict"]
    assert len(await world.broker.call("fetchOpenOrders")) == 1


async def test_it_answers_to_what_it_has_and_to_nothing_else(world: World):
    assert all(value is True for value in PaperBroker.has.values())
    assert {"createOrder", "fetchBalance", "cancelAllOrders", "editOrder"} <= PaperBroker.has.keys()
    assert "fetchTicker" not in PaperBroker.has


async def test_nothing_is_placed_when_the_book_cannot_be_read(world: World):
    world.feed.down = Failure(Code.TIMEOUT, "bybit did not answer in time.")
    assert (await refused(world.create(SPOT, "market", "buy", 1))).code is Code.TIMEOUT
    assert world.store.states == {}


async def test_the_account_can_be_seen_and_orders_cancelled_while_the_exchange_is_down(world: World):
    order = await world.create(SPOT, "limit", "buy", 1, 90)
    world.feed.down = Failure(Code.MAINTENANCE, "bybit is not available now.")
    assert (await world.broker.call("fetchBalance"))["used"]["USDT"] == 90
    assert (await world.broker.call("cancelOrder", order["id"], SPOT))["status"] == "canceled"


async def test_two_accounts_know_nothing_of_each_other(world: World):
    other = world.new_broker("second")
    order = await world.create(SPOT, "market", "buy", 1)
    assert await other.call("fetchOrders") == []
    assert (await refused(other.call("fetchOrder", order["id"]))).code is Code.ORDER_NOT_FOUND
    assert await world.store.accounts() == [("bybit", "paper"), ("bybit", "second")]


async def test_an_account_that_was_reset_begins_anew_with_other_ids(world: World):
    before = await world.create(SPOT, "market", "buy", 1)
    await world.store.reset(None, None)
    world.now += 1
    after = await world.create(SPOT, "market", "buy", 1)
    assert after["id"] != before["id"]
    assert (await world.broker.call("fetchBalance"))["total"]["USDT"] == 9899


async def test_looking_at_an_account_that_nothing_happens_to_writes_nothing(world: World):
    await world.create(SPOT, "market", "buy", 1)
    saves = world.store.saves
    for method in ("fetchBalance", "fetchOpenOrders", "fetchMyTrades", "fetchPositions"):
        await world.broker.call(method)
    assert world.store.saves == saves
    assert world.feed.asked == ["book"]


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_call_places_the_order_in_full_or_not_at_all(world: World, steps: int):
    await world.broker.call("fetchBalance")
    task = asyncio.ensure_future(world.create(SPOT, "market", "buy", 1))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done = not isinstance((await asyncio.gather(task, return_exceptions=True))[0], BaseException)
    trades = await world.broker.call("fetchMyTrades")
    balance = (await world.broker.call("fetchBalance"))["total"]
    assert balance == ({"USDT": 9899, "BTC": 1.998} if trades else {"USDT": 10_000, "BTC": 1})
    assert trades or not done


async def test_many_calls_at_once_do_not_lose_each_others_orders(world: World):
    await asyncio.gather(*(world.create(SPOT, "limit", "buy", 1, 90) for _ in range(20)))
    assert (await world.broker.call("fetchBalance"))["used"]["USDT"] == 1800
    ids = {order["id"] for order in await world.broker.call("fetchOpenOrders")}
    assert len(ids) == 20


def test_left_alone_it_watches_the_market_only_while_something_may_happen():
    async def main() -> None:
        world = World()
        task = asyncio.ensure_future(world.broker.run(2.0))
        await asyncio.sleep(100)
        assert world.feed.asked == []
        order = await world.create(SPOT, "limit", "buy", 1, 90)
        world.feed.down = Failure(Code.NETWORK, "bybit could not be reached.")
        await asyncio.sleep(20)
        world.feed.down = None
        world.quote(SPOT, 88, 89)
        world.now += 1000
        await asyncio.sleep(2)
        assert await world.store.orders("bybit", "paper", order_id=order["id"])
        await asyncio.sleep(10)
        asked = len(world.feed.asked)
        await asyncio.sleep(100)
        assert len(world.feed.asked) == asked
        task.cancel()
        await settle()
        assert task.cancelled()

    in_virtual_time(main())


def test_left_alone_it_goes_on_after_the_store_has_failed():
    async def main() -> None:
        world = World()
        world.store.failure = Failure(Code.JOURNAL_UNAVAILABLE, "The journal cannot be opened.")
        task = asyncio.ensure_future(world.broker.run(2.0))
        await asyncio.sleep(1)
        world.store.failure = None
        await world.create(SPOT, "limit", "buy", 1, 90)
        world.quote(SPOT, 88, 89)
        world.now += 1000
        await asyncio.sleep(3)
        assert await world.store.trades("bybit", "paper")
        task.cancel()
        await settle()

    in_virtual_time(main())


async def test_an_order_is_looked_for_in_its_market_only(world: World):
    order = await world.create(SPOT, "limit", "buy", 1, 90)
    for method in ("cancelOrder", "fetchOrder"):
        assert (await refused(world.broker.call(method, order["id"], PERP))).code is Code.ORDER_NOT_FOUND
    assert await world.status(order) == "open"


async def test_a_filled_order_leaves_its_symbol_unwatched(world: World):
    await world.create(SPOT, "limit", "buy", 1, 90)
    world.quote(SPOT, 88, 89)
    world.now += MINUTE
    await world.broker.advance()
    asked = len(world.feed.asked)
    assert await world.broker.advance() is False
    assert len(world.feed.asked) == asked
