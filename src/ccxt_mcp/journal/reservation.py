"""Reservation: the one transaction in which an intent is checked, counted and recorded before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, case, func, literal_column, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import tickets
from ccxt_mcp.journal.audit import NewEntry, append
from ccxt_mcp.journal.document import written
from ccxt_mcp.journal.halts import refuse_if_halted
from ccxt_mcp.journal.intents import IN_FLIGHT, intent_of, owner_text, unresolved_of
from ccxt_mcp.journal.locks import account_lock, lock
from ccxt_mcp.journal.owner import Owner
from ccxt_mcp.journal.records import LATELY_STEP_MS, Counters, Event, Intent, NewIntent, Reserved
from ccxt_mcp.journal.schema import intents

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_MICROS = Decimal(10) ** 6
_UP = Context(prec=40, rounding=ROUND_CEILING)

# Statements of every order are built once; to build them takes longer than to run them.
_HERE = (intents.c.exchange == bindparam("exchange")) & (intents.c.account == bindparam("account"))
_SAME_IDS = select(intents).where(
    _HERE,
    (intents.c.client_order_id == bindparam("client_order_id"))
    | ((intents.c.sent_id == bindparam("sent_id")) & (intents.c.sent_id != "")),
)
_IN_FLIGHT = (
    select(intents.c.client_order_id, intents.c.state, intents.c.created_ms, intents.c.expires_ms, intents.c.owner)
    .where(_HERE, intents.c.state.in_(IN_FLIGHT))
    .order_by(intents.c.id)
)
_COUNTS = (intents.c.created_ms >= bindparam("midnight")) & intents.c.raises_risk & (intents.c.state != "rejected")
_LATE_ORDERS = intents.c.kind.in_(("create", "modify")) & (intents.c.created_ms > bindparam("minute"))
_TOTALS = select(
    func.coalesce(func.sum(case((_COUNTS, intents.c.notional_micros))), 0).label("micros"),
    func.count(case((_COUNTS & intents.c.notional_micros.is_(None), 1))).label("unvalued"),
    func.count(case((_LATE_ORDERS, 1))).label("orders"),
).where(_HERE, intents.c.created_ms >= bindparam("first"))
_STEP = literal_column(f"created_ms / {LATELY_STEP_MS}").label("step")
_LATELY = (
    select(_STEP, func.count().label("orders"))
    .where(_HERE, intents.c.created_ms > bindparam("minute"), intents.c.kind == "create")
    .where(intents.c.state != "rejected")
    .group_by(_STEP)
    .order_by(_STEP)
)
_INSERT = intents.insert()

Check = Callable[[Counters], object]


def reserve(
    connection: Connection,
    new: NewIntent,
    *,
    check: Check,
    ticket: str | None,
    facts: Mapping[str, Any],
    owner: Owner,
    expires_ms: int,
    now: int,
) -> Reserved:
    """Record an intent as open, or return the one that was recorded with the same client order id.

    Args:
        connection: one within a transaction.
        new: the intent.
        check: raises a Failure when what the account has done lately leaves no room; asked only if it raises risk.
        ticket: the code of the confirmation that it uses up.
        facts: more for the audit.
        owner: who is at work on it.
        expires_ms: until when.
        now: the present.

    Raises:
        Failure: CLIENT_ORDER_ID_USED, HALTED, UNRESOLVED_ORDER, CONFIRMATION_REQUIRED, or what the check raises.
    """
    lock(connection, account_lock(new.exchange, new.account))
    if (known := _recorded(connection, new)) is not None:
        append(connection, _entry(new, "repeated", {"intent": known.id, "state": known.state, **facts}), now)
        return Reserved(known, is_new=False)
    if new.raises_risk:
        refuse_if_halted(connection, new.exchange, new.account)
        in_flight = _in_flight(connection, new.exchange, new.account)
        _refuse_if_unresolved(in_flight, now)
        check(_counted(connection, new.exchange, new.account, in_flight, now))
    intent = _insert(connection, new, ticket=ticket, owner=owner, expires_ms=expires_ms, now=now)
    if ticket is not None:
        same = {"fingerprint": new.fingerprint, "exchange": new.exchange, "account": new.account}
        tickets.use(connection, ticket, **same, by=intent.id, now=now)
    told = {"intent": intent.id, "kind": new.kind, "request": dict(new.request), "notionalUsd": new.notional_usd}
    append(connection, _entry(new, "reserved", told | {"ticket": ticket, **facts}), now)
    return Reserved(intent, is_new=True)


def counters(connection: Connection, exchange: str, account: str, now: int) -> Counters:
    """Return what an account has done lately."""
    return _counted(connection, exchange, account, _in_flight(connection, exchange, account), now)


def refused(new: NewIntent, failure: Failure, ticket: str | None, facts: Mapping[str, Any]) -> NewEntry:
    """Return a row for the audit about an intent that was not recorded."""
    why = {"code": failure.code.value.taps, "reason": failure.code.value.reason, "message": failure.message}
    told = {"kind": new.kind, "request": dict(new.request), "notionalUsd": new.notional_usd, "ticket": ticket}
    return _entry(new, "refused", why | {"details": failure.details} | told | dict(facts))


def _recorded(connection: Connection, new: NewIntent) -> Intent | None:
    ids = {name: getattr(new, name) for name in ("exchange", "account", "client_order_id", "sent_id")}
    known = [intent_of(row) for row in connection.execute(_SAME_IDS, ids).mappings()]
    if not known:
        return None
    if len(known) == 1 and (known[0].client_order_id, known[0].fingerprint) == (new.client_order_id, new.fingerprint):
        return known[0]
    raise Failure(
        Code.CLIENT_ORDER_ID_USED,
        f"client_order_id {new.client_order_id!r} was used for another order on {new.exchange}/{new.account}.",
    )


def _in_flight(connection: Connection, exchange: str, account: str) -> Sequence[RowMapping]:
    return connection.execute(_IN_FLIGHT, {"exchange": exchange, "account": account}).mappings().all()


def _refuse_if_unresolved(in_flight: Sequence[RowMapping], now: int) -> None:
    left = [row["client_order_id"] for row in unresolved_of(in_flight, now)]
    if not left:
        return
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    raise Failure(
        Code.UNRESOLVED_ORDER,
        f"It is not known yet what became of {left[0]}{more}; account_orders_unknown shows it.",
        details={"clientOrderIds": left[:20]},
    )


def _counted(
    connection: Connection, exchange: str, account: str, in_flight: Sequence[RowMapping], now: int
) -> Counters:
    midnight, minute = now // _DAY_MS * _DAY_MS, now - _MINUTE_MS
    here = {"exchange": exchange, "account": account, "minute": minute}
    totals = connection.execute(_TOTALS, here | {"midnight": midnight, "first": min(midnight, minute)}).one()
    lately = connection.execute(_LATELY, here)
    return Counters(
        notional_today=Decimal(int(totals.micros)) / _MICROS,
        unvalued_today=totals.unvalued,
        orders_last_minute=totals.orders,
        in_flight=tuple(row["created_ms"] for row in in_flight),
        lately=tuple((row.step * LATELY_STEP_MS, row.orders) for row in lately),
    )


def _insert(
    connection: Connection, new: NewIntent, *, ticket: str | None, owner: Owner, expires_ms: int, now: int
) -> Intent:
    value = new.notional_usd
    values = {
        **{name: getattr(new, name) for name in NewIntent.__slots__},
        "state": "open",
        "notional_usd": None if value is None else str(value),
        "notional_micros": None if value is None else int(_UP.to_integral_value(_UP.multiply(value, _MICROS))),
        "request": written(new.request),
        "order_id": None,
        "order": None,
        "error": None,
        "created_ms": now,
        "updated_ms": now,
        "expires_ms": expires_ms,
        "owner": owner_text(owner),
        "attempts": 0,
        "note": None,
        "ticket": ticket,
    }
    (key,) = connection.execute(_INSERT, values).inserted_primary_key or (None,)
    return intent_of({**values, "id": key})


def _entry(new: NewIntent, event: Event, facts: Mapping[str, Any]) -> NewEntry:
    return NewEntry(
        event,
        who=new.who,
        tool=new.tool,
        exchange=new.exchange,
        account=new.account,
        mode=new.mode,
        client_order_id=new.client_order_id,
        facts={name: value for name, value in facts.items() if value is not None},
    )
