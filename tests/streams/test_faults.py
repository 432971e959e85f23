"""What goes wrong with an exchange's public streams, and that nobody is lied to about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel
from ccxt_mcp.streams.freeze import FREEZE
from desk.house import SPOT, SWAP
from streams.rig import (
    BOOK,
    MARKET,
    PUBLIC,
    TICKER,
    TRADES,
    Hurried,
    Reader,
    Rig,
    consistent,
    fetch,
    nudge,
    open_rig,
    sides,
    truth,
    until,
)

SPOT_BOOK, SPOT_TRADES = f"{PUBLIC}/{BOOK}", f"{PUBLIC}/{TRADES}"
TOPICS = {Channel.TICKER: TICKER, Channel.BOOK: BOOK, Channel.TRADES: TRADES, Channel.CANDLES: "kline.1.BTCUSDT"}


async def first(rig: Rig, channel: Channel, symbol: str = SPOT) -> Reader:
    """A reader that has had data."""
    reader = await rig.watch(channel, symbol)
    await nudge(rig, lambda: reader.data)
    return reader


async def strike(rig: Rig, reader: Reader, *faults: Fault) -> None:
    """Let faults strike, each once, and let there be news until data comes again."""
    rig.simulator.faults.set(*faults)
    await nudge(rig, lambda: not rig.simulator.faults.active and reader.kinds[-2:] == ["gap", "data"])
    consistent(reader)


async def equals_the_exchanges(rig: Rig, reader: Reader) -> None:
    await rig.tick()
    wanted = await truth(rig.simulator, reader.stream.key.symbol or "")
    await reader.until(lambda one: sides(one.last) == wanted)


@pytest.mark.parametrize("channel", MARKET)
@pytest.mark.parametrize("code", [1000, 1012, 4000])
async def test_a_closed_connection_is_a_gap_and_comes_back(still: Rig, channel: Channel, code: int) -> None:
    reader = await first(still, channel)
    await strike(still, reader, Fault("close", path=f"{PUBLIC}/{TOPICS[channel]}", times=1, code=code))
    assert [(gap.failure and gap.failure.code, gap.dropped) for gap in reader.gaps] == [(Code.NETWORK, 0)]
    assert (reader.stream.state, reader.stream.failure) == ("live", None)
    assert still.topics()[TOPICS[channel]] == 1


async def test_a_connection_that_ends_without_a_goodbye_is_a_gap(still: Rig) -> None:
    reader = await first(still, Channel.BOOK)
    await strike(still, reader, Fault("drop", path=f"{PUBLIC}/orderbook", times=1))
    await equals_the_exchanges(still, reader)


@pytest.mark.parametrize("channel", MARKET)
@pytest.mark.parametrize("shape", ["no JSON", "another shape"])
async def test_garbage_is_a_gap_and_never_data(still: Rig, channel: Channel, shape: str) -> None:
    reader = await first(still, channel)
    still.simulator.faults._garbage = int(shape == "another shape")
    await strike(still, reader, Fault("garbage", path=f"{PUBLIC}/{TOPICS[channel]}", times=1))
    assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.BAD_REPLY]
    if channel is Channel.BOOK:
        await equals_the_exchanges(still, reader)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_lost_increment_of_a_book_is_a_gap_and_then_the_true_book(still: Rig, symbol: str) -> None:
    reader = await first(still, Channel.BOOK, symbol)
    other = await first(still, Channel.TICKER, symbol)
    await strike(still, reader, Fault("skip", path=BOOK, times=1))
    assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.BAD_REPLY]
    await equals_the_exchanges(still, reader)
    assert other.gaps == []  # the connection is not to blame


async def test_increments_that_come_twice_are_no_gap(still: Rig) -> None:
    reader = await first(still, Channel.BOOK)
    still.simulator.faults.set(Fault("duplicate", path=SPOT_BOOK, times=3))
    await nudge(still, lambda: not still.simulator.faults.active)
    await equals_the_exchanges(still, reader)
    assert reader.kinds == ["data"]


async def test_trades_that_come_twice_are_told_once(still: Rig) -> None:
    reader = await first(still, Channel.TRADES)
    still.simulator.faults.set(Fault("duplicate", path=SPOT_TRADES))
    await nudge(still, lambda: len(reader.rows) > 60)
    ids = [row["id"] for row in reader.rows]
    assert len(set(ids)) == len(ids)
    assert reader.kinds == ["data"]


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.BOOK, Channel.TRADES])
async def test_silence_is_called_stale_and_subscribed_anew(tmp_path: Path, quiet: None, channel: Channel) -> None:
    simulator = Simulator(clock=Hurried(300), tick=0.02, ip_limit=None)
    async with simulator, open_rig(tmp_path, simulator, patience=0.01) as rig:
        reader = await rig.watching(channel)
        others = [await rig.watching(Channel.CANDLES), await rig.watching(channel, "ETH/USDT")]
        simulator.faults.set(Fault("silence", path=f"{PUBLIC}/{TOPICS[channel]}"))
        await reader.until(lambda one: one.stream.state == "stale" and one.stream.counters.stale == 1)
        assert not reader.stream.fresh
        await until(lambda: rig.topics().get(TOPICS[channel]) is None)
        simulator.faults.clear()
        await reader.until(lambda one: one.kinds == ["data", "stale", "gap", "data"])
        assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.TIMEOUT]
        consistent(reader)
        assert [other.kinds for other in others] == [["data"], ["data"]]
        assert rig.simulator.requests.by_path[PUBLIC] == 1


async def test_refused_handshakes_end_by_themselves(still: Rig) -> None:
    reader = await first(still, Channel.BOOK)
    still.simulator.faults.set(Fault("503", path=PUBLIC), Fault("close", path=SPOT_BOOK, times=1))
    await nudge(still, lambda: still.simulator.requests.by_path[PUBLIC] >= 4)
    assert reader.kinds == ["data", "gap"]
    assert reader.stream.state == "broken"
    still.simulator.faults.clear()
    await nudge(still, lambda: reader.kinds == ["data", "gap", "data"])
    await equals_the_exchanges(still, reader)
    consistent(reader)


async def test_a_stream_that_was_refused_from_the_beginning_comes_up(still: Rig) -> None:
    still.simulator.faults.set(Fault("503", path=PUBLIC, times=3))
    reader = await still.watch(Channel.BOOK)
    assert reader.stream.state == "opening"
    await equals_the_exchanges(still, await reader.until(lambda one: one.data))
    assert reader.kinds == ["data"]
    assert reader.data[0].gen == 1


async def test_a_slow_handshake_is_waited_for(still: Rig) -> None:
    still.simulator.faults.set(Fault("latency", path=PUBLIC, times=1, seconds=1.0))
    reader = await still.watching(Channel.BOOK)
    assert still.simulator.requests.by_path[PUBLIC] == 1
    assert reader.kinds == ["data"]


async def test_an_exchange_that_was_killed_and_started_again_is_found_again(still: Rig) -> None:
    readers = [await first(still, channel) for channel in MARKET]
    port = int(still.simulator.url.rsplit(":", 1)[1])
    await still.simulator.close()
    for reader in readers:
        await reader.until(lambda one: one.kinds[-1] == "gap")
    await still.simulator.start(port)
    await nudge(still, lambda: all(reader.kinds == ["data", "gap", "data"] for reader in readers))
    await equals_the_exchanges(still, readers[1])
    for reader in readers:
        consistent(reader)


async def test_trades_lost_in_a_short_break_are_asked_for(still: Rig) -> None:
    reader = await first(still, Channel.TRADES)
    still.simulator.faults.set(Fault("close", path=SPOT_TRADES, times=1))
    await nudge(still, lambda: reader.gaps)
    await still.tick(5)  # while there is no connection
    await nudge(still, lambda: any(event.origin == "rest" for event in reader.data))
    (asked,) = [event for event in reader.data if event.origin == "rest"]
    assert asked.complete is True
    assert reader.stream.counters.filled == len(asked.data)
    consistent(reader)
    await whole(still, reader)


async def whole(rig: Rig, reader: Reader) -> None:
    """Wait until a reader has each trade since its first one, each once."""
    newest = [row["execId"] for row in (await fetch(rig.simulator, "recent-trade", SPOT, limit=60))["list"]]
    await reader.until(lambda one: one.rows[-1]["id"] == newest[0] or newest[0] in [row["id"] for row in one.rows])
    ids = [row["id"] for row in reader.rows]
    assert len(set(ids)) == len(ids)
    since = newest.index(ids[0]) if ids[0] in newest else len(newest)
    assert set(newest[: since + 1]) <= set(ids)


async def test_a_hole_in_trades_that_is_too_large_is_a_gap_and_no_more(still: Rig) -> None:
    reader = await first(still, Channel.TRADES)
    still.simulator.faults.set(Fault("close", path=SPOT_TRADES, times=1))
    await nudge(still, lambda: reader.gaps)
    await still.tick(3600)  # a request brings no more than the last sixty of its trades
    await nudge(still, lambda: reader.kinds == ["data", "gap", "data"])
    asked = still.simulator.requests.by_path
    await until(lambda: asked["/v5/market/recent-trade"])
    await nudge(still, lambda: len(reader.data) > 5)
    assert {event.origin for event in reader.data} == {"stream"}
    ids = [row["id"] for row in reader.rows]
    assert len(set(ids)) == len(ids)
    consistent(reader)


class Fake:
    """What ccxt has, as far as a book and a ticker are frozen from it."""

    def __init__(self) -> None:
        self.tickers: dict[str, Any] = {}
        self.positions: Any = None


async def test_a_crossed_book_is_never_served(still: Rig) -> None:
    reader = await first(still, Channel.BOOK)
    kept: Any = (await still.house.gateway.pool.live(reader.stream.key.venue)).exchange.orderbooks[SPOT]
    kept["bids"].storeArray([1e9, 1.0])
    await nudge(still, lambda: reader.kinds == ["data", "gap", "data"])
    assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.BAD_REPLY]
    assert all(event.data["bids"][0][0] < event.data["asks"][0][0] for event in reader.data)
    await equals_the_exchanges(still, reader)
    consistent(reader)


@pytest.mark.parametrize(("bid", "ask"), [(101.0, 100.0), (100.0, 100.0), (0.0, 100.0), (None, None)])
def test_a_book_that_cannot_be_true_is_a_failure(bid: float | None, ask: float | None) -> None:
    book = {"bids": [] if bid is None else [[bid, 1.0]], "asks": [] if ask is None else [[ask, 1.0]]}
    live: Any = Live.__new__(Live)
    with pytest.raises(Failure) as told:
        FREEZE[Channel.BOOK](live, book, SPOT)
    assert told.value.code is Code.BAD_REPLY


def test_what_is_frozen_is_a_copy_of_the_newest_state() -> None:
    fake = Fake()
    live: Any = Live.__new__(Live)
    live.exchange = fake
    book: dict[str, Any] = {"bids": [[1.0, 2.0, 9.0]], "asks": [[3.0, 4.0]], "timestamp": 5}
    frozen = FREEZE[Channel.BOOK](live, book, SPOT)
    book["bids"][0][1] = 7.0
    assert frozen["bids"] == [[1.0, 2.0]]
    old, new = ({"symbol": SPOT, "last": last, "info": {"raw": 1}} for last in (1.0, 2.0))
    fake.tickers[SPOT] = new
    assert FREEZE[Channel.TICKER](live, old, SPOT) == {"symbol": SPOT, "last": 2.0}
    rows = [{"symbol": SWAP, "side": "long", "contracts": 1.0}]
    for kept in (None, rows, {"linear": rows}):
        fake.positions = kept
        assert FREEZE[Channel.POSITIONS](live, rows, None) == rows
