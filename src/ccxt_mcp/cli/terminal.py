"""What a person sees: answers and tools as blocks, tables and drawings. Standard output is for them alone."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.charts import DOWN, QUIET, UP, BookLadder, CandleChart
from ccxt_mcp.cli.figures import grouped, is_number, pointed
from ccxt_mcp.times import iso

_TIMES_MS = range(1_000_000_000_000, 4_102_444_800_000)  # 2001 to 2100
_TIME_WORDS = ("time", "timestamp", "reset", "created", "updated", "expires", "since", "ms")
_SIGNED = ("percentage", "changepercent", "changepct", "change", "deviationbps", "imbalance", "fundingrate", "gapbps")
_STATES = {"closed": UP, "open": DOWN, "half-open": "yellow", "half_open": "yellow"}


class Screen(Console):
    """A console that stays calm when its reader leaves: what is still written goes nowhere."""

    def on_broken_pipe(self) -> None:
        """Let go of the stream that nobody reads."""
        leave_stdout()


def leave_stdout() -> None:
    """Send what is still written to stdout nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def screen(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr: colours only for a terminal, and never a character that it cannot show."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return Screen(file=stream, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print one line of JSON on stdout, in UTF-8 and as long as it is."""
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")


def answer_view(tool: str, envelope: Mapping[str, Any]) -> RenderableType:
    """Return an envelope drawn for a person: a chart where there is one, else facts and tables.

    Args:
        tool: which tool answered; it decides the drawing.
        envelope: the answer's structured content.
    """
    if not envelope.get("success"):
        return failure_view(envelope.get("error") or {})
    data = _flat(envelope.get("data") or {})
    parts: list[RenderableType] = []
    if tool == "market_ohlcv" and data.get("candles"):
        parts.append(CandleChart(data.pop("candles")["rows"]))
    elif tool == "market_orderbook":
        parts.append(BookLadder(data))
        data = {name: value for name, value in data.items() if name not in {"bids", "asks"}}
    facts = {name: value for name, value in data.items() if not _is_table(value)}
    if facts:
        parts.insert(0, facts_view(facts))
    for name, value in data.items():
        if _is_table(value):
            view = TableView(value)
            parts.append(Group(Text(name, style="bold"), view) if len(data) > 1 else view)
    parts.append(_footer(envelope.get("metadata") or {}))
    return Group(*_spaced(parts))


def failure_view(error: Mapping[str, Any]) -> RenderableType:
    """Return a failure as a short red panel: what went wrong, and what to do next."""
    lines = [Text(str(error.get("message", "")))]
    if hint := error.get("hint"):
        lines.append(Text.assemble(("→ ", "bold"), str(hint)))
    if wait := error.get("retryAfterMs"):
        lines.append(Text(f"retry after {grouped(round(wait / 1000, 1))} s", style=QUIET))
    for name, value in (error.get("details") or {}).items():
        rows: list[Any] = value if isinstance(value, list) else [value]
        if rows and all(isinstance(row, list) for row in rows):
            lines += [Text(f"{' · '.join(map(shown, row))}", style=QUIET) for row in rows]
        else:
            lines.append(Text.assemble((f"{name}: ", QUIET), ", ".join(map(shown, rows))))
    title = f"[bold]{escape(str(error.get('code', '')))}[/] {escape(str(error.get('reason', '')))}"
    return Panel(Group(*lines), title=title, title_align="left", border_style=DOWN, box=box.ROUNDED, padding=(0, 1))


def facts_view(facts: Mapping[str, Any]) -> RenderableType:
    """Return names and values under each other, in two columns when there are many."""
    pairs = [(name, _fact(name, value)) for name, value in facts.items()]
    half = (len(pairs) + 1) // 2 if len(pairs) > 9 and all(len(text) <= 24 for _, text in pairs) else len(pairs)
    grid = Grid.grid(padding=(0, 2))
    for _ in range(-(-len(pairs) // half) if half else 0):
        grid.add_column(style=QUIET, no_wrap=True)
        grid.add_column(overflow="fold", min_width=20)
    for row in range(half):
        cells = [pairs[place] for place in range(row, len(pairs), half)]
        grid.add_row(*(cell for name, value in cells for cell in (name, value)))
    return grid


class TableView:
    """Columns and rows, drawn in the first form that fits the terminal.

    At best decimal points stand under each other; else numbers end under each other; else each row becomes a column,
    and where that is too wide as well, a paragraph.

    Args:
        table: columns, rows, and what else the answer says of them.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        names, rows = table["columns"], table["rows"]
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        self._columns = {name: values for name, values in columns.items() if any(value is not None for value in values)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width at hand."""
        if self._columns:
            unbounded = options.update(width=10_000)
            forms = (self._upright(gap=2, points=True), self._upright(gap=2), self._upright(gap=1), self._turned())
            fitting = (form for form in forms if form.__rich_measure__(console, unbounded).maximum <= options.max_width)
            if (form := next(fitting, None)) is not None:
                yield form
            else:
                yield from _spaced([facts_view(row) for row in self._rows()])
        yield from _table_notes(self._table)

    def _upright(self, *, gap: int, points: bool = False) -> Grid:
        grid = Grid(box=None, header_style=QUIET, pad_edge=False, padding=(0, gap, 0, 0))
        for name, values in self._columns.items():
            numeric = _is_numeric(name, values)
            # Cells with points are padded already: rich's own alignment to the right drops the spaces behind them.
            justify = "right" if numeric and not points else "left"
            grid.add_column(Text(name, justify="right" if numeric else "left"), justify=justify, overflow="fold")
        for row in zip(*(_cells(name, values, points=points) for name, values in self._columns.items()), strict=True):
            grid.add_row(*row)
        return grid

    def _rows(self) -> Iterator[dict[str, Any]]:
        for row in zip(*self._columns.values(), strict=True):
            yield {name: value for name, value in zip(self._columns, row, strict=True) if value is not None}

    def _turned(self) -> Grid:
        grid = Grid.grid(padding=(0, 2, 0, 0))
        grid.add_column(style=QUIET)
        for name, values in self._columns.items():
            grid.add_row(name, *_cells(name, values))
        if (several := grid.columns[1:])[1:]:
            for column in several:
                column.justify = "right"
        return grid


def shown(value: Any) -> str:
    """Return a JSON value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return grouped(value)
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "-"
    if isinstance(value, dict):
        pairs: Mapping[str, Any] = value
        return " · ".join(f"{name} {_fact(name, item)}" for name, item in pairs.items())
    return str(value)


def _cells(name: str, values: Sequence[Any], *, points: bool = False) -> list[Text]:
    if not points or not _is_numeric(name, values):
        return [_fact(name, value) for value in values]
    texts = pointed(values, width=len(name))
    return [Text(text, style=_style(name, value)) for text, value in zip(texts, values, strict=True)]


def _is_numeric(name: str, values: Sequence[Any]) -> bool:
    numbers = [value for value in values if value is not None]
    return bool(numbers) and all(map(is_number, numbers)) and not _is_time(name, values)


def _fact(name: str, value: Any) -> Text:
    if _is_time(name, [value]):
        return Text(_moment(value))
    return Text(shown(value), style=_style(name, value))


def _style(name: str, value: Any) -> str:
    if is_number(value) and name.lower() in _SIGNED and value:
        return UP if value > 0 else DOWN
    if name == "state" and isinstance(value, str):
        return _STATES.get(value, "")
    return ""


def _is_time(name: str, values: Sequence[Any]) -> bool:
    """Return whether these are times in milliseconds: they look like it, and their name says so."""
    present = [value for value in values if value is not None]
    return (
        name.lower().endswith(_TIME_WORDS)
        and bool(present)
        and all(isinstance(value, int) and value in _TIMES_MS for value in present)
    )


def _moment(ms: int | None) -> str:
    return (iso(ms) or "-").replace("T", " ").replace("Z", "")


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and {"columns", "rows"} <= value.keys()


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with the tables of a group beside the others, each with its group's name before its own."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict) and value and all(map(_is_table, value.values())):  # pyright: ignore[reportUnknownArgumentType,reportUnknownMemberType]
            group: dict[str, Any] = value
            flat |= {f"{name} {own}": table for own, table in group.items()}
        else:
            flat[name] = value
    return flat


def _table_notes(table: Mapping[str, Any]) -> Iterator[RenderableType]:
    notes: list[str] = []
    count, total = len(table["rows"]), table.get("total")
    if total is not None and total != count:
        notes.append(f"{count} of {total}")
    if cursor := table.get("next"):
        notes.append(f"next page: cursor={cursor}")
    if note := table.get("note"):
        notes.append(str(note))
    if not table["rows"]:
        notes.append("no rows")
    if notes:
        yield Text(" · ".join(notes), style=QUIET)


def _footer(metadata: Mapping[str, Any]) -> RenderableType:
    age = metadata.get("ageMs") or 0
    fresh = f"cached, {grouped(round(age / 1000, 1))} s old" if metadata.get("cached") else "fresh"
    budget = metadata.get("rateLimit") or {}
    parts = [
        metadata.get("exchange"),
        metadata.get("mode"),
        f"account {metadata['account']}" if metadata.get("account") else None,
        f"STALE, {grouped(round(age / 1000, 1))} s old" if metadata.get("stale") else fresh,
        f"budget {grouped(round(budget['remaining'], 1))} left" if "remaining" in budget else None,
        f"id {metadata.get('requestId')}",
    ]
    return Text(" · ".join(part for part in parts if part), style="yellow" if metadata.get("stale") else QUIET)


def _spaced(parts: Sequence[RenderableType]) -> Iterator[RenderableType]:
    """Yield the parts with an empty line between each two."""
    for place, part in enumerate(parts):
        if place:
            yield Text()
        yield part
