"""(b) How long does a client wait for its first ticker from a server that it starts?"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.child import SERVER, configured
from bench.exchanges import Exchanges
from bench.measure import Answer, compared, in_turn, measured
from bench.questions.a_start import start_to_tools
from bench.session import Session, ticker

_ROUNDS = 7


def ask() -> Answer:
    """Start the server with and without the markets on disk, and on the simulator that it carries itself."""
    with TemporaryDirectory() as name, Exchanges(0) as exchanges:
        folder = Path(name)
        environment = configured(folder, {"shop": exchanges.urls[0]})

        def start_to_ticker(exchange: str, *, markets_on_disk: bool = True) -> float:
            if not markets_on_disk:
                shutil.rmtree(folder / "cache", ignore_errors=True)
            started = perf_counter()
            with Session(environment=environment) as session:
                session.time(ticker(exchange, "BTC/USDT"))
                return perf_counter() - started

        figures = in_turn(
            {
                "tools": partial(start_to_tools, SERVER, environment),
                "not on disk": partial(start_to_ticker, "shop", markets_on_disk=False),
                "on disk": partial(start_to_ticker, "shop"),
                "embedded": partial(start_to_ticker, "simulator"),
            },
            rounds=_ROUNDS,
        )
    tools = figures["tools"]
    return Answer(
        "Process start to the first ticker",
        [
            measured("tools/list, for comparison", tools),
            compared("ticker, markets on disk", figures["on disk"], tools),
            compared("ticker, markets not on disk", figures["not on disk"], tools),
            compared('ticker of the built-in exchange="simulator"', figures["embedded"], tools),
        ],
        baseline="the same server's start to tools/list",
        notes=["The exchange is a simulator of 25 markets without latency; real ones have up to 4 000."],
    )
