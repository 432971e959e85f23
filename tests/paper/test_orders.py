"""Spot orders: what they take, what rests, what they hold and what they cost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ccxt_mcp.paper.engine import Balance, Book, Engine, OrderRequest, Reason, Refused
from paper.samples import MARKETS, REBATE, SPOT, D, book, engine, levels, order

DEEP = Book(levels((100, 2), (99, 3), (98, 5)), levels((101, 2), (102, 3), (103, 5)))


def refused(account: Engine, request: Any, at: Book = DEEP) -> Refused:
    """Place what is refused, and check that it has changed nothing."""
    before = account.to_dict()
    with pytest.raises(Refused) as caught:
        account.place(request, 1, at)
    assert account.to_dict() == before
    assert account.drain().orders == ()
    return caught.value


def test_a_market_buy_walks_the_book_and_pays_its_fee_in_base():
    account = engine(USDT=1000)
    done = account.place(order(amount=4), 7, DEEP)
    assert (done.status, done.filled, done.cost, done.average) == ("closed", 4, 2 * 101 + 2 * 102, D("101.5"))
    assert done.fees == {"BTC": D("0.008")}
    assert account.balances() == {"USDT": Balance(D(594)), "BTC": Balance(D("3.992"))}
    first, second = account.drain().fills
    assert [(fill.price, fill.amount, fill.maker, fill.time) for fill in (first, second)] == [
        (101, 2, False, 7),
        (102, 2, False, 7),
    ]


def test_a_market_sell_pays_its_fee_in_quote():
    account = engine(BTC=4)
    done = account.place(order(side="sell", amount=4), 1, DEEP)
    assert done.fees == {"USDT": D("0.796")}
    assert account.balances() == {"BTC": Balance(), "USDT": Balance(D(398) - D("0.796"))}


def test_a_market_order_drops_what_the_book_does_not_have():
    done = engine(USDT=10_000).place(order(amount=11), 1, DEEP)
    assert (done.status, done.reason, done.filled, done.remaining) == ("canceled", "book_too_thin", 10, 1)


def test_a_market_order_that_cannot_be_paid_in_full_is_refused():
    refusal = refused(engine(USDT=300), order(amount=3))
    assert refusal.reason is Reason.INSUFFICIENT_BALANCE
    assert refusal.message == "This needs 304 USDT, and 300 USDT are free."


def test_a_market_buy_by_cost_never_spends_more_and_buys_whole_steps():
    account = engine(USDT=1000)
    done = account.place(order(amount=None, cost=400), 1, DEEP)
    assert (done.status, done.amount, done.filled) == ("closed", D("3.941"), D("3.941"))
    assert done.cost == 202 + D("1.941") * 102
    assert 400 - done.cost < D("0.102")


def test_the_least_value_binds_the_cost_that_is_asked_for_not_what_whole_steps_make_of_it():
    account = engine(USDT=1000)
    done = account.place(order(amount=None, cost=5), 1, DEEP)
    assert (done.status, done.cost) == ("closed", D("4.949"))
    assert refused(engine(USDT=1000), order(amount=None, cost="4.9")).reason is Reason.COST_TOO_SMALL


def test_a_market_buy_by_cost_takes_what_a_thin_book_has():
    done = engine(USDT=5000).place(order(amount=None, cost=2000), 1, DEEP)
    assert (done.status, done.filled, done.cost) == ("closed", 10, 1023)


def test_a_limit_order_takes_what_crosses_and_rests_with_the_remainder():
    account = engine(USDT=1000)
    resting = account.place(order(amount=5, price=102), 1, Book((), levels((101, 2), (102, 1), (103, 5))))
    assert (resting.status, resting.filled, resting.cost) == ("open", 3, 2 * 101 + 102)
    assert (resting.currency, resting.reserved) == ("USDT", 204)
    assert account.balances()["USDT"] == Balance(D(1000 - 304 - 204), D(204))


def test_a_resting_order_fills_when_a_trade_goes_through_its_price_not_when_it_touches_it():
    account = engine(USDT=1000)
    placed = account.place(order(amount=2, price=99), 1, book())
    account.trade(SPOT.symbol, D(99), None, 2)
    assert account.order(placed.id).filled == 0
    account.trade(SPOT.symbol, D("98.9"), None, 3)
    (fill,) = account.drain().fills
    assert (fill.price, fill.amount, fill.maker, fill.fee, fill.fee_currency) == (99, 2, True, D("0.002"), "BTC")
    assert account.orders() == []


def test_a_trade_fills_no_more_than_its_amount_best_price_first_then_oldest():
    account = engine(USDT=1000)
    ids = [account.place(order(amount=2, price=price), 1, book()).id for price in (98, 99, 98)]
    account.trade(SPOT.symbol, D(97), D("3.0005"), 2)
    filled = {fill.order_id: fill.amount for fill in account.drain().fills}
    assert filled == {ids[1]: 2, ids[0]: 1}
    assert account.order(ids[0]).remaining == 1


def test_a_book_that_crosses_a_resting_order_fills_it_at_its_own_price_as_far_as_it_is_deep():
    account = engine(BTC=5)
    placed = account.place(order(side="sell", amount=5, price=105), 1, book())
    account.book(SPOT.symbol, Book(levels((106, 1), (105, 2), (104, 9)), ()), 2)
    after = account.order(placed.id)
    assert (after.filled, after.average, after.reserved) == (3, 105, 2)


def test_two_orders_do_not_fill_from_the_same_level():
    account = engine(USDT=1000)
    for _ in range(2):
        account.place(order(amount=2, price=99), 1, book())
    account.book(SPOT.symbol, Book((), levels((98, 3))), 2)
    assert [fill.amount for fill in account.drain().fills] == [2, 1]


@pytest.mark.parametrize(
    ("in_force", "price", "status", "reason", "filled"),
    [
        ("IOC", 101, "canceled", "immediate_or_cancel", 2),
        ("IOC", 100, "canceled", "immediate_or_cancel", 0),
        ("FOK", 101, "canceled", "fill_or_kill", 0),
        ("FOK", 102, "closed", None, 5),
        ("PO", "100.9", "open", None, 0),
    ],
)
def test_the_time_in_force_decides_what_becomes_of_a_limit_order(
    in_force: str, price: Any, status: str, reason: str | None, filled: int
):
    account = engine(USDT=1000)
    done = account.place(order(amount=5, price=price, time_in_force=in_force), 1, DEEP)
    assert (done.status, done.reason, done.filled) == (status, reason, filled)
    assert account.balances()["USDT"].used == done.reserved == (D("504.5") if status == "open" else 0)


def test_a_market_order_of_all_or_nothing_takes_nothing_of_a_book_too_thin():
    done = engine(USDT=10_000).place(order(amount=11, time_in_force="FOK"), 1, DEEP)
    assert (done.status, done.reason, done.filled) == ("canceled", "fill_or_kill", 0)


def test_a_rebate_is_received():
    account = engine(ETH=10, BTC=0)
    account.place(order(REBATE, "sell", 10, "0.04"), 1, Book())
    account.trade(REBATE.symbol, D("0.05"), None, 2)
    assert account.balances()["BTC"].free == D("0.4") + D("0.00004")


@pytest.mark.parametrize(
    ("request_", "reason", "message"),
    [
        (order(amount="0.0005"), Reason.AMOUNT_STEP, "amount is 0.0005; it must be a multiple of 0.001."),
        (order(amount=1001), Reason.AMOUNT_TOO_LARGE, "amount is 1001; the most here is 1000."),
        (order(amount=0), Reason.INVALID_AMOUNT, "amount must be a positive number."),
        (order(amount="NaN"), Reason.INVALID_AMOUNT, "amount must be a positive number."),
        (order(amount="Infinity"), Reason.INVALID_AMOUNT, "amount must be a positive number."),
        (order(amount="1e500"), Reason.INVALID_AMOUNT, "amount must be a positive number."),
        (order(amount="1e-500"), Reason.INVALID_AMOUNT, "amount must be a positive number."),
        (order(price=-1), Reason.INVALID_PRICE, "price must be a positive number."),
        (order(price="99.95"), Reason.PRICE_STEP, "price is 99.95; it must be a multiple of 0.1."),
        (
            order(amount="0.001", price=99),
            Reason.COST_TOO_SMALL,
            "The order is worth 0.099 USDT; the least here is 5.",
        ),
        (order(amount="0.001"), Reason.COST_TOO_SMALL, "The order is worth 0.101 USDT; the least here is 5."),
        (order(amount=None), Reason.INVALID_AMOUNT, "Give either amount or cost."),
        (order(cost=5), Reason.INVALID_AMOUNT, "Give either amount or cost."),
        (
            order(side="sell", amount=None, cost=50),
            Reason.INVALID_AMOUNT,
            "Only market buys on spot take a cost; give amount.",
        ),
        (order(reduce_only=True), Reason.INVALID_ORDER, "reduce_only is for contracts; on spot there is no position."),
        (order(time_in_force="PO"), Reason.INVALID_ORDER, "A market order cannot be post-only."),
        (
            order(amount=1, price=101, time_in_force="PO"),
            Reason.POST_ONLY_WOULD_TAKE,
            "price is 101; a post-only order here must not reach 101.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_bound(request_: Any, reason: Reason, message: str):
    refusal = refused(engine(USDT=1e6, BTC=100), request_)
    assert (refusal.reason, refusal.message) == (reason, message)


def test_the_type_says_whether_there_is_a_price():
    account = engine(USDT=1000)
    assert refused(account, OrderRequest(symbol=SPOT.symbol, side="buy", type="limit", amount=D(1))).message == (
        "A limit order needs a price."
    )
    assert refused(
        account, OrderRequest(symbol=SPOT.symbol, side="buy", type="market", amount=D(1), price=D(1))
    ).message == ("A market order has no price.")


def test_an_order_below_the_least_amount_is_refused():
    account = Engine({SPOT.symbol: replace(SPOT, min_amount=D("0.5"), min_cost=None)}, {"USDT": D(1000)})
    for request in (order(amount="0.4"), order(amount=None, cost=40)):
        assert refused(account, request).reason is Reason.AMOUNT_TOO_SMALL
    assert refused(account, order(amount="0.4")).message == "amount is 0.4; the least here is 0.5."


def test_a_cost_that_buys_less_than_a_step_and_a_book_of_dust_are_refused():
    market = replace(SPOT, min_amount=None, min_cost=None)
    account = Engine({SPOT.symbol: market}, {"USDT": D(1000)})
    refusal = refused(account, order(amount=None, cost="0.1"))
    assert refusal.message == "The cost buys less than one step of BTC/USDT."
    dust = Book((), levels((101, "0.0001")))
    for request in (order(), order(amount=None, cost=50)):
        assert refused(account, request, dust).reason in {Reason.NO_LIQUIDITY, Reason.AMOUNT_TOO_SMALL}


def test_an_unknown_market_and_an_empty_book_are_refused():
    account = engine(USDT=1000)
    unknown = OrderRequest(symbol="X/Y", side="buy", type="market", amount=D(1))
    assert refused(account, unknown).reason is Reason.UNKNOWN_SYMBOL
    assert refused(account, order(), Book()).reason is Reason.NO_LIQUIDITY


def test_a_client_order_id_is_used_once_also_after_its_order_has_ended():
    account = engine(USDT=1000)
    first = account.place(order(client_order_id="a"), 1, DEEP)
    account.drain()
    assert refused(account, order(client_order_id="a")).message == (f"client_order_id 'a' is that of order {first.id}.")
    open_one = account.place(order(price=90, client_order_id="b"), 1, DEEP)
    assert account.order_of("b") == account.order(open_one.id) == open_one
    with pytest.raises(Refused, match="There is no open order with client_order_id 'a'"):
        account.order_of("a")


def test_a_refused_order_does_not_use_up_its_client_order_id():
    account = engine(USDT=100)
    refused(account, order(amount=3, client_order_id="a"))
    assert account.place(order(amount="0.5", client_order_id="a"), 1, DEEP).status == "closed"


def test_cancelling_frees_what_was_held_and_cannot_be_done_twice():
    account = engine(USDT=1000)
    placed = account.place(order(amount=2, price=99), 1, DEEP)
    canceled = account.cancel(placed.id, 5)
    assert (canceled.status, canceled.reason, canceled.updated, canceled.reserved) == ("canceled", "by_user", 5, 0)
    assert account.balances()["USDT"] == Balance(D(1000))
    with pytest.raises(Refused, match="There is no open order '1'"):
        account.cancel(placed.id, 6)


def test_an_amendment_changes_price_and_amount_and_what_is_held():
    account = engine(USDT=1000)
    placed = account.place(order(amount=2, price=90, client_order_id="a"), 1, DEEP)
    account.trade(SPOT.symbol, D(80), D(1), 2)
    amended = account.amend(placed.id, 3, book=DEEP, amount=D(4), price=D(95))
    assert (amended.id, amended.client_order_id, amended.created, amended.updated) == (placed.id, "a", 1, 3)
    assert (amended.amount, amended.filled, amended.remaining, amended.reserved) == (4, 1, 3, 285)


def test_an_amendment_that_crosses_takes():
    account = engine(USDT=1000)
    placed = account.place(order(amount=2, price=90), 1, DEEP)
    assert account.amend(placed.id, 2, book=DEEP, price=D(101)).status == "closed"
    (fill,) = account.drain().fills
    assert (fill.price, fill.maker) == (101, False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.INVALID_ORDER),
        ({"amount": D(1)}, Reason.INVALID_AMOUNT),
        ({"amount": D(100)}, Reason.INSUFFICIENT_BALANCE),
        ({"price": D("90.05")}, Reason.PRICE_STEP),
        ({"price": D(101)}, Reason.POST_ONLY_WOULD_TAKE),
        ({"price": D("NaN")}, Reason.INVALID_PRICE),
        ({"trigger_price": D(90)}, Reason.NOT_AMENDABLE),
    ],
)
def test_a_refused_amendment_leaves_the_order_as_it_was(changes: Any, reason: Reason):
    account = engine(USDT=1000)
    placed = account.place(order(amount=2, price=90, time_in_force="PO"), 1, DEEP)
    account.trade(SPOT.symbol, D(80), D(1), 2)
    before = account.to_dict()
    with pytest.raises(Refused) as caught:
        account.amend(placed.id, 3, book=DEEP, **changes)
    assert caught.value.reason is reason
    assert account.to_dict() == before


def test_ids_are_counted_in_the_state_and_written_as_one_likes():
    account = Engine(MARKETS, {"USDT": D(1000)}, ids=lambda number: f"paper-{number}")
    assert account.place(order(price=90), 1, DEEP).id == "paper-1"
    restored = Engine.from_dict(MARKETS, json.loads(json.dumps(account.to_dict())), ids="p{}".format)
    assert restored.place(order(price=90), 1, DEEP).id == "p2"


def test_a_drain_tells_what_changed_once():
    account = engine(USDT=1000)
    placed = account.place(order(price=90), 1, DEEP)
    events = account.drain()
    assert events.orders == (placed,)
    assert events.balances == {"USDT": Balance(D(910), D(90))}
    again = account.drain()
    assert (again.orders, again.fills, again.balances, again.positions) == ((), (), {}, ())


def test_a_market_that_is_no_longer_listed_leaves_its_orders_to_be_canceled():
    account = engine(USDT=1000)
    placed = account.place(order(price=90), 1, DEEP)
    left = Engine.from_dict({}, account.to_dict())
    left.trade(SPOT.symbol, D(1), None, 2)
    left.book(SPOT.symbol, book(1, 2), 2)
    assert left.cancel(placed.id, 3).status == "canceled"
    assert left.balances()["USDT"] == Balance(D(1000))


def test_a_thousand_ended_orders_later_a_client_order_id_may_come_back():
    account = engine(USDT=1e6, BTC=1000)
    for number in range(1001):
        account.place(order(amount="0.1", client_order_id=f"c{number}"), 1, book())
    assert account.place(order(amount="0.1", client_order_id="c0"), 1, book()).status == "closed"
    account.drain()
    assert refused(account, order(client_order_id="c2")).reason is Reason.DUPLICATE_CLIENT_ORDER_ID


def test_what_happened_before_an_order_was_placed_or_amended_does_not_concern_it():
    account = engine(USDT=1000)
    placed = account.place(order(price=99), 10, book())
    waiting = account.place(order(trigger_price=105), 10, book())
    account.trade(SPOT.symbol, D(90), None, 9)
    account.trade(SPOT.symbol, D(110), None, 9)
    account.book(SPOT.symbol, book(89, 90), 9)
    assert account.orders() == [placed, waiting]
    account.amend(placed.id, 20, book=book(), price=D(98))
    account.trade(SPOT.symbol, D(90), None, 19)
    assert account.order(placed.id).filled == 0
    account.trade(SPOT.symbol, D(90), None, 20)
    assert account.orders() == [waiting]
