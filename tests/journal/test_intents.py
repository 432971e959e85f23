"""Intents: recorded before they are sent, once, and never without an end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Counters, Intent, IntentState, Journal
from journal.orders import DAY_MS, Moment, at_most, new_intent, no_limit

Another = Callable[[], Journal]


async def reserve(journal: Journal, name: str = "a", **changes: Any) -> Intent:
    return (await journal.reserve(new_intent(name, **changes), check=no_limit)).intent


async def refusal(journal: Journal, name: str, check: Any = no_limit, **changes: Any) -> Failure:
    with pytest.raises(Failure) as refused:
        await journal.reserve(new_intent(name, **changes), check=check)
    return refused.value


async def events(journal: Journal) -> list[str]:
    return [entry.event for entry in (await journal.read(newest_first=False)).rows]


# -- recording ---------------------------------------------------------------------------------------------------------


async def test_an_intent_is_kept_to_the_last_digit_and_seen_by_others(journals: Another, clock: Moment):
    reserved = await journals().reserve(new_intent(), check=no_limit, facts={"preview": "shown"}, working_for=5)
    seen = await journals().get("kraken", "main", "client-a")
    assert reserved.is_new
    assert seen is not None
    assert seen == reserved.intent
    assert (seen.state, seen.order, seen.error, seen.created_ms) == ("open", None, None, clock.now)
    assert seen.notional_usd == Decimal("100.000000000000000001")
    assert seen.request == {"symbol": "BTC/USDT", "side": "buy", "amount": "0.10"}
    assert seen.expires_ms == clock.now + 5_000


async def test_the_same_client_order_id_returns_what_was_recorded_also_elsewhere(journals: Another):
    first = await reserve(journals())
    await journals().settle(first.id, "accepted", order={"id": "7", "status": "open"})
    again = await journals().reserve(new_intent(), check=no_limit)
    assert not again.is_new
    assert (again.intent.id, again.intent.state, again.intent.order_id) == (first.id, "accepted", "7")
    assert await events(journals()) == ["reserved", "outcome", "repeated"]


async def test_the_same_client_order_id_for_another_order_is_refused(journal: Journal):
    await reserve(journal)
    refused = await refusal(journal, "b", client_order_id="client-a")
    assert refused.code is Code.CLIENT_ORDER_ID_USED
    assert refused.message == "client_order_id 'client-a' was used for another order on kraken/main."


async def test_an_id_that_the_exchange_already_got_for_another_order_is_refused(journal: Journal):
    await reserve(journal)
    refused = await refusal(journal, "b", sent_id="sent-a")
    assert refused.code is Code.CLIENT_ORDER_ID_USED


async def test_exchanges_that_take_no_client_order_id_get_none_for_any_number_of_orders(journal: Journal):
    for name in "abc":
        intent = await reserve(journal, name, sent_id="")
        await journal.settle(intent.id, "accepted", order={"id": name})
    assert await journal.order_ids("kraken", "main") == {"a", "b", "c"}


async def test_the_same_client_order_id_on_another_account_is_another_order(journal: Journal):
    first = await reserve(journal)
    second = await journal.reserve(new_intent(account="second", fingerprint="other"), check=no_limit)
    assert second.is_new
    assert second.intent.id != first.id


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1000000000000"])
def test_a_value_that_cannot_be_one_is_no_intent(value: str):
    with pytest.raises(ValueError, match="notional_usd"):
        new_intent(notional_usd=Decimal(value))


def test_an_intent_without_a_client_order_id_is_none():
    with pytest.raises(ValueError, match="client_order_id"):
        new_intent(client_order_id="")


async def test_intents_are_found_by_either_id_by_order_and_by_number(journal: Journal):
    intent = await reserve(journal)
    settled = await journal.settle(intent.id, "accepted", order={"id": 7})
    assert settled == await journal.get("kraken", "main", "client-a")
    assert settled == await journal.get("kraken", "main", "sent-a")
    assert settled == await journal.by_order("kraken", "main", "7")
    assert settled == await journal.get_id(intent.id)
    assert await journal.get("kraken", "second", "client-a") is None
    assert await journal.by_order("kraken", "main", "8") is None
    assert await journal.get_id(intent.id + 1) is None


async def test_an_order_leads_to_what_made_it_and_not_to_what_ended_it(journal: Journal):
    made = await reserve(journal, "a")
    changed = await reserve(journal, "b", kind="modify")
    ended = await reserve(journal, "c", kind="cancel", raises_risk=False)
    for intent in (made, changed, ended):
        await journal.settle(intent.id, "accepted", order={"id": "7"})
    found = await journal.by_order("kraken", "main", "7")
    assert found is not None
    assert found.id == made.id


async def test_recent_intents_come_in_pages_newest_first(journal: Journal):
    intents = [await reserve(journal, name) for name in "abcde"]
    await journal.settle(intents[0].id, "rejected", error={"message": "no"})
    first = await journal.recent(limit=2)
    second = await journal.recent(limit=2, before=first[-1].id)
    assert [intent.client_order_id[-1] for intent in first + second] == ["e", "d", "c", "b"]
    assert [intent.id for intent in await journal.recent(state="rejected")] == [intents[0].id]
    assert await journal.recent(exchange="bybit") == []
    assert len(await journal.recent(exchange="kraken", account="main")) == 5


# -- what holds an intent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["*", "kraken/main"])
async def test_a_halt_stops_what_raises_risk_in_every_process_and_lets_exits_pass(journals: Another, scope: str):
    journal = journals()
    await journals().halt(scope, by="operator", why="maintenance of the desk")
    refused = await refusal(journal, "a")
    assert refused.code is Code.HALTED
    assert refused.message.endswith("since 2024-10-04T12:00:00Z: maintenance of the desk.")
    assert (await reserve(journal, "b", raises_risk=False)).state == "open"
    await journals().resume(scope, by="operator")
    assert (await reserve(journal, "c")).state == "open"


async def test_a_halt_of_one_account_leaves_the_others_alone(journal: Journal):
    await journal.halt("kraken/main", by="operator", why="")
    assert (await reserve(journal, "a", account="second")).state == "open"
    assert (await reserve(journal, "b", exchange="bybit")).state == "open"


async def test_an_unresolved_intent_holds_what_raises_risk_on_its_account_alone(journal: Journal):
    lost = await reserve(journal, "a")
    await journal.settle(lost.id, "unknown", error={"message": "timeout"})
    refused = await refusal(journal, "b")
    assert refused.code is Code.UNRESOLVED_ORDER
    assert refused.message == "It is not known yet what became of client-a; account_orders_unknown shows it."
    assert refused.details == {"clientOrderIds": ["client-a"]}
    assert (await reserve(journal, "c", raises_risk=False)).state == "open"
    assert (await reserve(journal, "d", account="second")).state == "open"
    await journal.resolve(lost.id, "rejected", error={"message": "never placed"}, how="seen nowhere")
    assert (await reserve(journal, "e")).state == "open"


async def test_an_intent_that_is_worked_on_holds_nothing_until_its_time_is_over(journals: Another, clock: Moment):
    await journals().reserve(new_intent("a"), check=no_limit, working_for=60)
    journal = journals()
    assert (await reserve(journal, "b")).state == "open"
    clock.now += 60_000
    assert (await refusal(journal, "c")).code is Code.UNRESOLVED_ORDER


async def test_what_the_check_refuses_is_not_recorded_but_audited(journal: Journal):
    refused = await refusal(journal, "a", at_most(Decimal(50), Decimal(100)))
    assert refused.code is Code.LIMIT_EXCEEDED
    assert await journal.get("kraken", "main", "client-a") is None
    (entry,) = (await journal.read()).rows
    assert (entry.event, entry.who, entry.tool, entry.client_order_id) == (
        "refused",
        "tester",
        "trade_create_order",
        "client-a",
    )
    assert entry.facts["code"] == "TAPS103"
    assert entry.facts["reason"] == "limit_exceeded"
    assert entry.facts["request"]["symbol"] == "BTC/USDT"


async def test_a_check_that_breaks_leaves_nothing_behind(journal: Journal):
    def broken(_: Counters) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await journal.reserve(new_intent(), check=broken)
    assert await journal.recent() == []
    assert (await reserve(journal)).state == "open"


async def test_exits_are_not_counted_against_any_limit(journal: Journal):
    def never(_: Counters) -> None:
        raise Failure(Code.LIMIT_EXCEEDED, "nothing may be ordered.")

    assert (await journal.reserve(new_intent(raises_risk=False), check=never)).is_new


async def test_fifty_orders_at_once_never_exceed_the_daily_limit(journals: Another):
    value, limit = Decimal("9.99"), Decimal(100)
    processes = [journals(), journals()]
    wanted = [
        processes[n % 2].reserve(new_intent(str(n), notional_usd=value), check=at_most(limit, value)) for n in range(50)
    ]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Failure)]
    assert {failure.code for failure in refused} == {Code.LIMIT_EXCEEDED}
    assert len(results) - len(refused) == 10
    assert (await journals().counters("kraken", "main")).notional_today == Decimal("99.90")
    assert (await journals().verify()).first_bad is None


# -- counting ----------------------------------------------------------------------------------------------------------


async def test_a_day_counts_what_was_not_rejected_since_midnight(journal: Journal, clock: Moment):
    yesterday = await reserve(journal, "y", notional_usd=Decimal(1))
    await journal.settle(yesterday.id, "accepted", order={"id": "y"})
    clock.now += DAY_MS // 2
    assert (await journal.counters("kraken", "main")).notional_today == 0
    states: list[IntentState] = ["accepted", "rejected", "unknown"]
    for place, state in enumerate(states, 1):
        intent = await reserve(journal, state, notional_usd=Decimal(10) ** place)
        await journal.settle(intent.id, state)
    await reserve(journal, "exit", notional_usd=Decimal(7), raises_risk=False)
    await reserve(journal, "elsewhere", account="second", notional_usd=Decimal(7))
    counters = await journal.counters("kraken", "main")
    assert counters.notional_today == Decimal(1010)
    assert counters.pending == 2
    assert counters.unvalued_today == 0


async def test_orders_of_unknown_value_are_told(journal: Journal):
    await reserve(journal, notional_usd=None)
    counters = await journal.counters("kraken", "main")
    assert (counters.notional_today, counters.unvalued_today) == (0, 1)


async def test_a_sum_never_understates(journal: Journal):
    await reserve(journal, notional_usd=Decimal("0.00000000000000000001"))
    assert (await journal.counters("kraken", "main")).notional_today == Decimal("0.000001")


async def test_the_last_minute_counts_orders_and_changes_and_no_cancels(journal: Journal, clock: Moment):
    await reserve(journal, "old")
    clock.now += 60_000
    rejected = await reserve(journal, "a", raises_risk=False)
    await journal.settle(rejected.id, "rejected")
    await reserve(journal, "b", kind="modify", raises_risk=False)
    await reserve(journal, "c", kind="cancel", raises_risk=False)
    assert (await journal.counters("kraken", "main")).orders_last_minute == 2


async def test_orders_since_a_look_are_the_later_ones_and_those_in_flight(journal: Journal, clock: Moment):
    await reserve(journal, "in flight")
    clock.now += 1_000
    seen = await reserve(journal, "seen")
    await journal.settle(seen.id, "accepted", order={"id": "1"})
    clock.now += 1_000
    look = clock.now
    clock.now += 1_000
    for name in "ab":
        later = await reserve(journal, name)
        await journal.settle(later.id, "accepted", order={"id": name})
    refused = await reserve(journal, "refused")
    await journal.settle(refused.id, "rejected")
    counters = await journal.counters("kraken", "main")
    assert counters.orders_since(look) == 3
    assert counters.orders_since(clock.now + 1_000) == 1


@settings(max_examples=15, deadline=None)
@given(
    orders=st.lists(
        st.tuples(
            st.decimals(0, 10**9, places=6),
            st.sampled_from(["open", "accepted", "rejected", "unknown"]),
            st.booleans(),
            st.integers(0, DAY_MS - 1),
        ),
        max_size=6,
    )
)
def test_counters_agree_with_a_plain_sum(orders: list[tuple[Decimal, IntentState, bool, int]]):
    async def run(folder: str) -> Counters:
        clock = Moment()
        start = clock.now
        async with Journal(Path(folder) / "journal.db", clock=clock) as journal:
            made: list[Intent] = []
            for place, (value, _, risk, ago) in enumerate(orders):
                clock.now = start - ago
                new = new_intent(str(place), notional_usd=value, raises_risk=risk)
                made.append((await journal.reserve(new, check=no_limit, working_for=10 * 86_400)).intent)
            clock.now = start
            for intent, (_, state, _, _) in zip(made, orders, strict=True):
                if state != "open":
                    await journal.settle(intent.id, state)
            return await journal.counters("kraken", "main")

    with tempfile.TemporaryDirectory() as folder:
        counters = asyncio.run(run(folder))
    live = [(value, risk, ago) for value, state, risk, ago in orders if state != "rejected"]
    assert counters.notional_today == sum(value for value, risk, ago in live if risk and ago <= DAY_MS // 2)
    assert counters.orders_last_minute == sum(ago < 60_000 for _, _, _, ago in orders)
    assert counters.pending == sum(state in {"open", "unknown"} for _, state, _, _ in orders)


# -- outcomes ----------------------------------------------------------------------------------------------------------

OUTCOMES: list[IntentState] = ["open", "accepted", "rejected", "unknown"]
CHANGES = {
    ("open", "accepted"),
    ("open", "rejected"),
    ("open", "unknown"),
    ("unknown", "accepted"),
    ("unknown", "rejected"),
    ("rejected", "accepted"),
}


@pytest.mark.parametrize("before", OUTCOMES)
@pytest.mark.parametrize("after", ["accepted", "rejected", "unknown"])
async def test_an_outcome_changes_only_towards_the_truth(journal: Journal, before: IntentState, after: IntentState):
    intent = await reserve(journal)
    if before != "open":
        await journal.settle(intent.id, before)
    settled = await journal.settle(intent.id, after, order={"id": "7"})
    changes = (before, after) in CHANGES
    assert settled == await journal.get_id(intent.id)
    assert settled.state == (after if changes or before == after else before)
    contradicts = not changes and after not in {before, "unknown"}
    assert ("conflict" in await events(journal)) is contradicts


async def test_an_outcome_is_kept_with_its_order_or_its_error(journal: Journal, clock: Moment):
    intent = await reserve(journal)
    clock.now += 5
    unknown = await journal.settle(intent.id, "unknown", error={"reason": "timeout", "at": Decimal("1.5")})
    assert (unknown.state, unknown.error, unknown.updated_ms) == (
        "unknown",
        {"reason": "timeout", "at": "1.5"},
        clock.now,
    )
    order = {"id": "7", "status": "closed", "filled": 0.1, "fee": None, "nan": float("nan")}
    found = await journal.resolve(intent.id, "accepted", order=order, how="seen among closed orders")
    assert (found.state, found.order_id, found.error, found.note) == ("accepted", "7", None, "seen among closed orders")
    assert found.order is not None
    assert found.order["filled"] == 0.1
    last = (await journal.read(event="resolved")).rows[0]
    assert (last.facts["was"], last.facts["how"]) == ("unknown", "seen among closed orders")


async def test_what_is_learnt_without_an_outcome_is_noted(journal: Journal):
    intent = await reserve(journal)
    await journal.settle(intent.id, "unknown")
    await journal.note(intent.id, text="not among open orders")
    noted = await journal.note(intent.id, text="not among closed orders")
    assert (noted.state, noted.attempts, noted.note) == ("unknown", 2, "not among closed orders")
    newer = await journal.note(intent.id, order={"id": "7", "status": "closed"})
    assert (newer.order_id, newer.order, newer.attempts) == ("7", {"id": "7", "status": "closed"}, 2)
    assert newer == await journal.get_id(intent.id)


async def test_an_intent_that_nobody_recorded_has_no_outcome(journal: Journal):
    with pytest.raises(Failure) as unknown:
        await journal.settle(99, "accepted")
    assert unknown.value.code is Code.INTERNAL


# -- what is left unresolved -------------------------------------------------------------------------------------------


async def test_unknown_and_expired_intents_are_unresolved_the_oldest_first(journal: Journal, clock: Moment):
    expiring = await reserve(journal, "a")
    lost = await reserve(journal, "b", account="second")
    done = await reserve(journal, "c")
    await journal.settle(lost.id, "unknown")
    await journal.settle(done.id, "accepted", order={"id": "7"})
    assert [intent.id for intent in await journal.unresolved()] == [lost.id]
    clock.now += 60_000
    assert [intent.id for intent in await journal.unresolved()] == [expiring.id, lost.id]
    assert [intent.id for intent in await journal.unresolved("kraken", "second")] == [lost.id]
    assert await journal.unresolved("bybit") == []


async def test_an_intent_whose_journal_was_closed_is_unresolved_at_once(journals: Another):
    first = journals()
    intent = await reserve(first)
    await first.close()
    assert [left.id for left in await journals().unresolved()] == [intent.id]


async def test_one_process_looks_for_an_outcome_at_a_time(journals: Another, clock: Moment):
    first, second = journals(), journals()
    intent = await reserve(first)
    assert await second.claim(intent.id, 30) is None
    await first.settle(intent.id, "unknown")
    assert await first.claim(intent.id, 30) is not None
    assert await second.claim(intent.id, 30) is None
    assert await first.claim(intent.id, 30) is not None
    clock.now += 30_000
    assert await second.claim(intent.id, 30) is not None
    await second.close()
    assert await first.claim(intent.id, 30) is not None
    await first.resolve(intent.id, "rejected", how="seen nowhere")
    assert await first.claim(intent.id, 30) is None


async def test_an_open_intent_that_was_left_becomes_unknown_when_it_is_claimed(journals: Another, clock: Moment):
    intent = await reserve(journals())
    clock.now += 60_000
    claimed = await journals().claim(intent.id, 30)
    assert claimed is not None
    assert claimed.state == "unknown"
    assert await events(journals()) == ["reserved", "orphaned"]


async def test_a_late_acceptance_by_the_sender_beats_what_was_believed(journals: Another, clock: Moment):
    sender = journals()
    intent = await reserve(sender)
    clock.now += 60_000
    other = journals()
    await other.claim(intent.id, 30)
    await other.resolve(intent.id, "rejected", how="seen nowhere")
    assert (await sender.settle(intent.id, "accepted", order={"id": "7"})).state == "accepted"


# -- callers who leave -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_what_was_reserved_for_a_caller_who_is_gone_is_rejected_as_never_sent(journals: Another, steps: int):
    journal = journals()
    await journal.halts()
    caller = asyncio.create_task(journal.reserve(new_intent(), check=no_limit))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await journal.close()
    other = journals()
    assert await other.unresolved() == []
    recorded = await other.get("kraken", "main", "client-a")
    assert recorded is None or (recorded.state, (recorded.error or {})["reason"]) == ("rejected", "cancelled")
    assert recorded is not None or steps == 0


async def test_a_refusal_that_nobody_waits_for_is_audited_all_the_same(journals: Another):
    journal = journals()
    await journal.halt("*", by="operator", why="")
    caller = asyncio.create_task(journal.reserve(new_intent(), check=no_limit))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await journal.close()
    assert await events(journals()) == ["halted", "refused"]


async def test_an_outcome_is_recorded_although_its_caller_is_gone(journals: Another):
    journal = journals()
    intent = await reserve(journal)
    caller = asyncio.create_task(journal.settle(intent.id, "accepted", order={"id": "7"}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await journal.close()
    settled = await journals().get_id(intent.id)
    assert settled is not None
    assert settled.state == "accepted"
