"""Alerts: kept over every restart, told of once, and never more than can be watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Alert, Journal
from ccxt_mcp.journal.alerts import MOST_ACTIVE, MOST_ENDED
from ccxt_mcp.journal.schema import alerts as table
from journal.orders import NOON_MS, Moment, new_alert

Another = Callable[[], Journal]

SEEN = {"price": "100001.00", "symbol": "BTC/USDT"}


async def fill(journal: Journal, count: int, **changes: Any) -> None:
    """Put rows into the table as if that many alerts had been added, in one go, oldest first."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        alert = new_alert(f"filled {n:03}", **changes)
        rows.append({name: getattr(alert, name) for name in Alert.__slots__} | {"condition": "{}"})
        if alert.ended_ms is not None:
            rows[-1]["ended_ms"] = alert.ended_ms + n

    def work(connection: Connection) -> None:
        connection.execute(table.insert(), rows)

    await journal._database.write(work)


async def refusal(journal: Journal, alert: Alert) -> Failure:
    with pytest.raises(Failure) as refused:
        await journal.alerts.add(alert)
    return refused.value


def names(alerts: list[Alert]) -> list[str]:
    return [alert.id for alert in alerts]


# -- adding and finding ------------------------------------------------------------------------------------------------


async def test_an_alert_is_there_after_its_process_has_ended(journals: Another):
    first = journals()
    alert = new_alert(
        account="main",
        note="sell half of it",
        repeat=True,
        expires_ms=NOON_MS + 5,
        condition={"all": [{"kind": "above", "price": "1e-8"}, {"kind": "change", "percent": 5}], "once": None},
    )
    await first.alerts.add(alert)
    await first.close()
    again = journals()
    assert await again.alerts.get("a") == alert
    assert await again.alerts.active(NOON_MS) == [alert]
    assert await again.alerts.all() == [alert]


async def test_an_alert_that_has_fired_is_told_so_after_its_process_has_ended(journals: Another):
    first = journals()
    await first.alerts.add(new_alert())
    assert await first.alerts.fire("a", SEEN, NOON_MS + 7, 0)
    await first.close()
    ended = replace(new_alert(), state="fired", fired_count=1, fired_ms=NOON_MS + 7, fired=SEEN, ended_ms=NOON_MS + 7)
    again = journals()
    assert await again.alerts.get("a") == ended
    assert await again.alerts.all() == [ended]
    assert await again.alerts.active(NOON_MS + 7) == []


async def test_active_alerts_come_oldest_first_and_all_come_newest_first(journal: Journal):
    for place, name in enumerate(["b", "c", "a"]):
        await journal.alerts.add(new_alert(name, created_ms=NOON_MS + place))
    assert names(await journal.alerts.active(NOON_MS)) == ["b", "c", "a"]
    assert names(await journal.alerts.all()) == ["a", "c", "b"]
    assert names(await journal.alerts.all(2)) == ["a", "c"]
    assert await journal.alerts.get("d") is None


async def test_texts_of_all_scripts_are_kept(journal: Journal):
    alert = new_alert(
        "قهوة-☕",
        symbol="币安人生/USDT",
        note="Größe prüfen 🚀 — 半分",
        who="Zoë",
        condition={"größer": "日本 🚀", "'\";": "--"},
    )
    await journal.alerts.add(alert)
    assert await journal.alerts.get(alert.id) == alert
    assert await journal.alerts.fire(alert.id, {"שער": "💰"}, NOON_MS, 0)
    (fired,) = await journal.alerts.all()
    assert fired.fired == {"שער": "💰"}


async def test_what_cannot_be_shown_or_kept_is_left_out_of_texts(journal: Journal):
    await journal.alerts.add(
        new_alert(
            note="two\nlines\0 \u202e" + "x" * 300, symbol="BTC\0/USDT", condition={"half": "\ud800", "nul": "\0"}
        )
    )
    (alert,) = await journal.alerts.all()
    assert alert.note.startswith("two lines xxx")
    assert (len(alert.note), alert.symbol) == (200, "BTC/USDT")
    assert alert.condition == {"half": "?", "nul": "\0"}


@pytest.mark.parametrize("name", ["", " ", "a ", "two\nlines", "nul\0", "half \ud800", "x" * 65])
async def test_an_id_is_a_short_visible_line(journal: Journal, name: str):
    assert (await refusal(journal, new_alert(name))).code is Code.INVALID_ARGUMENT
    assert await journal.alerts.get(name) is None
    assert not await journal.alerts.delete(name)
    assert not await journal.alerts.fire(name, {}, NOON_MS, 0)


async def test_an_id_is_for_one_alert_alone_even_when_that_is_deleted(journals: Another):
    first, second = journals(), journals()
    await first.alerts.add(new_alert(note="the first"))
    assert (await refusal(second, new_alert(note="the second"))).code is Code.INVALID_ARGUMENT
    await first.alerts.delete("a")
    assert (await refusal(second, new_alert())).code is Code.INVALID_ARGUMENT
    found = await first.alerts.get("a")
    assert found is not None
    assert found.note == "the first"


async def test_of_those_who_add_the_same_id_at_once_one_succeeds(journals: Another):
    adding = (journals().alerts.add(new_alert(who=f"tester {n}")) for n in range(4))
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert {one.code for one in outcomes if isinstance(one, Failure)} == {Code.INVALID_ARGUMENT}


@pytest.mark.parametrize("change", [{"state": "fired"}, {"fired_count": 1}, {"fired": {}}, {"ended_ms": 1}])
async def test_an_alert_has_no_past_when_it_is_added(journal: Journal, change: dict[str, Any]):
    with pytest.raises(ValueError, match="never fired"):
        await journal.alerts.add(new_alert(**change))
    assert await journal.alerts.all() == []


# -- firing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", [False, True])
async def test_of_all_who_see_an_alert_fire_exactly_one_tells_of_it(journals: Another, repeat: bool):
    watchers = [journals(), journals(), journals()]
    await watchers[0].alerts.add(new_alert(repeat=repeat))
    firing = (watchers[n % 3].alerts.fire("a", {"by": n}, NOON_MS + n, 0) for n in range(12))
    told = await asyncio.gather(*firing)
    assert told.count(True) == 1
    alert = await watchers[1].alerts.get("a")
    assert alert is not None
    assert (alert.fired_count, alert.fired, alert.fired_ms) == (1, {"by": told.index(True)}, NOON_MS + told.index(True))


async def test_an_alert_that_repeats_fires_once_for_each_count(journals: Another):
    first, second = journals(), journals()
    await first.alerts.add(new_alert(repeat=True))
    for count in range(3):
        assert await first.alerts.fire("a", {"count": count}, NOON_MS + count, count)
        assert not await second.alerts.fire("a", {"late": count}, NOON_MS + count, count)
    assert not await first.alerts.fire("a", {}, NOON_MS, 4)
    (alert,) = await second.alerts.active(NOON_MS)
    assert alert == new_alert(repeat=True, fired_count=3, fired_ms=NOON_MS + 2, fired={"count": 2})


async def test_an_alert_that_does_not_repeat_fires_once(journal: Journal):
    await journal.alerts.add(new_alert())
    assert await journal.alerts.fire("a", SEEN, NOON_MS, 0)
    assert not await journal.alerts.fire("a", SEEN, NOON_MS, 0)
    assert not await journal.alerts.fire("a", SEEN, NOON_MS, 1)
    assert not await journal.alerts.fire("b", SEEN, NOON_MS, 0)


async def test_a_firing_is_recorded_though_its_caller_is_gone(journals: Another):
    journal = journals()
    await journal.alerts.add(new_alert())
    caller = asyncio.create_task(journal.alerts.fire("a", SEEN, NOON_MS, 0))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await journal.close()
    alert = await journals().alerts.get("a")
    assert alert is not None
    assert (alert.state, alert.fired) == ("fired", SEEN)
    with pytest.raises(Failure) as closed:
        await journal.alerts.get("a")
    assert closed.value.code is Code.JOURNAL_UNAVAILABLE


# -- expiry ------------------------------------------------------------------------------------------------------------


async def test_an_alert_expires_at_its_time_and_not_before(journal: Journal):
    await journal.alerts.add(new_alert("short", expires_ms=NOON_MS + 10))
    await journal.alerts.add(new_alert("long", expires_ms=NOON_MS + 11))
    await journal.alerts.add(new_alert("endless"))
    assert await journal.alerts.expire(NOON_MS + 9) == []
    assert names(await journal.alerts.active(NOON_MS + 9)) == ["endless", "long", "short"]
    assert names(await journal.alerts.active(NOON_MS + 10)) == ["endless", "long"]
    assert await journal.alerts.expire(NOON_MS + 10) == ["short"]
    assert await journal.alerts.expire(NOON_MS + 10) == []
    expired = await journal.alerts.get("short")
    assert expired == new_alert("short", expires_ms=NOON_MS + 10, state="expired", ended_ms=NOON_MS + 10)
    assert await journal.alerts.expire(NOON_MS + 10**12) == ["long"]


async def test_an_alert_whose_time_is_over_does_not_fire_whether_it_is_marked_or_not(journal: Journal):
    await journal.alerts.add(new_alert(expires_ms=NOON_MS + 10))
    assert not await journal.alerts.fire("a", SEEN, NOON_MS + 10, 0)
    assert await journal.alerts.expire(NOON_MS + 10) == ["a"]
    assert not await journal.alerts.fire("a", SEEN, NOON_MS + 9, 0)


async def test_an_alert_that_has_ended_does_not_expire_any_more(journal: Journal):
    for name in ("fired", "deleted"):
        await journal.alerts.add(new_alert(name, expires_ms=NOON_MS + 10))
    await journal.alerts.fire("fired", SEEN, NOON_MS, 0)
    await journal.alerts.delete("deleted")
    assert await journal.alerts.expire(NOON_MS + 10) == []


async def test_of_those_who_expire_alerts_at_once_each_alert_is_told_to_one(journals: Another):
    watchers = [journals(), journals()]
    await fill(watchers[0], 20, expires_ms=NOON_MS + 1)
    told = await asyncio.gather(*(watchers[n % 2].alerts.expire(NOON_MS + 1) for n in range(6)))
    assert sorted(name for some in told for name in some) == [f"filled {n:03}" for n in range(20)]


async def test_an_alert_that_fires_while_it_expires_does_one_of_both(journals: Another):
    watchers = [journals(), journals()]
    await fill(watchers[0], 10, expires_ms=NOON_MS + 1)
    firing = (watchers[0].alerts.fire(f"filled {n:03}", SEEN, NOON_MS, 0) for n in range(10))
    expired, fired = await asyncio.gather(watchers[1].alerts.expire(NOON_MS + 1), asyncio.gather(*firing))
    assert fired == [f"filled {n:03}" not in expired for n in range(10)]


# -- deletion ----------------------------------------------------------------------------------------------------------


async def test_a_deleted_alert_is_neither_listed_nor_fired(journals: Another, clock: Moment):
    first, second = journals(), journals()
    await first.alerts.add(new_alert(repeat=True))
    clock.now += 3
    assert await second.alerts.delete("a")
    assert not await first.alerts.delete("a")
    assert not await first.alerts.delete("b")
    assert not await first.alerts.fire("a", SEEN, NOON_MS, 0)
    assert await first.alerts.active(NOON_MS) == []
    assert await first.alerts.all() == []
    assert await first.alerts.get("a") == new_alert(repeat=True, state="deleted", ended_ms=clock.now)


async def test_an_alert_that_has_ended_can_be_deleted_from_the_list(journal: Journal, clock: Moment):
    await journal.alerts.add(new_alert())
    await journal.alerts.fire("a", SEEN, NOON_MS + 1, 0)
    clock.now += 9
    assert await journal.alerts.delete("a")
    alert = await journal.alerts.get("a")
    assert alert is not None
    assert (alert.state, alert.fired, alert.ended_ms) == ("deleted", SEEN, NOON_MS + 1)


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_there_are_never_more_active_alerts_than_the_limit(journals: Another):
    first, second = journals(), journals()
    await fill(first, MOST_ACTIVE - 1)
    # Connections that are open already, so that nobody has to wait for one and all are inside at once.
    await asyncio.gather(*(journal.alerts.active(NOON_MS) for journal in [first, second] * 2))
    adding = (journal.alerts.add(new_alert(f"new {n}")) for n, journal in enumerate([first, second] * 2))
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert {one.code for one in outcomes if isinstance(one, Failure)} == {Code.LIMIT_EXCEEDED}
    assert len(await first.alerts.active(NOON_MS)) == MOST_ACTIVE
    failure = await refusal(first, new_alert())
    assert failure.details == {"limit": "active_alerts", "value": str(MOST_ACTIVE)}


async def test_an_alert_that_is_deleted_or_has_fired_makes_room(journal: Journal):
    await fill(journal, MOST_ACTIVE)
    await journal.alerts.delete("filled 000")
    await journal.alerts.add(new_alert("one"))
    await journal.alerts.fire("filled 001", SEEN, NOON_MS, 0)
    await journal.alerts.add(new_alert("two"))
    assert (await refusal(journal, new_alert("three"))).code is Code.LIMIT_EXCEEDED


async def test_alerts_whose_time_is_over_take_no_room_though_nobody_has_marked_them(journal: Journal):
    await fill(journal, MOST_ACTIVE, expires_ms=NOON_MS + 1)
    assert (await refusal(journal, new_alert())).code is Code.LIMIT_EXCEEDED
    await journal.alerts.add(new_alert(created_ms=NOON_MS + 1))
    assert names(await journal.alerts.active(NOON_MS)) == ["a"]


async def test_of_alerts_that_have_ended_only_the_newest_are_kept(journal: Journal):
    await journal.alerts.add(new_alert("active"))
    await journal.alerts.add(new_alert("old, ended last"))
    await fill(journal, MOST_ENDED + 1, created_ms=NOON_MS + 1, state="expired", ended_ms=NOON_MS + 1)
    await journal.alerts.fire("old, ended last", SEEN, NOON_MS + 10_000, 0)
    await journal.alerts.add(new_alert("new"))
    kept = set(names(await journal.alerts.all(10_000)))
    assert len(kept) == MOST_ENDED + 2
    assert {"active", "new", "old, ended last", "filled 002", f"filled {MOST_ENDED:03}"} <= kept
    assert kept.isdisjoint({"filled 000", "filled 001"})


async def test_nothing_about_alerts_is_in_the_audit(journal: Journal):
    await journal.alerts.add(new_alert())
    await journal.alerts.fire("a", SEEN, NOON_MS, 0)
    await journal.alerts.delete("a")
    assert (await journal.read()).rows == []
