"""Tickets: confirmations that a human was asked for. Each is for one order exactly, and is used once or never."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.audit import NewEntry, append
from ccxt_mcp.journal.document import read, written
from ccxt_mcp.journal.locks import account_lock, lock
from ccxt_mcp.journal.records import Event, Ticket
from ccxt_mcp.journal.schema import tickets
from ccxt_mcp.text import clean_text

ALIVE = ("waiting", "approved")

_LETTERS = "ABCDEFGHJKMNPQRTUVWXYZ2346789"  # none that is taken for another, read or heard: no I L O S 0 1 5
_LENGTH = 6
_LONGEST = 200


def ask(
    connection: Connection,
    fingerprint: str,
    *,
    facts: Mapping[str, Any],
    exchange: str,
    account: str,
    who: str,
    expires_ms: int,
    now: int,
    rng: random.Random,
) -> Ticket:
    """Return the ticket that waits for a human, or is approved and not used; a new one where there is none.

    Args:
        connection: one within a transaction.
        fingerprint: what it is for.
        facts: what the human is shown.
        exchange: where.
        account: whose.
        who: who asks.
        expires_ms: until when it can be approved and used.
        now: the present.
        rng: makes the code.
    """
    lock(connection, account_lock(exchange, account))
    expire(connection, exchange, account, now)
    same = (tickets.c.fingerprint == fingerprint, tickets.c.exchange == exchange, tickets.c.account == account)
    alive = select(tickets).where(*same, tickets.c.who == clean_text(who, _LONGEST), tickets.c.state.in_(ALIVE))
    if (
        row := connection.execute(alive.order_by(tickets.c.state, tickets.c.code).limit(1)).mappings().first()
    ) is not None:
        return _ticket(row, now)
    ticket = Ticket(
        code=_new_code(connection, rng),
        fingerprint=fingerprint,
        exchange=exchange,
        account=account,
        who=clean_text(who, _LONGEST),
        state="waiting",
        facts=dict(facts),
        asked_ms=now,
        expires_ms=expires_ms,
        decided_by=None,
        how=None,
        used_by=None,
    )
    values = {name: getattr(ticket, name) for name in Ticket.__slots__} | {"facts": written(facts)}
    connection.execute(tickets.insert().values(values))
    _note(connection, ticket, "confirmation_asked", who, now, expiresMs=expires_ms, shown=ticket.facts)
    return ticket


def waiting(connection: Connection, now: int) -> list[Ticket]:
    """Return the tickets that wait for a human, the oldest first."""
    wanted = select(tickets).where(tickets.c.state == "waiting", tickets.c.expires_ms > now)
    return [
        _ticket(row, now) for row in connection.execute(wanted.order_by(tickets.c.asked_ms, tickets.c.code)).mappings()
    ]


def find(connection: Connection, code: str, now: int) -> Ticket | None:
    """Return a ticket by its code, in whatever case it is written; None if there is none."""
    row = connection.execute(select(tickets).where(tickets.c.code == _plain(code))).mappings().first()
    return None if row is None else _ticket(row, now)


def find_approved(connection: Connection, fingerprint: str, exchange: str, account: str, now: int) -> Ticket | None:
    """Return a ticket that a human approved for exactly this and that was not used; None if there is none."""
    wanted = select(tickets).where(
        tickets.c.fingerprint == fingerprint,
        tickets.c.exchange == exchange,
        tickets.c.account == account,
        tickets.c.state == "approved",
        tickets.c.expires_ms > now,
    )
    row = connection.execute(wanted.order_by(tickets.c.asked_ms, tickets.c.code).limit(1)).mappings().first()
    return None if row is None else _ticket(row, now)


def decide(
    connection: Connection, code: str, *, approve: bool, by: str, how: str, now: int, expires_ms: int | None = None
) -> Ticket | Failure:
    """Approve or decline a ticket that waits, and return it; a Failure, which is not raised, where it cannot be.

    Doing it a second time changes nothing. An approved ticket that was not used can still be declined.

    Args:
        connection: one within a transaction.
        code: the ticket's.
        approve: True to approve it.
        by: who decided.
        how: by which way.
        now: the present.
        expires_ms: until when it can be used, if that changes.
    """
    ticket = find(connection, code, now)
    if ticket is None:
        return Failure(Code.INVALID_ARGUMENT, f"There is no confirmation {clean_text(code, 20)!r}.")
    lock(connection, account_lock(ticket.exchange, ticket.account))
    expire(connection, ticket.exchange, ticket.account, now)
    ticket = find(connection, code, now) or ticket
    state = "approved" if approve else "declined"
    if ticket.state == state:
        return ticket
    if ticket.state != "waiting" and (ticket.state != "approved" or approve):
        return Failure(Code.INVALID_ARGUMENT, f"Confirmation {ticket.code} is {ticket.state}; it is no longer waiting.")
    values: dict[str, Any] = {"state": state, "decided_by": clean_text(by, _LONGEST), "how": clean_text(how, _LONGEST)}
    if expires_ms is not None:
        values["expires_ms"] = expires_ms
    connection.execute(tickets.update().where(tickets.c.code == ticket.code).values(values))
    _note(connection, ticket, state, by, now, how=values["how"])
    return find(connection, code, now) or ticket


def use(connection: Connection, code: str, *, fingerprint: str, exchange: str, account: str, by: int, now: int) -> None:
    """Use a ticket up for an intent, under its account's lock.

    Raises:
        Failure: CONFIRMATION_REQUIRED or CONFIRMATION_DECLINED when it is not one that a human approved for exactly
            this, or was used before, or has expired.
    """
    ticket = find(connection, code, now)
    if ticket is None:
        raise _refusal(code, "is not known")
    if (ticket.fingerprint, ticket.exchange, ticket.account) != (fingerprint, exchange, account):
        raise _refusal(code, "is for something else")
    if ticket.state == "declined":
        raise Failure(Code.CONFIRMATION_DECLINED, f"Confirmation {ticket.code} was declined.")
    if ticket.state != "approved":
        raise _refusal(code, _WHY[ticket.state])
    connection.execute(tickets.update().where(tickets.c.code == ticket.code).values(state="used", used_by=by))
    _note(connection, ticket, "used", ticket.who, now, intent=by)


def presented(connection: Connection, code: str, fingerprint: str, now: int) -> Ticket:
    """Return the ticket that an answer came with, if it is for this and can still be decided or used.

    Raises:
        Failure: CONFIRMATION_REQUIRED or CONFIRMATION_DECLINED.
    """
    ticket = find(connection, code, now)
    if ticket is None:
        raise _refusal(code, "is not known")
    if ticket.fingerprint != fingerprint:
        raise _refusal(code, "is for something else")
    if ticket.state == "declined":
        raise Failure(Code.CONFIRMATION_DECLINED, f"Confirmation {ticket.code} was declined.")
    if ticket.state not in ALIVE:
        raise _refusal(code, _WHY[ticket.state])
    return ticket


def expire(connection: Connection, exchange: str, account: str, now: int) -> None:
    """Note which of an account's tickets nobody decided or used in time."""
    late = select(tickets).where(
        tickets.c.exchange == exchange,
        tickets.c.account == account,
        tickets.c.state.in_(ALIVE),
        tickets.c.expires_ms <= now,
    )
    for row in connection.execute(late).mappings().all():
        connection.execute(tickets.update().where(tickets.c.code == row["code"]).values(state="expired"))
        _note(connection, _ticket(row, now), "expired", row["who"], now, was=row["state"])


_WHY = {"waiting": "is not approved yet", "used": "was used before", "expired": "has expired"}


def _refusal(code: str, why: str) -> Failure:
    return Failure(Code.CONFIRMATION_REQUIRED, f"Confirmation {clean_text(code, 20)} {why}.")


def _new_code(connection: Connection, rng: random.Random) -> str:
    while True:
        code = "".join(rng.choice(_LETTERS) for _ in range(_LENGTH))
        if connection.execute(select(tickets.c.code).where(tickets.c.code == code)).first() is None:
            return code


def _plain(code: str) -> str:
    return clean_text(code, 20).strip().upper()


def _ticket(row: RowMapping, now: int) -> Ticket:
    values: dict[str, Any] = {name: row[name] for name in Ticket.__slots__}
    values["facts"] = read(row["facts"])
    if row["state"] in ALIVE and row["expires_ms"] <= now:
        values["state"] = "expired"
    return Ticket(**values)


def _note(connection: Connection, ticket: Ticket, event: Event, who: str, now: int, **facts: Any) -> None:
    entry = NewEntry(
        event,
        who=who,
        exchange=ticket.exchange,
        account=ticket.account,
        facts={"ticket": ticket.code, "fingerprint": ticket.fingerprint, **facts},
    )
    append(connection, entry, now)
