"""Lost answers: whatever the wire does to an order, it is placed at most once, and the journal ends in the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from mcp import Client

from ccxt_mcp.journal import Journal
from ccxt_mcp.server import build_server
from ccxt_mcp.simulator import Fault, Simulator
from conftest import in_own_task
from desk.house import (
    CREATE,
    House,
    data,
    error,
    order,
    settings_for,
    truth,
    until,
)

DEADLINE = 2.0
ID = "mine-1"


@dataclass(frozen=True)
class Case:
    """One way in which an answer is lost, and what must come of it.

    `told` is the reason that the caller gets at once, None where the order is found in time; `done` whether the
    exchange has it in the end.
    """

    fault: Fault
    told: str | None
    done: bool


LATE = DEADLINE + 0.4
CASES = {
    "the answer is lost": Case(Fault("lose_reply"), None, done=True),
    "an error page follows": Case(Fault("execute_then_500"), None, done=True),
    "no answer ever comes": Case(Fault("execute_then_hang"), "outcome_unknown", done=True),
    "it is done late": Case(Fault("execute_late", seconds=LATE), "outcome_unknown", done=True),
    "half of the data comes": Case(Fault("cut_json"), None, done=True),
    "the connection ends within the answer": Case(Fault("cut_transfer"), None, done=True),
    "the exchange hangs": Case(Fault("hang"), "outcome_unknown", done=False),
    "the connection ends": Case(Fault("drop"), "outcome_unknown", done=False),
    "500": Case(Fault("500"), "outcome_unknown", done=False),
    "503": Case(Fault("503"), "outcome_unknown", done=False),
    "524": Case(Fault("524"), "outcome_unknown", done=False),
    "a page instead of data": Case(Fault("html"), "outcome_unknown", done=False),
    "nothing instead of data": Case(Fault("empty"), "outcome_unknown", done=False),
    "an empty object": Case(Fault("object"), "outcome_unknown", done=False),
    "an empty list": Case(Fault("array"), "outcome_unknown", done=False),
    "429": Case(Fault("429", retry_after=0.1), "rate_limited", done=False),
    "418": Case(Fault("418"), "rate_limited", done=False),
    "403": Case(Fault("403"), "access_blocked", done=False),
    "the clocks differ": Case(Fault("clock_skew", skew_ms=-60_000), "clock_skew", done=False),
}


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the first answer, those to other orders meanwhile, and what was true in the end."""

    first: dict[str, Any]
    meanwhile: dict[str, Any]
    again: dict[str, Any]
    state: str
    orders: list[dict[str, Any]]
    asked: int


async def played(house: House, venue: str, case: Case) -> Outcome:
    """Place an order whose answer is lost, and another one meanwhile; wait for the truth, and ask once more."""
    fault = case.fault
    limited = fault if fault.kind == "clock_skew" else Fault(
        fault.kind, path=CREATE, times=1, seconds=fault.seconds, retry_after=fault.retry_after
    )  # fmt: skip
    house.simulator.faults.set(limited)
    first = await house.ask("trade_create_order", venue, **order(client_order_id=ID))
    if fault.kind != "clock_skew":  # which was corrected for
        house.simulator.faults.clear()
    meanwhile = await house.ask("trade_create_order", venue, **order(amount=0.02))

    await until(lambda: house.resolved(venue))
    again = await house.ask("trade_create_order", venue, **order(client_order_id=ID))
    async with Journal(house.settings.data_dir / "journal.sqlite3") as journal:
        intent = await journal.get(venue, venue, ID)
    assert intent is not None
    seen = await truth(house.simulator)
    mine = [one for one in seen["orders"] if one["orderLinkId"] == ID]
    return Outcome(first, meanwhile, again, intent.state, mine, seen["asked"].get(ID, 0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Outcome]]:
    """All cases played at once, each on an exchange of its own: most of their time is waiting."""
    folder = tmp_path_factory.mktemp("unknown")
    async with AsyncExitStack() as stack:
        simulators = {name: await stack.enter_async_context(Simulator(ip_limit=None, key_limit=None)) for name in CASES}
        venues = {name: f"venue-{number}" for number, name in enumerate(CASES)}
        exchanges = {venues[name]: {"simulator": one.url, "rate_limit": 0.5} for name, one in simulators.items()}
        settings = settings_for(folder, "http://127.0.0.1:9", exchanges=exchanges, deadline=DEADLINE)
        client = await stack.enter_async_context(in_own_task(Client(build_server(settings))))
        houses = {name: House(client, one, settings) for name, one in simulators.items()}
        for name, house in houses.items():
            data(await house.ask("trade_create_order", venues[name], **order(amount=0.001)))
        ended = await asyncio.gather(*(played(house, venues[name], CASES[name]) for name, house in houses.items()))
        yield dict(zip(houses, ended, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_caller_is_told_what_is_known(name: str, outcomes: dict[str, Outcome]) -> None:
    case, first = CASES[name], outcomes[name].first
    if case.told is None:
        found = data(first)
        assert (found["clientOrderId"], found["status"], found["filled"]) == (ID, "closed", 0.01)
        assert found["effective"]["amount"] == "0.01"
        return
    refused = error(first)
    assert refused["reason"] == case.told
    if case.told == "outcome_unknown":
        assert refused["code"] == "TAPS101"
        assert refused["details"]["clientOrderId"] == ID
        assert not refused["retryable"]
        assert "Never place it again" in refused["hint"]


@pytest.mark.parametrize("name", CASES)
def test_the_exchange_gets_the_order_at_most_once_and_the_journal_ends_in_the_truth(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    outcome, done = outcomes[name], CASES[name].done
    assert len(outcome.orders) == done
    assert outcome.asked <= 1
    assert outcome.state == ("accepted" if done else "rejected")


@pytest.mark.parametrize("name", CASES)
def test_other_orders_wait_for_as_long_as_one_is_unresolved(name: str, outcomes: dict[str, Outcome]) -> None:
    meanwhile = outcomes[name].meanwhile
    if CASES[name].told == "outcome_unknown":
        refused = error(meanwhile)
        assert (refused["code"], refused["reason"], refused["retryable"]) == ("TAPS103", "unresolved_order", True)
        assert ID in refused["message"]
    else:
        assert data(meanwhile)["filled"] == 0.02


@pytest.mark.parametrize("name", CASES)
def test_the_same_call_again_tells_the_truth_and_places_nothing(name: str, outcomes: dict[str, Outcome]) -> None:
    again = outcomes[name].again
    if CASES[name].done:
        assert (data(again)["recorded"], data(again)["filled"], data(again)["clientOrderId"]) == (True, 0.01, ID)
    else:
        assert f"Order {ID} was not placed" in error(again)["message"]
