"""An account's streams: orders, own trades, balance and positions, also over a break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from ccxt_mcp.errors import Code
from ccxt_mcp.simulator import API_KEY, API_SECRET, Fault
from ccxt_mcp.streams import Channel
from ccxt_mcp.streams.channels import CHANNELS, Row
from ccxt_mcp.streams.ledgers import ledger_of
from desk.house import SPOT, SWAP
from streams.rig import PRIVATE, Reader, Rig, consistent, of_order, until

ACCOUNT = (Channel.ORDERS, Channel.OWN_TRADES, Channel.BALANCE, Channel.POSITIONS)
TOPICS = {"order", "execution", "wallet", "position"}


async def live(rig: Rig, *channels: Channel) -> list[Reader]:
    """Readers of an account's channels whose subscriptions are up."""
    readers = [await rig.watch(channel, None) for channel in channels or ACCOUNT]
    await until(lambda: all(reader.stream.state == "live" for reader in readers))
    await until(lambda: len(rig.topics(PRIVATE)) == len(readers))
    return readers


async def far(rig: Rig, share: float = 0.9) -> float:
    """A price so far from the market."""
    return round((await rig.ask("fetchTicker")).data["last"] * share, 1)


async def break_off(rig: Rig, *readers: Reader) -> None:
    """End the account's connection, and keep another one from being made."""
    rig.simulator.faults.set(Fault("close", path=f"{PRIVATE}/", times=1), Fault("503", path=PRIVATE))
    await rig.order(price=await far(rig))
    for reader in readers:
        await reader.until(lambda one: one.stream.state == "broken")


async def test_an_order_arrives_with_its_fill_and_all_that_it_changes(rig: Rig) -> None:
    orders, trades, balance, positions = await live(rig)
    assert set(rig.topics(PRIVATE)) == TOPICS
    before = balance.last
    name = await rig.order(amount=0.01)
    await orders.until(of_order(name, "closed"))
    await trades.until(lambda one: [row for row in one.rows if row["order"] == name])
    await balance.until(lambda one: one.last["total"]["BTC"] > before["total"]["BTC"])
    assert balance.last["total"]["USDT"] < before["total"]["USDT"]
    assert balance.last["total"]["ETH"] == before["total"]["ETH"]
    assert sum(row["amount"] for row in trades.rows) == pytest.approx(0.01)
    assert positions.last == []
    assert {event.origin for event in (*orders.data, *trades.data)} == {"stream"}


async def test_an_order_is_told_open_changed_and_cancelled_and_holds_what_it_needs(rig: Rig) -> None:
    orders, balance = await live(rig, Channel.ORDERS, Channel.BALANCE)
    price = await far(rig)
    name = await rig.order(amount=0.01, price=price)
    await orders.until(of_order(name, "open"))
    await balance.until(lambda one: one.last["used"]["USDT"] > 0)
    await rig.send("cancelOrder", id=name)
    await orders.until(of_order(name, "open", "canceled"))
    await balance.until(lambda one: one.last["used"]["USDT"] == 0)


async def test_the_state_comes_first_also_for_who_comes_later(rig: Rig) -> None:
    name = await rig.order(price=await far(rig))
    orders, trades, balance, positions = await live(rig)
    assert [row["id"] for row in orders.rows] == [name]
    assert balance.last["total"]["BTC"] == 2
    assert positions.last == []
    assert trades.events == []
    for channel, known in ((Channel.ORDERS, orders), (Channel.BALANCE, balance), (Channel.POSITIONS, positions)):
        late = await rig.watching(channel, None)
        assert late.last == known.last
        assert late.stream is known.stream


async def test_positions_open_and_close(rig: Rig) -> None:
    (positions,) = await live(rig, Channel.POSITIONS)
    await rig.order(amount=0.01, symbol=SWAP)
    await positions.until(lambda one: [(row["side"], row["contracts"]) for row in one.last] == [("long", 0.01)])
    await rig.order("sell", amount=0.004, symbol=SWAP)
    await positions.until(lambda one: [(row["side"], row["contracts"]) for row in one.last] == [("long", 0.006)])
    await rig.order("sell", amount=0.006, symbol=SWAP, reduceOnly=True)
    await positions.until(lambda one: one.last == [])
    await rig.order("sell", amount=0.002, symbol=SWAP)
    await positions.until(lambda one: [(row["side"], row["contracts"]) for row in one.last] == [("short", 0.002)])


async def test_what_happened_during_a_break_is_told_by_requests(rig: Rig) -> None:
    resting = await rig.order(price=await far(rig))
    readers = orders, trades, balance, positions = await live(rig)
    await break_off(rig, *readers)
    await rig.send("cancelOrder", id=resting)
    filled = await rig.order(amount=0.01)
    await rig.order(amount=0.01, symbol=SWAP)
    rig.simulator.faults.clear()
    await orders.until(of_order(filled, "closed"))
    await orders.until(of_order(resting, "open", "canceled"))
    await trades.until(lambda one: [row for row in one.rows if row["order"] == filled])
    await balance.until(lambda one: one.last["total"]["BTC"] > 2)
    await positions.until(lambda one: [row["symbol"] for row in one.last] == [SWAP])
    for reader in readers:
        assert reader.kinds[-2:] == ["gap", "data"]
        after = reader.events[reader.events.index(reader.gaps[-1]) + 1]
        assert (after.origin, after.complete) == ("rest", True)
        consistent(reader)
    name = await rig.order(amount=0.01)
    await orders.until(of_order(name, "closed"))
    ids = [row["id"] for row in trades.rows]
    assert len(set(ids)) == len(ids)


async def test_a_break_in_which_nothing_happened_ends_with_the_state_told_again(rig: Rig) -> None:
    readers = _, _, balance, positions = await live(rig)
    await break_off(rig, *readers)
    late = await rig.watch(Channel.BALANCE, None)
    rig.simulator.faults.clear()
    await until(lambda: all(reader.stream.state == "live" for reader in readers))
    for reader in (balance, positions):
        await reader.until(lambda one: one.kinds[-2:] == ["gap", "data"])
        consistent(reader)
    await late.until(lambda one: one.last == balance.last)


async def test_requests_alone_make_no_stream_live(rig: Rig) -> None:
    """They are made once the connection is there, or what happens between is lost."""
    orders, balance = await live(rig, Channel.ORDERS, Channel.BALANCE)
    rig.simulator.faults.set(
        Fault("close", path=f"{PRIVATE}/", times=1), Fault("latency", path=PRIVATE, times=1, seconds=1.5)
    )
    await rig.order(price=await far(rig))
    for reader in (orders, balance):
        await reader.until(lambda one: one.stream.state == "broken")
    name = await rig.order(amount=0.01)
    await until(lambda: rig.connections(PRIVATE) or {orders.stream.state, balance.stream.state} != {"broken"})
    assert rig.connections(PRIVATE) == 1
    await orders.until(of_order(name, "closed"))


async def test_requests_that_fail_after_a_break_are_made_again(rig: Rig) -> None:
    orders, balance = await live(rig, Channel.ORDERS, Channel.BALANCE)
    await break_off(rig, orders, balance)
    filled = await rig.order(amount=0.01)
    rig.simulator.faults.set(Fault("500", path="/v5/order", times=4), Fault("500", path="/v5/account", times=4))
    await orders.until(of_order(filled, "closed"))
    await balance.until(lambda one: one.last["total"]["BTC"] > 2)
    assert orders.breaks == 1


async def test_an_order_between_the_first_request_and_the_subscription_is_told(rig: Rig) -> None:
    rig.simulator.faults.set(Fault("latency", path=PRIVATE, times=1, seconds=0.5))
    orders = await rig.watch(Channel.ORDERS, None)
    await until(lambda: rig.simulator.requests.by_path[PRIVATE])
    name = await rig.order(amount=0.01)
    await orders.until(of_order(name, "closed"))
    assert orders.kinds == ["data"]


async def test_news_that_the_exchange_left_out_are_found_and_the_stream_is_begun_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccxt_mcp.streams.pump._LATE", 0.1)
    for channel in (Channel.ORDERS, Channel.OWN_TRADES):
        monkeypatch.setitem(cast(dict[Channel, Row], CHANNELS), channel, replace(CHANNELS[channel], audit=0.2))
    orders, trades = await live(rig, Channel.ORDERS, Channel.OWN_TRADES)
    seen = await rig.order(amount=0.01)
    for reader in (orders, trades):
        await reader.until(lambda one: one.rows)
    looked = rig.simulator.requests.by_path
    for path in ("/v5/order/history", "/v5/execution/list"):
        await until(lambda path=path, before=looked[path]: looked[path] > before + 6)
    assert orders.kinds == trades.kinds == ["data"]
    rig.simulator.faults.set(*(Fault("skip", path=f"{PRIVATE}/{topic}", times=1) for topic in ("order", "execution")))
    name = await rig.order(amount=0.01)
    await orders.until(of_order(name, "closed"))
    await trades.until(lambda one: [row for row in one.rows if row["order"] == name])
    assert seen != name
    for reader in (orders, trades):
        assert reader.data[-1].origin == "rest"
        assert [gap.failure and gap.failure.code for gap in reader.gaps] == [Code.BAD_REPLY]
        consistent(reader)


async def test_one_market_only(rig: Rig) -> None:
    orders, trades = await rig.watch(Channel.ORDERS, SWAP), await rig.watch(Channel.OWN_TRADES, SWAP)
    await until(lambda: len(rig.topics(PRIVATE)) == 2)
    await rig.order(amount=0.01)
    name = await rig.order(amount=0.01, symbol=SWAP)
    await orders.until(of_order(name, "closed"))
    await trades.until(lambda one: one.rows)
    assert {row["symbol"] for row in (*orders.rows, *trades.rows)} == {SWAP}


async def test_no_secret_is_told_not_even_where_the_exchange_repeats_it(rig: Rig) -> None:
    readers = await live(rig)
    bybit: Any = (await rig.house.gateway.pool.live(readers[0].stream.key.venue)).exchange
    await rig.order(amount=0.01)
    await readers[0].until(lambda one: one.rows)
    await break_off(rig, *readers)
    rig.simulator.faults.set(Fault("clock_skew", skew_ms=60_000))  # with which a signature is too old
    for reader in readers:
        await reader.until(lambda one: one.kinds[-1] == "error")
    assert {reader.events[-1].failure and reader.events[-1].failure.code for reader in readers} == {
        Code.CREDENTIALS_REJECTED
    }
    told = repr([(reader.events, [vars(event.failure) for event in reader.events if event.failure])
                 for reader in readers])  # fmt: skip
    for secret in (API_KEY, API_SECRET):
        assert secret not in told + repr(vars(bybit)) + repr(vars(readers[0].stream))
    assert not bybit.apiKey
    assert not bybit.secret
    assert rig.hub.streams() == []


@pytest.mark.parametrize("part", ["free", "used", "total"])
def test_a_part_of_a_balance_leaves_the_rest_as_it_was(part: str) -> None:
    ledger = ledger_of(Channel.BALANCE)
    whole = {"timestamp": 1, **{one: {"BTC": 1.0, "ETH": 2.0} for one in ("free", "used", "total")}}
    ledger.take(whole)
    news = {"timestamp": 2, "free": {}, "used": {}, "total": {}, part: {"ETH": 5.0}}
    assert ledger.take(news) == {**whole, "timestamp": 2, part: {"BTC": 1.0, "ETH": 5.0}}
    assert whole[part] == {"BTC": 1.0, "ETH": 2.0}


def test_an_order_that_tells_less_than_is_known_is_no_news() -> None:
    ledger = ledger_of(Channel.ORDERS)
    row = {"id": "1", "status": "open", "amount": 2.0, "filled": 1.0, "price": 5.0, "lastUpdateTimestamp": 10}
    assert ledger.take([row]) == [row]
    assert ledger.take([row]) is None
    assert ledger.take([{**row, "filled": 0.5}]) is None
    assert ledger.take([{**row, "price": None}]) is None
    assert ledger.take([{**row, "price": 6.0, "lastUpdateTimestamp": 9}]) is None
    assert ledger.take([{**row, "price": 6.0}]) is not None
    assert ledger.take([{**row, "status": "closed", "filled": 2.0}]) is not None
    assert ledger.take([{**row, "status": "closed", "filled": 2.0}]) is None
    assert ledger.take([row]) is None
    assert ledger.so_far() is None


def test_a_position_that_closes_without_a_side_closes_both() -> None:
    ledger = ledger_of(Channel.POSITIONS)
    long, short = ({"symbol": SWAP, "side": side, "contracts": 1.0} for side in ("long", "short"))
    other = {"symbol": SPOT, "side": "long", "contracts": 3.0}
    assert ledger.take([long, short, other]) == [long, short, other]
    assert ledger.take([long, short, other, {"symbol": SWAP, "side": None, "contracts": 0}]) == [other]
