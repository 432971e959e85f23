"""The simulated world holds together: trades, candles, books and figures are views of one price process."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from statistics import quantiles
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.simulator.candles import MARGIN, Candle, cut, merge
from ccxt_mcp.simulator.history import HOUR, QUARTER, SESSION, least_lots
from ccxt_mcp.simulator.klines import INTERVALS
from ccxt_mcp.simulator.markets import ASSETS, LAUNCH, MARKETS, scaled
from ccxt_mcp.simulator.noise import draws
from ccxt_mcp.simulator.tape import traded
from ccxt_mcp.simulator.world import Venue, World

if TYPE_CHECKING:
    from ccxt_mcp.simulator.markets import Market

WORLD = World(7)
TRADING = [market for market in MARKETS if market.trading]
NAMES = [f"{market.category} {market.symbol}" for market in TRADING]
DAY_MS = 86_400_000

markets = st.sampled_from(TRADING)
moments = st.integers(LAUNCH + 40 * DAY_MS, LAUNCH + 4_000 * DAY_MS)


def venue_of(market: Market, world: World = WORLD) -> Venue:
    venue = world.venue(market.category, market.symbol)
    assert venue is not None
    return venue


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    low = draw(st.integers(1, 10**7))
    high = low + draw(st.integers(0, 10**5))
    edge = st.integers(low, high)
    volume = draw(st.integers(10_000, 10**10))
    share = draw(st.floats(MARGIN, 1 - MARGIN))
    return Candle(draw(edge), high, low, draw(edge), volume, low * volume + int((high - low) * volume * share))


@given(whole=candles(), parts=st.sampled_from([4, 8, 15]), seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_a_cut_candle_merges_back_exactly_and_each_part_is_a_candle(whole: Candle, parts: int, seed: int) -> None:
    pieces = cut(whole, parts, 50, draws(seed, 0))
    assert merge(pieces) == whole
    for piece in pieces:
        assert piece.low <= min(piece.open, piece.close)
        assert piece.high >= max(piece.open, piece.close)
        assert piece.low * piece.volume <= piece.turnover <= piece.high * piece.volume
        assert piece.volume >= 50
    assert all(left.close == right.open for left, right in pairwise(pieces))


@given(market=markets, moment=moments)
@settings(max_examples=120, deadline=None)
def test_a_minute_is_exactly_its_trades(market: Market, moment: int) -> None:
    tape, minute = venue_of(market).tape, moment // 60_000
    trades = list(tape.minute_trades(minute))
    assert traded(trades) == tape.history.minute(minute)
    assert all(trade.size > 0 for trade in trades)
    assert trades[0].time == minute * 60_000
    assert trades[-1].time < (minute + 1) * 60_000
    for before, after in pairwise(trades):
        assert before.time < after.time
        assert before.id < after.id


@pytest.mark.parametrize("market", TRADING, ids=NAMES)
def test_longer_candles_are_exactly_their_minutes(market: Market) -> None:
    history = venue_of(market).tape.history
    session = 1_763_000_000_000 // (SESSION * 60_000)
    minutes = [history.minute(session * SESSION + i) for i in range(SESSION)]
    assert history.session(session) == merge(minutes)
    assert history.hour(session * 8 + 3) == merge(minutes[3 * HOUR : 4 * HOUR])
    assert history.quarter(session * 32 + 5) == merge(minutes[5 * QUARTER : 6 * QUARTER])
    assert all(candle.volume >= least_lots(market) for candle in minutes)


@given(market=markets, moment=moments)
@settings(max_examples=10, deadline=None)
def test_a_day_is_exactly_its_minutes(market: Market, moment: int) -> None:
    history, first = venue_of(market).tape.history, moment // DAY_MS * 1440
    assert history.span(first, first + 1440) == merge(history.minute(first + i) for i in range(1440))


@given(market=markets, moment=moments)
@settings(max_examples=40, deadline=None)
def test_the_figures_of_24_hours_are_the_last_1440_minute_candles(market: Market, moment: int) -> None:
    tape, current = venue_of(market).tape, moment // 60_000
    minutes = [tape.candle(minute, minute + 1, moment) for minute in range(current - 1439, current + 1)]
    assert tape.day(moment) == merge(minutes)


@given(market=markets, moment=moments, passed=st.integers(0, 3 * DAY_MS))
@settings(max_examples=60, deadline=None)
def test_the_past_is_the_same_from_any_later_moment_and_after_a_restart(
    market: Market, moment: int, passed: int
) -> None:
    tape, again = venue_of(market).tape, venue_of(market, World(7)).tape
    minute = moment // 60_000
    assert tape.recent(moment, 80) == again.since(0, moment, 80)[::-1]
    assert tape.candle(minute - 100, minute, moment) == again.candle(minute - 100, minute, moment + passed)
    seen = tape.recent(moment, 50)
    later = again.since(seen[-1].time - 1, min(moment + passed, moment + 120_000), 1000)
    assert later[: len(seen)] == seen[::-1]


@given(market=markets, moment=moments)
@settings(max_examples=60, deadline=None)
def test_a_forming_candle_holds_only_what_has_traded(market: Market, moment: int) -> None:
    tape, minute = venue_of(market).tape, moment // 60_000
    forming = tape.candle(minute, minute + 1, moment)
    seen = [trade for trade in tape.minute_trades(minute) if trade.time <= moment]
    assert forming == traded(seen)
    assert tape.last(moment) == seen[-1]
    hour = minute // 60 * 60
    earlier = [tape.history.minute(i) for i in range(hour, minute)]
    assert tape.candle(hour, hour + 60, moment) == merge([*earlier, forming])


@given(market=markets, moment=moments, levels=st.sampled_from([1, 50, 200, 500]))
@settings(max_examples=60, deadline=None)
def test_the_book_is_sorted_uncrossed_and_around_the_last_price(market: Market, moment: int, levels: int) -> None:
    venue = venue_of(market)
    book, last = venue.depth.book(moment, levels), venue.tape.last(moment).price
    bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert len(asks) == levels
    assert asks[0] - bids[0] == 1
    assert bids[0] <= last <= asks[0]
    assert all(level.size > 0 for level in (*book.bids, *book.asks))


SAMPLE = range(1_600_000_000_123, 1_900_000_000_000, 1_234_567_891)
"""About 240 moments over ten years."""


def test_a_contract_stays_close_to_its_spot_market_and_its_mark() -> None:
    gaps: list[float] = []
    for market in TRADING:
        contract = venue_of(market).contract
        if contract is None:
            continue
        for moment in SAMPLE:
            last = venue_of(market).tape.last(moment).price
            gaps.append(abs(last / contract.index(moment) - 1))
            assert abs(contract.mark(moment) / contract.index(moment) - 1) < 0.003
            assert abs(contract.funding_rate(moment // 28_800_000)) < 0.005
    assert quantiles(gaps, n=100)[49] < 0.0005
    assert quantiles(gaps, n=100)[94] < 0.003


def test_a_cross_stays_close_to_the_quotient_of_its_legs() -> None:
    def price(symbol: str, moment: int) -> float:
        venue = WORLD.venue("spot", symbol)
        assert venue is not None
        return venue.tape.last(moment).price * venue.market.tick

    for base in ("ETH", "SOL"):
        gaps = [
            abs(price(f"{base}BTC", moment) * price("BTCUSDT", moment) / price(f"{base}USDT", moment) - 1)
            for moment in SAMPLE
        ]
        assert quantiles(gaps, n=100)[49] < 0.002
        assert quantiles(gaps, n=100)[94] < 0.01


def test_different_seeds_make_different_worlds() -> None:
    prices = {venue_of(TRADING[0], World(seed)).tape.last(1_763_000_000_000).price for seed in range(5)}
    assert len(prices) == 5


@given(moment=moments)
@settings(max_examples=20, deadline=None)
def test_prices_never_run_away(moment: int) -> None:
    for market in TRADING:
        usual = ASSETS[market.base].usd / ASSETS[market.quote].usd
        assert 0.15 < venue_of(market).tape.last(moment).price * market.tick / usual < 6


@given(code=st.sampled_from(sorted(INTERVALS)), moment=moments)
def test_every_moment_is_in_exactly_one_candle_of_each_interval(code: str, moment: int) -> None:
    interval, minute = INTERVALS[code], moment // 60_000
    number = interval.number(minute)
    assert interval.minute(number) <= minute < interval.minute(number + 1)
    assert interval.number(interval.minute(number)) == number


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    minute = 1_763_000_000 // 60
    week = datetime.fromtimestamp(INTERVALS["W"].minute(INTERVALS["W"].number(minute)) * 60, UTC)
    month = datetime.fromtimestamp(INTERVALS["M"].minute(INTERVALS["M"].number(minute)) * 60, UTC)
    assert (week.weekday(), week.hour) == (0, 0)
    assert (month.day, month.hour, month.month) == (1, 0, 11)


def test_numbers_are_written_with_their_decimals() -> None:
    assert [scaled(1234, 2), scaled(5, 3), scaled(7, 0)] == ["12.34", "0.005", "7"]
