"""Keyed noise: the same key and index give the same number, in any order and after any restart."""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MASK = (1 << 64) - 1


def noise_key(*parts: str | int) -> int:
    """A 64-bit key from words and numbers."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def mix(key: int, index: int) -> int:
    """A 64-bit number for one index of a key (splitmix64, Steele, Lea and Flood 2014)."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def unit(key: int, index: int) -> float:
    """A number in [0, 1) for one index of a key."""
    return (mix(key, index) >> 11) * 2.0**-53


def draws(key: int, index: int) -> Callable[[], float]:
    """A stream of numbers in [0, 1) for one index of a key."""
    return Random(mix(key, index)).random
