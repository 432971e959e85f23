from __future__ import annotations

from virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories():
    """Every asynchronous test in this folder runs in virtual time."""
    return {"virtual": VirtualTimeLoop}
