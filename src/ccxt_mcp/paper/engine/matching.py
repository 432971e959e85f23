"""What an order would take of a book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_DOWN, Decimal

from .book import Level
from .money import ZERO, floor_to, quotient
from .order import Side


def crosses(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether an order with this limit trades at a price."""
    return price <= limit if side == "buy" else price >= limit


def walk(
    levels: Iterable[Level], amount: Decimal, side: Side, *, step: Decimal | None, limit: Decimal | None = None
) -> list[Level]:
    """Take an amount level by level, in whole steps and no further than the limit; less when the book is too thin."""
    taken: list[Level] = []
    for level in _within(levels, side, limit):
        if amount <= 0:
            break
        if (part := min(amount, floor_to(level.amount, step))) > 0:
            taken.append(Level(level.price, part))
            amount -= part
    return taken


def walk_cost(levels: Iterable[Level], cost: Decimal, step: Decimal | None) -> list[Level]:
    """Buy for an amount of quote, in whole steps; less when the book is too thin."""
    taken: list[Level] = []
    for level in _within(levels, "buy", None):
        affordable = quotient(cost, level.price, ROUND_DOWN)
        part = floor_to(min(affordable, level.amount), step)
        if part > 0:
            taken.append(Level(level.price, part))
            cost -= part * level.price
        if affordable <= level.amount:
            break
    return taken


def _within(levels: Iterable[Level], side: Side, limit: Decimal | None) -> Iterator[Level]:
    for level in levels:
        if limit is not None and not crosses(side, limit, level.price):
            return
        yield level


def total(levels: Iterable[Level]) -> Decimal:
    """The amount of all levels."""
    return sum((level.amount for level in levels), ZERO)
