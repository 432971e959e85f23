"""Being told that a resource has changed: in memory, over stdio and over HTTP, with the SDK's client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.subscriptions import ListenNotSupportedError
from mcp.server.mcpserver import MCPServer

from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Simulator
from ccxt_mcp.streams.channels import Channel
from ccxt_mcp.streams.hub import Topic
from ccxt_mcp.tools.live_resources import topic_of
from conftest import envelope as envelope_of
from conftest import in_own_task
from desk.house import PATIENCE, VENUE, data, order, rows, settings_for

SERVE = Path(__file__).with_name("serve_http.py")
ROOT = f"ccxt://{VENUE}/BTC/USDT"
MARKET = (f"{ROOT}/ticker", f"{ROOT}/book", f"{ROOT}/trades", f"{ROOT}/candles/1m")
ACCOUNT = tuple(f"ccxt://account/{VENUE}/{what}" for what in ("orders", "balance", "positions"))


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(tick=0.05, ip_limit=None, key_limit=None) as running:
        yield running


def server(folder: Path, simulator: Simulator, **more: Any) -> MCPServer[Any]:
    return build_server(settings_for(folder, simulator.url, **more))


class Ear:
    """Listens to resources, and keeps what it was told."""

    def __init__(self, client: Client, *uris: str) -> None:
        self.told: list[str] = []
        self._listening = client.listen(resource_subscriptions=uris)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Ear:
        subscription = await self._listening.__aenter__()

        async def hear() -> None:
            async for event in subscription:
                self.told.append(event.uri)  # pyright: ignore[reportAttributeAccessIssue]  # only updates are asked for

        self._task = asyncio.create_task(hear())
        return self

    async def __aexit__(self, *problem: Any) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._listening.__aexit__(*problem)

    async def hears(self, *uris: str) -> None:
        """Wait until it was told of each of these."""
        async with asyncio.timeout(PATIENCE):
            while not set(uris) <= set(self.told):  # noqa: ASYNC110 - the client's subscription sets no event
                await asyncio.sleep(0.02)


async def readers(client: Client) -> list[int]:
    """How many read each open stream."""
    table = data(envelope_of(await client.call_tool("stream_list", {})))["streams"]
    return [row[table["columns"].index("readers")] for row in table["rows"]]


# -- in memory ---------------------------------------------------------------------------------------------------------


async def test_all_market_resources_are_told_of(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator)) as client, Ear(client, *MARKET) as ear:
        await ear.hears(*MARKET)
        for uri in MARKET:
            content = json.loads((await client.read_resource(uri)).contents[0].text)  # pyright: ignore[reportAttributeAccessIssue]
            assert content["success"], uri


async def test_an_account_s_resources_are_told_of(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator)) as client, Ear(client, *ACCOUNT) as ear:
        await ear.hears(f"ccxt://account/{VENUE}/balance")
        ear.told.clear()
        answer = await client.call_tool("trade_create_order", {"exchange": VENUE, **order(amount=0.001)})
        assert data(envelope_of(answer))["status"] == "closed"
        await ear.hears(f"ccxt://account/{VENUE}/orders", f"ccxt://account/{VENUE}/balance")


async def test_a_fired_alert_is_told_of(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator)) as client, Ear(client, "ccxt://alerts") as ear:
        arguments = {"exchange": VENUE, "symbol": "BTC/USDT", "condition": "price_above", "value": 1, "note": "now"}
        assert data(envelope_of(await client.call_tool("stream_alert_create", arguments)))
        await ear.hears("ccxt://alerts")
        content = json.loads((await client.read_resource("ccxt://alerts")).contents[0].text)  # pyright: ignore[reportAttributeAccessIssue]
        [alert] = rows(content["data"]["alerts"])
        assert (alert["state"], alert["note"]) == ("fired", "now")


async def test_nobody_is_told_more_often_than_the_pace_allows(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator, stream_pace=600)) as client, Ear(client, f"{ROOT}/book") as ear:
        await ear.hears(f"{ROOT}/book")
        arguments = {"exchange": VENUE, "symbol": "BTC/USDT", "channels": ["book"], "updates": 6, "seconds": 20}
        assert data(envelope_of(await client.call_tool("stream_watch", arguments)))["ended"] == "updates"
        assert ear.told == [f"{ROOT}/book"]


async def test_two_listeners_share_a_stream_that_ends_with_the_last(tmp_path: Path, simulator: Simulator) -> None:
    book = "orderbook.200.BTCUSDT"
    async with Client(server(tmp_path, simulator)) as client:
        async with Ear(client, f"{ROOT}/book") as first:
            async with Ear(client, f"{ROOT}/book", "ccxt://venue/BTC-USDT/book") as second:
                await second.hears(f"{ROOT}/book", "ccxt://venue/BTC-USDT/book")
                assert simulator.streams()["/v5/public/spot"].topics[book] == 1
            first.told.clear()
            await first.hears(f"{ROOT}/book")
        async with asyncio.timeout(PATIENCE):
            while await readers(client) != [0]:  # noqa: ASYNC110 - the server tells of it by no event
                await asyncio.sleep(0.02)


async def test_what_cannot_be_followed_disturbs_nothing(tmp_path: Path, simulator: Simulator) -> None:
    strange = ("ccxt://nowhere/BTC/USDT/ticker", f"ccxt://{VENUE}/NO/SUCH/book", "ccxt://account/nobody/orders", "x:y")
    async with Client(server(tmp_path, simulator)) as client, Ear(client, *strange, f"{ROOT}/book") as ear:
        await ear.hears(f"{ROOT}/book")
        assert set(ear.told) == {f"{ROOT}/book"}


async def test_a_public_server_tells_nothing_of_accounts(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator, allow="public")) as client, Ear(client, *ACCOUNT, MARKET[1]) as ear:
        await ear.hears(MARKET[1])
        assert set(ear.told) == {MARKET[1]}
        with pytest.raises(MCPError, match="--allow account"):
            await client.read_resource(ACCOUNT[0])


async def test_an_older_client_reads_the_same_and_is_told_nothing(tmp_path: Path, simulator: Simulator) -> None:
    async with Client(server(tmp_path, simulator), mode="legacy") as client:
        assert client.server_capabilities.resources is not None
        assert not client.server_capabilities.resources.subscribe
        for uri in (*MARKET, *ACCOUNT, "ccxt://alerts"):
            assert (await client.read_resource(uri)).contents
        with pytest.raises(ListenNotSupportedError):
            async with client.listen(resource_subscriptions=MARKET):
                pass


@pytest.mark.parametrize(
    ("uri", "topic"),
    [
        ("ccxt://kraken/BTC/USD/ticker", Topic("kraken", Channel.TICKER, "BTC/USD")),
        ("ccxt://kraken/BTC%2FUSD/book", Topic("kraken", Channel.BOOK, "BTC/USD")),
        ("ccxt://bybit/BTC/USDT:USDT/trades", Topic("bybit", Channel.TRADES, "BTC/USDT:USDT")),
        ("ccxt://bybit/BTC-USDT/candles/5m", Topic("bybit", Channel.CANDLES, "BTC-USDT", "5m")),
        ("ccxt://account/simulator/orders", Topic("simulator", Channel.ORDERS, account="simulator")),
        ("ccxt://account/kraken:paper/balance", Topic("kraken", Channel.BALANCE, account="paper")),
        ("ccxt://account/nobody/balance", None),
        ("ccxt://account/simulator/own_trades", None),
        ("ccxt://kraken/ticker", None),
        ("ccxt://kraken/markets", None),
        ("ccxt://exchanges", None),
        ("https://kraken/BTC/USD/ticker", None),
    ],
)
async def test_a_resource_s_name_says_what_is_watched(settings: Settings, uri: str, topic: Topic | None) -> None:
    from ccxt_mcp.exchanges.accounts import Accounts

    assert topic_of(uri, Accounts(settings)) == topic


# -- in processes ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def over_stdio(folder: Path) -> AsyncGenerator[Client]:
    environment = {"CCXT_MCP_DATA_DIR": str(folder), "CCXT_MCP_CACHE_DIR": str(folder), "CCXT_MCP_STREAM_PACE": "0.1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CCXT_MCP_")}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "ccxt_mcp", "--toolsets", "all"], env=inherited | environment
    )
    async with Client(stdio_client(command)) as client:
        yield client


@asynccontextmanager
async def over_http(folder: Path) -> AsyncGenerator[Client]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVE), str(folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with Client(url) as client:
            yield client
    finally:
        process.stdin.close()
        await process.wait()


@pytest.mark.parametrize("way", [over_stdio, over_http])
async def test_a_client_of_another_process_is_told(tmp_path: Path, way: Any) -> None:
    uris = ("ccxt://simulator/BTC/USDT/ticker", "ccxt://simulator/BTC/USDT/book")
    opened: AbstractAsyncContextManager[Client] = way(tmp_path)
    async with in_own_task(opened) as client, Ear(client, *uris) as ear:
        await ear.hears(*uris)
        book = json.loads((await client.read_resource(uris[1])).contents[0].text)  # pyright: ignore[reportAttributeAccessIssue]
        assert book["metadata"]["cached"] is True  # the stream answers
        ear.told.clear()
        await ear.hears(uris[1])
