"""(a) How long does a client wait for the tools of a server that it starts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.child import BARE, SERVER, configured
from bench.measure import Answer, at_most, compared, in_turn
from bench.session import ERAS, Era, Session

_ROUNDS = 9
_COMMANDS = {"server": SERVER, "bare": BARE}


def ask() -> Answer:
    """Start both, again and again, in both eras of the protocol."""
    with TemporaryDirectory() as folder:
        environment = configured(Path(folder), {})
        subjects = {
            (name, era): partial(start_to_tools, command, environment, era)
            for era in ERAS
            for name, command in _COMMANDS.items()
        }
        figures = in_turn(subjects, rounds=_ROUNDS)
    return Answer(
        "Process start to a successful tools/list over stdio",
        [compared(f"{era} era", figures["server", era], figures["bare", era], target=at_most(1.35)) for era in ERAS],
        baseline="a bare MCPServer with one tool, on the SDK's own stdio",
        notes=["The first start of each writes its bytecode and does not count."],
    )


def start_to_tools(command: Sequence[str], environment: Mapping[str, str], era: Era = "legacy") -> float:
    """Return the seconds from the start of a server to its tools."""
    started = perf_counter()
    with Session(command, environment=environment, era=era) as session:
        session.tools()
        return perf_counter() - started
