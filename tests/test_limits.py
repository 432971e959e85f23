"""Clock skew, budgets and proxies, through the whole house against exchanges on loopback."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from mcp import Client

from ccxt_mcp.exchanges.lazy import ccxt_version
from ccxt_mcp.exchanges.store import MarketSet, MarketStore
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Simulator
from conftest import envelope

KRAKEN_MARKET = {
    "id": "XXBTZUSD", "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "baseId": "XXBT", "quoteId": "ZUSD",
    "type": "spot", "spot": True, "active": True, "precision": {"amount": 1e-8, "price": 0.1}, "limits": {}, "info": {},
}  # fmt: skip
TICKER = {
    "a": ["60001.0", "1", "1.0"], "b": ["60000.0", "1", "1.0"], "c": ["60000.5", "0.1"], "v": ["10", "20"],
    "p": ["1", "1"], "t": [1, 2], "l": ["1", "1"], "h": ["1", "1"], "o": "1",
}  # fmt: skip


@asynccontextmanager
async def exchange_behind_a_proxy(
    answer: Callable[[str, int], web.Response],
) -> AsyncGenerator[tuple[str, Counter[str]]]:
    """Serve kraken's paths as its proxy; `answer` gets the path's last word and how often it was asked."""
    asked: Counter[str] = Counter()

    async def handle(request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[-1].partition("?")[0].partition("%3F")[0]
        asked[name] += 1
        return answer(name, asked[name])

    app = web.Application()
    app.router.add_route("*", "/{everything:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", asked
    finally:
        await runner.cleanup()


async def kraken_ticker(folder: Path, url: str) -> dict[str, Any]:
    store = MarketStore(folder, ccxt_version=ccxt_version())
    store.write("kraken-live", MarketSet(time.time(), {"BTC/USD": KRAKEN_MARKET}, {}, {}))
    async with Client(build_server(Settings(cache_dir=folder, proxy_url=url))) as client:
        return envelope(await client.call_tool("market_ticker", {"exchange": "kraken", "symbol": "BTC/USD"}))


def reply(name: str, *, nonce_is_wrong: bool) -> web.Response:
    if name == "Time":
        return web.json_response({"error": [], "result": {"unixtime": 1_700_000_000}})
    if nonce_is_wrong:
        return web.json_response({"error": ["EAPI:Invalid nonce"]})
    return web.json_response({"error": [], "result": {"XXBTZUSD": TICKER}})


async def test_a_read_with_a_wrong_clock_is_resynced_and_repeated_once(tmp_path: Path) -> None:
    async with exchange_behind_a_proxy(lambda name, times: reply(name, nonce_is_wrong=times == 1)) as (url, asked):
        answer = await kraken_ticker(tmp_path, url)
    assert answer["data"]["last"] == 60000.5
    assert asked == {"Ticker": 2, "Time": 1}


async def test_a_clock_that_stays_wrong_is_named_after_one_repetition(tmp_path: Path) -> None:
    async with exchange_behind_a_proxy(lambda name, _: reply(name, nonce_is_wrong=True)) as (url, asked):
        answer = await kraken_ticker(tmp_path, url)
    assert (answer["error"]["code"], answer["error"]["reason"]) == ("TAPS003", "clock_skew")
    assert asked == {"Ticker": 2, "Time": 1}


async def test_a_ticker_whose_prices_are_missing_is_found_out(tmp_path: Path) -> None:
    def lie(_name: str, _times: int) -> web.Response:
        return web.json_response({"error": [], "result": {"XXBTZUSD": {**TICKER, "a": [], "b": [], "c": []}}})

    async with exchange_behind_a_proxy(lie) as (url, _):
        answer = await kraken_ticker(tmp_path, url)
    assert (answer["error"]["code"], answer["error"]["reason"]) == ("TAPS008", "empty_reply")


async def test_a_burst_above_the_limit_is_never_seen_by_the_exchange(tmp_path: Path) -> None:
    async with Simulator(ip_limit=(50, 5.0)) as strict:  # as strict as ccxt's weights say: 250 units, 5 for each call
        settings = Settings(cache_dir=tmp_path, exchanges={"strict": {"simulator": strict.url}}, deadline=3.0)  # pyright: ignore[reportArgumentType]
        async with Client(build_server(settings)) as client:
            calls = [
                client.call_tool("market_trades", {"exchange": "strict", "symbol": "BTC/USDT", "limit": limit})
                for limit in range(1, 61)
            ]
            answers = [envelope(result) for result in await asyncio.gather(*calls)]
        assert strict.requests.rejected == 0
    good = [answer for answer in answers if answer["success"]]
    refused = [answer["error"] for answer in answers if not answer["success"]]
    assert len(good) + len(refused) == 60
    assert len(good) >= 40
    assert {error["reason"] for error in refused} == {"rate_limited"}
    assert all(0 < error["retryAfterMs"] <= 6000 for error in refused)


async def test_the_budget_in_the_metadata_is_true(tmp_path: Path) -> None:
    async with Client(build_server(Settings(cache_dir=tmp_path))) as client:
        await client.call_tool("exchange_init", {"exchange": "simulator"})
        first = envelope(await client.call_tool("market_trades", {"exchange": "simulator", "symbol": "BTC/USDT"}))
        second = envelope(await client.call_tool("market_trades", {"exchange": "simulator", "symbol": "ETH/USDT"}))
    before, after = first["metadata"]["rateLimit"], second["metadata"]["rateLimit"]
    assert before["remaining"] - after["remaining"] == 5
    assert after["remaining"] > 0
    assert 0 < after["reset"] - second["metadata"]["timestamp"] <= 5000


@pytest.mark.parametrize(
    ("proxies", "reason"),
    [({"http_proxy": "http://127.0.0.1:9"}, "proxy"), ({"socks_proxy": "socks5://127.0.0.1:9"}, "proxy")],
)
async def test_a_proxy_that_is_down_is_named_and_nobody_goes_around_it(
    proxies: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    async with Client(build_server(Settings(cache_dir=tmp_path, **proxies))) as client:
        answer = envelope(await client.call_tool("market_ticker", {"exchange": "kraken", "symbol": "BTC/USD"}))
        own = envelope(await client.call_tool("market_ticker", {"exchange": "simulator", "symbol": "BTC/USDT"}))
    assert (answer["error"]["code"], answer["error"]["reason"]) == ("TAPS008", reason)
    assert own["success"]
