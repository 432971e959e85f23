"""Fills: what an account's stream tells of an order is not asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ccxt_mcp.simulator import Fault, Simulator
from conftest import in_own_task
from desk.house import PATIENCE, House, data, open_house

REALTIME, HISTORY = "/v5/order/realtime", "/v5/order/history"
ORDERS = "/v5/private/order"


def looked_up(simulator: Simulator) -> int:
    """Requests for orders so far."""
    return simulator.requests.by_path[REALTIME] + simulator.requests.by_path[HISTORY]


async def listening(house: House) -> None:
    """Place a first order, and wait until the stream of the account's orders is up."""
    data(await house.order(amount=0.001))
    async with asyncio.timeout(PATIENCE):
        while "order" not in house.simulator.streams()["/v5/private"].topics:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    await asyncio.sleep(1.0)  # it looks once, after it was subscribed to


async def test_a_fill_is_told_by_the_stream(house: House) -> None:
    await listening(house)
    before = looked_up(house.simulator)
    placed = data(await house.order(amount=0.002))
    assert (placed["status"], placed["filled"]) == ("closed", 0.002)
    assert placed["average"] > 0
    assert looked_up(house.simulator) == before


async def test_what_the_stream_tells_is_what_the_exchange_answers(house: House) -> None:
    await listening(house)
    placed = data(await house.order(amount=0.003))
    asked = data(await house.ask("trade_fetch_order", order_id=placed["id"]))
    told = {name: placed[name] for name in ("id", "clientOrderId", "status", "side", "amount", "filled", "average")}
    assert told == {name: asked[name] for name in told}


async def test_a_limit_order_that_takes_is_told_as_filled_and_a_resting_one_as_open(house: House) -> None:
    await listening(house)
    _, ask = await house.touch()
    taking = data(await house.order(amount=0.001, price=round(ask * 1.01, 1)))
    assert (taking["status"], taking["filled"]) == ("closed", 0.001)
    resting = await house.resting()
    assert (resting["status"], resting["filled"]) == ("open", 0)


async def test_an_order_that_the_stream_keeps_to_itself_is_asked_for(house: House) -> None:
    await listening(house)
    house.simulator.faults.set(Fault("silence", path=ORDERS))
    before = looked_up(house.simulator)
    placed = data(await house.order(amount=0.002))
    assert (placed["status"], placed["filled"]) == ("closed", 0.002)
    assert looked_up(house.simulator) > before


async def test_without_a_stream_orders_are_placed_as_ever(tmp_path: Path, simulator: Simulator) -> None:
    simulator.faults.set(Fault("503", path="/v5/private"))
    async with in_own_task(open_house(tmp_path, simulator)) as house:
        for _ in range(3):
            placed = data(await house.order(amount=0.001))
            assert (placed["status"], placed["filled"]) == ("closed", 0.001)
        assert len(await house.truth()) == 3


async def test_a_broken_stream_comes_back_and_tells_again(house: House) -> None:
    await listening(house)
    house.simulator.faults.set(Fault("close", path="/v5/private", times=1))
    assert data(await house.order(amount=0.001))["filled"] == 0.001
    await listening(house)
    before = looked_up(house.simulator)
    assert data(await house.order(amount=0.001))["filled"] == 0.001
    assert looked_up(house.simulator) == before


async def test_paper_accounts_open_no_stream(house: House) -> None:
    placed = data(await house.order(amount=0.001, account="paper"))
    assert placed["filled"] == 0.001
    assert house.simulator.streams()["/v5/private"].connections == 0


async def test_what_is_not_allowed_opens_no_stream(tmp_path: Path, simulator: Simulator) -> None:
    async with in_own_task(open_house(tmp_path, simulator, allow="account")) as house:
        await house.client.call_tool("trade_create_order", {"exchange": "venue"})
        await asyncio.sleep(0.1)
        assert simulator.streams()["/v5/private"].connections == 0
