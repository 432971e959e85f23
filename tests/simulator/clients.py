"""Unmodified ccxt classes, pointed at a simulator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import ccxt.async_support
import ccxt.pro

from ccxt_mcp.simulator import API_KEY, API_SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from ccxt_mcp.simulator import Simulator
    from simulator.clocks import Clock


@asynccontextmanager
async def bybit(simulator: Simulator, *, pro: bool = False, **more: Any) -> AsyncGenerator[Any, None]:
    """The REST class, or the pro class, of ccxt; closed at once at the end."""
    config: Any = {**simulator.ccxt_config(), "enableRateLimit": False, **more}
    exchange: Any = ccxt.pro.bybit(config) if pro else ccxt.async_support.bybit(config)
    exchange.timeout_on_exit = 0
    try:
        yield exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def trader(simulator: Simulator, clock: Clock, key: str = API_KEY, secret: str = API_SECRET, *, pro: bool = False
) -> AsyncGenerator[Any, None]:  # fmt: skip
    """The class with a key, and with the simulator's clock to sign by; its markets are loaded."""
    async with bybit(simulator, pro=pro, apiKey=key, secret=secret) as exchange:
        exchange.nonce = exchange.milliseconds = lambda: clock.ms
        await exchange.load_markets()
        yield exchange


async def outcome(exchange: Any, order: Any, symbol: str = "BTC/USDT") -> Any:
    """An order as the exchange tells it, by what creating it answered."""
    return await exchange.fetch_order(order["id"], symbol, {"acknowledged": True})


async def heard(watching: Coroutine[Any, Any, Any], nudge: Callable[[], Awaitable[Any]]) -> Any:
    """What a first watch hears: its subscription takes a moment, so nudge until something is heard."""
    listening = asyncio.create_task(watching)
    while not listening.done():
        await nudge()
    return await listening
