"""Tickers: which of their fields are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from ccxt_mcp.analytics.decimals import exact
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

TICKER_FIELDS = (
    "symbol", "timestamp", "last", "bid", "ask", "bidVolume", "askVolume", "open", "high", "low", "change",
    "percentage", "average", "vwap", "previousClose", "baseVolume", "quoteVolume", "markPrice", "indexPrice",
)  # fmt: skip
"""ccxt's unified ticker without `info`, `datetime` (the timestamp again) and `close` (last again)."""

Ticker = Mapping[str, Any]
Order = Literal["volume", "change", "symbol"]


def ticker_row(ticker: Ticker, fields: Sequence[str]) -> list[Any]:
    """Return the ticker's values of the fields, None where it has none."""
    return [ticker.get(field) for field in fields]


def sorted_tickers(tickers: Iterable[Ticker], *, by: Order) -> list[Ticker]:
    """Return the tickers by symbol, or largest first by volume or change; those without a value last, by symbol.

    Volume is quoteVolume, else baseVolume x last; it compares like with like only within one quote currency.
    Change is `percentage`, the change over 24 hours in percent.
    """
    named = sorted(tickers, key=lambda ticker: str(ticker.get("symbol")))
    if by == "symbol":
        return named
    value = _MEASURES[by]
    return sorted(named, key=lambda ticker: _descending(value(ticker)))


def select_fields(wanted: Sequence[str] | None, *, allowed: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Return the wanted fields without repetitions, or the default when none are named.

    Raises:
        Failure: INVALID_ARGUMENT for a field that is not allowed, with those that are.
    """
    if not wanted:
        return tuple(default)
    for field in wanted:
        if field not in allowed:
            names = ", ".join(allowed)
            raise Failure(
                Code.INVALID_ARGUMENT, f"fields has {clean_text(field, 40)!r}.", hint=f"Choose from: {names}."
            )
    return tuple(dict.fromkeys(wanted))


def _volume(ticker: Ticker) -> Decimal | None:
    if (volume := exact(ticker.get("quoteVolume"))) is not None:
        return volume
    amount, price = exact(ticker.get("baseVolume")), exact(ticker.get("last"))
    return None if amount is None or price is None else amount * price


def _change(ticker: Ticker) -> Decimal | None:
    return exact(ticker.get("percentage"))


_MEASURES: Mapping[str, Callable[[Ticker], Decimal | None]] = {"volume": _volume, "change": _change}


def _descending(value: Decimal | None) -> tuple[bool, Decimal]:
    return (True, Decimal(0)) if value is None else (False, -value)
