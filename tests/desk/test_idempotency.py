"""One client order id is one order, however often it is asked for, by whom, and after what."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import Fault, Simulator
from desk.house import CREATE, House, data, error, open_house, order, until

ID = "mine-1"


async def test_the_same_call_again_returns_what_was_recorded(era_house: House) -> None:
    first = data(await era_house.order(client_order_id=ID))
    again = data(await era_house.order(client_order_id=ID))
    assert (again["id"], again["clientOrderId"], again["filled"]) == (first["id"], ID, 0.01)
    assert ("recorded" in first, again["recorded"]) == (False, True)
    assert len(await era_house.truth()) == 1
    assert "repeated" not in await era_house.events()


@pytest.mark.parametrize(
    "other", [{"amount": 0.02}, {"side": "sell"}, {"symbol": "ETH/USDT"}, {"price": 50_000}, {"unit": "base"}]
)
async def test_the_same_id_for_another_order_is_refused(house: House, other: dict[str, Any]) -> None:
    data(await house.order(client_order_id=ID))
    refused = error(await house.ask("trade_create_order", **{**order(client_order_id=ID), **other}))
    assert (refused["code"], refused["reason"]) == ("TAPS005", "client_order_id_used")
    assert len(await house.truth()) == 1


async def test_numbers_written_otherwise_are_the_same_order(house: House) -> None:
    data(await house.order(client_order_id=ID, amount="0.010"))
    assert data(await house.order(client_order_id=ID, amount=0.01))["recorded"]
    assert data(await house.order(client_order_id=ID, amount="0.01", symbol="btc/usdt"))["recorded"]
    assert len(await house.truth()) == 1


async def test_an_id_is_remembered_over_a_restart(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator) as house:
        first = data(await house.order(client_order_id=ID))
    async with open_house(tmp_path, simulator) as house:
        again = data(await house.order(client_order_id=ID))
        assert (again["id"], again["recorded"]) == (first["id"], True)
        assert error(await house.order(client_order_id=ID, amount=0.02))["reason"] == "client_order_id_used"
        assert len(await house.truth()) == 1


async def test_ten_calls_at_once_place_one_order(house: House) -> None:
    answers = await asyncio.gather(*(house.order(client_order_id=ID) for _ in range(10)))
    assert len(await house.truth()) == 1
    assert sum(answer["success"] and "recorded" not in answer["data"] for answer in answers) == 1
    others = {answer["error"]["reason"] for answer in answers if not answer["success"]}
    assert others <= {"outcome_unknown"}


async def test_an_id_whose_outcome_is_unknown_is_not_sent_again(hasty: House) -> None:
    hasty.simulator.faults.set(Fault("execute_then_hang", path=CREATE, times=1))
    assert error(await hasty.order(client_order_id=ID))["reason"] == "outcome_unknown"
    hasty.simulator.requests.reset()
    again = await hasty.order(client_order_id=ID)
    assert again["success"] or error(again)["reason"] == "outcome_unknown"
    assert error(await hasty.order(client_order_id=ID, amount=0.02))["reason"] == "client_order_id_used"

    async def known() -> bool:
        return (await hasty.order(client_order_id=ID))["success"]

    await until(known)
    assert hasty.simulator.requests.by_path.get(CREATE, 0) == 0
    assert len(await hasty.truth()) == 1


async def test_a_recorded_order_is_told_even_where_it_could_not_be_placed_any_more(house: House) -> None:
    _, ask = await house.touch()
    asked: dict[str, Any] = {"client_order_id": ID, "trigger_price": round(ask * 1.1, 1)}
    first = data(await house.order(**asked))
    house.simulator.faults.set(Fault("drop", path="/v5/market"))  # nobody knows on which side the trigger is now
    assert data(await house.order(**asked))["id"] == first["id"]


@pytest.mark.parametrize("wanted", ["an id with spaces", "x" * 50, "order/1", "ümläut"])
async def test_an_id_that_the_exchange_does_not_take_is_mapped_and_the_callers_is_told(
    house: House, wanted: str
) -> None:
    placed = data(await house.order(client_order_id=wanted))
    assert placed["clientOrderId"] == wanted
    (truth,) = await house.truth()
    assert truth["orderLinkId"] != wanted
    again = data(await house.order(client_order_id=wanted))
    assert (again["id"], again["clientOrderId"], again["recorded"]) == (placed["id"], wanted, True)
    found = data(await house.ask("trade_fetch_order", client_order_id=wanted))
    assert (found["id"], found["clientOrderId"]) == (placed["id"], wanted)
    assert len(await house.truth()) == 1


async def test_a_mapped_id_is_told_too_when_the_order_was_found_by_searching(house: House) -> None:
    house.simulator.faults.set(Fault("lose_reply", path=CREATE, times=1))
    placed = data(await house.order(client_order_id="an id with spaces"))
    assert placed["clientOrderId"] == "an id with spaces"
    assert (placed["filled"], placed["effective"]["amount"]) == (0.01, "0.01")


async def test_the_same_id_on_another_account_is_another_order(house: House) -> None:
    first = data(await house.order(client_order_id=ID))
    paper = await house.order(client_order_id=ID, account="paper")
    assert data(paper)["id"] != first["id"]
    assert paper["metadata"]["mode"] == "paper"
    assert data(await house.order(client_order_id=ID, account="paper"))["recorded"]
    assert len(await house.truth()) == 1


async def test_an_order_that_was_refused_is_not_placed_under_its_id_later(house: House) -> None:
    refused = error(await house.order("sell", symbol="SOL/USDT", amount=300, client_order_id=ID))
    assert refused["reason"] == "insufficient_balance"
    again = error(await house.order("sell", symbol="SOL/USDT", amount=300, client_order_id=ID))
    assert again["code"] == "TAPS005"
    assert f"Order {ID} was not placed" in again["message"]
    assert again["details"]["cause"] == "insufficient_balance"
    assert await house.truth() == []


async def test_orders_without_an_id_are_different_orders(house: House) -> None:
    first, second = data(await house.order()), data(await house.order())
    assert first["id"] != second["id"]
    assert first["clientOrderId"] != second["clientOrderId"]
