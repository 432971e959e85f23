"""Address: where a journal is kept, a file or a PostgreSQL database."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal.backend import Backend
from ccxt_mcp.journal.sqlite import Sqlite

_POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")


@dataclass(frozen=True, slots=True)
class Address:
    """A place for a journal.

    Attributes:
        path: the file of an SQLite journal.
        dsn: the URL of a PostgreSQL journal, which may hold a password.
    """

    path: Path | None = None
    dsn: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, written: str | Path) -> Address:
        """Return the address that a person wrote: a path, `sqlite:///path` or `postgresql://...`.

        Raises:
            Failure: INVALID_ARGUMENT when it is none of these.
        """
        text = str(written)
        scheme, separator, rest = text.partition("://")
        if not separator:
            return cls(path=_file(text))
        if scheme == "sqlite":
            return cls(path=_file(rest.removeprefix("/")))
        if scheme in _POSTGRESQL:
            return cls(dsn=f"postgresql://{rest}")
        raise Failure(
            Code.INVALID_ARGUMENT,
            "The journal's URL is neither a path nor a URL that begins with sqlite:/// or postgresql://.",
        )

    def __str__(self) -> str:
        """Return the place without user and password."""
        if self.dsn is None:
            return str(self.path)
        parts = urlsplit(self.dsn)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def backend(self, *, wait: float) -> Backend:
        """Return what works on the place; it connects when it is first used.

        Args:
            wait: seconds to wait for a connection, for a lock that another process holds, or for an answer.

        Raises:
            Failure: JOURNAL_UNAVAILABLE when asyncpg is missing.
        """
        if self.path is not None:
            return Sqlite(self.path, wait=wait)
        from ccxt_mcp.journal.postgresql import Postgresql  # noqa: PLC0415 - brings greenlets that files do without

        return Postgresql(str(self.dsn), wait=wait)


def _file(text: str) -> Path:
    if not text or text == ":memory:":
        raise Failure(Code.INVALID_ARGUMENT, "The journal needs a file: what is only in memory survives nothing.")
    return Path(os.path.expanduser(text))  # noqa: PTH111 - unlike Path's, it leaves what it cannot expand
