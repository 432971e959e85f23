from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.breaker import Attempt, Breaker, Breakers
from virtual_time import Clock

TRIPPING = [code for code in Code if code.trips_breaker]
MISTAKES = [Code.UNKNOWN_SYMBOL, Code.INVALID_ARGUMENT, Code.METHOD_NOT_SUPPORTED, Code.RATE_LIMITED, Code.PROXY]
ANSWERS = [Code.INSUFFICIENT_BALANCE, Code.ORDER_NOT_FOUND, Code.CREDENTIALS_REJECTED, Code.EXCHANGE_ERROR]


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("kraken", failures=3, window=30, cooldown=10, max_cooldown=35, clock=clock)


def fail(breaker: Breaker, times: int = 1, code: Code = Code.TIMEOUT) -> None:
    for _ in range(times):
        breaker.admit().failed(code)


@pytest.mark.parametrize("code", TRIPPING)
def test_failures_in_a_row_by_the_exchanges_fault_open_it(breaker: Breaker, code: Code):
    fail(breaker, 2, code)
    assert (breaker.state, breaker.retry_after) == ("closed", 0)
    fail(breaker, 1, code)
    assert (breaker.state, breaker.retry_after) == ("open", 10)


def test_open_it_refuses_and_tells_whom_how_often_and_since_when(breaker: Breaker, clock: Clock):
    for _ in range(3):
        fail(breaker)
        clock.now += 4
    with pytest.raises(Failure) as refused:
        breaker.admit()
    assert refused.value.code is Code.CIRCUIT_OPEN
    assert refused.value.message == "kraken is not answering: 3 failures in a row, the first 12 s ago."
    assert refused.value.retry_after == 6


def test_failures_too_far_apart_do_not_open_it(breaker: Breaker, clock: Clock):
    for _ in range(10):
        fail(breaker)
        clock.now += 16
    assert breaker.state == "closed"


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker):
    for _ in range(5):
        fail(breaker, 2)
        breaker.admit().succeeded()
    assert breaker.state == "closed"


@pytest.mark.parametrize("code", ANSWERS)
def test_a_refusal_that_only_the_exchange_can_give_proves_it_alive(breaker: Breaker, code: Code):
    for _ in range(5):
        fail(breaker, 2)
        fail(breaker, 1, code)
    assert breaker.state == "closed"


@pytest.mark.parametrize("code", [code for code in Code if not code.trips_breaker])
def test_no_other_failure_ever_opens_it(breaker: Breaker, code: Code):
    fail(breaker, 100, code)
    assert breaker.state == "closed"


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_that_may_never_have_left_here_proves_nothing(breaker: Breaker, code: Code):
    fail(breaker, 2)
    fail(breaker, 1, code)
    fail(breaker, 1)
    assert breaker.state == "open"


def test_half_open_exactly_one_probe_goes(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 10
    assert (breaker.state, breaker.retry_after) == ("half_open", 0)
    probe = breaker.admit()
    with pytest.raises(Failure) as refused:
        breaker.admit()
    assert refused.value.retry_after == breaker.retry_after == 1
    probe.succeeded()
    assert breaker.state == "closed"
    breaker.admit()
    breaker.admit()


def test_each_failed_probe_doubles_the_rest_up_to_the_bound_and_a_success_resets_it(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    for rest in (10, 20, 35, 35):
        assert breaker.retry_after == rest
        clock.now += rest
        fail(breaker)
    clock.now += 35
    breaker.admit().succeeded()
    fail(breaker, 3)
    assert breaker.retry_after == 10


@pytest.mark.parametrize("judge", [Attempt.abandoned, lambda probe: probe.failed(Code.UNKNOWN_SYMBOL)])
def test_a_probe_that_proves_nothing_makes_way_for_another(breaker: Breaker, clock: Clock, judge: Callable[..., None]):
    fail(breaker, 3)
    clock.now += 10
    judge(breaker.admit())
    assert breaker.state == "half_open"
    breaker.admit().succeeded()
    assert breaker.state == "closed"


def test_a_late_verdict_on_an_attempt_from_before_neither_closes_nor_opens_it(breaker: Breaker, clock: Clock):
    early = [breaker.admit() for _ in range(4)]
    fail(breaker, 3)
    early[0].succeeded()
    assert breaker.state == "open"
    clock.now += 10
    probe = breaker.admit()
    early[1].failed(Code.TIMEOUT)
    early[2].abandoned()
    assert breaker.state == "half_open"
    with pytest.raises(Failure):
        breaker.admit()
    probe.succeeded()
    fail(breaker, 2)
    early[3].failed(Code.TIMEOUT)
    assert breaker.state == "closed"


def test_only_the_first_verdict_counts(breaker: Breaker):
    fail(breaker, 2)
    with breaker.admit() as attempt:
        attempt.abandoned()
    fail(breaker)
    assert breaker.state == "open"


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (Failure(Code.TIMEOUT, "slow"), True),
        (Failure(Code.UNKNOWN_SYMBOL, "what"), False),
        (asyncio.CancelledError(), False),
        (ZeroDivisionError(), False),
    ],
)
def test_as_a_context_it_judges_by_what_happens_inside(breaker: Breaker, error: BaseException, opens: bool):
    fail(breaker, 2)
    with pytest.raises(type(error)), breaker.admit():
        raise error
    assert (breaker.state == "open") == opens


def test_as_a_context_it_takes_a_clean_end_for_success(breaker: Breaker):
    fail(breaker, 2)
    with breaker.admit():
        pass
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_each_exchange_has_its_own(clock: Clock):
    breakers = Breakers(failures=1, clock=clock)
    fail(breakers.of("kraken"))
    assert breakers.of("kraken").state == "open"
    assert breakers.of("bybit").state == "closed"
    assert breakers.of("kraken") is breakers.of("kraken")


class Model(RuleBasedStateMachine):
    """Any order of admissions, verdicts and time, against a plain account of the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker("kraken", failures=3, window=30, cooldown=10, max_cooldown=35, clock=self.clock)
        self.state = "closed"
        self.streak: list[float] = []
        self.rest = 10.0
        self.until = 0.0
        self.probe: Attempt | None = None
        self.current: list[Attempt] = []
        self.late: list[Attempt] = []

    @rule(seconds=st.sampled_from([0.5, 3, 9, 12, 40]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds
        if self.state == "open" and self.clock.now >= self.until:
            self.state = "half_open"

    @rule()
    def ask(self) -> None:
        if self.state == "closed" or (self.state == "half_open" and self.probe is None):
            attempt = self.breaker.admit()
            self.current.append(attempt)
            if self.state == "half_open":
                self.probe = attempt
        else:
            with pytest.raises(Failure) as refused:
                self.breaker.admit()
            assert refused.value.retry_after is not None
            assert 0 < refused.value.retry_after <= 35

    @precondition(lambda self: self.current)
    @rule(data=st.data())
    def succeed(self, data: Any) -> None:
        self.take(data).succeeded()
        self.streak.clear()
        if self.state == "half_open":
            self.turn("closed")
            self.rest = 10.0

    @precondition(lambda self: self.current)
    @rule(data=st.data(), code=st.sampled_from(TRIPPING))
    def fail(self, data: Any, code: Code) -> None:
        self.take(data).failed(code)
        self.streak.append(self.clock.now)
        if self.state == "half_open":
            self.rest = min(self.rest * 2, 35)
        elif len(self.streak) < 3 or self.streak[-1] - self.streak[-3] > 30:
            return
        self.turn("open")
        self.until = self.clock.now + self.rest

    @precondition(lambda self: self.current)
    @rule(data=st.data(), code=st.sampled_from([None, *MISTAKES]))
    def prove_nothing(self, data: Any, code: Code | None) -> None:
        attempt = self.take(data)
        if code is None:
            attempt.abandoned()
        else:
            attempt.failed(code)
        self.probe = None

    @precondition(lambda self: self.late)
    @rule(data=st.data(), verdict=st.sampled_from([Attempt.succeeded, Attempt.abandoned, None]))
    def judge_late(self, data: Any, verdict: Any) -> None:
        attempt = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        if verdict is None:
            attempt.failed(Code.TIMEOUT)
        else:
            verdict(attempt)

    def take(self, data: Any) -> Attempt:
        return self.current.pop(data.draw(st.integers(0, len(self.current) - 1)))

    def turn(self, state: str) -> None:
        self.state = state
        self.probe = None
        self.late += self.current
        self.current.clear()

    @invariant()
    def agrees(self) -> None:
        assert self.breaker.state == self.state
        assert (self.breaker.retry_after == 0) == (
            self.state == "closed" or (self.state == "half_open" and self.probe is None)
        )


TestAnyOrder = Model.TestCase
TestAnyOrder.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
