"""Raw ccxt in this process: the baseline of everything that goes to an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

from bench.flood import flood
from ccxt_mcp.simulator import API_KEY, API_SECRET, ccxt_config


class Direct:
    """ccxt's own async class on a simulator, as a program without a server would use it.

    Args:
        url: the simulator.
        limiter: whether ccxt's own rate limiter is on.
    """

    def __init__(self, url: str, *, limiter: bool) -> None:
        import ccxt.async_support

        self._runner = asyncio.Runner()
        own = {"apiKey": API_KEY, "secret": API_SECRET, "enableRateLimit": limiter, "timeout_on_exit": 0}
        config: Any = ccxt_config(url) | own
        self._exchange: Any = ccxt.async_support.bybit(config)
        self._runner.run(self._exchange.load_markets())

    def call(self, method: str, *arguments: Any) -> Any:
        """Return what one of ccxt's asynchronous methods returns."""
        return self._runner.run(getattr(self._exchange, method)(*arguments))

    def written(self, method: str, symbol: str, figure: float) -> float:
        """Return a figure as the market writes it, by ccxt's `price_to_precision` or `amount_to_precision`."""
        return float(getattr(self._exchange, method)(symbol, figure))

    def flood(self, method: str, calls: Sequence[Sequence[Any]], *, in_flight: int) -> float:
        """Return the seconds of many calls with different arguments, so many of them at the same time."""
        return self._runner.run(
            flood([partial(getattr(self._exchange, method), *arguments) for arguments in calls], in_flight)
        )

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
