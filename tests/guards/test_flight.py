from __future__ import annotations

import asyncio
import gc
import traceback
from contextvars import ContextVar
from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.flight import Flight
from virtual_time import settle

caller: ContextVar[str] = ContextVar("caller", default="nobody")


class Work:
    """A piece of work whose end the test decides."""

    def __init__(self) -> None:
        self.end: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.landed: list[Flight[Any]] = []
        self.flight: Flight[Any] = Flight(self._run(), self.landed.append)

    async def _run(self) -> Any:
        return await self.end


async def test_all_who_join_get_the_one_result():
    work = Work()
    joined = [asyncio.ensure_future(work.flight.join()) for _ in range(3)]
    await settle()
    work.end.set_result(42)
    assert await asyncio.gather(*joined) == [42, 42, 42]
    assert work.landed == [work.flight]
    assert await work.flight.join() == 42


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_a_cancelled_caller_first_or_not_disturbs_nobody(leaver):
    work = Work()
    joined = [asyncio.ensure_future(work.flight.join()) for _ in range(3)]
    await settle()
    joined[leaver].cancel()
    await settle()
    assert work.flight.joinable
    work.end.set_result(42)
    stayed = [task for number, task in enumerate(joined) if number != leaver]
    assert await asyncio.gather(*stayed) == [42, 42]


async def test_the_work_is_cancelled_with_its_last_caller():
    work = Work()
    joined = [asyncio.ensure_future(work.flight.join()) for _ in range(2)]
    await settle()
    for task in joined:
        task.cancel()
    await settle()
    assert work.end.cancelled()
    assert not work.flight.joinable
    assert work.landed == [work.flight]


async def test_a_failure_reaches_every_caller_as_its_own_object():
    work = Work()
    joined = [asyncio.ensure_future(work.flight.join()) for _ in range(3)]
    await settle()
    cause = ValueError("why")
    failure = Failure(Code.UNKNOWN_SYMBOL, "no such symbol", hint="look", retry_after=2.0, details={"candidates": []})
    failure.__cause__ = cause
    work.end.set_exception(failure)
    seen = await asyncio.gather(*joined, return_exceptions=True)
    assert len({id(one) for one in seen}) == 3
    for one in seen:
        assert isinstance(one, Failure)
        assert vars(one) == vars(failure)
        assert (one.args, one.__cause__) == (failure.args, cause)
        assert "_run" in "".join(traceback.format_exception(one))


async def test_the_traceback_of_another_error_does_not_grow_with_its_callers():
    work = Work()
    joined = [asyncio.ensure_future(work.flight.join()) for _ in range(50)]
    await settle()
    work.end.set_exception(KeyError("a defect"))
    seen = await asyncio.gather(*joined, return_exceptions=True)
    for one in seen:
        assert isinstance(one, KeyError)
        assert len(traceback.extract_tb(one.__traceback__)) < 10


async def test_work_that_is_cancelled_from_within_is_a_failure_and_no_cancellation():
    work = Work()
    joined = asyncio.ensure_future(work.flight.join())
    await settle()
    work.end.cancel()
    with pytest.raises(Failure, match="dropped") as dropped:
        await joined
    assert dropped.value.code is Code.NETWORK


async def test_cancelling_waits_for_the_end_of_the_work():
    ended: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            ended.append("tidied")

    flight = Flight(tidy(), lambda _flight: None)
    joined = asyncio.ensure_future(flight.join())
    await settle()
    await flight.cancel()
    assert ended == ["tidied"]
    with pytest.raises(Failure, match="dropped"):
        await joined


async def test_an_error_that_no_caller_is_left_to_see_is_not_reported_as_forgotten():
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            raise Failure(Code.TIMEOUT, "late") from None

    flight = Flight(stubborn(), lambda _flight: None)
    joined = asyncio.ensure_future(flight.join())
    await settle()
    joined.cancel()
    await settle()
    del flight, joined
    gc.collect()
    await settle()
    assert reports == []


async def test_the_work_runs_in_the_context_of_the_first_caller():
    async def who() -> str:
        await asyncio.sleep(0)
        return caller.get()

    caller.set("first")
    flight = Flight(who(), lambda _flight: None)
    caller.set("second")
    assert await flight.join() == "first"
