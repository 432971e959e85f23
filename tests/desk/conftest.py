"""Fixtures of the write route: an exchange, and a house that trades on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from ccxt_mcp.simulator import API_KEY, API_SECRET, Key, Simulator
from ccxt_mcp.simulator.keys import BALANCES
from conftest import in_own_task
from desk.house import House, open_house

RICH = Key(secret=API_SECRET, balances={**BALANCES, "USDT": Decimal(1_000_000)})


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """An exchange without limits of its own, where one is rich."""
    async with Simulator(ip_limit=None, key_limit=None, keys={API_KEY: RICH}) as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, simulator: Simulator) -> AsyncIterator[House]:
    async with in_own_task(open_house(tmp_path, simulator)) as opened:
        yield opened


@pytest.fixture
async def era_house(tmp_path: Path, simulator: Simulator, era: str) -> AsyncIterator[House]:
    """A house in each of the two eras of the protocol."""
    async with in_own_task(open_house(tmp_path, simulator, era)) as opened:
        yield opened


@pytest.fixture
async def hasty(tmp_path: Path, simulator: Simulator) -> AsyncIterator[House]:
    """A house that gives up soon."""
    async with in_own_task(open_house(tmp_path, simulator, deadline=1.0)) as opened:
        yield opened
