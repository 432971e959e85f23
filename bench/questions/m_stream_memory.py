"""(m) How much memory does a stream hold?"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from bench.child import Child, configured, resident_mib
from bench.feed import Feed
from bench.measure import Answer, Finding, compared, in_turn
from bench.streams import EACH, Bare, Hubbed, mixed, names, speeds

_VENUES = 20
_ROUNDS = 3
_PACE = 0.2
_GRAIN = 0.1  # seconds
_WATCHES = 10.0  # seconds of updates before the memory is looked at


def ask() -> Answer:
    """Let a process watch two hundred streams, and look at what it holds more than before."""
    with TemporaryDirectory() as folder, Feed(*_speeds(_VENUES), tick=_GRAIN / 2, grain=_GRAIN, lifetime=600) as feed:
        environment = configured(Path(folder), names(feed.urls))
        figures = in_turn(
            {way: partial(after, way, feed.urls, environment) for way in ("bare", "hub")}, rounds=_ROUNDS, warm_up=0
        )
    return Answer(
        f"Resident memory of {_VENUES * EACH} streams, of {_VENUES} exchanges",
        findings(figures, _VENUES * EACH),
        baseline="bare ccxt.pro, a loop for each stream",
        notes=["Shared out among the streams is what their exchanges need: markets, connections, the Hub's gateway."],
    )


def findings(figures: dict[str, list[float]], streams: int) -> list[Finding]:
    """Return what each stream holds, from the MiB that all of them hold."""
    return [compared("of each stream", figures["hub"], figures["bare"], unit="KiB", scale=1024 / streams)]


def after(way: str, urls: Sequence[str], environment: dict[str, str], seconds: float = _WATCHES) -> float:
    """Return the MiB that a process holds more, after it watched for some time."""
    words = ("-m", "bench.questions.m_stream_memory", way, str(seconds), orjson.dumps(urls).decode())
    with Child(*words, environment=environment) as child:
        child.read()
        before = resident_mib(child)
        child.write(b"\n")
        child.read()
        return resident_mib(child) - before


def _speeds(venues: int) -> list[float]:
    return [speed * _PACE for speed in speeds(venues)]


async def _watch(way: str, seconds: float, urls: Sequence[str]) -> None:
    import_module("ccxt.pro.bybit")  # both ways need it, so it is no memory of a stream's
    watched = mixed(len(urls))
    of_all = Bare(urls, watched) if way == "bare" else Hubbed(dict(os.environ), watched)
    _tell_and_wait()
    await of_all.open()
    await asyncio.sleep(seconds)
    gc.collect()
    _tell_and_wait()
    await of_all.close()
    if isinstance(of_all, Hubbed):
        await of_all.end()


def _tell_and_wait() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    asyncio.run(_watch(sys.argv[1], float(sys.argv[2]), orjson.loads(sys.argv[3])))
