"""Marks: what an account was worth when its day began, against which the day's loss is measured."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, select

from ccxt_mcp.journal.locks import account_lock, lock
from ccxt_mcp.journal.schema import marks


def day_start(connection: Connection, exchange: str, account: str, day: int, value: Decimal) -> Decimal:
    """Return what an account was worth at the first look of a day, which may be this one.

    Args:
        connection: one within a transaction.
        exchange: where.
        account: whose.
        day: days since the epoch, in UTC.
        value: what the account is worth now.
    """
    if not value.is_finite():
        raise ValueError(f"value is {value}; it is a finite number")
    lock(connection, account_lock(exchange, account))
    this = (marks.c.exchange == exchange, marks.c.account == account, marks.c.day == day)
    known = connection.execute(select(marks.c.value).where(*this)).scalar()
    if known is not None:
        return Decimal(known)
    connection.execute(marks.insert().values(exchange=exchange, account=account, day=day, value=str(value)))
    return value


def forget(connection: Connection, exchange: str, account: str) -> None:
    """Forget what an account was worth: it begins anew."""
    connection.execute(marks.delete().where(marks.c.exchange == exchange, marks.c.account == account))
