"""Virtual time: an event loop whose clock leaps to the next timer instead of waiting for it.

Timing becomes exact and instantaneous. It suits coroutines that wait for each other and for timers; work in threads
or other processes takes no time on this clock, so that any timer would overtake it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STALLED = 5.0  # real seconds without a timer or an event after which a test has locked itself


class _LeapingSelector(selectors.DefaultSelector):
    """A selector that answers a wait by moving its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is not None:
            self.now += max(0.0, timeout)
            return []
        if ready := super().select(_STALLED):
            return ready
        raise RuntimeError("Everything waits for something else: no timer is set and nothing can happen any more.")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that begins at second 0 and never waits."""

    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now

    def leap(self, seconds: float) -> None:
        """Let time pass within one step of the loop, as a long computation would."""
        self._leaping.now += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, for tests that are not coroutines themselves."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Return the running loop's time in seconds: the clock to inject."""
    return asyncio.get_running_loop().time()


async def settle(passes: int = 10) -> None:
    """Let everything happen that needs no time."""
    for _ in range(passes):
        await asyncio.sleep(0)


class Clock:
    """A clock for code that waits for nothing: it stands until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
