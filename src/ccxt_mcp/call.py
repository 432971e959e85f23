"""Calls: requests to exchanges as the house speaks of them, and what becomes of those that write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ccxt_mcp.envelope import Metadata
from ccxt_mcp.errors import Failure
from ccxt_mcp.exchanges.translate import Fate
from ccxt_mcp.exchanges.venue import Venue


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


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a write.

    Attributes:
        fate: accepted with a reply that proves it, rejected for sure, unsent for sure, or unknown.
        metadata: what is true of the answer besides its data.
        value: what the exchange said, as ccxt's unified structure, where it was accepted.
        failure: why it was not.
    """

    fate: Literal["accepted"] | Fate
    metadata: Metadata
    value: Any = None
    failure: Failure | None = None


def resolved(venue: Venue, call: Call) -> dict[str, Any]:
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


def frozen(value: Any) -> Any:
    """Return arguments as a part of a cache key."""
    if isinstance(value, Mapping):
        return tuple((name, frozen(item)) for name, item in sorted(value.items()))
    return tuple(value) if isinstance(value, list) else value
