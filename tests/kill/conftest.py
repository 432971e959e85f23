from __future__ import annotations

from collections.abc import Iterator

import pytest

from journal.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server that this worker has for itself."""
    with running_postgres() as url:
        yield url
