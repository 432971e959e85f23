"""Usage: what exchanges say in their headers about the request budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple
from urllib.parse import unquote

_LONGEST = 3600.0  # seconds: no exchange counts longer in a header, so that more is a misreading
_FIRST_EPOCH_S = 1e9  # anything smaller is a duration: 2001-09-09 in seconds
_FIRST_EPOCH_MS = 1e12
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:[,;].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Usage:
    """The exchange's own count of the budget.

    Attributes:
        remaining_fraction: what is left of its limit, from 0 to 1.
        reset_in: seconds until its count starts anew.
        of_key: whether it counts the requests of one API key, and not those of the address.
    """

    remaining_fraction: float
    reset_in: float
    of_key: bool = False


class Row(NamedTuple):
    """How one exchange or convention writes its count.

    Attributes:
        number: the header with what is left, or with what is used.
        used: whether it is what is used.
        limit: the header with the whole limit, or the limit itself, or the limits by host.
        reset: the header that tells the reset, or none where the calendar does.
        reset_in: (the reset header's number, now in seconds since the epoch) -> seconds until the reset.
        of_key: whether one API key is counted, and not the address.
    """

    number: str
    used: bool
    limit: str | float | Mapping[str, float]
    reset: str | None
    reset_in: Callable[[float, float], float]
    of_key: bool = False


def _countdown_ms(value: float, _now: float) -> float:
    return value / 1000


def _epoch_s(value: float, now: float) -> float:
    return value - now


def _epoch_ms(value: float, now: float) -> float:
    return value / 1000 - now


def _as_it_looks(value: float, now: float) -> float:
    if value >= _FIRST_EPOCH_MS:
        return _epoch_ms(value, now)
    return _epoch_s(value, now) if value >= _FIRST_EPOCH_S else value


def _calendar(seconds: float) -> Callable[[float, float], float]:
    return lambda _value, now: seconds - now % seconds


_BINANCE = {
    "api.binance.com": 6000.0,
    "api1.binance.com": 6000.0,
    "api2.binance.com": 6000.0,
    "api3.binance.com": 6000.0,
    "api4.binance.com": 6000.0,
    "api-gcp.binance.com": 6000.0,
    "fapi.binance.com": 2400.0,
    "dapi.binance.com": 2400.0,
}

ROWS: tuple[Row, ...] = (
    # developers.binance.com, "Limits": used weight of the running calendar minute.
    Row("x-mbx-used-weight-1m", True, _BINANCE, None, _calendar(60)),
    # bybit-exchange.github.io/docs/v5/rate-limit: left for this endpoint and user.
    Row("x-bapi-limit-status", False, "x-bapi-limit", "x-bapi-limit-reset-timestamp", _epoch_ms, of_key=True),
    # kucoin.com/docs-new/rate-limit
    Row("gw-ratelimit-remaining", False, "gw-ratelimit-limit", "gw-ratelimit-reset", _countdown_ms),
    # gate.io/docs/developers/apiv4, "Frequency limit rule"
    Row(
        "x-gate-ratelimit-requests-remain",
        False,
        "x-gate-ratelimit-limit",
        "x-gate-ratelimit-reset-timestamp",
        _epoch_s,
    ),
    # docs.bitvavo.com, "Rate limiting"
    Row("bitvavo-ratelimit-remaining", False, "bitvavo-ratelimit-limit", "bitvavo-ratelimit-resetat", _epoch_ms),
    # bitget.com/api-doc: left in the running second, of 20 for most endpoints.
    Row("x-mbx-used-remain-limit", False, 20.0, None, _calendar(1)),
    # IETF draft-ietf-httpapi-ratelimit-headers
    Row("ratelimit-remaining", False, "ratelimit-limit", "ratelimit-reset", _as_it_looks),
    # The convention of many others: no two agree on what the reset is.
    Row("x-ratelimit-remaining", False, "x-ratelimit-limit", "x-ratelimit-reset", _as_it_looks),
)
"""Each convention that is understood, the specific ones first."""


def usage_from_headers(headers: Mapping[str, str], now_wall: float, host: str = "") -> Usage | None:
    """Return the exchange's count from the headers of a reply, or None where they tell none that makes sense.

    Args:
        headers: the reply's headers, in any case.
        now_wall: the present in seconds since the epoch.
        host: the host that replied, or its URL; needed where the limit is known by host only.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    for row in ROWS:
        if row.number in lower and (usage := _read(row, lower, now_wall, host)) is not None:
            return usage
    return None


def _read(row: Row, headers: Mapping[str, str], now: float, host: str) -> Usage | None:
    number = _number(headers[row.number])
    limit = _limit(row, headers, host)
    reset = _number(headers.get(row.reset)) if row.reset is not None else 0.0
    if number is None or not limit or reset is None:
        return None
    left = limit - number if row.used else number
    return Usage(
        remaining_fraction=min(max(left / limit, 0.0), 1.0),
        reset_in=_within_reason(row.reset_in(reset, now)),
        of_key=row.of_key,
    )


def _within_reason(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST)


def _limit(row: Row, headers: Mapping[str, str], host: str) -> float | None:
    if isinstance(row.limit, str):
        return _number(headers.get(row.limit))
    return row.limit.get(_host(host)) if isinstance(row.limit, Mapping) else row.limit


def _host(url: str) -> str:
    """Return the last host in a URL: one that goes through a proxy names the proxy's before it, perhaps encoded."""
    return unquote(url).lower().rpartition("://")[2].partition("/")[0].partition("?")[0].partition(":")[0]


def _number(text: str | None) -> float | None:
    match = _NUMBER.fullmatch(text) if text is not None else None
    number = float(match[1]) if match else None
    return number if number is not None and isfinite(number) else None
