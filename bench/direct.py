"""Raw ccxt in this process: the baseline of everything that goes to an exchange."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from ccxt_mcp.simulator import ccxt_config


class Direct:
    """ccxt's own async class on a simulator, as a program without a server would use it.

    Args:
        url: the simulator.
        limiter: whether ccxt's own rate limiter is on.
    """

    def __init__(self, url: str, *, limiter: bool) -> None:
        import ccxt.async_support

        self._runner = asyncio.Runner()
        config: Any = ccxt_config(url) | {"enableRateLimit": limiter, "timeout_on_exit": 0}
        self._exchange: Any = ccxt.async_support.bybit(config)
        self._runner.run(self._exchange.load_markets())

    def time(self, method: str, *arguments: Any) -> float:
        """Return the seconds of one call."""

        async def timed() -> float:
            started = perf_counter()
            await getattr(self._exchange, method)(*arguments)
            return perf_counter() - started

        return self._runner.run(timed())

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._exchange.close())
        self._runner.close()
