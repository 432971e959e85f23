"""Health: what the guards know, as plain data for tools, resources and the command line."""

from __future__ import annotations

from typing import Any

from ccxt_mcp import __version__
from ccxt_mcp.envelope import Table
from ccxt_mcp.gateway import Gateway

_COLUMNS = (
    "exchange", "mode", "state", "p50Ms", "p95Ms", "errorRate", "calls", "cacheHitRate", "budgetLeft", "lastFailure",
)  # fmt: skip


def exchange_health(gateway: Gateway, exchange: str) -> dict[str, Any]:
    """Return the breaker's state, recent latency in milliseconds, error and cache hit rates of an exchange."""
    breaker = gateway.breakers.of(exchange)
    recent = gateway.meters.exchange(exchange)
    cache = gateway.cache.stats(exchange)
    return {
        "state": breaker.state,
        "retryAfterMs": round(breaker.retry_after * 1000) or None,
        "p50Ms": _rounded(recent.p50_ms, 1),
        "p95Ms": _rounded(recent.p95_ms, 1),
        "errorRate": _rounded(recent.error_rate, 4),
        "calls": recent.calls,
        "cacheHitRate": _rounded(cache.hit_rate, 4),
        "lastFailure": recent.last_failure,
    }


def server_health(gateway: Gateway) -> dict[str, Any]:
    """Return uptime, cache figures and one row for each exchange that is open."""
    rows: list[list[Any]] = []
    for venue in gateway.pool.opened():
        facts = exchange_health(gateway, venue.key.exchange)
        budget = gateway.rates.rate_limit(venue.key)
        facts |= {
            "exchange": venue.key.exchange,
            "mode": venue.key.mode,
            "budgetLeft": budget.remaining if budget else None,
        }
        rows.append([facts.get(name) for name in _COLUMNS])
    totals = gateway.cache.stats()
    return {
        "version": __version__,
        "uptimeSeconds": round(gateway.meters.uptime, 1),
        "cache": {"entries": totals.entries, "bytes": totals.bytes, "hitRate": _rounded(totals.hit_rate, 4)},
        "exchanges": Table(_COLUMNS, rows),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
