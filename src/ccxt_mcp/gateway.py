"""The read route: `Gateway.call` is the way of every request to an exchange."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, TypeVar

import structlog

from ccxt_mcp.envelope import Envelope, Metadata, RateLimit
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.catalogue import Catalogue
from ccxt_mcp.exchanges.pool import Download, Pool
from ccxt_mcp.exchanges.quirks import rate_window
from ccxt_mcp.exchanges.replies import checked, is_ticker_of
from ccxt_mcp.exchanges.store import MarketSet
from ccxt_mcp.exchanges.translate import Reply, translate
from ccxt_mcp.exchanges.venue import Gate, Trace, Venue, VenueKey
from ccxt_mcp.guards.batch import Batcher
from ccxt_mcp.guards.breaker import Breakers
from ccxt_mcp.guards.budget import Admission, Budget
from ccxt_mcp.guards.cache import Cache, Served
from ccxt_mcp.guards.limiter import Limiter, admit_all
from ccxt_mcp.guards.meters import Meters
from ccxt_mcp.guards.usage import usage_from_headers
from ccxt_mcp.methods import METHODS, Method
from ccxt_mcp.settings import Settings
from ccxt_mcp.text import clean_text

log = structlog.get_logger(__name__)
T = TypeVar("T")

_ATTEMPTS = 3
_FIRST_BACKOFF = 0.1
_MOST_BACKOFF = 1.0
_REFUSED_PAUSE = 1.0  # seconds without requests after a 429 that does not say how long
_SEND_SHARE = 0.97  # an attempt ends a little before its caller gives up, so that breaker and meters learn of it
_NOT_REPEATED = frozenset({Code.CIRCUIT_OPEN, Code.EMPTY_REPLY, Code.CLOCK_SKEW})

_deadline: ContextVar[float] = ContextVar("ccxt_mcp_deadline", default=inf)
_until: ContextVar[float] = ContextVar("ccxt_mcp_until", default=inf)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a method of METHODS, an exchange, and arguments by ccxt's names.

    Attributes:
        symbol: a symbol as the caller wrote it; resolved against the exchange's markets.
        symbols: the same for methods that take many.
        arguments: the rest. Besides what the method takes, `until` and `closed` tell how long candles are fresh.
        account: the account in whose environment the request runs.
    """

    method: str
    exchange: str
    symbol: str | None = None
    symbols: tuple[str, ...] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    account: str | None = None


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
        self.pool = pool(self._gate)
        self.cache = Cache(max_bytes=settings.cache_bytes, clock=clock)
        self.breakers = Breakers(clock=clock)
        self.limiter = Limiter(clock=clock)
        self.meters = Meters(clock=clock)
        self.catalogue = Catalogue(settings.cache_dir)
        self._budgets: dict[VenueKey, Budget] = {}
        self._batchers: dict[tuple[VenueKey, Any], Batcher[str, Any]] = {}
        self._clock = clock
        self._wall = wall
        self._jitter = jitter

    # -- the route ---------------------------------------------------------------------------------------------------

    async def call(self, call: Call) -> Envelope:
        """Answer a call within its deadline: with data, or with a failure that says what to do. Never raises."""
        request_id = _request_id()
        key: VenueKey | None = None
        try:
            row = METHODS[call.method]
            key = self.pool.key(call.exchange, call.account)
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

    def failed(self, failure: Failure, exchange: str | None = None) -> Envelope:
        """Return the envelope of a failure that happened outside of a call."""
        return Envelope(self.metadata(exchange=exchange and clean_text(exchange, 40)), failure=failure)

    def metadata(self, **facts: Any) -> Metadata:
        """Return the metadata of an answer that comes from the server itself."""
        return Metadata(request_id=_request_id(), timestamp=self.now_ms(), **facts)

    def now_ms(self) -> int:
        """Return the present in milliseconds since the epoch."""
        return round(self._wall() * 1000)

    def _at_hand(self, call: Call, row: Method, key: VenueKey) -> Served[Any] | None:
        """Return what is fresh in the cache, without a task or a timer: there is nothing to wait for."""
        venue = self.pool.ready(key, through=self._load_markets)
        if venue is None or call.method == "loadMarkets":
            return None
        return self.cache.fresh(_cache_key(call, row, key, _resolved(venue, call)))

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
        token = _deadline.set(self._clock() + seconds * _SEND_SHARE)
        try:
            async with asyncio.timeout(seconds):
                return await self._serve(call, row, key)
        except TimeoutError:
            raise Failure(Code.TIMEOUT, f"{call.exchange} did not answer within {seconds:.3g} s.") from None
        finally:
            _deadline.reset(token)

    async def _serve(self, call: Call, row: Method, key: VenueKey) -> Served[Any]:
        venue = await self.pool.open(key, through=self._load_markets)
        if call.method == "loadMarkets":
            age = max(0.0, self._wall() - (venue.loaded_at or 0.0))
            return Served(venue, cached=True, age=age, stale=self.pool.is_stale(key))
        arguments = _resolved(venue, call)
        return await self.cache.get_or_fetch(
            _cache_key(call, row, key, arguments),
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
        token = _deadline.set(now + (_deadline.get() - now) / 2)
        try:
            tickers = await self._fetch_alone(venue, "fetchTickers", {"symbols": list(symbols)})
        finally:
            _deadline.reset(token)
        return {symbol: ticker for symbol, ticker in tickers.items() if is_ticker_of(ticker, symbol)}

    async def _fetch_alone(self, venue: Venue, method: str, arguments: Mapping[str, Any]) -> Any:
        row = METHODS[method]

        async def operation(trace: Trace) -> Any:
            fitted = venue.fitted(method, arguments, now_ms=self.now_ms())
            value = await venue.call(method, *(fitted.get(name) for name in row.takes), trace=trace)
            return checked(method, value, arguments, blank=trace.last is not None and trace.last.blank)

        return await self._send(venue.key, method, operation, resync=partial(self._resync, venue))

    # -- behind the cache ------------------------------------------------------------------------------------------

    async def _send(
        self,
        key: VenueKey,
        method: str,
        operation: Callable[[Trace], Awaitable[T]],
        *,
        resync: Callable[[], Awaitable[bool]] | None = None,
    ) -> T:
        """Run an operation behind the breaker, repeating reads with jittered back-off while time remains.

        The breaker hears one verdict per call, not per attempt, so that retries alone never open it.

        `resync` corrects our clock after the exchange found it wrong; then the operation runs once more.

        Raises:
            Failure: the last one that the exchange gave cause for; our own budget's only if nothing was ever sent.
        """
        patience = self._clock() + self.settings.deadline / 2
        failure: Failure | None = None
        attempt = 1
        with self.breakers.of(key.exchange).admit() as admission:
            while True:
                trace = Trace()
                try:
                    return await self._attempt(key, method, operation, trace)
                except Failure as told:
                    if failure is None and not trace.sent:
                        admission.abandoned()  # the exchange was never asked, so it is not to blame
                        raise
                    failure = told if trace.sent else failure or told
                if failure.code is Code.CLOCK_SKEW and resync is not None and await resync():
                    resync = None
                    continue
                pause = self._pause_before_retry(METHODS[method], failure, attempt, patience)
                if failure.code is Code.RATE_LIMITED and pause is None:
                    failure.retry_after = failure.retry_after or _REFUSED_PAUSE
                if pause is None or self._budgets[key.public].wait(trace.cost) > max(_MOST_BACKOFF, pause):
                    raise failure  # a tight budget is kept for calls, not spent on repeating one
                await asyncio.sleep(pause)
                attempt += 1

    async def _attempt(self, key: VenueKey, method: str, operation: Callable[[Trace], Awaitable[T]], trace: Trace) -> T:
        started = self._clock()
        failure: Failure | None = None
        try:
            async with asyncio.timeout_at(self._attempt_ends(method)):
                return await operation(trace)
        except Failure as told:
            failure = told
            if told.code is Code.RATE_LIMITED and trace.ended < trace.sent:  # refused while waiting for the others
                failure = Failure(Code.TIMEOUT, f"{key.exchange} did not answer in time.")
            raise failure from None
        except Exception as error:
            failure = translate(error, exchange=key.exchange, reply=trace.reply if trace.sent else Reply())
            if failure.code is Code.INTERNAL:
                log.exception("a call crashed before it was sent", exchange=key.exchange, method=method)
            if failure.code is Code.RATE_LIMITED:
                self._budgets[key.public].block(failure.retry_after or _REFUSED_PAUSE)
            raise failure from None
        finally:
            if trace.sent:
                code = failure.code if failure else None
                self.meters.record(key.exchange, method, seconds=self._clock() - started, failure=code)

    def _attempt_ends(self, method: str) -> float | None:
        """Return when an attempt is given up, on the loop's clock. Markets load on for callers to come."""
        if method == "loadMarkets":
            return self._clock() + 3 * self.settings.deadline
        return None if _deadline.get() == inf else _deadline.get()

    def _pause_before_retry(self, row: Method, failure: Failure, attempt: int, patience: float) -> float | None:
        """Return the seconds until the next attempt; None where another one is useless, impolite or too late."""
        if not row.retryable or not failure.code.retryable or failure.code in _NOT_REPEATED or attempt >= _ATTEMPTS:
            return None
        if failure.code is Code.RATE_LIMITED and failure.retry_after is None:
            return None  # who does not say how long to wait is not asked again at once
        backoff = min(_MOST_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1)) * (0.5 + self._jitter())
        pause = max(backoff, failure.retry_after or 0.0)
        return pause if self._clock() + pause < min(patience, _deadline.get()) else None

    async def _resync(self, venue: Venue) -> bool:
        """Measure anew how far our clock is off the exchange's; return whether that worked."""
        if venue.support("fetchTime") == "none":
            return False

        async def measure(trace: Trace) -> None:
            await venue.call("loadTimeDifference", trace=trace)

        try:
            await self._attempt(venue.key, "fetchTime", measure, Trace())
        except Failure:
            return False
        return True

    async def _load_markets(self, key: VenueKey, download: Download) -> MarketSet:
        return await self._send(key, "loadMarkets", download)

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

    # -- the rate budget -------------------------------------------------------------------------------------------

    def _gate(self, key: VenueKey, exchange: Any) -> Gate:
        egress = next(iter(self.settings.exchange(key.exchange).chosen.values()), "direct")
        budget = self.limiter.budget(
            (key.exchange, key.mode, egress), window=rate_window(exchange), unit=exchange.rateLimit / 1000
        )
        self._budgets[key.public] = budget
        own = (
            [self.limiter.budget(key, window=rate_window(exchange), unit=exchange.rateLimit / 1000)]
            if key.account
            else []
        )
        return _RateGate(budget, own, clock=self._clock, wall=self._wall)

    def rate_limit(self, key: VenueKey) -> RateLimit | None:
        """Return what is left of the exchange's budget; None before its first use."""
        budget = self._budgets.get(key.public)
        return None if budget is None else budget.snapshot(self._wall() * 1000)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _metadata(
        self, call: Call, request_id: str, key: VenueKey | None, served: Served[Any] | None = None
    ) -> Metadata:
        return Metadata(
            request_id=request_id,
            timestamp=self.now_ms(),
            exchange=key.exchange if key else clean_text(call.exchange, 40),
            mode=key.mode if key else None,
            account=call.account if key else None,
            rate_limit=self.rate_limit(key) if key else None,
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


class _RateGate:
    """Charges an instance's requests to the budget that all instances of its exchange share."""

    def __init__(
        self, budget: Budget, own: list[Budget], *, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._budget = budget
        self._own = own
        self._clock = clock
        self._wall = wall

    def admit(self, cost: float, *, private: bool) -> Admission:
        """Wait for the address's budget, and for the key's own if the request is private; not past the deadline."""
        budgets = [self._budget, *self._own] if private else [self._budget]
        return admit_all(budgets, cost, max_wait=_deadline.get() - self._clock())

    def observe(self, reply: Reply, url: str) -> None:
        """Take the exchange's own numbers where it sends them."""
        if usage := usage_from_headers(reply.headers, self._wall(), host=url):
            self._budget.correct(usage)


def _request_id() -> str:
    return f"{random.getrandbits(48):012x}"


def _resolved(venue: Venue, call: Call) -> dict[str, Any]:
    """Return the call's arguments as ccxt wants them, once it is clear that the exchange has the method at all."""
    venue.require(call.method)
    arguments = dict(call.arguments)
    if call.symbol is not None:
        arguments["symbol"] = venue.resolve(call.symbol)
    if call.symbols is not None:
        arguments["symbols"] = [venue.resolve(one) for one in call.symbols]
    if "timeframe" in arguments:
        venue.require_timeframe(arguments["timeframe"])
    return arguments


def _cache_key(call: Call, row: Method, key: VenueKey, arguments: Mapping[str, Any]) -> Hashable:
    return key.exchange, key.mode, call.account if row.private else None, call.method, _frozen(arguments)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((name, _frozen(item)) for name, item in sorted(value.items()))
    return tuple(value) if isinstance(value, list) else value


async def _batch_costs_less(venue: Venue, symbols: tuple[str, ...]) -> bool:
    single = await venue.cost_of("fetchTicker", symbols[0])
    return await venue.cost_of("fetchTickers", list(symbols)) < single * len(symbols)
