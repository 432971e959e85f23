"""Do many streams at once grow, and what do they cost? `make soak-streams`, or `python -m bench.soak_streams`.

First bare ccxt.pro and the Hub watch the same streams of the same exchanges in turn, and their CPU time for each update
is compared. Then the Hub goes on alone, and tasks, sockets and memory are counted: after the first minute nothing may
grow. Exit code 1, with the reason, when something does or when the Hub costs more than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple

from bench.child import configured, resident_mib_of
from bench.feed import Feed
from bench.measure import ratio
from bench.streams import EACH, Bare, Hubbed, Way, mixed, names, speeds
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs

RATE = 50
"""Messages from each stream in a second of its exchange's time, about."""

_FIRST = 60.0  # seconds of the exchanges' time until caches and ledgers are full
_EVERY = 10.0  # seconds between two samples
_SETTLES = 2.0  # seconds after the first updates, in which requests look for trades that were left out
_GLANCES = 5  # at the number of tasks, of which ccxt has one more for each message that is on its way
_UNPACED = "rate_limit = 0.01"


class Sample(NamedTuple):
    """What the process holds at a moment."""

    tasks: int
    sockets: int
    mib: float


class Bound(NamedTuple):
    """How much of something may come on top, at least and in parts of what there was."""

    least: float
    part: float = 0.0

    def of(self, before: float) -> float:
        """Return what may be there."""
        return before + max(self.least, before * self.part)


BOUNDS: Mapping[str, Bound] = {"tasks": Bound(4), "sockets": Bound(2), "mib": Bound(8, 0.03)}
"""What may come on top after the first minute."""


class Cost(NamedTuple):
    """What a phase took.

    Attributes:
        sent: messages that the exchanges sent.
        updates: how many came to who watched; of two messages that wait to be read, the newer one may do for both.
        cpu: seconds of CPU.
        seconds: seconds on the clock.
    """

    sent: int
    updates: int
    cpu: float
    seconds: float

    @property
    def each(self) -> float:
        """Seconds of CPU for each message."""
        return self.cpu / max(1, self.sent)

    def __str__(self) -> str:
        rate, load = self.sent / self.seconds, self.cpu / self.seconds
        told = self.updates / max(1, self.sent)
        return (
            f"{rate:6,.0f} messages/s, {told:4.0%} told, {load:4.0%} of a core, {self.each * 1e6:6.1f} µs CPU for each"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much.

    Attributes:
        seconds: of the exchanges' time that the Hub goes on for alone.
        pace: how fast the exchanges' time passes; a whole second of it has RATE messages from each stream.
        venues: exchanges, of ten streams each.
        rounds: how often each way has its turn before that; 0 for no comparison.
        phase: seconds of a turn that count.
        most: how many times the CPU of bare ccxt.pro the Hub may take for an update.
    """

    seconds: float = 600.0
    pace: float = 0.5
    venues: int = 20
    rounds: int = 4
    phase: float = 15.0
    most: float = 1.3

    @property
    def alone(self) -> float:
        """Seconds on this clock that the Hub goes on for alone."""
        return self.seconds / self.pace

    @property
    def lifetime(self) -> float:
        """Seconds after which nothing is left of it in any case."""
        return self.alone * 1.2 + self.rounds * 2 * (self.phase + 60.0) + 120.0


class Soak:
    """A run, which ends by itself.

    Args:
        plan: how long, and how much.
        tell: takes each line of the report.
    """

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._sent: Callable[[], int] = int

    async def run(self) -> list[str]:
        """Return what is wrong; nothing if all is well."""
        plan = self._plan
        grain = 1 / (RATE * plan.pace)
        paces = [speed * plan.pace for speed in speeds(plan.venues)]
        with (
            TemporaryDirectory() as folder,
            Feed(*paces, tick=grain * 0.75, grain=grain, lifetime=plan.lifetime) as feed,
        ):
            self._sent = feed.messages
            watched = mixed(plan.venues)
            kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.channel for one in watched).items())
            self._tell(f"{len(watched)} streams of {plan.venues} exchanges: {kinds}")
            hub = Hubbed(configured(Path(folder), names(feed.urls), of_each=_UNPACED), watched)
            try:
                dear = await self._compare(Bare(feed.urls, watched), hub) if plan.rounds else []
                return dear + await self._go_on(hub)
            finally:
                await hub.end()

    async def _compare(self, bare: Way, hub: Way) -> list[str]:
        costs: dict[str, list[Cost]] = {"bare ccxt.pro": [], "Hub": []}
        for _ in range(self._plan.rounds):
            for (name, of), way in zip(costs.items(), (bare, hub), strict=True):
                of.append(await self._turn(way))
                self._tell(f"{name:14} {of[-1]}")
        theirs, ours = costs.values()
        times = ratio([cost.each for cost in ours], [cost.each for cost in theirs])
        told = ratio([cost.cpu / cost.updates for cost in ours], [cost.cpu / cost.updates for cost in theirs])
        self._tell(f"CPU for each message: {times:.2f}× bare ccxt.pro, at most {self._plan.most:g}×")
        self._tell(f"CPU for each update told: {told:.2f}× bare ccxt.pro")
        dear = f"a message takes {times:.2f}× the CPU of bare ccxt.pro, more than {self._plan.most:g}×"
        return [dear] if times > self._plan.most else []

    async def _turn(self, way: Way) -> Cost:
        await way.open()
        try:
            await asyncio.sleep(_SETTLES)
            gc.collect()
            return await self._cost(way, asyncio.sleep(self._plan.phase))
        finally:
            await way.close()

    async def _go_on(self, hub: Hubbed) -> list[str]:
        seconds = self._plan.alone
        every, first = min(_EVERY, seconds / 12), min(_FIRST / self._plan.pace, seconds / 3)
        before = await sample()
        self._tell(f"before {_shown(before)}")
        await hub.open()
        await asyncio.sleep(_SETTLES)
        samples: list[tuple[float, Sample]] = []
        cost = await self._cost(hub, self._watch(samples, seconds, every))
        self._tell(f"Hub alone      {cost}")
        wrong = growth(
            [one for at, one in samples if at <= first],
            [one for at, one in samples if at > first],
            judged=BOUNDS
            if self._plan.seconds >= 2 * _FIRST
            else {name: BOUNDS[name] for name in ("tasks", "sockets")},
        )
        wrong += hub.wrong()
        await hub.close()
        await asyncio.sleep(0.1)
        gc.collect()
        self._tell(f"after  {_shown(await sample())}")
        return wrong

    async def _cost(self, way: Way, until: Awaitable[object]) -> Cost:
        sent, updates, cpu, began = self._sent(), way.updates, process_time(), perf_counter()
        await until
        cpu, seconds = process_time() - cpu, perf_counter() - began
        return Cost(self._sent() - sent, way.updates - updates, cpu, seconds)

    async def _watch(self, samples: list[tuple[float, Sample]], seconds: float, every: float) -> None:
        begun = perf_counter()
        while (at := perf_counter() - begun) < seconds:
            await asyncio.sleep(min(every, seconds - at))
            at = perf_counter() - begun
            samples.append((at, await sample()))
            self._tell(f"{at:6.0f} s {_shown(samples[-1][1])}")


async def sample() -> Sample:
    """Return what this process holds now."""
    glances: list[int] = []
    for _ in range(_GLANCES):
        await asyncio.sleep(0)
        glances.append(len(asyncio.all_tasks()))
    return Sample(min(glances), _sockets(), resident_mib_of(os.getpid()))


def growth(first: Sequence[Sample], later: Sequence[Sample], *, judged: Mapping[str, Bound]) -> list[str]:
    """Return what has grown: the median of the last third against the most of the first minute.

    Args:
        first: the samples of the first minute.
        later: those after it.
        judged: how much of what may come on top.
    """
    last = later[-max(1, len(later) // 3) :]
    wrong: list[str] = []
    for name, bound in judged.items():
        before = max(getattr(one, name) for one in first)
        after = median(getattr(one, name) for one in last)
        if after > bound.of(before):
            wrong.append(f"{name} grew from {before:.0f} to {after:.0f} after the first minute")
    return wrong


def _sockets() -> int:
    """Return how many files this process has open; all that come and go are sockets."""
    return len(os.listdir("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"))  # noqa: PTH208 - no paths


def _shown(one: Sample) -> str:
    return f"{one.tasks:5} tasks {one.sockets:5} open files {one.mib:8.1f} MiB"


def main(words: Sequence[str] | None = None) -> int:
    """Run, print and return the exit code.

    Args:
        words: the command line; that of this process if None.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.soak_streams", description=__doc__)
    standard = Plan()
    for name, what in _OPTIONS.items():
        default = getattr(standard, name)
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{what}; default: {default:g}")
    plan = Plan(**vars(parser.parse_args(words)))
    configure_logs("error", redactor=Redactor(()))
    wrong = asyncio.run(Soak(plan, lambda line: print(line, flush=True)).run())
    for one in wrong:
        print(f"WRONG: {one}")
    print("Nothing grew, and the Hub costs no more than it may." if not wrong else "Failed.")
    return 1 if wrong else 0


_OPTIONS: Mapping[str, str] = {
    "seconds": "of the exchanges' time, for which the Hub goes on alone",
    "pace": f"seconds of the exchanges' time in one of ours; each has about {RATE} messages from every stream",
    "venues": f"exchanges, of {EACH} streams each",
    "rounds": "turns of each way before that; 0 for no comparison",
    "phase": "seconds of a turn that count",
    "most": "times the CPU of bare ccxt.pro that the Hub may take for an update",
}


if __name__ == "__main__":
    sys.exit(main())
