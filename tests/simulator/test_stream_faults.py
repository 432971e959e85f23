"""Faults of WebSockets, of their messages and of their handshakes, as real clients meet them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.async_support as ccxt
import orjson
import pytest

from ccxt_mcp.simulator import Fault, FaultKind, Simulator
from simulator.clients import bybit, heard
from simulator.sockets import Client, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.clocks import Clock

SPOT = "BTC/USDT"
TOPIC = "orderbook.50.BTCUSDT"
BOOK = f"/v5/public/spot/{TOPIC}"
ENDED = {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


@pytest.fixture
async def book(spot: Client) -> Client:
    """A client that has the snapshot of a book."""
    await spot.subscribe(TOPIC)
    await spot.news()
    return spot


async def told(simulator: Simulator, clock: Clock, client: Client, times: int = 1) -> list[Any]:
    """What a client hears of so many changes, each a second after the other."""
    for _ in range(times):
        clock.now += 1
        await simulator.publish()
    return await client.news()


async def buy(exchange: Any) -> Any:
    return await exchange.create_order(SPOT, "market", "buy", 0.001)


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1012, 4000])
async def test_a_close_ends_the_connection_with_its_code(
    simulator: Simulator, book: Client, clock: Clock, code: int
) -> None:
    simulator.faults.set(Fault("close", path=BOOK, times=1, code=code))
    clock.now += 1
    await simulator.publish()
    message = await book.socket.receive(timeout=5)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert book.socket.close_code == code
    assert simulator.faults.active == ()


async def test_a_close_strikes_each_connection_once_and_leaves_the_rest_unused(
    simulator: Simulator, spot: Client, linear: Client, clock: Clock
) -> None:
    for client in (spot, linear):
        await client.subscribe(TOPIC, "tickers.BTCUSDT", "publicTrade.BTCUSDT")
        await client.news()
    simulator.faults.set(Fault("close", times=3))
    clock.now += 30
    await simulator.publish()
    for client in (spot, linear):
        assert (await client.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
    assert simulator.faults.active == (Fault("close", times=1),)


async def test_a_drop_ends_the_connection_without_a_goodbye(simulator: Simulator, book: Client, clock: Clock) -> None:
    simulator.faults.set(Fault("drop", path="/v5/public/spot/orderbook"))
    clock.now += 1
    await simulator.publish()
    assert (await book.socket.receive(timeout=5)).type in ENDED
    assert book.socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


@pytest.mark.parametrize("kind", ["silence", "hang"])
async def test_a_silent_topic_says_nothing_until_the_fault_is_cleared_and_the_others_go_on(
    simulator: Simulator, book: Client, clock: Clock, kind: FaultKind
) -> None:
    await book.subscribe("tickers.BTCUSDT")
    await book.news()
    simulator.faults.set(Fault(kind, path=BOOK))
    assert {message["topic"] for message in await told(simulator, clock, book, 9)} == {"tickers.BTCUSDT"}
    simulator.faults.clear()
    assert TOPIC in {message["topic"] for message in await told(simulator, clock, book)}


async def test_silence_strikes_snapshots_too(simulator: Simulator, spot: Client) -> None:
    simulator.faults.set(Fault("silence"))
    await spot.subscribe(TOPIC, "tickers.BTCUSDT")
    assert await spot.news() == []


async def test_a_skipped_delta_leaves_a_hole_in_the_numbers_of_that_connection_only(
    simulator: Simulator, book: Client, http: aiohttp.ClientSession, clock: Clock
) -> None:
    async with http.ws_connect("/v5/public/spot") as socket:
        other = Client(socket)
        await other.subscribe(TOPIC)
        start = (await other.news())[0]["data"]["u"]
        simulator.faults.set(Fault("skip", path=BOOK, times=1))
        numbers = [message["data"]["u"] for message in await told(simulator, clock, book, 3)]
        assert numbers == [start + 2, start + 3]
        assert [message["data"]["u"] for message in await other.news()] == [start + 1, start + 2, start + 3]


async def test_skipped_trades_are_never_told(simulator: Simulator, spot: Client, clock: Clock) -> None:
    await spot.subscribe("publicTrade.BTCUSDT")
    simulator.faults.set(Fault("skip", times=1))
    clock.now += 30
    await simulator.publish()
    assert await spot.news() == []
    skipped = clock.ms
    trades = [trade for message in await told(simulator, clock, spot, 30) for trade in message["data"]]
    assert trades
    assert all(trade["T"] > skipped for trade in trades)


async def test_a_skip_leaves_alone_what_stands_for_itself(simulator: Simulator, spot: Client, clock: Clock) -> None:
    simulator.faults.set(Fault("skip"))
    topics = {TOPIC, "orderbook.1.BTCUSDT", "tickers.BTCUSDT", "kline.1.BTCUSDT"}
    await spot.subscribe(*topics)
    assert {message["topic"] for message in await spot.news()} == topics
    clock.now += 30
    await simulator.publish()
    assert {message["topic"] for message in await spot.news()} == topics - {TOPIC}


async def test_a_duplicate_is_the_same_message_twice(simulator: Simulator, book: Client, clock: Clock) -> None:
    simulator.faults.set(Fault("duplicate", times=1))
    first, again, following = await told(simulator, clock, book, 2)
    assert first == again
    assert following["data"]["u"] == first["data"]["u"] + 1


async def test_garbage_is_in_turns_no_json_and_json_of_the_wrong_shape(
    simulator: Simulator, book: Client, clock: Clock
) -> None:
    simulator.faults.set(Fault("garbage", times=2))
    for _ in range(3):
        clock.now += 1
        await simulator.publish()
    first, second, third = [(await book.socket.receive(timeout=5)).data for _ in range(3)]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(first)
    assert orjson.loads(second) == {"topic": TOPIC, "data": "garbage"}
    assert orjson.loads(third)["type"] == "delta"


@pytest.mark.parametrize("kind", ["delay", "latency"])
async def test_a_delayed_message_comes_late_and_those_after_it_not_before(
    simulator: Simulator, book: Client, clock: Clock, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind, path=BOOK, seconds=0.05, times=1))
    first, second, third = [message["data"]["u"] for message in await told(simulator, clock, book, 3)]
    assert (second, third) == (first + 1, first + 2)


async def test_a_delay_holds_up_one_connection_and_no_other(
    simulator: Simulator, book: Client, linear: Client, clock: Clock
) -> None:
    await linear.subscribe(TOPIC)
    await linear.news()
    simulator.faults.set(Fault("delay", path=BOOK, seconds=3600, times=1))
    waiting = asyncio.create_task(book.socket.receive())
    assert len(await told(simulator, clock, linear, 3)) == 3
    assert not waiting.done()
    await simulator.close()
    assert (await waiting).type is aiohttp.WSMsgType.CLOSE


async def test_a_delay_of_every_message_does_not_add_up(simulator: Simulator, book: Client, clock: Clock) -> None:
    simulator.faults.set(Fault("delay", seconds=0.2))
    # Added up, they would take twenty seconds.
    async with asyncio.timeout(10):
        assert len(await told(simulator, clock, book, 100)) == 100


async def test_a_probable_fault_strikes_the_same_messages_under_the_same_seed(clock: Clock) -> None:
    start = clock.now

    async def numbers(seed: int) -> list[int]:
        clock.now = start
        async with (
            Simulator(seed=seed, clock=clock, tick=3600) as running,
            aiohttp.ClientSession(running.url) as http,
            http.ws_connect("/v5/public/spot") as socket,
        ):
            client = Client(socket)
            await client.subscribe(TOPIC)
            (snapshot,) = await client.news()
            running.faults.set(Fault("skip", probability=0.5))
            heard = await told(running, clock, client, 40)
            return [message["data"]["u"] - snapshot["data"]["u"] for message in heard]

    first = await numbers(1)
    assert 5 < len(first) < 35
    assert await numbers(1) == first
    assert await numbers(2) != first


async def test_faults_of_messages_strike_no_request_and_no_handshake_and_those_of_requests_no_message(
    simulator: Simulator, http: aiohttp.ClientSession, clock: Clock
) -> None:
    kinds: tuple[FaultKind, ...] = ("close", "silence", "delay", "duplicate", "skip", "garbage")
    simulator.faults.set(*(Fault(kind, times=1) for kind in kinds))
    async with http.get("/v5/market/time") as reply:
        assert reply.status == 200
    async with http.ws_connect("/v5/public/spot") as socket:
        assert len(simulator.faults.active) == len(kinds)
        simulator.faults.clear()
        client = Client(socket)
        await client.subscribe(TOPIC)
        faults = [Fault(kind, path="/v5/public/spot") for kind in ("latency", "hang", "drop", "503")]
        simulator.faults.set(*faults, Fault("503", path=BOOK))
        assert len(await told(simulator, clock, client, 3)) == 4


# -- the private stream ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "orders"), [("silence", 0), ("skip", 0), ("duplicate", 2), ("delay", 1), ("hang", 0), ("latency", 1)]
)
async def test_messages_of_an_account_are_struck_too(
    simulator: Simulator, wire: Wire, trader: Any, kind: FaultKind, orders: int
) -> None:
    await wire.auth()
    await wire.call("subscribe", "order", "wallet")
    simulator.faults.set(Fault(kind, path="/v5/private/order", times=1, seconds=0.01))
    await buy(trader)
    assert [message["topic"] for message in await wire.news()] == [*["order"] * orders, "wallet"]
    await buy(trader)
    assert [message["topic"] for message in await wire.news()] == ["order", "wallet"]


async def test_a_private_connection_is_closed_and_its_account_goes_on(
    simulator: Simulator, wire: Wire, trader: Any
) -> None:
    await wire.auth()
    await wire.call("subscribe", "order")
    simulator.faults.set(Fault("close", path="/v5/private/order", times=1, code=1001))
    await buy(trader)
    message = await wire.socket.receive(timeout=5)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await buy(trader)
    assert len(await trader.fetch_my_trades(SPOT)) == 2


async def test_garbage_comes_on_the_private_stream_too(simulator: Simulator, wire: Wire, trader: Any) -> None:
    await wire.auth()
    await wire.call("subscribe", "order")
    simulator.faults.set(Fault("garbage", times=1))
    await buy(trader)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads((await wire.socket.receive(timeout=5)).data)


async def test_an_answer_is_struck_only_by_a_fault_with_just_its_path(simulator: Simulator, wire: Wire) -> None:
    simulator.faults.set(Fault("silence"), Fault("hang", path="/v5/private/"))
    assert (await wire.auth())["success"] is True
    simulator.faults.set(Fault("hang", path="/v5/private/ping", times=1))
    await wire.socket.send_json({"op": "ping"})
    assert (await wire.call("subscribe", "order"))["op"] == "subscribe"
    simulator.faults.set(Fault("close", path="/v5/private/auth"))
    await wire.socket.send_json({"op": "auth"})
    assert (await wire.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


# -- handshakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v5/public/spot", "/v5/public/linear", "/v5/private"])
@pytest.mark.parametrize("kind", ["403", "429", "500", "503"])
async def test_a_handshake_is_refused_with_a_status(
    simulator: Simulator, http: aiohttp.ClientSession, path: str, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind, path=path[:10], times=1))
    with pytest.raises(aiohttp.WSServerHandshakeError, match=kind):
        await http.ws_connect(path)
    assert not any(count.connections for count in simulator.streams().values())
    async with http.ws_connect(path):
        assert simulator.streams()[path].connections == 1


async def test_a_handshake_is_dropped(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    simulator.faults.set(Fault("drop", path="/v5/public"))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await http.ws_connect("/v5/public/spot")


@pytest.mark.parametrize("fault", [Fault("hang", path="/v5/public"), Fault("latency", path="/v5/public", seconds=60)])
async def test_a_client_that_gives_up_on_its_handshake_leaves_nothing_behind(
    simulator: Simulator, http: aiohttp.ClientSession, fault: Fault
) -> None:
    simulator.faults.set(fault)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await http.ws_connect("/v5/public/spot")
    assert simulator.streams()["/v5/public/spot"].connections == 0


async def test_a_slow_handshake_comes_about_and_its_messages_are_not_slow(
    simulator: Simulator, http: aiohttp.ClientSession, clock: Clock
) -> None:
    simulator.faults.set(Fault("latency", path="/v5/public/spot", seconds=0.05, times=2))
    async with http.ws_connect("/v5/public/spot") as socket:
        client = Client(socket)
        await client.subscribe(TOPIC)
        assert len(await told(simulator, clock, client, 3)) == 4
    assert simulator.faults.active == (Fault("latency", path="/v5/public/spot", seconds=0.05, times=1),)


# -- ccxt --------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def live(clock: Clock) -> AsyncIterator[tuple[Simulator, Any]]:
    """A simulator that speaks when told to, and the unmodified pro class of ccxt, which has loaded its markets."""
    async with Simulator(clock=clock, tick=3600) as running, bybit(running, pro=True) as exchange:
        await exchange.load_markets()
        yield running, exchange


async def again(live: tuple[Simulator, Any], clock: Clock) -> Any:
    """The book after the next change."""
    simulator, exchange = live

    async def change() -> None:
        clock.now += 1
        await simulator.publish()
        await exchange.fetch_time()

    return await heard(exchange.watch_order_book(SPOT), change)


@pytest.mark.parametrize("kind", ["close", "drop"])
async def test_ccxt_is_told_that_its_connection_ended_and_watches_again(
    live: tuple[Simulator, Any], clock: Clock, kind: FaultKind
) -> None:
    simulator, exchange = live
    await exchange.watch_order_book(SPOT)
    simulator.faults.set(Fault(kind, path=BOOK, times=1))
    with pytest.raises(ccxt.NetworkError):
        await again(live, clock)
    await again(live, clock)
    assert simulator.streams()["/v5/public/spot"].topics == {TOPIC: 1}
    assert simulator.requests.by_path["/v5/public/spot"] == 2


@pytest.mark.parametrize("kind", ["403", "503", "drop"])
async def test_ccxt_is_told_of_a_refused_handshake_and_connects_again(
    live: tuple[Simulator, Any], kind: FaultKind
) -> None:
    simulator, exchange = live
    simulator.faults.set(Fault(kind, path="/v5/public"))
    with pytest.raises(ccxt.NetworkError):
        await exchange.watch_order_book(SPOT)
    simulator.faults.clear()
    assert len((await exchange.watch_order_book(SPOT))["bids"]) == 50


async def test_ccxt_does_not_notice_a_skipped_delta(live: tuple[Simulator, Any], clock: Clock) -> None:
    simulator, exchange = live
    await exchange.watch_order_book(SPOT)
    for _ in range(40):
        clock.now += 1
        simulator.faults.set(Fault("skip", path=BOOK))
        await simulator.publish()
    simulator.faults.clear()
    book = await again(live, clock)
    fetched = await exchange.fetch_order_book(SPOT, 50)
    assert (book["bids"], book["asks"]) != (fetched["bids"], fetched["asks"])


async def test_one_frame_that_is_no_json_ends_ccxts_reading_without_a_word_while_its_connection_stays_open(
    live: tuple[Simulator, Any], clock: Clock
) -> None:
    simulator, exchange = live
    await exchange.watch_order_book(SPOT)
    simulator.faults.set(Fault("garbage", path=BOOK, times=1))
    broken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.set_result(context["exception"]))
    watching = asyncio.create_task(exchange.watch_order_book(SPOT))
    try:
        while not broken.done():
            clock.now += 1
            await simulator.publish()
            await exchange.fetch_time()
        assert isinstance(await broken, ValueError)
        for _ in range(20):
            clock.now += 1
            await simulator.publish()
            await exchange.fetch_time()
        assert not watching.done()
        assert simulator.streams()["/v5/public/spot"].topics == {TOPIC: 1}
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_ccxt_unwatches_and_watches_again_from_a_snapshot(live: tuple[Simulator, Any], clock: Clock) -> None:
    simulator, exchange = live
    await exchange.watch_order_book(SPOT)
    await exchange.un_watch_order_book(SPOT)
    assert simulator.streams()["/v5/public/spot"].topics == {}
    clock.now += 3600
    book = await exchange.watch_order_book(SPOT)
    fetched = await exchange.fetch_order_book(SPOT, 50)
    assert (book["bids"], book["asks"]) == (fetched["bids"], fetched["asks"])
    assert simulator.requests.by_path["/v5/public/spot"] == 1


async def test_ccxt_unwatches_its_orders_and_trades(simulator: Simulator, pro: Any) -> None:
    await heard(pro.watch_orders(), lambda: buy(pro))
    await heard(pro.watch_my_trades(), lambda: buy(pro))
    assert simulator.streams()["/v5/private"].topics == {"execution": 1, "order": 1}
    await pro.un_watch_orders()
    await pro.un_watch_my_trades()
    assert (simulator.streams()["/v5/private"].connections, simulator.streams()["/v5/private"].topics) == (1, {})
    assert await heard(pro.watch_orders(), lambda: buy(pro))
