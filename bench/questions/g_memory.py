"""(g) How much memory does the server hold?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import BARE, SERVER, Child, configured, resident_mib
from bench.exchanges import Exchanges
from bench.measure import Answer, compared, in_turn, measured
from bench.session import Session, ticker

_ROUNDS = 3
_PLAIN_IMPORT = "import ccxt.async_support; print(flush=True); input()"


def ask() -> Answer:
    """Start each, let it do its work, and look at its resident set."""
    with TemporaryDirectory() as folder, Exchanges(0) as exchanges:
        environment = configured(Path(folder), {"shop": exchanges.urls[0]})
        figures = in_turn(
            {
                "bare": partial(_after_tools, BARE, environment),
                "start": partial(_after_tools, SERVER, environment),
                "exchange": partial(_after_ticker, environment),
                "import": _after_import,
            },
            rounds=_ROUNDS,
        )
    bare = figures["bare"]
    in_mib = partial(compared, unit="MiB", scale=1)
    return Answer(
        "Resident memory",
        [
            measured("a bare MCPServer with one tool", bare, unit="MiB", scale=1),
            in_mib("the server after tools/list", figures["start"], bare),
            in_mib("the server after one exchange's first ticker", figures["exchange"], bare),
            in_mib("a process that imports ccxt.async_support, no more", figures["import"], bare),
        ],
        baseline="the bare MCPServer",
        notes=["The exchange is a simulator of 25 markets; real ones have up to 4 000, and take more."],
    )


def _after_tools(command: Sequence[str], environment: Mapping[str, str]) -> float:
    with Session(command, environment=environment) as session:
        session.tools()
        return resident_mib(session.child)


def _after_ticker(environment: Mapping[str, str]) -> float:
    with Session(environment=environment) as session:
        session.call(ticker("shop", "BTC/USDT"))
        return resident_mib(session.child)


def _after_import() -> float:
    with Child("-c", _PLAIN_IMPORT) as child:
        child.read()
        return resident_mib(child)
