from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.batch import Batcher
from virtual_time import VirtualTimeLoop, now, run, settle


class Venue:
    """An upstream that notes what it was asked for, alone and together."""

    def __init__(self, takes: float = 1.0) -> None:
        self.takes = takes
        self.singles: list[str] = []
        self.batches: list[tuple[str, ...]] = []
        self.unknown: set[str] = set()
        self.cheaper_together = True
        self.failure: Exception | None = None
        self.finished = 0

    def batcher(self, **settings: int) -> Batcher[str, str]:
        return Batcher(one=self.one, many=self.many, worthwhile=self.worthwhile, clock=now, **settings)

    async def one(self, key: str) -> str:
        self.singles.append(key)
        await asyncio.sleep(self.takes)
        if key == "wrong":
            raise Failure(Code.UNKNOWN_SYMBOL, "no such symbol")
        self.finished += 1
        return f"{key} alone"

    async def many(self, keys: tuple[str, ...]) -> Mapping[str, str]:
        self.batches.append(keys)
        await asyncio.sleep(self.takes)
        if self.failure is not None:
            raise self.failure
        self.finished += 1
        return {key: f"{key} together" for key in keys if key not in self.unknown}

    async def worthwhile(self, keys: tuple[str, ...]) -> bool:
        assert len(keys) > 1
        return self.cheaper_together


async def test_a_lone_caller_is_served_alone_and_without_any_delay():
    venue = Venue()
    assert await venue.batcher().get("a") == "a alone"
    assert now() == venue.takes
    assert venue.batches == []


async def test_callers_at_the_same_time_share_one_request():
    venue = Venue()
    batcher = venue.batcher()
    got = await asyncio.gather(*(batcher.get(key) for key in "abc"))
    assert got == ["a together", "b together", "c together"]
    assert (venue.batches, venue.singles) == ([("a", "b", "c")], [])


@pytest.mark.parametrize("passes", [0, 3, 8])
async def test_callers_who_come_some_passes_of_a_busy_loop_apart_share_one_request(passes: int):
    venue = Venue()
    batcher = venue.batcher()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    callers: list[asyncio.Task[str]] = []
    for number in range(50):
        callers.append(asyncio.ensure_future(batcher.get(str(number))))
        await settle(passes)
        loop.leap(0.0003)  # what it takes to handle one message
    await asyncio.gather(*callers)
    assert [len(keys) for keys in venue.batches] == [50]


async def test_a_batch_gathers_for_a_limited_time_even_if_callers_never_cease():
    venue = Venue()
    batcher = venue.batcher()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    callers: list[asyncio.Task[str]] = []
    for number in range(90):
        callers.append(asyncio.ensure_future(batcher.get(str(number))))
        await settle(1)
        loop.leap(0.001)
    await asyncio.gather(*callers)
    assert len(venue.batches) in {3, 4}


async def test_a_full_batch_goes_and_the_next_caller_starts_another():
    venue = Venue()
    batcher = venue.batcher(max_keys=4)
    await asyncio.gather(*(batcher.get(key) for key in "abcdefghij"))
    assert venue.batches == [tuple("abcd"), tuple("efgh"), tuple("ij")]


async def test_a_full_batch_does_not_wait_for_anybody():
    venue = Venue()
    batcher = venue.batcher(max_keys=2)
    callers = [asyncio.ensure_future(batcher.get(key)) for key in "ab"]
    await settle(4)
    assert venue.batches == [("a", "b")]
    await asyncio.gather(*callers)


async def test_two_callers_of_one_key_count_once():
    venue = Venue()
    batcher = venue.batcher()
    assert await asyncio.gather(batcher.get("a"), batcher.get("a")) == ["a alone"] * 2
    assert venue.singles == ["a"]


async def test_where_together_costs_more_each_is_asked_for_alone_and_at_once():
    venue = Venue()
    venue.cheaper_together = False
    batcher = venue.batcher()
    got = await asyncio.gather(*(batcher.get(key) for key in "abc"))
    assert got == ["a alone", "b alone", "c alone"]
    assert now() == venue.takes


async def test_a_common_request_that_fails_is_followed_by_single_ones():
    venue = Venue()
    venue.failure = Failure(Code.BAD_REPLY, "garbage")
    batcher = venue.batcher()
    got = await asyncio.gather(batcher.get("a"), batcher.get("wrong"), batcher.get("c"), return_exceptions=True)
    assert (got[0], got[2]) == ("a alone", "c alone")
    assert isinstance(got[1], Failure)
    assert got[1].code is Code.UNKNOWN_SYMBOL
    assert now() == 2 * venue.takes


async def test_a_key_that_the_common_answer_lacks_is_asked_for_alone():
    venue = Venue()
    venue.unknown = {"b"}
    batcher = venue.batcher()
    got = await asyncio.gather(*(batcher.get(key) for key in "abc"))
    assert got == ["a together", "b alone", "c together"]


async def test_a_defect_in_the_common_request_reaches_every_caller():
    venue = Venue()
    venue.failure = ZeroDivisionError("a defect")
    batcher = venue.batcher()
    got = await asyncio.gather(batcher.get("a"), batcher.get("b"), return_exceptions=True)
    assert [type(one) for one in got] == [ZeroDivisionError] * 2
    assert venue.singles == []


@pytest.mark.parametrize("when", [0.0, 0.5])
@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_cancelled_caller_does_not_disturb_the_others(when: float, leaver: int):
    venue = Venue()
    batcher = venue.batcher()
    callers = [asyncio.ensure_future(batcher.get(key)) for key in "abc"]
    await asyncio.sleep(when)
    callers[leaver].cancel()
    got = await asyncio.gather(*callers, return_exceptions=True)
    assert [one for one in got if isinstance(one, str)] == [f"{key} together" for key in "abc" if key != "abc"[leaver]]
    assert len(venue.batches) == 1


async def test_a_caller_who_leaves_while_keys_are_gathered_is_not_asked_for():
    venue = Venue()
    batcher = venue.batcher()
    callers = [asyncio.ensure_future(batcher.get(key)) for key in "abc"]
    await settle(2)
    callers[0].cancel()
    await asyncio.wait(callers)
    assert venue.batches == [("b", "c")]


@pytest.mark.parametrize("when", [0.0, 0.5])
async def test_a_batch_that_nobody_waits_for_is_cancelled_and_the_next_caller_is_served(when: float):
    venue = Venue()
    batcher = venue.batcher()
    callers = [asyncio.ensure_future(batcher.get(key)) for key in "abc"]
    await asyncio.sleep(when)
    for caller in callers:
        caller.cancel()
    await asyncio.sleep(0)
    assert await batcher.get("a") == "a alone"
    assert venue.finished == 1
    assert await asyncio.gather(batcher.get("a"), batcher.get("b")) == ["a together", "b together"]


async def test_closing_ends_every_request():
    venue = Venue(takes=1000)
    batcher = venue.batcher()
    callers = [asyncio.ensure_future(batcher.get(key)) for key in "abc"]
    await asyncio.sleep(1)
    await batcher.close()
    got = await asyncio.gather(*callers, return_exceptions=True)
    assert [one.code for one in got if isinstance(one, Failure)] == [Code.NETWORK] * 3
    assert now() == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.integers(0, 30),  # passes of the loop before it asks
            st.sampled_from([None, None, 0.0, 0.5, 1.5]),  # seconds until it gives up
        ),
        max_size=30,
    ),
    st.sets(st.sampled_from("abcdef")),
    st.booleans(),
)
def test_whoever_stays_gets_the_value_of_the_key_that_was_asked_for(arrivals, unknown, failing):
    async def main() -> None:
        venue = Venue()
        venue.unknown = unknown
        venue.failure = Failure(Code.TIMEOUT, "slow") if failing else None
        batcher = venue.batcher(max_keys=4)

        async def call(key: str, passes: int, patience: float | None) -> None:
            await settle(passes)
            asking = asyncio.ensure_future(batcher.get(key))
            await asyncio.wait([asking], timeout=patience)
            if asking.done():
                assert asking.result() in {f"{key} alone", f"{key} together"}
            asking.cancel()

        await asyncio.gather(*(call(*arrival) for arrival in arrivals))
        await batcher.close()
        assert all(len(keys) <= 4 for keys in venue.batches)

    run(main())
