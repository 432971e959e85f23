"""Answers as text: every fact of the structured answer, compact and readable by a person."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from ccxt_mcp.envelope import Metadata, Table
from ccxt_mcp.times import iso

_TO_QUOTE = re.compile(r'[,"\n\r\v\f\x1c-\x1e\x85\u2028\u2029]')
_BREAKS_LINE = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_TIME_NAME = re.compile(r"(timestamp|time|since|until|expiry|created|updated|reset|eta|ms)$", re.IGNORECASE)
_TIMES_MS = range(1_000_000_000_000, 4_102_444_800_000)  # 2001 to 2100


def worded(data: Any) -> str:
    """Return plain data as `name: value` lines, then the tables; each line begins with its line feed."""
    lines = ["", *_facts("", data)]
    for name, table in _tables("", data):
        lines += _block(name, table)
    return "\n".join(lines)


def row_line(row: list[Any]) -> str:
    """Return a row as comma-separated values, quoted as in RFC 4180; None is empty, an empty text is `""`."""
    return ",".join(map(_cell, row))


def headline(metadata: Metadata) -> str:
    """Return the line about the answer: whose it is, how fresh, and what is left of the budget."""
    age = f"{metadata.age_ms / 1000:.1f} s"
    budget = metadata.rate_limit
    freshness = f"age {age}, cached" if metadata.cached else f"age {age}" if metadata.age_ms else None
    parts = (
        f"STALE: {age} old, the exchange does not answer now" if metadata.stale else None,
        metadata.exchange,
        metadata.mode,
        metadata.account and f"account {metadata.account}",
        iso(metadata.timestamp),
        None if metadata.stale else freshness,
        budget and f"budget {_scalar(round(budget.remaining, 3))} left, full {iso(budget.reset)}",
        f"request {metadata.request_id}",
    )
    return " · ".join(part for part in parts if part)


def _facts(name: str, value: Any) -> Iterator[str]:
    """Yield a line for each value outside of tables, its place in the answer as dotted name."""
    if isinstance(value, Table):
        return
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _facts(f"{name}.{key}" if name else _line(key), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list | Table) for item in value):
        for position, item in enumerate(value):
            yield from _facts(f"{name}[{position}]", item)
    elif isinstance(value, list) and value:
        yield f"{name or 'data'}: {', '.join(map(_cell, value))}"
    else:
        yield f"{name or 'data'}: {_line(_scalar(value))}{_moment(name, value)}"


def _tables(name: str, value: Any) -> Iterator[tuple[str, Table]]:
    if isinstance(value, Table):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tables(f"{name}.{key}" if name else _line(key), item)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _tables(f"{name}[{position}]", item)


def _block(name: str, table: Table) -> Iterator[str]:
    shown = len(table.rows)
    of_total = f" of {table.total}" if table.total not in {None, shown} else ""
    yield f"{name or 'rows'} ({shown}{of_total}): {row_line(list(table.columns))}"
    yield from map(row_line, table.rows)
    for label, value in (("next", table.next), ("note", table.note)):
        if value is not None:
            yield f"{name}.{label}: {_line(value)}" if name else f"{label}: {_line(value)}"


def _moment(name: str, value: Any) -> str:
    if type(value) is int and value in _TIMES_MS and _TIME_NAME.search(name):
        return f" ({iso(value)})"
    return ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if value == "":
        return '""'
    text = _scalar(value)
    if isinstance(value, float):
        return text
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def _line(text: str) -> str:
    """Return a text that cannot pass for more than one line, whatever an exchange put into it."""
    return orjson.dumps(text).decode() if _BREAKS_LINE.search(text) else text


def _scalar(value: Any) -> str:
    """Return the shortest text of a value; numbers without exponents as far as that is readable."""
    if isinstance(value, float):
        text = repr(value)
        if "e" in text and 1e-15 < abs(value) < 1e21:
            text = format(Decimal(text), "f")
        return text.removesuffix(".0")
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(item, str) and ";" not in item for item in value):
        return ";".join(value)
    return orjson.dumps(value).decode()
