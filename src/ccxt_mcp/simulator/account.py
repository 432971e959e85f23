"""An account: the engine behind one API key, all that it ever did, and who wants to hear of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ccxt_mcp.paper.engine import Engine, Order, Reason, Refused
from ccxt_mcp.paper.engine.money import text

from .codes import granted, refusal
from .documents import coin_documents, execution_document, payment_document, position_document, status
from .floor import name_of
from .records import Execution, Record, Terms
from .replay import replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ccxt_mcp.paper.engine import Events, OrderRequest, Position

    from .floor import Floor
    from .keys import Key
    from .markets import Market
    from .world import Venue

_KINDS = {"take_profit": "TakeProfit", "stop_loss": "StopLoss"}
_WHOLE = {"TakeProfit": "takeProfit", "StopLoss": "stopLoss", "TrailingStop": "trailingStop"}


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed at once; positions and coins are documents, because they are of this moment only."""

    time: int
    orders: Sequence[Record]
    executions: Sequence[Execution]
    positions: Sequence[dict[str, Any]]
    coins: Sequence[dict[str, Any]]

    def __bool__(self) -> bool:
        return bool(self.orders or self.executions or self.positions or self.coins)


class Account:
    """One account. `now` is the world's time in milliseconds.

    Attributes:
        name: the API key.
        key: what the key may do.
        engine: balances, live orders and positions; whoever changes it calls `tell`.
        records: every order that was ever accepted, by its id, oldest first.
        links: the same by the client's own id.
        executions: every fill, liquidation and funding, oldest first.
        asked: how many create requests came with each of the clients' own ids, those refused included.
        listeners: called with each change.
    """

    def __init__(self, name: str, key: Key, floor: Floor, now: int) -> None:
        self.name = name
        self.key = key
        self.engine = Engine(floor.rules, key.balances, ids=lambda number: _id(name, now, str(number)))
        self.records: dict[str, Record] = {}
        self.links: dict[str, Record] = {}
        self.executions: list[Execution] = []
        self.asked: Counter[str] = Counter()
        self.listeners: set[Callable[[Changes], None]] = set()
        self._floor = floor
        self._live: defaultdict[str, set[str]] = defaultdict(set)
        self._seen = now
        self._dropped = (_id(name, now, f"dropped {number}") for number in count(1))

    def advance(self, now: int) -> None:
        """Let everything happen that the market did since the last look."""
        if now > self._seen:
            names = {name for name, orders in self._live.items() if orders}
            names.update(position.symbol for position in self.engine.positions())
            replay(self.engine, self._floor, names, self._seen, now, self.tell)
            self._seen = now
            self.tell(now)

    def place(self, request: OrderRequest, terms: Terms, venue: Venue, now: int) -> Record:
        """Place an order. A post-only order that would take is accepted, and ends at once, as on Bybit.

        Raises Refusal where the engine refuses, and where the client's own id was used before.
        """
        link, category = request.client_order_id, venue.market.category
        if link in self.links:
            raise refusal(category, Reason.DUPLICATE_CLIENT_ORDER_ID)
        with granted(category):
            try:
                order = self.engine.place(request, now, self._floor.book(venue, now))
            except Refused as refused:
                if refused.reason is not Reason.POST_ONLY_WOULD_TAKE:
                    raise
                order = self._drop(request, refused.reason, now)
        record = self._record(venue.market, terms, order)
        if link is not None:
            self.links[link] = record
        if venue.contract is not None:
            self.engine.mark(order.symbol, self._floor.mark(venue, now), now)
        self.tell(now, *(() if order.reason is not Reason.POST_ONLY_WOULD_TAKE else (record,)))
        return record

    def stops(self, market: Market) -> dict[str, str]:
        """The prices that close all of a position, by Bybit's names: takeProfit, stopLoss, trailingStop."""
        found: dict[str, str] = {}
        for record in self.whole_stops(market):
            trailing = record.order.request.trailing
            found[_WHOLE[record.terms.kind]] = text(trailing or record.order.trigger or Decimal(0))
        return found

    def whole_stops(self, market: Market) -> list[Record]:
        """The live orders that close all of a position when a price is reached."""
        orders = self.engine.orders(name_of(market))
        return [record for order in orders if (record := self.records[order.id]).terms.kind in _WHOLE]

    def position(self, position: Position) -> dict[str, Any]:
        """The document of a position."""
        market = self._floor.markets[position.symbol]
        return position_document(market, position, self.stops(market))

    def tell(self, now: int, *dropped: Record) -> None:
        """Take note of what the engine did, and tell the listeners."""
        events = self.engine.drain()
        orders = [*(self._noted(order) for order in events.orders), *dropped]
        executions = [*self._filled(events), *self._paid(events)]
        self.executions += executions
        if not self.listeners:
            return
        positions = [self.position(self.engine.position(one.symbol) or one) for one in events.positions]
        coins = coin_documents(self.engine, self._floor, events.balances, now)
        if changes := Changes(now, orders, executions, positions, coins):
            for listener in tuple(self.listeners):
                listener(changes)

    def truth(self, record: Record) -> dict[str, Any]:
        """What became of an order, to compare a client's own books with."""
        order = record.order
        return {
            "key": self.name,
            "orderId": order.id,
            "orderLinkId": record.link,
            "category": record.market.category,
            "symbol": record.market.symbol,
            "side": order.side.capitalize(),
            "orderType": order.request.type.capitalize(),
            "price": text(order.request.price or Decimal(0)),
            "qty": record.terms.quantity or text(order.amount),
            "orderStatus": status(record.market, order),
            "cumExecQty": text(order.filled),
            "createdTime": str(order.created),
            "asked": self.asked[record.link] if record.link else 1,
        }

    def _record(self, market: Market, terms: Terms, order: Order) -> Record:
        record = self.records[order.id] = Record(len(self.records) + 1, market, terms, order)
        return record

    def _drop(self, request: OrderRequest, reason: Reason, now: int) -> Order:
        """An order that ended as it came in; the engine has forgotten it."""
        return Order(
            id=next(self._dropped),
            number=0,
            request=request,
            status="canceled",
            amount=request.amount or Decimal(0),
            created=now,
            updated=now,
            currency="",
            entered=now,
            reason=reason,
        )

    def _noted(self, order: Order) -> Record:
        record = self.records.get(order.id)
        if record is None:
            # Nobody asked for it: it protects what another order has filled.
            market = self._floor.markets[order.symbol]
            kind = "tpslOrder" if market.category == "spot" else _KINDS.get(order.role or "", "")
            record = self._record(market, Terms(kind=kind), order)
        record.order = order
        if order.live:
            self._live[order.symbol].add(order.id)
        else:
            self._live[order.symbol].discard(order.id)
        return record

    def _filled(self, events: Events) -> list[Execution]:
        done = {order.id: order.filled for order in events.orders}
        for fill in events.fills:
            if fill.order_id in done:
                done[fill.order_id] -= fill.amount
        found: list[Execution] = []
        for number, fill in enumerate(events.fills, len(self.executions) + 1):
            market, record = self._floor.markets[fill.symbol], self.records.get(fill.order_id)
            left = Decimal(0)
            if record is not None:
                done[fill.order_id] += fill.amount
                left = record.order.amount - done[fill.order_id]
            found.append(Execution(number, market, fill.time, execution_document(record, market, fill, left)))
        return found

    def _paid(self, events: Events) -> list[Execution]:
        first = len(self.executions) + len(events.fills) + 1
        found: list[Execution] = []
        for number, payment in enumerate(events.payments, first):
            market, position = self._floor.markets[payment.symbol], self.engine.position(payment.symbol)
            document = payment_document(market, position, payment, number)
            found.append(Execution(number, market, payment.time, document))
        return found


def accounts(keys: Mapping[str, Key], floor: Floor, now: int) -> dict[str, Account]:
    """One account for each key, by its name."""
    return {name: Account(name, key, floor, now) for name, key in keys.items()}


def _id(name: str, born: int, word: str) -> str:
    """An id that neither another account nor a simulator that is started later gives."""
    return str(uuid5(NAMESPACE_OID, f"{name} {born} {word}"))
