"""Whatever happens in whatever order: no money appears or vanishes, and everything adds up to the last digit."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal, localcontext
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ccxt_mcp.paper.engine import Book, Engine, Events, Fill, Level, Order, OrderRequest, Refused
from paper.samples import MARKETS, PERP, REBATE, SPOT

D = Decimal

START = {"USDT": D(120), "BTC": D("0.5"), "ETH": D(10)}
PRICES = {SPOT.symbol: 1000, PERP.symbol: 1000, REBATE.symbol: 3000}
AMOUNTS = {SPOT.symbol: 400, PERP.symbol: 400, REBATE.symbol: 800}

DEPTHS = [0, 1, 2, 3, 3]  # levels on a side of a book

symbols = st.sampled_from(list(MARKETS))
shifts = st.integers(-12, 12)


def price_at(symbol: str, shift: int) -> Decimal:
    """A price on the market's grid, some steps of a tenth of a percent away from the usual one."""
    step = MARKETS[symbol].price_step
    assert step is not None
    usual = PRICES[symbol]
    return step * (usual + usual * shift // 100)


@st.composite
def books(draw: Any, symbol: str) -> Book:
    middle = draw(shifts)
    step = MARKETS[symbol].amount_step
    assert step is not None
    sizes = st.integers(0, AMOUNTS[symbol]).map(lambda lots: step * lots + step / 2 * (lots % 2))
    bids = [Level(price_at(symbol, middle - i - 1), draw(sizes)) for i in range(draw(st.sampled_from(DEPTHS)))]
    asks = [Level(price_at(symbol, middle + i), draw(sizes)) for i in range(draw(st.sampled_from(DEPTHS)))]
    return Book(tuple(bids), tuple(asks))


@st.composite
def requests(draw: Any, symbol: str) -> OrderRequest:
    """Mostly orders that make sense; now and then a combination that does not."""
    market = MARKETS[symbol]
    assert market.amount_step is not None
    side: Any = draw(st.sampled_from(["buy", "sell"]))
    limit = draw(st.booleans())
    reduce_only = not market.spot and draw(st.booleans())
    by_cost = not limit and market.spot and side == "buy" and draw(st.booleans())
    price = price_at(symbol, draw(shifts)) if limit else None
    more: dict[str, Any] = {}
    match draw(st.integers(0, 9)):
        case 0 | 1:
            more["trigger_price"] = price_at(symbol, draw(shifts))
            more["trigger_rises"] = draw(st.none() | st.booleans())
        case 2 if not limit:
            more["trailing"] = price_at(symbol, 0) * draw(st.integers(1, 9)) / 100
        case 3 if not limit:
            more["trailing_rate"] = D(draw(st.integers(1, 9))) / 100
        case 4 | 5 | 6 if side == "buy" or not market.spot:
            sign = 1 if side == "buy" else -1
            more["take_profit"] = price_at(symbol, sign * draw(st.integers(5, 15)))
            more["stop_loss"] = price_at(symbol, -sign * draw(st.integers(5, 15)))
            reduce_only = reduce_only and draw(st.booleans())
        case _:
            pass
    return OrderRequest(
        symbol=symbol,
        side=side,
        type="limit" if limit else "market",
        amount=None if by_cost else market.amount_step * draw(st.integers(AMOUNTS[symbol] // 8, AMOUNTS[symbol])),
        cost=D(draw(st.integers(450, 5000))) / 100 if by_cost else None,
        price=price,
        time_in_force=draw(st.sampled_from(["GTC", "GTC", "GTC", "IOC", "FOK", "PO" if limit else "GTC"])),
        reduce_only=reduce_only,
        client_order_id=draw(st.none() | st.integers(0, 99).map(str)),
        **more,
    )


class Trading(RuleBasedStateMachine):
    """Any order of requests and market events, against the sum of what the engine tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(MARKETS, START)
        self.twin: Engine | None = None
        self.now = 0
        self.expected = dict(START)
        self.told: dict[str, Order] = {}
        self.fills: dict[str, list[Fill]] = {}
        self.clients: set[str] = set()

    def act(self, action: Any) -> None:
        """Do something to the engine, and the same to one that is restored from its state: both must tell the same."""
        self.now += 1
        before = self.engine.to_dict()
        restored = Engine.from_dict(MARKETS, json.loads(json.dumps(before)))
        assert restored.to_dict() == before
        refused = False
        try:
            action(self.engine)
        except Refused:
            refused = True
            assert self.engine.to_dict() == before
        with contextlib.suppress(Refused):
            action(restored)
        events = self.engine.drain()
        assert restored.drain() == events
        assert restored.to_dict() == self.engine.to_dict()
        assert not refused or events == Events((), (), (), {}, ())
        with localcontext(prec=200):
            self.account_for(events)

    def account_for(self, events: Events) -> None:
        for fill in events.fills:
            self.book_fill(fill)
        for payment in events.payments:
            self.expected[payment.currency] += payment.amount
        for order in events.orders:
            self.told[order.id] = order
        for currency, balance in self.engine.balances().items():
            assert balance.total == self.expected[currency]
        for currency, balance in events.balances.items():
            assert balance == self.engine.balances()[currency]

    def book_fill(self, fill: Fill) -> None:
        market = MARKETS[fill.symbol]
        self.fills.setdefault(fill.order_id, []).append(fill)
        if market.spot:
            sign = 1 if fill.side == "buy" else -1
            self.expected[market.base] += sign * fill.amount
            self.expected[market.quote] -= sign * fill.cost
            assert fill.realised == 0
        else:
            self.expected["USDT"] += fill.realised
        self.expected[fill.fee_currency] -= fill.fee

    @rule(data=st.data(), symbol=st.sampled_from([SPOT.symbol, REBATE.symbol]))
    def place_spot(self, data: Any, symbol: str) -> None:
        self.place(data, symbol)

    def place(self, data: Any, symbol: str) -> None:
        request, book = data.draw(requests(symbol)), data.draw(books(symbol))
        placed: list[Order] = []
        self.act(lambda engine: placed.append(engine.place(request, self.now, book)))
        if placed:
            assert placed[0] == placed[-1] == self.told[placed[0].id]
            assert request.client_order_id is None or request.client_order_id not in self.clients
            if request.client_order_id is not None:
                self.clients.add(request.client_order_id)

    @rule(data=st.data())
    def place_contracts(self, data: Any) -> None:
        self.place(data, PERP.symbol)

    @precondition(lambda self: self.engine.orders())
    @rule(data=st.data())
    def amend(self, data: Any) -> None:
        order = data.draw(st.sampled_from(self.engine.orders()))
        step = MARKETS[order.symbol].amount_step
        assert step is not None
        field = data.draw(st.sampled_from(["amount", "price", "trigger_price"]))
        value = (
            step * data.draw(st.integers(1, 900)) if field == "amount" else price_at(order.symbol, data.draw(shifts))
        )
        changes: dict[str, Any] = {field: value}
        book = data.draw(books(order.symbol))
        self.act(lambda engine: engine.amend(order.id, self.now, book=book, **changes))

    @precondition(lambda self: self.engine.orders())
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        order = data.draw(st.sampled_from(self.engine.orders()))
        self.act(lambda engine: engine.cancel(order.id, self.now))
        assert self.told[order.id].status == "canceled"

    @rule(data=st.data(), symbol=symbols)
    def book_moves(self, data: Any, symbol: str) -> None:
        book = data.draw(books(symbol))
        self.act(lambda engine: engine.book(symbol, book, self.now))

    @rule(data=st.data(), symbol=symbols, shift=shifts, lots=st.none() | st.integers(1, 300))
    def trade_happens(self, data: Any, symbol: str, shift: int, lots: int | None) -> None:
        market = MARKETS[symbol]
        assert market.amount_step is not None
        amount = None if lots is None else market.amount_step * lots
        book = data.draw(st.none() | books(symbol))
        self.act(lambda engine: engine.trade(symbol, price_at(symbol, shift), amount, self.now, book=book))

    @rule(data=st.data(), what=st.sampled_from(["mark", "mark", "funding", "leverage"]))
    def the_contract_changes(self, data: Any, what: str) -> None:
        if what == "mark":
            price = price_at(PERP.symbol, data.draw(shifts))
            self.act(lambda engine: engine.mark(PERP.symbol, price, self.now))
        elif what == "funding":
            rate = D(data.draw(st.integers(-300, 300))) / 1000
            self.act(lambda engine: engine.funding(PERP.symbol, rate, self.now))
        else:
            leverage = D(data.draw(st.sampled_from([1, 2, 5, 10, 20, 50, 51])))
            self.act(lambda engine: engine.set_leverage(PERP.symbol, leverage, self.now))

    @invariant()
    def nothing_is_negative(self) -> None:
        for balance in self.engine.balances().values():
            assert balance.free >= 0
            assert balance.used >= 0
        for position in self.engine.positions():
            assert position.contracts > 0
            assert position.margin >= 0
            assert position.cost >= 0

    @invariant()
    def what_is_held_is_what_open_orders_and_positions_need(self) -> None:
        held = dict.fromkeys(START, D(0))
        with localcontext(prec=200):
            for order in self.engine.orders():
                held[order.currency] += order.reserved
                self.check_reservation(order)
            for position in self.engine.positions():
                held[position.currency] += position.margin
        assert held == {currency: balance.used for currency, balance in self.engine.balances().items()}

    def check_reservation(self, order: Order) -> None:
        market, price = MARKETS[order.symbol], order.request.price
        if order.status == "untriggered":
            assert order.reserved == 0
        elif market.spot:
            assert price is not None
            assert order.reserved == (order.remaining * price if order.side == "buy" else order.remaining)
        else:
            assert price is not None
            assert 0 <= order.opens <= order.remaining
            value = price * order.opens * market.contract_size
            least = value / self.engine.leverage(market.symbol) + value * market.taker
            assert abs(order.reserved - least) <= D("3e-18")

    @invariant()
    def orders_add_up(self) -> None:
        for order in self.told.values():
            fills = self.fills.get(order.id, [])
            with localcontext(prec=200):
                assert order.filled + order.remaining == order.amount
                assert sum(fill.amount for fill in fills) == order.filled
                assert sum(fill.cost for fill in fills) == order.cost
                for currency, fee in order.fees.items():
                    assert sum(fill.fee for fill in fills if fill.fee_currency == currency) == fee
            assert {fill.fee_currency for fill in fills} == order.fees.keys()
            assert order.live == (order.id in {one.id for one in self.engine.orders()})
            assert (order.status == "closed") == (order.filled == order.amount and order.filled > 0)
            assert order.live or order.reserved == 0
            self.check_terms(order, fills)

    def check_terms(self, order: Order, fills: list[Fill]) -> None:
        request = order.request
        for fill in fills:
            assert fill.amount > 0
            assert (fill.symbol, fill.side) == (order.symbol, order.side)
            if request.cost is None and fill.maker:
                assert request.type == "limit"
        if request.time_in_force == "FOK" and not order.live and order.reason == "fill_or_kill":
            assert not fills
        if request.cost is not None:
            assert order.cost <= request.cost

    @invariant()
    def what_only_reduces_never_outlives_its_position(self) -> None:
        for order in self.engine.orders(PERP.symbol):
            if order.request.reduce_only:
                position = self.engine.position(PERP.symbol)
                assert position is not None
                assert position.closing_side == order.side


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
