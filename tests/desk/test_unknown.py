"""Unresolved orders: what may happen meanwhile, and how they are found out, whoever has left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.journal import Journal, NewIntent
from ccxt_mcp.simulator import Fault, Simulator
from desk.house import AMEND, CANCEL, CREATE, SPOT, SWAP, VENUE, House, data, error, open_house, rows, until

ID = "mine-1"


async def test_what_never_left_was_never_placed(tmp_path: Path) -> None:
    simulator = Simulator(ip_limit=None, key_limit=None)
    await simulator.start()
    async with open_house(tmp_path, simulator) as house:
        data(await house.order(amount=0.001))
        data(await house.ask("market_ticker", symbol=SPOT))
        await simulator.close()
        refused = error(await house.order(client_order_id=ID))
        assert (refused["code"], refused["reason"]) == ("TAPS008", "network")
        assert (await house.intents())[-1].state == "rejected"
        assert await house.unknown() == []


async def test_ways_out_stay_open_while_an_order_is_unresolved(hasty: House) -> None:
    house = hasty
    data(await house.order(symbol=SWAP, amount=0.02))
    resting = await house.resting()
    house.simulator.faults.set(Fault("hang", path=CREATE, times=1))
    error(await house.order(client_order_id=ID))
    (unknown,) = await house.unknown()
    assert (unknown["clientOrderId"], unknown["state"], unknown["kind"]) == (ID, "unknown", "create")
    told = data(await house.order(dry_run=True))
    assert told["refusal"]["reason"] == "unresolved_order"
    assert data(await house.ask("trade_cancel_order", order_id=resting["id"]))["status"] == "canceled"
    assert data(await house.order("sell", symbol=SWAP, amount=0.02, reduce_only=True))["filled"] == 0.02
    assert error(await house.order(symbol=SWAP, amount=0.02))["reason"] == "unresolved_order"


async def test_a_caller_who_leaves_does_not_lose_the_order(house: House) -> None:
    data(await house.order(amount=0.001))
    house.simulator.requests.reset()
    house.simulator.faults.set(Fault("latency", path=CREATE, seconds=0.5))
    calling = asyncio.create_task(house.order(client_order_id=ID))
    while not house.simulator.requests.by_path.get(CREATE):  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    async def settled() -> bool:
        return (await house.intents())[-1].state == "accepted"

    await until(settled)
    (placed,) = [one for one in await house.truth() if one["orderLinkId"] == ID]
    assert placed["orderStatus"] == "Filled"
    assert data(await house.order(client_order_id=ID))["recorded"]


def abandoned(link: str, **request: Any) -> NewIntent:
    return NewIntent(
        exchange=VENUE, account=VENUE, mode="simulated", kind="create", client_order_id=link, sent_id=link,
        fingerprint=link, request={"symbol": SPOT, "side": "buy", "amount": "0.01", **request}, notional_usd=None,
        raises_risk=True, who="a process that is gone", tool="trade_create_order",
    )  # fmt: skip


async def test_what_a_dead_process_left_is_found_out_at_the_next_start(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, deadline=1.0) as house:
        placed = data(await house.order(client_order_id="placed"))
        file = house.settings.data_dir / "journal.sqlite3"
    file.unlink()
    async with Journal(file) as journal:
        for link in ("placed", "never-sent"):
            await journal.reserve(abandoned(link), check=lambda _: None, working_for=60)
    async with open_house(tmp_path, simulator, deadline=1.0) as house:
        await until(house.resolved)
        first, second = await house.intents()
        assert (first.client_order_id, first.state, first.order_id) == ("placed", "accepted", placed["id"])
        assert (second.client_order_id, second.state) == ("never-sent", "rejected")
        assert "orphaned" in await house.events()
        assert len(await house.truth()) == 1


async def test_a_modification_whose_answer_is_lost_is_compared_with_the_order(house: House) -> None:
    placed = await house.resting()
    house.simulator.faults.set(Fault("lose_reply", path=AMEND, times=1))
    changed = data(await house.ask("trade_modify_order", order_id=placed["id"], amount=0.02))
    assert (changed["id"], changed["amount"]) == (placed["id"], 0.02)
    assert (await house.intents())[-1].state == "accepted"


async def test_a_modification_of_a_trigger_that_never_arrived_is_not_taken_for_done(hasty: House) -> None:
    house = hasty
    _, ask = await house.touch()
    placed = data(await house.order(trigger_price=round(ask * 1.05, 1), price=round(ask * 1.06, 1)))
    house.simulator.faults.set(Fault("drop", path=AMEND, times=1))
    asked: dict[str, Any] = {"order_id": placed["id"], "trigger_price": round(ask * 1.04, 1)}
    refused = error(await house.ask("trade_modify_order", **asked))
    assert (refused["code"], refused["reason"]) == ("TAPS101", "outcome_unknown")
    assert f"Whether order {placed['id']} was changed" in refused["message"]
    await until(house.resolved)
    intent = (await house.intents())[-1]
    assert (intent.kind, intent.state) == ("modify", "rejected")
    assert data(await house.ask("trade_modify_order", **asked))["triggerPrice"] == round(ask * 1.04, 1)


async def test_a_cancel_whose_answer_is_lost_is_sent_again(house: House) -> None:
    placed = await house.resting()
    house.simulator.faults.set(Fault("lose_reply", path=CANCEL, times=1))
    assert data(await house.ask("trade_cancel_order", order_id=placed["id"]))["status"] == "canceled"
    assert house.simulator.requests.by_path[CANCEL] == 2


async def test_a_cancel_that_cannot_be_sent_may_be_repeated(house: House) -> None:
    placed = await house.resting()
    house.simulator.faults.set(Fault("drop", path=CANCEL))
    refused = error(await house.ask("trade_cancel_order", order_id=placed["id"]))
    assert (refused["code"], refused["reason"]) == ("TAPS101", "outcome_unknown")
    assert "repeated" in refused["hint"]
    house.simulator.faults.clear()
    assert data(await house.ask("trade_cancel_order", order_id=placed["id"]))["status"] == "canceled"
    await until(house.resolved)
    assert {intent.state for intent in await house.intents()} == {"accepted"}


async def test_a_search_goes_on_after_the_deadline_of_the_call_that_began_it(hasty: House) -> None:
    house = hasty
    house.simulator.faults.set(Fault("execute_then_hang", path=CREATE, times=1))
    assert error(await house.order(client_order_id=ID))["reason"] == "outcome_unknown"

    async def found() -> bool:
        return (await house.ask("trade_fetch_order", client_order_id=ID, symbol=SPOT))["success"]

    await until(found)
    await until(house.resolved)
    listed = rows(data(await house.ask("system_audit", None, client_order_id=ID))["audit"])
    assert [row["event"] for row in listed][:2] == ["resolved", "outcome"]
