"""The simulator by itself, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from .simulator import Simulator


async def run(port: int = 7000, seed: int = 7, latency: float = 0.0) -> None:
    """Run a simulator until SIGINT or SIGTERM, and tell its address on stderr.

    `latency` is in seconds. Raises OSError when the port is taken.
    """
    simulator = Simulator(seed=seed, latency=latency)
    await simulator.start(port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no signal handlers on loops; there Ctrl-C cancels this coroutine.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    sys.stderr.write(f"simulator: {simulator.url} (seed {seed})\n")
    sys.stderr.flush()
    try:
        await stop.wait()
    finally:
        await simulator.close()
