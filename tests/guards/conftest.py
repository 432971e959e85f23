from __future__ import annotations

import pytest

from virtual_time import Clock, VirtualTimeLoop


def pytest_asyncio_loop_factories():
    """Every asynchronous test in this folder runs in virtual time."""
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
def clock() -> Clock:
    return Clock()
