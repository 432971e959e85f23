from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.envelope import Table
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.cache import Cache, Served, size_of
from virtual_time import now, run, settle

quick = settings(max_examples=100, deadline=None)
KEY = ("kraken", "fetchTicker", "BTC/USD")


def cache(max_bytes: int = 1_000_000) -> Cache:
    return Cache(max_bytes=max_bytes, clock=now)


class Venue:
    """An upstream that counts its requests and answers after a while, or fails."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.requests = 0
        self.answered = 0
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.requests += 1
        number = self.requests
        await asyncio.sleep(self.takes)
        if self.failure is not None:
            raise self.failure
        self.answered += 1
        return number


async def ask(kept: Cache, venue: Venue, *, ttl: float = 1.0, stale_for: float = 0.0, key: Any = KEY) -> Served[int]:
    return await kept.get_or_fetch(key, venue, ttl=lambda _: ttl, stale_for=stale_for)


async def test_fifty_calls_at_once_make_one_request():
    kept, venue = cache(), Venue(takes=0.2)
    served = await asyncio.gather(*(ask(kept, venue) for _ in range(50)))
    assert venue.requests == 1
    assert served == [Served(1, cached=False, age=0.0, stale=False)] * 50
    stats = kept.stats()
    assert (stats.misses, stats.coalesced, stats.hits) == (1, 49, 0)


async def test_a_hit_tells_its_age_and_never_extends_its_life():
    kept, venue = cache(), Venue(takes=0.5)
    await ask(kept, venue)
    for _ in range(9):
        await asyncio.sleep(0.1)
        assert (await ask(kept, venue)).cached
    served = await ask(kept, venue)
    assert (served.value, served.cached, served.stale) == (1, True, False)
    assert served.age == pytest.approx(0.9)
    await asyncio.sleep(0.1)
    assert await ask(kept, venue) == Served(2, cached=False, age=0.0, stale=False)


async def test_at_the_end_of_its_life_a_value_is_fresh_no_more():
    kept, venue = cache(), Venue()
    await ask(kept, venue, ttl=1)
    await asyncio.sleep(1)
    assert (await ask(kept, venue, ttl=1)).value == 2


async def test_the_time_to_live_follows_from_the_result():
    kept, venue = cache(), Venue()
    served = [await kept.get_or_fetch(KEY, venue, ttl=lambda value: 10 if value == 2 else 0) for _ in range(3)]
    assert [one.value for one in served] == [1, 2, 2]
    await asyncio.sleep(9.9)
    assert (await ask(kept, venue)).value == 2


async def test_a_value_without_an_end_is_kept_for_good():
    kept, venue = cache(), Venue()
    await ask(kept, venue, ttl=inf)
    await asyncio.sleep(1e6)
    assert (await ask(kept, venue)).age == pytest.approx(1e6)


async def test_what_is_never_kept_is_still_requested_once_for_all():
    kept, venue = cache(), Venue(takes=1)
    await asyncio.gather(*(ask(kept, venue, ttl=0) for _ in range(5)))
    assert (venue.requests, kept.stats().entries) == (1, 0)
    await ask(kept, venue, ttl=0)
    assert venue.requests == 2


async def test_an_answer_that_is_not_to_be_kept_replaces_one_that_was():
    kept, venue = cache(), Venue()
    await ask(kept, venue, ttl=1, stale_for=100)
    await asyncio.sleep(2)
    await ask(kept, venue, ttl=0, stale_for=100)
    assert kept.peek(KEY) is None


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_cancelled_caller_leaves_the_others_their_answer(leaver):
    kept, venue = cache(), Venue(takes=1)
    callers = [asyncio.ensure_future(ask(kept, venue)) for _ in range(3)]
    await asyncio.sleep(0.5)
    callers[leaver].cancel()
    served = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in served].count(True) == 1
    assert venue.requests == venue.answered == 1


async def test_a_request_that_nobody_waits_for_any_more_is_cancelled_and_the_next_caller_makes_a_new_one():
    kept, venue = cache(), Venue(takes=1)
    callers = [asyncio.ensure_future(ask(kept, venue)) for _ in range(3)]
    await asyncio.sleep(0.5)
    for caller in callers:
        caller.cancel()
    await asyncio.sleep(0)  # the flight has been told, but has not ended
    second = asyncio.ensure_future(ask(kept, venue))
    await asyncio.sleep(0.5)
    third = asyncio.ensure_future(ask(kept, venue))
    assert [served.value for served in await asyncio.gather(second, third)] == [2, 2]
    assert (venue.requests, venue.answered, kept.stats().misses) == (2, 1, 2)


async def test_a_failure_reaches_all_and_is_not_kept():
    kept, venue = cache(), Venue(takes=1)
    venue.failure = Failure(Code.TIMEOUT, "too slow")
    failed = await asyncio.gather(*(ask(kept, venue) for _ in range(3)), return_exceptions=True)
    assert [one.code for one in failed if isinstance(one, Failure)] == [Code.TIMEOUT] * 3
    venue.failure = None
    assert (await ask(kept, venue)).value == 2


async def test_a_kept_value_serves_while_the_exchange_fails_and_tells_that_it_is_stale():
    kept, venue = cache(), Venue()
    await ask(kept, venue, ttl=1, stale_for=60)
    venue.failure = Failure(Code.CIRCUIT_OPEN, "resting", retry_after=10)
    await asyncio.sleep(30)
    served = await asyncio.gather(*(ask(kept, venue, stale_for=60) for _ in range(3)))
    assert served == [Served(1, cached=True, age=30.0, stale=True)] * 3
    await asyncio.sleep(31)
    with pytest.raises(Failure, match="resting"):
        await ask(kept, venue, stale_for=60)
    assert kept.stats().stale_served == 3


async def test_a_recovered_exchange_replaces_the_stale_value():
    kept, venue = cache(), Venue()
    await ask(kept, venue, stale_for=60)
    await asyncio.sleep(5)
    assert await ask(kept, venue, stale_for=60) == Served(2, cached=False, age=0.0, stale=False)


@pytest.mark.parametrize("code", [code for code in Code if not code.retryable])
async def test_a_failure_that_a_retry_cannot_mend_is_never_masked(code):
    kept, venue = cache(), Venue()
    await ask(kept, venue, stale_for=60)
    await asyncio.sleep(2)
    venue.failure = Failure(code, "it is so")
    with pytest.raises(Failure, match="it is so"):
        await ask(kept, venue, stale_for=60)


async def test_a_defect_is_never_masked_and_reaches_all():
    kept, venue = cache(), Venue(takes=1)
    await ask(kept, venue, stale_for=60)
    await asyncio.sleep(2)
    venue.failure = ZeroDivisionError("a defect")
    seen = await asyncio.gather(*(ask(kept, venue) for _ in range(2)), return_exceptions=True)
    assert [type(one) for one in seen] == [ZeroDivisionError] * 2


async def test_a_defect_in_the_rule_for_the_life_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        await cache().get_or_fetch(KEY, Venue(), ttl=lambda value: value / 0)


async def test_peeking_changes_nothing():
    kept, venue = cache(), Venue()
    assert kept.peek(KEY) is None
    await ask(kept, venue, ttl=1, stale_for=1)
    before = kept.stats()
    await asyncio.sleep(0.5)
    assert kept.peek(KEY) == Served(1, cached=True, age=0.5, stale=False)
    await asyncio.sleep(1)
    assert kept.peek(KEY) == Served(1, cached=True, age=1.5, stale=True)
    await asyncio.sleep(1)
    assert kept.peek(KEY) is None
    assert kept.stats() == before


async def test_the_least_recently_used_value_goes_first():
    kept, venue = cache(max_bytes=10_000), Venue()
    await ask(kept, venue, key=("a", 0), ttl=inf)
    await ask(kept, venue, key=("a", 1), ttl=inf)
    for number in range(2, 100):
        await ask(kept, venue, key=("a", number), ttl=inf)
        await ask(kept, venue, key=("a", 0), ttl=inf)
    assert kept.peek(("a", 0)) is not None
    assert kept.peek(("a", 1)) is None
    stats = kept.stats()
    assert stats.evictions == 100 - stats.entries
    assert stats.bytes <= 10_000


async def test_what_is_made_of_a_value_takes_room_too_and_leaves_with_it():
    kept, venue = cache(max_bytes=20_000), Venue()
    served = await ask(kept, venue)
    before = kept.stats().bytes
    assert served.kept is not None
    served.kept.made(str).made(lambda text: text * 5_000)
    assert before + 5_000 <= kept.stats().bytes <= before + 6_000
    served.kept.made(lambda number: str(number) * 20_000)
    stats = kept.stats()
    assert (stats.entries, stats.bytes, stats.evictions) == (0, 0, 1)
    served.kept.made(lambda number: str(number) * 10)
    assert kept.stats() == stats


async def test_what_is_fresh_is_told_without_asking_and_counts_as_a_hit():
    kept, venue = cache(), Venue()
    assert kept.fresh(KEY) is None
    await ask(kept, venue, stale_for=60)
    await asyncio.sleep(0.5)
    served = kept.fresh(KEY)
    assert served is not None
    assert (served.value, served.cached, served.stale, served.age) == (1, True, False, pytest.approx(0.5))
    await asyncio.sleep(0.5)
    assert kept.fresh(KEY) is None
    assert (kept.stats().hits, kept.stats().misses, venue.requests) == (1, 1, 1)


async def test_values_past_all_use_make_room_without_counting_as_evicted():
    kept, venue = cache(), Venue()
    for number in range(10):
        await ask(kept, venue, key=("a", number), ttl=1, stale_for=1)
    await asyncio.sleep(2)
    await ask(kept, venue, key=("a", 10))
    assert (kept.stats().entries, kept.stats().evictions) == (1, 0)


async def test_one_value_never_fills_more_than_a_quarter():
    kept = cache(max_bytes=100_000)

    async def fetch() -> str:
        return "x" * 30_000

    served = await kept.get_or_fetch(KEY, fetch, ttl=lambda _: 10)
    assert len(served.value) == 30_000
    assert kept.stats().entries == 0


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6000), st.floats(0, 3)), max_size=60))
def test_memory_stays_bounded_and_the_books_balance(operations):
    async def main() -> None:
        kept = cache(max_bytes=20_000)
        for key, length, pause in operations:

            async def fetch(length: int = length) -> str:
                return "x" * length

            await kept.get_or_fetch(("a", key), fetch, ttl=lambda _: 1, stale_for=1)
            stats = kept.stats()
            assert stats.bytes <= 20_000
            assert (stats.bytes == 0) == (stats.entries == 0)
            assert stats.entries >= sum(kept.peek(("a", number)) is not None for number in range(10))
            await asyncio.sleep(pause)

    run(main())


async def test_each_exchange_has_its_own_counters():
    kept, venue = cache(), Venue()
    for exchange in ("kraken", "kraken", "kraken", "bybit"):
        await ask(kept, venue, key=(exchange, "fetchTicker"))
    assert kept.stats("kraken").hit_rate == pytest.approx(2 / 3)
    assert kept.stats("bybit").hit_rate == 0
    assert kept.stats("okx").hit_rate is None
    assert kept.stats("kraken").bytes + kept.stats("bybit").bytes == kept.stats().bytes


async def test_closing_ends_every_request():
    kept, venue = cache(), Venue(takes=1000)
    callers = [asyncio.ensure_future(ask(kept, venue, key=("a", number))) for number in range(3)]
    await settle()
    await kept.close()
    failed = await asyncio.gather(*callers, return_exceptions=True)
    assert [one.code for one in failed if isinstance(one, Failure)] == [Code.NETWORK] * 3
    assert now() == 0
    await kept.close()


@dataclass
class Step:
    at: float
    key: int
    patience: float


@quick
@given(
    st.lists(
        st.builds(
            Step,
            at=st.integers(0, 100).map(lambda n: n / 10),
            key=st.integers(0, 2),
            patience=st.sampled_from([inf, 0.05, 0.5]),
        ),
        max_size=40,
    )
)
def test_whoever_stays_is_answered_with_a_value_no_older_than_its_life(steps):
    async def main() -> None:
        kept, venues = cache(), [Venue(takes=0.7) for _ in range(3)]

        async def call(step: Step) -> None:
            await asyncio.sleep(step.at)
            asking = asyncio.ensure_future(ask(kept, venues[step.key], key=("a", step.key)))
            await asyncio.wait([asking], timeout=None if step.patience == inf else step.patience)
            if not asking.done():
                asking.cancel()
            elif not asking.cancelled():
                assert asking.result().age < 1.0
                assert not asking.result().stale

        await asyncio.gather(*(call(step) for step in steps))
        await kept.close()
        stats = kept.stats()
        assert stats.misses == sum(venue.requests for venue in venues)
        assert stats.hits + stats.misses + stats.coalesced == len(steps)

    run(main())


def test_the_estimate_of_a_value_is_close_to_what_it_takes():
    candles = [[float(n), n + 0.1, n + 0.2, n + 0.3, n + 0.4, n + 0.5] for n in range(1000)]
    exact = size_of(candles[0]) * len(candles)
    assert size_of(candles) == pytest.approx(exact, rel=0.05)
    assert size_of({"a": "x" * 1000}) > 1000
    assert size_of(Table(("a",), [["x" * 1000]])) > 1000
    assert size_of({}) == size_of(dict[str, str]()) > 0


def test_the_estimate_of_a_deep_value_ends():
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert size_of(deep) > 0
