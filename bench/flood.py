"""Many calls at the same time in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter


async def flood(calls: Sequence[Callable[[], Awaitable[object]]], in_flight: int) -> float:
    """Make calls, so many of them at the same time, and return the seconds."""
    left = iter(calls)

    async def one_after_the_other() -> None:
        for call in left:
            await call()

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_the_other())
    return perf_counter() - started
