"""Clocks for the simulator's tests."""

from __future__ import annotations

import time

START = 1_763_000_123.4
"""2025-11-13T02:15:23.4Z, in the middle of everything."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        return int(self.now * 1000)


class FastClock:
    """A clock that runs a hundred times as fast as ours."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> float:
        return START + (time.monotonic() - self._start) * 100
