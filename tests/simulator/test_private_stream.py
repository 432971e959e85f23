"""The private WebSocket: through unmodified ccxt, and as it goes over the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
import pytest
from ccxt.test.exchange.base.test_balance import test_balance as check_balance
from ccxt.test.exchange.base.test_order import test_order as check_order
from ccxt.test.exchange.base.test_position import test_position as check_position
from ccxt.test.exchange.base.test_trade import test_trade as check_trade

from ccxt_mcp.simulator import Fault, Simulator
from simulator.clients import heard, trader
from simulator.sockets import Wire

if TYPE_CHECKING:
    import aiohttp

    from simulator.clocks import Clock

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"


async def place(exchange: Any, clock: Clock, symbol: str = SPOT) -> Any:
    """An order that rests, placed in a second of its own."""
    clock.now += 1
    return await exchange.create_order(symbol, "limit", "buy", 0.01, 80_000)


async def test_orders_are_watched_from_new_to_partly_filled_to_cancelled(
    pro: Any, simulator: Simulator, clock: Clock
) -> None:
    first = (await heard(pro.watch_orders(), lambda: place(pro, clock)))[-1]
    check_order(pro, {}, "watchOrders", first, SPOT, pro.milliseconds())
    assert (first["status"], first["filled"]) == ("open", 0)
    bid = (await pro.fetch_ticker(SPOT))["bid"]
    created = await pro.create_order(SPOT, "limit", "buy", 1, bid - 1)

    async def told(*wanted: str) -> Any:
        """The order, once what was watched says that it stands so."""
        while True:
            order = next((one for one in pro.orders if one["id"] == created["id"]), None)
            if order is not None and order["info"]["orderStatus"] in wanted:
                return order
            await pro.fetch_time()

    assert (await told("New"))["filled"] == 0
    while not (await told("New", "PartiallyFilled"))["filled"]:
        clock.now += 1
        await simulator.publish()
        await pro.fetch_time()
    order = await told("PartiallyFilled")
    check_order(pro, {}, "watchOrders", order, SPOT, pro.milliseconds())
    assert 0 < order["filled"] < 1
    await pro.cancel_order(created["id"], SPOT)
    assert (await told("PartiallyFilledCanceled"))["filled"] == order["filled"]


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_own_trades_are_watched(pro: Any, symbol: str) -> None:
    trades = await heard(pro.watch_my_trades(), lambda: pro.create_order(symbol, "market", "buy", 0.001))
    check_trade(pro, {}, "watchMyTrades", trades[-1], symbol, pro.milliseconds(), False)
    fetched = await pro.fetch_my_trades(symbol)
    assert trades[-1]["id"] in {trade["id"] for trade in fetched}
    assert (trades[-1]["amount"], trades[-1]["takerOrMaker"]) == (0.001, "taker")


async def test_the_balance_is_watched_and_is_that_of_rest(pro: Any, clock: Clock) -> None:
    await pro.create_order(SWAP, "market", "buy", 0.05)
    balance = await heard(pro.watch_balance(), lambda: place(pro, clock))
    check_balance(pro, {}, "watchBalance", balance)
    watching = asyncio.create_task(pro.watch_balance())
    await place(pro, clock)
    balance, fetched = await watching, await pro.fetch_balance()
    check_balance(pro, {}, "watchBalance", balance)
    assert balance["USDT"]["free"] == pytest.approx(fetched["USDT"]["free"], abs=5)


async def test_positions_are_watched_until_they_are_closed(pro: Any) -> None:
    assert await pro.watch_positions() == []
    positions = await heard(pro.watch_positions(), lambda: pro.create_order(SWAP, "market", "buy", 0.01))
    check_position(pro, {"marginMode": True}, "watchPositions", positions[-1], SWAP, pro.milliseconds())
    await pro.create_order(SWAP, "market", "sell", 10, params={"reduceOnly": True})
    while any(position["contracts"] for position in pro.positions):
        await pro.fetch_time()


async def test_a_wrong_secret_cannot_listen(simulator: Simulator, clock: Clock) -> None:
    async with trader(simulator, clock, pro=True) as exchange:
        await exchange.is_unified_enabled()
        exchange.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.watch_orders()


async def test_who_is_not_known_hears_nothing(wire: Wire, trader: Any) -> None:
    for reply in (
        await wire.auth("nobody"),
        await wire.auth(secret="wrong"),
        await wire.auth(ahead=-1),
        await wire.call("auth"),
        await wire.call("auth", 1, 2, 3),
    ):
        assert (reply["success"], reply["request"]["op"]) == (False, "auth")
    for op in ("subscribe", "unsubscribe"):
        assert (await wire.call(op, "order"))["ret_msg"] == "Request not authorized"
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert await wire.news() == []
    assert (await wire.auth())["success"] is True


async def test_each_topic_tells_what_it_is_for_and_a_category_narrows_it(wire: Wire, trader: Any) -> None:
    await wire.auth()
    topics = ("order", "order.spot", "execution", "execution.fast", "execution.linear", "position", "wallet")
    assert (await wire.call("subscribe", *topics))["success"] is True
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert {message["topic"] for message in await wire.news()} == {
        "order", "order.spot", "execution", "execution.fast", "wallet",
    }  # fmt: skip
    await trader.create_order(SWAP, "market", "buy", 0.001)
    news = {message["topic"]: message for message in await wire.news()}
    assert set(news) == {"order", "execution", "execution.fast", "execution.linear", "position", "wallet"}
    assert news["order"]["data"][0]["orderId"] == news["execution"]["data"][0]["orderId"]
    assert news["wallet"]["data"][0]["accountType"] == "UNIFIED"
    assert [coin["coin"] for coin in news["wallet"]["data"][0]["coin"]] == ["USDT"]
    assert (await wire.call("unsubscribe", *topics))["success"] is True
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert await wire.news() == []


@pytest.mark.parametrize("topic", ["orders", "wallet.spot", "tickers.BTCUSDT", "order.option"])
async def test_an_unknown_topic_is_refused(wire: Wire, topic: str) -> None:
    await wire.auth()
    reply = await wire.call("subscribe", topic)
    assert (reply["success"], reply["ret_msg"]) == (False, f"error:handler not found,topic:{topic}")
    assert (await wire.call("dance"))["ret_msg"] == "Params Error"


async def test_one_account_does_not_hear_another(wire: Wire, simulator: Simulator, clock: Clock) -> None:
    await wire.auth("simulator-withdrawer", "simulator-withdrawer-secret")
    await wire.call("subscribe", "order")
    async with trader(simulator, clock) as other:
        await other.create_order(SPOT, "market", "buy", 0.001)
    assert await wire.news() == []
    await wire.auth()
    async with trader(simulator, clock) as other:
        await other.create_order(SPOT, "market", "buy", 0.001)
    assert len(await wire.news()) == 1


async def test_fills_of_the_tape_are_pushed_without_anybody_asking(clock: Clock, http: aiohttp.ClientSession) -> None:
    async with (
        Simulator(clock=clock, tick=0.001) as running,
        trader(running, clock) as exchange,
        http.ws_connect(f"{running.url}/v5/private") as socket,
    ):
        wire = Wire(socket, clock)
        bid = (await exchange.fetch_ticker(SPOT))["bid"]
        await exchange.create_order(SPOT, "limit", "buy", 0.01, bid - 1)
        await wire.auth()
        await wire.call("subscribe", "execution")
        clock.now += 60
        message = await wire.receive()
        assert (message["topic"], message["data"][0]["execPrice"]) == ("execution", f"{bid - 1:g}")


async def test_messages_can_be_withheld_and_connections_cut(wire: Wire, simulator: Simulator, trader: Any) -> None:
    await wire.auth()
    await wire.call("subscribe", "order", "wallet")
    simulator.faults.set(Fault("hang", path="/v5/private/order", times=1), Fault("latency", path="/v5/private/wallet"))
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert [message["topic"] for message in await wire.news()] == ["wallet"]
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert [message["topic"] for message in await wire.news()] == ["order", "wallet"]
    simulator.faults.set(Fault("drop", path="/v5/private/order"))
    await trader.create_order(SPOT, "market", "buy", 0.001)
    assert (await wire.socket.receive(timeout=5)).type.name in {"CLOSED", "CLOSE", "ERROR"}
    assert len(await trader.fetch_my_trades(SPOT)) == 3


async def test_closing_the_simulator_leaves_no_task_behind(clock: Clock, http: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    running = Simulator(clock=clock)
    await running.start()
    socket = await http.ws_connect(f"{running.url}/v5/private")
    wire = Wire(socket, clock)
    await wire.auth()
    await wire.call("subscribe", "order")
    receiving = asyncio.create_task(socket.receive())
    await running.close()
    assert (await receiving).type.name == "CLOSE"
    await socket.close()
    assert {task for task in asyncio.all_tasks() - before if task.get_name().startswith("simulator-")} == set()
