"""Run the simulator by itself: python -m ccxt_mcp.simulator --port 7000 --seed 7 --latency-ms 0."""

from __future__ import annotations

import argparse
import asyncio

from .run import run


def main() -> None:
    """Read the command line and run until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m ccxt_mcp.simulator", description="An exchange that speaks Bybit v5."
    )
    parser.add_argument("--port", type=int, default=7000, help="port on 127.0.0.1, 0 for a free one (default 7000)")
    parser.add_argument("--seed", type=int, default=7, help="chooses the world of prices (default 7)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of every answer (default 0)")
    options = parser.parse_args()
    try:
        asyncio.run(run(port=options.port, seed=options.seed, latency=options.latency_ms / 1000))
    except OSError as error:
        parser.exit(1, f"simulator: cannot listen on port {options.port}: {error.strerror}\n")


if __name__ == "__main__":
    main()
