"""Orders of exchanges that cannot change any: one is cancelled and another placed, after that was said and asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from ccxt_mcp.exchanges import quirks
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.simulator.faults import FaultKind
from conftest import in_own_task
from desk.house import CANCEL, CREATE, SPOT, House, data, error, open_house, rows
from desk.people import Person


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
async def unchanging(
    tmp_path: Path, simulator: Simulator, era: str, person: Person, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house on an exchange that changes no orders."""
    monkeypatch.setitem(cast("dict[str, Any]", quirks.CLAIMS_IN_VAIN), "bybit", frozenset({"editOrder"}))
    async with in_own_task(open_house(tmp_path, simulator, era, asked=person)) as opened:
        yield opened


async def modified(house: House, placed: dict[str, Any], **change: Any) -> dict[str, Any]:
    return await house.ask("trade_modify_order", order_id=placed["id"], **change)


async def test_a_change_is_asked_about_and_then_a_new_order_stands_there(unchanging: House, person: Person) -> None:
    placed = await unchanging.resting()
    price = round(placed["price"] * 0.99, 1)
    changed = data(await modified(unchanging, placed, price=price, amount=0.02))
    assert changed["id"] != placed["id"]
    assert (changed["status"], changed["price"], changed["amount"]) == ("open", price, 0.02)
    (asked,) = person.asked
    assert asked.startswith("The exchange cannot change orders: cancel this one and place a new one?")
    assert asked.endswith(f"venue, account venue (simulated money): order {placed['id']}, amount 0.02, price {price}.")
    old, new = await unchanging.truth()
    assert (old["orderStatus"], new["orderStatus"]) == ("Cancelled", "New")
    assert [intent.kind for intent in await unchanging.intents()] == ["create", "create", "cancel"]


async def test_a_dry_run_says_that_the_order_would_be_replaced(unchanging: House, person: Person) -> None:
    placed = await unchanging.resting()
    told = data(await modified(unchanging, placed, amount=0.02, dry_run=True))
    assert (told["id"], told["replaces"], told["needsConfirmation"]) == (placed["id"], True, True)
    assert person.asked == []
    assert len(await unchanging.truth()) == 1


async def test_without_a_yes_the_old_order_stays(unchanging: House, person: Person) -> None:
    placed = await unchanging.resting()
    person.action = "decline"
    assert error(await modified(unchanging, placed, amount=0.02))["reason"] == "confirmation_declined"
    (old,) = await unchanging.truth()
    assert old["orderStatus"] == "New"


async def test_what_was_filled_already_is_not_ordered_again(unchanging: House) -> None:
    placed = await unchanging.partly_filled()
    answer = await modified(unchanging, placed, price=round(placed["price"] * 0.9, 1))
    old = data(await unchanging.ask("trade_fetch_order", order_id=placed["id"]))
    if old["filled"] == placed["amount"]:  # the market came back before the cancel
        assert error(answer)["code"] == "TAPS005"
    else:
        assert data(answer)["amount"] == pytest.approx(placed["amount"] - old["filled"])


async def test_nothing_is_placed_where_the_old_order_may_still_be_there(unchanging: House) -> None:
    placed = await unchanging.resting()
    unchanging.simulator.faults.set(Fault("drop", path=CANCEL))
    refused = error(await modified(unchanging, placed, amount=0.02))
    assert (refused["code"], refused["reason"]) == ("TAPS101", "outcome_unknown")
    unchanging.simulator.requests.reset()
    unchanging.simulator.faults.clear()
    assert unchanging.simulator.requests.by_path.get(CREATE, 0) == 0
    (old,) = await unchanging.truth()
    assert old["orderStatus"] == "New"


@pytest.mark.parametrize(("fault", "reason"), [("429", "rate_limited"), ("drop", "outcome_unknown")])
async def test_a_new_order_that_is_not_there_is_told_with_the_old_one_that_is_gone(
    unchanging: House, fault: FaultKind, reason: str
) -> None:
    placed = await unchanging.resting()
    unchanging.simulator.faults.set(Fault(fault, path=CREATE))
    refused = error(await modified(unchanging, placed, amount=0.02))
    assert refused["reason"] == reason
    assert f"Order {placed['id']} is cancelled" in refused["message"]
    assert [row["orderStatus"] for row in await unchanging.truth()] == ["Cancelled"]


@pytest.mark.parametrize("era", ["legacy"])  # in which a call goes on after its question
async def test_nothing_is_placed_where_nobody_knows_how_much_was_filled(unchanging: House, person: Person) -> None:
    placed = await unchanging.resting()

    async def go_blind() -> None:
        unchanging.simulator.faults.set(Fault("500", path="/v5/order/realtime"), Fault("500", path="/v5/order/history"))

    person.meanwhile = go_blind
    refused = error(await modified(unchanging, placed, amount=0.02))
    assert "is cancelled, but how much of it was filled before is not known" in refused["message"]
    assert "Nothing was placed instead" in refused["hint"]
    (old,) = await unchanging.truth()
    assert old["orderStatus"] == "Cancelled"
    assert [(intent.kind, intent.state) for intent in await unchanging.intents()][1:] == [
        ("create", "rejected"),
        ("cancel", "accepted"),
    ]


async def test_an_order_that_does_not_rest_cannot_be_replaced(unchanging: House) -> None:
    filled = data(await unchanging.order())
    refused = error(await modified(unchanging, filled, amount=0.02))
    assert (refused["code"], "only open orders" in refused["message"]) == ("TAPS005", True)


async def test_a_trigger_is_replaced_by_a_trigger(unchanging: House) -> None:
    _, ask = await unchanging.touch()
    placed = data(await unchanging.order(trigger_price=round(ask * 1.1, 1)))
    changed = data(await modified(unchanging, placed, trigger_price=round(ask * 1.2, 1)))
    assert (changed["status"], changed["triggerPrice"]) == ("open", round(ask * 1.2, 1))
    (listed,) = rows(data(await unchanging.ask("trade_fetch_orders", symbol=SPOT))["orders"])
    assert listed["id"] == changed["id"]
