"""Kept: a value that many answers share, with what was made of it for the first of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Self

_MOST = 4  # things that are kept of one value; who asks for more kinds than that has them made each time


class Kept:
    """A value that nobody changes, and things made of it that need not be made again.

    Args:
        value: the value.
        charge: told of each thing that is kept as well, since that takes memory too.
    """

    __slots__ = ("_charge", "_made", "value")

    def __init__(self, value: Any, charge: Callable[[Any], None]) -> None:
        self.value = value
        self._charge = charge
        self._made: dict[Hashable, Self] = {}

    def made(self, make: Callable[..., Any], *arguments: Hashable) -> Self:
        """Return `make(value, *arguments)`, from the last time if it was made before.

        Args:
            make: a function of the module's level that depends on nothing but what it is given here.
            arguments: what it takes after the value; arguments that are equal must make the same thing.
        """
        recipe = (make, arguments)
        known = self._made.get(recipe)
        if known is None:
            known = type(self)(make(self.value, *arguments), self._charge)
            if len(self._made) < _MOST:
                self._made[recipe] = known
                self._charge(known.value)
        return known
