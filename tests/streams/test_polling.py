"""Where an exchange sends nothing by itself it is asked, at a polite rate, and that is said."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ccxt_mcp.call import Call
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel, Topic
from ccxt_mcp.streams.channels import CHANNELS, Row
from ccxt_mcp.streams.ledgers import Rest
from ccxt_mcp.streams.poll import Poll
from ccxt_mcp.streams.stream import Stream
from desk.house import SPOT, VENUE
from streams.rig import (
    MARKET,
    PRIVATE,
    PUBLIC,
    Hurried,
    Reader,
    Rig,
    consistent,
    fetch,
    of_order,
    open_rig,
    sides,
    truth,
    until,
)
from streams.test_account import ACCOUNT


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask every moment, instead of every few seconds."""
    for channel, row in CHANNELS.items():
        monkeypatch.setitem(cast(dict[Channel, Row], CHANNELS), channel, replace(row, every=0.05))


@pytest.fixture
async def mute(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """An exchange that ccxt can ask, and not watch."""
    monkeypatch.setattr(Live, "offers", lambda _self, _method: False)
    yield rig
    assert rig.connections(PUBLIC) == rig.connections(PRIVATE) == 0


def is_polled(reader: Reader) -> None:
    assert reader.stream.origin == "poll"
    assert {event.origin for event in reader.data} == {"poll"}
    assert reader.stream.note is not None
    assert re.match(r"asked every 0\.\d+ s", reader.stream.note)
    assert not reader.stream.fresh


@pytest.mark.parametrize("channel", [channel for channel in MARKET if channel is not Channel.TRADES])
async def test_a_market_is_asked_for(mute: Rig, channel: Channel) -> None:
    reader = await mute.watching(channel)
    await reader.more(2)
    is_polled(reader)
    assert reader.kinds == ["data"]
    assert mute.hub.live(reader.stream.key.venue, CHANNELS[channel].poll, {"symbol": SPOT}) is None


async def test_trades_are_told_once_from_the_first_request_on(
    tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "offers", lambda _self, _method: False)
    simulator = Simulator(clock=Hurried(30), ip_limit=None)
    async with simulator, open_rig(tmp_path, simulator) as rig:
        reader = await rig.watch(Channel.TRADES)
        await until(lambda: reader.stream.state == "live")
        before = [row["execId"] for row in (await fetch(simulator, "recent-trade", SPOT, limit=60))["list"]]
        await reader.until(lambda one: len(one.rows) > 20)
        is_polled(reader)
    ids = [row["id"] for row in reader.rows]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(before[5:])
    assert ids == sorted(ids, key=int)
    assert reader.kinds == ["data"]


async def test_more_trades_than_one_request_tells_are_behind_a_gap(fast: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Live, "offers", lambda _self, _method: False)
    monkeypatch.setitem(
        cast(dict[Channel, Row], CHANNELS), Channel.TRADES, replace(CHANNELS[Channel.TRADES], every=1.0)
    )
    reader = await fast.watch(Channel.TRADES)  # 60 of about 130 trades
    await reader.until(lambda one: one.kinds == ["gap", "data"])
    assert reader.data[0].complete is False
    assert reader.gaps[0].failure is not None


async def test_candles_are_whole_over_the_minutes(fast: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Live, "offers", lambda _self, _method: False)
    reader = await fast.watch(Channel.CANDLES)
    await reader.until(lambda one: len({row[0] for row in one.rows}) > 6)
    assert reader.kinds == ["data"]
    assert all(len(event.data) <= 3 for event in reader.data)
    times = sorted({row[0] for row in reader.rows})
    assert times == list(range(times[0], times[-1] + 60_000, 60_000))
    assert all(later != earlier for earlier, later in zip(reader.rows, reader.rows[1:], strict=False))


async def test_an_account_is_asked_for(mute: Rig) -> None:
    resting = await mute.order(price=round((await mute.ask("fetchTicker")).data["last"] * 0.9, 1))
    readers = orders, trades, balance, positions = [await mute.watch(channel, None) for channel in ACCOUNT]
    await until(lambda: all(reader.stream.state == "live" for reader in readers))
    name = await mute.order(amount=0.01)
    await orders.until(of_order(name, "closed"))
    await orders.until(of_order(resting, "open"))
    await trades.until(lambda one: [row for row in one.rows if row["order"] == name])
    await balance.until(lambda one: one.last["total"]["BTC"] > 2)
    await positions.until(lambda one: one.last == [])
    await mute.send("cancelOrder", id=resting)
    await orders.until(of_order(resting, "open", "canceled"))
    for reader in readers:
        is_polled(reader)
        assert reader.kinds == ["data"]
    ids = [row["id"] for row in trades.rows]
    assert len(set(ids)) == len(ids)


async def test_a_paper_account_is_asked_for(rig: Rig) -> None:
    readers = orders, trades, balance, _ = [await rig.watch(channel, None, account="paper") for channel in ACCOUNT]
    await until(lambda: all(reader.stream.state == "live" for reader in readers))
    given = {"type": "market", "side": "buy", "amount": 0.01, "price": None, "params": {}}
    call = Call("createOrder", VENUE, symbol=SPOT, arguments=given, account="paper")
    name = (await rig.house.gateway.send(call)).value["id"]
    await orders.until(of_order(name, "closed"))
    await trades.until(lambda one: [row for row in one.rows if row["order"] == name])
    await balance.until(lambda one: one.last["total"].get("BTC"))
    for reader in readers:
        is_polled(reader)
        assert reader.kinds == ["data"]
    assert rig.connections(PRIVATE) == 0


@pytest.mark.parametrize(("channel", "path"), [
    (Channel.BOOK, "/v5/market/orderbook"), (Channel.TICKER, "/v5/market/tickers"),
])  # fmt: skip
async def test_requests_that_fail_are_a_gap_and_nothing_old_is_told(mute: Rig, channel: Channel, path: str) -> None:
    reader = await mute.watching(channel)
    mute.simulator.faults.set(Fault("500", path=path))
    await reader.until(lambda one: one.kinds == ["data", "gap"])
    asked = mute.simulator.requests.by_path
    await until(lambda before=asked[path]: asked[path] > before + 2)
    assert reader.kinds == ["data", "gap"]
    assert reader.stream.state == "broken"
    mute.simulator.faults.clear()
    await reader.until(lambda one: one.kinds == ["data", "gap", "data"])
    consistent(reader)


async def test_what_is_not_allowed_is_refused_at_once(tmp_path: Path, simulator: Simulator) -> None:
    async with open_rig(tmp_path, simulator, settings={"allow": "public"}) as rig:
        with pytest.raises(Failure) as told:
            await rig.hub.subscribe(Topic(VENUE, Channel.BALANCE))
        assert told.value.code is Code.TIER_NOT_ALLOWED


async def test_a_refusal_that_asking_again_does_not_change_ends_the_stream(
    mute: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await mute.watching(Channel.BALANCE, None)

    async def ask(_rest: Rest) -> Any:
        raise Failure(Code.PERMISSION_DENIED, "no more")

    monkeypatch.setattr(Rest, "ask", ask)
    await reader.ended()
    assert reader.kinds == ["data", "error"]
    assert reader.stream.state == "failed"
    assert mute.hub.streams() == []


async def test_a_book_that_is_asked_for_is_the_exchanges(still: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Live, "offers", lambda _self, _method: False)
    reader = await still.watching(Channel.BOOK)
    still.clock.now += 10  # type: ignore[union-attr] - a still rig has a clock
    wanted = await truth(still.simulator)
    await reader.until(lambda one: all(sides(one.last)[side] == wanted[side][: len(one.last[side])] for side in wanted))
    assert reader.stream.counters.updates == len(reader.data) == 2


def test_an_exchange_without_streams_says_so() -> None:
    with pytest.raises(Failure) as told:
        exchange_class("bitbank", "pro")
    assert told.value.code is Code.METHOD_NOT_SUPPORTED


async def test_an_exchange_whose_class_has_no_streams_is_asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def live(_key: Any) -> Any:
        raise Failure(Code.METHOD_NOT_SUPPORTED, "no streams")

    monkeypatch.setattr(rig.house.gateway.pool, "live", live)
    is_polled(await rig.watching(Channel.TICKER))


@pytest.mark.parametrize(
    ("cost", "rate_limit", "neighbours", "every"),
    [(1.0, 100.0, 1, 2.0), (1.0, 1000.0, 1, 5.0), (5.0, 100.0, 2, 5.0), (5.0, 100.0, 40, 100.0), (0.0, 100.0, 9, 2.0)],
)
def test_all_polling_together_takes_a_fifth_of_the_budget(
    cost: float, rate_limit: float, neighbours: int, every: float
) -> None:
    stream: Any = SimpleNamespace(row=SimpleNamespace(every=2.0))
    venue: Any = SimpleNamespace(exchange=SimpleNamespace(rateLimit=rate_limit))
    poll = Poll(cast(Stream, stream), venue, cast(Any, None), neighbours=lambda: neighbours, jitter=lambda: 0.5)
    poll._cost = cost
    assert poll.every == pytest.approx(every)
    if cost:
        assert neighbours * cost * rate_limit / 1000 / poll.every <= 0.2
