"""Linear contracts: margin, profit, funding, liquidation, and orders that only reduce."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccxt_mcp.paper.engine import Balance, Book, Engine, Position, Reason, Refused
from paper.samples import PERP, SPOT, D, book, engine, levels, order

FLAT = book(100, 100)


def opened(side: Any = "buy", amount: int = 100, usdt: Any = 1000, **more: Any) -> tuple[Engine, Position]:
    """An account with a position of `amount` contracts of 0.01 BTC at 100 USDT, at a leverage of 10."""
    account = engine(USDT=usdt)
    account.place(order(PERP, side, amount, **more), 1, FLAT)
    account.drain()
    position = account.position(PERP.symbol)
    assert position is not None
    return account, position


def usdt(account: Engine) -> Balance:
    return account.balances()["USDT"]


def test_a_position_holds_its_margin_and_pays_the_fee_on_its_value():
    account, position = opened()
    assert (position.side, position.contracts, position.cost, position.entry_price) == ("long", 100, 100, 100)
    assert (position.margin, position.leverage, position.maintenance_margin) == (10, 10, D("0.5"))
    assert usdt(account) == Balance(D(1000) - 10 - D("0.05"), D(10))


@pytest.mark.parametrize(("side", "profit"), [("buy", 5), ("sell", -5)])
def test_the_mark_price_makes_unrealised_profit_and_moves_no_money(side: Any, profit: int):
    account, _ = opened(side)
    before = account.balances()
    account.mark(PERP.symbol, D(105), 2)
    position = account.position(PERP.symbol)
    assert position is not None
    assert (position.unrealised, position.value) == (profit, 105)
    assert account.balances() == before
    assert account.drain().positions == ()


@pytest.mark.parametrize(("side", "other", "profit"), [("buy", "sell", 4), ("sell", "buy", -4)])
def test_closing_realises_the_profit_and_frees_the_margin(side: Any, other: Any, profit: int):
    account, _ = opened(side)
    done = account.place(order(PERP, other, 100), 2, book(104, 104))
    events = account.drain()
    assert (done.fees, events.fills[0].realised) == ({"USDT": D("0.052")}, profit)
    assert account.positions() == []
    assert [(one.contracts, one.realised, one.fees) for one in events.positions] == [(0, profit, D("0.102"))]
    assert usdt(account) == Balance(1000 + profit - D("0.102"))


def test_a_part_closes_with_its_share_of_entry_value_and_margin():
    account, _ = opened()
    account.place(order(PERP, "sell", 30), 2, book(110, 110))
    position = account.position(PERP.symbol)
    assert position is not None
    assert (position.contracts, position.cost, position.margin, position.realised) == (70, 70, 7, 3)


def test_a_larger_order_turns_the_position_around():
    account, _ = opened()
    account.place(order(PERP, "sell", 250), 2, book(102, 102))
    position = account.position(PERP.symbol)
    assert position is not None
    assert (position.side, position.contracts, position.entry_price) == ("short", 150, 102)
    assert (position.realised, position.margin, position.opened) == (0, D("15.3"), 2)


def test_extending_averages_the_entry_price():
    account, _ = opened()
    account.place(order(PERP, "buy", 300), 2, book(104, 104))
    position = account.position(PERP.symbol)
    assert position is not None
    assert (position.entry_price, position.margin, position.opened, position.updated) == (103, D("41.2"), 1, 2)


@pytest.mark.parametrize("closing", [order(PERP, "sell", 100), order(PERP, "sell", 100, 105)])
def test_closing_needs_no_free_money(closing: Any):
    account, _ = opened(usdt="10.05")
    assert usdt(account).free == 0
    placed = account.place(closing, 2, FLAT)
    assert (placed.opens, placed.reserved) == (0, 0)


def test_only_what_a_resting_order_would_open_is_reserved():
    account, _ = opened()
    first = account.place(order(PERP, "sell", 60, 105), 2, FLAT)
    second = account.place(order(PERP, "sell", 60, 110), 2, FLAT)
    assert (first.opens, second.opens, second.reserved) == (0, 20, D("2.2") + D("0.011"))


def test_an_opening_that_can_no_longer_be_paid_ends_after_it_has_closed_what_there_was():
    account, _ = opened(usdt="10.06")
    resting = account.place(order(PERP, "sell", 100, 105), 2, FLAT)
    account.place(order(PERP, "sell", 80, reduce_only=True), 3, FLAT)
    account.place(order(SPOT, "buy", "0.079", 100), 4, book(100, 101))
    account.drain()
    account.trade(PERP.symbol, D(106), None, 5)
    (done,) = account.drain().orders
    assert (done.id, done.status, done.reason, done.filled) == (resting.id, "canceled", "insufficient_balance", 20)


@pytest.mark.parametrize(("side", "price"), [("buy", "90.5"), ("sell", "109.5")])
def test_it_is_liquidated_when_the_mark_price_has_used_up_the_margin_down_to_maintenance(side: Any, price: Any):
    account, position = opened(side)
    assert position.liquidation_price == D(price)
    account.mark(PERP.symbol, D(price) + (D("0.1") if side == "buy" else -D("0.1")), 2)
    assert account.position(PERP.symbol) is not None
    account.mark(PERP.symbol, D(price), 3)
    assert account.positions() == []
    (fill,) = account.drain().fills
    assert (fill.liquidation, fill.realised, fill.fee, fill.order_id) == (True, -10, 0, fill.id)
    assert (fill.price, fill.cost) == ((90, 90) if side == "buy" else (110, 110))
    assert usdt(account) == Balance(D(1000) - 10 - D("0.05"))


def test_liquidation_ends_the_orders_of_its_market_and_no_others():
    account, _ = opened(take_profit=120, stop_loss=80)
    account.place(order(PERP, "buy", 100, 90), 2, FLAT)
    kept = account.place(order(SPOT, "buy", 1, 90), 2, FLAT)
    account.mark(PERP.symbol, D(50), 3)
    ended = [one for one in account.drain().orders if one.id != kept.id]
    assert [(one.status, one.reason, one.reserved) for one in ended] == [("canceled", "liquidation", 0)] * 3
    assert account.orders() == [kept]
    assert usdt(account).used == kept.reserved


def test_closing_at_a_price_that_costs_more_than_the_margin_is_a_liquidation():
    account, _ = opened()
    done = account.place(order(PERP, "sell", 100), 2, Book(levels((95, 40), (80, 100)), ()))
    assert (done.status, done.reason, done.filled) == ("canceled", "liquidation", 40)
    first, second = account.drain().fills
    assert (first.realised, second.realised, second.liquidation) == (-2, -6, True)
    assert usdt(account).total == 1000 - D("0.05") - 2 - D("0.019") - 6


def test_at_leverage_one_a_long_position_cannot_be_liquidated():
    account = engine(USDT=1000)
    account.set_leverage(PERP.symbol, D(1), 1)
    account.place(order(PERP, "buy", 100), 1, FLAT)
    account.mark(PERP.symbol, D("0.6"), 2)
    (position,) = account.positions()
    assert position.liquidation_price == D("0.5")


@pytest.mark.parametrize(("side", "rate", "paid"), [("buy", "0.01", 1), ("sell", "0.01", -1), ("sell", "-0.02", 2)])
def test_funding_is_paid_by_one_side_to_the_other_on_the_value_at_the_mark_price(side: Any, rate: str, paid: int):
    account, position = opened(side)
    before = usdt(account)
    account.funding(PERP.symbol, D(rate), 2)
    after = account.position(PERP.symbol)
    assert after is not None
    assert usdt(account) == Balance(before.free - paid, before.used)
    assert (after.funding, after.margin) == (-paid, position.margin)
    (payment,) = account.drain().payments
    assert (payment.amount, payment.rate, payment.time, payment.currency) == (-paid, D(rate), 2, "USDT")


def test_funding_that_is_not_free_is_taken_from_the_margin_and_may_liquidate():
    account, _ = opened(usdt="10.55")
    account.funding(PERP.symbol, D("0.02"), 2)
    (position,) = account.positions()
    assert (usdt(account), position.margin) == (Balance(D(0), D("8.5")), D("8.5"))
    account.funding(PERP.symbol, D("0.5"), 3)
    assert account.positions() == []
    assert usdt(account) == Balance()
    assert [payment.amount for payment in account.drain().payments] == [-2, D("-8.5")]


def test_reduce_only_needs_a_position_and_takes_no_more_than_it():
    account = engine(USDT=1000)
    for request in (order(PERP, "sell", 10, reduce_only=True), order(PERP, "sell", 10, 105, reduce_only=True)):
        with pytest.raises(Refused) as caught:
            account.place(request, 1, FLAT)
        assert caught.value.reason is Reason.REDUCE_ONLY_REJECTED
    account, _ = opened()
    done = account.place(order(PERP, "sell", 500, reduce_only=True), 2, FLAT)
    assert (done.amount, done.filled, done.status) == (100, 100, "closed")


def test_a_resting_reduce_only_order_closes_what_is_left_and_ends_with_it():
    account, _ = opened()
    resting = account.place(order(PERP, "sell", 80, 105, reduce_only=True), 2, FLAT)
    assert resting.reserved == 0
    account.place(order(PERP, "sell", 70), 3, FLAT)
    account.drain()
    account.trade(PERP.symbol, D(106), None, 4)
    (done,) = account.drain().orders
    assert (done.status, done.filled, done.reason) == ("canceled", 30, "position_closed")


def test_a_change_of_leverage_moves_margin_of_the_position_and_of_open_orders():
    account, _ = opened()
    account.place(order(PERP, "buy", 100, 90), 2, FLAT)
    free = usdt(account).free
    account.set_leverage(PERP.symbol, D(5), 3)
    (position,) = account.positions()
    (resting,) = account.orders()
    assert (position.margin, position.leverage, resting.reserved) == (20, 5, 18 + D("0.045"))
    assert usdt(account).free == free - 10 - 9
    account.set_leverage(PERP.symbol, D(10), 4)
    assert usdt(account).free == free
    assert account.leverage(PERP.symbol) == 10


@pytest.mark.parametrize(
    ("symbol", "leverage", "message"),
    [
        (PERP.symbol, "51", "leverage must be from 1 to 50 here."),
        (PERP.symbol, "0.5", "leverage must be from 1 to 50 here."),
        (PERP.symbol, "NaN", "leverage must be from 1 to 50 here."),
        (SPOT.symbol, "2", "BTC/USDT is a spot market; leverage is for contracts."),
        (PERP.symbol, "50", "With leverage 50 the position would be liquidated."),
        (PERP.symbol, "1", "This needs 100 USDT, and 29.95 USDT are free."),
    ],
)
def test_a_leverage_that_cannot_be_had_is_refused_and_changes_nothing(symbol: str, leverage: str, message: str):
    account, _ = opened(usdt=30)
    account.mark(PERP.symbol, D(98), 2)
    before = account.to_dict()
    with pytest.raises(Refused) as caught:
        account.set_leverage(symbol, D(leverage), 3)
    assert caught.value.message == message
    assert account.to_dict() == before


def test_a_leverage_whose_margin_is_below_maintenance_is_refused():
    account = Engine({PERP.symbol: replace(PERP, maintenance=D("0.02"))}, {"USDT": D(1)})
    with pytest.raises(Refused, match="At leverage 50 the margin would be below maintenance at once"):
        account.set_leverage(PERP.symbol, D(50), 1)


def test_a_contract_that_cannot_be_paid_is_refused_with_what_it_needs():
    account = engine(USDT=5)
    with pytest.raises(Refused) as caught:
        account.place(order(PERP, "buy", 100), 1, FLAT)
    assert caught.value.message == "This needs 10.05 USDT, and 5 USDT are free."
    assert account.to_dict()["positions"] == []


def test_what_happened_before_a_position_was_opened_does_not_concern_it():
    account, position = opened()
    account.mark(PERP.symbol, D(50), 0)
    account.funding(PERP.symbol, D("0.5"), 0)
    assert account.positions() == [position]


def test_what_an_order_opens_is_paid_from_what_it_reserved():
    account, _ = opened(usdt=100)
    resting = account.place(order(PERP, "sell", 200, 100.1), 2, FLAT)
    account.place(order(PERP, "sell", 60, reduce_only=True), 3, FLAT)
    account.trade(PERP.symbol, D(101), D(60), 4)
    after = account.order(resting.id)
    assert (resting.opens, after.filled, after.remaining, after.opens) == (100, 60, 140, 80)


def test_a_close_never_takes_more_than_the_margin_not_even_for_its_fee():
    account, _ = opened()
    before = usdt(account)
    done = account.place(order(PERP, "sell", 100), 2, book(90, 90))
    assert (done.status, done.reason) == ("canceled", "liquidation")
    assert usdt(account) == Balance(before.free)
