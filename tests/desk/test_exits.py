"""Ways out: a cancel goes through an open breaker, a halt, a full queue and a journal that is gone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.journal import Journal
from ccxt_mcp.simulator import API_KEY, API_SECRET, Fault, Simulator
from desk.house import CANCEL, CREATE, SPOT, SWAP, VENUE, House, data, error, open_house, order, rows, until
from simulator.clients import bybit


async def open_breaker(house: House) -> None:
    """Let the exchange fail until nobody asks it any more."""
    house.simulator.faults.set(Fault("drop", path="/v5/market"))
    for limit in range(1, 20):
        if error(await house.ask("market_trades", symbol="ETH/USDT", limit=limit))["reason"] == "circuit_open":
            break
    house.simulator.faults.clear()
    assert error(await house.ask("market_trades", symbol=SPOT))["reason"] == "circuit_open"


async def test_a_cancel_goes_through_an_open_breaker(era_house: House) -> None:
    placed = await era_house.resting()
    await open_breaker(era_house)
    data(await era_house.ask("trade_cancel_order", order_id=placed["id"]))
    assert (await era_house.truth())[0]["orderStatus"] == "Cancelled"


async def test_all_are_cancelled_through_an_open_breaker_although_none_can_be_listed(house: House) -> None:
    await house.resting()
    await open_breaker(house)
    told = data(await house.ask("trade_cancel_all"))
    assert told["unlisted"]["reason"] == "circuit_open"
    assert "stillOpen" not in told or told["stillOpen"] is None
    assert (await house.truth())[0]["orderStatus"] == "Cancelled"
    assert await house.unknown() == []


async def test_a_new_order_does_not_go_through_an_open_breaker(house: House) -> None:
    await house.resting()
    await open_breaker(house)
    house.simulator.requests.reset()
    error(await house.order())
    assert house.simulator.requests.by_path.get(CREATE, 0) == 0


async def test_a_cancel_needs_no_journal_and_an_order_does(house: House) -> None:
    placed = await house.resting()
    break_journal(house.settings.data_dir)
    refused = error(await house.order())
    assert (refused["code"], refused["reason"]) == ("TAPS999", "journal_unavailable")
    assert len(await house.truth()) == 1
    gone = data(await house.ask("trade_cancel_order", order_id=placed["id"], symbol=SPOT))
    assert gone["status"] == "canceled"


async def test_all_are_cancelled_without_a_journal(house: House) -> None:
    for symbol in (SPOT, SWAP):
        await house.resting(symbol=symbol)
    break_journal(house.settings.data_dir)
    told = data(await house.ask("trade_cancel_all"))
    assert (told["stillOpen"], {row["status"] for row in rows(told["orders"])}) == (0, {"canceled"})


async def test_a_journal_that_somebody_holds_delays_a_cancel_by_little_and_is_written_later(house: House) -> None:
    placed = await house.resting()
    holder = sqlite3.connect(house.settings.data_dir / "journal.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        gone = data(await house.ask("trade_cancel_order", order_id=placed["id"]))
        assert gone["status"] == "canceled"
    finally:
        holder.execute("ROLLBACK")
        holder.close()

    async def recorded() -> bool:
        return [(one.kind, one.state) for one in await house.intents()][1:] == [("cancel", "accepted")]

    await until(recorded)


async def test_a_journal_that_cannot_be_opened_stops_orders_and_no_cancels(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with open_house(tmp_path, simulator) as house:
        placed = await house.resting()
    break_journal(house.settings.data_dir)
    async with open_house(tmp_path, simulator) as house:
        asked = {"order_id": placed["id"], "symbol": SPOT}
        assert data(await house.ask("trade_cancel_order", **asked))["status"] == "canceled"
        assert error(await house.order())["reason"] == "journal_unavailable"
        assert len(await house.truth()) == 1


def break_journal(folder: Path) -> None:
    """Make the journal's files ones that are none."""
    for file in folder.glob("journal.sqlite3*"):
        file.write_bytes(b"this is no database" * 1000)


async def test_a_cancel_is_sent_before_the_reads_that_wait(tmp_path: Path, simulator: Simulator) -> None:
    slow = {VENUE: {"simulator": simulator.url, "rate_limit": 50}}  # 100 units in five seconds
    async with open_house(tmp_path, simulator, deadline=8.0, exchanges=slow) as house:
        placed = data(await house.order(price=50_000))
        reads = [asyncio.create_task(house.ask("market_trades", symbol=SPOT, limit=limit)) for limit in range(1, 40)]
        while not simulator.requests.by_path.get("/v5/market/recent-trade"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        data(await house.ask("trade_cancel_order", order_id=placed["id"], symbol=SPOT))
        assert simulator.requests.by_path[CANCEL] == 1
        assert not all(read.done() for read in reads)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


async def test_all_are_cancelled_in_every_kind_of_market_and_each_is_told(house: House) -> None:
    _, ask = await house.touch()
    placed = [await house.resting(symbol=symbol) for symbol in (SPOT, SWAP, "ETH/USDT")]
    placed += [data(await house.order(symbol=symbol, trigger_price=round(ask * 1.1, 1))) for symbol in (SPOT, SWAP)]
    told = data(await house.ask("trade_cancel_all"))
    assert told["stillOpen"] == 0
    reported = {row["id"]: row for row in rows(told["orders"])}
    assert set(reported) == {one["id"] for one in placed}
    for one in placed:
        row = reported[one["id"]]
        assert (row["status"], row["error"], row["clientOrderId"]) == ("canceled", None, one["clientOrderId"])
    assert {one["orderStatus"] for one in await house.truth()} <= {"Cancelled", "Deactivated"}


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_what_protects_an_order_is_cancelled_like_any_other(house: House, symbol: str) -> None:
    bid, ask = await house.touch(symbol)
    protection: dict[str, Any] = {"take_profit": round(ask * 1.1, 1), "stop_loss": round(bid * 0.9, 1)}
    data(await house.ask("trade_create_order", **order(symbol=symbol, price=round(ask * 1.01, 1), **protection)))
    first, second = rows(data(await house.ask("trade_fetch_orders"))["orders"])
    assert data(await house.ask("trade_cancel_order", order_id=first["id"]))["status"] == "canceled"
    left = data(await house.ask("trade_cancel_all"))
    assert (left["stillOpen"], [row["id"] for row in rows(left["orders"])]) == (0, [second["id"]])


async def test_only_the_orders_of_a_symbol_are_cancelled_if_it_is_named(house: House) -> None:
    kept = await house.resting(symbol=SWAP)
    gone = await house.resting(symbol=SPOT)
    told = data(await house.ask("trade_cancel_all", symbol=SPOT))
    assert [row["id"] for row in rows(told["orders"])] == [gone["id"]]
    assert [row["id"] for row in rows(data(await house.ask("trade_fetch_orders"))["orders"])] == [kept["id"]]


async def test_with_nothing_open_nothing_is_sent(house: House) -> None:
    data(await house.ask("exchange_init"))
    house.simulator.requests.reset()
    assert data(await house.ask("trade_cancel_all"))["orders"]["rows"] == []
    assert not [path for path in house.simulator.requests.by_path if "cancel" in path]


async def test_more_orders_than_a_page_holds_are_all_cancelled_and_told(house: House) -> None:
    bid, _ = await house.touch()
    async with bybit(house.simulator, apiKey=API_KEY, secret=API_SECRET) as trader:
        await trader.load_markets()
        price = round(bid * 0.9, 1)
        ids = {(await trader.create_order(SPOT, "limit", "buy", 0.001, price))["id"] for _ in range(60)}
    listed = data(await house.ask("trade_fetch_orders", limit=100))["orders"]
    assert (listed["total"], {row["id"] for row in rows(listed)}) == (60, ids)
    told = data(await house.ask("trade_cancel_all"))
    assert told["stillOpen"] == 0
    assert {row["id"] for row in rows(told["orders"])} == ids
    assert {row["status"] for row in rows(told["orders"])} == {"canceled"}
    ended = data(await house.ask("trade_fetch_orders", status="closed", limit=100))["orders"]
    assert (ended["total"], "There may be more" in ended["note"]) == (50, True)
    assert "note" not in listed


async def test_an_order_from_elsewhere_is_cancelled_by_its_id_alone(house: House) -> None:
    _, ask = await house.touch()
    async with bybit(house.simulator, apiKey=API_KEY, secret=API_SECRET) as trader:
        await trader.load_markets()
        plain = await trader.create_order(SWAP, "limit", "buy", 0.01, round(ask * 0.9, 1))
        waiting = await trader.create_order(
            SPOT, "market", "buy", 0.01, None, {"triggerPrice": round(ask * 1.1, 1), "clientOrderId": "elsewhere"}
        )
    assert data(await house.ask("trade_cancel_order", order_id=plain["id"]))["status"] == "canceled"
    gone = data(await house.ask("trade_cancel_order", client_order_id="elsewhere"))
    assert (gone["id"], gone["status"]) == (waiting["id"], "canceled")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ({}, "TAPS005", "order_id and client_order_id are both missing"),
        ({"order_id": "no-such-order", "symbol": SPOT}, "TAPS009", ""),
        ({"client_order_id": "no-such-order"}, "TAPS009", "No open or ended order has this client_order_id"),
        ({"client_order_id": "no-such-order", "symbol": SPOT}, "TAPS009", ""),
    ],
)
async def test_an_order_that_is_not_there_cannot_be_cancelled(
    house: House, arguments: dict[str, Any], code: str, says: str
) -> None:
    refused = error(await house.ask("trade_cancel_order", **arguments))
    assert (refused["code"], says in refused["message"]) == (code, True)


async def test_cancelling_twice_does_no_more_than_once(house: House) -> None:
    placed = await house.resting()
    for _ in range(2):
        assert data(await house.ask("trade_cancel_order", order_id=placed["id"]))["status"] == "canceled"
    filled = data(await house.order())
    told = data(await house.ask("trade_cancel_order", order_id=filled["id"]))
    assert (told["status"], told["filled"]) == ("closed", 0.01)


async def test_cancels_are_in_the_audit(house: House) -> None:
    placed = await house.resting()
    data(await house.ask("trade_cancel_order", order_id=placed["id"]))
    async with Journal(house.settings.data_dir / "journal.sqlite3") as journal:
        page = await journal.read(limit=10)
        cancels = [row for row in page.rows if row.tool == "trade_cancel_order"]
        assert [row.event for row in cancels] == ["outcome", "reserved"]
        assert cancels[1].facts["request"]["orderId"] == placed["id"]
        assert (await journal.verify()).first_bad is None
