"""What an exchange or ccxt refuses: for now, for good, or to others only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest
from ccxt.base.errors import BadSymbol, ExchangeError, NotSupported, PermissionDenied

from ccxt_mcp.errors import Code
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel
from desk.house import SPOT, SWAP
from streams.rig import BOOK, PRIVATE, PUBLIC, Hurried, Reader, Rig, consistent, nudge, of_order, open_rig, until


async def instance(rig: Rig, reader: Reader) -> Any:
    """The ccxt instance that a reader's stream comes from."""
    return (await rig.house.gateway.pool.live(reader.stream.key.venue)).exchange


async def test_an_error_of_a_stream_that_worked_is_a_gap_and_no_reason_to_ask_instead(fast: Rig) -> None:
    reader = await fast.watching(Channel.BOOK)
    client = next(iter((await instance(fast, reader)).clients.values()))
    client.reject(ExchangeError("bybit something odd"), f"orderbook:{SPOT}")
    await reader.until(lambda one: one.kinds == ["data", "gap", "data"])
    assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.EXCHANGE_ERROR]
    assert reader.stream.origin == "stream"
    consistent(reader)


async def test_what_is_not_permitted_any_more_ends_the_stream(fast: Rig) -> None:
    reader, other = await fast.watching(Channel.BOOK), await fast.watching(Channel.TRADES)
    client = next(iter((await instance(fast, reader)).clients.values()))
    client.reject(PermissionDenied("bybit no"), f"orderbook:{SPOT}")
    await reader.ended()
    assert reader.kinds == ["data", "gap", "error"]
    assert reader.events[-1].failure is not None
    assert reader.events[-1].failure.code is Code.PERMISSION_DENIED
    await other.more(5)
    assert other.kinds == ["data"]
    again = await fast.watching(Channel.BOOK)
    assert again.stream is not reader.stream


@pytest.mark.parametrize("error", [NotSupported("no"), ExchangeError("bybit no such topic")])
async def test_a_stream_that_is_refused_from_the_beginning_is_asked_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refuse(_self: Any, _symbol: str, _params: Any = None) -> Any:
        raise error

    monkeypatch.setattr(ccxt.pro.bybit, "watch_ticker", refuse)
    reader = await rig.watching(Channel.TICKER)
    assert reader.stream.origin == "poll"
    assert reader.kinds == ["data"]
    assert reader.data[0].origin == "poll"


async def test_a_symbol_that_the_stream_does_not_know_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_self: Any, _symbol: str, _params: Any = None) -> Any:
        raise BadSymbol("no")

    monkeypatch.setattr(ccxt.pro.bybit, "watch_ticker", refuse)
    reader = await rig.watch(Channel.TICKER)
    await reader.ended()
    assert [event.failure and event.failure.code for event in reader.events] == [Code.UNKNOWN_SYMBOL]


async def test_the_end_of_one_of_two_streams_of_a_kind_leaves_the_other_alone(rig: Rig) -> None:
    """They share what the exchange sends, so that it must go on."""
    rig.hub._linger = 0.0
    every, some = await rig.watch(Channel.ORDERS, None), await rig.watch(Channel.ORDERS, SWAP)
    await until(lambda: rig.topics(PRIVATE) == {"order": 1})
    await every.leave()
    await until(lambda: len(rig.hub.streams()) == 1 and not rig.hub._ending)
    name = await rig.order(amount=0.01, symbol=SWAP)
    await some.until(of_order(name, "closed"))
    assert some.kinds == ["data"]
    assert some.data[0].origin == "stream"


async def test_a_connection_that_is_being_made_is_closed_too(rig: Rig) -> None:
    rig.simulator.faults.set(Fault("latency", path=PUBLIC, times=1, seconds=0.2))
    await rig.watch(Channel.TRADES)
    await until(lambda: rig.simulator.requests.by_path[PUBLIC])
    await rig.hub.close()
    await rig.house.gateway.pool.close()
    rig.simulator.faults.clear()
    reader = await rig.watching(Channel.BOOK)
    await reader.more(10)
    assert rig.connections() == 1


async def test_a_connection_that_we_close_ourselves_is_a_gap_to_all_who_share_it(fast: Rig) -> None:
    """As where a book is wrong, and the exchange has no way to end its subscription alone."""
    readers = [await fast.watching(channel) for channel in (Channel.BOOK, Channel.TRADES)]
    await (await fast.house.gateway.pool.live(readers[0].stream.key.venue)).reconnect()
    for reader in readers:
        await reader.until(lambda one: one.kinds == ["data", "gap", "data"])
        consistent(reader)
    assert fast.connections() == 1


async def test_what_may_pass_ends_a_stream_that_worked_after_some_tries_only(still: Rig) -> None:
    reader = await still.watch(Channel.BOOK)
    await nudge(still, lambda: reader.data)
    blocked = Fault("403", path=PUBLIC)
    still.simulator.faults.set(Fault("close", path=f"{PUBLIC}/", times=1), replace(blocked, times=2))
    await nudge(still, lambda: not still.simulator.faults.active and reader.kinds == ["data", "gap", "data"])
    still.simulator.faults.set(Fault("close", path=f"{PUBLIC}/", times=1), blocked)
    await nudge(still, lambda: reader.kinds[-1] == "error")
    assert reader.events[-1].failure is not None
    assert reader.events[-1].failure.code is Code.ACCESS_BLOCKED
    await reader.ended()


async def test_a_silent_stream_that_cannot_be_subscribed_to_anew_has_its_connection_made_anew_now_and_then(
    tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = Live.offers
    monkeypatch.setattr(Live, "offers", lambda live, method: "unWatch" not in method and offers(live, method))
    simulator = Simulator(clock=Hurried(300), tick=0.02, ip_limit=None)
    async with simulator, open_rig(tmp_path, simulator, patience=0.01) as rig:
        reader = await rig.watching(Channel.BOOK)
        simulator.faults.set(Fault("silence", path=f"{PUBLIC}/{BOOK}"))
        await until(lambda: simulator.requests.by_path[PUBLIC] == 2)
        assert reader.stream.counters.stale == 1
        simulator.faults.clear()
        await reader.until(lambda one: one.kinds[-2:] == ["gap", "data"])
        assert simulator.requests.by_path[PUBLIC] <= 4
        consistent(reader)
