"""Live instances: ccxt.pro's own classes, kept from going astray, from dying silently and from telling too much."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientConnectorError, RequestInfo, WSMsgType, WSServerHandshakeError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import BuiltIn
from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.live import Live, stream_hosts, streaming
from ccxt_mcp.exchanges.pool import Pool
from ccxt_mcp.exchanges.vault import Vault
from ccxt_mcp.exchanges.venue import VenueKey
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import API_KEY, API_SECRET, Simulator, ccxt_config
from exchanges.test_pool import OpenGate, Tray

SECRET = "a-secret-that-is-long-enough"
SOME = ("binance", "kraken", "okx", "coinbase", "kucoin", "gate", "bitget", "hyperliquid")


def pool_for(folder: Path, **settings: Any) -> Pool:
    async def config(url: str | None) -> dict[str, Any]:
        return ccxt_config(url or "http://127.0.0.1:1")

    return Pool(
        Settings(cache_dir=folder, **settings),
        gate=lambda key, exchange: OpenGate(),
        simulator=config,
        paper=Tray,
        ccxt_log=lambda *said: None,
    )


async def built(folder: Path, key: VenueKey, **settings: Any) -> Any:
    """The instance that a pool makes for streams, closed already."""
    pool = pool_for(folder, **settings)
    try:
        made = await pool._build(key, "pro")  # pyright: ignore[reportPrivateUsage]  # offline, without markets
        await made.close()
        return made
    finally:
        await pool.close()


# -- where streams go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", SOME)
async def test_ccxt_s_classes_are_made_with_our_guards(tmp_path: Path, exchange: str) -> None:
    made = await built(tmp_path, VenueKey(exchange, "live"))
    assert type(made).__name__ == exchange
    assert made.enableRateLimit is True
    assert stream_hosts(made)
    assert Live(VenueKey(exchange, "live"), made).offers("watchTicker")


async def test_an_exchange_without_streams_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure) as refused:
        await built(tmp_path, VenueKey("zaif", "live"))
    assert refused.value.code is Code.METHOD_NOT_SUPPORTED


@pytest.mark.parametrize("exchange", ["bybit", "okx", "binance", "gate", "bitget", "krakenfutures"])
async def test_a_testnet_s_streams_never_come_from_production(tmp_path: Path, exchange: str) -> None:
    production = stream_hosts(await built(tmp_path, VenueKey(exchange, "live")))
    with suppress(Failure):  # refused, where it has none
        made = await built(tmp_path, VenueKey(exchange, "testnet"))
        assert stream_hosts(made)
        assert not stream_hosts(made) & production


async def test_streams_take_the_same_proxy_or_none_at_all(tmp_path: Path) -> None:
    key = VenueKey("kraken", "live")
    assert (await built(tmp_path, key, http_proxy="http://127.0.0.1:9")).wssProxy == "http://127.0.0.1:9"
    assert (await built(tmp_path, key, socks_proxy="socks5://127.0.0.1:9")).wsSocksProxy == "socks5://127.0.0.1:9"
    with pytest.raises(Failure) as refused:
        await built(tmp_path, key, proxy_url="http://127.0.0.1:9/")
    assert refused.value.code is Code.METHOD_NOT_SUPPORTED


# -- messages ----------------------------------------------------------------------------------------------------------


async def test_a_message_that_cannot_be_read_breaks_the_connection_for_all_who_wait() -> None:
    exchange = streaming(exchange_class("bybit", "pro"))({"enableRateLimit": False})
    try:
        client = exchange.client("wss://127.0.0.1:1/spot")
        assert exchange.client("wss://127.0.0.1:1/spot") is client
        waiting = [client.future("a"), client.future("b")]
        client.handle_message(SimpleNamespace(type=WSMsgType.TEXT, data='{"topic": "tickers.BTCUSDT", "data": '))
        for future in waiting:
            assert type(future.exception()).__name__ == "BadResponse"
        assert exchange.client("wss://127.0.0.1:1/spot") is not client
        late = client.future("c")
        client.handle_message(SimpleNamespace(type=WSMsgType.TEXT, data="[]"))  # of a connection that is given up
        assert not late.done()
    finally:
        await exchange.close()


# -- what is told ------------------------------------------------------------------------------------------------------


def live_with_secrets() -> Live:
    exchange = streaming(exchange_class("binance", "pro"))({"enableRateLimit": False})
    exchange.held = Vault(idle=60).of("binance", "mine", BuiltIn({"apiKey": "planted-key", "secret": SECRET}))
    return Live(VenueKey("binance", "live", "mine"), exchange)


async def test_a_refused_handshake_tells_its_status_and_nothing_of_its_address() -> None:
    live = live_with_secrets()
    url = URL("wss://stream.example/ws/a-listen-key-of-somebody")
    none = CIMultiDictProxy(CIMultiDict[str]())
    from ccxt.base.errors import NetworkError

    for status, code in ((403, Code.ACCESS_BLOCKED), (429, Code.RATE_LIMITED), (503, Code.MAINTENANCE)):
        cause = WSServerHandshakeError(RequestInfo(url, "GET", none, url), (), status=status, message="Invalid")
        failure = live.failure(NetworkError(cause))
        assert failure.code is code
        assert "listen-key" not in f"{failure.message} {failure.details} {failure!r}"
    refused = ClientConnectorError(SimpleNamespace(host=f"{SECRET}.example", port=1, ssl=True), OSError(111, "no"))  # pyright: ignore[reportArgumentType]
    failure = live.failure(NetworkError(refused))
    assert failure.code is Code.NETWORK
    assert SECRET not in failure.message
    await live.close()


async def test_an_account_signs_while_its_streams_are_up_and_no_longer() -> None:
    live = live_with_secrets()
    exchange = live.exchange
    await exchange.held.load(["apiKey", "secret"])
    assert exchange.secret is None

    async def pump(may_end: asyncio.Event) -> list[Any]:
        live.enter()
        seen = [exchange.secret]
        await may_end.wait()
        return [*seen, exchange.secret]

    first, second = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(pump(event)) for event in (first, second)]
    await asyncio.sleep(0)
    first.set()
    assert await tasks[0] == [SECRET, SECRET]
    second.set()
    assert await tasks[1] == [SECRET, SECRET]  # the end of one stream takes nothing from another
    assert exchange.secret is None, "who has no leave sees nothing"

    async def late() -> Any:
        live.enter()
        await live.close()
        return exchange.secret

    assert await asyncio.create_task(late()) is None
    assert SECRET not in f"{vars(exchange)} {live!r} {vars(live)}"


async def test_streams_of_an_account_keep_its_venue_from_being_closed_as_idle(tmp_path: Path) -> None:
    now = [1000.0]

    async with Simulator() as simulator:

        async def config(url: str | None) -> dict[str, Any]:
            return ccxt_config(simulator.url) | {"apiKey": API_KEY, "secret": API_SECRET}

        async def through(_: VenueKey, download: Any) -> Any:
            from ccxt_mcp.exchanges.venue import Trace

            return await download(Trace())

        pool = Pool(
            Settings(cache_dir=tmp_path),
            gate=lambda key, exchange: OpenGate(),
            simulator=config,
            paper=Tray,
            ccxt_log=lambda *said: None,
            clock=lambda: now[0],
        )
        key = VenueKey("simulator", "simulated", "simulator")
        await pool.open(key, through=through)
        live = await pool.live(key)
        assert await pool.live(key) is live
        assert live.exchange.markets.keys() == pool.venue(key).markets.keys()
        now[0] += 10_000
        await pool.evict_idle()
        assert pool.venue(key)
        await pool.close_live(key)
        await pool.evict_idle()
        assert list(pool.opened()) == []
        await pool.close()
