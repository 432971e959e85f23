"""The read route: `Gateway.call` is the way of every request to an exchange."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from math import inf
from typing import Any

import structlog

from ccxt_mcp import rates
from ccxt_mcp.attempts import Attempts
from ccxt_mcp.call import Call, Sent, frozen, resolved
from ccxt_mcp.envelope import Envelope, Metadata
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.catalogue import Catalogue
from ccxt_mcp.exchanges.permissions import Permissions, key_permissions
from ccxt_mcp.exchanges.pool import Download, Pool
from ccxt_mcp.exchanges.replies import checked, is_ticker_of
from ccxt_mcp.exchanges.store import MarketSet
from ccxt_mcp.exchanges.venue import Gate, Trace, Venue, VenueKey
from ccxt_mcp.guards.batch import Batcher
from ccxt_mcp.guards.breaker import Breakers
from ccxt_mcp.guards.cache import Cache, Served
from ccxt_mcp.guards.meters import Meters
from ccxt_mcp.methods import METHODS, Method, permit
from ccxt_mcp.rates import Rates
from ccxt_mcp.settings import Settings
from ccxt_mcp.text import clean_text

log = structlog.get_logger(__name__)

_SEND_SHARE = 0.97  # an attempt ends a little before its caller gives up, so that breaker and meters learn of it

LiveAnswers = Callable[[VenueKey, str, Mapping[str, Any]], Served[Any] | None]
"""(key, method, arguments) -> what a live stream knows instead of an answer; None where that must be asked for."""

_until: ContextVar[float] = ContextVar("ccxt_mcp_until", default=inf)


class Gateway:
    """Runs calls behind cache, breaker, rate budget, deadline, retries and error table.

    Args:
        settings: the server's settings.
        pool: makes a pool that sends its requests through the given gate.
        clock: monotonic seconds; must be the running event loop's own clock.
        wall: seconds since the epoch.
        jitter: a number between 0 and 1 for each back-off.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pool: Callable[[Callable[[VenueKey, Any], Gate]], Pool],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.rates = Rates(settings, clock=clock, wall=wall)
        self.pool = pool(self.rates.gate)
        self.cache = Cache(max_bytes=settings.cache_bytes, clock=clock)
        self.breakers = Breakers(clock=clock)
        self.meters = Meters(clock=clock)
        self.catalogue = Catalogue(settings.cache_dir)
        self.live: LiveAnswers = _no_streams
        self._attempts = Attempts(settings, self.breakers, self.rates, self.meters, clock=clock, jitter=jitter)
        self._writes: dict[VenueKey, int] = {}
        self._batchers: dict[tuple[VenueKey, Any], Batcher[str, Any]] = {}
        self._clock = clock
        self._wall = wall

    # -- the route ---------------------------------------------------------------------------------------------------

    async def call(self, call: Call) -> Envelope:
        """Answer a call within its deadline: with data, or with a failure that says what to do. Never raises."""
        request_id = _request_id()
        key: VenueKey | None = None
        try:
            row = METHODS[call.method]
            key = self._key(call, row)
            served = self._at_hand(call, row, key)
            if served is None:
                with structlog.contextvars.bound_contextvars(request_id=request_id):
                    served = await self._within_deadline(call, row, key)
        except Failure as failure:
            log.info(
                "call failed",
                exchange=clean_text(call.exchange, 40),
                method=call.method,
                reason=failure.code.value.reason,
                request_id=request_id,
            )
            return Envelope(self._metadata(call, request_id, key), failure=failure)
        return Envelope(self._metadata(call, request_id, key, served), served.value, kept=served.kept)

    async def send(self, call: Call, *, urgent: bool = False) -> Sent:
        """Send a write, once: no cache, no retry. Never raises, and must be shielded from its caller's cancellation.

        Args:
            call: a method of METHODS that writes.
            urgent: whether it is a way out, such as a cancel: the breaker does not stop it, and no read goes before it.
        """
        row = METHODS[call.method]
        key: VenueKey | None = None
        trace = Trace()
        try:
            key = self._key(call, row)
            ends = min(self._clock() + self.settings.deadline, _until.get())
            with rates.until(ends, urgent=urgent):
                venue = await self._open(key)
                arguments = resolved(venue, call)
                value = await self._write(venue, call.method, arguments, trace, urgent=urgent)
        except Failure as failure:
            return Sent(trace.fate or "unsent", self._metadata(call, _request_id(), key), failure=failure)
        finally:
            if key is not None:
                self._writes[key] = self._writes.get(key, 0) + 1
        return Sent("accepted", self._metadata(call, _request_id(), key), value)

    async def account_venue(self, exchange: str, account: str | None = None, *, method: str = "fetchBalance") -> Venue:
        """Return the exchange as an account sees it, with its markets loaded.

        Args:
            exchange: the exchange's id.
            account: the account's name; None for the exchange's default.
            method: what is to be done with it.

        Raises:
            Failure: the method is not allowed there, which is told before anything is asked; credentials are missing,
                or what opening met.
        """
        key = self._key(Call(method, exchange, account=account), METHODS[method])
        with rates.until(min(self._clock() + self.settings.deadline, _until.get())):
            return await self._open(key)

    async def _open(self, key: VenueKey) -> Venue:
        """Return a venue with its markets; what credentials it lacks is told before anything is asked."""
        if key.account is not None:
            await (await self.pool.describe(key)).require_credentials()
        return await self.pool.open(key, through=self._load_markets)

    async def key_permissions(self, exchange: str, account: str | None = None) -> Permissions | None:
        """Return what an account's API key may do; None where the exchange does not tell, or there is no key.

        Raises:
            Failure: credentials are missing or rejected, private data is not allowed, or what the call met.
        """
        venue = await self.account_venue(exchange, account)

        async def ask(trace: Trace) -> Permissions | None:
            return await key_permissions(venue, trace=trace)

        with rates.until(self._clock() + self.time_left()):
            return await self._attempts.once(venue.key, "keyPermissions", ask, Trace())

    async def open(self, exchange: str, account: str | None = None) -> Venue:
        """Return the exchange with its markets loaded.

        Raises:
            Failure: what the call met.
        """
        return (await self.call(Call("loadMarkets", exchange, account=account))).unwrap()

    async def describe(self, exchange: str, account: str | None = None) -> Venue:
        """Return the exchange without loading its markets.

        Raises:
            Failure: UNKNOWN_EXCHANGE, or TESTNET_NOT_SUPPORTED.
        """
        return await self.pool.describe(self.pool.key(exchange, account))

    def _key(self, call: Call, row: Method) -> VenueKey:
        """Return the key of the instance that a call uses, if what it touches is allowed."""
        if not row.private:
            return self.pool.key(call.exchange, call.account)
        key = self.pool.account_key(call.exchange, call.account)
        permit(row.tier, mode=key.mode, allow=self.settings.allow)
        return key

    def failed(
        self, failure: Failure, exchange: str | None = None, account: str | None = None, *, private: bool = False
    ) -> Envelope:
        """Return the envelope of a failure that happened outside of a call.

        Args:
            failure: what went wrong.
            exchange: where, as the caller wrote it.
            account: whose money it was about, as the caller wrote it.
            private: whether it was about an account; then its name and mode are told.
        """
        facts: dict[str, Any] = {"exchange": exchange and clean_text(exchange, 40)}
        if private and exchange is not None:
            with suppress(Failure):
                key = self.pool.account_key(exchange, account)
                facts |= {"account": key.account, "mode": key.mode, "rate_limit": self.rates.rate_limit(key)}
        return Envelope(self.metadata(**facts), failure=failure)

    def metadata(self, **facts: Any) -> Metadata:
        """Return the metadata of an answer that comes from the server itself."""
        return Metadata(request_id=_request_id(), timestamp=self.now_ms(), **facts)

    def now_ms(self) -> int:
        """Return the present in milliseconds since the epoch."""
        return round(self._wall() * 1000)

    def _at_hand(self, call: Call, row: Method, key: VenueKey) -> Served[Any] | None:
        """Return what a stream tells or is fresh in the cache, without a task or a timer: there is no waiting."""
        venue = self.pool.ready(key, through=self._load_markets)
        if venue is None or call.method == "loadMarkets":
            return None
        arguments = resolved(venue, call)
        return self.live(key, call.method, arguments) or self.cache.fresh(self._cache_key(call, row, key, arguments))

    def _cache_key(self, call: Call, row: Method, key: VenueKey, arguments: Mapping[str, Any]) -> Hashable:
        """Return what decides an answer. What an account has is asked anew after each of its writes."""
        owner = (key.account, self._writes.get(key, 0)) if row.private else None
        return key.exchange, key.mode, owner, call.method, frozen(arguments)

    def time_left(self) -> float:
        """Return the seconds that the tool under way still has."""
        return max(0.0, min(self.settings.deadline, _until.get() - self._clock()))

    def renew_deadline(self) -> None:
        """Give the tool under way its whole time again, after it waited for a human."""
        _until.set(self._clock() + self.settings.deadline)

    @contextmanager
    def one_deadline(self) -> Generator[None]:
        """Let all calls made inside share one deadline, however many a tool needs."""
        token = _until.set(self._clock() + self.settings.deadline)
        try:
            yield
        finally:
            _until.reset(token)

    async def _within_deadline(self, call: Call, row: Method, key: VenueKey) -> Served[Any]:
        seconds = min(self.settings.deadline, _until.get() - self._clock())
        if seconds <= 0:
            raise Failure(Code.TIMEOUT, f"No time was left to ask {call.exchange}.")
        try:
            with rates.until(self._clock() + seconds * _SEND_SHARE):
                async with asyncio.timeout(seconds):
                    return await self._serve(call, row, key)
        except TimeoutError:
            raise Failure(Code.TIMEOUT, f"{call.exchange} did not answer within {seconds:.3g} s.") from None

    async def _serve(self, call: Call, row: Method, key: VenueKey) -> Served[Any]:
        venue = await self._open(key)
        if call.method == "loadMarkets":
            age = max(0.0, self._wall() - (venue.loaded_at or 0.0))
            return Served(venue, cached=True, age=age, stale=self.pool.is_stale(key))
        arguments = resolved(venue, call)
        return await self.cache.get_or_fetch(
            self._cache_key(call, row, key, arguments),
            partial(self._fetch, venue, call.method, arguments),
            ttl=lambda value: row.ttl(arguments, value, self._wall()),
            stale_for=row.stale_for,
        )

    async def _fetch(self, venue: Venue, method: str, arguments: Mapping[str, Any]) -> Any:
        if method == "fetchTicker" and venue.support("fetchTickers") == "native":
            return await self._batcher(venue, arguments["symbol"]).get(arguments["symbol"])
        return await self._fetch_alone(venue, method, arguments)

    async def _fetch_together(self, venue: Venue, symbols: tuple[str, ...]) -> dict[str, Any]:
        """Return the good tickers of one request, within half of the time: the other half is for those it lacks."""
        now = self._clock()
        with rates.until(now + (rates.deadline() - now) / 2):
            tickers = await self._fetch_alone(venue, "fetchTickers", {"symbols": list(symbols)})
        return {symbol: ticker for symbol, ticker in tickers.items() if is_ticker_of(ticker, symbol)}

    async def _fetch_alone(self, venue: Venue, method: str, arguments: Mapping[str, Any]) -> Any:
        async def operation(trace: Trace) -> Any:
            return await self._ask(venue, method, arguments, trace)

        if venue.brokered(method):
            return await operation(Trace())  # its own requests take the read route, with all guards
        return await self._attempts.repeated(venue.key, method, operation, resync=partial(self._resync, venue))

    async def _ask(self, venue: Venue, method: str, arguments: Mapping[str, Any], trace: Trace) -> Any:
        fitted = venue.fitted(method, arguments, now_ms=self.now_ms())
        value = await venue.call(method, *(fitted.get(name) for name in METHODS[method].takes), trace=trace)
        return checked(method, value, arguments, blank=trace.last is not None and trace.last.blank)

    async def _write(
        self, venue: Venue, method: str, arguments: Mapping[str, Any], trace: Trace, *, urgent: bool
    ) -> Any:
        """Send a write; `trace.fate` tells what became of it when it fails."""

        async def operation(trace: Trace) -> Any:
            return await self._ask(venue, method, arguments, trace)

        if venue.brokered(method):
            trace.fate = "rejected"  # a broker of ours does all or nothing
            return await operation(trace)
        if urgent:
            return await self._attempts.once(venue.key, method, operation, trace)
        with self.breakers.of(venue.key.exchange).admit() as admission:
            try:
                return await self._attempts.once(venue.key, method, operation, trace)
            except Failure as failure:
                if not trace.sent:
                    admission.abandoned()
                elif failure.code is Code.CLOCK_SKEW:
                    await self._resync(venue)  # for the next order; this one is never sent again
                raise

    # -- behind the cache ------------------------------------------------------------------------------------------

    async def _resync(self, venue: Venue) -> bool:
        """Measure anew how far our clock is off the exchange's; return whether that worked."""
        if venue.support("fetchTime") == "none":
            return False

        async def measure(trace: Trace) -> None:
            await venue.call("loadTimeDifference", trace=trace)

        try:
            await self._attempts.once(venue.key, "fetchTime", measure, Trace())
        except Failure:
            return False
        return True

    async def _load_markets(self, key: VenueKey, download: Download) -> MarketSet:
        return await self._attempts.repeated(key, "loadMarkets", download)

    def _batcher(self, venue: Venue, symbol: str) -> Batcher[str, Any]:
        """Return the batcher of the symbol's kind of market: exchanges answer one kind at a time."""
        market = venue.markets[symbol]
        key, kind = venue.key, (market.get("type"), market.get("linear"), market.get("settle"))
        if (key, kind) not in self._batchers:
            self._batchers[key, kind] = Batcher(
                one=lambda one: self._fetch_alone(self.pool.venue(key), "fetchTicker", {"symbol": one}),
                many=lambda many: self._fetch_together(self.pool.venue(key), many),
                worthwhile=lambda many: _batch_costs_less(self.pool.venue(key), many),
            )
        return self._batchers[key, kind]

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _metadata(
        self, call: Call, request_id: str, key: VenueKey | None, served: Served[Any] | None = None
    ) -> Metadata:
        return Metadata(
            request_id=request_id,
            timestamp=self.now_ms(),
            exchange=key.exchange if key else clean_text(call.exchange, 40),
            mode=key.mode if key else None,
            account=(key.account or call.account) if key else None,
            rate_limit=self.rates.rate_limit(key) if key else None,
            cached=served.cached if served else False,
            age_ms=round(served.age * 1000) if served else 0,
            stale=served.stale if served else False,
        )

    async def close(self) -> None:
        """Cancel what is under way and close every exchange."""
        for batcher in list(self._batchers.values()):
            await batcher.close()
        await self.cache.close()
        await self.catalogue.close()
        await self.pool.close()


def _no_streams(_key: VenueKey, _method: str, _arguments: Mapping[str, Any]) -> None:
    """Know nothing: there are no streams before somebody brings them."""


def _request_id() -> str:
    return f"{random.getrandbits(48):012x}"


async def _batch_costs_less(venue: Venue, symbols: tuple[str, ...]) -> bool:
    single = await venue.cost_of("fetchTicker", symbols[0])
    return await venue.cost_of("fetchTickers", list(symbols)) < single * len(symbols)
