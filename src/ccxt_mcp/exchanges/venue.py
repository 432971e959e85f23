"""A venue: one ccxt instance in one environment, whose every request passes our gate and our reply check."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from ccxt_mcp.envelope import Mode
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.kinds import kinds_of
from ccxt_mcp.exchanges.quirks import CANDLES_NEED_SINCE, CLAIMS_IN_VAIN, FETCH_ORDER_PARAMS, lineage
from ccxt_mcp.exchanges.signing import Signing, forget_urls, required_of, signing
from ccxt_mcp.exchanges.symbols import SymbolIndex
from ccxt_mcp.exchanges.terms import EVERYTHING, OrderTerms
from ccxt_mcp.exchanges.translate import Fate, Reply, never_sent
from ccxt_mcp.exchanges.vault import Held
from ccxt_mcp.times import timeframe_ms


@dataclass(frozen=True, slots=True)
class VenueKey:
    """What makes two calls share an instance; public data has no account and so no credentials.

    Attributes:
        exchange: the exchange's id.
        mode: live, testnet, paper or simulated.
        account: the account's name.
        data: where prices come from, where that is not the mode itself: a paper account has none of its own.
    """

    exchange: str
    mode: Mode
    account: str | None = None
    data: Mode | None = None

    @property
    def public(self) -> VenueKey:
        """The key of what all accounts of the exchange share in this environment: markets and the address's budget."""
        return self if self.account is None else VenueKey(self.exchange, self.data or self.mode)


class Admission(Protocol):
    """A request's leave to go."""

    def unsent(self) -> None:
        """Tell that the request never left, so that it costs nothing."""
        ...


class Gate(Protocol):
    """What a request asks before it leaves, and tells after it came back."""

    def admit(self, cost: float, *, private: bool) -> AbstractAsyncContextManager[Admission]:
        """Wait until `cost` units may be spent; holds them while the request is under way."""
        ...

    def observe(self, reply: Reply, url: str) -> None:
        """Learn from a reply's status and headers what the exchange says of the budget."""
        ...


class Broker(Protocol):
    """Keeps an account itself, instead of the exchange: answers to ccxt's method names, as ccxt's instances do."""

    @property
    def has(self) -> Mapping[str, Any]:
        """The methods that it answers to, as ccxt's `has`."""
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """Return what ccxt's method returns for these arguments.

        Raises:
            Failure: it was refused; then nothing was done.
        """
        ...


@dataclass(slots=True)
class Trace:
    """What happened on the wire during one call, however many requests ccxt made of it, one by one or at once.

    Attributes:
        sent: requests that left.
        ended: those of them that came back, one way or the other.
        acknowledged: requests that may have changed something and were answered well.
        cost: cost units of all of them.
        failed: the reply of the first request that failed.
        last: the reply of the last request that ended.
        fate: what became of a write that failed.
    """

    sent: int = 0
    ended: int = 0
    acknowledged: int = 0
    cost: float = 0.0
    failed: Reply | None = None
    last: Reply | None = None
    fate: Fate | None = None

    @property
    def reply(self) -> Reply | None:
        """The reply that an error of the call is about; None when none is known."""
        reply = self.failed or self.last
        return None if reply is None or (self.sent and reply.status is None) else reply


class CostProbe(BaseException):
    """Leaves ccxt before anything is sent, with the cost of what would have been; no error, so no Exception."""

    def __init__(self, cost: float) -> None:
        super().__init__(cost)
        self.cost = cost


_trace: ContextVar[Trace | None] = ContextVar("ccxt_mcp_trace", default=None)
_reply: ContextVar[Reply] = ContextVar("ccxt_mcp_reply")
_probing: ContextVar[bool] = ContextVar("ccxt_mcp_probing", default=False)


class Guarded(Signing):
    """Mixed in front of a ccxt class; overrides only hooks that no exchange overrides itself.

    ccxt accepts a 200 that is no JSON and every status outside its table as success; here both are errors.
    """

    gate: Gate

    async def fetch2(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:
        """Send one request through the gate; ccxt calls it for every endpoint."""
        params, config = params or {}, config or {}
        base: Any = super()
        cost: float = base.calculate_rate_limiter_cost(api, method, path, params, config)
        if _probing.get():
            raise CostProbe(cost)
        trace = _trace.get() or Trace()
        async with self.gate.admit(cost, private=_is_private(api)) as admission:
            trace.sent += 1
            trace.cost += cost
            reply = Reply()
            token = _reply.set(reply)
            try:
                result = await base.fetch2(path, api, method, params, config)
            except BaseException as error:
                trace.failed = trace.failed or reply
                if never_sent(error):
                    admission.unsent()
                raise
            else:
                trace.acknowledged += method != "GET"
                return result
            finally:
                trace.ended += 1
                trace.last = reply
                _reply.reset(token)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Refuse what ccxt lets pass: unknown statuses, pages and texts where data belongs."""
        from ccxt.base.errors import BadResponse  # noqa: PLC0415 - ccxt is imported by whoever made this class

        base: Any = super()
        try:
            result = await base.fetch(url, method, headers, body)
        finally:
            if self.held is not None and self.held.scrub(url) != url:
                forget_urls()
        reply = _reply.get()
        if reply.status is not None and reply.status >= 400:
            raise BadResponse(f"{base.id} answered with HTTP {reply.status}")
        if isinstance(result, dict | list):
            return result
        raise BadResponse(f"{base.id} answered with something that is no data")

    def check_conflicting_proxies(self, proxy_agent_set: bool, proxy_url_set: str | None) -> None:
        """Accept a proxy URL: ccxt's own check takes the False of "no proxy agent" for one and refuses them all.

        That there is one proxy at most is checked where settings are loaded.
        """

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, response_headers: Any, response_body: str, *rest: Any
    ) -> str:
        """Note status and headers of the reply for the gate and for the error table."""
        base: Any = super()
        reply = _reply.get()
        reply.note(code, response_headers)
        self.gate.observe(reply, url)
        return base.on_rest_response(code, reason, url, method, response_headers, response_body, *rest)

    def parse_json(self, http_response: str) -> Any:
        """Note the shape of the body: data, nothing, or no JSON at all."""
        base: Any = super()
        parsed = base.parse_json(http_response)
        reply = _reply.get()
        reply.shape = "json" if parsed else "empty" if parsed is not None or not http_response else "text"
        reply.blank = not parsed and not isinstance(parsed, list)
        return parsed


@functools.cache
def guarded(exchange_class: type[Any]) -> type[Any]:
    """Return the class with our guards in front; it keeps its name, so that messages and reprs do too."""
    return type(exchange_class.__name__, (Guarded, exchange_class), {})


@contextmanager
def traced(trace: Trace) -> Generator[Trace]:
    """Record what the requests made inside do on the wire."""
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)


class Venue:
    """One exchange in one environment: what it can do, its markets, and calls to it.

    Args:
        key: which exchange, environment and account.
        exchange: ccxt's instance. That of a paper account belongs to the public venue and only lends its facts.
    """

    def __init__(self, key: VenueKey, exchange: Any) -> None:
        self.key = key
        self.exchange = exchange
        self.broker: Broker | None = None
        self.index = SymbolIndex({})
        self.loaded_at: float | None = None
        self.last_used = 0.0
        self._lineage = lineage(type(exchange))

    @property
    def held(self) -> Held | None:
        """The account's credentials; None where the venue needs none."""
        return None if self.broker is not None else self.exchange.held

    @property
    def markets(self) -> Mapping[str, Mapping[str, Any]]:
        """Ccxt's markets by unified symbol; empty until they are loaded."""
        return self.exchange.markets or {}

    def support(self, method: str) -> str:
        """Return how a method works here: native, emulated (by ccxt, from other calls) or none.

        ccxt's `has` is the truth, but for the promises known to be vain: classes inherit methods that their exchange
        does not offer.
        """
        vain = any(method in CLAIMS_IN_VAIN[exchange] for exchange in self._lineage & CLAIMS_IN_VAIN.keys())
        if vain and self.broker is None:
            return "none"
        flag = (self.broker or self.exchange).has.get(method)
        return "native" if flag is True else "emulated" if flag == "emulated" else "none"

    def brokered(self, method: str) -> bool:
        """Whether a broker of ours answers a method, and the exchange is not asked: on paper accounts, always."""
        return self.broker is not None

    @property
    def dialect(self) -> str:
        """The id of the exchange whose ways with client order ids hold here: a simulator's are those of Bybit."""
        return "bybit" if self.key.mode == "simulated" else self.key.exchange

    def kinds(self, method: str) -> list[dict[str, Any]]:
        """Return the `params` with which a method must be called to answer for all markets; see `kinds_of`."""
        return [{}] if self.brokered(method) else kinds_of(method, self._lineage, self.markets)

    def order_terms(self, symbol: str) -> OrderTerms:
        """Return what a market takes in an order beside plain ones."""
        return EVERYTHING if self.key.mode == "paper" else OrderTerms.of(self.exchange, self.markets[symbol])

    def require(self, method: str) -> None:
        """Raise METHOD_NOT_SUPPORTED unless the exchange has the method."""
        if self.support(method) == "none":
            raise Failure(Code.METHOD_NOT_SUPPORTED, f"{self.key.exchange} has no {method}.")

    def resolve(self, symbol: str) -> str:
        """Return ccxt's unified symbol for what a caller wrote; see `SymbolIndex.resolve`."""
        return self.index.resolve(symbol, exchange=self.key.exchange)

    def require_timeframe(self, timeframe: str) -> None:
        """Raise INVALID_ARGUMENT with the exchange's own timeframes unless it has this one."""
        timeframes: list[str] = list(self.exchange.timeframes or {})
        if timeframe not in timeframes:
            raise Failure(
                Code.INVALID_ARGUMENT,
                f"timeframe is {timeframe[:8]!r}; {self.key.exchange} has {', '.join(timeframes) or 'none'}.",
            )

    def candle_limit(self, symbol: str) -> int:
        """Return how many candles the exchange sends at once, 500 where ccxt does not know."""
        market = self.markets[symbol]
        kind = market.get("type")
        side = "linear" if market.get("linear") else "inverse"
        limits = self.candle_limits()
        return limits.get(f"{kind}.{side}") or limits.get(str(kind)) or 500

    def candle_limits(self) -> dict[str, int]:
        """Return ccxt's known candles per request, by market type such as "spot" or "swap.linear"."""
        limits: dict[str, int] = {}
        for kind, facts in (self.exchange.features or {}).items():
            branches = (
                {kind: facts}
                if "fetchOHLCV" in (facts or {})
                else {f"{kind}.{side}": (facts or {}).get(side) for side in ("linear", "inverse")}
            )
            for name, branch in branches.items():
                if limit := ((branch or {}).get("fetchOHLCV") or {}).get("limit"):
                    limits[name] = limit
        return limits

    def fitted(self, method: str, arguments: Mapping[str, Any], *, now_ms: int) -> dict[str, Any]:
        """Return the arguments as this exchange wants them: with a `params` object, and with a window where it must."""
        fitted: dict[str, Any] = {"params": {}, **arguments}
        if method == "fetchOrder":
            for exchange in self._lineage & FETCH_ORDER_PARAMS.keys():
                fitted["params"] = {**FETCH_ORDER_PARAMS[exchange], **fitted["params"]}
        if method == "fetchOHLCV" and self._lineage & CANDLES_NEED_SINCE and fitted.get("since") is None:
            span = (fitted["limit"] + 1) * timeframe_ms(fitted["timeframe"])
            fitted |= {"since": now_ms - span, "params": {"until": now_ms}}
        return fitted

    async def require_credentials(self) -> None:
        """Read the account's credentials, if it needs any.

        Raises:
            Failure: CREDENTIALS_MISSING that names what is missing and how to set it.
        """
        if (held := self.held) is not None:
            await held.load(required_of(self.exchange, self._lineage))

    async def call(self, method: str, *arguments: Any, trace: Trace) -> Any:
        """Call a ccxt method by its unified name. ccxt's errors pass through untranslated, but without secrets.

        Raises:
            Failure: CREDENTIALS_MISSING before anything is sent, or what a broker refuses.
        """
        if self.broker is not None:
            return await self.broker.call(method, *arguments)
        await self.require_credentials()
        held = self.held
        secrets = nullcontext() if held is None else signing(self.exchange, held, self._lineage)
        with traced(trace), secrets:
            return await getattr(self.exchange, method)(*arguments)

    async def cost_of(self, method: str, *arguments: Any) -> float:
        """Return the cost units of the call's first request, without sending anything."""
        token = _probing.set(True)
        try:
            await getattr(self.exchange, method)(*arguments)
        except CostProbe as probe:
            return probe.cost
        finally:
            _probing.reset(token)
        return 0.0

    async def close(self) -> None:
        """Release the instance and forget its credentials; the shared session stays open."""
        if self.held is not None:
            self.held.forget()
        if self.broker is None:
            await self.exchange.close()


def _is_private(api: Any) -> bool:
    sections = (api,) if isinstance(api, str) else api
    return any("private" in str(section).lower() for section in sections)
