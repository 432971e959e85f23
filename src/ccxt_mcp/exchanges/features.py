"""Features: what ccxt declares of an exchange's methods, which differs by kind of market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def features_of(exchange: Any, method: str, market: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what ccxt declares of a method in one kind of market; nothing where it declares nothing.

    Args:
        exchange: the ccxt instance.
        method: ccxt's unified name.
        market: ccxt's market, or `type` and `linear` of one.
    """
    kind = (exchange.features or {}).get(market.get("type")) or {}
    if "createOrder" not in kind:
        kind = kind.get("linear" if market.get("linear") else "inverse") or {}
    return kind.get(method) or {}


def features_anywhere(exchange: Any, method: str) -> Iterator[Mapping[str, Any]]:
    """Yield what ccxt declares of a method in each kind of market that the exchange has."""
    for name in exchange.features or {}:
        for linear in (True, False):
            if found := features_of(exchange, method, {"type": name, "linear": linear}):
                yield found
