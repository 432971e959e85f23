"""Alerts: what somebody wants to be told about markets, kept until it has happened, has expired or is not wanted.

No money moves by an alert, so none of this goes into the audit. What a condition means is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, RowMapping, Select, case, func, literal, null, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.database import Database
from ccxt_mcp.journal.document import read, read_if_any, written
from ccxt_mcp.journal.locks import ALERTS, lock
from ccxt_mcp.journal.records import Alert
from ccxt_mcp.journal.schema import alerts
from ccxt_mcp.text import clean_text

MOST_ACTIVE = 200  # each is looked at whenever a price moves
MOST_ENDED = 500  # what is kept for those who ask later what became of theirs

T = TypeVar("T")

_LONGEST_ID = 64
_LONGEST = 200
_ACTIVE = alerts.c.state == "active"


class Alerts:
    """Keeps alerts in the journal's database, for all processes that have it.

    Each method is one transaction, and raises a Failure with JOURNAL_UNAVAILABLE where the database cannot be used.

    Args:
        database: where.
        clock: milliseconds since the epoch; may be asked in another thread.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def add(self, alert: Alert) -> None:
        """Add an alert. Of those that have ended, all but the newest MOST_ENDED are forgotten on this occasion.

        Its texts are kept as clean lines of at most 200 characters.

        Raises:
            Failure: LIMIT_EXCEEDED when MOST_ACTIVE alerts are active; INVALID_ARGUMENT when the id makes no sense, or
                is that of another alert, be it a deleted one.
            ValueError: it is not active, or has fired.
        """
        await self._write(lambda c: _add(c, alert))

    async def active(self, now_ms: int) -> list[Alert]:
        """Return the alerts that can fire at a time, in milliseconds since the epoch, the oldest first."""
        wanted = select(alerts).where(_ACTIVE, _in_time(now_ms))
        return await self._found(wanted.order_by(alerts.c.created_ms, alerts.c.id))

    async def all(self, limit: int = 100) -> list[Alert]:
        """Return at most `limit` alerts, the newest first, in whatever recorded state but deleted."""
        wanted = select(alerts).where(alerts.c.state != "deleted")
        return await self._found(wanted.order_by(alerts.c.created_ms.desc(), alerts.c.id.desc()).limit(limit))

    async def get(self, alert_id: str) -> Alert | None:
        """Return an alert by its id, a deleted one too; None if there is none."""
        found = await self._found(select(alerts).where(alerts.c.id == _plain(alert_id)))
        return found[0] if found else None

    async def fire(self, alert_id: str, facts: Mapping[str, Any], at_ms: int, expected_count: int) -> bool:
        """Record that an alert fires, and return whether it is this caller who tells of it.

        Of all who saw it fire, in whatever process, exactly one gets True. An alert that repeats stays active.

        Args:
            alert_id: the alert's.
            facts: what was seen.
            at_ms: when, in milliseconds since the epoch.
            expected_count: how often it had fired before, as the caller knows it.

        Returns:
            False when another was first, or it was not active any more at that time.
        """
        return await self._write(lambda c: _fire(c, alert_id, facts, at_ms, expected_count))

    async def expire(self, now_ms: int) -> list[str]:
        """Mark the active alerts whose time is over, and return the ids of those that this call has marked.

        Another process may have marked more, and so may `add` when it needs their room.
        """
        return await self._write(lambda c: _expire(c, now_ms))

    async def delete(self, alert_id: str) -> bool:
        """Delete an alert, an ended one too; returns whether there was one that was not deleted before."""
        return await self._write(lambda c: _delete(c, alert_id, self._clock()))

    async def _found(self, wanted: Select[Any]) -> list[Alert]:
        def look(connection: Connection) -> list[Alert]:
            return [_alert(row) for row in connection.execute(wanted).mappings()]

        return await self._database.run(self._database.read(look))

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.run(self._database.write(work))


def _add(connection: Connection, alert: Alert) -> None:
    if (alert.state, alert.fired_count, alert.fired_ms, alert.fired, alert.ended_ms) != ("active", 0, None, None, None):
        raise ValueError("an alert is active and has never fired when it is added")
    lock(connection, ALERTS)
    _check_id(connection, alert.id)
    _check_room(connection, alert.created_ms)
    values: dict[str, Any] = {name: getattr(alert, name) for name in Alert.__slots__}
    values |= {name: clean_text(values[name], _LONGEST) for name in ("exchange", "account", "symbol", "note", "who")}
    values["condition"] = written(alert.condition)
    connection.execute(alerts.insert().values(values))
    _forget_oldest(connection)


def _check_id(connection: Connection, alert_id: str) -> None:
    if not alert_id or alert_id != _plain(alert_id):
        raise Failure(
            Code.INVALID_ARGUMENT,
            f"id is {clean_text(alert_id, 20)!r}; it has 1 to {_LONGEST_ID} visible characters on one line.",
        )
    if connection.execute(select(alerts.c.id).where(alerts.c.id == alert_id)).first() is not None:
        raise Failure(Code.INVALID_ARGUMENT, f"id is {alert_id!r}; there is or was an alert with that id.")


def _check_room(connection: Connection, now: int) -> None:
    """Refuse one more alert when too many are active; those whose time is over take no room, marked or not."""
    if _count_active(connection) >= MOST_ACTIVE:
        _expire(connection, now)
        if _count_active(connection) >= MOST_ACTIVE:
            raise Failure(
                Code.LIMIT_EXCEEDED,
                f"{MOST_ACTIVE} alerts are active, and more cannot be.",
                hint="Delete one that is not needed any more.",
                details={"limit": "active_alerts", "value": str(MOST_ACTIVE)},
            )


def _count_active(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(alerts).where(_ACTIVE)).scalar_one()


def _forget_oldest(connection: Connection) -> None:
    ended = select(alerts.c.id).where(~_ACTIVE).order_by(alerts.c.ended_ms.desc(), alerts.c.id.desc())
    connection.execute(alerts.delete().where(alerts.c.id.in_(ended.offset(MOST_ENDED))))


def _fire(connection: Connection, alert_id: str, facts: Mapping[str, Any], at_ms: int, expected_count: int) -> bool:
    # One statement that compares and changes: on PostgreSQL too, whoever comes second finds the row changed.
    expected = (alerts.c.id == _plain(alert_id), alerts.c.fired_count == expected_count)
    fired = (
        alerts.update()
        .where(*expected, _ACTIVE, _in_time(at_ms))
        .values(
            state=case((alerts.c.repeat, "active"), else_="fired"),
            ended_ms=case((alerts.c.repeat, null()), else_=literal(at_ms, BigInteger())),
            fired_count=alerts.c.fired_count + 1,
            fired_ms=at_ms,
            fired=written(facts),
        )
    )
    return connection.execute(fired).rowcount == 1


def _expire(connection: Connection, now: int) -> list[str]:
    # One by one and in order: an alert may fire meanwhile, and two who expire at once must not wait for each other.
    late = select(alerts.c.id).where(_ACTIVE, ~_in_time(now)).order_by(alerts.c.id)
    return [alert_id for alert_id in connection.scalars(late).all() if _ended(connection, alert_id, now)]


def _ended(connection: Connection, alert_id: str, now: int) -> bool:
    """Mark an alert as expired, and return whether it was active until then."""
    expired = alerts.update().where(alerts.c.id == alert_id, _ACTIVE).values(state="expired", ended_ms=now)
    return connection.execute(expired).rowcount == 1


def _delete(connection: Connection, alert_id: str, now: int) -> bool:
    since = func.coalesce(alerts.c.ended_ms, literal(now, BigInteger()))
    gone = alerts.update().where(alerts.c.id == _plain(alert_id), alerts.c.state != "deleted")
    return connection.execute(gone.values(state="deleted", ended_ms=since)).rowcount == 1


def _in_time(now: int) -> Any:
    return alerts.c.expires_ms.is_(None) | (alerts.c.expires_ms > now)


def _plain(alert_id: str) -> str:
    return clean_text(alert_id, _LONGEST_ID)


def _alert(row: RowMapping) -> Alert:
    values: dict[str, Any] = {name: row[name] for name in Alert.__slots__}
    values["condition"] = read(row["condition"])
    values["fired"] = read_if_any(row["fired"])
    return Alert(**values)
