"""Locks: what two transactions must not do at once. They end with their transaction.

SQLite lets one process write at a time and needs none. On PostgreSQL a transaction takes an account's lock before that
of the audit, never the other way round, so that no two ever wait for each other.
"""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Connection, text

SCHEMA = "schema"
AUDIT = "audit"
ALERTS = "alerts"

_TAKE = text("SELECT pg_advisory_xact_lock(:key)")


def account_lock(exchange: str, account: str) -> str:
    """Return the name of an account's lock: its intents, counters and tickets."""
    return f"account {exchange}/{account}"


def paper_lock(exchange: str, account: str) -> str:
    """Return the name of the lock of a paper account's state."""
    return f"paper {exchange}/{account}"


def lock(connection: Connection, name: str) -> bool:
    """Wait until no other transaction holds the lock, and hold it until this one ends.

    Returns:
        Whether others may have written meanwhile, so that what was read before may be out of date.
    """
    if connection.dialect.name != "postgresql":
        return False
    digest = sha256(f"ccxt-mcp journal {name}".encode(errors="replace")).digest()
    connection.execute(_TAKE, {"key": int.from_bytes(digest[:8], signed=True)})
    return True
