"""What a run says: a table for each question, and all of it as JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.measure import Answer, Finding

_TIMES = "\N{MULTIPLICATION SIGN}"


def show(letter: str, answer: Answer, console: Console) -> None:
    """Print an answer as a table."""
    console.print(f"[bold]({letter}) {escape(answer.question)}[/]")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("measured", "baseline", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for finding in answer.findings:
        table.add_row(*_row(finding))
    console.print(table)
    if answer.baseline:
        console.print(f"[dim]Baseline: {escape(answer.baseline)}.[/]")
    for note in answer.notes:
        console.print(f"[dim]{escape(note)}[/]")
    console.print()


def document(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return a whole run as JSON data."""
    versions = {name: version(name) for name in ("ccxt-mcp-server", "ccxt", "mcp")}
    return {
        "versions": versions | {"python": platform.python_version(), "system": platform.system()},
        "questions": {letter: _answer(answer) for letter, answer in answers.items()},
    }


def _row(finding: Finding) -> tuple[str, ...]:
    unit = escape(finding.unit)
    verdict = {True: "[green]pass[/]", False: "[red]MISSED[/]", None: ""}[finding.passed]
    return (
        escape(finding.what),
        f"{_number(finding.figure)} {unit}",
        "" if finding.baseline is None else f"{_number(finding.baseline)} {unit}",
        "" if finding.ratio is None else f"{finding.ratio:.2f}{_TIMES}",
        "" if finding.target is None else f"{finding.target}{'' if finding.ratio is None else _TIMES}",
        verdict,
    )


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "baseline": answer.baseline,
        "notes": list(answer.notes),
        "passed": answer.passed,
        "findings": [_finding(finding) for finding in answer.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "what": finding.what,
        "figure": finding.figure,
        "unit": finding.unit,
        "baseline": finding.baseline,
        "ratio": finding.ratio,
        "target": None if finding.target is None else str(finding.target),
        "passed": finding.passed,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _number(figure: float) -> str:
    digits = 0 if figure >= 100 or figure == int(figure) else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}"
