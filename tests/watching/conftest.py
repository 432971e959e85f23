"""Fixtures of watching: a server over an exchange whose time goes on when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccxt_mcp.simulator import Simulator
from conftest import in_own_task
from desk.house import House, open_house
from simulator.clocks import Clock
from watching.market import Market, open_market


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    async with open_market(Clock()) as opened:
        yield opened


@pytest.fixture
async def open_market_house(tmp_path: Path, market: Market) -> AsyncIterator[Market]:
    """The market with a server's client that watches it."""
    async with in_own_task(open_house(tmp_path, market.simulator)) as house:
        market.house = house
        yield market


@pytest.fixture
async def lively(tmp_path: Path) -> AsyncIterator[House]:
    """A house over an exchange in our own time, as signed requests need it."""
    async with (
        Simulator(tick=0.05, ip_limit=None, key_limit=None) as simulator,
        in_own_task(open_house(tmp_path, simulator)) as house,
    ):
        yield house
