"""The demo: a real server process, a real client and simulated exchanges show a person what a model gets."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import Tool
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.charts import QUIET, BookLadder, CandleChart
from ccxt_mcp.cli.demo_trading import Human, trade
from ccxt_mcp.cli.figures import grouped
from ccxt_mcp.cli.session import Session
from ccxt_mcp.cli.terminal import TableView, failure_view, screen
from ccxt_mcp.exchanges.credentials import without_credentials
from ccxt_mcp.settings import PREFIX
from ccxt_mcp.simulator import Fault, Faults, Simulator

_SYMBOL = "BTC/USDT"
_BROKEN = "simulator_d"
_MOST_ASKED = 12  # more failures than any breaker needs


async def show() -> int:
    """Run the tour; return the exit code: 0 when every step showed what it should."""
    console = screen()
    console.print(Text.assemble(("ccxt-mcp", "bold"), " · a server process, an MCP client, four simulated exchanges"))
    async with _venues() as (environment, faults):
        started = time.monotonic()
        command = StdioServerParameters(command=sys.executable, args=["-m", "ccxt_mcp", "serve"], env=environment)
        human = Human(console)
        async with Client(stdio_client(command), elicitation_callback=human.answer) as client:
            tools = (await client.list_tools()).tools
            took = time.monotonic() - started
            told = f"ready in {took:.1f} s, MCP {client.protocol_version} over stdio"
            console.print(Text(told, style=QUIET))
            session = Session(client, console)
            _show_tools(session, tools)
            shown = [await step(session) for step in _STEPS]
            shown += await trade(session, human, faults)
    _show_how_to_add(console)
    return 0 if all(shown) else 1


@asynccontextmanager
async def _venues() -> AsyncGenerator[tuple[dict[str, str], Faults]]:
    """Run three more exchanges, the last one broken; give the environment of a server that knows them.

    With it come the faults of the first of the three.

    They share a world, and their clocks are some seconds apart, as far as real venues' prices are.
    """
    async with AsyncExitStack() as stack:
        lines: list[str] = []
        faults: list[Faults] = []
        for name, lag in (("simulator_b", 5.0), ("simulator_c", 15.0), (_BROKEN, 0.0)):
            simulator = await stack.enter_async_context(Simulator(clock=_late(lag)))
            faults.append(simulator.faults)
            if name == _BROKEN:
                simulator.faults.set(Fault("503"))
            lines.append(f'[exchanges.{name}]\nsimulator = "{simulator.url}"\n')
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccxt-mcp-demo-")))
        (folder / "config.toml").write_text("\n".join(lines), encoding="utf-8")
        clean = without_credentials(os.environ)
        inherited = {name: value for name, value in clean.items() if not name.startswith(PREFIX)}
        own = {"CONFIG": "config.toml", "CACHE_DIR": "cache", "DATA_DIR": "data"}
        ours = {f"{PREFIX}{name}": str(folder / value) for name, value in own.items()}
        yield inherited | ours | {f"{PREFIX}TOOLSETS": "default", "LOG_LEVEL": "error"}, faults[0]


def _late(lag: float) -> Callable[[], float]:
    return lambda: time.time() - lag


# -- the steps ---------------------------------------------------------------------------------------------------------


def _show_tools(session: Session, tools: list[Tool]) -> None:
    session.say("What can you do?", "tools/list")
    groups: dict[str, list[str]] = {}
    for tool in tools:
        group, _, name = tool.name.partition("_")
        groups.setdefault(group, []).append(name)
    grid = Grid.grid(padding=(0, 2))
    for group, names in groups.items():
        grid.add_row(Text(f"{group}_", style=QUIET), "  ".join(names))
    session.show(grid)


async def _ticker(session: Session) -> bool:
    ticker = await session.data("What does Bitcoin cost?", "market_ticker", exchange="simulator", symbol=_SYMBOL)
    columns = ("symbol", "last", "bid", "ask", "percentage", "high", "low", "quoteVolume")
    session.show(TableView({"columns": columns, "rows": [[ticker.get(name) for name in columns]]}))
    return "last" in ticker


async def _book(session: Session) -> bool:
    question = "How deep is its order book?"
    book = await session.data(question, "market_orderbook", exchange="simulator", symbol=_SYMBOL, limit=5)
    session.show(BookLadder(book))
    return "bids" in book


async def _candles(session: Session) -> bool:
    arguments = {"timeframe": "4h", "limit": min(60, (session.console.width - 18) // 2)}
    question = "How did it move in the last days?"
    data = await session.data(question, "market_ohlcv", exchange="simulator", symbol=_SYMBOL, **arguments)
    if "candles" not in data:
        return False
    session.show(CandleChart(data["candles"]["rows"]))
    return True


async def _comparison(session: Session) -> bool:
    exchanges = ["simulator", "simulator_b", "simulator_c", _BROKEN]
    question = "Where is it cheapest?"
    data = await session.data(question, "analytics_compare_prices", symbol=_SYMBOL, exchanges=exchanges)
    if not {"quotes", "failed", "bestBid", "bestAsk"} <= data.keys():
        return False
    session.show(TableView(data["quotes"]), Text(), _best(data), _failed(data))
    return len(data["quotes"]["rows"]) == len(exchanges) - 1


async def _mistake(session: Session) -> bool:
    arguments = {"exchange": "simulator", "symbol": "BTC/UDST"}
    session.say("A mistyped symbol: what does BTC/UDST cost?", "market_ticker", **arguments)
    error = (await session.call("market_ticker", **arguments)).get("error", {})
    session.show(failure_view(error))
    return "details" in error


async def _outage(session: Session) -> bool:
    arguments = {"exchange": _BROKEN, "symbol": _SYMBOL}
    session.say(f"An outage: what if {_BROKEN} is asked again and again?", "market_ticker", **arguments)
    for asked in range(1, _MOST_ASKED + 1):
        started = time.monotonic()
        error = (await session.call("market_ticker", **arguments)).get("error", {})
        took = time.monotonic() - started
        if error.get("reason") == "circuit_open":
            told = f"Call {asked} was answered in {took * 1000:.0f} ms, without a request to the exchange."
            session.show(failure_view(error), Text(told, style=QUIET))
            return True
    return False


async def _health(session: Session) -> bool:
    data = await session.data("How are the exchanges doing?", "system_health")
    if "exchanges" not in data:
        return False
    session.show(TableView(data["exchanges"]))
    return True


_STEPS = (_ticker, _book, _candles, _comparison, _mistake, _outage, _health)


def _best(data: dict[str, Any]) -> Text:
    bid, ask = data["bestBid"], data["bestAsk"]
    return Text.assemble(
        ("buy ", QUIET), (f"{grouped(ask['price'])} at {ask['exchange']}", "green"),
        (" · sell ", QUIET), (f"{grouped(bid['price'])} at {bid['exchange']}", "red"),
        (f" · gap {data['gapBps']:.2f} bps", QUIET),
    )  # fmt: skip


def _failed(data: dict[str, Any]) -> Text:
    columns = data["failed"]["columns"]
    failures = [dict(zip(columns, row, strict=True)) for row in data["failed"]["rows"]]
    lines = (f"{one['exchange']}: {one['code']} {one['reason']}, {one['message']}" for one in failures)
    return Text("\n".join(lines), style="yellow")


# -- the end -----------------------------------------------------------------------------------------------------------


def _show_how_to_add(console: Console) -> None:
    command = _own_command()
    entry = {"mcpServers": {"ccxt": {"command": command[0]} | ({"args": command[1:]} if command[1:] else {})}}
    console.print(Text("\nAdd it to your client", style="bold"))
    for client, how in (
        ("Claude Code", f"claude mcp add ccxt -- {' '.join(command)}"),
        ("Claude Desktop, Cursor", "in claude_desktop_config.json, ~/.cursor/mcp.json:"),
        ("", json.dumps(entry)),
    ):
        console.print(Text.assemble("  ", (f"{client:<24}" if client else "", QUIET), how), soft_wrap=True)


def _own_command() -> list[str]:
    """Return how a client on this machine starts the server: by name where that is found, else by path."""
    if shutil.which("ccxt-mcp"):
        return ["ccxt-mcp"]
    beside = Path(sys.executable).with_name("ccxt-mcp")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "ccxt_mcp"]
