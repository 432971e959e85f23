"""One stream, many readers: one subscription upstream, and nobody is in anybody's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import VenueKey
from ccxt_mcp.streams import Channel, Topic
from ccxt_mcp.streams.events import QUEUE, Event, Subscription
from ccxt_mcp.streams.stream import Stream, StreamKey
from desk.house import PATIENCE, SPOT, VENUE
from streams.rig import TRADES, Rig, until

KEY = VenueKey("nowhere", "live")
BROKEN = Failure(Code.NETWORK, "broken")


def stream(channel: Channel = Channel.TRADES, left: Any = lambda _: None) -> Stream:
    return Stream(StreamKey(KEY, channel, SPOT), left=left, now_ms=lambda: 7)


def trades(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": str(number), "price": 1.0, "amount": 1.0} for number in numbers]


def taken(reader: Subscription) -> list[Event]:
    events: list[Event] = []
    while (event := reader.take()) is not None:
        events.append(event)
    return events


async def test_a_thousand_readers_share_one_subscription_and_each_is_told_every_trade(fast: Rig) -> None:
    readers = [await fast.watch(Channel.TRADES) for _ in range(1000)]
    await readers[0].until(lambda one: len(one.rows) >= 100)
    assert fast.topics() == {TRADES: 1}
    assert len(fast.hub.streams()) == 1
    await fast.hub.close()
    for reader in readers:
        await reader.ended()
    told = [row["id"] for row in readers[0].rows]
    assert len(set(told)) == len(told) >= 100
    assert all([row["id"] for row in reader.rows] == told for reader in readers)


async def test_a_slow_reader_delays_nobody_and_gets_the_newest_ticker_and_book(fast: Rig) -> None:
    for channel in (Channel.TICKER, Channel.BOOK):
        slow = await fast.hub.subscribe(Topic(VENUE, channel, SPOT))
        quick = await fast.watching(channel)
        await quick.more(20)
        event = await slow.next()
        assert event is not None
        assert event.data in (quick.last, *(one.data for one in quick.data[-2:]))
        assert slow.take() is None
        slow.close()


def test_a_gap_is_never_conflated_away() -> None:
    source = stream(Channel.TICKER)
    reader = source.join()
    for last in (1, 2):
        source.data({"last": last}, "stream")
    source.broke(BROKEN)
    for last in (3, 4):
        source.data({"last": last}, "stream")
    source.silent()
    source.broke(BROKEN)
    source.data({"last": 5}, "stream")
    assert [(event.kind, event.data and event.data["last"], event.gen) for event in taken(reader)] == [
        ("data", 2, 1), ("gap", None, 1), ("data", 4, 2), ("stale", None, 2), ("gap", None, 2), ("data", 5, 3),
    ]  # fmt: skip


def test_what_does_not_fit_is_counted_first_and_the_rest_comes_in_order() -> None:
    source = stream()
    reader, other = source.join(), source.join()
    for number in range(QUEUE + 5):
        source.data(trades(2 * number, 2 * number + 1), "stream")
    gap, *rest = taken(reader)
    assert (gap.kind, gap.dropped, gap.breaks) == ("gap", 10, 0)
    assert [row["id"] for event in rest for row in event.data] == [str(number) for number in range(10, 2 * QUEUE + 10)]
    assert gap.seq < rest[0].seq
    assert [event.seq for event in rest] == sorted({event.seq for event in rest})
    assert len(taken(other)) == QUEUE + 1


def test_gaps_that_do_not_fit_are_told_as_gaps() -> None:
    source = stream()
    reader = source.join()
    source.data(trades(1), "stream")
    source.silent()
    source.broke(BROKEN)
    source.missed(3)
    for number in range(10, QUEUE + 10):
        source.data(trades(number), "stream")
    gap, *rest = taken(reader)
    assert (gap.kind, gap.dropped, gap.breaks) == ("gap", 4, source.counters.breaks)
    assert source.counters.breaks == 2
    assert len(rest) == QUEUE


async def test_giving_up_disturbs_nobody_and_loses_nothing(fast: Rig) -> None:
    steady = await fast.watch(Channel.TRADES)
    hasty = await fast.hub.subscribe(Topic(VENUE, Channel.TRADES, SPOT))
    told: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(told) < 100:
            waiting = asyncio.create_task(hasty.next())
            await asyncio.wait([waiting], timeout=0.001)
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled() and (event := waiting.result()) is not None:
                told += [row["id"] for row in event.data]
    await steady.until(lambda one: len(one.rows) >= len(told))
    assert told == [row["id"] for row in steady.rows][: len(told)]
    assert steady.kinds == ["data"]
    hasty.close()


async def test_an_update_in_the_moment_of_giving_up_is_not_lost() -> None:
    source = stream()
    reader = source.join()
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    source.data(trades(1), "stream")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    event = reader.take()
    assert event is not None
    assert event.data == trades(1)


async def test_a_reader_that_leaves_ends_and_the_others_go_on() -> None:
    gone: list[Stream] = []
    source = stream(left=gone.append)
    first, second = source.join(), source.join()
    waiting = asyncio.create_task(first.next())
    await asyncio.sleep(0)
    first.close()
    first.close()
    assert await waiting is None
    source.data(trades(1), "stream")
    assert [event.data for event in taken(second)] == [trades(1)]
    assert gone == []
    second.close()
    assert gone == [source]


async def test_the_end_of_a_stream_ends_its_readers_after_what_is_there() -> None:
    source = stream()
    reader = source.join()
    source.data(trades(1), "stream")
    source.failed(Failure(Code.PERMISSION_DENIED, "no"))
    assert [event.kind async for event in reader] == ["data", "error"]
    late = [event async for event in source.join()]
    assert [(event.kind, event.failure and event.failure.code) for event in late] == [("error", Code.PERMISSION_DENIED)]


def test_numbers_grow_and_each_gap_begins_a_generation_and_tells_when() -> None:
    source = stream()
    reader = source.join()
    source.broke(BROKEN)  # nothing was told yet, so that nothing is missing
    source.data(trades(1), "stream")
    source.broke(BROKEN)
    source.broke(BROKEN)
    source.data(trades(2), "rest", complete=True)
    source.missed(4)
    source.data(trades(3), "stream")
    events = taken(reader)
    assert [(event.kind, event.gen) for event in events] == [
        ("data", 1), ("gap", 1), ("data", 2), ("gap", 2), ("data", 3),
    ]  # fmt: skip
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert {event.at_ms for event in events} == {7}
    assert sum(event.breaks for event in events) == source.counters.breaks == 2


async def test_who_comes_later_begins_with_the_state_and_not_with_old_trades(rig: Rig) -> None:
    for channel in (Channel.TICKER, Channel.BOOK, Channel.CANDLES):
        first = await rig.watching(channel)
        late = await rig.hub.subscribe(Topic(VENUE, channel, SPOT))
        assert late.take() is not None, channel
        late.close()
        await first.leave()
    source = stream()
    source.data(trades(1), "stream")
    assert taken(source.join()) == []


@pytest.mark.parametrize("how", ["data", "up"])
def test_who_comes_during_a_break_is_told_the_whole_state_once_it_is_known_again(how: str) -> None:
    source = stream(Channel.ORDERS)
    early = source.join()
    orders = [{"id": name, "status": "open"} for name in "abc"]
    source.data(source.ledger.take(orders[:2]), "rest")
    source.broke(BROKEN)
    late = source.join()
    assert taken(late) == []
    if how == "data":
        source.data(source.ledger.take(orders), "rest")
    else:
        source.up("rest")
    whole = orders if how == "data" else orders[:2]
    assert [(event.data, event.gen) for event in taken(late)] == [(whole, 2)]
    assert [event.data for event in taken(early)] == [orders[:2], None, *([orders[2:]] if how == "data" else [])]


async def test_too_many_streams_are_refused(rig: Rig) -> None:
    rig.hub._limit = 1
    await rig.watching(Channel.BOOK)
    with pytest.raises(Failure) as told:
        await rig.watch(Channel.TRADES)
    assert told.value.code is Code.LIMIT_EXCEEDED
    await until(lambda: len(rig.hub.streams()) == 1)
