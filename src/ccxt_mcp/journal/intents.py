"""Intents: writes as they are recorded before they are sent, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.audit import NewEntry, append
from ccxt_mcp.journal.document import read, read_if_any, written
from ccxt_mcp.journal.locks import account_lock, lock
from ccxt_mcp.journal.owner import Owner
from ccxt_mcp.journal.records import Event, Intent, IntentState
from ccxt_mcp.journal.schema import intents
from ccxt_mcp.text import clean_text

IN_FLIGHT = ("open", "unknown")

# What may follow on what. An exchange's own word that an order is there beats our finding that it is not.
_MOVES: Mapping[str, frozenset[str]] = {
    "open": frozenset({"accepted", "rejected", "unknown"}),
    "unknown": frozenset({"accepted", "rejected", "unknown"}),
    "rejected": frozenset({"accepted"}),
    "accepted": frozenset({"accepted"}),
}
_LONGEST_NOTE = 500
_FIELDS = tuple(Intent.__slots__)
_COLUMNS = tuple(intents.c[name] for name in _FIELDS)
_BY_ID = select(intents).where(intents.c.id == bindparam("this"))
_UPDATE = intents.update().where(intents.c.id == bindparam("this"))


def find(connection: Connection, intent_id: int) -> Intent | None:
    """Return an intent by its number."""
    row = connection.execute(_BY_ID, {"this": intent_id}).mappings().first()
    return None if row is None else intent_of(row)


def find_by_client_id(connection: Connection, exchange: str, account: str, client_order_id: str) -> Intent | None:
    """Return the intent with a client order id, be it the caller's or the one that the exchange got."""
    here = (intents.c.exchange == exchange, intents.c.account == account)
    exact = _first(connection, *here, intents.c.client_order_id == client_order_id)
    return exact or _first(connection, *here, intents.c.sent_id == client_order_id)


def find_by_order(connection: Connection, exchange: str, account: str, order_id: str) -> Intent | None:
    """Return the intent that made an order, or changed it last where it was not made here."""
    wanted = (
        select(*_COLUMNS)
        .where(intents.c.exchange == exchange, intents.c.account == account, intents.c.order_id == order_id)
        .where(intents.c.kind.in_(("create", "modify")))
        .order_by((intents.c.kind == "create").desc(), intents.c.id.desc())
        .limit(1)
    )
    row = connection.execute(wanted).mappings().first()
    return None if row is None else intent_of(row)


def order_ids(connection: Connection, exchange: str, account: str) -> frozenset[str]:
    """Return the exchange's ids of all orders of an account that the journal knows."""
    wanted = select(intents.c.order_id).where(intents.c.exchange == exchange, intents.c.account == account)
    return frozenset(connection.scalars(wanted.where(intents.c.order_id.is_not(None))))


def recent(
    connection: Connection,
    *,
    exchange: str | None,
    account: str | None,
    state: IntentState | None,
    limit: int,
    before: int | None,
) -> list[Intent]:
    """Return intents, the newest first, that are older than a number."""
    wanted = select(*_COLUMNS).order_by(intents.c.id.desc()).limit(limit)
    for column, value in ((intents.c.exchange, exchange), (intents.c.account, account), (intents.c.state, state)):
        wanted = wanted if value is None else wanted.where(column == value)
    wanted = wanted if before is None else wanted.where(intents.c.id < before)
    return [intent_of(row) for row in connection.execute(wanted).mappings()]


def unresolved(
    connection: Connection, *, exchange: str | None = None, account: str | None = None, now: int
) -> list[Intent]:
    """Return the intents whose outcome nobody is at work on finding by having sent them, the oldest first.

    These are the unknown ones, and open ones whose process has ended or whose time is over.
    """
    wanted = select(*_COLUMNS, intents.c.owner).where(intents.c.state.in_(IN_FLIGHT)).order_by(intents.c.id)
    wanted = wanted if exchange is None else wanted.where(intents.c.exchange == exchange)
    wanted = wanted if account is None else wanted.where(intents.c.account == account)
    return [intent_of(row) for row in unresolved_of(connection.execute(wanted).mappings(), now)]


def unresolved_of(rows: Iterable[RowMapping], now: int) -> list[RowMapping]:
    """Return the rows in flight that are left to themselves; each has state, expires_ms and owner."""

    @cache  # many rows have one owner, and asking after it takes a while
    def gone(owner: str) -> bool:
        return owner_of(owner).gone

    def is_left(row: RowMapping) -> bool:
        if row["state"] != "open":
            return row["state"] == "unknown"
        return row["expires_ms"] <= now or gone(row["owner"])

    return [row for row in rows if is_left(row)]


def settle(
    connection: Connection,
    intent_id: int,
    state: IntentState,
    *,
    order: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
    how: str | None,
    now: int,
) -> Intent:
    """Record an outcome and return the intent as it is recorded then.

    An outcome that contradicts the recorded one is noted in the audit and changes nothing, except that an order which
    the exchange shows is accepted, whatever was believed before.

    Args:
        connection: one within a transaction.
        intent_id: the intent's number.
        state: the outcome.
        order: the order as the exchange tells it.
        error: why it was refused, or why nothing is known.
        how: by which way the outcome of an unknown one was found.
        now: the present.
    """
    row = _locked(connection, intent_id)
    intent = intent_of(row)
    event: Event = "outcome" if how is None else "resolved"
    facts = {"intent": intent.id, "was": intent.state, "state": state, "how": how, "order": order, "error": error}
    if state not in _MOVES[intent.state]:
        if state not in {"unknown", intent.state}:
            append(connection, _entry(intent, "conflict", facts), now)
        return intent
    values: dict[str, Any] = {"state": state, "updated_ms": now, "claimed_by": None, "claimed_until_ms": None}
    if order is not None:
        values["order"] = written(order)
        values["order_id"] = _text(order.get("id")) or intent.order_id
    values["error"] = None if error is None else written(error)
    if how is not None:
        values["note"] = clean_text(how, _LONGEST_NOTE)
    append(connection, _entry(intent, event, facts), now)
    return _updated(connection, row, values)


def note(
    connection: Connection, intent_id: int, *, order: Mapping[str, Any] | None, text: str | None, now: int
) -> Intent:
    """Record what was learnt of an intent without a change of its state, and return it.

    Args:
        connection: one within a transaction.
        intent_id: the intent's number.
        order: a newer account of the order.
        text: what an attempt to find its outcome came to; counts as one more.
        now: the present.
    """
    row = _locked(connection, intent_id)
    intent = intent_of(row)
    values: dict[str, Any] = {"updated_ms": now}
    if order is not None:
        values["order"] = written(order)
        values["order_id"] = _text(order.get("id")) or intent.order_id
    if text is not None:
        values["attempts"] = intent.attempts + 1
        values["note"] = clean_text(text, _LONGEST_NOTE)
    append(connection, _entry(intent, "noted", {"intent": intent.id, "order": order, "note": text}), now)
    return _updated(connection, row, values)


def claim(connection: Connection, intent_id: int, *, owner: Owner, until: int, now: int) -> Intent | None:
    """Take an unresolved intent, so that no other process looks for its outcome meanwhile.

    An open one whose process is gone becomes unknown. The same owner may take it again, for longer.

    Args:
        connection: one within a transaction.
        intent_id: the intent's number.
        owner: who takes it.
        until: for how long, in milliseconds since the epoch.
        now: the present.

    Returns:
        The intent; None when it is resolved, still worked on, or taken by another.
    """
    row = _locked(connection, intent_id)
    intent = intent_of(row)
    if not unresolved_of([row], now) or _taken_by_other(row, owner, now):
        return None
    values: dict[str, Any] = {"claimed_by": owner_text(owner), "claimed_until_ms": until}
    if intent.state == "open":
        values |= {"state": "unknown", "updated_ms": now}
        append(
            connection, _entry(intent, "orphaned", {"intent": intent.id, "owner": asdict(owner_of(row["owner"]))}), now
        )
    return _updated(connection, row, values)


def _taken_by_other(row: RowMapping, owner: Owner, now: int) -> bool:
    if row["claimed_by"] is None or row["claimed_until_ms"] <= now:
        return False
    claimer = owner_of(row["claimed_by"])
    return claimer != owner and not claimer.gone


def release(connection: Connection, *, owner: Owner, now: int) -> None:
    """Give up what an owner has open or taken, since its journal is closed: others need not wait until it expires."""
    mine = owner_text(owner)
    left = intents.update().where(intents.c.owner == mine, intents.c.state == "open", intents.c.expires_ms > now)
    connection.execute(left.values(expires_ms=now))
    taken = intents.update().where(intents.c.claimed_by == mine)
    connection.execute(taken.values(claimed_by=None, claimed_until_ms=None))


def intent_of(row: RowMapping | Mapping[str, Any]) -> Intent:
    """Return the record of a row that has its columns, and perhaps more."""
    values = {name: row[name] for name in _FIELDS}
    value = values["notional_usd"]
    values["notional_usd"] = None if value is None else Decimal(value)
    values["request"] = read(values["request"])
    values["order"] = read_if_any(values["order"])
    values["error"] = read_if_any(values["error"])
    return Intent(**values)


def owner_text(owner: Owner) -> str:
    """Return an owner as it is stored."""
    return written(asdict(owner))


def owner_of(text: str) -> Owner:
    """Return the owner that was stored."""
    stored = read(text)
    return Owner(str(stored.get("host")), int(stored.get("pid", 0)), str(stored.get("start")), str(stored.get("token")))


def _locked(connection: Connection, intent_id: int) -> RowMapping:
    row = _row(connection, intent_id)
    changed = lock(connection, account_lock(row["exchange"], row["account"]))
    return _row(connection, intent_id) if changed else row


def _row(connection: Connection, intent_id: int) -> RowMapping:
    row = connection.execute(_BY_ID, {"this": intent_id}).mappings().first()
    if row is None:
        raise Failure(Code.INTERNAL, f"The journal has no intent {intent_id}.")
    return row


def _updated(connection: Connection, row: RowMapping, values: Mapping[str, Any]) -> Intent:
    connection.execute(_UPDATE, {"this": row["id"], **values})
    return intent_of({**{name: row[name] for name in _FIELDS}, **values})


def _first(connection: Connection, *conditions: Any) -> Intent | None:
    row = (
        connection.execute(select(*_COLUMNS).where(*conditions).order_by(intents.c.id.desc()).limit(1))
        .mappings()
        .first()
    )
    return None if row is None else intent_of(row)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _entry(intent: Intent, event: Event, facts: Mapping[str, Any]) -> NewEntry:
    return NewEntry(
        event,
        who=intent.who,
        tool=intent.tool,
        exchange=intent.exchange,
        account=intent.account,
        mode=intent.mode,
        client_order_id=intent.client_order_id,
        facts={name: value for name, value in facts.items() if value is not None},
    )
