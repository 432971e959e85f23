from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from ccxt_mcp.journal import Journal
from journal.orders import Moment
from journal.postgres import running_postgres

_schemas = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server that this worker has for itself."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a journal that nobody has used yet, in a file and on a server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'journal.db'}"
    server = request.getfixturevalue("postgres")
    schema = f"journal{next(_schemas)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.close()
    return f"{server}&search_path={schema}"


@pytest.fixture
def clock() -> Moment:
    return Moment()


@pytest.fixture
async def journals(url: str, clock: Moment) -> AsyncIterator[Callable[[], Journal]]:
    """Opens one more journal on the same database, as another process would."""
    opened: list[Journal] = []

    def another() -> Journal:
        opened.append(Journal(url, clock=clock, rng=random.Random(len(opened))))
        return opened[-1]

    yield another
    for one in opened:
        await one.close()


@pytest.fixture
def journal(journals: Callable[[], Journal]) -> Journal:
    return journals()
