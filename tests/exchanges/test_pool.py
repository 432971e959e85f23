"""The pool: environments that fail closed, sharing, refresh, eviction and a clean end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import Account
from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids
from ccxt_mcp.exchanges.pool import Download, Pool
from ccxt_mcp.exchanges.quirks import HEADER_TESTNETS, TESTNETS_SHARING_DATA, lineage
from ccxt_mcp.exchanges.store import MarketSet
from ccxt_mcp.exchanges.testnets import enter_testnet
from ccxt_mcp.exchanges.translate import Reply, translate
from ccxt_mcp.exchanges.venue import Trace, Venue, VenueKey
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import API_KEY, API_SECRET, Simulator, ccxt_config

MARKETS = "/v5/market/instruments-info"
KEY = VenueKey("simulator", "simulated")
MINE = VenueKey("simulator", "simulated", "simulator")


class OpenGate:
    """A gate without a budget."""

    def admit(self, cost: float, *, private: bool) -> AbstractAsyncContextManager[Any]:
        return nullcontext(self)

    def unsent(self) -> None: ...

    def observe(self, reply: Reply, url: str) -> None: ...


class Tray:
    """A broker that takes one kind of order and puts it aside."""

    has: Mapping[str, Any] = {"createOrder": True, "cancelOrder": False}

    def __init__(self, account: Account, venue: Venue) -> None:
        self.account = account
        self.venue = venue

    async def call(self, method: str, *arguments: Any) -> Any:
        return {"id": "1", "symbol": self.venue.markets[arguments[0]]["symbol"], "method": method}


class Time:
    """A clock that stands until it is moved."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as running:
        yield running


@pytest.fixture
def time() -> Time:
    return Time()


def pool_of(simulator: Simulator, folder: Path, time: Time, **settings: Any) -> Pool:
    async def config(url: str | None) -> dict[str, Any]:
        return ccxt_config(url or simulator.url) | {"apiKey": API_KEY, "secret": API_SECRET}

    return Pool(
        Settings(cache_dir=folder, **settings),
        gate=lambda key, exchange: OpenGate(),
        simulator=config,
        paper=Tray,
        ccxt_log=lambda *said: None,
        clock=time,
        wall=time,
    )


@pytest.fixture
async def pool(simulator: Simulator, tmp_path: Path, time: Time) -> AsyncIterator[Pool]:
    pool = pool_of(simulator, tmp_path, time)
    yield pool
    await pool.close()


async def straight(key: VenueKey, download: Download) -> MarketSet:
    return await download(Trace())


def urls_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(urls_of(item) for item in value.values()))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("name", exchange_ids())
def test_a_testnet_is_entered_wholly_or_refused(name: str) -> None:
    exchange: Any = exchange_class(name)()
    production = urls_of(exchange.urls["api"])
    with suppress(Failure):
        enter_testnet(exchange)
        ids = lineage(type(exchange))
        assert (
            exchange.isSandboxModeEnabled
            or exchange.options.get("sandboxMode")
            or exchange.options["enableDemoTrading"]
        )
        alike = urls_of(exchange.urls["api"]) & production
        assert not alike or ids & (HEADER_TESTNETS | TESTNETS_SHARING_DATA)
        return
    with pytest.raises(Failure) as refusal:
        enter_testnet(exchange_class(name)())
    assert refusal.value.code is Code.TESTNET_NOT_SUPPORTED


def test_an_accounts_calls_have_a_key_of_their_own_whose_public_part_is_where_its_prices_come_from() -> None:
    settings: Any = {
        "exchanges": {"bybit": {"mode": "testnet"}},
        "accounts": {"main": {"exchange": "bybit", "mode": "live"}},
    }
    pool = pool_of(Simulator(), Path(), Time(), **settings)
    assert pool.account_key("bybit", "main") == VenueKey("bybit", "live", "main")
    assert pool.account_key("bybit", "main").public == pool.key("bybit", "main") == VenueKey("bybit", "live")
    paper = pool.account_key("bybit")
    assert (paper.mode, paper.account, paper.public) == ("paper", "paper", VenueKey("bybit", "testnet"))
    assert pool.key("bybit", "paper") == pool.key("bybit") == paper.public
    assert pool.account_key("simulator") == MINE
    assert pool.account_key("simulator", "paper").public == KEY


async def test_a_paper_account_is_kept_by_its_broker_over_the_exchanges_markets(
    pool: Pool, simulator: Simulator
) -> None:
    venue = await pool.open(pool.account_key("simulator", "paper"), through=straight)
    public = await pool.open(KEY, through=straight)
    count = simulator.requests.total
    assert venue.markets is public.markets
    assert venue.resolve("btc/usdt") == "BTC/USDT"
    assert [venue.support(method) for method in ("createOrder", "cancelOrder", "fetchTicker")] == [
        "native", "none", "none",
    ]  # fmt: skip
    order = await venue.call("createOrder", "BTC/USDT", "limit", "buy", 1, 1, {}, trace=Trace())
    assert order == {"id": "1", "symbol": "BTC/USDT", "method": "createOrder"}
    assert simulator.requests.total == count
    assert venue.held is None


async def test_closing_an_idle_paper_account_leaves_the_public_instance_open(pool: Pool, time: Time) -> None:
    await pool.open(pool.account_key("simulator", "paper"), through=straight)
    time.now += 20 * 60
    public = await pool.open(KEY, through=straight)
    time.now += 20 * 60
    await pool.evict_idle()
    assert list(pool.opened()) == [public]
    assert await public.call("fetchTicker", "BTC/USDT", trace=Trace())


async def test_markets_are_loaded_without_credentials_and_shared_with_the_account(pool: Pool) -> None:
    venue = await pool.open(MINE, through=straight)
    assert venue.markets
    assert venue.held is not None
    assert not venue.held.loaded


def test_a_mode_that_an_account_names_decides_the_environment() -> None:
    settings: Any = {"accounts": {"practice": {"exchange": "bybit", "mode": "testnet"}}}
    pool = pool_of(Simulator(), Path(), Time(), **settings)
    assert pool.key("bybit", "practice") == VenueKey("bybit", "testnet")
    assert pool.key("bybit") == VenueKey("bybit", "live")
    with pytest.raises(Failure, match="unknown for kraken"):
        pool.key("kraken", "practice")


async def test_callers_at_once_share_one_instance_and_one_download(pool: Pool, simulator: Simulator) -> None:
    venues = await asyncio.gather(*(pool.open(KEY, through=straight) for _ in range(20)))
    assert len({id(venue) for venue in venues}) == 1
    count = simulator.requests.by_path[MARKETS]
    await pool.open(KEY, through=straight)
    assert simulator.requests.by_path[MARKETS] == count


async def test_a_caller_that_gives_up_does_not_end_the_download_for_the_others(pool: Pool) -> None:
    first = asyncio.create_task(pool.open(KEY, through=straight))
    second = asyncio.create_task(pool.open(KEY, through=straight))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).markets
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failed_download_is_forgotten(pool: Pool) -> None:
    async def fails(key: VenueKey, download: Download) -> MarketSet:
        raise Failure(Code.NETWORK, "No way through.")

    with pytest.raises(Failure):
        await pool.open(KEY, through=fails)
    assert (await pool.open(KEY, through=straight)).markets


async def test_accounts_of_one_environment_share_its_markets(pool: Pool, simulator: Simulator) -> None:
    one = await pool.open(KEY, through=straight)
    count = simulator.requests.by_path[MARKETS]
    other = await pool.open(MINE, through=straight)
    assert other is not one
    assert other.exchange is not one.exchange
    assert other.markets["BTC/USDT"] is one.markets["BTC/USDT"]
    assert simulator.requests.by_path[MARKETS] == count


async def test_old_markets_serve_while_new_ones_load_behind_them(pool: Pool, time: Time) -> None:
    venue = await pool.open(KEY, through=straight)
    loaded = venue.loaded_at
    time.now += 3601
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(key: VenueKey, download: Download) -> MarketSet:
        started.set()
        await go_on.wait()
        return await download(Trace())

    assert (await pool.open(KEY, through=slowly)).loaded_at == loaded
    await started.wait()
    refresh = next(task for task in asyncio.all_tasks() if task.get_name() == "refresh simulator")
    assert (await pool.open(KEY, through=slowly)).loaded_at == loaded
    go_on.set()
    await refresh
    assert venue.loaded_at == time.now


async def test_a_failed_refresh_leaves_the_old_markets_and_is_not_repeated_at_once(pool: Pool, time: Time) -> None:
    venue = await pool.open(KEY, through=straight)
    time.now += 3601
    tries = 0

    async def fails(key: VenueKey, download: Download) -> MarketSet:
        nonlocal tries
        tries += 1
        raise Failure(Code.NETWORK, "No way through.")

    for _ in range(3):
        await pool.open(KEY, through=fails)
        for _ in range(3):
            await asyncio.sleep(0)
    assert tries == 1
    assert venue.markets
    assert pool.is_stale(KEY)


async def test_idle_venues_are_closed_and_open_again_from_disk(pool: Pool, time: Time, simulator: Simulator) -> None:
    venue = await pool.open(KEY, through=straight)
    time.now += 29 * 60
    await pool.evict_idle()
    assert list(pool.opened()) == [venue]
    time.now += 2 * 60
    await pool.evict_idle()
    assert not list(pool.opened())
    simulator.requests.reset()
    assert (await pool.open(KEY, through=straight)).markets
    assert MARKETS not in simulator.requests.by_path


async def test_nothing_is_left_after_closing_and_the_pool_opens_again(pool: Pool) -> None:
    before = asyncio.all_tasks()
    await pool.open(KEY, through=straight)
    await pool.close()
    assert asyncio.all_tasks() == before
    assert (await pool.open(KEY, through=straight)).markets


async def test_a_file_of_markets_that_is_damaged_is_loaded_anew(
    pool: Pool, simulator: Simulator, tmp_path: Path, time: Time
) -> None:
    await pool.open(KEY, through=straight)
    (saved,) = (tmp_path / "markets").rglob("*.json")
    saved.write_bytes(saved.read_bytes()[:1000])
    other = pool_of(simulator, tmp_path, time)
    assert (await other.open(KEY, through=straight)).markets
    await other.close()
    assert saved.stat().st_size > 1000


async def test_what_was_slimmed_and_saved_is_what_ccxt_needs(
    pool: Pool, tmp_path: Path, simulator: Simulator, time: Time
) -> None:
    fresh = await pool.open(KEY, through=straight)
    again = pool_of(simulator, tmp_path, time)
    restored = await again.open(KEY, through=straight)
    assert restored.markets == fresh.markets
    assert await restored.call("fetchTicker", "BTC/USDT:USDT", trace=Trace())
    assert restored.exchange.market_id("BTC/USDT") == "BTCUSDT"
    assert restored.exchange.currency("BTC")["code"] == "BTC"
    await again.close()


async def test_all_instances_share_one_connector(pool: Pool) -> None:
    one = await pool.open(KEY, through=straight)
    other = await pool.open(MINE, through=straight)
    assert isinstance(one.exchange.session, aiohttp.ClientSession)
    assert one.exchange.session is other.exchange.session
    assert one.exchange.ssl_context is other.exchange.ssl_context


async def test_the_cost_of_a_call_is_known_without_sending_it(pool: Pool, simulator: Simulator) -> None:
    venue = await pool.open(KEY, through=straight)
    simulator.requests.reset()
    assert await venue.cost_of("fetchTicker", "BTC/USDT") == 5
    assert await venue.cost_of("fetchTickers", ["BTC/USDT", "ETH/USDT"]) == 5
    assert simulator.requests.total == 0


@pytest.mark.parametrize("content", ["null", "[1]", '{"format":1,"saved_at":0,"markets":{"BTC/USDT":3}}'])
async def test_a_file_of_markets_of_another_shape_is_loaded_anew_and_written_over(
    content: str, pool: Pool, simulator: Simulator, tmp_path: Path, time: Time
) -> None:
    await pool.open(KEY, through=straight)
    (saved,) = (tmp_path / "markets").rglob("*.json")
    whole = saved.read_bytes()
    saved.write_text(content)
    other = pool_of(simulator, tmp_path, time)
    assert (await other.open(KEY, through=straight)).markets
    await other.close()
    assert saved.read_bytes() == whole


@pytest.mark.parametrize(("ahead", "refreshed"), [(59, False), (61, True)])
async def test_markets_from_the_future_are_refreshed(
    ahead: int, refreshed: bool, pool: Pool, simulator: Simulator, time: Time
) -> None:
    await pool.open(KEY, through=straight)
    simulator.requests.reset()
    time.now -= ahead
    await pool.open(KEY, through=straight)
    refreshing = [task for task in asyncio.all_tasks() if task.get_name() == "refresh simulator"]
    await asyncio.gather(*refreshing)
    assert (MARKETS in simulator.requests.by_path) is refreshed


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"exchanges": {"binanc": {}}}, "exchanges.binanc names 'binanc', which is unknown", "binance"),
        ({"exchanges": {"Kraken": {}}}, "exchanges.Kraken", "kraken"),
        ({"exchanges": {"simulator_b": {}}}, "exchanges.simulator_b", "simulator"),
        ({"accounts": {"okx": {"exchange": "kraken"}}}, "the name of another exchange", "another name"),
        ({"accounts": {"paper": {"exchange": "kraken"}}}, "accounts.paper is not on paper", "another name"),
        ({"accounts": {"a": {"exchange": "okx", "balances": {"BTC": 1}}}}, "accounts.a.balances is only", "paper"),
        ({"accounts": {"a": {"exchange": "okx", "mode": "simulated"}}}, "okx is no simulator", "simulator"),
        ({"accounts": {"a": {"exchange": "simulator", "mode": "live"}}}, "simulator is a simulator", "leave it out"),
        ({"exchanges": {"okx": {"account": "main"}}}, "'main', which is no account of okx", "okx, paper"),
        ({"accounts": {"mine": {"exchange": "krakn"}}}, "accounts.mine.exchange names 'krakn'", "kraken"),
        ({"exchanges": {"kraken": {"simulator": "http://127.0.0.1:1"}}}, "cannot be a simulator", "another name"),
        ({"exchanges": {"Kraken": {"simulator": "http://127.0.0.1:1"}}}, "cannot be a simulator", "another name"),
        ({"exchanges": {"../b": {"simulator": "http://127.0.0.1:1"}}}, "no name for a simulator", "letters"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_at_the_start(settings: Any, message: str, hint: str) -> None:
    with pytest.raises(Failure) as refused:
        pool_of(Simulator(), Path(), Time(), **settings)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_simulators_have_free_names_and_accounts_on_them_stay_simulated() -> None:
    place = {"simulator": "http://127.0.0.1:1"}
    settings: Any = {
        "exchanges": {"simulator": place, "my-venue_2": place, "kraken": {"rate_limit": 5}},
        "accounts": {"mine": {"exchange": "my-venue_2"}},
    }
    pool = pool_of(Simulator(), Path(), Time(), **settings)
    assert pool.known()[:2] == ("simulator", "my-venue_2")
    assert pool.key("my-venue_2", "mine") == VenueKey("my-venue_2", "simulated")


async def test_a_testnet_that_is_refused_leaves_nothing_open(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Failure) as refused:
        await pool.describe(VenueKey("kraken", "testnet"))
    assert refused.value.code is Code.TESTNET_NOT_SUPPORTED
    del refused
    await asyncio.sleep(0)  # the task that failed is forgotten one pass later, and with it the instance
    gc.collect()
    assert not caplog.records
    assert not list(pool.opened())


@asynccontextmanager
async def redirecting(target: str) -> AsyncGenerator[str]:
    """Serve on 127.0.0.1 a redirect to the same path below the target."""

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{target}{request.path_qs}"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", redirect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_redirect_to_another_host_is_not_followed(simulator: Simulator, tmp_path: Path, time: Time) -> None:
    async with redirecting(simulator.url.replace("127.0.0.1", "localhost")) as url:
        pool = pool_of(simulator, tmp_path, time, exchanges={"elsewhere": {"simulator": url}})
        with pytest.raises(Exception, match=r"^elsewhere GET ") as refused:
            await pool.open(VenueKey("elsewhere", "simulated"), through=straight)
        await pool.close()
    assert translate(refused.value, exchange="elsewhere").code is Code.BAD_REPLY
    assert simulator.requests.total == 0


async def test_a_redirect_within_the_host_is_followed(simulator: Simulator, tmp_path: Path, time: Time) -> None:
    async with redirecting(simulator.url) as url:
        pool = pool_of(simulator, tmp_path, time, exchanges={"elsewhere": {"simulator": url}})
        assert (await pool.open(VenueKey("elsewhere", "simulated"), through=straight)).markets
        await pool.close()


async def test_a_redirect_through_a_socks_proxy_is_not_followed_either(
    simulator: Simulator, tmp_path: Path, time: Time
) -> None:
    asked: list[bytes] = []

    async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # RFC 1928, to names only
        await reader.readexactly((await reader.readexactly(2))[1])
        writer.write(b"\x05\x00")
        length = (await reader.readexactly(5))[4]
        asked.append((await reader.readexactly(length + 2))[:length])
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://other.invalid/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(socks, "127.0.0.1", 0) as server:
        proxy = f"socks5h://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        pool = pool_of(simulator, tmp_path, time, socks_proxy=proxy)
        exchange = (await pool.describe(VenueKey("kraken", "live"))).exchange
        exchange.urls["api"]["public"] = "http://exchange.invalid"
        with pytest.raises(Exception, match=r"^kraken GET ") as refused:
            await exchange.publicGetTime()
        await pool.close()
    assert translate(refused.value, exchange="kraken").code is Code.BAD_REPLY
    assert asked == [b"exchange.invalid"]
