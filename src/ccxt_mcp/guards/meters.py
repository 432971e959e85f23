"""Meters: how each exchange has answered of late."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ccxt_mcp.errors import Code

_ATTEMPTS = 512  # per exchange
_RECENT = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers of one method took of late.

    Attributes:
        answers: how many there were.
        p50_ms: half of them took no longer, in milliseconds.
        p95_ms: 19 of 20 took no longer.
    """

    answers: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class ExchangeHealth:
    """What is known of one exchange; recent is the last 512 attempts within 5 minutes.

    Attributes:
        calls: attempts sent since the start.
        failures: those that failed.
        by_code: how many failed for which reason.
        error_rate: the share of recent attempts that failed; None without any.
        p50_ms: half of the recent answers took no longer, in milliseconds; failures do not count.
        p95_ms: 19 of 20 recent answers took no longer.
        last_failure: the reason of the last failure, however long ago.
        last_failure_age: seconds since then.
        methods: the latency of each method that was answered of late.
    """

    calls: int
    failures: int
    by_code: Mapping[str, int]
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    last_failure: str | None
    last_failure_age: float | None
    methods: Mapping[str, Latency]


class _Attempt(NamedTuple):
    at: float
    method: str
    seconds: float
    failed: bool


@dataclass(slots=True)
class _Meter:
    """The account of one exchange."""

    calls: int = 0
    recent: deque[_Attempt] = field(default_factory=lambda: deque[_Attempt](maxlen=_ATTEMPTS))
    by_code: Counter[Code] = field(default_factory=Counter[Code])
    last_failure: tuple[float, Code] | None = None


class Meters:
    """Counters and recent latencies by exchange.

    Args:
        clock: seconds from any origin, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._meters: dict[str, _Meter] = {}

    def record(self, exchange: str, method: str, *, seconds: float, failure: Code | None) -> None:
        """Take note of one attempt that was sent to an exchange, and of how it ended.

        Args:
            exchange: the exchange's id.
            method: ccxt's name of the method.
            seconds: how long it took.
            failure: why it failed, or None.
        """
        meter = self._meters.get(exchange)
        if meter is None:
            meter = self._meters[exchange] = _Meter()
        now = self._clock()
        meter.calls += 1
        meter.recent.append(_Attempt(now, method, seconds, failure is not None))
        if failure is not None:
            meter.by_code[failure] += 1
            meter.last_failure = (now, failure)

    def exchange(self, exchange: str) -> ExchangeHealth:
        """Return what is known of an exchange; all zero or None before the first attempt."""
        meter = self._meters.get(exchange, _Meter())
        now = self._clock()
        recent = [attempt for attempt in meter.recent if now - attempt.at <= _RECENT]
        took: dict[str, list[float]] = {}
        for attempt in recent:
            if not attempt.failed:
                took.setdefault(attempt.method, []).append(attempt.seconds)
        overall = _latency(seconds for answers in took.values() for seconds in answers)
        failed_at, code = meter.last_failure or (None, None)
        return ExchangeHealth(
            calls=meter.calls,
            failures=meter.by_code.total(),
            by_code={code.value.reason: count for code, count in meter.by_code.most_common()},
            error_rate=sum(attempt.failed for attempt in recent) / len(recent) if recent else None,
            p50_ms=overall.p50_ms,
            p95_ms=overall.p95_ms,
            last_failure=code.value.reason if code else None,
            last_failure_age=now - failed_at if failed_at is not None else None,
            methods={method: _latency(answers) for method, answers in sorted(took.items())},
        )

    def exchanges(self) -> Iterator[str]:
        """Return the ids of the exchanges that something was sent to, in order."""
        return iter(sorted(self._meters))

    @property
    def uptime(self) -> float:
        """Seconds since these meters started."""
        return self._clock() - self._started


def _latency(seconds: Iterable[float]) -> Latency:
    ordered = sorted(seconds)
    return Latency(len(ordered), _percentile_ms(ordered, 50), _percentile_ms(ordered, 95))


def _percentile_ms(ordered: list[float], percent: int) -> float | None:
    """Return the nearest-rank percentile in milliseconds."""
    return ordered[-(-len(ordered) * percent // 100) - 1] * 1000 if ordered else None
