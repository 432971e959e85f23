"""Positions through unmodified ccxt: leverage, protection, funding and liquidation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
import pytest
from ccxt.test.exchange.base.test_position import test_position as check_position

from simulator.clients import outcome

if TYPE_CHECKING:
    from simulator.clocks import Clock

SWAP = "BTC/USDT:USDT"
SESSION = 8 * 3600
# ccxt's parser leaves it empty, because Bybit tells the mode of the account only.
SKIPPED = {"marginMode": True}


async def held(trader: Any, symbol: str = SWAP) -> Any:
    """The one position, or None."""
    found = await trader.fetch_positions([symbol])
    return found[0] if found and found[0]["contracts"] else None


@pytest.mark.parametrize(("side", "named"), [("buy", "long"), ("sell", "short")])
async def test_a_position_passes_ccxts_validator(trader: Any, clock: Clock, side: str, named: str) -> None:
    await trader.create_order(SWAP, "market", side, 0.05)
    clock.now += 60
    position = await held(trader)
    for one in (position, *await trader.fetch_positions(), await trader.fetch_position(SWAP)):
        check_position(trader, SKIPPED, "fetchPositions", one, SWAP, trader.milliseconds())
        assert (one["side"], one["contracts"], one["leverage"]) == (named, 0.05, 10)
    profit = 0.05 * (position["markPrice"] - position["entryPrice"]) * (1 if side == "buy" else -1)
    assert position["unrealizedPnl"] == pytest.approx(profit)
    ticker = await trader.fetch_ticker(SWAP)
    assert position["markPrice"] == ticker["markPrice"]


async def test_positions_are_listed_by_the_coin_they_settle_in(trader: Any) -> None:
    for symbol in (SWAP, "BTC/USDC:USDC"):
        await trader.create_order(symbol, "market", "buy", 0.01)
    assert [one["symbol"] for one in await trader.fetch_positions()] == [SWAP]
    usdc = await trader.fetch_positions(params={"settleCoin": "USDC"})
    assert [one["symbol"] for one in usdc] == ["BTC/USDC:USDC"]
    assert await trader.fetch_positions(params={"subType": "inverse"}) == []
    with pytest.raises(ccxt.BadRequest):
        await trader.private_get_v5_position_list({"category": "linear"})


async def test_leverage_is_set_told_and_bounded(trader: Any) -> None:
    assert (await trader.fetch_leverage(SWAP))["longLeverage"] == 10
    await trader.set_leverage(50, SWAP)
    assert (await trader.fetch_leverage(SWAP))["longLeverage"] == 50
    with pytest.raises(ccxt.BadRequest, match="110043"):
        await trader.set_leverage(50, SWAP)
    with pytest.raises(ccxt.BadRequest, match="110013"):
        await trader.set_leverage(101, SWAP)
    with pytest.raises(ccxt.NotSupported):
        await trader.set_leverage(5, "BTC/USDT")
    await trader.create_order(SWAP, "market", "buy", 0.1)
    position = await held(trader)
    assert position["initialMargin"] == pytest.approx(position["notional"] / 50)
    await trader.set_leverage(5, SWAP)
    assert (await held(trader))["initialMargin"] == pytest.approx(position["notional"] / 5)


async def test_a_reduce_only_order_never_turns_a_position(trader: Any) -> None:
    await trader.create_order(SWAP, "market", "buy", 0.05)
    order = await trader.create_order(SWAP, "market", "sell", 0.2, params={"reduceOnly": True})
    closed = await outcome(trader, order, SWAP)
    assert (closed["filled"], closed["reduceOnly"], closed["status"]) == (0.05, True, "closed")
    assert await held(trader) is None
    sell, buy = await trader.fetch_my_trades(SWAP)  # of one moment, so newest first
    fees = buy["fee"]["cost"] + sell["fee"]["cost"]
    gain = float(sell["info"]["execPnl"])
    assert gain == pytest.approx(0.05 * (sell["price"] - buy["price"]))
    assert (await trader.fetch_balance())["USDT"]["free"] == pytest.approx(100_000 + gain - fees)


async def test_an_order_with_take_profit_and_stop_loss_protects_what_it_fills(trader: Any, clock: Clock) -> None:
    ask = (await trader.fetch_ticker(SWAP))["ask"]
    parameters = {"takeProfit": {"triggerPrice": ask + 60}, "stopLoss": {"triggerPrice": ask - 60}}
    order = await trader.create_order(SWAP, "market", "buy", 0.05, params=parameters)
    placed = await outcome(trader, order, SWAP)
    assert (placed["takeProfitPrice"], placed["stopLossPrice"]) == (round(ask + 60, 1), round(ask - 60, 1))
    position = await held(trader)
    assert (position["takeProfitPrice"], position["stopLossPrice"]) == (round(ask + 60, 1), round(ask - 60, 1))
    waiting = await trader.fetch_open_orders(SWAP, params={"trigger": True})
    kinds = {one["info"]["stopOrderType"]: one for one in waiting}
    assert set(kinds) == {"TakeProfit", "StopLoss"}
    assert all(one["reduceOnly"] and one["side"] == "sell" for one in waiting)
    while await held(trader) is not None:
        clock.now += 30
    ended = [await outcome(trader, one, SWAP) for one in kinds.values()]
    assert sorted(one["status"] for one in ended) == ["canceled", "closed"]
    filled = next(one for one in ended if one["status"] == "closed")
    assert abs(filled["average"] - filled["triggerPrice"]) < 60
    assert await trader.fetch_open_orders(SWAP) == []


@pytest.mark.parametrize(("params", "rises"), [({"stopLossPrice": -40}, False), ({"takeProfitPrice": 40}, True)])
async def test_a_stop_of_its_own_waits_for_its_price(
    trader: Any, clock: Clock, params: dict[str, float], rises: bool
) -> None:
    await trader.create_order(SWAP, "market", "buy", 0.05)
    last = (await trader.fetch_ticker(SWAP))["last"]
    ((name, distance),) = params.items()
    order = await trader.create_order(SWAP, "market", "sell", 0.05, params={name: last + distance})
    assert (await outcome(trader, order, SWAP))["info"]["orderStatus"] == "Untriggered"
    assert (await held(trader))["contracts"] == 0.05
    while (await outcome(trader, order, SWAP))["status"] == "open":
        clock.now += 30
    (_, sale) = await trader.fetch_my_trades(SWAP)
    assert (sale["price"] > last) is rises
    assert await held(trader) is None


async def test_the_stops_of_a_position_are_set_replaced_and_taken_away(trader: Any) -> None:
    await trader.create_order(SWAP, "market", "buy", 0.05)
    last = (await trader.fetch_ticker(SWAP))["last"]
    for distance in (500, 700):
        stops = {"stopLossPrice": last - distance, "takeProfitPrice": last + distance}
        await trader.create_order(SWAP, "market", "sell", 0, params=stops)
        position = await held(trader)
        assert position["stopLossPrice"] == pytest.approx(last - distance)
        assert position["takeProfitPrice"] == pytest.approx(last + distance)
        assert len(await trader.fetch_open_orders(SWAP)) == 2
    await trader.create_order(SWAP, "market", "sell", 0.01, params={**stops, "takeProfitPrice": last + 900})
    kinds = sorted(order["info"]["stopOrderType"] for order in await trader.fetch_open_orders(SWAP))
    assert kinds == ["PartialStopLoss", "PartialTakeProfit", "StopLoss", "TakeProfit"]
    set_stops = trader.private_post_v5_position_trading_stop
    await set_stops({"category": "linear", "symbol": "BTCUSDT", "stopLoss": "0", "takeProfit": "0"})
    assert (await held(trader))["stopLossPrice"] is None
    await trader.create_order(SWAP, "market", "sell", 0.05, params={"reduceOnly": True})
    assert await trader.fetch_open_orders(SWAP) == []
    with pytest.raises(ccxt.BadRequest, match="zero position"):
        await set_stops({"category": "linear", "symbol": "BTCUSDT", "stopLoss": "80000"})


async def test_a_trailing_stop_follows_the_price_and_then_closes(trader: Any, clock: Clock) -> None:
    await trader.create_order(SWAP, "market", "buy", 0.05)
    entry = (await held(trader))["entryPrice"]
    await trader.create_order(SWAP, "market", "sell", 0.05, params={"trailingAmount": "80"})
    (order,) = await trader.fetch_open_orders(SWAP)
    assert order["info"]["stopOrderType"] == "TrailingStop"
    triggers = {order["triggerPrice"]}
    while (order := await outcome(trader, order, SWAP))["status"] == "open":
        triggers.add(order["triggerPrice"])
        clock.now += 20
    assert max(triggers) > min(triggers) >= entry - 100
    assert order["average"] < max(triggers) + 5
    assert await held(trader) is None


async def test_funding_is_paid_at_the_end_of_each_session(trader: Any, clock: Clock) -> None:
    await trader.create_order(SWAP, "market", "buy", 0.1)
    clock.now = (clock.now // SESSION + 1) * SESSION - 1
    before = await trader.fetch_balance()
    clock.now += 2
    paid = before["USDT"]["total"] - (await trader.fetch_balance())["USDT"]["total"]
    (rate,) = await trader.fetch_funding_rate_history(SWAP, limit=1)
    (payment,) = await trader.fetch_my_trades(SWAP, params={"execType": "Funding"})
    told = payment["info"]
    assert float(told["execFee"]) == pytest.approx(paid)
    assert float(told["feeRate"]) == pytest.approx(rate["fundingRate"])
    assert paid == pytest.approx(rate["fundingRate"] * 0.1 * float(told["execPrice"]))


async def test_a_position_is_liquidated_where_it_says(trader: Any, clock: Clock) -> None:
    await trader.set_leverage(100, SWAP)
    for side in ("buy", "sell"):  # one of them loses
        await trader.create_order(SWAP, "market", side, 0.05)
        position = await held(trader)
        while (now := await held(trader)) is not None and clock.now % 86_400 < 80_000:
            clock.now += 120
        if now is None:
            break
        await trader.create_order(SWAP, "market", "sell" if side == "buy" else "buy", 0.05, params={"reduceOnly": True})
    (bust,) = await trader.fetch_my_trades(SWAP, params={"execType": "BustTrade"})
    lost = float(bust["info"]["execPnl"])
    assert lost == pytest.approx(-position["initialMargin"])
    low, high = sorted([position["entryPrice"], position["liquidationPrice"]])
    candles = await trader.fetch_ohlcv("BTC/USDT", "1m", since=bust["timestamp"] - 60_000, limit=2)
    if position["side"] == "long":
        assert min(candle[3] for candle in candles) < high
    else:
        assert max(candle[2] for candle in candles) > low
