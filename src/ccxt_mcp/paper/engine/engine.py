"""The engine: one account, its open orders and positions, and what the market does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self

from . import execution, matching, settlement
from .account import Account, Events
from .book import Book
from .ledger import Balance, Ledger
from .market import Market, Markets
from .money import ZERO, exact, floor_to, text, within_reach
from .order import Order, OrderRequest, Side
from .position import Position
from .refusal import Reason, Refused
from .rules import check, check_number, check_protection
from .triggers import Reach, armed, followed, reached


class Engine:
    """One account: balances, open orders and positions, changed by requests and by the market.

    Requests are done in full or refused, and a refusal has changed nothing. What the market does is never refused.
    Spot buys pay their fee in base, spot sells in quote, contracts in the currency that they settle in. A market order
    walks the book and drops what the book does not have. A resting order fills at its own price when a trade goes
    through that price, no further than the trade's amount, or when the book crosses it. Triggers watch trades and the
    book. What the market did before an order was placed, or amended, does not concern the order. Contracts have one
    position a market, long or short, with isolated margin, which is the most it can lose.

    Args:
        markets: the markets by symbol; looked up when they are needed.
        balances: what the account begins with, by currency.
        ids: how the n-th id is written, for orders and fills alike.
    """

    def __init__(self, markets: Markets, balances: Mapping[str, Decimal], *, ids: Callable[[int], str] = str) -> None:
        self._markets = markets
        self._account = Account(Ledger({name: Balance(amount) for name, amount in balances.items()}), ids)

    def balances(self) -> dict[str, Balance]:
        """All currencies that were ever owned, by name."""
        return self._account.ledger.balances()

    def orders(self, symbol: str | None = None) -> list[Order]:
        """The live orders, those that wait for a trigger included, oldest first."""
        return [order for order in self._account.orders.values() if symbol in {None, order.symbol}]

    def order(self, order_id: str) -> Order:
        """Return a live order.

        Raises:
            Refused: ORDER_NOT_FOUND; it has ended, or never was.
        """
        if (order := self._account.orders.get(order_id)) is None:
            raise Refused(Reason.ORDER_NOT_FOUND, f"There is no open order {order_id!r}.")
        return order

    def order_of(self, client_order_id: str) -> Order:
        """Return a live order by the caller's own id.

        Raises:
            Refused: ORDER_NOT_FOUND; it has ended, or never was.
        """
        for order in self._account.orders.values():
            if order.client_order_id == client_order_id:
                return order
        raise Refused(Reason.ORDER_NOT_FOUND, f"There is no open order with client_order_id {client_order_id!r}.")

    def positions(self) -> list[Position]:
        """The open positions."""
        return list(self._account.positions.values())

    def position(self, symbol: str) -> Position | None:
        """The open position in a market, if there is one."""
        return self._account.positions.get(symbol)

    def leverage(self, symbol: str) -> Decimal:
        """The leverage of what is opened from now on.

        Raises:
            Refused: UNKNOWN_SYMBOL.
        """
        return self._account.leverage(self._market(symbol))

    @exact
    def place(self, request: OrderRequest, now: int, book: Book) -> Order:
        """Place an order, and return it as it stands after it has taken what it can.

        Args:
            request: what is asked for.
            now: milliseconds since the epoch.
            book: the market's book; what the order takes is taken from it, the market itself does not notice.

        Raises:
            Refused: any of its reasons; nothing has changed.
        """
        account, market = self._account, self._market(request.symbol)
        with account.atomic():
            check(market, request)
            account.claim(request.client_order_id)
            order = account.create(market, request, now)
            self._check_against(order, book)
            if request.reduce_only and not settlement.closable(account, order):
                raise Refused(
                    Reason.REDUCE_ONLY_REJECTED,
                    f"There is no position in {order.symbol} that a {order.side} would reduce.",
                )
            if request.waits:
                account.put(armed(order, self._price(order.symbol, book)))
            else:
                execution.enter(account, market, order, book, now)
        return account.latest(order.id)

    @exact
    def amend(
        self,
        order_id: str,
        now: int,
        *,
        book: Book,
        amount: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Order:
        """Change an open order, and return it as it stands after it has taken what it now can.

        Args:
            order_id: a live order.
            now: milliseconds since the epoch.
            book: the market's book.
            amount: the new amount in all, what is filled already included.
            price: the new price of a limit order.
            trigger_price: the new trigger of an order that waits for one.

        Raises:
            Refused: any of its reasons; the order stays as it was.
        """
        account, order = self._account, self.order(order_id)
        market = self._market(order.symbol)
        changes = {"amount": amount, "price": price, "trigger_price": trigger_price}
        request = _amended(order, {name: value for name, value in changes.items() if value is not None})
        with account.atomic():
            check(market, request, least=order.role is None)
            account.ledger.release(order.currency, order.reserved)
            total = order.amount if request.amount is None else request.amount
            order = replace(order, request=request, amount=total, reserved=ZERO, opens=ZERO, updated=now, entered=now)
            if order.status == "untriggered":
                account.put(armed(order, self._price(order.symbol, book)) if trigger_price is not None else order)
            else:
                execution.rest(account, market, account.put(order), book, now)
        return account.latest(order_id)

    @exact
    def cancel(self, order_id: str, now: int) -> Order:
        """Cancel a live order and return it.

        Raises:
            Refused: ORDER_NOT_FOUND; it has ended, or never was.
        """
        return self._account.end(self.order(order_id), now, Reason.BY_USER)

    @exact
    def set_leverage(self, symbol: str, leverage: Decimal, now: int) -> None:
        """Set the leverage of a contract; the margin of its position and of its open orders follows.

        Raises:
            Refused: out of bounds, too little free for the margin, or the position would be liquidated.
        """
        account, market = self._account, self._market(symbol)
        _check_leverage(market, leverage)
        with account.atomic():
            account.remember_leverage(symbol, leverage)
            for order in account.live(symbol):
                if order.opens:
                    account.ledger.release(order.currency, order.reserved)
                    held = settlement.reservation(account, market, order.request, order.remaining, order.opens)
                    account.ledger.hold(order.currency, held)
                    account.put(replace(order, reserved=held, updated=now))
            if (position := account.positions.get(symbol)) is not None:
                margin = settlement.margin_of(position.cost, leverage)
                account.ledger.release(position.currency, position.margin)
                account.ledger.hold(position.currency, margin)
                changed = replace(position, margin=margin, leverage=leverage, updated=now)
                if changed.liquidated:
                    raise Refused(
                        Reason.LEVERAGE_REJECTED, f"With leverage {text(leverage)} the position would be liquidated."
                    )
                account.put_position(changed)

    @exact
    def book(self, symbol: str, book: Book, now: int) -> None:
        """Let the market's book fill the resting orders that it crosses, and trigger others."""
        if (market := self._markets.get(symbol)) is None:
            return
        sides: tuple[Side, ...] = ("buy", "sell")
        for side in sides:
            used = ZERO
            for order in self._resting(symbol, side, now):
                wanted, limit = used + order.remaining, order.request.price
                levels = matching.walk(book.offers(side), wanted, side, step=market.amount_step, limit=limit)
                used += self._fill_resting(market, order, matching.total(levels) - used, now)
        self._pull(market, Reach.of(book), book, now)

    @exact
    def trade(self, symbol: str, price: Decimal, amount: Decimal | None, now: int, *, book: Book | None = None) -> None:
        """Let a trade of the market fill the resting orders that it goes through, and trigger others.

        Args:
            symbol: the market.
            price: what it traded at.
            amount: how much, in base or contracts; None for any amount.
            now: milliseconds since the epoch.
            book: what triggered orders execute against; without it, at the trade's price.
        """
        if (market := self._markets.get(symbol)) is None:
            return
        sides: tuple[Side, ...] = ("buy", "sell")
        for side in sides:
            for order in self._resting(symbol, side, now):
                limit = order.request.price
                if limit is None or not (price < limit if side == "buy" else price > limit):
                    continue
                most = order.remaining if amount is None else min(order.remaining, floor_to(amount, market.amount_step))
                filled = self._fill_resting(market, order, most, now)
                amount = None if amount is None else amount - filled
        self._pull(market, Reach(price, price), book or Book.at(price), now)

    @exact
    def mark(self, symbol: str, price: Decimal, now: int) -> None:
        """Value a position at a mark price, and liquidate it when its margin is used up."""
        if (position := self._position_at(symbol, now)) is not None:
            marked = self._account.positions[symbol] = replace(position, mark=price)
            self._liquidate_if_due(marked, now)

    @exact
    def funding(self, symbol: str, rate: Decimal, now: int) -> None:
        """Let a position pay (at a positive rate, when long) or receive funding on its value at the mark price."""
        if (position := self._position_at(symbol, now)) is not None:
            settlement.fund(self._account, position, rate, now)
            self._liquidate_if_due(self._account.positions[symbol], now)

    def drain(self) -> Events:
        """Return what happened since the last drain, and forget it."""
        return self._account.drain()

    def to_dict(self) -> dict[str, Any]:
        """The state in JSON's types. Drain before: events are no part of it."""
        return self._account.to_dict()

    @classmethod
    def from_dict(cls, markets: Markets, document: Mapping[str, Any], *, ids: Callable[[int], str] = str) -> Self:
        """The inverse of `to_dict`."""
        engine = cls(markets, {}, ids=ids)
        engine._account = Account.from_dict(document, ids)
        return engine

    def _market(self, symbol: str) -> Market:
        if (market := self._markets.get(symbol)) is None:
            raise Refused(Reason.UNKNOWN_SYMBOL, f"There is no market {symbol!r} here.")
        return market

    def _position_at(self, symbol: str, now: int) -> Position | None:
        """The position, if it was open at that time."""
        position = self._account.positions.get(symbol)
        return position if position is not None and position.opened <= now else None

    def _price(self, symbol: str, book: Book) -> Decimal:
        if (price := book.price) is None:
            raise Refused(Reason.NO_LIQUIDITY, f"The book of {symbol} is empty, so its price is not known.")
        return price

    def _check_against(self, order: Order, book: Book) -> None:
        """Check what depends on the price at which an order will fill."""
        request = order.request
        if request.take_profit is not None or request.stop_loss is not None:
            check_protection(request, request.price or request.trigger_price or self._price(order.symbol, book))

    def _resting(self, symbol: str, side: Side, now: int) -> list[Order]:
        """The resting orders of one side that what happens now concerns, best price first, then oldest first."""
        found = [
            order
            for order in self._account.live(symbol)
            if order.status == "open" and order.side == side and order.entered <= now
        ]
        found.sort(key=lambda order: order.number)
        found.sort(key=lambda order: order.request.price or ZERO, reverse=side == "buy")
        return found

    def _fill_resting(self, market: Market, order: Order, amount: Decimal, now: int) -> Decimal:
        """Fill a resting order, unless another fill has ended or changed it meanwhile."""
        current = self._account.orders.get(order.id)
        if current is None or amount <= 0:
            return ZERO
        return execution.fill_resting(self._account, market, current, min(amount, current.remaining), now)

    def _pull(self, market: Market, reach: Reach, book: Book, now: int) -> None:
        """Trigger what the market has reached, in the order of placing, and let trailing stops follow it."""
        for order in self._account.live(market.symbol):
            if order.status != "untriggered" or order.entered > now or order.id not in self._account.orders:
                continue
            # A sibling's trigger may have changed it since the list was made.
            order = self._account.orders[order.id]  # noqa: PLW2901
            if reached(order, reach):
                self._trigger(market, order, book, now)
            elif (moved := followed(order, reach)) is not order:
                self._account.put(moved)

    def _trigger(self, market: Market, order: Order, book: Book, now: int) -> None:
        """Let a waiting order enter the market; where nobody trades it goes on waiting."""
        if order.request.type == "market" and not book.offers(order.side):
            return
        account = self._account
        order = account.put(replace(order, status="open", triggered=now, updated=now, entered=now))
        if (sibling := account.orders.get(order.sibling or "")) is not None:
            account.end(sibling, now, Reason.SIBLING_TRIGGERED)
        try:
            with account.atomic():
                execution.enter(account, market, order, book, now)
        except Refused as refusal:
            account.end(order, now, refusal.reason, rejected=True)

    def _liquidate_if_due(self, position: Position, now: int) -> None:
        if position.liquidated:
            settlement.liquidate(self._account, position, now)


def _amended(order: Order, changes: Mapping[str, Decimal]) -> OrderRequest:
    """Return the request with the changes that such an order takes."""
    if not changes:
        raise Refused(Reason.INVALID_ORDER, "Nothing to change was given: amount, price or trigger_price.")
    for name, value in changes.items():
        check_number(name, value)
        if getattr(order.request, name) is None or (name == "trigger_price" and order.status != "untriggered"):
            raise Refused(Reason.NOT_AMENDABLE, f"This order has no {name} that could be changed.")
    amount = changes.get("amount")
    if amount is not None and amount <= order.filled:
        raise Refused(
            Reason.INVALID_AMOUNT,
            f"amount is {text(amount)}; {text(order.filled)} is filled already, so it must be more.",
        )
    return replace(
        order.request,
        amount=changes.get("amount", order.request.amount),
        price=changes.get("price", order.request.price),
        trigger_price=changes.get("trigger_price", order.request.trigger_price),
    )


def _check_leverage(market: Market, leverage: Decimal) -> None:
    if market.spot:
        raise Refused(Reason.LEVERAGE_REJECTED, f"{market.symbol} is a spot market; leverage is for contracts.")
    if not within_reach(leverage) or not 1 <= leverage <= market.max_leverage:
        raise Refused(Reason.LEVERAGE_REJECTED, f"leverage must be from 1 to {text(market.max_leverage)} here.")
    if leverage * market.maintenance >= 1:
        raise Refused(
            Reason.LEVERAGE_REJECTED, f"At leverage {text(leverage)} the margin would be below maintenance at once."
        )
