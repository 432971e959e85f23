"""Simulated exchanges in a process of their own, so that they take no time from what is measured.

`python -m bench.exchanges MOST LATENCY_MS…` runs one for each latency, tells their URLs as a line of JSON, answers each
line that it reads with the requests so far, and ends with its input. An API key may ask as often as it likes.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson

from bench.child import Child
from ccxt_mcp.simulator import Simulator

SYMBOLS = (
    *("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT", "ADA/USDT", "LTC/USDT", "LINK/USDT", "AVAX/USDT"),
    *("DOT/USDT", "USDC/USDT", "BTC/USDC", "ETH/USDC", "ETH/BTC", "SOL/BTC", "BTC/EUR", "ETH/EUR"),
    *("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT", "DOGE/USDT:USDT", "ADA/USDT:USDT"),
    "BTC/USDC:USDC",
)
"""Every market of the simulator that trades."""

WINDOW = 5.0
"""Seconds in which the exchange counts."""

MOST = 50
"""Requests in a window that ccxt's own figures for Bybit allow: 250 units, of which each public request costs 5."""


class Exchanges:
    """Simulators in a child process, one for each latency.

    Args:
        latencies_ms: how long each takes to answer, in milliseconds.
        most: how many requests each allows in a window; 0 for as many as come.
    """

    def __init__(self, *latencies_ms: float, most: int = 0) -> None:
        self._child = Child("-m", "bench.exchanges", str(most), *map(str, latencies_ms))
        self.urls: list[str] = orjson.loads(self._child.read())

    def refused(self) -> int:
        """Return how many requests were refused because they came too often."""
        return self._told()["rejected"]

    def requests(self) -> Counter[str]:
        """Return how many requests came to all of them, by path."""
        return Counter(self._told()["requests"])

    def _told(self) -> dict[str, Any]:
        self._child.write(b"\n")
        return orjson.loads(self._child.read())

    def __enter__(self) -> Exchanges:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()


async def _serve(most: int, latencies_ms: Sequence[float]) -> None:
    limit = (most, WINDOW) if most else None
    async with AsyncExitStack() as stack:
        simulators = [
            await stack.enter_async_context(Simulator(latency=latency / 1000, ip_limit=limit, key_limit=None))
            for latency in latencies_ms
        ]
        _tell([simulator.url for simulator in simulators])
        while await asyncio.to_thread(sys.stdin.readline):
            counts = [simulator.requests for simulator in simulators]
            by_path = sum((count.by_path for count in counts), Counter[str]())
            _tell({"rejected": sum(count.rejected for count in counts), "requests": by_path})


def _tell(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), [float(word) for word in sys.argv[2:]]))
