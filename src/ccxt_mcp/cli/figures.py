"""Numbers as a person reads them: grouped by thousands, without exponents, decimal points under each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Any, TypeGuard

_READABLE = Context(prec=9)  # what an exchange writes beyond nine digits is noise to an eye
_MOST_DECIMALS = 8


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a JSON value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def grouped(value: float) -> str:
    """Return a number with commas between thousands: 60000.5 is "60,000.5". Fractions end after nine digits."""
    if isinstance(value, int):
        return f"{value:,}"
    number = Decimal(repr(value))
    rounded = _READABLE.plus(number) if abs(number) < 10**_READABLE.prec else number.to_integral_value()
    text = format(rounded, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def pointed(values: Sequence[float | None], *, width: int = 0) -> list[str]:
    """Return the numbers of a column, all of one width, with their decimal points under each other.

    Args:
        values: the numbers; None becomes a dash.
        width: characters that each takes at least.
    """
    texts = ["-" if value is None else grouped(value) for value in values]
    tails = [len(point) + len(decimals) for _, point, decimals in (text.partition(".") for text in texts)]
    widest = max(tails, default=0)
    filled = [text + " " * (widest - tail) for text, tail in zip(texts, tails, strict=True)]
    width = max(width, *map(len, filled))
    return [f"{text:>{width}}" for text in filled]


def decimals_of(values: Iterable[Any]) -> int:
    """Return the decimal places that show every price or amount of one market in full, at most eight."""
    places = (len(grouped(value).partition(".")[2]) for value in values if is_number(value))
    return min(_MOST_DECIMALS, max(places, default=0))


def aligned(value: float, decimals: int) -> str:
    """Return a price or amount of one market with so many decimal places."""
    return f"{value:,.{decimals}f}"
