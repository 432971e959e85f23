"""Every exchange of ccxt, met with every fault: each answer is a typed failure of the right kind."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ccxt_mcp.exchanges.lazy import ccxt_version, exchange_class, exchange_ids
from ccxt_mcp.exchanges.store import MarketSet, MarketStore
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from conftest import envelope
from fault_server import FAULTS, fault_server

EXPECTED = {
    "refused": "TAPS008",
    "hang": "TAPS008",
    "429": "TAPS003",
    "418": "TAPS003",
    "403": "TAPS010",
    "500": "TAPS008",
    "503": "TAPS007",
    "524": "TAPS008",
    "200-html": "TAPS008",
    "200-empty": "TAPS008",
    "200-truncated": "TAPS008",
    "200-cut": "TAPS008",
    "200-object": "TAPS008",
    "200-array": "TAPS008",
}
NEEDS_KEYS = {"alpaca", "coinspot", "luno", "modetrade", "mudrex", "woofipro"}
"""Exchanges that want credentials for some public data."""

OTHER_SYMBOLS = {"binanceusdm", "coincheck"}
"""Exchanges that refuse the market that this test gives to all of them."""

STATIC_MARKETS = {"bit2c", "coincheck", "coinspot", "paymium"}
"""Exchanges whose markets stand in ccxt itself, so that a wrong symbol is known before anything is sent."""

TOOLS = ("market_ticker", "market_orderbook", "market_ohlcv", "market_trades")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def failures(settings: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    """Ask every exchange with every tool; return all envelopes."""
    async with Client(build_server(settings)) as client:

        async def ask_one(exchange: str) -> list[tuple[tuple[str, str], dict[str, Any]]]:
            answers: list[tuple[tuple[str, str], dict[str, Any]]] = []
            for tool in TOOLS:
                result = await client.call_tool(tool, {"exchange": exchange, "symbol": "BTC/USDT"})
                answers.append(((exchange, tool), envelope(result)))
            return answers

        gathered = await asyncio.gather(*(ask_one(exchange) for exchange in exchange_ids()))
    return dict(pair for answers in gathered for pair in answers)


def unsent(exchange: str) -> set[str]:
    """Return the codes of calls that never leave for this exchange."""
    codes = {"TAPS006"}
    codes |= {"TAPS002"} if exchange in NEEDS_KEYS else set()
    return codes | ({"TAPS011"} if exchange in OTHER_SYMBOLS | STATIC_MARKETS else set())


def judge(fault: str, answers: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Check code, bound and secrecy of every answer."""
    wrong: list[str] = []
    for (exchange, tool), answer in answers.items():
        text = json.dumps(answer)
        if answer["success"]:
            wrong.append(f"{exchange} {tool}: success {text[:200]}")
            continue
        error = answer["error"]
        if error["code"] not in {EXPECTED[fault], *unsent(exchange)}:
            wrong.append(f"{exchange} {tool}: {error['code']} {error['reason']} {error['message']}")
        if "://" in text or "<html" in text or "leak-me" in text or len(error["message"]) > 300:
            wrong.append(f"{exchange} {tool}: leaks {text[:300]}")
        if fault == "429" and error["code"] == "TAPS003" and not 0 < error.get("retryAfterMs", 0) <= 77_000:
            wrong.append(f"{exchange} {tool}: retryAfterMs {error.get('retryAfterMs')}")
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n" + "\n".join(wrong[:40])


def settings_for(fault: str, url: str, cache: Path) -> Settings:
    """Return settings that lead to the fault; the pace of real exchanges would make the test last for minutes."""
    proxy = f"http://127.0.0.1:{closed_port()}/" if fault == "refused" else f"{url}{fault}/"
    unhurried: Any = {exchange: {"rate_limit": 0.01} for exchange in exchange_ids()}
    return Settings(cache_dir=cache, proxy_url=proxy, exchanges=unhurried, deadline=1.0 if fault == "hang" else 30.0)


@pytest.mark.parametrize("fault", ["refused", *FAULTS])
async def test_a_first_call_that_meets_a_fault_fails_with_the_right_code_on_every_exchange(
    fault: str, tmp_path: Path
) -> None:
    async with fault_server() as url:
        answers = await failures(settings_for(fault, url, tmp_path))
    assert len(answers) == len(exchange_ids()) * len(TOOLS)
    judge(fault, answers)


def market_of(exchange: Any) -> dict[str, Any]:
    precision = {"amount": 0.0001, "price": 0.01}
    base: dict[str, Any] = {
        "id": "1" if exchange.id == "nado" else "BTCUSDT",
        "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT",
        "type": "spot", "spot": True, "active": True, "precision": precision, "numericId": 1,
        "info": {"ticker_id": "BTC_USDT"},
    }  # fmt: skip
    return exchange.safe_market_structure(base)


@pytest.fixture(scope="module")
def known_markets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which every exchange has one market, so that a fault meets the request for data itself."""
    folder = tmp_path_factory.mktemp("known")
    store = MarketStore(folder, ccxt_version=ccxt_version())
    for name in exchange_ids():
        market = market_of(exchange_class(name)())
        store.write(f"{name}-live", MarketSet(time.time(), {"BTC/USDT": market}, {}, {}))
    return folder


@pytest.mark.parametrize("fault", ["refused", *FAULTS])
async def test_a_request_for_data_that_meets_a_fault_fails_with_the_right_code_on_every_exchange(
    fault: str, known_markets: Path
) -> None:
    async with fault_server() as url:
        answers = await failures(settings_for(fault, url, known_markets))
    judge(fault, answers)
