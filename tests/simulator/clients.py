"""Unmodified ccxt classes, pointed at a simulator."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import ccxt.async_support
import ccxt.pro

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ccxt_mcp.simulator import Simulator


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
