"""Money that is exact: the arithmetic of the engine, and how its numbers are written.

Sums and products are never rounded; the context traps it. What must be rounded (fees, margins, averages, shares) is
rounded to `QUANTUM` by a function that says which way, and whoever takes a share leaves exactly the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ZERO = Decimal(0)
QUANTUM = Decimal("1e-18")

# Wide enough for price times amount times contract size times rate, each within `within_reach`.
_DIGITS = 250
_REACH = 30
_EXACT = Context(prec=_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_ROUNDED = Context(prec=_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow])


def exact(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function in the context that rounds nothing."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(_EXACT):
            return function(*args, **kwargs)

    return run


def within_reach(number: Decimal) -> bool:
    """Whether a number is finite, and neither so large nor so fine that products of it could not be exact."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return number.adjusted() <= _REACH and isinstance(exponent, int) and exponent >= -_REACH


def ceiling(number: Decimal) -> Decimal:
    """Round to the quantum towards the higher amount: what is charged."""
    return number.quantize(QUANTUM, rounding=ROUND_CEILING, context=_ROUNDED)


def quotient(number: Decimal, divisor: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Divide, rounded to the quantum."""
    return _ROUNDED.divide(number, divisor).quantize(QUANTUM, rounding=rounding, context=_ROUNDED)


def share(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """Return the part of a sum that `part` of `of` has in it, all of it for all; never more than the whole."""
    return whole if part == of else quotient(_ROUNDED.multiply(whole, part), of, ROUND_DOWN)


def floor_to(number: Decimal, step: Decimal | None) -> Decimal:
    """Round a positive number down to a multiple of a step, or to the quantum where there is none."""
    if step is None:
        return number.quantize(QUANTUM, rounding=ROUND_DOWN, context=_ROUNDED)
    return _ROUNDED.multiply(_ROUNDED.divide_int(number, step), step)


def text(number: Decimal) -> str:
    """Write a number plainly, so that equal numbers are written alike."""
    if not number:
        return "0"
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def written(values: Mapping[str, Any], numbers: frozenset[str]) -> dict[str, Any]:
    """Write the named numbers as text, so that the values have JSON's types."""
    return {name: text(value) if name in numbers and value is not None else value for name, value in values.items()}


def read(values: Mapping[str, Any], numbers: frozenset[str]) -> dict[str, Any]:
    """Read what `written` wrote."""
    return {name: Decimal(value) if name in numbers and value is not None else value for name, value in values.items()}
