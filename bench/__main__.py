"""Run the benchmark: `python -m bench`, or `python -m bench a c` for some of its questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson
from rich.console import Console

import bench
from bench.measure import Answer
from bench.questions import (
    a_start,
    b_first_ticker,
    c_latency,
    d_cached,
    e_burst,
    f_compare,
    g_memory,
    h_bytes,
    i_order,
    j_orders,
    k_stream,
    l_live,
    m_stream_memory,
)
from bench.report import document, show

_WIDTH = 120  # columns, where there is no terminal that has some

QUESTIONS: Mapping[str, Callable[[], Answer]] = {
    module.__name__.rpartition(".")[2][0]: module.ask
    for module in (
        *(a_start, b_first_ticker, c_latency, d_cached, e_burst),
        *(f_compare, g_memory, h_bytes, i_order, j_orders),
        *(k_stream, l_live, m_stream_memory),
    )
}


def run(words: Sequence[str] | None = None, *, questions: Mapping[str, Callable[[], Answer]] = QUESTIONS) -> int:
    """Ask, print and return the exit code: 1 only when a target is missed and --check was given.

    Args:
        words: the command line; that of this process if None.
        questions: what can be asked, by letter.
    """
    options = _options(words, questions)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    answers: dict[str, Answer] = {}
    for letter in options.questions or questions:
        answers[letter] = questions[letter]()
        show(letter, answers[letter], console)
    missed = [letter for letter, answer in answers.items() if not answer.passed]
    console.print(f"Targets missed in: {', '.join(missed)}." if missed else "Every target is met.")
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(document(answers), option=orjson.OPT_INDENT_2))
    return 1 if missed and options.check else 0


def _options(words: Sequence[str] | None, questions: Mapping[str, object]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"{', '.join(questions)}; default: all")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    options = parser.parse_args(words)
    if unknown := [letter for letter in options.questions if letter not in questions]:
        parser.error(f"there is no question {unknown[0]!r}; choose from {', '.join(questions)}")
    return options


if __name__ == "__main__":
    sys.exit(run())
