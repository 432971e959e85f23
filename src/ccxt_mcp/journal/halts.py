"""Halts: the operator's kill switch, for one account or for everything, and for all processes of a journal at once."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.audit import NewEntry, append
from ccxt_mcp.journal.locks import AUDIT, lock
from ccxt_mcp.journal.records import Event, Halt
from ccxt_mcp.journal.schema import halts
from ccxt_mcp.text import clean_text
from ccxt_mcp.times import iso

EVERYTHING = "*"

_THAT_HALT = (
    select(halts)
    .where((halts.c.scope == EVERYTHING) | (halts.c.scope == bindparam("account")))
    .order_by(halts.c.scope)
    .limit(1)
)
_SCOPE = re.compile(r"\*|[^/\s*]+/[^/\s*]+")
_LONGEST = 200


def halt(connection: Connection, scope: str, *, by: str, why: str, now: int) -> Halt:
    """Halt a scope, and return the halt; one that is halted already stays as it is.

    Raises:
        Failure: INVALID_ARGUMENT when the scope is neither "*" nor "exchange/account".
    """
    _check(scope)
    lock(connection, AUDIT)
    known = _find(connection, scope)
    if known is not None:
        return known
    new = Halt(scope, clean_text(by, _LONGEST), clean_text(why, _LONGEST), now)
    connection.execute(halts.insert().values(scope=scope, by=new.by, why=new.why, since_ms=now))
    append(connection, _entry("halted", scope, by, {"why": new.why}), now)
    return new


def resume(connection: Connection, scope: str, *, by: str, now: int) -> Halt | None:
    """End the halt of a scope, and return what it was; None when there was none.

    Raises:
        Failure: INVALID_ARGUMENT when the scope is neither "*" nor "exchange/account".
    """
    _check(scope)
    lock(connection, AUDIT)
    known = _find(connection, scope)
    if known is not None:
        connection.execute(halts.delete().where(halts.c.scope == scope))
        append(connection, _entry("resumed", scope, by, {"why": known.why, "sinceMs": known.since_ms}), now)
    return known


def all_halts(connection: Connection) -> list[Halt]:
    """Return what is halted."""
    return [
        _halt(row) for row in connection.execute(select(halts).order_by(halts.c.since_ms, halts.c.scope)).mappings()
    ]


def refuse_if_halted(connection: Connection, exchange: str, account: str) -> None:
    """Refuse what raises risk on a halted account.

    Raises:
        Failure: HALTED.
    """
    row = connection.execute(_THAT_HALT, {"account": f"{exchange}/{account}"}).mappings().first()
    if row is None:
        return
    found = _halt(row)
    where = "everywhere" if found.scope == EVERYTHING else f"on {found.scope}"
    raise Failure(
        Code.HALTED,
        f"Trading is halted {where} since {iso(found.since_ms)}: {found.why or 'no reason was given'}.",
        details={"scope": found.scope, "since": found.since_ms, "by": found.by},
    )


def _check(scope: str) -> None:
    if _SCOPE.fullmatch(scope) is None:
        raise Failure(
            Code.INVALID_ARGUMENT, f"scope is {clean_text(scope, 60)!r}; write * for everything, or exchange/account."
        )


def _find(connection: Connection, scope: str) -> Halt | None:
    row = connection.execute(select(halts).where(halts.c.scope == scope)).mappings().first()
    return None if row is None else _halt(row)


def _halt(row: RowMapping) -> Halt:
    return Halt(row["scope"], row["by"], row["why"], row["since_ms"])


def _entry(event: Event, scope: str, by: str, facts: dict[str, Any]) -> NewEntry:
    exchange, _, account = (None, None, None) if scope == EVERYTHING else scope.partition("/")
    return NewEntry(event, who=by, exchange=exchange, account=account, facts={"scope": scope, **facts})
