"""Derived numbers: computed in decimals, returned without binary noise."""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation
from typing import Any

_SIGNIFICANT = Context(prec=12)


def exact(value: Any) -> Decimal | None:
    """Return an exchange's number as the decimal it was written as; None when missing, NaN or infinite."""
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def finite(value: Any) -> bool:
    """Return whether an exchange's number is one: neither missing nor NaN nor infinite."""
    return math.isfinite(value) if isinstance(value, (int, float)) else exact(value) is not None


def positive(value: Any) -> Decimal | None:
    """Return an exchange's number as a decimal, or None unless it is above zero."""
    number = exact(value)
    return number if number is not None and number > 0 else None


def number(value: Decimal, places: int | None = None) -> float:
    """Return a derived decimal as a float: 12 significant digits, and at most so many decimal places."""
    significant = float(_SIGNIFICANT.plus(value))
    return significant if places is None else round(significant, places)


def bps(part: Decimal, whole: Decimal) -> float:
    """Return part / whole in basis points (1/100 of a percent), to four decimal places."""
    return number(part / whole * 10_000, 4)


def percent(part: Decimal, whole: Decimal) -> float:
    """Return part / whole in percent, to four decimal places."""
    return number(part / whole * 100, 4)
