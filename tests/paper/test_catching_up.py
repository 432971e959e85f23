"""What the market did while nobody looked happens to the account all the same."""

from __future__ import annotations

from typing import Any

import pytest

from ccxt_mcp.errors import Code, Failure
from paper.scripted_feed import CCXT_MARKETS, MINUTE, START, World, market

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


@pytest.fixture
def world() -> World:
    return World()


async def fills(world: World, symbol: str = SPOT) -> list[tuple[float, float, int]]:
    trades = await world.broker.call("fetchMyTrades", symbol)
    return [(trade["price"], trade["amount"], trade["timestamp"]) for trade in trades]


async def long_position(world: World, **terms: Any) -> None:
    """Buy a hundred contracts of 0.01 BTC at 100, at a leverage of 10."""
    world.quote(PERP, 100, 100)
    await world.broker.call("setLeverage", 10, PERP)
    await world.create(PERP, "market", "buy", 100, **terms)


async def test_recent_trades_fill_a_resting_order_by_their_amounts(world: World):
    order = await world.create(SPOT, "limit", "buy", 3, 99)
    world.feed.trade(START - 1, 90, 50)
    world.feed.trade(START + 2000, 98.9, 1)
    world.feed.trade(START + 1000, 99, 50)
    world.feed.trade(START + 3000, 98.5, 1.5)
    world.now += 5000
    assert await fills(world) == [(99, 1, START + 2000), (99, 1.5, START + 3000)]
    shown = await world.broker.call("fetchOrder", order["id"], SPOT)
    assert (shown["filled"], shown["remaining"], shown["lastTradeTimestamp"]) == (2.5, 0.5, START + 3000)
    assert (await world.broker.call("fetchBalance"))["used"]["USDT"] == 49.5


async def test_a_trade_is_lived_through_once(world: World):
    await world.create(SPOT, "limit", "buy", 3, 99)
    world.feed.trade(START, 100, 1)
    world.feed.trade(START + 1000, 98, 1)
    for _ in range(3):
        world.now += 2000
        assert len(await fills(world)) == 1
    world.feed.trade(START + 3000, 98, 1)
    world.broker = world.new_broker()
    assert len(await fills(world)) == 2


async def test_what_crossed_while_the_process_was_down_is_found_in_the_candles(world: World):
    order = await world.create(SPOT, "limit", "buy", 3, 95)
    above = await world.create(SPOT, "limit", "sell", 1, 110)
    world.feed.candle(START - MINUTE, 100, 200, 1, 100)
    world.feed.candle(START + MINUTE, 100, 101, 95, 99)
    world.feed.candle(START + 2 * MINUTE, 99, 103, 94.9, 100)
    world.now += 60 * MINUTE
    world.broker = world.new_broker()
    assert await fills(world) == [(95, 3, START + 2 * MINUTE)]
    assert await world.status(order) == "closed"
    assert await world.status(above) == "open"


async def test_the_minute_in_which_an_order_was_placed_is_not_held_against_it(world: World):
    world.now = START + 30_000
    order = await world.create(SPOT, "limit", "buy", 3, 95)
    world.feed.candle(START, 100, 101, 90, 99)
    world.now = START + 10 * MINUTE
    assert await world.status(order) == "open"


async def test_of_a_minute_that_was_seen_in_part_only_what_came_later_counts(world: World):
    order = await world.create(SPOT, "limit", "buy", 3, 95)
    world.now = START + 10 * MINUTE + 20_000
    world.feed.candle(START + 10 * MINUTE, 100, 101, 96, 97)
    await world.broker.advance()
    late = await world.create(SPOT, "limit", "buy", 1, 96.5)
    world.feed.told_candles = [[START + 10 * MINUTE, 100, 101, 96, 99, 1], [START + 11 * MINUTE, 99, 99, 99, 99, 1]]
    world.now = START + 20 * MINUTE
    assert {await world.status(one) for one in (order, late)} == {"open"}
    world.now += 30_000
    world.feed.told_candles.append([START + 20 * MINUTE, 99, 99, 98, 98, 1])
    await world.broker.advance()
    world.feed.told_candles[-1] = [START + 20 * MINUTE, 99, 99, 94, 97, 1]
    world.now += 20 * MINUTE
    assert [price for price, *_ in await fills(world)] == [96.5, 95]


async def test_a_long_absence_is_caught_up_page_by_page_and_what_is_not_reached_comes_next(world: World):
    order = await world.create(SPOT, "limit", "buy", 3, 95)
    for number in range(1, 60):
        world.feed.candle(START + number * MINUTE, 100, 100, 99 if number != 50 else 94, 100)
    world.feed.page = 4
    world.now = START + 59 * MINUTE + 1000
    assert await world.status(order) == "open"
    assert world.feed.asked.count("candles") == 10
    assert await fills(world) == [(95, 3, START + 50 * MINUTE)]


async def test_a_stop_is_filled_where_it_stood_or_at_the_opening_beyond_it(world: World):
    await world.create(SPOT, "market", "sell", 0.5, triggerPrice=95)
    await world.create(SPOT, "market", "sell", 0.25, triggerPrice=90)
    world.feed.candle(START + MINUTE, 100, 100, 94, 96)
    world.feed.candle(START + 2 * MINUTE, 88, 92, 87, 91)
    world.now += 60 * MINUTE
    assert await fills(world) == [(95, 0.5, START + MINUTE), (88, 0.25, START + 2 * MINUTE)]


@pytest.mark.parametrize(("side", "protection", "price"), [("buy", (110, 95), 95), ("sell", (95, 110), 110)])
async def test_a_minute_that_reaches_both_ends_of_a_position_stops_it(
    world: World, side: str, protection: Any, price: float
):
    profit, loss = ({"triggerPrice": one} for one in protection)
    world.quote(PERP, 100, 100)
    await world.create(PERP, "market", side, 100, takeProfit=profit, stopLoss=loss)
    world.feed.candle(START + MINUTE, 100, 111, 94, 100)
    world.now += 60 * MINUTE
    assert [one for one, *_ in await fills(world, PERP)] == [100, price]
    assert await world.broker.call("fetchPositions") == []


async def test_a_minute_that_brings_a_buy_in_does_not_pay_it_out_as_well(world: World):
    await world.create(SPOT, "limit", "buy", 1, 95, takeProfit={"triggerPrice": 105}, stopLoss={"triggerPrice": 90})
    world.feed.candle(START + MINUTE, 100, 106, 94, 100)
    world.now += 60 * MINUTE
    assert [price for price, *_ in await fills(world)] == [95]


async def test_a_stop_above_the_price_of_liquidation_saves_the_position(world: World):
    await long_position(world, stopLoss={"triggerPrice": 92})
    world.feed.candle(START + MINUTE, 100, 100, 80, 85)
    world.now += 60 * MINUTE
    assert [price for price, *_ in await fills(world, PERP)] == [100, 92]


async def test_a_position_is_liquidated_by_a_candle_it_did_not_survive(world: World):
    await long_position(world)
    world.feed.candle(START + MINUTE, 100, 100, 90, 100)
    world.now += 60 * MINUTE
    (bought, taken) = await world.broker.call("fetchMyTrades", PERP)
    assert (taken["price"], taken["info"]) == (90, {"realised": -10, "liquidation": True})
    assert bought["info"]["liquidation"] is False
    assert (await world.broker.call("fetchBalance"))["total"]["USDT"] == 10_000 - 10 - 0.05


async def test_a_position_is_liquidated_by_the_mark_price_not_by_a_trade(world: World):
    await long_position(world)
    world.feed.told_funding["markPrice"] = 100
    world.feed.trade(START, 100, 1)
    world.feed.trade(START + 500, 80, 1)
    world.now += 1000
    (position,) = await world.broker.call("fetchPositions")
    assert (position["markPrice"], position["unrealizedPnl"]) == (100, 0)
    world.feed.told_funding["markPrice"] = 90.5
    world.now += 1000
    assert await world.broker.call("fetchPositions") == []


async def test_without_a_mark_price_the_middle_of_the_book_stands_for_it(world: World):
    await long_position(world)
    world.feed.missing = {"funding"}
    world.quote(PERP, 104, 106)
    world.now += 1000
    (position,) = await world.broker.call("fetchPositions")
    assert (position["markPrice"], position["unrealizedPnl"]) == (105, 5)


async def test_funding_that_was_due_meanwhile_is_paid_once_and_in_its_time(world: World):
    await long_position(world)
    hour = 60 * MINUTE
    world.feed.told_funding |= {"fundingTimestamp": START + hour, "fundingRate": 0.01}
    world.now += 1000
    await world.broker.advance()
    assert world.feed.asked.count("funding_history") == 1
    await world.broker.advance()
    assert world.feed.asked.count("funding_history") == 1
    world.feed.paid = [
        {"timestamp": START - hour, "fundingRate": 0.5},
        {"timestamp": START + hour, "fundingRate": 0.01},
        {"timestamp": START + 2 * hour, "fundingRate": -0.02},
        {"timestamp": START + 9 * hour, "fundingRate": 0.5},
    ]
    world.feed.told_funding["fundingTimestamp"] = START + 3 * hour
    world.feed.candle(START + hour, 100, 100, 100, 100)
    world.feed.candle(START + 2 * hour - MINUTE, 110, 110, 110, 110)
    world.now = START + 2 * hour + 1000
    world.broker = world.new_broker()
    for _ in range(3):
        await world.broker.advance()
        world.now += 1000
    (position,) = await world.broker.call("fetchPositions")
    assert position["info"]["funding"] == pytest.approx(-1 + 2.2)


async def test_funding_that_is_told_late_is_waited_for(world: World):
    await long_position(world)
    world.feed.told_funding |= {"fundingTimestamp": START + 5000, "fundingRate": 0.01}
    await world.broker.advance()
    world.feed.told_funding["fundingTimestamp"] = START + 60 * MINUTE
    for second in (6000, 7000):
        world.now = START + second
        await world.broker.advance()
    world.feed.paid = [{"timestamp": START + 5000, "fundingRate": 0.01}]
    (position,) = await world.broker.call("fetchPositions")
    assert position["info"]["funding"] == -1


async def test_where_no_history_is_told_the_announced_funding_is_paid(world: World):
    world.feed.missing = {"funding_history"}
    await long_position(world)
    world.feed.told_funding |= {"fundingTimestamp": START + 5000, "fundingRate": 0.01}
    await world.broker.advance()
    world.feed.told_funding |= {"fundingTimestamp": START + 60 * MINUTE, "fundingRate": 0.5}
    for second in (6000, 7000):
        world.now = START + second
        await world.broker.advance()
    (position,) = await world.broker.call("fetchPositions")
    assert position["info"]["funding"] == -1


async def test_a_gap_that_the_trades_do_not_span_is_filled_with_candles(world: World):
    await world.create(SPOT, "limit", "buy", 1, 95)
    await world.create(SPOT, "limit", "buy", 1, 90)
    world.feed.candle(START + MINUTE - 30_000, 100, 100, 80, 100)  # overlaps the trades, which tell it better
    world.feed.candle(START, 100, 100, 94, 100)
    world.feed.trade(START + MINUTE, 96, 1)
    world.feed.trade(START + MINUTE + 5000, 89, 0.5)
    world.now += MINUTE + 10_000
    assert await fills(world) == [(95, 1, START), (90, 0.5, START + MINUTE + 5000)]


async def test_without_trades_and_candles_the_book_alone_is_followed(world: World):
    world.feed.missing = {"trades", "candles"}
    order = await world.create(SPOT, "limit", "buy", 1, 95)
    world.quote(SPOT, 90, 95)
    world.now += 1000
    assert await world.status(order) == "closed"


async def test_an_outage_loses_nothing(world: World):
    order = await world.create(SPOT, "limit", "buy", 1, 95)
    world.feed.down = Failure(Code.NETWORK, "bybit could not be reached.")
    world.now += 30 * MINUTE
    await world.broker.advance()
    world.feed.down = None
    world.feed.candle(START + 5 * MINUTE, 100, 100, 94, 100)
    world.now += 30 * MINUTE
    assert await fills(world) == [(95, 1, START + 5 * MINUTE)]
    assert await world.status(order) == "closed"


async def test_two_processes_on_one_account_live_through_everything_once(world: World):
    await world.create(SPOT, "limit", "buy", 4, 99)
    other = world.new_broker()
    world.feed.trade(START, 100, 1)
    for second in range(1, 4):
        world.feed.trade(START + second * 1000, 98, 1)
        world.now += 1000
        await world.broker.advance()
        await other.advance()
    assert len(await fills(world)) == 3


async def test_a_market_that_is_no_longer_listed_does_not_lock_the_account(world: World):
    order = await world.create("ETH/USDT", "limit", "buy", 1, 90)
    left = {symbol: one for symbol, one in CCXT_MARKETS.items() if symbol != "ETH/USDT"}
    world.broker = world.new_broker(markets=lambda: left)
    world.now += MINUTE
    assert (await world.broker.call("fetchBalance"))["used"]["USDT"] == 90
    assert (await world.broker.call("cancelOrder", order["id"], "ETH/USDT"))["status"] == "canceled"


@pytest.mark.parametrize(
    ("mode", "precision", "good", "bad"),
    [(4, 0.05, 90.05, 90.01), (2, 1, 90.1, 90.01), (3, 5, 90.12345, None)],
)
async def test_prices_keep_to_the_precision_that_the_exchange_counts_in(
    world: World, mode: int, precision: Any, good: float, bad: float | None
):
    markets = {SPOT: market(SPOT, precision={"price": precision, "amount": None})}
    world.broker = world.new_broker(markets=lambda: markets, precision_mode=mode)
    assert (await world.create(SPOT, "limit", "buy", 1, good))["price"] == good
    if bad is not None:
        with pytest.raises(Failure) as caught:
            await world.create(SPOT, "limit", "buy", 1, bad)
        assert caught.value.details == {"reason": "price_step"}


async def test_what_a_market_does_not_tell_is_what_is_usual(world: World):
    bare = market(PERP, maker=None, taker=None, limits={}, precision={}, contractSize=None)
    world.broker = world.new_broker(markets=lambda: {PERP: bare})
    assert (await world.broker.call("fetchTradingFee", PERP))["taker"] == 0.001
    assert (await world.broker.call("setLeverage", 20, PERP))["longLeverage"] == 20
    with pytest.raises(Failure, match="leverage must be from 1 to 20 here"):
        await world.broker.call("setLeverage", 21, PERP)
    assert (await world.create(PERP, "market", "buy", 0.5))["cost"] == 50.5
