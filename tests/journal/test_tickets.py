"""Tickets: a human's word counts for one order exactly, once, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Journal, Ticket
from journal.orders import Moment, new_intent, no_limit

Another = Callable[[], Journal]


async def ask(journal: Journal, clock: Moment, fingerprint: str = "print-a", **changes: Any) -> Ticket:
    wanted: dict[str, Any] = {"facts": {"question": "Buy 0.1 BTC?"}, "exchange": "kraken", "account": "main"}
    wanted |= {"who": "tester", "expires_ms": clock.now + 60_000}
    return await journal.ask(fingerprint, **wanted | changes)


async def approved(journal: Journal, clock: Moment) -> str:
    ticket = await ask(journal, clock)
    return (await journal.approve(ticket.code, by="human", how="terminal")).code


async def refusal(journal: Journal, ticket: str, name: str = "a", **changes: Any) -> Failure:
    with pytest.raises(Failure) as refused:
        await journal.reserve(new_intent(name, **changes), check=no_limit, ticket=ticket)
    assert await journal.get("kraken", "main", f"client-{name}") is None
    return refused.value


async def test_a_ticket_waits_is_approved_and_used_by_one_intent(journals: Another, clock: Moment):
    journal = journals()
    ticket = await ask(journal, clock)
    assert ticket.state == "waiting"
    assert len(ticket.code) == 6
    assert not set(ticket.code) & set("ILOS015")
    assert await journals().waiting() == [ticket]
    decided = await journals().approve(ticket.code.lower(), by="human", how="terminal")
    assert (decided.state, decided.decided_by, decided.how) == ("approved", "human", "terminal")
    assert await journal.waiting() == []
    assert await journal.find_approved("print-a", "kraken", "main") == decided
    reserved = await journal.reserve(new_intent(), check=no_limit, ticket=ticket.code)
    assert reserved.intent.ticket == ticket.code
    used = await journals().ticket(ticket.code)
    assert used is not None
    assert (used.state, used.used_by) == ("used", reserved.intent.id)
    assert await journal.find_approved("print-a", "kraken", "main") is None
    events = [row.event for row in (await journal.read(newest_first=False)).rows]
    assert events == ["confirmation_asked", "approved", "used", "reserved"]


async def test_the_same_question_is_the_same_ticket_until_it_is_used(journal: Journal, clock: Moment):
    first = await ask(journal, clock)
    assert await ask(journal, clock, expires_ms=clock.now + 999_999) == first
    await journal.approve(first.code, by="human", how="terminal")
    assert (await ask(journal, clock)).code == first.code
    await journal.reserve(new_intent(), check=no_limit, ticket=first.code)
    assert (await ask(journal, clock)).code != first.code


@pytest.mark.parametrize(
    "other", [{"fingerprint": "print-b"}, {"account": "second"}, {"exchange": "bybit"}, {"who": "somebody else"}]
)
async def test_another_question_is_another_ticket(journal: Journal, clock: Moment, other: dict[str, Any]):
    first = await ask(journal, clock)
    assert (await ask(journal, clock, **other)).code != first.code


async def test_a_ticket_is_used_once(journal: Journal, clock: Moment):
    code = await approved(journal, clock)
    await journal.reserve(new_intent(), check=no_limit, ticket=code)
    refused = await refusal(journal, code, "b", fingerprint="print-a")
    assert (refused.code, refused.message) == (Code.CONFIRMATION_REQUIRED, f"Confirmation {code} was used before.")


async def test_of_many_that_race_for_a_ticket_one_gets_it(journals: Another, clock: Moment):
    code = await approved(journals(), clock)
    racers = [journals(), journals()]
    results = await asyncio.gather(
        *(
            racers[n % 2].reserve(new_intent(str(n), fingerprint="print-a"), check=no_limit, ticket=code)
            for n in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, Failure) for result in results) == 1


@pytest.mark.parametrize(
    "other", [{"fingerprint": "print-b"}, {"account": "second"}, {"exchange": "bybit"}, {"fingerprint": "print-a "}]
)
async def test_a_ticket_for_something_else_is_refused(journal: Journal, clock: Moment, other: dict[str, Any]):
    code = await approved(journal, clock)
    refused = await refusal(journal, code, **other)
    assert (refused.code, refused.message) == (
        Code.CONFIRMATION_REQUIRED,
        f"Confirmation {code} is for something else.",
    )
    still = await journal.ticket(code)
    assert still is not None
    assert still.state == "approved"


async def test_a_ticket_that_nobody_approved_is_refused(journal: Journal, clock: Moment):
    code = (await ask(journal, clock)).code
    assert (await refusal(journal, code)).message == f"Confirmation {code} is not approved yet."
    assert (await refusal(journal, "FORGED")).message == "Confirmation FORGED is not known."


async def test_a_declined_ticket_is_refused_as_such(journal: Journal, clock: Moment):
    code = (await ask(journal, clock)).code
    await journal.decline(code, by="human")
    assert (await refusal(journal, code)).code is Code.CONFIRMATION_DECLINED
    assert (await ask(journal, clock)).code != code


async def test_an_approval_can_be_taken_back_before_it_is_used(journal: Journal, clock: Moment):
    code = await approved(journal, clock)
    await journal.decline(code, by="human")
    assert (await refusal(journal, code)).code is Code.CONFIRMATION_DECLINED


@pytest.mark.parametrize("approve_first", [True, False])
async def test_a_ticket_expires_approved_or_not(journal: Journal, clock: Moment, approve_first: bool):
    code = await approved(journal, clock) if approve_first else (await ask(journal, clock)).code
    clock.now += 60_000
    assert (await refusal(journal, code)).message == f"Confirmation {code} has expired."
    late = await journal.ticket(code)
    assert late is not None
    assert late.state == "expired"
    assert await journal.waiting() == []
    assert await journal.find_approved("print-a", "kraken", "main") is None
    with pytest.raises(Failure, match=f"Confirmation {code} is expired"):
        await journal.approve(code, by="human", how="terminal")
    assert (await ask(journal, clock)).code != code
    assert [row.facts["ticket"] for row in (await journal.read(event="expired")).rows] == [code]


async def test_an_approval_may_last_longer_than_the_question(journal: Journal, clock: Moment):
    code = (await ask(journal, clock)).code
    await journal.approve(code, by="human", how="terminal", expires_ms=clock.now + 120_000)
    clock.now += 100_000
    assert (await journal.reserve(new_intent(), check=no_limit, ticket=code)).is_new


async def test_only_what_waits_can_be_approved(journal: Journal, clock: Moment):
    with pytest.raises(Failure, match="There is no confirmation 'nosuch'"):
        await journal.approve("nosuch", by="human", how="terminal")
    code = await approved(journal, clock)
    assert (await journal.approve(code, by="human", how="terminal")).state == "approved"
    await journal.reserve(new_intent(), check=no_limit, ticket=code)
    for decide in (journal.approve(code, by="human", how="terminal"), journal.decline(code, by="human")):
        with pytest.raises(Failure, match=f"Confirmation {code} is used"):
            await decide


async def test_a_refusal_for_another_reason_leaves_the_ticket_unused(journal: Journal, clock: Moment):
    code = await approved(journal, clock)
    await journal.halt("*", by="operator", why="")
    assert (await refusal(journal, code)).code is Code.HALTED
    await journal.resume("*", by="operator")
    assert (await journal.reserve(new_intent(), check=no_limit, ticket=code)).is_new


async def test_an_answer_counts_for_the_question_that_it_came_with(journal: Journal, clock: Moment):
    ticket = await ask(journal, clock)
    assert await journal.presented(ticket.code, "print-a") == ticket
    for code, fingerprint in ((ticket.code, "print-b"), ("FORGED", "print-a")):
        with pytest.raises(Failure) as refused:
            await journal.presented(code, fingerprint)
        assert refused.value.code is Code.CONFIRMATION_REQUIRED
    await journal.decline(ticket.code, by="human")
    with pytest.raises(Failure) as declined:
        await journal.presented(ticket.code, "print-a")
    assert declined.value.code is Code.CONFIRMATION_DECLINED
    late = await ask(journal, clock)
    clock.now += 60_000
    with pytest.raises(Failure, match="has expired"):
        await journal.presented(late.code, "print-a")
