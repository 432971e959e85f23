"""Real server processes that share a simulated exchange and a journal, and what the exchange says is true."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import asyncpg
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

import ccxt_mcp
from ccxt_mcp.journal import Intent, Journal
from ccxt_mcp.settings import PREFIX
from ccxt_mcp.simulator import Simulator

SCRIPT = str(Path(__file__).with_name("server.py"))
VENUE = "venue"
PATIENCE = 30.0  # seconds, far beyond what anything here takes
DEADLINE = 3.0
APPEARS_WITHIN = 1.0
GONE = (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError)


@dataclass(frozen=True, slots=True)
class Place:
    """What server processes share.

    Attributes:
        simulator: the exchange, which survives them all.
        folder: where they keep their files.
        journal_url: their journal; None for a file in the folder.
    """

    simulator: Simulator
    folder: Path
    journal_url: str | None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a server process, without anything of the person who runs the tests."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        own = {
            f"{PREFIX}CONFIG": str(self.folder / "config.toml"),
            f"{PREFIX}DATA_DIR": str(self.folder / "data"),
            f"{PREFIX}CACHE_DIR": str(self.folder / "cache"),
            f"{PREFIX}DEADLINE": str(DEADLINE),
            f"{PREFIX}RECONCILE_SECONDS": str(APPEARS_WITHIN),
            "PYTHONPATH": str(Path(ccxt_mcp.__file__).parents[1]),
            "LOG_LEVEL": "error",
        }
        return inherited | own | ({} if self.journal_url is None else {"JOURNAL_URL": self.journal_url})

    @property
    def log(self) -> Path:
        """What the processes said on stderr, one after the other."""
        return self.folder / "stderr.txt"

    @asynccontextmanager
    async def journal(self) -> AsyncGenerator[Journal]:
        """The journal, opened by this process too."""
        async with Journal(self.journal_url or self.folder / "data" / "journal.sqlite3") as journal:
            yield journal

    async def intents(self) -> dict[str, Intent]:
        """What the journal has of new orders, by client order id."""
        async with self.journal() as journal:
            recorded = await journal.recent(limit=100_000)
        return {intent.client_order_id: intent for intent in recorded if intent.kind == "create"}

    async def truth(self, link: str | None = None) -> dict[str, Any]:
        """What the exchange has: `orders`, and how often each of our ids was `asked` for."""
        return await self.get("/_simulator/orders", {} if link is None else {"link": link})

    async def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """Return what the exchange answers to who asks without a server."""
        async with aiohttp.ClientSession(self.simulator.url) as http, http.get(path, params=query) as reply:
            return await reply.json()


@dataclass(slots=True)
class Server:
    """A running server process, by its client.

    Attributes:
        client: None when the process was gone before its client knew it.
        gone: whether it has ended, as far as its client knows.
    """

    client: Client | None
    gone: bool = field(default=False)

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any] | None:
        """Return the envelope of a tool's answer; None when the process is gone before it answers."""
        if self.client is None or self.gone:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                body = (await self.client.call_tool(tool, arguments)).structured_content
        except GONE:
            self.gone = True
            return None
        assert body is not None
        return body

    async def place(self, order: dict[str, Any]) -> dict[str, Any] | None:
        """Place an order at the simulated exchange."""
        return await self.call("trade_create_order", exchange=VENUE, **order)

    async def unresolved(self) -> list[str] | None:
        """Return the client order ids of which the outcome is not known; None when the process is gone."""
        answer = await self.call("account_orders_unknown")
        return None if answer is None else [row[0] for row in answer["data"]["orders"]["rows"]]


@asynccontextmanager
async def running(place: Place, *, mode: str = "auto", **variables: str) -> AsyncGenerator[Server]:
    """Run a server process, which may end itself at any time, and end it if it does not.

    Args:
        place: what it shares with others.
        mode: the client's way of speaking the protocol, auto or legacy.
        variables: more for its environment.
    """
    command = StdioServerParameters(
        command=sys.executable, args=["-W", "error", SCRIPT], env=place.environment | variables
    )
    with place.log.open("a") as log:
        server = Server(None, gone=True)
        try:
            async with Client(stdio_client(command, errlog=log), mode=mode) as client:
                server = Server(client)
                yield server
        except* GONE:
            if not server.gone:
                raise
        if server.client is None:
            assert "KILL_STEP" in variables, place.log.read_text()
            yield server


@asynccontextmanager
async def at_place(
    folder: Path, journal_url: str | None = None, *, settings: str = "", **world: Any
) -> AsyncGenerator[Place]:
    """Run a simulated exchange without limits of its own, and give the place where servers find it.

    Args:
        folder: a folder for this place alone, which is there.
        journal_url: the journal; None for a file in the folder.
        settings: more for the configuration file.
        world: what the simulator takes.
    """
    async with Simulator(ip_limit=None, key_limit=None, **world) as simulator:
        text = f'{settings}\n[exchanges.{VENUE}]\nsimulator = "{simulator.url}"\n'
        (folder / "config.toml").write_text(text, encoding="utf-8")
        yield Place(simulator, folder, journal_url)


async def until(found: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE) -> bool:
    """Ask again and again until it is so, or the time is over; return whether it is so."""
    ends = asyncio.get_running_loop().time() + seconds
    while not await found():
        if asyncio.get_running_loop().time() > ends:
            return False
        await asyncio.sleep(0.15)
    return True


async def schema(server: str, name: str) -> str:
    """Make an empty schema on a PostgreSQL server and return the URL of a journal in it."""
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE SCHEMA {name}")
    await connection.close()
    return f"{server}&search_path={name}"
