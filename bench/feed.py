"""Simulated exchanges whose time runs faster, in a process of their own: many messages, made by no CPU of ours.

`python -m bench.feed TICK GRAIN SPEED…` runs one for each speed, tells their URLs and when their time began as a line
of JSON, answers each line that it reads with the number of messages so far, and ends with its input. Those of one speed
tell the same, and share the work of finding out what.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from itertools import count
from time import monotonic, time
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import orjson

from bench.child import Child
from ccxt_mcp.simulator import Simulator
from ccxt_mcp.simulator.stream import Subscriber
from ccxt_mcp.simulator.world import World


class Feed:
    """Simulators in a child process, one for each speed.

    Args:
        speeds: how many seconds pass at each exchange while one passes here.
        tick: seconds here between two looks at what is new.
        grain: seconds here in which an exchange's clock stands still, so that all of a speed tell the same; 0 for none.
        lifetime: seconds after which the process is killed.
    """

    def __init__(self, *speeds: float, tick: float, grain: float = 0.0, lifetime: float = 120.0) -> None:
        self._child = Child("-m", "bench.feed", *map(str, (tick, grain, *speeds)), lifetime=lifetime)
        told = orjson.loads(self._child.read())
        self.urls: list[str] = told["urls"]
        self._epoch: float = told["epoch"]
        self._begun: float = told["begun"]
        self._speed = speeds[0]

    def moment(self, at_ms: int) -> float:
        """Return when, by this machine's monotonic clock, the clock of the first exchange showed a time."""
        return self._begun + (at_ms / 1000 - self._epoch) / self._speed

    def messages(self) -> int:
        """Return how many messages all exchanges have sent."""
        self._child.write(b"\n")
        return orjson.loads(self._child.read())

    def subscriptions(self) -> int:
        """Return how many subscriptions all exchanges have now, each topic of each connection counted."""
        return sum(
            count for url in self.urls for stream in _streams(url).values() for count in stream["topics"].values()
        )

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()


def _streams(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/_simulator/streams", timeout=10) as reply:
        return orjson.loads(reply.read())


def _clock(epoch: float, begun: float, grain: float, speed: float) -> float:
    passed = monotonic() - begun
    return epoch + speed * (passed - passed % grain if grain else passed)


async def _serve(tick: float, grain: float, speeds: Sequence[float]) -> None:
    epoch, begun, messages = time(), monotonic(), count()
    tell = Subscriber.tell

    def counted(subscriber: Subscriber, topic: str, text: bytes, *, increment: bool) -> None:
        next(messages)
        tell(subscriber, topic, text, increment=increment)

    clocks: dict[float, Callable[[], float]] = {speed: partial(_clock, epoch, begun, grain, speed) for speed in speeds}
    async with AsyncExitStack() as stack:
        # A world remembers what it has drawn; twenty of them would draw the same twenty times.
        with patch("ccxt_mcp.simulator.simulator.World", cache(World)):
            simulators = [
                await stack.enter_async_context(
                    Simulator(clock=clocks[speed], tick=tick, ip_limit=None, key_limit=None)
                )
                for speed in speeds
            ]
        stack.enter_context(patch.object(Subscriber, "tell", counted))
        _tell({"urls": [simulator.url for simulator in simulators], "epoch": epoch, "begun": begun})
        asked = 0  # each question counts as one more
        while await asyncio.to_thread(sys.stdin.readline):
            _tell(next(messages) - asked)
            asked += 1


def _tell(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2]), [float(word) for word in sys.argv[3:]]))
