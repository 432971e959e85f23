"""The account's state: what is kept, and what has changed since somebody last looked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from .fill import Fill, Payment
from .ledger import Balance, Ledger
from .market import Market
from .money import ZERO, exact, text
from .order import Order, OrderRequest
from .position import Position
from .refusal import Reason, Refused

_REMEMBERED = 1000  # client order ids of ended orders; the caller's archive knows the older ones


@dataclass(frozen=True, slots=True)
class Events:
    """What happened since the last look, each thing in its latest state.

    Attributes:
        orders: orders that are new, changed or ended, oldest first.
        fills: all fills, oldest first.
        payments: all funding payments, oldest first.
        balances: the currencies that changed.
        positions: positions that were filled, funded, closed or given another leverage; with 0 contracts when closed.
    """

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    payments: tuple[Payment, ...]
    balances: Mapping[str, Balance]
    positions: tuple[Position, ...]


class Account:
    """Balances, live orders and positions of one account, and the events that its changes are."""

    def __init__(self, ledger: Ledger, ids: Callable[[int], str]) -> None:
        self.ledger = ledger
        self.orders: dict[str, Order] = {}
        self.positions: dict[str, Position] = {}
        self._ids = ids
        self._number = 0
        self._leverages: dict[str, Decimal] = {}
        self._clients: dict[str, str] = {}
        self._told = ledger.balances()
        self._changed_orders: dict[str, Order] = {}
        self._changed_positions: dict[str, Position] = {}
        self._fills: list[Fill] = []
        self._payments: list[Payment] = []

    @contextmanager
    def atomic(self) -> Generator[None]:
        """Undo everything that is done inside when it ends with an exception."""
        balances, number = self.ledger.balances(), self._number
        orders, positions, leverages = dict(self.orders), dict(self.positions), dict(self._leverages)
        clients, fills, payments = dict(self._clients), len(self._fills), len(self._payments)
        changed = dict(self._changed_orders), dict(self._changed_positions)
        try:
            yield
        except BaseException:
            self.ledger, self._number = Ledger(balances), number
            self.orders, self.positions, self._leverages = orders, positions, leverages
            self._clients = clients
            self._changed_orders, self._changed_positions = changed
            del self._fills[fills:], self._payments[payments:]
            raise

    def next_id(self) -> tuple[int, str]:
        """Count on; return the number and the id that it gives."""
        self._number += 1
        return self._number, self._ids(self._number)

    def leverage(self, market: Market) -> Decimal:
        """The leverage of what is opened in a contract from now on."""
        return self._leverages.get(market.symbol, market.leverage)

    def remember_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set the leverage for what is opened from now on."""
        self._leverages[symbol] = leverage

    def live(self, symbol: str) -> list[Order]:
        """The live orders of a market, oldest first."""
        return [order for order in self.orders.values() if order.symbol == symbol]

    def latest(self, order_id: str) -> Order:
        """The latest state of an order that is live, or has changed since the last drain."""
        return self.orders.get(order_id) or self._changed_orders[order_id]

    def claim(self, client_order_id: str | None) -> None:
        """Raise Refused when a client order id has been used."""
        if client_order_id is None:
            return
        live = (order.id for order in self.orders.values() if order.client_order_id == client_order_id)
        if (owner := self._clients.get(client_order_id) or next(live, None)) is not None:
            raise Refused(
                Reason.DUPLICATE_CLIENT_ORDER_ID, f"client_order_id {client_order_id!r} is that of order {owner}."
            )

    def create(self, market: Market, request: OrderRequest, now: int, **more: Any) -> Order:
        """Return a new order that holds nothing yet and is not among the live ones yet."""
        number, order_id = self.next_id()
        spends = market.base if market.spot and request.side == "sell" else market.money
        if request.client_order_id is not None:
            self._clients[request.client_order_id] = order_id
            while len(self._clients) > _REMEMBERED:
                del self._clients[next(iter(self._clients))]
        amount = ZERO if request.amount is None else request.amount
        facts: dict[str, Any] = {"status": "open", "amount": amount, "currency": spends, **more}
        return Order(id=order_id, number=number, request=request, created=now, updated=now, entered=now, **facts)

    def put(self, order: Order) -> Order:
        """Take note of an order's new state."""
        if order.live:
            self.orders[order.id] = order
        else:
            self.orders.pop(order.id, None)
        self._changed_orders[order.id] = order
        return order

    def end(self, order: Order, now: int, reason: Reason, *, rejected: bool = False) -> Order:
        """End an order before it is filled, and free what it holds."""
        self.ledger.release(order.currency, order.reserved)
        status = "rejected" if rejected else "canceled"
        return self.put(replace(order, status=status, updated=now, reason=reason.value, reserved=ZERO, opens=ZERO))

    def put_position(self, position: Position) -> None:
        """Take note of a position's new state, with 0 contracts when it was closed."""
        if position.contracts:
            self.positions[position.symbol] = position
        else:
            self.positions.pop(position.symbol, None)
        self._changed_positions[position.symbol] = position

    def note_fill(self, fill: Fill) -> None:
        """Tell of a fill."""
        self._fills.append(fill)

    def note_payment(self, payment: Payment) -> None:
        """Tell of a funding payment."""
        self._payments.append(payment)

    def drain(self) -> Events:
        """Return what happened since the last drain, and forget it."""
        balances = self.ledger.balances()
        events = Events(
            orders=tuple(self._changed_orders.values()),
            fills=tuple(self._fills),
            payments=tuple(self._payments),
            balances={name: balance for name, balance in balances.items() if self._told.get(name) != balance},
            positions=tuple(self._changed_positions.values()),
        )
        self._told = balances
        self._changed_orders, self._changed_positions = {}, {}
        self._fills, self._payments = [], []
        return events

    def to_dict(self) -> dict[str, Any]:
        """The state in JSON's types; events are no part of it, and what is held follows from orders and positions."""
        return {
            "number": self._number,
            "free": {name: text(balance.free) for name, balance in self.ledger.balances().items()},
            "orders": [order.to_dict() for order in self.orders.values()],
            "positions": [position.to_dict() for position in self.positions.values()],
            "leverages": {symbol: text(leverage) for symbol, leverage in self._leverages.items()},
            "clients": dict(self._clients),
        }

    @classmethod
    @exact
    def from_dict(cls, document: Mapping[str, Any], ids: Callable[[int], str]) -> Self:
        """The inverse of `to_dict`."""
        orders = [Order.from_dict(one) for one in document["orders"]]
        positions = [Position.from_dict(one) for one in document["positions"]]
        used: dict[str, Decimal] = {}
        for currency, held in (
            *((order.currency, order.reserved) for order in orders),
            *((position.currency, position.margin) for position in positions),
        ):
            used[currency] = used.get(currency, ZERO) + held
        free = {name: Decimal(amount) for name, amount in document["free"].items()}
        account = cls(Ledger({name: Balance(amount, used.get(name, ZERO)) for name, amount in free.items()}), ids)
        account._number = document["number"]
        account.orders = {order.id: order for order in orders}
        account.positions = {position.symbol: position for position in positions}
        account._leverages = {symbol: Decimal(leverage) for symbol, leverage in document["leverages"].items()}
        account._clients = dict(document["clients"])
        return account
