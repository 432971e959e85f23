from __future__ import annotations

import pytest

from ccxt_mcp.errors import Code
from ccxt_mcp.guards.meters import Latency, Meters
from virtual_time import Clock


@pytest.fixture
def meters(clock: Clock) -> Meters:
    return Meters(clock=clock)


def test_before_the_first_attempt_nothing_is_claimed(meters: Meters):
    health = meters.exchange("kraken")
    assert (health.calls, health.failures, health.by_code, health.methods) == (0, 0, {}, {})
    assert health.error_rate is health.p50_ms is health.p95_ms is None
    assert health.last_failure is health.last_failure_age is None
    assert list(meters.exchanges()) == []


def test_latencies_are_those_of_answers_by_nearest_rank(meters: Meters):
    for ms in range(1, 101):
        meters.record("kraken", "fetchTicker", seconds=ms / 1000, failure=None)
    meters.record("kraken", "fetchTicker", seconds=10, failure=Code.TIMEOUT)
    health = meters.exchange("kraken")
    assert (health.p50_ms, health.p95_ms) == (pytest.approx(50), pytest.approx(95))


def test_one_answer_is_every_percentile(meters: Meters):
    meters.record("kraken", "fetchTicker", seconds=0.25, failure=None)
    health = meters.exchange("kraken")
    assert health.p50_ms == health.p95_ms == 250


def test_each_method_has_its_own_latency(meters: Meters):
    meters.record("kraken", "fetchTicker", seconds=0.1, failure=None)
    meters.record("kraken", "fetchOHLCV", seconds=0.3, failure=None)
    meters.record("kraken", "fetchOHLCV", seconds=0.5, failure=None)
    meters.record("kraken", "fetchTrades", seconds=9, failure=Code.TIMEOUT)
    assert meters.exchange("kraken").methods == {
        "fetchOHLCV": Latency(2, 300, 500),
        "fetchTicker": Latency(1, 100, 100),
    }


def test_failures_are_counted_by_reason_and_the_last_is_told_with_its_age(meters: Meters, clock: Clock):
    for code in (Code.TIMEOUT, Code.TIMEOUT, Code.RATE_LIMITED, None):
        meters.record("kraken", "fetchTicker", seconds=1, failure=code)
        clock.now += 10
    health = meters.exchange("kraken")
    assert (health.calls, health.failures, health.error_rate) == (4, 3, 0.75)
    assert health.by_code == {"timeout": 2, "rate_limited": 1}
    assert (health.last_failure, health.last_failure_age) == ("rate_limited", 20)


def test_what_is_long_ago_leaves_the_recent_figures_but_not_the_totals(meters: Meters, clock: Clock):
    meters.record("kraken", "fetchTicker", seconds=9, failure=Code.TIMEOUT)
    clock.now += 301
    assert meters.exchange("kraken").error_rate is None
    meters.record("kraken", "fetchTicker", seconds=0.1, failure=None)
    health = meters.exchange("kraken")
    assert (health.calls, health.failures, health.error_rate) == (2, 1, 0)
    assert health.last_failure_age == 301


def test_a_busy_exchange_is_judged_by_its_last_attempts(meters: Meters):
    for _ in range(1000):
        meters.record("kraken", "fetchTicker", seconds=9, failure=Code.TIMEOUT)
    for _ in range(512):
        meters.record("kraken", "fetchTicker", seconds=0.1, failure=None)
    health = meters.exchange("kraken")
    assert (health.calls, health.failures, health.error_rate) == (1512, 1000, 0)


def test_exchanges_are_told_apart(meters: Meters, clock: Clock):
    meters.record("kraken", "fetchTicker", seconds=1, failure=None)
    meters.record("bybit", "fetchTicker", seconds=1, failure=Code.TIMEOUT)
    assert list(meters.exchanges()) == ["bybit", "kraken"]
    assert meters.exchange("kraken").error_rate == 0
    assert meters.exchange("bybit").error_rate == 1
    clock.now += 5
    assert meters.uptime == 5
