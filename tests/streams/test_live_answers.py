"""What a live stream knows answers calls: at no cost, with its true age, and only while it is fresh."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel
from desk.house import SPOT, SWAP, VENUE
from simulator.clocks import Clock
from streams.rig import BOOK, PUBLIC, TICKER, Reader, Rig, nudge, open_rig, sides, until

TICKERS, BOOKS = "/v5/market/tickers", "/v5/market/orderbook"


class Seconds:
    """A clock of a hub's that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds(still: Rig) -> Seconds:
    still.hub._clock = seconds = Seconds()
    return seconds


async def first(rig: Rig, channel: Channel, symbol: str = SPOT) -> Reader:
    """A reader that has had data; of a ticker, once the book is there too that it needs."""
    reader = await rig.watch(channel, symbol)
    await nudge(rig, lambda: reader.data and all(stream.fresh for stream in rig.hub.streams()))
    await rig.tick()
    await nudge(rig, lambda: all(stream.fresh for stream in rig.hub.streams()))
    await asyncio.sleep(0.05)  # for what is on its way
    return reader


def limit(channel: Channel) -> dict[str, int]:
    return {"limit": 50} if channel is Channel.BOOK else {}


def asked(rig: Rig, path: str) -> int:
    return rig.simulator.requests.by_path[path]


async def test_a_ticker_comes_from_the_stream_with_its_age(still: Rig, seconds: Seconds) -> None:
    reader = await first(still, Channel.TICKER)
    before = dict(still.simulator.requests.by_path)
    seconds.now += 1.5
    answer = await still.ask("fetchTicker")
    assert (answer.metadata.cached, answer.metadata.age_ms, answer.metadata.stale) == (True, 1500, False)
    assert {**answer.data, **touch({})} == {**reader.last, **touch({})}
    seconds.now += 3.4
    assert (await still.ask("fetchTicker")).metadata.age_ms == 4900
    assert dict(still.simulator.requests.by_path) == before


def touch(book: Any) -> dict[str, Any]:
    (bid, size), (ask, amount) = (book[side][0] for side in ("bids", "asks")) if book else ((None, None), (None, None))
    return {"bid": bid, "bidVolume": size, "ask": ask, "askVolume": amount}


async def test_bid_and_ask_that_a_ticker_lacks_are_those_of_the_book_of_this_moment(still: Rig) -> None:
    """Bybit's spot tickers have none, but what a request brings has."""
    reader = await first(still, Channel.TICKER)
    assert still.topics() == {TICKER: 1, BOOK: 1}
    await first(still, Channel.BOOK)
    answer = await still.ask("fetchTicker")
    assert answer.metadata.cached
    newest = (await still.ask("fetchOrderBook", limit=100)).data
    assert answer.data == {**answer.data, **touch(newest)}
    assert answer.data.keys() == reader.last.keys()


async def test_a_ticker_that_has_bid_and_ask_needs_no_book(still: Rig) -> None:
    await first(still, Channel.TICKER, SWAP)
    assert still.topics("/v5/public/linear") == {TICKER: 1}
    before = asked(still, TICKERS)
    assert (await still.ask("fetchTicker", SWAP)).data["bid"]
    assert asked(still, TICKERS) == before


async def test_a_ticker_whose_book_is_down_is_asked_for(still: Rig) -> None:
    await first(still, Channel.TICKER)
    book = next(one for one in still.hub.streams() if one.key.channel is Channel.BOOK)
    still.simulator.faults.set(Fault("skip", path=BOOK, times=1))
    await nudge(still, lambda: book.state == "broken")
    still.simulator.faults.set(Fault("silence", path=BOOK))
    before = asked(still, TICKERS)
    assert not (await still.ask("fetchTicker")).metadata.cached
    assert asked(still, TICKERS) == before + 1


async def test_a_book_comes_from_the_stream_as_deep_as_it_is(still: Rig, seconds: Seconds) -> None:
    reader = await first(still, Channel.BOOK)
    seconds.now += 0.25
    before = asked(still, BOOKS)
    for limit in (1, 50, 100):
        answer = await still.ask("fetchOrderBook", limit=limit)
        assert (answer.metadata.cached, answer.metadata.age_ms) == (True, 250)
        assert sides(answer.data) == sides(reader.last)
    assert asked(still, BOOKS) == before
    for count, limit in enumerate((101, 200, None), 1):
        answer = await still.ask("fetchOrderBook", limit=limit)
        assert not answer.metadata.cached
        assert asked(still, BOOKS) == before + count


@pytest.mark.parametrize(("channel", "method", "path"), [
    (Channel.TICKER, "fetchTicker", TICKERS), (Channel.BOOK, "fetchOrderBook", BOOKS),
])  # fmt: skip
async def test_what_is_older_than_five_seconds_is_asked_for(
    still: Rig, seconds: Seconds, channel: Channel, method: str, path: str
) -> None:
    await first(still, channel)
    before = asked(still, path)
    seconds.now += 5.1
    answer = await still.ask(method, SPOT, **limit(channel))
    assert (asked(still, path), answer.metadata.age_ms) == (before + 1, 0)


@pytest.mark.parametrize(("channel", "method", "path"), [
    (Channel.TICKER, "fetchTicker", TICKERS), (Channel.BOOK, "fetchOrderBook", BOOKS),
])  # fmt: skip
async def test_a_stream_that_is_down_answers_nothing(still: Rig, channel: Channel, method: str, path: str) -> None:
    reader = await first(still, channel)
    still.simulator.faults.set(Fault("close", path=f"{PUBLIC}/", times=1), Fault("503", path=PUBLIC))
    await nudge(still, lambda: reader.stream.state == "broken")
    before = asked(still, path)
    assert (await still.ask(method, SPOT, **limit(channel))).success
    assert asked(still, path) == before + 1
    still.simulator.faults.clear()
    await nudge(still, lambda: reader.kinds[-2:] == ["gap", "data"] and all(one.fresh for one in still.hub.streams()))
    before = asked(still, path)
    assert (await still.ask(method, SPOT, **limit(channel))).metadata.cached
    assert asked(still, path) == before


async def test_only_calls_of_the_same_exchange_and_environment_are_answered(tmp_path: Path, quiet: None) -> None:
    clock = Clock()
    async with Simulator(clock=clock, tick=3600, ip_limit=None) as running:
        more: dict[str, Any] = {"exchanges": {"other": {"simulator": running.url, "rate_limit": 0.5}}}
        async with open_rig(tmp_path, running, clock, settings=more) as rig:
            await first(rig, Channel.TICKER)
            answers: dict[str, bool] = {}
            for exchange, account in ((VENUE, None), (VENUE, "paper"), (VENUE, VENUE), ("other", None)):
                call = Call("fetchTicker", exchange, symbol=SPOT, account=account)
                before = asked(rig, TICKERS)
                answer: Envelope = await rig.house.gateway.call(call)
                answers[f"{exchange} {account}"] = answer.success and asked(rig, TICKERS) == before
            assert answers == {"venue None": True, "venue paper": True, "venue venue": True, "other None": False}


async def test_other_methods_and_markets_are_asked_for(still: Rig) -> None:
    for channel in (Channel.TICKER, Channel.BOOK):
        await first(still, channel)
    for method, symbol in (("fetchTicker", "ETH/USDT"), ("fetchTrades", SPOT), ("fetchOrderBook", SWAP)):
        before = sum(still.simulator.requests.by_path.values())
        assert (await still.ask(method, symbol, limit=50)).success
        assert sum(still.simulator.requests.by_path.values()) == before + 1


async def test_all_who_ask_between_two_updates_share_what_was_made_of_the_first(still: Rig) -> None:
    await first(still, Channel.TICKER)
    first_kept = (await still.ask("fetchTicker")).kept
    assert first_kept is not None
    assert (await still.ask("fetchTicker")).kept is first_kept
    reader = still.readers[0]
    await nudge(still, lambda: len(reader.data) > 4)
    await until(lambda: reader.stream.fresh)
    assert (await still.ask("fetchTicker")).kept is not first_kept
