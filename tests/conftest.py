"""Fixtures that the whole suite shares: a server on the embedded simulator, and clients of both protocol eras."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mcp import Client

from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings

T = TypeVar("T")


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Both ways in which a client may speak the protocol."""
    return request.param


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that touch nothing of the person who runs the tests."""
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@asynccontextmanager
async def in_own_task(manager: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
    """Enter and leave a context in one task, as clients need it; a fixture's two halves run in two."""
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def hold() -> None:
        async with manager as value:
            entered.set_result(value)
            await leave.wait()

    task = asyncio.create_task(hold())
    await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield entered.result()
    finally:
        leave.set()
        await task


@pytest.fixture
async def client(settings: Settings, era: str) -> AsyncIterator[Client]:
    """A real client of a real server, in memory."""
    async with in_own_task(Client(build_server(settings), mode=era)) as connected:
        yield connected


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: Client) -> Ask:
    """Call a tool and return its envelope."""

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        return envelope(await client.call_tool(tool, arguments))

    return call


def envelope(result: Any) -> dict[str, Any]:
    """Return the envelope of a tool result, checking that the flag and the body agree."""
    body = result.structured_content
    assert body is not None
    assert body["success"] is (not result.is_error)
    return body


def text_of(result: Any) -> str:
    """Return the one text block of a tool result."""
    (block,) = result.content
    return block.text
