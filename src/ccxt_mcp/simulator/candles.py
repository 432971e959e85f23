"""Candles in whole ticks and lots, and how one is cut into smaller ones that add up to it exactly.

History is built from the top down: a long candle is drawn first, then cut, so a year of days needs no minutes. Each
cut keeps the open, high, low, close, volume and turnover of the whole, in integers. What makes a cut always possible
is one invariant: a candle's average price keeps at least `MARGIN` of the candle's range away from its high and from
its low. Then there is room for parts whose average prices give the whole's turnover, and each part can be widened
until it keeps the same distance.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MARGIN = 0.1


class Candle(NamedTuple):
    """Prices in ticks, volume in lots, turnover in ticks times lots."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int


def merge(candles: Iterable[Candle]) -> Candle:
    """The candle of consecutive candles; there must be one."""
    rest = iter(candles)
    first, high, low, close, volume, turnover = next(rest)
    for candle in rest:
        high = max(high, candle.high)
        low = min(low, candle.low)
        close = candle.close
        volume += candle.volume
        turnover += candle.turnover
    return Candle(first, high, low, close, volume, turnover)


def cut(
    whole: Candle, parts: int, least: int, draw: Callable[[], float], guide: Sequence[int] | None = None
) -> tuple[Candle, ...]:
    """Cut a candle into consecutive parts, each of at least `least` lots, that merge back into it.

    `guide` may say at which prices the parts meet; prices outside the candle's range are moved to its ends.
    """
    volumes = share(whole.volume, [0.3 + 2.2 * draw() ** 2 for _ in range(parts)], least)
    width = whole.high - whole.low
    surplus = whole.turnover - whole.low * whole.volume
    start, end = whole.open - whole.low, whole.close - whole.low
    if guide is None:
        levels = _squeezed(_walk(start, end, width, parts, draw), volumes, width, surplus)
        inner = [round(width * (left + draw() * (right - left))) for left, right in pairwise(levels)]
    else:
        inner = [min(max(price - whole.low, 0), width) for price in guide]
        middles = [(left + right) / 2 for left, right in pairwise((start, *inner, end))]
        levels = _squeezed([middle / width if width else 0.0 for middle in middles], volumes, width, surplus)
    surpluses = _surpluses(volumes, levels, width, surplus)
    edges = [start, *inner, end]
    ranges = _ranges(edges, volumes, surpluses, width, draw)
    return tuple(
        Candle(
            whole.low + edges[i],
            whole.low + high,
            whole.low + low,
            whole.low + edges[i + 1],
            volumes[i],
            whole.low * volumes[i] + surpluses[i],
        )
        for i, (low, high) in enumerate(ranges)
    )


def share(total: int, weights: Sequence[float], least: int) -> list[int]:
    """Share a whole number by weights, each share at least `least`; the shares add up exactly."""
    spare = total - least * len(weights)
    scale = spare / sum(weights)
    shares: list[int] = []
    given, reached = 0, 0.0
    for weight in weights[:-1]:
        reached += weight * scale
        edge = min(int(reached), spare)
        shares.append(least + edge - given)
        given = edge
    shares.append(least + spare - given)
    return shares


def _walk(start: int, end: int, width: int, parts: int, draw: Callable[[], float]) -> list[float]:
    """A random bridge from start to end: its level in the middle of each part, as a fraction of the width."""
    # A random walk whose range is one has a standard deviation of about 0.6 (Feller 1951).
    step = 0.6 * sqrt(3 / parts)
    walk: list[float] = []
    at = 0.0
    for _ in range(parts):
        move = (2 * draw() - 1) * step
        walk.append(at + move / 2)
        at += move
    if width == 0:
        return [0.0] * parts
    slope = ((end - start) / width - at) / parts
    return [start / width + value + slope * (i + 0.5) for i, value in enumerate(walk)]


def _squeezed(levels: Sequence[float], volumes: Sequence[int], width: int, surplus: int) -> list[float]:
    """The levels, moved inside the margins and then towards one of them as far as the whole's average price asks."""
    if width == 0:
        return [0.0] * len(levels)
    volume = sum(volumes)
    mean = surplus / (width * volume)
    lowest, highest = min(MARGIN, mean), max(1 - MARGIN, mean)
    inside = [_folded(level, lowest, highest) for level in levels]
    found = sum(level * part for level, part in zip(inside, volumes, strict=True)) / volume
    if found < mean:
        squeeze, side = (mean - found) / (highest - found), highest
    elif found > mean:
        squeeze, side = (found - mean) / (found - lowest), lowest
    else:
        return inside
    return [level + squeeze * (side - level) for level in inside]


def _folded(level: float, lowest: float, highest: float) -> float:
    """A level inside its bounds: reflected, because a walk cut off at a bound would stand still there."""
    if level < lowest:
        level = 2 * lowest - level
    elif level > highest:
        level = 2 * highest - level
    return min(max(level, lowest), highest)


def _surpluses(volumes: Sequence[int], levels: Sequence[float], width: int, surplus: int) -> list[int]:
    """The parts' turnover above the low of the whole, in integers that add up to the whole's."""
    surpluses: list[int] = []
    given, reached = 0, 0.0
    for volume, level in zip(volumes[:-1], levels[:-1], strict=True):
        reached += volume * level * width
        surpluses.append(int(reached) - given)
        given = int(reached)
    surpluses.append(surplus - given)
    return surpluses


def _ranges(
    edges: Sequence[int],
    volumes: Sequence[int],
    surpluses: Sequence[int],
    width: int,
    draw: Callable[[], float],
) -> list[tuple[int, int]]:
    """The parts' lows and highs above the low of the whole; one part reaches each end of the range."""
    parts = len(volumes)
    wick = width / (2 * sqrt(parts))
    lows: list[int] = []
    highs: list[int] = []
    for i in range(parts):
        below, rest = divmod(surpluses[i], volumes[i])
        above = below + (rest > 0)
        lows.append(max(0, min(edges[i], edges[i + 1], below) - int(wick * (0.2 + 0.8 * draw() ** 2))))
        highs.append(min(width, max(edges[i], edges[i + 1], above) + int(wick * (0.2 + 0.8 * draw() ** 2))))
    lows[lows.index(min(lows))] = 0
    highs[highs.index(max(highs))] = width
    return [
        _widened(low, high, surpluses[i] / volumes[i], width)
        for i, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]


def _widened(low: int, high: int, mean: float, width: int) -> tuple[int, int]:
    """A range with `MARGIN` of itself on both sides of the mean; the whole's own margin leaves the room for it."""
    ratio = MARGIN / (1 - MARGIN)
    if mean - low < MARGIN * (high - low):
        low = max(0, floor(mean - ratio * (high - mean)))
    elif high - mean < MARGIN * (high - low):
        high = min(width, ceil(mean + ratio * (mean - low)))
    return low, high
