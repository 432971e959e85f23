"""Fixtures of live streams: a simulator in three paces, and a hub over it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccxt_mcp.simulator import Simulator
from simulator.clocks import Clock
from streams.rig import Hurried, Rig, open_rig, until


@pytest.fixture
async def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Nothing is left running, and nothing is lost that only the event loop would hear of."""
    yield
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, asyncio.all_tasks)
    gc.collect()
    errors = [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR]
    assert not [record.getMessage() for record in errors]


@pytest.fixture
async def simulator(quiet: None) -> AsyncIterator[Simulator]:
    """An exchange in our own time, which tells at once what is new."""
    async with Simulator(tick=0.02, ip_limit=None, key_limit=None) as running:
        yield running


@pytest.fixture
async def rig(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, simulator) as opened:
        yield opened


@pytest.fixture
async def fast(tmp_path: Path, quiet: None) -> AsyncIterator[Rig]:
    """An exchange where a minute passes in a fifth of a second."""
    running = Simulator(clock=Hurried(300), tick=0.02, ip_limit=None, key_limit=None)
    async with running, open_rig(tmp_path, running) as opened:
        yield opened


@pytest.fixture
async def still(tmp_path: Path, quiet: None) -> AsyncIterator[Rig]:
    """An exchange whose time stands still, and whose streams speak only when told to."""
    clock = Clock()
    running = Simulator(clock=clock, tick=3600, ip_limit=None, key_limit=None)
    async with running, open_rig(tmp_path, running, clock) as opened:
        yield opened
