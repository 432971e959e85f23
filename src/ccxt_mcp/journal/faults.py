"""Faults: what a database or its disk says, in words of ours and without anything of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ccxt_mcp.errors import Code, Failure

_BUSY = "is held by another process and did not become free in time"
_SQLITE = {
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_FULL": "cannot be written: the disk is full",
    "SQLITE_IOERR": "cannot be read or written: the disk reports an error, or there is no space left",
    "SQLITE_READONLY": "cannot be written: the file or its folder is read-only",
    "SQLITE_CANTOPEN": "cannot be opened: its folder is missing or may not be used",
    "SQLITE_PERM": "cannot be opened: access is not permitted",
    "SQLITE_AUTH": "cannot be opened: access is not permitted",
    "SQLITE_CORRUPT": "is damaged: restore it from a copy",
    "SQLITE_NOTADB": "is damaged, or no journal at all: restore it from a copy",
    "SQLITE_TOOBIG": "takes no record of that size",
}
# By PostgreSQL's SQLSTATE: the whole of it, or its first two characters, the class.
_POSTGRESQL = {
    "55P03": _BUSY,
    "25006": "cannot be written: the server is read-only",
    "25P03": "was left in the middle of a transaction and gave it up",
    "53100": "cannot be written: the disk is full",
    "53": "has no room for another connection",
    "28": "refuses the user or the password",
    "3D": "does not exist on that server",
    "42501": "refuses the user: it lacks a right",
    "57": "was stopped by its operator",
    "08": "cannot be reached: the connection broke",
}


@contextmanager
def explained() -> Generator[None]:
    """Turn what a database raises into a Failure.

    Raises:
        Failure: JOURNAL_UNAVAILABLE with the reason.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise unavailable(reason_of(error)) from error


def unavailable(reason: str) -> Failure:
    """Return the failure that the journal cannot be used for a reason: a sentence without its subject and its end."""
    return Failure(Code.JOURNAL_UNAVAILABLE, f"The journal's database {reason}.")


def reason_of(error: BaseException) -> str:
    """Return why a database failed, in words that name neither its place nor its user."""
    if isinstance(error, PoolTimeout):
        return "is busy: all connections are in use"
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, OSError):
        return f"cannot be opened or reached: {(error.strerror or type(error).__name__).lower()}"
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return _POSTGRESQL["08"]
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None:
        return _SQLITE.get("_".join(name.split("_")[:2]), f"fails with {name}")
    state = getattr(cause, "sqlstate", None) or ""
    known = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    return known or f"fails with {type(cause).__name__} {state}".rstrip()
