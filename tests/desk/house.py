"""A house to trade in: a real server over a real simulator, with short deadlines and a journal of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from mcp import Client

from ccxt_mcp.journal import Journal
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Simulator
from conftest import envelope

VENUE = "venue"
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
CREATE, CANCEL, AMEND = "/v5/order/create", "/v5/order/cancel", "/v5/order/amend"
PATIENCE = 20.0  # seconds after which what is waited for does not come any more


def settings_for(folder: Path, url: str, **more: Any) -> Settings:
    """Settings of a house in which the exchange `venue` is the simulator at a URL; asking it costs next to nothing."""
    venue = {"simulator": url, "rate_limit": 0.5}
    own = {"cache_dir": folder / "cache", "data_dir": folder / "data", "toolsets": ("all",)}
    quick = {"deadline": 5.0, "reconcile_seconds": 1.0}
    exchanges = {VENUE: venue, **more.pop("exchanges", {})}
    return Settings.model_validate({**own, **quick, **more, "exchanges": exchanges})


@dataclass(frozen=True)
class House:
    """A client of a server, and the simulator that it trades on."""

    client: Client
    simulator: Simulator
    settings: Settings

    async def ask(self, tool: str, exchange: str | None = VENUE, **arguments: Any) -> dict[str, Any]:
        """Call a tool; return its envelope."""
        named = {} if exchange is None else {"exchange": exchange}
        return envelope(await self.client.call_tool(tool, named | arguments))

    async def order(self, side: str = "buy", amount: Any = 0.01, **arguments: Any) -> dict[str, Any]:
        """Place an order, a limit one where it has a price; return its envelope."""
        return await self.ask("trade_create_order", **order(side, amount, **arguments))

    async def touch(self, symbol: str = SPOT) -> tuple[float, float]:
        """Best bid and best ask."""
        book = (await self.ask("market_orderbook", symbol=symbol))["data"]
        return book["bids"]["rows"][0][0], book["asks"]["rows"][0][0]

    async def resting(self, side: str = "buy", symbol: str = SPOT, **arguments: Any) -> dict[str, Any]:
        """Place an order that rests, a tenth away from the market; return it."""
        bid, ask = await self.touch(symbol)
        price = round(bid * 0.9, 1) if side == "buy" else round(ask * 1.1, 1)
        return data(await self.order(side, symbol=symbol, price=price, **arguments))

    async def partly_filled(self) -> dict[str, Any]:
        """Place orders at the best ask for more than stands there, until one is filled in part; return that."""
        for _ in range(30):  # the book moves on between the look at it and the order
            _, ask = await self.touch()
            placed = data(await self.order(amount=0.9, price=ask))
            if 0 < placed["filled"] < placed["amount"]:
                return placed
            await self.ask("trade_cancel_order", order_id=placed["id"])
        raise AssertionError("the market ran away thirty times")

    async def truth(self) -> list[dict[str, Any]]:
        """The orders that the simulator ever took, the oldest first."""
        return (await truth(self.simulator))["orders"]

    async def intents(self) -> list[Any]:
        """What the journal holds, the oldest first."""
        async with Journal(self.settings.data_dir / "journal.sqlite3") as journal:
            return list(reversed(await journal.recent(limit=1000)))

    async def events(self) -> list[str]:
        """What the audit tells, the oldest first."""
        async with Journal(self.settings.data_dir / "journal.sqlite3") as journal:
            return [row.event for row in (await journal.read(limit=1000, newest_first=False)).rows]

    async def unknown(self) -> list[dict[str, Any]]:
        """The unresolved intents, as a client sees them."""
        return rows(data(await self.ask("account_orders_unknown", None))["orders"])

    async def resolved(self, exchange: str = VENUE) -> bool:
        """Whether nothing is unresolved on an exchange."""
        return not [row for row in await self.unknown() if row["exchange"] == exchange]


def order(side: str = "buy", amount: Any = 0.01, **arguments: Any) -> dict[str, Any]:
    """The arguments of an order, a limit one where it has a price."""
    kind = "limit" if arguments.get("price") is not None else "market"
    return {"symbol": SPOT, "side": side, "amount": amount, "type": kind, **arguments}


def data(answer: dict[str, Any]) -> dict[str, Any]:
    """The data of an answer that must be a good one."""
    assert answer["success"], answer
    return answer["data"]


def error(answer: dict[str, Any]) -> dict[str, Any]:
    """The error of an answer that must be a failure."""
    assert not answer["success"], answer
    return answer["error"]


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """A columnar table as objects."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


async def truth(simulator: Simulator) -> dict[str, Any]:
    """Every order that a simulator took, and how often each client order id was sent."""
    async with aiohttp.ClientSession() as session, session.get(f"{simulator.url}/_simulator/orders") as told:
        return await told.json()


@asynccontextmanager
async def open_house(folder: Path, simulator: Simulator, era: str = "auto", **more: Any) -> AsyncGenerator[House]:
    """A server, and a client of it. `asked` answers questions to the human; other names are settings."""
    asked = more.pop("asked", None)
    settings = settings_for(folder, simulator.url, **more)
    async with Client(build_server(settings), mode=era, elicitation_callback=asked) as client:
        yield House(client, simulator, settings)


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """What a look gives as soon as it is true."""
    async with asyncio.timeout(PATIENCE):
        while not (seen := await look()):  # noqa: ASYNC110 - other processes and exchanges set no event
            await asyncio.sleep(0.02)
        return seen


async def command(house: House, *words: str) -> tuple[int, str]:
    """Run `ccxt-mcp` with these words beside a house, as its operator does; return its exit code and what it says."""
    folder = house.settings.data_dir.parent
    config = folder / "config.toml"
    config.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CCXT_MCP_")}
    own = {
        "CCXT_MCP_CONFIG": str(config),
        "CCXT_MCP_DATA_DIR": str(house.settings.data_dir),
        "CCXT_MCP_CACHE_DIR": str(house.settings.cache_dir),
        "COLUMNS": "200",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ccxt_mcp", *words, env=kept | own, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
