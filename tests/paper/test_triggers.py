"""Orders that wait for a price: stops, trailing stops, take-profit and stop-loss."""

from __future__ import annotations

from typing import Any

import pytest

from ccxt_mcp.paper.engine import Balance, Book, Engine, Market, Reason, Refused
from paper.samples import PERP, SPOT, D, book, engine, levels, order


def ended(account: Engine) -> dict[str, tuple[str, str | None]]:
    """How orders ended since the last look."""
    return {one.id: (one.status, one.reason) for one in account.drain().orders if not one.live}


@pytest.mark.parametrize(
    ("side", "trigger", "before", "at"),
    [("sell", 95, "95.1", 95), ("sell", 110, "109.9", 110), ("buy", 110, "109.9", "110.5"), ("buy", 95, "95.1", 94)],
)
def test_a_trigger_waits_for_its_price_from_whichever_side_the_market_comes(
    side: Any, trigger: int, before: Any, at: Any
):
    account = engine(USDT=1000, BTC=2)
    placed = account.place(order(side=side, trigger_price=trigger), 1, book())
    assert (placed.status, placed.reserved, placed.triggered) == ("untriggered", 0, None)
    account.trade(SPOT.symbol, D(before), None, 2)
    assert account.order(placed.id).status == "untriggered"
    account.trade(SPOT.symbol, D(at), None, 3)
    (done,) = account.drain().orders
    assert (done.status, done.triggered, done.average) == ("closed", 3, D(at))


def test_a_triggered_market_order_walks_the_book_that_comes_with_the_trade():
    account = engine(BTC=3)
    account.place(order(side="sell", amount=3, trigger_price=95), 1, book())
    account.trade(SPOT.symbol, D(95), D("0.1"), 2, book=Book(levels((94, 1), (93, 2)), levels((95, 1))))
    (done,) = account.drain().orders
    assert (done.status, done.cost) == ("closed", 94 + 2 * 93)


def test_a_book_triggers_only_when_the_whole_market_is_beyond_the_price():
    account = engine(BTC=3)
    account.place(order(side="sell", trigger_price=95), 1, book())
    account.book(SPOT.symbol, book(94, "95.1"), 2)
    assert len(account.orders()) == 1
    account.book(SPOT.symbol, book(93, 95), 3)
    (done,) = account.drain().orders
    assert (done.status, done.average) == ("closed", 93)


def test_a_triggered_limit_order_rests_and_holds_only_then():
    account = engine(USDT=1000)
    placed = account.place(order(price=104, trigger_price=105), 1, book())
    account.trade(SPOT.symbol, D(105), None, 2)
    resting = account.order(placed.id)
    assert (resting.status, resting.reserved, resting.filled) == ("open", 104, 0)
    account.trade(SPOT.symbol, D("103.9"), None, 3)
    assert ended(account) == {placed.id: ("closed", None)}


def test_a_triggered_order_that_cannot_be_paid_is_rejected():
    account = engine(USDT=100)
    placed = account.place(order(amount=2, trigger_price=105), 1, book())
    account.trade(SPOT.symbol, D(105), None, 2)
    assert ended(account) == {placed.id: ("rejected", "insufficient_balance")}
    assert account.balances()["USDT"].free == 100


def test_a_triggered_market_order_waits_until_there_is_somebody_to_trade_with():
    account = engine(BTC=1)
    placed = account.place(order(side="sell", trigger_price=95), 1, book())
    account.book(SPOT.symbol, Book((), levels((94, 1))), 2)
    assert account.order(placed.id).status == "untriggered"
    account.book(SPOT.symbol, book(92, 94), 3)
    assert ended(account) == {placed.id: ("closed", None)}


def test_a_trigger_that_is_reached_already_is_refused():
    account = engine(USDT=1000)
    with pytest.raises(Refused) as caught:
        account.place(order(trigger_price=95, trigger_rises=True), 1, book())
    assert caught.value.reason is Reason.INVALID_TRIGGER
    assert caught.value.message == "trigger_price is 95; the market is at 100.5, so it must be above that."
    with pytest.raises(Refused, match="its price is not known"):
        account.place(order(trigger_price=95), 1, Book())


def test_the_trigger_of_a_waiting_order_can_be_amended():
    account = engine(BTC=1)
    placed = account.place(order(side="sell", price=90, trigger_price=95), 1, book())
    amended = account.amend(placed.id, 2, book=book(), trigger_price=D(97), price=D(91), amount=D("0.5"))
    assert (amended.trigger, amended.request.price, amended.amount) == (97, 91, D("0.5"))
    with pytest.raises(Refused, match="the market is at"):
        account.amend(placed.id, 2, book=book(), trigger_price=D(102))


@pytest.mark.parametrize("terms", [{"trailing": 5}, {"trailing_rate": "0.05"}])
def test_a_trailing_sell_follows_the_market_up_and_never_down(terms: Any):
    account = engine(BTC=1)
    placed = account.place(order(side="sell", **terms), 1, book("99.9", "100.1"))
    assert placed.trigger == 95
    for price, trigger in ((98, 95), (120, 115 if "trailing" in terms else 114), (116, 115)):
        account.trade(SPOT.symbol, D(price), None, 2)
        if price != 116:
            assert account.order(placed.id).trigger == trigger
    account.trade(SPOT.symbol, D(114), None, 3)
    (done,) = account.drain().orders
    assert (done.status, done.average) == ("closed", 114)


def test_a_trailing_buy_follows_the_market_down():
    account = engine(USDT=1000)
    placed = account.place(order(trailing=5), 1, book("99.9", "100.1"))
    account.book(SPOT.symbol, book(89, 90), 2)
    assert account.order(placed.id).trigger == 95
    account.trade(SPOT.symbol, D(96), None, 3)
    assert ended(account) == {placed.id: ("closed", None)}


@pytest.mark.parametrize(
    "request_",
    [
        order(price=90, trailing=5),
        order(trailing=5, trailing_rate="0.1"),
        order(trailing=5, trigger_price=90),
        order(trailing_rate=1),
        order(side="sell", trailing=101),
        order(side="sell", take_profit=110),
        order(PERP, reduce_only=True, take_profit=110),
        order(take_profit=100),
        order(stop_loss=102),
        order(PERP, side="sell", amount=1, price=100, take_profit=101),
        order(PERP, side="sell", amount=1, price=100, stop_loss=99),
        order(trigger_price=120, take_profit=119),
    ],
)
def test_stops_that_make_no_sense_are_refused(request_: Any):
    with pytest.raises(Refused) as caught:
        engine(USDT=1000, BTC=1).place(request_, 1, book())
    assert caught.value.reason in {Reason.INVALID_ORDER, Reason.INVALID_TRIGGER}


@pytest.mark.parametrize(("market", "amount"), [(SPOT, 1), (PERP, 100)])
@pytest.mark.parametrize(("price", "first"), [(110, "take_profit"), (95, "stop_loss")])
def test_take_profit_and_stop_loss_close_what_was_filled_and_cancel_each_other(
    market: Market, amount: int, price: int, first: str
):
    account = engine(USDT=1000)
    parent = account.place(order(market, amount=amount, take_profit=110, stop_loss=95), 1, book())
    children = {child.role: child for child in account.orders()}
    bought = parent.filled - parent.fees.get("BTC", D(0))
    assert {child.role: (child.side, child.amount, child.parent) for child in children.values()} == {
        "take_profit": ("sell", bought, parent.id),
        "stop_loss": ("sell", bought, parent.id),
    }
    account.drain()
    account.trade(market.symbol, D(price), None, 2)
    (other,) = set(children) - {first}
    assert ended(account) == {
        children[first].id: ("closed", None),  # pyright: ignore[reportArgumentType]
        children[other].id: ("canceled", "sibling_triggered"),
    }
    assert account.positions() == []
    assert account.balances().get("BTC", Balance()).total < D("0.001")


def test_protection_grows_with_the_fills_of_its_order_and_outlives_it():
    account = engine(USDT=1000)
    parent = account.place(order(amount=3, price=99, stop_loss=90), 1, book())
    assert account.orders() == [parent]
    for now in (2, 3):
        account.trade(SPOT.symbol, D(98), D(1), now)
    account.cancel(parent.id, 4)
    (stop,) = account.orders()
    assert (stop.role, stop.amount, stop.sibling) == ("stop_loss", D("1.998"), None)


def test_what_is_filled_after_a_protection_was_used_gets_a_new_one():
    account = engine(USDT=1000)
    parent = account.place(order(PERP, amount=30, price=99, take_profit=110), 1, book())
    account.trade(PERP.symbol, D(98), D(10), 2)
    account.trade(PERP.symbol, D(110), None, 3)
    account.trade(PERP.symbol, D(98), D(15), 4)
    _, child = account.orders()
    assert (child.parent, child.amount, child.status) == (parent.id, 15, "untriggered")


def test_a_stop_on_spot_sells_no_more_than_what_is_left():
    account = engine(USDT=1000)
    account.place(order(amount=2, stop_loss=90), 1, book())
    account.place(order(side="sell", amount=1), 2, book())
    account.drain()
    account.trade(SPOT.symbol, D(90), None, 3)
    (fill,) = account.drain().fills
    assert fill.amount == D("0.996")


def test_a_stop_on_spot_is_rejected_when_everything_was_sold():
    account = engine(USDT=1000)
    account.place(order(amount=2, stop_loss=90), 1, book())
    (stop,) = account.orders()
    account.place(order(side="sell", amount="1.996"), 2, book())
    account.drain()
    account.trade(SPOT.symbol, D(90), None, 3)
    assert ended(account) == {stop.id: ("rejected", "insufficient_balance")}


def test_protection_ends_with_the_position():
    account = engine(USDT=1000)
    account.place(order(PERP, amount=100, take_profit=110, stop_loss=90), 1, book())
    children = [child.id for child in account.orders()]
    account.place(order(PERP, side="sell", amount=100), 2, book())
    assert {one: end for one, end in ended(account).items() if one in children} == dict.fromkeys(
        children, ("canceled", "position_closed")
    )
