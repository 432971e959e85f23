"""Streams that nobody reads any more end, and leave nothing behind: here and at the exchange."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import VenueKey
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel, Topic
from desk.house import SPOT, SWAP, VENUE
from streams.rig import BOOK, MARKET, PRIVATE, PUBLIC, TRADES, Hurried, Rig, open_rig, until
from streams.test_account import ACCOUNT


@pytest.fixture
async def short(fast: Rig) -> Rig:
    """A hub that lingers for a moment only."""
    fast.hub._linger = 0.05
    return fast


def lives(rig: Rig) -> dict[VenueKey, Any]:
    return rig.house.gateway.pool._lives


async def test_the_last_reader_of_a_stream_ends_its_topic_and_the_last_stream_the_connection(short: Rig) -> None:
    book, trades = await short.watching(Channel.BOOK), await short.watching(Channel.TRADES)
    second = await short.watching(Channel.TRADES)
    await trades.leave()
    await second.more(5)
    await second.leave()
    await until(lambda: short.topics() == {BOOK: 1})
    assert short.connections() == 1
    await book.more(5)
    assert book.kinds == ["data"]
    await book.leave()
    await until(lambda: short.connections() == 0)
    assert lives(short) == {}
    assert short.hub.streams() == []


async def test_a_ticker_takes_its_book_along(short: Rig) -> None:
    ticker = await short.watching(Channel.TICKER)
    await until(lambda: BOOK in short.topics())
    await ticker.leave()
    await until(lambda: short.connections() == 0)
    assert short.hub.streams() == []


async def test_who_comes_while_it_lingers_gets_the_same_stream(short: Rig) -> None:
    short.hub._linger = 30.0
    first = await short.watching(Channel.BOOK)
    await first.leave()
    second = await short.watching(Channel.BOOK)
    assert second.stream is first.stream
    await second.more(5)
    assert short.simulator.requests.by_path[PUBLIC] == 1


@pytest.mark.parametrize("alone", [True, False])
async def test_who_comes_while_it_ends_gets_data_again(short: Rig, alone: bool) -> None:
    """Its subscription does not fall to the end of the one before."""
    other = None if alone else await short.watching(Channel.CANDLES)
    short.hub._linger = 0.0
    for _ in range(5):
        reader = await short.watching(Channel.BOOK)
        await reader.leave()
        await until(lambda: not [one for one in short.hub.streams() if one.key.channel is Channel.BOOK])
    reader = await short.watching(Channel.BOOK)
    await reader.more(3)
    assert reader.kinds == ["data"]
    if other is not None:
        assert other.kinds == ["data"]
        assert short.simulator.requests.by_path[PUBLIC] == 1


async def test_who_comes_and_goes_while_it_ends_does_not_disturb_who_comes_then(short: Rig) -> None:
    other = await short.watching(Channel.CANDLES)
    first = await short.watching(Channel.BOOK)
    short.hub._linger = 0.0
    short.simulator.faults.set(Fault("delay", path=f"{PUBLIC}/unsubscribe", seconds=0.3))
    await first.leave()
    await until(lambda: len(short.hub.streams()) == 1)
    second = await short.watch(Channel.BOOK)
    await second.leave()
    await until(lambda: len(short.hub.streams()) == 1)
    third = await short.watching(Channel.BOOK)
    await third.more(5)
    assert third.kinds == other.kinds == ["data"]


async def test_an_accounts_streams_end_too(rig: Rig) -> None:
    rig.hub._linger = 0.0
    readers = [await rig.watch(channel, None) for channel in ACCOUNT]
    await until(lambda: len(rig.topics(PRIVATE)) == len(ACCOUNT))
    orders, trades, balance, positions = readers
    for reader, topic in ((positions, "position"), (trades, "execution"), (orders, "order")):
        await reader.leave()
        await until(lambda topic=topic: topic not in rig.topics(PRIVATE))
        assert all(one.kinds in ([], ["data"]) for one in readers)
    assert set(rig.topics(PRIVATE)) == {"wallet"}
    await balance.leave()  # ccxt has no way to end this one but with the connection
    await until(lambda: rig.connections(PRIVATE) == 0)
    assert lives(rig) == {}


async def test_thousands_of_comings_and_goings_leave_nothing_behind(tmp_path: Path, quiet: None) -> None:
    simulator = Simulator(clock=Hurried(100), tick=0.02, ip_limit=None)
    async with simulator, open_rig(tmp_path, simulator, linger=0.0) as rig:
        steady = await rig.watching(Channel.TRADES)
        await (await rig.watching(Channel.TICKER, SWAP)).leave()  # a second connection of the same instance
        tasks = len(asyncio.all_tasks())
        for turn in range(2000):
            topic = Topic(VENUE, MARKET[turn % 4], (SPOT, "ETH/USDT", SWAP)[turn % 3])
            reader = await rig.hub.subscribe(topic)
            if turn % 20 == 0:
                await reader.next()
            elif turn % 3 == 0:
                await asyncio.sleep(0)
            reader.close()
        await until(lambda: len(rig.hub.streams()) == 1 and not rig.hub._ending, rig.hub.streams)
        await until(lambda: rig.topics() == {TRADES: 1}, rig.simulator.streams)
        await until(lambda: len(asyncio.all_tasks()) <= tasks, asyncio.all_tasks)
        await steady.more(5)
        assert steady.kinds == ["data"]
        live: Any = (await rig.house.gateway.pool.live(steady.stream.key.venue)).exchange
        futures = [name for client in live.clients.values() for name in client.futures]
        subscriptions = [name for client in live.clients.values() for name in client.subscriptions]
        assert len(futures) < 30
        assert len(subscriptions) < 30
        assert steady.stream.readers == 1
        await steady.leave()
        await until(lambda: not lives(rig) and not rig.connections())


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_closing_ends_all_readers_and_it_can_be_used_again(fast: Rig) -> None:
    for _ in range(2):
        readers = [await fast.watching(channel) for channel in MARKET]
        await fast.hub.close()
        for reader in readers:
            await reader.ended()
            assert reader.kinds == ["data"]
            assert reader.stream.state == "closed"
        await until(lambda: fast.connections() == 0)
        assert fast.hub.streams() == []
        assert lives(fast) == {}


@pytest.mark.parametrize("wait", [0, 1, 5, 20, 100])
async def test_closing_while_streams_open(rig: Rig, wait: int) -> None:
    for channel in (*MARKET, *ACCOUNT):
        await rig.watch(channel, SPOT if channel in MARKET else None)
    for _ in range(wait):
        await asyncio.sleep(0)
    await rig.hub.close()
    for reader in rig.readers:
        await reader.ended()
    await until(lambda: rig.connections() == rig.connections(PRIVATE) == 0, rig.simulator.streams)
    await (await rig.watching(Channel.BOOK)).more(1)


@pytest.mark.parametrize("fault", [
    Fault("close"), Fault("garbage"), Fault("silence"), Fault("503", path="/v5/public"),
    Fault("drop", path=f"{PUBLIC}/"), Fault("latency", path=PUBLIC, seconds=30.0),
    Fault("silence", path=f"{PUBLIC}/unsubscribe"),
], ids=lambda fault: f"{fault.kind} {fault.path}")  # fmt: skip
async def test_closing_in_the_middle_of_a_fault(fast: Rig, fault: Fault) -> None:
    for channel in MARKET:
        await fast.watching(channel)
    fast.simulator.faults.set(fault, Fault("close", path=f"{PUBLIC}/tickers", times=1))
    await asyncio.sleep(0.2)
    await fast.hub.close()
    for reader in fast.readers:
        await reader.ended()
    fast.simulator.faults.clear()
    await until(lambda: fast.connections() == 0)
    await (await fast.watching(Channel.BOOK)).more(1)


async def test_pumps_end_before_their_connections(fast: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each would take the end for a break, and begin anew."""
    readers = [await fast.watching(channel) for channel in MARKET]
    pumps = [entry.task for entry in fast.hub._entries.values()]
    close, seen = fast.house.gateway.pool.close_live, list[bool]()

    async def closing(key: VenueKey) -> None:
        seen.append(all(pump is not None and pump.done() for pump in pumps))
        await close(key)

    monkeypatch.setattr(fast.house.gateway.pool, "close_live", closing)
    await fast.hub.close()
    assert seen == [True]
    assert all(reader.gaps == [] for reader in readers)


async def test_nobody_can_come_while_it_closes(fast: Rig) -> None:
    await fast.watching(Channel.BOOK)
    closing = asyncio.create_task(fast.hub.close())
    await asyncio.sleep(0)
    with pytest.raises(Failure) as told:
        await fast.hub.subscribe(Topic(VENUE, Channel.TRADES, SPOT))
    assert told.value.code is Code.NETWORK
    await closing


async def test_a_simulator_that_goes_first_is_no_trouble(tmp_path: Path, quiet: None) -> None:
    simulator = Simulator(tick=0.02, ip_limit=None)
    await simulator.start()
    async with open_rig(tmp_path, simulator) as rig:
        for channel in (*MARKET, *ACCOUNT):
            await rig.watch(channel, SPOT if channel in MARKET else None)
        await until(lambda: rig.connections() and rig.connections(PRIVATE))
        await simulator.close()
