"""Several processes on one journal: they race, they die, and no order is recorded twice or forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import ccxt_mcp
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Journal
from journal.orders import new_alert, new_intent, no_limit

TESTS = Path(__file__).parents[1]
Process = asyncio.subprocess.Process
Another = Callable[[], Journal]


@asynccontextmanager
async def contenders(url: str, count: int, name: str = "contender.py") -> AsyncGenerator[list[Process]]:
    """Start processes that open the journal, and let them end by themselves."""
    pipe = asyncio.subprocess.PIPE
    places = [str(Path(ccxt_mcp.__file__).parents[1]), str(TESTS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    script = str(TESTS / "journal" / name)
    command = [sys.executable, "-W", "error", script, url]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert await said(process) == "ready"
        yield processes
        for process in processes:
            if process.returncode is None:
                _, complaints = await process.communicate(b"")
                assert (process.returncode, complaints) == (0, b"")
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def said(process: Process) -> str:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise AssertionError((await process.stderr.read()).decode())
    return line.decode().strip()


def tell(process: Process, *names: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{name}\n" for name in names).encode())


async def heard(process: Process, count: int) -> list[dict[str, Any]]:
    return [json.loads(await said(process)) for _ in range(count)]


async def test_of_two_processes_that_race_for_one_client_order_id_one_gets_it(url: str, journals: Another):
    names = [f"race {n}" for n in range(12)]
    async with contenders(url, 2) as processes:
        for process in processes:
            tell(process, *names)
        first, second = await asyncio.gather(*(heard(process, len(names)) for process in processes))
    assert [one["id"] for one in first] == [other["id"] for other in second]
    assert [one["new"] + other["new"] for one, other in zip(first, second, strict=True)] == [1] * len(names)
    journal = journals()
    assert len(await journal.recent(limit=100)) == len(names)
    assert (await journal.verify()).first_bad is None


async def test_what_a_killed_process_has_left_is_seen_at_once_and_holds_its_account(url: str, journals: Another):
    journal = journals()
    async with contenders(url, 1) as (process,):
        tell(process, "left")
        (left,) = await heard(process, 1)
        assert await journal.unresolved() == []
        process.kill()
        await process.wait()
    assert [intent.id for intent in await journal.unresolved()] == [left["id"]]
    with pytest.raises(Failure) as held:
        await journal.reserve(new_intent(), check=no_limit)
    assert held.value.code is Code.UNRESOLVED_ORDER
    assert await journal.claim(left["id"], 30) is not None


async def test_processes_that_make_a_new_journal_at_once_make_one(url: str, journals: Another):
    async with contenders(url, 3) as processes:
        for place, process in enumerate(processes):
            tell(process, str(place))
        await asyncio.gather(*(heard(process, 1) for process in processes))
    assert len(await journals().recent()) == 3
    assert (await journals().verify()).rows == 6


async def test_of_two_processes_that_see_an_alert_fire_one_tells_of_it(url: str, journals: Another):
    names = [f"race {n}" for n in range(12)]
    alerts = journals().alerts
    for n, name in enumerate(names):
        await alerts.add(new_alert(name, repeat=n % 2 == 0))
    async with contenders(url, 2, "watcher.py") as processes:
        for process in processes:
            tell(process, *names)
        first, second = await asyncio.gather(*(heard(process, len(names)) for process in processes))
    assert [one["mine"] + other["mine"] for one, other in zip(first, second, strict=True)] == [1] * len(names)
    assert [alert.fired_count for alert in await alerts.all()] == [1] * len(names)
