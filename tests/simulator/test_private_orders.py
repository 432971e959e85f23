"""Orders through unmodified ccxt: what is accepted, what is refused and how, and what becomes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
import pytest
from ccxt.test.exchange.base.test_order import test_order as check_order
from ccxt.test.exchange.base.test_trade import test_trade as check_trade

from ccxt_mcp.paper.engine import Reason
from ccxt_mcp.simulator.codes import refusal
from simulator.clients import outcome

if TYPE_CHECKING:
    import aiohttp

    from ccxt_mcp.simulator.markets import Category

CATEGORIES: tuple[Category, ...] = ("spot", "linear")
ENDS = {
    Reason.BY_USER, Reason.IMMEDIATE_OR_CANCEL, Reason.FILL_OR_KILL, Reason.BOOK_TOO_THIN, Reason.POSITION_CLOSED,
    Reason.SIBLING_TRIGGERED, Reason.LIQUIDATION,
}  # fmt: skip
"""Why an order ended; nothing is refused for these."""
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"


async def touch(trader: Any, symbol: str = SPOT) -> tuple[float, float]:
    """The best bid and the best ask."""
    book = await trader.fetch_order_book(symbol, 1)
    return book["bids"][0][0], book["asks"][0][0]


async def resting(trader: Any, symbol: str = SPOT, amount: float = 0.01, **params: Any) -> Any:
    bid, _ = await touch(trader, symbol)
    return await trader.create_order(symbol, "limit", "buy", amount, bid - 1000, params)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_limit_order_away_from_the_market_rests_and_can_be_found_in_every_way(trader: Any, symbol: str) -> None:
    created = await resting(trader, symbol, clientOrderId="mine-1")
    assert (created["clientOrderId"], created["status"]) == ("mine-1", None)
    order = await outcome(trader, created, symbol)
    check_order(trader, {}, "fetchOrder", order, symbol, trader.milliseconds())
    assert [order[name] for name in ("clientOrderId", "status", "type", "side", "amount", "filled", "remaining")] == [
        "mine-1", "open", "limit", "buy", 0.01, 0.0, 0.01,
    ]  # fmt: skip
    assert [one["id"] for one in await trader.fetch_open_orders(symbol)] == [created["id"]]
    assert (await trader.fetch_open_order(created["id"], symbol))["id"] == created["id"]
    by_link = await trader.fetch_open_orders(symbol, params={"orderLinkId": "mine-1"})
    assert [one["id"] for one in by_link] == [created["id"]]
    assert await trader.fetch_open_orders(symbol, params={"orderLinkId": "not-mine"}) == []
    assert await trader.fetch_open_orders(symbol, params={"trigger": True}) == []


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_market_order_fills_at_the_touch_and_pays_the_takers_fee(trader: Any, symbol: str) -> None:
    _, ask = await touch(trader, symbol)
    order = await outcome(trader, await trader.create_order(symbol, "market", "buy", 0.01), symbol)
    check_order(trader, {}, "fetchOrder", order, symbol, trader.milliseconds())
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.01, ask)
    assert order["fee"]["currency"] == ("BTC" if symbol == SPOT else "USDT")
    (trade,) = await trader.fetch_my_trades(symbol)
    check_trade(trader, {}, "fetchMyTrades", trade, symbol, trader.milliseconds(), False)
    assert (trade["order"], trade["takerOrMaker"], trade["amount"], trade["price"]) == (order["id"], "taker", 0.01, ask)
    assert trade["fee"] == {**order["fee"], "rate": 0.001 if symbol == SPOT else 0.00055}
    assert [one["id"] for one in await trader.fetch_order_trades(order["id"], symbol)] == [trade["id"]]


async def test_a_large_market_order_walks_the_book(trader: Any) -> None:
    book = await trader.fetch_order_book(SPOT, 3)
    amount = round(sum(size for _, size in book["asks"][:2]), 6)
    worth = sum(price * size for price, size in book["asks"][:2])
    if worth > 90_000:
        amount, worth = book["asks"][0][1], book["asks"][0][0] * book["asks"][0][1]
    order = await outcome(trader, await trader.create_order(SPOT, "market", "buy", amount))
    assert order["filled"] == amount
    assert order["cost"] == pytest.approx(worth)


async def test_a_spot_buy_for_a_cost_spends_no_more_than_that(trader: Any) -> None:
    order = await outcome(trader, await trader.create_market_buy_order_with_cost(SPOT, 500))
    assert order["status"] == "closed"
    assert 500 - order["average"] * 1e-6 <= order["cost"] <= 500
    assert order["amount"] == order["filled"] == pytest.approx(order["cost"] / order["average"])
    sold = await outcome(trader, await trader.create_market_sell_order_with_cost(SPOT, 500))
    assert sold["cost"] == pytest.approx(500, abs=0.2)


@pytest.mark.parametrize(
    ("symbol", "arguments", "params", "error", "code"),
    [
        (SPOT, ("limit", "buy", 5, -1), {}, ccxt.InsufficientFunds, 170131),
        (SWAP, ("limit", "buy", 100, -1), {}, ccxt.InsufficientFunds, 110007),
        (SPOT, ("market", "sell", 2.5, None), {}, ccxt.InsufficientFunds, 170131),
        (SPOT, ("limit", "buy", 0.00002, -1), {}, ccxt.InvalidOrder, 170140),
        (SPOT, ("limit", "buy", 0.00001, -1), {}, ccxt.InvalidOrder, 170136),
        (SPOT, ("limit", "buy", 1_000, -1), {}, ccxt.InvalidOrder, 170135),
        (SWAP, ("limit", "buy", 0.001, -90_000), {}, ccxt.InvalidOrder, 110094),
        (SWAP, ("market", "buy", 200, None), {}, ccxt.InvalidOrder, 130006),
        (SWAP, ("market", "sell", 0.01, None), {"reduceOnly": True}, ccxt.InvalidOrder, 110017),
        (SWAP, ("market", "buy", 0.01, None), {"triggerPrice": 9e4, "triggerDirection": "above"}, ccxt.InvalidOrder,
         110092),
        (SWAP, ("market", "buy", 0.01, None), {"triggerPrice": 9.5e4, "triggerDirection": "below"}, ccxt.InvalidOrder,
         110093),
        (SWAP, ("limit", "buy", 0.01, -1), {"takeProfit": {"triggerPrice": 9e4}}, ccxt.InvalidOrder, 110092),
        (SWAP, ("market", "buy", 0.01, None), {"hedged": True}, ccxt.BadRequest, 10001),
        (SWAP, ("market", "buy", 0.01, None), {"triggerPrice": 9.5e4, "triggerDirection": 1, "triggerBy": "MarkPrice"},
         ccxt.BadRequest, 10001),
        (SPOT, ("limit", "buy", 0.01, -1), {"isLeverage": 1}, ccxt.BadRequest, 170036),
        (SPOT, ("limit", "buy", 0.01, -1), {"clientOrderId": "x" * 37}, ccxt.BadRequest, 10001),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_with_bybits_code_and_changes_nothing(
    trader: Any, symbol: str, arguments: Any, params: Any, error: type[Exception], code: int
) -> None:
    kind, side, amount, distance = arguments
    bid, _ = await touch(trader, symbol)
    before = await trader.fetch_balance()
    with pytest.raises(error, match=f'"retCode":{code},'):
        await trader.create_order(symbol, kind, side, amount, distance and bid + distance, params)
    assert (await trader.fetch_balance())["total"] == before["total"]
    assert await trader.fetch_open_orders(symbol) == []


@pytest.mark.parametrize(("symbol", "code"), [(SPOT, 170141), (SWAP, 110072)])
async def test_a_clients_own_id_serves_once_for_ever(trader: Any, symbol: str, code: int) -> None:
    created = await resting(trader, symbol, clientOrderId="once")
    for _ in range(2):
        with pytest.raises(ccxt.InvalidOrder, match=str(code)):
            await resting(trader, symbol, clientOrderId="once")
        if (await outcome(trader, created, symbol))["status"] == "open":
            await trader.cancel_order(created["id"], symbol)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_post_only_order_that_would_take_is_accepted_and_cancelled(trader: Any, symbol: str) -> None:
    _, ask = await touch(trader, symbol)
    created = await trader.create_order(symbol, "limit", "buy", 0.01, ask, {"postOnly": True, "clientOrderId": "po"})
    order = await outcome(trader, created, symbol)
    assert (order["status"], order["filled"], order["timeInForce"]) == ("canceled", 0, "PO")
    assert order["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
    kept = await trader.create_order(symbol, "limit", "buy", 0.01, ask - 500, {"postOnly": True})
    assert (await outcome(trader, kept, symbol))["status"] == "open"


async def test_immediate_or_cancel_takes_what_is_there_and_fill_or_kill_all_or_nothing(trader: Any) -> None:
    _, ask = await touch(trader, "DOGE/USDT")
    size = (await trader.fetch_order_book("DOGE/USDT", 1))["asks"][0][1]
    more = size + 10_000
    killed = await trader.create_order("DOGE/USDT", "limit", "buy", more, ask, {"timeInForce": "FOK"})
    order = await outcome(trader, killed, "DOGE/USDT")
    assert (order["status"], order["filled"]) == ("canceled", 0)
    taken = await trader.create_order("DOGE/USDT", "limit", "buy", more, ask, {"timeInForce": "IOC"})
    order = await outcome(trader, taken, "DOGE/USDT")
    assert (order["info"]["orderStatus"], order["filled"]) == ("PartiallyFilledCanceled", size)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_an_order_can_be_changed_and_cancelled(trader: Any, symbol: str) -> None:
    created = await resting(trader, symbol)
    price = (await outcome(trader, created, symbol))["price"]
    await trader.edit_order(created["id"], symbol, "limit", "buy", 0.02, price - 10)
    order = await outcome(trader, created, symbol)
    assert (order["amount"], order["price"], order["status"]) == (0.02, price - 10, "open")
    held = (await trader.fetch_balance())["USDT"]["used"]
    assert held == pytest.approx(0.02 * (price - 10) * (1 if symbol == SPOT else 0.1 + 0.00055))
    assert (await trader.cancel_order(created["id"], symbol))["id"] == created["id"]
    order = await outcome(trader, created, symbol)
    assert (order["status"], order["info"]["cancelType"]) == ("canceled", "CancelByUser")
    assert (await trader.fetch_balance())["USDT"]["used"] == 0
    for again in (
        trader.cancel_order(created["id"], symbol),
        trader.edit_order(created["id"], symbol, "limit", "buy", 0.03, price),
        trader.cancel_order("nothing", symbol),
    ):
        with pytest.raises(ccxt.OrderNotFound, match="170213" if symbol == SPOT else "110001"):
            await again


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_post_only_order_cannot_be_changed_into_one_that_takes(trader: Any, symbol: str) -> None:
    created = await resting(trader, symbol, postOnly=True)
    before = await outcome(trader, created, symbol)
    with pytest.raises(ccxt.InvalidOrder):
        await trader.edit_order(created["id"], symbol, "limit", "buy", 0.01, before["price"] + 2000)
    after = await outcome(trader, created, symbol)
    assert (after["status"], after["price"]) == ("open", before["price"])


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_to_refuse_has_codes_that_ccxt_knows(trader: Any, reason: Reason) -> None:
    if reason in ENDS:
        return
    for category in CATEGORIES:
        code = str(refusal(category, reason, "words").code)
        assert code in trader.exceptions["exact"], code


async def test_an_order_can_be_cancelled_by_the_clients_own_id(trader: Any) -> None:
    await resting(trader, clientOrderId="by-link")
    cancelled = await trader.cancel_order(None, SPOT, {"orderLinkId": "by-link"})
    assert cancelled["clientOrderId"] == "by-link"
    assert await trader.fetch_open_orders(SPOT) == []


async def test_cancelling_all_reports_each_and_leaves_other_markets_alone(trader: Any) -> None:
    orders = [await resting(trader, symbol) for symbol in (SPOT, SPOT, SWAP)]
    cancelled = await trader.cancel_all_orders(SPOT)
    assert {order["id"] for order in cancelled} == {order["id"] for order in orders[:2]}
    assert [order["id"] for order in await trader.fetch_open_orders(SWAP)] == [orders[2]["id"]]
    assert [order["id"] for order in await trader.cancel_all_orders(None, {"type": "swap"})] == [orders[2]["id"]]
    assert await trader.cancel_all_orders(SPOT) == []


async def test_closed_and_cancelled_orders_are_told_apart_and_paged(trader: Any, clock: Any) -> None:
    filled: list[str] = []
    for _ in range(5):
        filled.append((await trader.create_order(SPOT, "market", "buy", 0.001))["id"])
        clock.now += 1
    gone = await resting(trader)
    await trader.cancel_order(gone["id"], SPOT)
    assert [order["id"] for order in await trader.fetch_canceled_orders(SPOT)] == [gone["id"]]
    assert [order["id"] for order in await trader.fetch_closed_orders(SPOT)] == filled
    assert (await trader.fetch_closed_order(filled[0], SPOT))["id"] == filled[0]
    assert [order["id"] for order in await trader.fetch_closed_orders(SPOT, limit=2)] == filled[-2:]
    paged = await trader.fetch_canceled_and_closed_orders(SPOT, params={"paginate": True, "paginationCalls": 4})
    assert {order["id"] for order in paged} == {*filled, gone["id"]}
    first = await trader.private_get_v5_order_history({"category": "spot", "limit": 4})
    cursor = first["result"]["nextPageCursor"]
    second = await trader.private_get_v5_order_history({"category": "spot", "limit": 4, "cursor": cursor})
    listed = [order["orderId"] for page in (first, second) for order in page["result"]["list"]]
    assert listed == [gone["id"], *reversed(filled)]
    assert second["result"]["nextPageCursor"] == ""
    paged = await trader.fetch_my_trades(SPOT, params={"paginate": True, "paginationCalls": 3})
    assert {trade["order"] for trade in paged} == set(filled)
    trades = await trader.fetch_my_trades(SPOT)
    assert [trade["order"] for trade in trades] == filled
    since = trades[3]["timestamp"]
    assert [trade["order"] for trade in await trader.fetch_my_trades(SPOT, since)] == filled[3:]
    clock.now += 8 * 86_400
    assert await trader.fetch_closed_orders(SPOT) == []
    assert len(await trader.fetch_closed_orders(SPOT, since)) == 2


async def test_every_order_that_ended_lately_can_be_listed(trader: Any) -> None:
    created = await trader.create_order(SPOT, "market", "buy", 0.001)
    await resting(trader)
    recent = await trader.fetch_open_orders(SPOT, params={"openOnly": 1})
    assert [order["id"] for order in recent] == [created["id"]]


async def test_a_body_that_is_no_json_and_a_path_that_is_not_there(trader: Any, http: aiohttp.ClientSession) -> None:
    signed = trader.sign("v5/order/create", ["private"], "POST", {})
    async with http.post("/v5/order/create", data="{}", headers=signed["headers"]) as reply:
        assert (await reply.json())["retCode"] == 10001
    async with http.post("/v5/order/nothing", data="{}", headers=signed["headers"]) as reply:
        assert reply.status == 404
    trader.json = lambda _params: "no json"
    with pytest.raises(ccxt.BadRequest, match="JSON"):
        await trader.private_post_v5_order_create({"a": 1})


@pytest.mark.parametrize(
    "change",
    [{"side": "buy"}, {"orderType": "Stop"}, {"timeInForce": "GTD"}, {"qty": "NaN"}, {"qty": "x"}, {"qty": ""},
     {"marketUnit": "lots", "orderType": "Market"}, {"category": "option"}, {"symbol": "NOPE"}, {"qty": "-1"},
     {"price": "0"}, {"price": "1e400"}, {"price": "91000.05"}, {"qty": "0.0100001"}],
)  # fmt: skip
async def test_a_form_that_makes_no_sense_is_refused(trader: Any, change: dict[str, str]) -> None:
    form = {
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.01",
        "price": "90000",
    }
    await trader.private_post_v5_order_create(form)
    with pytest.raises((ccxt.InvalidOrder, ccxt.BadRequest, ccxt.BadSymbol)):
        await trader.private_post_v5_order_create({**form, **change})
    assert len(await trader.fetch_open_orders(SPOT)) == 1
