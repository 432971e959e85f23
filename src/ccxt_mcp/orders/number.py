"""Numbers of orders: read exactly as they are written, of a size to reckon with, and never rounded on the way.

All arithmetic on orders runs in a context of its own. The thread's context has 28 digits, which large orders of tiny
coins exceed, and libraries change it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Any, ParamSpec, TypeVar

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

P = ParamSpec("P")
T = TypeVar("T")

REACH = 30
"""Places before and after the point that a caller's number may have; an exchange's may have twice as many."""

# Holds the product of an amount, a price, a contract size and a rate without rounding.
_CONTEXT = Context(prec=400, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_PLAIN = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_LONGEST = 2 * REACH + 2
_SHOWN = 40
_BITS = 4 * _LONGEST
_READABLE = 20
_CUT = Context(prec=8, rounding=ROUND_HALF_EVEN)


def exact(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function in the context of orders, whatever the thread's is."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return run


def within_reach(number: Decimal, reach: int = REACH) -> bool:
    """Whether a number is finite, and neither so large nor so fine that reckoning with it would round."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -reach and number.adjusted() < reach


def known(value: Any) -> Decimal | None:
    """Return an exchange's number as the decimal it was written as; None unless it is finite and within reach."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except (ArithmeticError, ValueError):
        return None
    return number if within_reach(number, 2 * REACH) else None


def positive(value: Any) -> Decimal | None:
    """Return an exchange's number, or None unless it is above zero, finite and within reach."""
    number = known(value)
    return number if number is not None and number > 0 else None


def sure(number: Decimal | None) -> Decimal | None:
    """Return a derived number, or None unless it is finite and not below zero: nothing is decided on anything else."""
    return number if number is not None and number.is_finite() and number >= 0 else None


def read(field: str, value: Any) -> Decimal:
    """Return a caller's number, above zero.

    Text must be plain digits with at most one point: no sign, no exponent, no separators, so that a person who is
    asked about the order reads the same number.

    Raises:
        Failure: INVALID_ORDER that names field, value and what is wrong with it.
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST or not _PLAIN.fullmatch(text):
            raise _refusal(field, value, "a plain decimal number such as 0.25")
        number = Decimal(text)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = value if isinstance(value, Decimal) else Decimal(_digits(value))
    else:
        raise _refusal(field, value, "a plain decimal number such as 0.25")
    return require(field, number)


def require(field: str, number: Decimal) -> Decimal:
    """Return a number that is above zero, finite and within reach.

    Raises:
        Failure: INVALID_ORDER that names field, value and bound.
    """
    if not number.is_finite():
        raise _refusal(field, number, "a finite number")
    if not within_reach(number):
        raise _refusal(field, number, f"a number with at most {REACH} places before and {REACH} after the point")
    if number <= 0:
        raise _refusal(field, number, "above zero")
    return number


def plain(number: Decimal) -> str:
    """Return a number in plain digits, without exponent and without trailing zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def about(number: Decimal) -> str:
    """Return a derived number in plain digits; what a division made endless is cut to eight significant ones."""
    endless = len(number.as_tuple().digits) > _READABLE
    return plain(_CUT.plus(number) if endless else number)


def shown(value: Any) -> str:
    """Return a caller's value for a message: short, visible, and never empty."""
    if isinstance(value, int) and value.bit_length() > _BITS:
        return "a huge integer"  # Python itself refuses to write the longest ones
    return clean_text(str(value)[: 2 * _SHOWN], _SHOWN) or "empty"


def _digits(value: float) -> str:
    """Return how a number is written; an integer that is out of reach anyway is not written out."""
    too_long = isinstance(value, int) and value.bit_length() > _BITS
    return f"1e{_LONGEST}" if too_long else str(value)


def _refusal(field: str, value: Any, wanted: str) -> Failure:
    return Failure(
        Code.INVALID_ORDER,
        f"{field} is {shown(value)}; it must be {wanted}.",
        hint=f"Give {field} as a number in plain digits.",
        details={"field": field, "value": shown(value)},
    )
