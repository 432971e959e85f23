from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ccxt_mcp.simulator import Simulator
from simulator.clients import bybit, trader
from simulator.clocks import Clock, FastClock
from simulator.sockets import Client, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator(clock: Clock) -> AsyncIterator[Simulator]:
    """A simulator whose time stands still, and whose WebSocket speaks only when told to."""
    async with Simulator(clock=clock, tick=3600) as running:
        yield running


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.url) as session:
        yield session


@pytest.fixture(name="bybit")
async def bybit_fixture(simulator: Simulator) -> AsyncIterator[Any]:
    """The unmodified REST class of ccxt."""
    async with bybit(simulator) as exchange:
        yield exchange


@pytest.fixture
async def live() -> AsyncIterator[Any]:
    """The unmodified pro class of ccxt, on a simulator where a minute passes in 0.6 seconds."""
    async with Simulator(clock=FastClock(), tick=0.02) as running, bybit(running, pro=True) as exchange:
        yield exchange


@pytest.fixture(name="trader")
async def trader_fixture(simulator: Simulator, clock: Clock) -> AsyncIterator[Any]:
    """The unmodified REST class of ccxt with the simulator's key."""
    async with trader(simulator, clock) as exchange:
        yield exchange


@pytest.fixture
async def spot(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    async with http.ws_connect("/v5/public/spot") as socket:
        yield Client(socket)


@pytest.fixture
async def linear(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    async with http.ws_connect("/v5/public/linear") as socket:
        yield Client(socket)


@pytest.fixture
async def wire(http: aiohttp.ClientSession, clock: Clock) -> AsyncIterator[Wire]:
    async with http.ws_connect("/v5/private") as socket:
        yield Wire(socket, clock)


@pytest.fixture
async def pro(simulator: Simulator, clock: Clock) -> AsyncIterator[Any]:
    """The unmodified pro class of ccxt with the simulator's key."""
    async with trader(simulator, clock, pro=True) as exchange:
        yield exchange
