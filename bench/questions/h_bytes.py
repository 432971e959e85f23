"""(h) How many bytes does an answer have?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from bench.exchanges import SYMBOLS
from bench.measure import Answer, Finding, Target, at_most
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs
from ccxt_mcp.simulator import Simulator

_SYMBOL = "BTC/USDT"
_WRONG = "BTC/NOPE"
_HALF = at_most(0.5)


class Case(NamedTuple):
    """One kind of answer.

    Attributes:
        what: what is asked for.
        tool: the tool.
        arguments: its arguments, besides the exchange.
        target: what is promised of each channel.
    """

    what: str
    tool: str
    arguments: Mapping[str, Any]
    target: Target | None = None


CASES = (
    Case("ticker", "market_ticker", {"symbol": _SYMBOL}),
    Case("order book, 20 levels", "market_orderbook", {"symbol": _SYMBOL, "limit": 20}),
    Case("100 candles", "market_ohlcv", {"symbol": _SYMBOL, "timeframe": "1h", "limit": 100}),
    Case("50 trades", "market_trades", {"symbol": _SYMBOL, "limit": 50}, _HALF),
    Case(f"{len(SYMBOLS)} tickers, all there are", "market_tickers", {"symbols": list(SYMBOLS)}, _HALF),
    Case(f"{len(SYMBOLS)} markets, a page", "exchange_markets", {}, _HALF),
    Case("error: no such symbol", "market_ticker", {"symbol": _WRONG}),
)


class Sizes(NamedTuple):
    """The bytes of one answer in each channel, and of what ccxt gives for the same question."""

    text: int
    structured: int
    ccxt: int


def ask() -> Answer:
    """Ask for each kind of answer, and ccxt for the same data at the same moment."""
    configure_logs("warning", redactor=Redactor(()))  # the server runs in this process, and would log on its screen
    with TemporaryDirectory() as folder:
        sizes = asyncio.run(measure_sizes(Path(folder)))
    return Answer(
        "Bytes of an answer, each channel by itself",
        findings(sizes),
        baseline="compact JSON of ccxt's unified data, info included; for the error, ccxt's message",
        notes=[
            "Promised for lists of objects. ccxt's candles and book levels are arrays already, without names to save.",
            "Each channel is complete by itself and carries the envelope: source, time, age, budget, request.",
        ],
    )


async def measure_sizes(folder: Path) -> dict[str, Sizes]:
    """Return the sizes of all answers: server and simulator run in this process, and simulated time stands still."""
    import ccxt.async_support
    from mcp import Client

    from ccxt_mcp.server import build_server
    from ccxt_mcp.settings import Settings

    now = time.time()
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(clock=lambda: now))
        config: Any = simulator.ccxt_config() | {"timeout_on_exit": 0}
        direct: Any = ccxt.async_support.bybit(config)
        stack.push_async_callback(direct.close)
        own = {"cache_dir": folder, "exchanges": {"shop": {"simulator": simulator.url}}}
        client = await stack.enter_async_context(Client(build_server(Settings.model_validate(own))))
        raw = await _raw(direct)
        sizes: dict[str, Sizes] = {}
        for case, document in zip(CASES, raw, strict=True):
            result = await client.call_tool(case.tool, {"exchange": "shop", **case.arguments})
            text = "".join(getattr(block, "text", "") for block in result.content)
            sizes[case.what] = Sizes(len(text.encode()), len(orjson.dumps(result.structured_content)), len(document))
    return sizes


async def _raw(exchange: Any) -> list[bytes]:
    """Return what ccxt gives, in the order of the cases."""
    from ccxt.base.errors import BadSymbol

    markets = await exchange.load_markets()
    spot = [symbol for symbol in SYMBOLS if ":" not in symbol]
    swap = [symbol for symbol in SYMBOLS if ":" in symbol]
    tickers = await exchange.fetch_tickers(spot) | await exchange.fetch_tickers(swap)
    complaint = ""
    try:
        await exchange.fetch_ticker(_WRONG)
    except BadSymbol as error:
        complaint = str(error)
    documents = (
        await exchange.fetch_ticker(_SYMBOL),
        await exchange.fetch_order_book(_SYMBOL, 20),
        await exchange.fetch_ohlcv(_SYMBOL, "1h", None, 100),
        await exchange.fetch_trades(_SYMBOL, None, 50),
        list(tickers.values()),
        [markets[symbol] for symbol in SYMBOLS],
        complaint,
    )
    return [orjson.dumps(document) for document in documents]


def findings(sizes: Mapping[str, Sizes]) -> list[Finding]:
    """Return two lines for each answer, one for each channel."""
    return [
        Finding(f"{case.what}, {channel}", size, "bytes", of.ccxt, size / of.ccxt, case.target)
        for case in CASES
        if (of := sizes[case.what])
        for channel, size in (("text", of.text), ("structured", of.structured))
    ]
