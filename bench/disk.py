"""The disk: what commits cost that are on it when they return."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import perf_counter


class Disk:
    """An SQLite file with the journal's settings, and nothing of the journal.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("CREATE TABLE facts (facts TEXT)")

    def time(self, commits: int) -> float:
        """Return the seconds of so many commits, of one small row each."""
        started = perf_counter()
        for _ in range(commits):
            self._connection.execute("INSERT INTO facts VALUES ('a fact')")
        return perf_counter() - started

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
