from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccxt_mcp.analytics.conditions import Condition
from ccxt_mcp.analytics.watcher import Fired, Watcher

SYMBOL = "BTC/USDT"
NOW = 1_795_486_104_000
LEVEL = 5

Event = tuple[str, Any, int]
"""A channel, its data, and when it arrived."""


def watcher(kind: str, *, repeat: bool = False, **arguments: Any) -> Watcher:
    return Watcher(Condition.read(kind, **arguments), symbol=SYMBOL, repeat=repeat)


def trades(*prices: Any) -> list[dict[str, Any]]:
    return [{"price": price, "amount": 1.0, "side": "buy"} for price in prices]


def ticker(last: Any, timestamp: int | None = None) -> dict[str, Any]:
    return {"symbol": SYMBOL, "last": last, "bid": None, "ask": None, "timestamp": timestamp}


def book(bid: Any, ask: Any) -> dict[str, Any]:
    return {"symbol": SYMBOL, "bids": [[bid, 1.0]], "asks": [[ask, 1.0]]}


def position(liquidation: Any, *, mark: Any = None, contracts: Any = 1.0, side: str = "long", **more: Any) -> Any:
    facts = {"symbol": SYMBOL, "side": side, "contracts": contracts, "liquidationPrice": liquidation, "markPrice": mark}
    return facts | more


def fired(seer: Watcher, events: Sequence[Event]) -> list[int]:
    """Return the indices of the events that fire; "gap" is one that is none."""
    indices: list[int] = []
    for index, (channel, data, at_ms) in enumerate(events):
        if channel == "gap":
            seer.gap()
        elif seer.see(channel, data, at_ms):
            indices.append(index)
    return indices


# Generated feeds: times do not go back, unless said otherwise.

_PRICE = st.integers(1, 9).map(float)
_BATCH = st.one_of(
    st.tuples(st.just("trades"), st.lists(_PRICE, max_size=5)),
    st.tuples(st.just("ticker"), _PRICE.map(lambda price: [price])),
    st.just(("gap", [])),
)
_FEED = st.lists(st.tuples(_BATCH, st.integers(0, 4)), max_size=25)


def feed(batches: Sequence[tuple[tuple[str, list[float]], int]]) -> list[Event]:
    events: list[Event] = []
    at_ms = NOW
    for (channel, prices), later in batches:
        at_ms += later * 1000
        events.append((channel, ticker(prices[0]) if channel == "ticker" else trades(*prices), at_ms))
    return events


def flat(events: Sequence[Event]) -> list[tuple[int, float, int]]:
    """Return index of the event, price and time of each price, in order of arrival."""
    rows: list[tuple[int, float, int]] = []
    for index, (channel, data, at_ms) in enumerate(events):
        if channel != "gap":
            prices = [data["last"]] if channel == "ticker" else [trade["price"] for trade in data]
            rows += [(index, price, at_ms) for price in prices]
    return rows


def told(indices: Iterator[int], *, repeat: bool) -> list[int]:
    """Return the events that must fire, given those of each price that does."""
    once = list(dict.fromkeys(indices))
    return once if repeat else once[:1]


def met_anew(events: Sequence[Event], met: Callable[[float], bool]) -> Iterator[int]:
    path = flat(events)
    for position_, (index, price, _) in enumerate(path):
        if met(price) and (position_ == 0 or not met(path[position_ - 1][1])):
            yield index


def crossed(events: Sequence[Event]) -> Iterator[int]:
    path = flat(events)
    for position_, (index, price, _) in enumerate(path):
        before = [earlier > LEVEL for _, earlier, _ in path[:position_] if earlier != LEVEL]
        if price != LEVEL and before and before[-1] != (price > LEVEL):
            yield index


def moved(events: Sequence[Event], percent: int, window_ms: int) -> Iterator[int]:
    path = flat(events)
    start = 0
    for now, (index, price, at_ms) in enumerate(path):
        near = [Fraction(p) for _, p, t in path[start : now + 1] if t >= at_ms - window_ms]
        if any(abs(Fraction(price) - p) * 100 >= percent * p for p in near):
            start = now
            yield index


ORACLES: dict[str, Callable[[Sequence[Event]], Iterator[int]]] = {
    "price_above": lambda events: met_anew(events, lambda price: price >= LEVEL),
    "price_below": lambda events: met_anew(events, lambda price: price <= LEVEL),
    "price_crosses": crossed,
}


@pytest.mark.parametrize("kind", ORACLES)
@given(batches=_FEED, repeat=st.booleans())
@example(batches=[(("trades", [4.0, 6.0, 4.0]), 0), (("trades", [4.0]), 1)], repeat=True)
@example(
    batches=[(("ticker", [4.0]), 0), (("gap", []), 1), (("trades", [5.0]), 1), (("ticker", [6.0]), 1)], repeat=False
)
def test_every_price_is_looked_at_and_fires_once(kind: str, batches: Any, repeat: bool) -> None:
    events = feed(batches)
    assert fired(watcher(kind, value=LEVEL, repeat=repeat), events) == told(ORACLES[kind](events), repeat=repeat)


@pytest.mark.parametrize("kind", ORACLES)
@given(batches=_FEED, cuts=st.sets(st.integers(0, 25), max_size=4))
def test_a_watcher_that_is_stored_and_gone_on_with_fires_as_one_that_never_stopped(
    kind: str, batches: Any, cuts: set[int]
) -> None:
    events = feed(batches)
    seer = watcher(kind, value=LEVEL, repeat=True)
    indices: list[int] = []
    for index, event in enumerate(events):
        if index in cuts:
            stored = json.loads(json.dumps(seer.condition.to_dict()))
            seer = Watcher(Condition.from_dict(stored), symbol=SYMBOL, repeat=True)
        indices += [index for _ in fired(seer, [event])]
    assert indices == told(ORACLES[kind](events), repeat=True)


@given(_FEED)
def test_a_crossing_is_in_a_gap_if_one_lies_between_it_and_the_last_price_beside_the_level(batches: Any) -> None:
    events = feed(batches)
    seer = watcher("price_crosses", value=LEVEL, repeat=True)
    crossings = set(crossed(events))
    beside = [(index, price) for index, price, _ in flat(events) if price != LEVEL]
    for index, (channel, data, at_ms) in enumerate(events):
        if channel == "gap":
            seer.gap()
            continue
        found = seer.see(channel, data, at_ms)
        if found is None:
            assert index not in crossings
            continue
        before = next(
            start
            for (start, earlier), (end, later) in pairwise(beside)
            if end == index and (earlier > LEVEL) != (later > LEVEL)
        )
        missed = any(kind == "gap" for kind, _, _ in events[before:index])
        assert found.facts.get("duringGap", False) is missed


@given(batches=_FEED, repeat=st.booleans(), percent=st.sampled_from([1, 20, 50, 100, 300]), window=st.integers(1, 12))
@example(batches=[(("trades", [4.0, 8.0, 4.0]), 0), (("trades", [6.0]), 1)], repeat=True, percent=50, window=1)
@example(batches=[(("ticker", [4.0]), 0), (("ticker", [6.0]), 3)], repeat=False, percent=50, window=3)
def test_a_change_is_that_from_any_price_of_the_window(batches: Any, repeat: bool, percent: int, window: int) -> None:
    events = feed(batches)
    seer = watcher("change_over", value=percent, window=window, repeat=repeat)
    assert fired(seer, events) == told(moved(events, percent, window * 1000), repeat=repeat)


@given(st.lists(st.tuples(st.sampled_from(["trades", "ticker"]), _PRICE, st.integers(0, 9) | st.none()), max_size=25))
def test_only_tickers_from_before_the_latest_price_are_passed_over(rows: list[tuple[str, float, int | None]]) -> None:
    events: list[Event] = []
    counted: list[Event] = []
    latest: int | None = None
    for channel, price, second in rows:
        stamp = None if second is None else NOW + second * 1000
        row = {"price": price, "last": price, "timestamp": stamp}
        events.append((channel, row if channel == "ticker" else [row], NOW))
        late = channel == "ticker" and stamp is not None and latest is not None and stamp < latest
        counted.append(("gap", None, NOW) if late else events[-1])
        latest = latest if late else stamp
    assert fired(watcher("price_crosses", value=LEVEL, repeat=True), events) == told(crossed(counted), repeat=True)


def test_a_price_fires_from_the_level_on_and_tells_itself() -> None:
    above, below = watcher("price_above", value=5), watcher("price_below", value=5)
    assert above.see("ticker", ticker(4.99), NOW) is None
    assert below.see("ticker", ticker(5.01), NOW) is None
    assert above.see("ticker", ticker(5.0, NOW - 7), NOW) == Fired(NOW, {"price": 5.0, "timestamp": NOW - 7})
    assert below.see("trades", trades(5.0), NOW + 1) == Fired(NOW + 1, {"price": 5.0})


def test_a_spike_within_one_event_fires_at_its_price() -> None:
    seer = watcher("price_above", value=5)
    found = seer.see("trades", trades(4.0, 6.0, 7.0, 4.0), NOW)
    assert found == Fired(NOW, {"price": 6.0})
    assert seer.see("trades", trades(4.0, 6.0), NOW) is None


def test_a_crossing_tells_the_new_side_and_whether_it_may_have_happened_in_a_gap() -> None:
    seer = watcher("price_crosses", value=5, repeat=True)
    assert seer.see("trades", trades(4.0), NOW) is None
    assert seer.condition.side == "below"
    seer.gap()
    assert seer.see("trades", trades(5.0), NOW) is None
    assert seer.see("trades", trades(6.0), NOW) == Fired(NOW, {"price": 6.0, "side": "above", "duringGap": True})
    assert seer.see("trades", trades(4.0), NOW) == Fired(NOW, {"price": 4.0, "side": "below"})
    seer.gap()
    seer.see("trades", trades(4.0), NOW)
    assert seer.see("trades", trades(6.0), NOW) == Fired(NOW, {"price": 6.0, "side": "above"})
    assert seer.condition.side == "above"


def test_a_stored_side_lets_the_first_price_cross() -> None:
    seer = Watcher(Condition("price_crosses", 5.0, side="below"), symbol=SYMBOL)
    assert seer.see("ticker", ticker(6.0), NOW) == Fired(NOW, {"price": 6.0, "side": "above"})


@pytest.mark.parametrize("price", [None, math.nan, math.inf, -math.inf, True, 0, 0.0, -1.0, "much"])
@pytest.mark.parametrize("kind", ["price_above", "price_below", "price_crosses", "change_over"])
def test_what_is_no_price_changes_nothing(kind: str, price: Any) -> None:
    arguments: dict[str, Any] = {"value": 1, "window": 60} if kind == "change_over" else {"value": 5}
    seer = watcher(kind, **arguments)
    assert seer.see("trades", trades(price), NOW) is None
    assert seer.see("ticker", ticker(price), NOW) is None
    assert seer.distance is None
    assert seer.condition.side is None


def test_a_time_far_in_the_future_is_none() -> None:
    seer = watcher("price_above", value=5)
    seer.see("ticker", ticker(4.0, NOW * 1000), NOW)
    assert seer.see("ticker", ticker(6.0, NOW), NOW) == Fired(NOW, {"price": 6.0, "timestamp": NOW})


def test_a_change_tells_from_where_to_where_and_how_long_it_took() -> None:
    seer = watcher("change_over", value=10, window=60, repeat=True)
    rows = [{"price": price, "timestamp": NOW + later} for price, later in ((100.0, 0), (95.0, 500), (104.5, 2000))]
    assert seer.see("trades", rows, NOW + 9000) == Fired(
        NOW + 9000, {"from": 95.0, "to": 104.5, "changePct": 10.0, "seconds": 1.5}
    )
    assert seer.see("ticker", ticker(100.0, NOW + 3000), NOW + 9000) is None
    assert seer.distance == {"from": 104.5, "to": 100.0, "changePct": -4.3062, "seconds": 1.0}
    found = seer.see("ticker", ticker(94.05, NOW + 4000), NOW + 9000)
    assert found == Fired(NOW + 9000, {"from": 104.5, "to": 94.05, "changePct": -10.0, "seconds": 2.0})


def test_a_change_counts_in_decimals() -> None:
    seer = watcher("change_over", value=1, window=60)
    assert seer.see("trades", trades(1.1, 1.111), NOW) is not None


def test_a_trade_that_comes_late_counts_as_the_latest_in_the_window() -> None:
    seer = watcher("change_over", value=10, window=1)
    seer.see("trades", [{"price": 100.0, "timestamp": NOW}, {"price": 105.0, "timestamp": NOW - 5000}], NOW)
    found = seer.see("trades", [{"price": 94.5, "timestamp": NOW + 1000}], NOW)
    assert found == Fired(NOW, {"from": 105.0, "to": 94.5, "changePct": -10.0, "seconds": 1.0})


def test_a_spread_fires_in_basis_points_of_the_mid_and_again_after_it_was_wider() -> None:
    seer = watcher("spread_below", value=20, repeat=True)
    assert seer.see("book", book(99.8, 100.2), NOW) is None
    assert seer.distance == {"spreadBps": 40.0, "bid": 99.8, "ask": 100.2}
    assert seer.see("book", book(99.9, 100.1), NOW) == Fired(NOW, {"spreadBps": 20.0, "bid": 99.9, "ask": 100.1})
    assert seer.see("book", book(100.0, 100.0), NOW) is None
    assert seer.see("book", book(99.8, 100.2), NOW) is None
    assert seer.see("book", book(100.0, 100.0), NOW) == Fired(NOW, {"spreadBps": 0.0, "bid": 100.0, "ask": 100.0})


@pytest.mark.parametrize(
    "sides", [book(100.2, 100.0), book(None, 1.0), book(math.nan, 1.0), {"bids": [], "asks": [[1.0, 1.0]]}, {}]
)
def test_a_crossed_or_empty_book_has_no_spread(sides: dict[str, Any]) -> None:
    seer = watcher("spread_below", value=20)
    assert seer.see("book", sides, NOW) is None
    assert seer.distance is None


@given(st.lists(st.tuples(st.integers(990, 1000), st.integers(1000, 1010)), max_size=20), st.integers(0, 20))
def test_a_spread_fires_whenever_it_becomes_small_however_often_it_is_stored(
    rows: list[tuple[int, int]], cut: int
) -> None:
    seer = watcher("spread_below", value=50, repeat=True)
    indices: list[int] = []
    for index, (bid, ask) in enumerate(rows):
        if index == cut:
            seer = Watcher(Condition.from_dict(seer.condition.to_dict()), symbol=SYMBOL, repeat=True)
        indices += [index for _ in fired(seer, [("book", book(bid, ask), NOW)])]
    small = [Fraction(2 * (ask - bid) * 10_000, ask + bid) <= 50 for bid, ask in rows]
    assert indices == [index for index, now in enumerate(small) if now and (index == 0 or not small[index - 1])]


@pytest.mark.parametrize("name", ["id", "clientOrderId"])
def test_an_order_fires_once_when_it_is_closed_and_filled(name: str) -> None:
    seer = watcher("order_filled", order_id="mine", repeat=True)
    order = {"symbol": SYMBOL, name: "mine", "status": "open", "filled": 0.4, "remaining": 0.6, "average": None}
    assert seer.see("orders", [order | {name: "other", "status": "closed"}, order], NOW) is None
    assert seer.distance == {name: "mine", "status": "open", "filled": 0.4, "remaining": 0.6}
    done = order | {"status": "closed", "filled": 1.0, "remaining": 0.0, "average": 99.5}
    assert seer.see("orders", [order, done], NOW) == Fired(
        NOW, {name: "mine", "status": "closed", "filled": 1.0, "remaining": 0.0, "average": 99.5}
    )
    assert seer.see("orders", [done], NOW) is None
    assert seer.ended is None


@pytest.mark.parametrize(
    ("status", "filled"), [("canceled", 0.4), ("rejected", None), ("expired", 0.0), ("closed", 0.0), ("closed", None)]
)
def test_an_order_that_ends_otherwise_does_not_fire_but_says_so(status: str, filled: float | None) -> None:
    seer = watcher("order_filled", order_id="mine")
    assert seer.see("orders", [{"id": "mine", "status": status, "filled": filled}], NOW) is None
    assert seer.ended == status
    assert seer.see("orders", [{"id": "mine", "status": "open", "filled": 0.0}], NOW) is None
    assert seer.ended == status
    assert seer.see("orders", [{"id": "mine", "status": "closed", "filled": 1.0}], NOW) is not None
    assert seer.ended is None


def test_an_order_of_another_symbol_with_the_same_id_is_another() -> None:
    seer = watcher("order_filled", order_id="7")
    assert seer.see("orders", [{"id": "7", "symbol": "ETH/USDT", "status": "closed", "filled": 1.0}], NOW) is None
    assert seer.distance is None


def test_liquidation_is_measured_from_the_mark_and_then_from_later_tickers() -> None:
    seer = watcher("liquidation_within", value=10)
    assert seer.see("ticker", ticker(100.0), NOW) is None
    assert seer.see("positions", [position(80.0, mark=101.0)], NOW) is None
    assert seer.distance == {"distancePct": 20.7921, "markPrice": 101.0, "liquidationPrice": 80.0, "side": "long"}
    assert seer.see("ticker", ticker(90.0), NOW) is None
    assert seer.see("ticker", ticker(85.0) | {"markPrice": 95.0}, NOW) is None
    assert seer.see("trades", trades(80.0), NOW) is None
    assert seer.see("ticker", ticker(88.8), NOW) == Fired(
        NOW, {"distancePct": 9.9099, "markPrice": 88.8, "liquidationPrice": 80.0, "side": "long"}
    )


def test_without_a_mark_the_ticker_before_counts() -> None:
    seer = watcher("liquidation_within", value=10)
    seer.see("ticker", ticker(100.0), NOW)
    assert seer.see("positions", [position(110.0, side="short")], NOW) == Fired(
        NOW, {"distancePct": 10.0, "markPrice": 100.0, "liquidationPrice": 110.0, "side": "short"}
    )


@pytest.mark.parametrize(
    "held",
    [
        position(99.0, mark=100.0, contracts=0.0),
        position(99.0, mark=100.0, contracts=None),
        position(None, mark=100.0),
        position(0.0, mark=100.0),
        position(99.0, mark=100.0, symbol="ETH/USDT"),
        position(99.0),
    ],
)
def test_without_position_liquidation_price_or_mark_there_is_no_liquidation(held: dict[str, Any]) -> None:
    seer = watcher("liquidation_within", value=10)
    assert seer.see("positions", [held], NOW) is None
    assert seer.distance is None


def test_of_hedged_positions_the_nearest_liquidation_counts_and_the_other_side_stays() -> None:
    seer = watcher("liquidation_within", value=10, repeat=True)
    long, short = position(80.0, mark=100.0, hedged=True), position(120.0, mark=100.0, side="short", hedged=True)
    assert seer.see("positions", [long, short], NOW) is None
    assert seer.see("positions", [long | {"liquidationPrice": 50.0}], NOW) is None
    found = seer.see("ticker", ticker(110.0), NOW)
    assert found is not None
    assert found.facts["side"] == "short"


def test_a_hedged_side_that_is_closed_counts_no_more() -> None:
    seer = watcher("liquidation_within", value=10)
    long, short = position(80.0, mark=100.0, hedged=True), position(120.0, mark=100.0, side="short", hedged=True)
    assert seer.see("positions", [long, short], NOW) is None
    assert seer.see("positions", [short | {"contracts": 0.0}], NOW) is None
    assert seer.see("ticker", ticker(115.0), NOW) is None
    assert seer.see("ticker", ticker(85.0), NOW) is not None


def test_a_position_that_turned_leaves_nothing_of_the_other_side() -> None:
    seer = watcher("liquidation_within", value=10)
    seer.see("positions", [position(80.0, mark=100.0)], NOW)
    assert seer.see("positions", [position(120.0, mark=85.0, side="short")], NOW) is None


def test_a_stored_liquidation_fires_again_only_after_it_was_far_or_the_position_closed() -> None:
    held = position(95.0, mark=100.0)
    seer = watcher("liquidation_within", value=10, repeat=True)
    assert seer.see("positions", [held], NOW) is not None
    seer = Watcher(Condition.from_dict(seer.condition.to_dict()), symbol=SYMBOL, repeat=True)
    seer.see("ticker", ticker(100.0), NOW)
    assert seer.see("positions", [held], NOW) is None
    seer.see("positions", [held | {"contracts": 0.0}], NOW)
    assert seer.distance is None
    assert seer.see("positions", [held], NOW) is not None


def test_what_is_unseen_has_no_distance_and_what_is_unfired_tells_how_far_it_is() -> None:
    seer = watcher("price_above", value=110)
    assert seer.distance is None
    seer.see("ticker", ticker(100.0, NOW), NOW)
    assert seer.distance == {"price": 100.0, "timestamp": NOW, "distancePct": 10.0}


@pytest.mark.parametrize("channel", ["candles", "balance", "book", "orders", "positions", "nothing"])
def test_other_streams_say_nothing_to_it(channel: str) -> None:
    assert watcher("price_above", value=5).see(channel, ticker(6.0), NOW) is None
