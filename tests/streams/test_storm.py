"""Storms: many faults in a row, after which nothing is lost that nobody was told of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel
from ccxt_mcp.streams.channels import CHANNELS, Row
from desk.house import SPOT, SWAP
from streams.rig import MARKET, PRIVATE, PUBLIC, Hurried, Reader, Rig, consistent, fetch, open_rig, sides, truth, until

LINEAR = "/v5/public/linear"
KINDS: tuple[Any, ...] = ("close", "close", "drop", "silence", "garbage", "garbage", "duplicate", "skip")
CODES = (1000, 1001, 1006 + 6, 4000)


@pytest.fixture(autouse=True)
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after streams every moment, instead of every minute."""
    monkeypatch.setattr("ccxt_mcp.streams.pump._LATE", 0.15)
    for channel, row in CHANNELS.items():
        if row.audit:
            monkeypatch.setitem(cast(dict[Channel, Row], CHANNELS), channel, replace(row, audit=0.3))


def faults(draw: Random, paths: list[str]) -> list[Fault]:
    """Some faults of messages, and now and then refused handshakes."""
    found = [
        Fault(
            draw.choice(KINDS), path=draw.choice(paths), probability=draw.choice((0.1, 0.5, 1.0)),
            times=draw.choice((1, 2, None)), code=draw.choice(CODES),
        )
        for _ in range(draw.randint(1, 3))
    ]  # fmt: skip
    if draw.random() < 0.3:
        found.append(Fault("503", path=draw.choice(paths).rpartition("/")[0]))
    return found


async def storm(rig: Rig, seed: int, seconds: float, paths: list[str]) -> None:
    draw = Random(seed)
    loop = asyncio.get_running_loop()
    until_then = loop.time() + seconds
    while loop.time() < until_then:
        rig.simulator.faults.set(*faults(draw, paths))
        await asyncio.sleep(draw.uniform(0.05, 0.4))
        rig.simulator.faults.clear()
        await asyncio.sleep(draw.uniform(0.0, 0.3))


def made(simulator: Simulator, symbol: str, since: int) -> dict[str, int]:
    """The trades that a simulator has made since then: when, by their ids."""
    category: Any = "linear" if symbol == SWAP else "spot"
    venue: Any = simulator._stream._world.venue(category, "BTCUSDT")
    return {str(trade.id): trade.time for trade in venue.tape.since(since, simulator._now(), 10**6)}


def all_told(simulator: Simulator, reader: Reader) -> None:
    """See that each trade was told once, or is behind one of the gaps that were told."""
    ids = [row["id"] for row in reader.rows]
    assert len(set(ids)) == len(ids)
    wanted = made(simulator, reader.stream.key.symbol or "", reader.rows[0]["timestamp"])
    assert len(wanted) > 50
    for missing in wanted.keys() - set(ids):
        assert any(before <= wanted[missing] <= after for before, after in holes(reader)), (missing, reader.kinds)


def holes(reader: Reader) -> list[tuple[int, int]]:
    """The times around each gap, as far as the stream itself has told."""
    found: list[tuple[int, int]] = []
    for at, event in enumerate(reader.events):
        if event.kind == "gap":
            told = [
                [row["timestamp"] for one in part if one.origin == "stream" and one.kind == "data" for row in one.data]
                for part in (reader.events[:at], reader.events[at:])
            ]
            found.append((max(told[0], default=0), min(told[1], default=10**15)))
    return found


@pytest.mark.parametrize("seed", [3])
async def test_after_a_storm_all_is_as_if_it_had_not_been(tmp_path: Path, quiet: None, seed: int) -> None:
    clock = Hurried(20)
    simulator = Simulator(clock=clock, tick=0.02, ip_limit=None, key_limit=None)
    async with simulator, open_rig(tmp_path, simulator, patience=0.02) as rig:
        wanted = [(channel, symbol) for channel in MARKET for symbol in (SPOT, SWAP)]
        readers = [await rig.watch(channel, symbol) for channel, symbol in 3 * wanted]
        for reader in readers:
            await reader.until(lambda one: one.data)
        topics = [f"{path}/{topic}" for path in (PUBLIC, LINEAR) for topic in simulator.streams()[path].topics]
        await storm(rig, seed, 8.0, topics)
        for reader in readers:
            await reader.more(2)
        await until(lambda: all(reader.stream.state == "live" for reader in readers))
        await settled(rig, readers)
        clock.stop()
        await simulator.publish()
        for reader in readers:
            if reader.stream.key.channel is Channel.BOOK:
                book = await truth(simulator, reader.stream.key.symbol or "")
                await reader.until(lambda one, book=book: sides(one.last) == book)
        for reader in readers:
            consistent(reader)
            if reader.stream.key.channel is Channel.TRADES:
                await newest(simulator, reader)
                all_told(simulator, reader)
        assert sum(reader.breaks for reader in readers) > 3 * 10


async def settled(rig: Rig, readers: list[Reader]) -> None:
    """Wait until streams were looked after twice since the storm."""
    asked = rig.simulator.requests.by_path
    before = asked["/v5/market/recent-trade"]
    trades = {reader.stream.key for reader in readers if reader.stream.key.channel is Channel.TRADES}
    await until(lambda: asked["/v5/market/recent-trade"] >= before + 3 * len(trades))


async def newest(simulator: Simulator, reader: Reader) -> None:
    row = (await fetch(simulator, "recent-trade", reader.stream.key.symbol or "", limit=1))["list"][0]
    await reader.until(lambda one: any(row["execId"] == told["id"] for told in one.rows[-500:]))


@pytest.mark.parametrize("seed", [5])
async def test_after_a_storm_an_account_knows_of_all_its_orders(rig: Rig, seed: int) -> None:
    orders, trades, balance = [
        await rig.watch(channel, None) for channel in (Channel.ORDERS, Channel.OWN_TRADES, Channel.BALANCE)
    ]
    await until(lambda: len(rig.topics(PRIVATE)) == 3)
    paths = [f"{PRIVATE}/{topic}" for topic in ("order", "execution", "wallet")]
    raging = asyncio.create_task(storm(rig, seed, 4.0, paths))
    placed: list[str] = []
    while not raging.done():
        placed.append(await rig.order(amount=0.001))
        await asyncio.sleep(0.1)
    for name in placed:
        await orders.until(lambda one, name=name: [row for row in one.rows if row["id"] == name])
        await trades.until(lambda one, name=name: [row for row in one.rows if row["order"] == name])
    await balance.until(lambda one: one.last["total"]["BTC"] == pytest.approx(2 + 0.000999 * len(placed)))
    await until(lambda: all(reader.stream.state == "live" for reader in (orders, trades, balance)))
    assert sorted(row["id"] for row in orders.rows if row["status"] == "closed") == sorted(placed)
    ids = [row["id"] for row in trades.rows]
    assert len(set(ids)) == len(ids)
    assert sum(row["amount"] for row in trades.rows) == pytest.approx(0.001 * len(placed))
    for reader in (orders, trades, balance):
        consistent(reader)
    assert orders.breaks
