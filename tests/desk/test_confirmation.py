"""Confirmation: a human agrees to exactly one order, once, by a way that no model can take by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import InputRequiredResult

from ccxt_mcp.journal import Journal
from ccxt_mcp.simulator import Simulator
from conftest import envelope, in_own_task
from desk.house import SPOT, SWAP, VENUE, House, command, data, error, open_house, order, until
from desk.people import Person, ticked
from desk.real import ACCOUNT, EXCHANGE, SYMBOL, live_house

LARGE = 1.3  # of bitcoin: above 100,000 US dollars
SMALL = 0.01


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
async def attended(tmp_path: Path, simulator: Simulator, era: str, person: Person) -> AsyncIterator[House]:
    """A house whose client asks a person, in both eras."""
    async with in_own_task(open_house(tmp_path, simulator, era, asked=person)) as opened:
        yield opened


async def test_a_large_order_is_asked_about_and_placed_once(attended: House, person: Person) -> None:
    placed = data(await attended.order(amount=LARGE, client_order_id="mine-1"))
    assert placed["filled"] == LARGE
    (asked,) = person.asked
    assert asked == (
        "Place this order? venue, account venue (simulated money): "
        "symbol BTC/USDT, side buy, type market, amount 1.3, client order id mine-1."
    )
    assert len(await attended.truth()) == 1
    told = [event for event in await attended.events() if event not in {"outcome", "noted"}]
    assert told == ["confirmation_asked", "approved", "used", "reserved"]


async def test_the_question_shows_plain_numbers_however_they_were_written(attended: House, person: Person) -> None:
    data(await attended.order(amount="1.3E+5", unit="quote"))
    assert "amount 130000, unit quote" in person.asked[0]


async def test_a_small_order_a_dry_run_and_ways_out_are_not_asked_about(attended: House, person: Person) -> None:
    data(await attended.order(amount=SMALL))
    assert data(await attended.order(amount=LARGE, dry_run=True))["needsConfirmation"] is True
    resting = await attended.resting(amount=SMALL)
    data(await attended.ask("trade_cancel_order", order_id=resting["id"]))
    data(await attended.ask("trade_cancel_all"))
    assert person.asked == []
    data(await attended.order(symbol=SWAP, amount=LARGE))
    assert len(person.asked) == 1
    data(await attended.order("sell", symbol=SWAP, amount=LARGE, reduce_only=True))
    assert len(person.asked) == 1


@pytest.mark.parametrize(
    ("action", "ticks", "reason"),
    [
        ("decline", True, "confirmation_declined"),
        ("accept", False, "confirmation_declined"),
        ("cancel", True, "confirmation_required"),
    ],
)
async def test_nothing_is_placed_without_a_clear_yes(
    attended: House, person: Person, action: Any, ticks: bool, reason: str
) -> None:
    person.action, person.ticks = action, ticks
    for _ in range(2):
        refused = error(await attended.order(amount=LARGE))
        assert (refused["code"], refused["reason"]) == ("TAPS102", reason)
    assert len(person.asked) == 2
    assert await attended.truth() == []
    assert await attended.intents() == []


async def test_the_limits_come_before_the_human(attended: House, person: Person) -> None:
    assert error(await attended.order(amount=15))["reason"] == "limit_exceeded"
    assert person.asked == []


async def test_a_halt_during_the_question_counts(attended: House, person: Person) -> None:
    async def halt() -> None:
        async with Journal(attended.settings.data_dir / "journal.sqlite3") as journal:
            await journal.halt("*", by="the operator", why="lunch")

    person.meanwhile = halt
    refused = error(await attended.order(amount=LARGE))
    assert (refused["reason"], "lunch" in refused["message"]) == ("halted", True)
    assert await attended.truth() == []


async def test_a_modification_above_the_bound_is_asked_about(attended: House, person: Person) -> None:
    placed = await attended.resting(amount=SMALL)
    changed = data(await attended.ask("trade_modify_order", order_id=placed["id"], amount=LARGE))
    assert changed["amount"] == LARGE
    assert person.asked == [
        f"Change this order? venue, account venue (simulated money): order {placed['id']}, amount 1.3."
    ]


# -- where the client cannot ask ---------------------------------------------------------------------------------------


async def test_a_client_without_questions_gets_a_ticket_that_is_used_up_by_its_order(era_house: House) -> None:
    waiting = error(await era_house.order(amount=LARGE))
    assert (waiting["code"], waiting["reason"], waiting["retryable"]) == ("TAPS102", "confirmation_required", False)
    ticket, preview = waiting["details"]["ticket"], waiting["details"]["preview"]
    assert f"ccxt-mcp approve {ticket}" in waiting["message"]
    assert (preview["symbol"], preview["side"], preview["amount"]) == (SPOT, "buy", "1.3")
    assert error(await era_house.order(amount=LARGE))["details"]["ticket"] == ticket
    async with Journal(era_house.settings.data_dir / "journal.sqlite3") as journal:
        await journal.approve(ticket, by="the operator", how="a test")
    assert error(await era_house.order(amount=LARGE + 0.1))["reason"] == "confirmation_required"
    assert data(await era_house.order(amount=LARGE))["filled"] == LARGE
    again = error(await era_house.order(amount=LARGE))
    assert again["reason"] == "confirmation_required"
    assert again["details"]["ticket"] != ticket
    assert len(await era_house.truth()) == 1


async def test_a_terminal_shows_what_waits_and_approves_it_once(house: House) -> None:
    ticket = error(await house.order(amount=LARGE))["details"]["ticket"]
    listed = (await command(house, "approve"))[1]
    assert ticket in listed
    assert "Place this order? venue, account venue (simulated money): symbol BTC/USDT" in listed
    code, said = await command(house, "approve", ticket, "--yes")
    assert (code, "goes through once" in said) == (0, True)
    assert data(await house.order(amount=LARGE))["filled"] == LARGE
    code, said = await command(house, "approve", ticket, "--yes")
    assert (code, f"Confirmation {ticket} is used" in said) == (2, True)


async def test_a_terminal_declines_and_knows_no_other_codes(house: House) -> None:
    ticket = error(await house.order(amount=LARGE))["details"]["ticket"]
    assert (await command(house, "approve", ticket, "--decline"))[0] == 0
    code, said = await command(house, "approve", ticket, "--yes")
    assert (code, "is declined" in said) == (2, True)
    assert error(await house.order(amount=LARGE))["details"]["ticket"] != ticket
    code, said = await command(house, "approve", "NOSUCH", "--yes")
    assert (code, "There is no confirmation 'NOSUCH'" in said) == (2, True)
    assert await house.truth() == []


async def test_a_ticket_expires(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, ticket_minutes=0.3 / 60) as house:
        first = error(await house.order(amount=LARGE))["details"]["ticket"]

        async def another() -> bool:
            return error(await house.order(amount=LARGE))["details"]["ticket"] != first

        await until(another)
        code, said = await command(house, "approve", first, "--yes")
        assert (code, "is expired" in said) == (2, True)
        assert await house.truth() == []


# -- real money -------------------------------------------------------------------------------------------------------


async def test_every_order_with_real_money_is_asked_about(tmp_path: Path, era: str, person: Person) -> None:
    async with live_house(tmp_path, era, asked=person) as (house, kraken):
        small = order(symbol=SYMBOL, amount=0.01, price=59000)
        answer = await house.ask("trade_create_order", EXCHANGE, account=ACCOUNT, **small)
        placed = data(answer)
        assert (answer["metadata"]["mode"], answer["metadata"]["account"]) == ("live", ACCOUNT)
        assert (placed["symbol"], placed["status"], placed["price"]) == (SYMBOL, "open", 59000)
        (asked,) = person.asked
        assert asked == (
            "Place this order? kraken, account main (REAL MONEY): "
            "symbol BTC/USD, side buy, type limit, amount 0.01, price 59000."
        )
        gone = await house.ask("trade_cancel_order", EXCHANGE, account=ACCOUNT, order_id=placed["id"])
        assert data(gone)["status"] == "canceled"
        assert data(await house.ask("trade_create_order", EXCHANGE, account=ACCOUNT, **small, dry_run=True))["dryRun"]
        assert len(person.asked) == 1
        person.action = "decline"
        refused = error(await house.ask("trade_create_order", EXCHANGE, account=ACCOUNT, **small))
        assert refused["reason"] == "confirmation_declined"
        assert kraken.asked["AddOrder"] == 1


async def test_without_an_account_money_is_never_real(tmp_path: Path, person: Person) -> None:
    async with live_house(tmp_path, asked=person) as (house, kraken):
        answer = await house.ask("trade_create_order", EXCHANGE, **order(symbol=SYMBOL, amount=0.01))
        assert (data(answer)["filled"], answer["metadata"]["mode"]) == (0.01, "paper")
        assert (person.asked, kraken.asked["AddOrder"]) == ([], 0)


# -- forgeries, where the answer comes with the repeated call ----------------------------------------------------------


@pytest.fixture
async def modern(tmp_path: Path, simulator: Simulator, person: Person) -> AsyncIterator[House]:
    async with in_own_task(open_house(tmp_path, simulator, asked=person)) as opened:
        yield opened


async def called(house: House, arguments: dict[str, Any], **answer: Any) -> Any:
    """Call as a program does that drives the rounds by itself."""
    asked = {"exchange": VENUE, **arguments}
    return await house.client.session.call_tool("trade_create_order", asked, allow_input_required=True, **answer)


async def question(house: House, arguments: dict[str, Any]) -> InputRequiredResult:
    asking = await called(house, arguments)
    assert isinstance(asking, InputRequiredResult)
    return asking


async def test_a_question_tells_nothing_that_an_answer_could_be_made_of(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    (request,) = (asking.input_requests or {}).values()
    assert "amount 1.3" in request.params.message  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    listed = (await command(modern, "approve"))[1]
    assert listed.split()[0] not in str(asking.model_dump())


async def test_a_state_that_was_made_up_is_refused(era_house: House) -> None:
    ticket = error(await era_house.order(amount=LARGE))["details"]["ticket"]
    for state in (ticket, "v1.made-up", ""):
        with pytest.raises(MCPError, match="requestState"):
            await called(era_house, order(amount=LARGE), input_responses=ticked(), request_state=state)
    assert await era_house.truth() == []


async def test_an_answer_without_its_question_counts_for_nothing(era_house: House, modern: House) -> None:
    answer = envelope(await called(era_house, order(amount=LARGE), input_responses=ticked()))
    assert error(answer)["reason"] == "confirmation_required"
    assert isinstance(await called(modern, order(amount=LARGE), input_responses=ticked()), InputRequiredResult)
    assert await modern.truth() == []


async def test_one_answer_places_one_order(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    answer = {"input_responses": ticked(), "request_state": asking.request_state}
    assert data(envelope(await called(modern, order(amount=LARGE), **answer)))["filled"] == LARGE
    again = error(envelope(await called(modern, order(amount=LARGE), **answer)))
    assert (again["code"], again["reason"]) == ("TAPS102", "confirmation_required")
    assert "was used before" in again["message"]
    assert len(await modern.truth()) == 1


async def test_one_answer_given_ten_times_at_once_places_one_order(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    answer = {"input_responses": ticked(), "request_state": asking.request_state}
    results = await asyncio.gather(*(called(modern, order(amount=LARGE), **answer) for _ in range(10)))
    answers = [envelope(result) for result in results]
    assert sum(one["success"] for one in answers) == 1
    assert {error(one)["code"] for one in answers if not one["success"]} == {"TAPS102"}
    assert len(await modern.truth()) == 1


async def test_an_answer_is_for_its_own_order_only(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    with pytest.raises(MCPError, match="requestState"):
        await called(modern, order(amount=LARGE + 0.5), input_responses=ticked(), request_state=asking.request_state)
    assert await modern.truth() == []


async def test_an_answer_that_says_no_is_final(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    for yes in (False, True):
        answer = {"input_responses": ticked(yes=yes), "request_state": asking.request_state}
        refused = error(envelope(await called(modern, order(amount=LARGE), **answer)))
        assert refused["reason"] == "confirmation_declined"
    assert await modern.truth() == []


async def test_an_answer_of_another_form_is_no_answer(modern: House) -> None:
    asking = await question(modern, order(amount=LARGE))
    answer = {"input_responses": {"other": ticked()["confirm"]}, "request_state": asking.request_state}
    refused = error(envelope(await called(modern, order(amount=LARGE), **answer)))
    assert refused["reason"] == "confirmation_required"
    assert await modern.truth() == []
