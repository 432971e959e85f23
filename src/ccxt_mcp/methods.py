"""METHODS: one row of policy for each ccxt method that this server calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.times import timeframe_ms

Ttl = Callable[[Mapping[str, Any], Any, float], float]
"""(arguments, result, now in seconds) -> seconds for which the result may be served as fresh."""


_SETTLING = 60.0  # seconds after which an exchange no longer corrects a closed candle


class Tier(StrEnum):
    """What a method touches, from nothing private to moving funds."""

    PUBLIC = "public"
    ACCOUNT = "account"
    TRADE = "trade"
    FUNDS = "funds"


ALLOWED = ("public", "account", "paper", "trade", "funds")
"""What an operator may allow; each includes those before it. Orders with play money need less than live ones."""


def needed(tier: Tier, mode: str) -> str:
    """Return what must be allowed for a method of this tier on an account of this mode."""
    return "paper" if tier is Tier.TRADE and mode != "live" else str(tier)


def permit(tier: Tier, *, mode: str, allow: str) -> None:
    """Refuse what the operator has not allowed.

    Args:
        tier: what the method touches.
        mode: of the account: live, testnet, paper or simulated.
        allow: the most that is allowed, one of ALLOWED.

    Raises:
        Failure: TIER_NOT_ALLOWED.
    """
    wanted = needed(tier, mode)
    if ALLOWED.index(wanted) > ALLOWED.index(allow):
        raise Failure(
            Code.TIER_NOT_ALLOWED,
            f"This needs --allow {wanted}, and the server runs with --allow {allow}.",
            hint=f"A human restarts the server with --allow {wanted}.",
        )


@dataclass(frozen=True, slots=True)
class Method:
    """Policy of one ccxt method. All that follows from the tier is derived, never typed.

    Attributes:
        tier: what the method touches.
        ttl: seconds for which an answer is fresh.
        stale_for: seconds after that in which it may still serve if the exchange fails, marked stale.
        takes: the names of ccxt's positional arguments, in its order.
    """

    tier: Tier
    ttl: Ttl
    takes: tuple[str, ...] = ()
    stale_for: float = 60.0

    @property
    def private(self) -> bool:
        """Whether credentials are needed and the account is part of every cache key."""
        return self.tier is not Tier.PUBLIC

    @property
    def retryable(self) -> bool:
        """Whether a failed attempt may be repeated: reads only, a write never."""
        return self.tier in {Tier.PUBLIC, Tier.ACCOUNT}

    @property
    def writes(self) -> bool:
        """Whether it changes anything at the exchange: sent once, behind no cache, and journalled before."""
        return self.tier in {Tier.TRADE, Tier.FUNDS}


def seconds(ttl: float) -> Ttl:
    """Return the rule "fresh for so many seconds"."""
    return lambda _arguments, _result, _now: ttl


def candle_ttl(arguments: Mapping[str, Any], candles: Any, now: float) -> float:
    """Return how long candles are fresh: closed ones for ever, the running one for a second.

    A window that ended more than a settling time ago is final. The newest closed candles are fresh until the
    running candle closes, but only if the exchange already shows the last closed one. No candles are no final
    answer for any window: the exchange may have them later.
    """
    if not candles:
        return 1.0
    step = timeframe_ms(arguments["timeframe"]) / 1000
    end = _window_end(arguments, step)
    if end is not None and end + _SETTLING <= now:
        return inf
    if end is not None or not arguments.get("closed"):
        return 1.0
    newest_open = candles[-1][0] / 1000
    running_open = newest_open if newest_open + step > now else newest_open + step
    return max(1.0, running_open + step - now) if running_open <= now < running_open + step else 1.0


def _window_end(arguments: Mapping[str, Any], step: float) -> float | None:
    if (until := arguments.get("until")) is not None:
        return until / 1000
    since, limit = arguments.get("since"), arguments.get("limit")
    return None if since is None or limit is None else since / 1000 + limit * step


def _private(*takes: str, ttl: float = 1.0) -> Method:
    return Method(Tier.ACCOUNT, seconds(ttl), takes=takes, stale_for=0.0)


def _write(*takes: str) -> Method:
    return Method(Tier.TRADE, seconds(0), takes=takes, stale_for=0.0)


METHODS: Mapping[str, Method] = {
    "loadMarkets": Method(Tier.PUBLIC, seconds(3600), stale_for=inf),
    "fetchStatus": Method(Tier.PUBLIC, seconds(10)),
    "fetchTime": Method(Tier.PUBLIC, seconds(0), stale_for=0),
    "fetchTicker": Method(Tier.PUBLIC, seconds(1), takes=("symbol",)),
    "fetchTickers": Method(Tier.PUBLIC, seconds(1), takes=("symbols", "params")),
    "fetchOrderBook": Method(Tier.PUBLIC, seconds(1), stale_for=10, takes=("symbol", "limit")),
    "fetchTrades": Method(Tier.PUBLIC, seconds(1), takes=("symbol", "since", "limit")),
    "fetchOHLCV": Method(Tier.PUBLIC, candle_ttl, takes=("symbol", "timeframe", "since", "limit", "params")),
    "fetchFundingRate": Method(Tier.PUBLIC, seconds(5), takes=("symbol",)),
    "fetchFundingRateHistory": Method(Tier.PUBLIC, seconds(60), stale_for=600, takes=("symbol", "since", "limit")),
    "fetchOpenInterest": Method(Tier.PUBLIC, seconds(10), takes=("symbol",)),
    "fetchBalance": _private("params"),
    "fetchPositions": _private("symbols", "params"),
    "fetchOrder": _private("id", "symbol", "params", ttl=0.0),
    "fetchOrders": _private("symbol", "since", "limit", "params"),
    "fetchOpenOrders": _private("symbol", "since", "limit", "params"),
    "fetchClosedOrders": _private("symbol", "since", "limit", "params"),
    "fetchCanceledOrders": _private("symbol", "since", "limit", "params"),
    "fetchCanceledAndClosedOrders": _private("symbol", "since", "limit", "params"),
    "fetchMyTrades": _private("symbol", "since", "limit", "params"),
    "fetchTradingFee": _private("symbol", "params", ttl=600.0),
    "fetchTradingFees": _private("params", ttl=600.0),
    "fetchLeverage": _private("symbol", "params", ttl=5.0),
    "createOrder": _write("symbol", "type", "side", "amount", "price", "params"),
    "editOrder": _write("id", "symbol", "type", "side", "amount", "price", "params"),
    "cancelOrder": _write("id", "symbol", "params"),
    "cancelAllOrders": _write("symbol", "params"),
    "setLeverage": _write("leverage", "symbol", "params"),
    "setMarginMode": _write("marginMode", "symbol", "params"),
}
