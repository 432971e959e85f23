"""Audit: rows that are only added, each bound to the one before by its hash.

Anybody who can write the database can also make a new chain from any row on. What can be told from the rows alone is
that one was changed, taken out, put in or moved while the rest stayed. That rows at the end are missing, or that the
whole end was made anew, only a head tells that was kept elsewhere: the verifier takes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.sql import ColumnElement

from ccxt_mcp.journal.document import read, written
from ccxt_mcp.journal.locks import AUDIT, lock
from ccxt_mcp.journal.records import Entries, Entry, Event, Verified
from ccxt_mcp.journal.schema import audit
from ccxt_mcp.text import clean_text

GENESIS = "0" * 64

# Statements of every order are built once; to build them takes longer than to run them.
_LAST = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
_INSERT = audit.insert()
_NAMES = ("tool", "exchange", "account", "mode", "client_order_id")
_LONGEST_NAME = 200
_BATCH = 500  # rows that are looked at together


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A row of the audit before it is written; see `Entry`."""

    event: Event
    who: str
    tool: str | None = None
    exchange: str | None = None
    account: str | None = None
    mode: str | None = None
    client_order_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows of the audit are wanted; None for any.

    Attributes:
        since: written at this time or later, in milliseconds since the epoch.
        until: written before this time.
        exchange: where.
        account: whose.
        event: what happened.
        client_order_id: of which intent.
    """

    since: int | None = None
    until: int | None = None
    exchange: str | None = None
    account: str | None = None
    event: str | None = None
    client_order_id: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield a condition for each that is given."""
        if self.since is not None:
            yield audit.c.time_ms >= self.since
        if self.until is not None:
            yield audit.c.time_ms < self.until
        for name in ("exchange", "account", "event", "client_order_id"):
            if (value := getattr(self, name)) is not None:
                yield audit.c[name] == value


def append(connection: Connection, entry: NewEntry, now: int) -> Entry:
    """Add a row to the audit.

    Args:
        connection: one within a transaction.
        entry: the row.
        now: the present, in milliseconds since the epoch.
    """
    lock(connection, AUDIT)
    last = connection.execute(_LAST).first()
    values: dict[str, Any] = {
        "seq": 1 if last is None else last.seq + 1,
        "time_ms": now,
        "event": entry.event,
        "who": clean_text(entry.who, _LONGEST_NAME),
        **{name: _name(getattr(entry, name)) for name in _NAMES},
        "facts": written(entry.facts),
        "prev": GENESIS if last is None else last.hash,
    }
    values["hash"] = row_hash(values)
    connection.execute(_INSERT, values)
    return _entry(values)


def row_hash(values: Mapping[str, Any] | RowMapping) -> str:
    """Return the hash of a row: sha256 of all its columns but the hash itself, as JSON with sorted names.

    The column `facts` counts as the text that it is. Whoever has exported the rows can compute the same.
    """
    document = {name: values[name] for name in audit.c.keys() if name != "hash"}  # noqa: SIM118 - it iterates columns
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":"), default=repr).encode()).hexdigest()


def page(connection: Connection, filters: Filters, *, limit: int, cursor: int | None, newest_first: bool) -> Entries:
    """Return rows of the audit.

    Args:
        connection: a connection.
        filters: which ones.
        limit: how many at most.
        cursor: the `next` of the page before.
        newest_first: the order.
    """
    wanted = select(audit).where(*filters.conditions()).limit(limit + 1)
    if newest_first:
        wanted = wanted.order_by(audit.c.seq.desc())
        wanted = wanted if cursor is None else wanted.where(audit.c.seq < cursor)
    else:
        wanted = wanted.order_by(audit.c.seq)
        wanted = wanted if cursor is None else wanted.where(audit.c.seq > cursor)
    rows = [_entry(row) for row in connection.execute(wanted).mappings()]
    more = len(rows) > limit
    rows = rows[:limit]
    return Entries(rows, next=rows[-1].seq if more else None)


def batch(connection: Connection, after: int) -> Sequence[RowMapping]:
    """Return some rows of the audit that follow a number, with their columns as they are stored."""
    wanted = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(_BATCH)
    return connection.execute(wanted).mappings().all()


class Verifier:
    """Walks the chain from its first row, and stops at the first that is not sound.

    Args:
        known: number and hash of a row as they were kept elsewhere.
    """

    def __init__(self, known: tuple[int, str] | None = None) -> None:
        self._known = known
        self._seq = 0
        self._head = GENESIS
        self._bad: Verified | None = None

    @property
    def seq(self) -> int:
        """The number of the last sound row so far."""
        return self._seq

    def sound(self, rows: Sequence[RowMapping]) -> bool:
        """Look at the rows that follow, and return whether all are sound."""
        return all(self._is_sound(row) for row in rows)

    def verdict(self) -> Verified:
        """Return what was found, after the last row."""
        if self._bad is not None:
            return self._bad
        if self._known is not None and self._known[0] > self._seq:
            why = f"rows are missing at the end: row {self._known[0]} is known to have been there"
            return Verified(self._seq, self._head, self._seq + 1, why)
        return Verified(self._seq, self._head)

    def _is_sound(self, row: RowMapping) -> bool:
        why = self._complaint(row)
        if why is not None:
            self._bad = Verified(self._seq, self._head, self._seq + 1, why)
            return False
        self._seq, self._head = row["seq"], row["hash"]
        return True

    def _complaint(self, row: RowMapping) -> str | None:
        seq = self._seq + 1
        if row["seq"] != seq:
            return f"row {seq} is missing: row {row['seq']} follows row {self._seq}"
        if row["prev"] != self._head:
            return f"row {seq} does not follow the row before it: that was changed, or this was put in"
        if row["hash"] != row_hash(row):
            return f"row {seq} was changed: its hash is not that of its content"
        if self._known is not None and self._known[0] == seq and self._known[1] != row["hash"]:
            return f"row {seq} is not the one whose hash was kept: the rows up to it were made anew"
        return None


def _name(value: Any) -> str | None:
    return None if value is None else clean_text(str(value), _LONGEST_NAME)


def _entry(row: Mapping[str, Any] | RowMapping) -> Entry:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values |= {name: _name(values[name]) for name in _NAMES}
    values |= {"who": clean_text(str(row["who"]), _LONGEST_NAME), "facts": read(str(row["facts"]))}
    return Entry(**values)
