"""Time as people, models and exchanges write it: milliseconds, ISO 8601, timeframes, "2h ago"."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

_UNIT_MS = {
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "M": 2_592_000_000,
    "y": 31_536_000_000,
}
_TIMEFRAME = re.compile(r"([0-9]{1,6})([smhdwMy])")
_RELATIVE = re.compile(r"-?\s*(\d{1,9})\s*(s|sec|second|m|min|minute|h|hour|d|day|w|week|M|month|y|year)s?(?:\s+ago)?")
_WORDS = {
    "sec": "s",
    "second": "s",
    "min": "m",
    "minute": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
    "month": "M",
    "year": "y",
}
_LAST_MS = 253_402_300_800_000  # the year 10000
_FIRST_MS = 1_000_000_000_000  # anything smaller is a time in seconds: 2001-09-09 in milliseconds


def timeframe_ms(timeframe: str) -> int:
    """Return the length of a ccxt timeframe such as "5m", "1h" or "1M" in milliseconds.

    A month counts as 30 days and a year as 365, as in ccxt's `parseTimeframe`.

    Raises:
        Failure: INVALID_ARGUMENT when it is not a number followed by s, m, h, d, w, M or y.
    """
    match = _TIMEFRAME.fullmatch(timeframe)
    if match is None or not 0 < int(match[1]) <= 10_000:
        raise Failure(Code.INVALID_ARGUMENT, f"timeframe is {timeframe!r}; write it like 1m, 5m, 1h or 1d.")
    return int(match[1]) * _UNIT_MS[match[2]]


def iso(ms: float | None) -> str | None:
    """Return milliseconds since the epoch as ISO 8601 in UTC, without empty fractions; None for what is no time."""
    if ms is None or not 0 <= ms < _LAST_MS:
        return None
    second, rest = divmod(ms, 1000)
    return f"{_iso_second(int(second))}.{int(rest):03d}Z" if rest else f"{_iso_second(int(second))}Z"


@lru_cache(maxsize=256)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def parse_moment(text: str | int | float, *, now_ms: int, name: str = "since") -> int:
    """Return the milliseconds since the epoch that a person or a model means.

    Accepts milliseconds or seconds since the epoch (nine digits or more), ISO 8601 ("2026-01-31", "20260131" or
    "2026-01-31T12:00:00Z"; UTC unless it says otherwise), "now", and relative times before now ("90m", "2h ago").

    Args:
        text: what was written.
        now_ms: the present, in milliseconds since the epoch.
        name: the argument's name, for the message.

    Raises:
        Failure: INVALID_ARGUMENT when none of these forms fits.
    """
    moment = _moment(str(text).strip(), now_ms)
    if moment is None or not 0 <= moment < _LAST_MS:
        raise Failure(
            Code.INVALID_ARGUMENT,
            f"{name} is {clean_text(str(text), 40)!r}, which is no time.",
            hint='Write milliseconds, ISO 8601 such as 2026-01-31T12:00:00Z, or relative such as "2h ago" or "7d".',
        )
    return moment


def parse_end(text: str | int | float, *, now_ms: int, name: str) -> int:
    """Return the milliseconds since the epoch at which something ends.

    Accepts what `parse_moment` does, but a relative time counts from now on: "2h", "in 30 min".

    Raises:
        Failure: INVALID_ARGUMENT when none of these forms fits, or that time is over or never comes.
    """
    written = str(text).strip()
    ahead = written[3:].lstrip() if written.lower().startswith("in ") else written
    relative = _RELATIVE.fullmatch(ahead if ahead.endswith("M") else ahead.lower())
    if relative and "ago" not in ahead and not ahead.startswith("-"):
        moment: int | None = now_ms + int(relative[1]) * _UNIT_MS[_WORDS.get(relative[2], relative[2])]
    else:
        moment = _moment(written, now_ms)
    if moment is None or not now_ms < moment < _LAST_MS:
        raise Failure(
            Code.INVALID_ARGUMENT,
            f"{name} is {clean_text(written, 40)!r}, which is no time to come.",
            hint='Write milliseconds, ISO 8601 such as 2030-01-31T12:00:00Z, or relative such as "2h" or "in 7d".',
        )
    return moment


def _moment(written: str, now_ms: int) -> int | None:
    if re.fullmatch(r"\d{9,18}(\.\d{1,9})?", written):
        number = float(written)
        return round(number if number >= _FIRST_MS else number * 1000)
    if written.lower() == "now":
        return now_ms
    if relative := _RELATIVE.fullmatch(written if written.endswith("M") else written.lower()):
        return now_ms - int(relative[1]) * _UNIT_MS[_WORDS.get(relative[2], relative[2])]
    try:
        moment = datetime.fromisoformat(written)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
