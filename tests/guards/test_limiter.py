from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.budget import Budget
from ccxt_mcp.guards.limiter import Limiter, admit_all
from ccxt_mcp.guards.usage import Usage
from virtual_time import now, run, settle

quick = settings(max_examples=150, deadline=None)


def budget(*, window: float = 10.0, unit: float = 1.0, transit: float = inf) -> Budget:
    return Budget(window=window, unit=unit, transit=transit, clock=now)


@dataclass(frozen=True)
class Request:
    """One request of a scenario; times in seconds."""

    at: float
    cost: float
    latency: float
    arrives: float  # where between sending and reply the exchange counts it, from 0 to 1
    patience: float = inf  # its caller gives up this long after asking, if it still waits then


@dataclass
class Trace:
    """What became of a scenario."""

    asked: list[int] = field(default_factory=list)
    admitted: dict[int, float] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    arrivals: list[tuple[float, float]] = field(default_factory=list)


async def play(requests: list[Request], limited: Budget) -> Trace:
    trace = Trace()

    async def send(number: int, request: Request) -> None:
        async with limited.admit(request.cost, max_wait=inf):
            trace.admitted[number] = now()
            trace.arrivals.append((now() + request.latency * request.arrives, request.cost))
            await asyncio.sleep(request.latency)

    async def ask(number: int, request: Request) -> None:
        await asyncio.sleep(request.at)
        trace.asked.append(number)
        sending = asyncio.ensure_future(send(number, request))
        await asyncio.wait([sending], timeout=None if request.patience == inf else request.patience)
        if number not in trace.admitted:
            trace.given_up.add(number)
            sending.cancel()
        await asyncio.wait([sending])

    await asyncio.gather(*(ask(number, request) for number, request in enumerate(requests)))
    return trace


def busiest_window(arrivals: list[tuple[float, float]], window: float) -> list[list[float]]:
    return [[cost for at, cost in arrivals if start <= at < start + window - 1e-6] for start, _ in arrivals]


tenths = st.integers(0, 300).map(lambda n: n / 10)
requests = st.lists(
    st.builds(
        Request,
        at=tenths,
        cost=st.sampled_from([0.2, 1.0, 1.0, 2.5, 5.0, 14.0]),
        latency=st.sampled_from([0.0, 0.1, 0.7, 3.0, 25.0]),
        arrives=st.sampled_from([0.0, 0.3, 1.0]),
        patience=st.sampled_from([inf, inf, inf, 0.05, 2.05, 7.05]),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda request: request.at,  # timers of one moment ring in no particular order
)


@quick
@given(requests, st.sampled_from([(10.0, 1.0), (1.0, 0.1), (1.0, 3.0), (2.0, 0.02)]))
def test_no_window_at_the_exchange_ever_sees_more_than_the_capacity(scenario, limit):
    window, unit = limit
    trace = run_in_virtual_time(scenario, window, unit)
    capacity = max(1.0, window / unit)
    for costs in busiest_window(trace.arrivals, window):
        assert sum(costs) <= capacity + 1e-6 or len(costs) == 1


@quick
@given(requests, st.sampled_from([(10.0, 1.0), (1.0, 0.5), (1.0, 3.0)]))
def test_a_bound_on_the_transit_keeps_the_capacity_for_all_that_arrives_within_it(scenario, limit):
    window, unit = limit
    for number, request in enumerate(scenario):
        if request.latency * request.arrives > 2.0:
            scenario[number] = replace(request, arrives=2.0 / request.latency)
    trace = run_in_virtual_time(scenario, window, unit, transit=2.0)
    capacity = max(1.0, window / unit)
    for costs in busiest_window(trace.arrivals, window):
        assert sum(costs) <= capacity + 1e-6 or len(costs) == 1


def run_in_virtual_time(scenario: list[Request], window: float, unit: float, transit: float = inf) -> Trace:
    async def main() -> Trace:
        return await play(scenario, budget(window=window, unit=unit, transit=transit))

    return run(main())


@quick
@given(requests)
def test_requests_go_in_the_order_in_which_they_came_and_none_starves(scenario):
    trace = run_in_virtual_time(scenario, 10.0, 1.0)
    came = [number for number in trace.asked if number not in trace.given_up]
    assert sorted(came, key=lambda number: trace.admitted[number]) == came
    assert set(came) == set(trace.admitted)


@quick
@given(requests)
def test_waiters_who_give_up_cost_nothing(scenario):
    # Those who give up do so at once here: as long as one waits at the head of the queue, it rightly holds up the rest.
    scenario = [replace(request, patience=inf if request.patience == inf else 1e-4) for request in scenario]
    everybody = run_in_virtual_time(scenario, 10.0, 1.0)
    patient = [request for number, request in enumerate(scenario) if number not in everybody.given_up]
    without = run_in_virtual_time([replace(request, patience=inf) for request in patient], 10.0, 1.0)
    assert list(without.admitted.values()) == pytest.approx(list(everybody.admitted.values()), abs=1e-3)


@quick
@given(requests, st.integers(0, 600).map(lambda n: n / 10 + 0.03))
def test_what_is_said_to_remain_goes_at_once_and_more_does_not(scenario, at):
    async def main() -> None:
        limited = budget()
        playing = asyncio.ensure_future(play(scenario, limited))
        await asyncio.sleep(at)
        remaining = limited.remaining
        assert 0 <= remaining <= limited.capacity
        if remaining < limited.capacity:
            with pytest.raises(Failure):
                async with limited.admit(remaining + 0.01, max_wait=0):
                    pass
        if remaining > 0:
            async with limited.admit(remaining, max_wait=0):
                assert limited.remaining == pytest.approx(0)
        await playing

    run(main())


@quick
@given(requests)
def test_the_whole_budget_is_free_at_the_reset_and_not_before(scenario):
    async def main() -> None:
        limited = budget()
        await play([replace(request, patience=inf) for request in scenario], limited)
        reset = limited.reset_at(now() * 1000) / 1000
        if reset > now() + 0.01:
            await asyncio.sleep(reset - now() - 0.005)
            assert limited.remaining < limited.capacity
        await asyncio.sleep(max(0.0, reset - now()) + 1e-6)
        assert limited.remaining == limited.capacity

    run(main())


@quick
@given(requests, st.floats(0, 30))
def test_a_refusal_names_the_wait_and_costs_nothing(scenario, max_wait):
    async def main() -> None:
        limited = budget()
        playing = asyncio.ensure_future(play(scenario, limited))
        await asyncio.sleep(11.11)
        wait = limited.wait(3)
        if wait > max_wait:
            before = limited.snapshot(0)
            with pytest.raises(Failure) as refused:
                async with limited.admit(3, max_wait=max_wait):
                    pass
            assert refused.value.code is Code.RATE_LIMITED
            assert refused.value.retry_after == wait
            assert f"{wait:.1f} s" in refused.value.message
            assert limited.snapshot(0) == before
        await playing

    run(main())


@quick
@given(requests, st.sampled_from([0.0, 10.0]), st.sampled_from([1.0, 3.0, 12.0]))
def test_the_wait_that_is_told_is_never_longer_than_the_wait_that_comes(scenario, window, cost):
    async def main() -> None:
        limited = budget(window=window)
        playing = asyncio.ensure_future(play([replace(request, patience=inf) for request in scenario], limited))
        await asyncio.sleep(7.77)
        asked, wait = now(), limited.wait(cost)
        async with limited.admit(cost, max_wait=inf):
            assert now() - asked >= wait - 1e-4
        await playing

    run(main())


async def test_idle_time_is_credit_up_to_the_capacity():
    limited = budget(window=10, unit=1)
    await asyncio.sleep(100)
    trace = await play([Request(0, 1, 0, 0) for _ in range(12)], limited)
    assert [round(at - 100, 3) for at in trace.admitted.values()] == [0] * 10 + [10, 10]


async def test_a_request_larger_than_the_capacity_goes_alone_and_pays_in_full():
    trace = await play([Request(0, 1, 0, 0), Request(0, 25, 1, 0), Request(0, 1, 0, 0)], budget(window=10, unit=1))
    assert [round(at, 3) for at in trace.admitted.values()] == [0, 10, 10 + 1 + 25]


async def test_a_waiter_goes_at_the_moment_when_its_turn_comes():
    limited = budget(window=2, unit=1)
    trace = await play([Request(0, 2, 0.5, 0), Request(0.1, 1, 0, 0)], limited)
    assert trace.admitted[1] == pytest.approx(2.5, abs=1e-5)


async def test_the_cost_of_a_request_in_flight_is_held_until_a_window_after_its_reply():
    limited = budget(window=2, unit=1)
    async with limited.admit(2, max_wait=0):
        await asyncio.sleep(60)
        assert limited.remaining == 0
    await asyncio.sleep(1.999)
    assert limited.remaining == 0
    await asyncio.sleep(0.002)
    assert limited.remaining == 2


async def test_a_failed_request_counts_because_it_may_have_arrived():
    limited = budget(window=10, unit=5)
    with pytest.raises(ValueError, match="lost"):
        async with limited.admit(1, max_wait=0):
            raise ValueError("lost")
    assert limited.remaining == 1


async def test_a_waiter_behind_a_hanging_request_is_refused_when_its_time_is_over():
    limited = budget(window=1, unit=1)
    async with limited.admit(1, max_wait=0):
        with pytest.raises(Failure) as refused:
            async with limited.admit(1, max_wait=3):
                pass
        assert now() == pytest.approx(3, abs=1e-5)
        assert refused.value.retry_after == pytest.approx(1)
    await asyncio.sleep(1.001)
    assert limited.remaining == 1


async def test_who_waits_behind_one_that_gives_up_goes_as_soon_as_it_can():
    limited = budget(window=10, unit=1)
    await play([Request(0, 5, 0, 0)], limited)
    trace = await play([Request(0, 8, 0, 0, patience=2), Request(1, 1, 0, 0)], limited)
    assert trace.admitted == {1: 2}


async def test_hanging_requests_hold_up_the_rest_no_longer_than_a_transit_and_a_window():
    limited = budget(window=1, unit=1, transit=2)
    trace = await play([Request(0, 1, 1000, 0)] * 3, limited)
    assert [round(at, 3) for at in trace.admitted.values()] == [0, 3, 6]


async def test_a_limiter_bounds_the_transit():
    limited = Limiter(transit=2, clock=now).budget("bit2c", window=1, unit=3)
    trace = await play([Request(0, 1, 1000, 0)] * 2, limited)
    assert trace.admitted[1] == pytest.approx(5, abs=1e-5)


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_gives_its_place_back():
    limited = budget(window=1, unit=1)
    first = limited.admit(1, max_wait=0)
    await first.__aenter__()

    async def wait() -> None:
        async with limited.admit(1, max_wait=inf):
            raise AssertionError("a cancelled caller was let in")

    waiting = asyncio.ensure_future(wait())
    await settle()
    await first.__aexit__(None, None, None)
    asyncio.get_running_loop().call_later(1 + 1e-6, waiting.cancel)  # in the same pass as the limiter's own timer
    await asyncio.sleep(1.5)
    assert waiting.cancelled()
    assert limited.remaining == 1


async def test_without_a_window_requests_are_spaced_and_idle_time_is_no_credit():
    limited = budget(window=0, unit=0.1)
    await asyncio.sleep(50)
    trace = await play([Request(0, cost, 30, 0) for cost in (1, 5, 1, 1)], limited)
    assert [round(at - 50, 3) for at in trace.admitted.values()] == [0, 0.1, 0.6, 0.7]
    assert limited.capacity == 1


async def test_the_wait_of_spaced_requests_is_known_exactly():
    limited = budget(window=0, unit=0.1)
    playing = asyncio.ensure_future(play([Request(0, 5, 0, 0)] * 4, limited))
    await settle()
    assert limited.wait(1) == pytest.approx(2.0, abs=1e-4)
    await playing


async def test_the_wait_behind_a_queue_is_known_when_nothing_is_in_flight():
    limited = budget(window=10, unit=1)
    await play([Request(0, 1, 0, 0)] * 10, limited)
    playing = asyncio.ensure_future(play([Request(0, 1, 0, 0)] * 15, limited))
    await settle()
    assert limited.wait(5) == pytest.approx(20)
    assert limited.wait(6) == pytest.approx(30)
    playing.cancel()


@pytest.mark.parametrize("unit", [0.001, 0.05, 3.0])
async def test_units_from_a_millisecond_to_seconds_work(unit):
    limited = budget(window=1, unit=unit)
    costs = [limited.capacity / 4] * 8
    trace = await play([Request(0, cost, 0, 0) for cost in costs], limited)
    hold = max(1, unit / 4)
    assert [round(at, 3) for at in trace.admitted.values()] == [0] * 4 + [hold] * 4


async def test_a_block_stops_everybody_and_is_never_shortened():
    limited = budget()
    limited.block(5)
    limited.block(2)
    assert limited.remaining == 0
    assert limited.reset_at(1000) == 6000
    async with limited.admit(1, max_wait=6):
        assert now() == pytest.approx(5, abs=1e-5)


async def test_a_block_refuses_at_once_those_who_cannot_wait_it_out():
    limited = budget(window=1, unit=1)
    async with limited.admit(1, max_wait=0):
        waiting = asyncio.ensure_future(play([Request(0, 1, 0, 0)], limited))
        hasty = asyncio.ensure_future(limited.admit(1, max_wait=4).__aenter__())
        await settle()
        limited.block(10)
        await settle()
        assert now() == 0
        with pytest.raises(Failure, match="rate limit"):
            await hasty
    trace = await waiting
    assert trace.admitted[0] == pytest.approx(10, abs=1e-5)


async def test_the_exchanges_own_count_holds_back_what_others_have_spent():
    limited = budget(window=60, unit=0.05)
    assert limited.capacity == 1200
    limited.correct(Usage(remaining_fraction=0.01, reset_in=20))
    assert limited.remaining == pytest.approx(12)
    assert limited.reset_at(0) == 20_000
    trace = await play([Request(0, 1, 0, 0)] * 13, limited)
    assert [round(at, 3) for at in trace.admitted.values()] == [0] * 12 + [20]


async def test_our_own_cost_that_expires_does_not_lift_the_exchanges_count():
    limited = budget(window=10, unit=1)
    await play([Request(0, 8, 0, 0)], limited)
    await asyncio.sleep(5)
    limited.correct(Usage(remaining_fraction=0.1, reset_in=30))
    await asyncio.sleep(6)
    assert limited.remaining == 3
    limited.correct(Usage(remaining_fraction=0.0, reset_in=30))
    assert limited.remaining == 0
    await asyncio.sleep(30)
    assert limited.remaining == 10


async def test_the_exchanges_count_never_allows_more_than_our_window():
    limited = budget(window=10, unit=1)
    await play([Request(0, 10, 0, 0)], limited)
    limited.correct(Usage(remaining_fraction=1.0, reset_in=60))
    assert limited.remaining == 0


async def test_requests_in_flight_come_off_what_the_exchange_says_is_left():
    limited = budget(window=10, unit=1)
    async with limited.admit(4, max_wait=0):
        limited.correct(Usage(remaining_fraction=0.5, reset_in=10))
        assert limited.remaining == 1


async def test_a_budget_is_shared_by_all_who_name_its_scope_and_keeps_the_stricter_limit():
    limiter = Limiter(clock=now)
    first = limiter.budget(("kraken", "direct"), window=10, unit=1)
    assert limiter.budget(("kraken", "direct"), window=10, unit=2) is first
    assert limiter.budget(("kraken", "proxy"), window=10, unit=1) is not first
    assert first.capacity == 5
    limiter.budget(("kraken", "direct"), window=60, unit=0.1)
    assert first.capacity == 5


async def test_a_limit_that_tightens_while_requests_wait_still_lets_them_through():
    limited = budget(window=10, unit=1)
    playing = asyncio.ensure_future(play([Request(0, 8, 1, 0), Request(0, 8, 1, 0), Request(0, 1, 1, 0)], limited))
    await asyncio.sleep(0.5)
    limited.tighten(window=0, unit=2)
    trace = await playing
    assert set(trace.admitted) == {0, 1, 2}
    assert trace.admitted[2] - trace.admitted[1] == pytest.approx(16, abs=1e-5)


@pytest.mark.parametrize("window", [0.0, 10.0])
async def test_a_second_budget_that_refuses_gives_the_first_its_cost_back(window):
    broad, narrow = budget(window=window), budget(window=window)
    narrow.block(100)
    with pytest.raises(Failure):
        async with admit_all((broad, narrow), 1, 5):
            pass
    assert broad.remaining == broad.capacity


@pytest.mark.parametrize("window", [0.0, 10.0])
async def test_a_cancelled_wait_for_a_second_budget_gives_the_first_its_cost_back(window):
    broad, narrow = budget(window=window), budget(window=window)
    broad.block(100)  # the narrow one is entered first
    waiting = asyncio.ensure_future(admit_all((broad, narrow), 1, inf).__aenter__())
    await settle()
    assert narrow.remaining < narrow.capacity
    waiting.cancel()
    await settle()
    assert narrow.remaining == narrow.capacity


async def test_a_request_against_several_budgets_counts_once_in_each():
    broad, narrow = budget(), budget(window=5)
    async with admit_all([broad, narrow, broad], 2, 0):
        assert (broad.remaining, narrow.remaining) == (8, 3)
    await asyncio.sleep(5.1)
    assert (broad.remaining, narrow.remaining) == (8, 5)
    async with admit_all([], 2, 0):
        pass


@quick
@given(
    st.lists(st.tuples(tenths, st.sets(st.integers(0, 2), min_size=1), st.sampled_from([1.0, 2.0, 3.0])), max_size=20)
)
def test_requests_against_any_sets_of_budgets_never_lock_each_other(scenario):
    async def main() -> None:
        budgets = [budget(window=3), budget(window=3), budget(window=0)]

        async def send(at: float, which: set[int], cost: float) -> None:
            await asyncio.sleep(at)
            async with admit_all((budgets[number] for number in which), cost, inf):
                await asyncio.sleep(0.5)

        await asyncio.gather(*(send(*one) for one in scenario))
        await asyncio.sleep(20)
        assert [one.remaining for one in budgets] == [one.capacity for one in budgets]

    run(main())


@pytest.mark.parametrize(("window", "unit"), [(-1, 1), (1, 0), (1, -0.1)])
def test_a_limit_that_makes_no_sense_is_refused(window, unit):
    with pytest.raises(ValueError, match="window is"):
        Budget(window=window, unit=unit)


# -- what is urgent ----------------------------------------------------------------------------------------------------


async def queued(limited: Budget, names: str) -> list[str]:
    """Let requests queue behind a full budget, those with capital names urgent; return them in the order of leaving."""
    left: list[str] = []

    async def send(name: str) -> None:
        async with limited.admit(1, max_wait=inf, urgent=name.isupper()):
            left.append(name)

    async with limited.admit(limited.capacity, max_wait=0):
        pass
    waiting: list[asyncio.Task[None]] = []
    for name in names:
        waiting.append(asyncio.ensure_future(send(name)))
        await settle()
    await asyncio.gather(*waiting)
    return left


@pytest.mark.parametrize("window", [0.0, 2.0])
async def test_what_is_urgent_leaves_first_and_otherwise_all_leave_as_they_came(window):
    assert await queued(budget(window=window), "abXcYZd") == list("XYZabcd")


async def test_what_is_urgent_waits_for_no_more_than_other_urgent_requests():
    limited = budget(window=10)
    async with limited.admit(10, max_wait=0):
        pass
    waiting = [asyncio.ensure_future(limited.admit(10, max_wait=inf).__aenter__()) for _ in range(3)]
    await settle()
    assert limited.wait(1) > 39
    assert limited.wait(1, urgent=True) == pytest.approx(10, abs=1e-3)
    with pytest.raises(Failure):
        async with limited.admit(1, max_wait=15):
            pass
    async with limited.admit(1, max_wait=15, urgent=True):
        assert now() == pytest.approx(10, abs=1e-3)
    for one in waiting:
        one.cancel()
    await settle()


async def test_what_is_urgent_passes_a_large_request_that_has_no_room_yet():
    limited = budget(window=10)
    async with limited.admit(6, max_wait=0):
        pass
    large = asyncio.ensure_future(limited.admit(8, max_wait=inf).__aenter__())
    await settle()
    async with limited.admit(3, max_wait=0.1, urgent=True):
        assert now() == 0
    await large
    assert now() > 0


async def test_what_is_urgent_is_held_by_a_block_like_all_others():
    limited = budget(window=10)
    limited.block(30)
    with pytest.raises(Failure) as caught:
        async with limited.admit(1, max_wait=5, urgent=True):
            pass
    assert caught.value.retry_after == pytest.approx(30, abs=1e-3)


async def test_an_urgent_request_that_gives_up_leaves_the_queue_as_it_was():
    limited = budget(window=10)
    async with limited.admit(10, max_wait=0):
        pass
    first = asyncio.ensure_future(limited.admit(10, max_wait=inf).__aenter__())
    await settle()
    urgent = asyncio.ensure_future(limited.admit(10, max_wait=inf, urgent=True).__aenter__())
    await settle()
    urgent.cancel()
    await settle()
    await first
    assert now() == pytest.approx(10, abs=1e-3)


async def test_urgent_requests_pass_in_every_one_of_several_budgets():
    broad, narrow = budget(window=4), budget(window=2)
    left: list[str] = []

    async def send(name: str) -> None:
        async with admit_all((broad, narrow), 1, inf, urgent=name.isupper()):
            left.append(name)

    async with admit_all((broad, narrow), 2, 0):
        pass
    tasks: list[asyncio.Task[None]] = []
    for name in "abcX":
        tasks.append(asyncio.ensure_future(send(name)))
        await settle()
    await asyncio.gather(*tasks)
    assert left[0] == "X"
    assert sorted(left[1:]) == list("abc")


@quick
@given(
    st.lists(st.tuples(tenths, st.booleans(), st.sampled_from([0.2, 1.0, 2.5])), max_size=25),
    st.sampled_from([0.0, 5.0]),
)
def test_urgency_never_lets_a_window_overflow_and_starves_nobody(scenario, window):
    async def main() -> None:
        limited = budget(window=window)
        arrivals: list[tuple[float, float]] = []

        async def send(at: float, urgent: bool, cost: float) -> None:
            await asyncio.sleep(at)
            async with limited.admit(cost, max_wait=inf, urgent=urgent):
                arrivals.append((now(), cost))

        await asyncio.gather(*(send(*one) for one in scenario))
        assert len(arrivals) == len(scenario)
        for costs in busiest_window(arrivals, window):
            assert not window or sum(costs) <= limited.capacity + 1e-6

    run(main())
