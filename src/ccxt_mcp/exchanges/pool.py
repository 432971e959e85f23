"""The pool: opens exchanges on first use, shares them, their markets and their connections, and closes them."""

from __future__ import annotations

import asyncio
import copy
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import certifi
import structlog

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import Account, Accounts, check_names
from ccxt_mcp.exchanges.credentials import CREDENTIALS, BuiltIn
from ccxt_mcp.exchanges.lazy import Flavour, ccxt_version, exchange_class, unknown_exchange
from ccxt_mcp.exchanges.live import Live, check_streams, stream_hosts, streaming
from ccxt_mcp.exchanges.store import MarketSet, MarketStore
from ccxt_mcp.exchanges.symbols import SymbolIndex
from ccxt_mcp.exchanges.testnets import enter_testnet
from ccxt_mcp.exchanges.vault import Vault
from ccxt_mcp.exchanges.venue import Broker, Gate, Trace, Venue, VenueKey, guarded, traced
from ccxt_mcp.settings import ExchangeSettings, Settings

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger(__name__)

_RETRY_REFRESH = 60.0
_SWEEP_EVERY = 60.0
_CLOCK_ERROR = 60.0  # seconds by which markets may seem to come from the future; more, and the clock was set back
_ACKNOWLEDGED = {"warnOnFetchOpenOrdersWithoutSymbol": False}
_ACKNOWLEDGED_OF_OPEN_ORDERS = {"warnIfNoSymbol": False, "warnWithoutSymbol": False}
_PROXY_NAMES = {"proxy_url": "proxyUrl", "http_proxy": "httpProxy", "socks_proxy": "socksProxy"}
_STREAM_PROXY_NAMES = {"http_proxy": "wssProxy", "socks_proxy": "wsSocksProxy"}

Download = Callable[[Trace], Awaitable[MarketSet]]
Through = Callable[[VenueKey, Download], Awaitable[MarketSet]]
"""Runs a download of markets behind the caller's guards: breaker, retries, error table."""


class Pool:
    """Instances by (exchange, environment, account). Nothing here is loaded before it is asked for.

    Args:
        settings: which exchanges are configured how.
        gate: makes the gate that the requests of an instance pass.
        simulator: gives ccxt's configuration for a simulator at a URL, or for the embedded one when it is None; its
            `apiKey` and `secret` are those of the simulator's own account.
        paper: makes the broker of a paper account over a venue with the exchange's markets.
        ccxt_log: where ccxt's own printing goes.
        markets_ttl: seconds after which markets are refreshed in the background.
        clock: monotonic seconds.
        wall: seconds since the epoch.

    Raises:
        Failure: INVALID_ARGUMENT when the settings name an exchange that does not exist.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Callable[[VenueKey, Any], Gate],
        simulator: Callable[[str | None], Awaitable[dict[str, Any]]],
        paper: Callable[[Account, Venue], Broker],
        ccxt_log: Callable[..., None],
        markets_ttl: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        check_names(settings)
        self._settings = settings
        self._gate = gate
        self._simulator = simulator
        self._ccxt_log = ccxt_log
        self._paper = paper
        self.accounts = Accounts(settings)
        self.vault = Vault(idle=settings.credentials_idle_minutes * 60, clock=clock)
        self._markets_ttl = markets_ttl
        self._clock = clock
        self._wall = wall
        self._store = MarketStore(settings.cache_dir, ccxt_version=ccxt_version())
        self._venues: dict[VenueKey, Venue] = {}
        self._lives: dict[VenueKey, Live] = {}
        self._markets: dict[VenueKey, MarketSet] = {}
        self._tasks: dict[tuple[str, VenueKey], asyncio.Task[Any]] = {}
        self._refreshed_at: dict[VenueKey, float] = {}
        self._not_refreshed: set[VenueKey] = set()
        self._session: aiohttp.ClientSession | None = None
        self._ssl: ssl.SSLContext | None = None

    def known(self) -> tuple[str, ...]:
        """Return the ids of all exchanges that can be asked, the simulators first."""
        return tuple(self._public)

    def simulators(self) -> list[str]:
        """Return the ids behind which simulators are, the built-in one first."""
        return [name for name, key in self._public.items() if key.mode == "simulated"]

    @cached_property
    def _public(self) -> dict[str, VenueKey]:
        """The keys of calls that name no account, by exchange."""
        return {name: VenueKey(name, mode) for name, mode in self.accounts.modes.items()}

    def key(self, exchange: str, account: str | None = None) -> VenueKey:
        """Return the key of the instance that public calls use, in the account's environment if one is named.

        Raises:
            Failure: UNKNOWN_EXCHANGE with the nearest names, or INVALID_ARGUMENT for an unknown account.
        """
        if account is not None:
            return self.account_key(exchange, account).public
        public = self._public.get(exchange)
        if public is None:
            raise unknown_exchange(exchange, self.known())
        return public

    def account_key(self, exchange: str, account: str | None = None) -> VenueKey:
        """Return the key of the instance that an account's calls use; its `public` is where its prices come from.

        Args:
            exchange: the exchange's id.
            account: the account's name; None for the exchange's default account.

        Raises:
            Failure: UNKNOWN_EXCHANGE with the nearest names, or INVALID_ARGUMENT with the exchange's accounts.
        """
        owner = self.accounts.resolve(exchange, account)
        data = self.accounts.modes[exchange] if owner.mode == "paper" else None
        return VenueKey(exchange, owner.mode, owner.name, data)

    async def open(self, key: VenueKey, *, through: Through) -> Venue:
        """Return the venue with its markets, opening and loading it when needed.

        Concurrent first callers share one instance and one download; neither ends with a caller that gives up.

        Raises:
            Failure: what `through` raised; nothing of a failed attempt is kept.
        """
        if (venue := self.ready(key, through=through)) is None:
            venue = await self._shared("open", key, lambda: self._open(key, through))
            self._use(venue, through)
        return venue

    def ready(self, key: VenueKey, *, through: Through) -> Venue | None:
        """Return what `open` does where that need not wait, else None."""
        venue = self._venues.get(key)
        if venue is None or venue.loaded_at is None:
            return None
        self._use(venue, through)
        return venue

    def venue(self, key: VenueKey) -> Venue:
        """Return a venue that is open; KeyError if it is not."""
        return self._venues[key]

    async def describe(self, key: VenueKey) -> Venue:
        """Return the venue without loading its markets: enough to know what ccxt can do there."""
        return self._venues.get(key) or await self._shared("build", key, lambda: self._create(key))

    async def live(self, key: VenueKey) -> Live:
        """Return the instance whose streams bring what is at a key, whose venue must be open.

        Raises:
            Failure: METHOD_NOT_SUPPORTED where there are no streams, or none that would go where the requests go.
        """
        return self._lives.get(key) or await self._shared("live", key, lambda: self._create_live(key))

    async def close_live(self, key: VenueKey) -> None:
        """Close that instance, because nobody uses its streams any more."""
        if (live := self._lives.pop(key, None)) is not None:
            await live.close()

    def is_stale(self, key: VenueKey) -> bool:
        """Whether the markets are past their time and the last attempt to refresh them failed."""
        return key.public in self._not_refreshed

    def opened(self) -> Iterator[Venue]:
        """Iterate over the venues that are open now."""
        return iter(list(self._venues.values()))

    def loaded(self) -> list[str]:
        """Return the exchanges that are open with their markets; one that failed to load is none of them."""
        return [venue.key.exchange for venue in self.opened() if venue.loaded_at is not None]

    async def evict_idle(self) -> None:
        """Close the venues that nobody used for the configured time, and forget their markets in memory."""
        self.vault.forget_idle()
        limit = self._clock() - self._settings.idle_minutes * 60
        for key, venue in list(self._venues.items()):
            if venue.last_used < limit and ("open", key) not in self._tasks and not self._streams_of(key):
                del self._venues[key]
                if all(other.public != key.public for other in self._venues):
                    self._markets.pop(key.public, None)
                await venue.close()

    async def close(self) -> None:
        """Cancel what is under way and close everything; the pool can be used again afterwards."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for live in list(self._lives.values()):
            await live.close()
        self._lives.clear()
        for venue in list(self._venues.values()):
            await venue.close()
        self._venues.clear()
        self._markets.clear()
        self.vault.close()
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # the loop closes sockets one pass after their transports

    # -- opening ---------------------------------------------------------------------------------------------------

    async def _shared(self, purpose: str, key: VenueKey, start: Callable[[], Awaitable[Any]]) -> Any:
        task = self._tasks.get((purpose, key)) or self._spawn(purpose, key, start)
        return await asyncio.shield(task)

    def _spawn(self, purpose: str, key: VenueKey, start: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await start()

        task = asyncio.create_task(run(), name=f"{purpose} {key.exchange}")
        self._tasks[purpose, key] = task

        def forget(done: asyncio.Task[Any]) -> None:
            self._tasks.pop((purpose, key), None)
            if not done.cancelled():
                done.exception()  # retrieved here in case that every caller has gone

        task.add_done_callback(forget)
        return task

    async def _open(self, key: VenueKey, through: Through) -> Venue:
        venue = await self.describe(key)
        shared = key.public
        markets = self._markets.get(shared) or await self._shared(
            "markets", shared, lambda: self._markets_of(shared, through)
        )
        self._install(key, markets)
        return venue

    async def _markets_of(self, key: VenueKey, through: Through) -> MarketSet:
        saved = await asyncio.to_thread(self._store.read, _name(key))
        return saved or await through(key, lambda trace: self._download(key, trace))

    async def _create(self, key: VenueKey) -> Venue:
        venue = await (self._on_paper(key) if key.mode == "paper" else self._with_account(key))
        venue.last_used = self._clock()
        self._venues[key] = venue
        if ("sweep", _EVERY) not in self._tasks:
            self._spawn("sweep", _EVERY, self._sweep)
        return venue

    async def _on_paper(self, key: VenueKey) -> Venue:
        """Return the venue of a paper account: the facts of the public one, and a broker that keeps the account."""
        venue = Venue(key, (await self.describe(key.public)).exchange)
        venue.broker = self._paper(self.accounts.resolve(key.exchange, key.account), venue)
        return venue

    async def _with_account(self, key: VenueKey) -> Venue:
        """Return a venue with an instance of its own, which finds its credentials when it signs."""
        owner = None if key.account is None else self.accounts.resolve(key.exchange, key.account)
        exchange = await self._build(key)
        if owner is not None:
            source = owner.source or BuiltIn(await self._built_in(key))
            exchange.held = self.vault.of(owner.exchange, owner.name, source)
        return Venue(key, exchange)

    async def _built_in(self, key: VenueKey) -> dict[str, str]:
        config = await self._simulator(self._settings.exchange(key.exchange).simulator)
        return {name: config[name] for name in ("apiKey", "secret") if name in config}

    async def _create_live(self, key: VenueKey) -> Live:
        exchange = await self._build(key, "pro")
        exchange.held = self._venues[key].held
        live = self._lives[key] = Live(key, exchange)
        self._markets[key.public].install(exchange)
        return live

    def _streams_of(self, key: VenueKey) -> bool:
        """Whether streams need what the venue at a key has: its credentials, or the markets that all accounts share."""
        return any(key in (live, live.public) for live in self._lives)

    def _install(self, key: VenueKey, markets: MarketSet) -> None:
        self._markets[key.public] = markets
        for venue in self._venues.values():
            if venue.key.public == key.public and venue.loaded_at != markets.saved_at:
                markets.install(venue.exchange)
                venue.index = SymbolIndex(markets.markets)
                venue.loaded_at = markets.saved_at
        for live in self._lives.values():
            if live.key.public == key.public:
                markets.install(live.exchange)

    async def _download(self, key: VenueKey, trace: Trace) -> MarketSet:
        """Load markets on an instance of their own: no call waits for it, and no credentials take part."""
        exchange = await self._build(key)
        try:
            before = copy.deepcopy(exchange.options)
            with traced(trace):
                await exchange.load_markets()
            if not exchange.markets:
                raise Failure(Code.BAD_REPLY, f"{key.exchange} answered with no markets at all.")
            markets = MarketSet.taken_from(exchange, options_before=before, now=self._wall())
        finally:
            await exchange.close()
        try:
            await asyncio.to_thread(self._store.write, _name(key), markets)
        except (OSError, TypeError) as error:
            log.warning("markets not saved", exchange=key.exchange, error=str(error))
        return markets

    def _use(self, venue: Venue, through: Through) -> None:
        venue.last_used = self._clock()
        self._refresh_if_old(venue.key, through)

    def _refresh_if_old(self, key: VenueKey, through: Through) -> None:
        markets = self._markets.get(key.public)
        if markets is None or ("refresh", key.public) in self._tasks:
            return
        if -_CLOCK_ERROR <= self._wall() - markets.saved_at < self._markets_ttl:
            return
        if self._clock() - self._refreshed_at.get(key.public, float("-inf")) < _RETRY_REFRESH:
            return
        self._refreshed_at[key.public] = self._clock()
        self._spawn("refresh", key.public, lambda: self._refresh(key.public, through))

    async def _refresh(self, key: VenueKey, through: Through) -> None:
        try:
            self._install(key, await through(key, lambda trace: self._download(key, trace)))
            self._not_refreshed.discard(key)
        except Failure as failure:
            self._not_refreshed.add(key)
            log.warning("markets not refreshed", exchange=key.exchange, reason=failure.code.value.reason)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            await self.evict_idle()

    # -- building --------------------------------------------------------------------------------------------------

    async def _build(self, key: VenueKey, flavour: Flavour = "async_support") -> Any:
        settings = self._settings.exchange(key.exchange)
        dialect = "bybit" if key.mode == "simulated" else key.exchange
        base = await asyncio.to_thread(exchange_class, dialect, flavour)
        exchange = (streaming if flavour == "pro" else guarded)(base)(await self._config(key, settings, flavour))
        try:
            production = stream_hosts(exchange)
            if settings.default_type or exchange.has.get("spot"):
                exchange.options["defaultType"] = settings.default_type or "spot"
            exchange.options.update(_ACKNOWLEDGED)
            if isinstance(fetching := exchange.options.get("fetchOpenOrders"), dict):
                fetching.update(_ACKNOWLEDGED_OF_OPEN_ORDERS)
            exchange.gate = self._gate(key, exchange)
            exchange.log = self._ccxt_log
            if key.mode == "testnet":
                enter_testnet(exchange)
            if flavour == "pro":
                by_url = "proxy_url" in settings.chosen
                check_streams(exchange, production=production, testnet=key.mode == "testnet", by_url=by_url)
            if exchange.socksProxy:  # ccxt makes a session of its own for it, which must not follow redirects either
                exchange.open()
                exchange.get_socks_proxy_session(exchange.socksProxy).trace_configs.append(_no_foreign_redirects())
        except BaseException:
            await exchange.close()
            raise
        return exchange

    async def _config(self, key: VenueKey, settings: ExchangeSettings, flavour: Flavour) -> dict[str, Any]:
        """Return all that ccxt is told."""
        config: dict[str, Any] = {
            # the gate takes its place, shared by all instances; messages to streams are ccxt's to slow down
            "enableRateLimit": flavour == "pro",
            "timeout": round(self._settings.deadline * 1000),
            "timeout_on_exit": 0,
            "session": self._shared_session(),
            "ssl_context": self._ssl,
            "enableLastHttpResponse": False,
            "enableLastJsonResponse": False,
            "enableLastResponseHeaders": False,
        }
        if key.mode == "simulated":
            told = await self._simulator(settings.simulator)
            config |= {"id": key.exchange} | {name: told[name] for name in told.keys() - CREDENTIALS.keys()}
        else:
            config |= {_PROXY_NAMES[name]: url for name, url in settings.chosen.items()}
            if flavour == "pro":
                config |= {
                    _STREAM_PROXY_NAMES[name]: url
                    for name, url in settings.chosen.items()
                    if name in _STREAM_PROXY_NAMES
                }
        if settings.rate_limit is not None:
            config["rateLimit"] = settings.rate_limit
        return config

    def _shared_session(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415 - a tenth of a second that the start does not need

        if self._session is None:
            self._ssl = ssl.create_default_context(cafile=certifi.where())
            self._ssl.load_default_certs()
            connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0, limit_per_host=100, happy_eyeballs_delay=0)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[_no_foreign_redirects()]
            )
        return self._session


def _no_foreign_redirects() -> aiohttp.TraceConfig:
    """Return what keeps a session from following redirects to another host, or from https to http.

    aiohttp repeats the request there with all headers but a few: API keys and signatures would go with it.
    """
    import aiohttp  # noqa: PLC0415 - as above

    async def refuse(_session: Any, _context: Any, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        here, headers = redirect.url, redirect.response.headers
        try:
            there = here.join(type(here)(headers.get("Location") or headers.get("URI") or ""))  # read as aiohttp does
        except ValueError:
            raise aiohttp.ClientPayloadError("a redirect to what is no address") from None
        if there.host != here.host or (here.scheme, there.scheme) == ("https", "http"):
            raise aiohttp.ClientPayloadError("a redirect to another host")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    trace.freeze()
    return trace


_EVERY = VenueKey("*", "live")


def _name(key: VenueKey) -> str:
    return f"{key.exchange}-{key.mode}"
