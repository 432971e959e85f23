"""The public WebSocket, as it goes over the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ccxt_mcp.simulator import Simulator, StreamCount, connection
from simulator.sockets import Client, Wire

if TYPE_CHECKING:
    from simulator.clocks import Clock


async def rest(http: aiohttp.ClientSession, path: str, **query: str | int) -> Any:
    async with http.get(f"/v5/market/{path}", params=query) as reply:
        return (await reply.json())["result"]


@pytest.mark.parametrize("levels", [1, 50, 200])
async def test_deltas_rebuild_the_rest_book_of_the_same_moment(
    simulator: Simulator, http: aiohttp.ClientSession, linear: Client, clock: Clock, levels: int
) -> None:
    await linear.subscribe(f"orderbook.{levels}.BTCUSDT")
    sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    kinds: list[str] = []
    for step in (0.0, 0.1, 0.25, 1.0, 7.0, 60.0, 3600.0):
        clock.now += step
        await simulator.publish()
        for message in await linear.news():
            kinds.append(message["type"])
            for side, levels_ in sides.items():
                if message["type"] == "snapshot":
                    levels_.clear()
                levels_.update(dict(message["data"][side]))
                for price in [price for price, size in levels_.items() if size == "0"]:
                    del levels_[price]
        told = await rest(http, "orderbook", category="linear", symbol="BTCUSDT", limit=levels)
        assert sides == {side: dict(told[side]) for side in "ab"}
    assert kinds[0] == "snapshot"
    assert set(kinds[1:]) == ({"snapshot"} if levels == 1 else {"delta"})


async def test_a_contracts_ticker_is_a_snapshot_and_then_only_what_changed(
    simulator: Simulator, http: aiohttp.ClientSession, linear: Client, clock: Clock
) -> None:
    await linear.subscribe("tickers.ETHUSDT")
    (snapshot,) = await linear.news()
    known = snapshot["data"]
    clock.now += 5
    await simulator.publish()
    (delta,) = await linear.news()
    assert (snapshot["type"], delta["type"], delta["ts"]) == ("snapshot", "delta", clock.ms)
    assert len(delta["data"]) < len(known)
    assert {**known, **delta["data"]} == (await rest(http, "tickers", category="linear", symbol="ETHUSDT"))["list"][0]


async def test_a_spot_ticker_is_always_a_snapshot_without_bid_and_ask(
    simulator: Simulator, spot: Client, clock: Clock
) -> None:
    await spot.subscribe("tickers.BTCUSDT")
    clock.now += 30
    await simulator.publish()
    first, second = await spot.news()
    assert first["type"] == second["type"] == "snapshot"
    assert first["data"].keys() == second["data"].keys()
    assert "usdIndexPrice" in first["data"]
    assert "bid1Price" not in first["data"]


async def test_nothing_is_sent_where_nothing_changed(simulator: Simulator, spot: Client) -> None:
    await spot.subscribe("tickers.BTCUSDT", "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "kline.1.BTCUSDT")
    assert len(await spot.news()) == 3
    await simulator.publish()
    assert await spot.news() == []


async def test_trades_are_those_of_rest_each_sent_once(
    simulator: Simulator, http: aiohttp.ClientSession, spot: Client, clock: Clock
) -> None:
    before = (await rest(http, "recent-trade", category="spot", symbol="BTCUSDT", limit=1))["list"][0]
    await spot.subscribe("publicTrade.BTCUSDT")
    sent: list[Any] = []
    for step in (3, 20, 40, 0.5):
        clock.now += step
        await simulator.publish()
        sent += [trade for message in await spot.news() for trade in message["data"]]
    listed = (await rest(http, "recent-trade", category="spot", symbol="BTCUSDT", limit=60))["list"]
    after = [trade["execId"] for trade in reversed(listed) if int(trade["execId"]) > int(before["execId"])]
    assert [trade["i"] for trade in sent] == after
    assert [trade["T"] for trade in sent] == sorted(trade["T"] for trade in sent)


async def test_after_a_long_silence_only_the_newest_thousand_trades_are_sent(
    simulator: Simulator, spot: Client, clock: Clock
) -> None:
    await spot.subscribe("publicTrade.BTCUSDT")
    clock.now += 86_400
    await simulator.publish()
    (message,) = await spot.news()
    assert len(message["data"]) == 1000


async def test_a_finished_candle_is_confirmed_before_the_next_begins(
    simulator: Simulator, http: aiohttp.ClientSession, spot: Client, clock: Clock
) -> None:
    await spot.subscribe("kline.1.XRPUSDT")
    (forming,) = [message["data"][0] for message in await spot.news()]
    clock.now += 60
    await simulator.publish()
    finished, following = [message["data"][0] for message in await spot.news()]
    assert [forming["confirm"], finished["confirm"], following["confirm"]] == [False, True, False]
    assert forming["start"] == finished["start"] == following["start"] - 60_000
    rows = (await rest(http, "kline", category="spot", symbol="XRPUSDT", interval="1", limit=2))["list"]
    for told, row in ((following, rows[0]), (finished, rows[1])):
        names = ("start", "open", "high", "low", "close", "volume", "turnover")
        assert [str(told[name]) for name in names] == row


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("tickers.NOPE", "Invalid symbol :[tickers.NOPE]"),
        ("moon.BTCUSDT", "error:handler not found,topic:moon.BTCUSDT"),
        ("orderbook.7.BTCUSDT", "error:handler not found,topic:orderbook.7.BTCUSDT"),
        ("kline.7.BTCUSDT", "error:handler not found,topic:kline.7.BTCUSDT"),
        ("", "Invalid symbol :[]"),
    ],
)
async def test_an_unknown_topic_is_refused(spot: Client, topic: str, words: str) -> None:
    reply = await spot.call("subscribe", topic)
    assert (reply["success"], reply["ret_msg"], reply["req_id"]) == (False, words, "r1")


async def test_words_it_does_not_understand_are_refused_and_do_no_harm(spot: Client) -> None:
    for text in ("", "[]", "{", "{}", '{"op": "dance", "args": 5}'):
        await spot.socket.send_str(text)
        assert (await spot.receive())["success"] is False
    await spot.socket.send_bytes(b"bytes")
    assert await spot.news() == []


async def test_an_unsubscribed_topic_is_silent(simulator: Simulator, spot: Client, clock: Clock) -> None:
    await spot.subscribe("tickers.BTCUSDT")
    await spot.news()
    assert (await spot.call("unsubscribe", "tickers.BTCUSDT"))["success"] is True
    clock.now += 60
    await simulator.publish()
    assert await spot.news() == []


async def test_the_supplier_runs_from_the_first_subscription_to_the_last(clock: Clock) -> None:
    def suppliers() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if task.get_name() == "simulator-stream"]

    async with Simulator(clock=clock, tick=0.001) as simulator, aiohttp.ClientSession(simulator.url) as http:
        async with http.ws_connect("/v5/public/spot") as socket:
            client = Client(socket)
            assert suppliers() == []
            await client.subscribe("tickers.BTCUSDT")
            await client.receive()
            (supplier,) = suppliers()
            clock.now += 60
            assert (await client.receive())["topic"] == "tickers.BTCUSDT"
        await asyncio.wait_for(supplier, 5)
        async with http.ws_connect("/v5/public/spot") as socket:
            await Client(socket).subscribe("tickers.BTCUSDT")
            assert len(suppliers()) == 1
    assert suppliers() == []


async def test_closing_the_simulator_ends_its_connections(clock: Clock) -> None:
    async with aiohttp.ClientSession() as http:
        simulator = Simulator(clock=clock)
        await simulator.start()
        socket = await http.ws_connect(f"{simulator.url}/v5/public/spot")
        await Client(socket).subscribe("tickers.BTCUSDT")
        await Client(socket).receive()
        receiving = asyncio.create_task(socket.receive())
        await simulator.close()
        assert (await receiving).type is aiohttp.WSMsgType.CLOSE


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on(
    simulator: Simulator, linear: Client, spot: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    await linear.subscribe(*(f"orderbook.{levels}.BTCUSDT" for levels in (200, 500, 1000)))
    await spot.subscribe("tickers.BTCUSDT")
    await spot.news()
    for _ in range(400):
        clock.now += 60
        await simulator.publish()
        assert [message["topic"] for message in await spot.news()] == ["tickers.BTCUSDT"]
        if not simulator.streams()["/v5/public/linear"].connections:
            break
    ends = {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR}
    while (await linear.socket.receive(timeout=5)).type not in ends:
        pass


async def test_a_restarted_simulator_supplies_again(clock: Clock) -> None:
    simulator = Simulator(clock=clock, tick=0.001)
    for _ in range(2):
        await simulator.start()
        async with aiohttp.ClientSession(simulator.url) as http, http.ws_connect("/v5/public/spot") as socket:
            client = Client(socket)
            await client.subscribe("tickers.BTCUSDT")
            await client.receive()
            clock.now += 60
            assert (await client.receive())["topic"] == "tickers.BTCUSDT"
            await simulator.close()


async def test_the_numbers_of_a_book_have_no_hole_and_are_the_same_for_all(
    simulator: Simulator, http: aiohttp.ClientSession, spot: Client, clock: Clock
) -> None:
    topic = "orderbook.50.BTCUSDT"
    await spot.subscribe(topic)
    for _ in range(5):
        clock.now += 1
        await simulator.publish()
    heard = [message["data"] for message in await spot.news()]
    assert [book["u"] for book in heard] == [heard[0]["u"] + i for i in range(6)]
    clock.now += 1
    async with http.ws_connect("/v5/public/spot") as socket:
        late = Client(socket)
        await late.subscribe(topic)
        (snapshot,) = await late.news()
        (delta,) = await spot.news()
        assert (snapshot["type"], delta["type"]) == ("snapshot", "delta")
        assert snapshot["data"]["u"] == delta["data"]["u"] == heard[-1]["u"] + 1
        clock.now += 1
        await simulator.publish()
        assert await late.news() == await spot.news()
    told = await rest(http, "orderbook", category="spot", symbol="BTCUSDT", limit=50)
    assert told["seq"] == told["u"] > delta["data"]["seq"]


async def test_who_subscribes_again_begins_with_a_snapshot_whose_number_goes_on(
    simulator: Simulator, http: aiohttp.ClientSession, spot: Client, clock: Clock
) -> None:
    topic = "orderbook.50.BTCUSDT"
    await spot.subscribe(topic)
    (before,) = await spot.news()
    reply = await spot.call("unsubscribe", topic)
    assert {**reply, "conn_id": ""} == {
        "success": True, "ret_msg": "", "conn_id": "", "req_id": "r1", "op": "unsubscribe",
    }  # fmt: skip
    clock.now += 60
    await simulator.publish()
    await spot.subscribe(topic)
    (after,) = await spot.news()
    told = await rest(http, "orderbook", category="spot", symbol="BTCUSDT", limit=50)
    assert (after["type"], after["data"]["u"]) == ("snapshot", before["data"]["u"] + 1)
    assert (after["data"]["b"], after["data"]["seq"]) == (told["b"], told["seq"])


async def test_each_subscriber_of_a_candle_gets_the_one_being_formed(spot: Client, http: aiohttp.ClientSession) -> None:
    await spot.subscribe("kline.1.BTCUSDT", "tickers.BTCUSDT")
    async with http.ws_connect("/v5/public/spot") as socket:
        late = Client(socket)
        await late.subscribe("kline.1.BTCUSDT", "tickers.BTCUSDT")
        assert await late.news() == await spot.news()


async def test_what_is_open_and_subscribed_is_counted(
    simulator: Simulator, http: aiohttp.ClientSession, spot: Client, wire: Wire
) -> None:
    async def told() -> Any:
        async with http.get("/_simulator/streams") as reply:
            return await reply.json()

    await wire.auth()
    await wire.call("subscribe", "order", "wallet")
    await spot.subscribe("tickers.BTCUSDT", "kline.1.BTCUSDT")
    async with http.ws_connect("/v5/public/spot") as socket:
        await Client(socket).subscribe("tickers.BTCUSDT")
        assert await told() == {
            "/v5/public/spot": {"connections": 2, "topics": {"kline.1.BTCUSDT": 1, "tickers.BTCUSDT": 2}},
            "/v5/public/linear": {"connections": 0, "topics": {}},
            "/v5/private": {"connections": 1, "topics": {"order": 1, "wallet": 1}},
        }
    await spot.news()
    await spot.call("unsubscribe", "tickers.BTCUSDT")
    while simulator.streams()["/v5/public/spot"].connections > 1:
        await told()
    assert simulator.streams()["/v5/public/spot"] == StreamCount(1, {"kline.1.BTCUSDT": 1})
    await spot.socket.close()
    await wire.socket.close()
    while any(count != StreamCount(0, {}) for count in simulator.streams().values()):
        await told()
