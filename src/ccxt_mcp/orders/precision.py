"""Precision: how fine an exchange takes amounts and prices, and what it makes of finer ones; as ccxt does it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Self

from ccxt_mcp.orders.number import REACH, exact, known

_DECIMAL_PLACES = 2  # ccxt's names for what `precision` counts
_SIGNIFICANT_DIGITS = 3
_COUNTS = frozenset({_DECIMAL_PLACES, _SIGNIFICANT_DIGITS})


@dataclass(frozen=True, slots=True)
class Precision:
    """A step, or a number of significant digits; neither where the exchange does not tell.

    Attributes:
        step: values are multiples of it.
        digits: values have at most so many significant digits.
    """

    step: Decimal | None = None
    digits: int | None = None

    @classmethod
    def of(cls, value: Any, mode: int) -> Self:
        """Return what a value of ccxt's `market["precision"]` says.

        Args:
            value: the value; None or unusable where ccxt does not know.
            mode: ccxt's precisionMode: 2 decimal places, 3 significant digits, 4 a step.
        """
        number = known(value)
        if number is None or (mode in _COUNTS and number != number.to_integral_value()):
            return cls()
        if mode == _SIGNIFICANT_DIGITS:
            return cls(digits=int(number)) if 0 < number <= REACH else cls()
        if mode == _DECIMAL_PLACES:
            return cls(step=Decimal(1).scaleb(-int(number))) if abs(number) < REACH else cls()
        return cls(step=number) if number > 0 else cls()

    @exact
    def truncated(self, value: Decimal) -> Decimal:
        """Return a value above zero cut to the precision, never more than it was: ccxt's way with amounts."""
        if self.step is not None:
            return value - value % self.step
        if self.digits is not None and value:
            return value.quantize(self._last_place(value, self.digits), rounding=ROUND_DOWN)
        return value

    @exact
    def rounded(self, value: Decimal) -> Decimal:
        """Return a value above zero at the nearest step, half a step upwards: ccxt's way with prices.

        Where whole digits before the point must go, ccxt takes half downwards.
        """
        if self.step is not None:
            missing = value % self.step
            return value - missing + (self.step if missing * 2 >= self.step else 0)
        if self.digits is not None and value:
            place = self._last_place(value, self.digits)
            whole = value.adjusted() + 1 > self.digits
            return value.quantize(place, rounding=ROUND_HALF_DOWN if whole else ROUND_HALF_UP)
        return value

    @staticmethod
    def _last_place(value: Decimal, digits: int) -> Decimal:
        return Decimal(1).scaleb(value.adjusted() + 1 - digits)


UNTOLD = Precision()
"""Of an exchange that does not tell: values stay as they are."""
