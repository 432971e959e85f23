"""Orders that wait for a price: stops, trailing stops, and the take-profit and stop-loss of another order."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from .account import Account
from .book import Book
from .market import Market
from .money import ZERO, floor_to, text
from .order import Order, OrderRequest, Role
from .refusal import Reason, Refused


class Reach(NamedTuple):
    """How far the market's price is known to have gone, down and up; None where a side of the book is empty."""

    low: Decimal | None
    high: Decimal | None

    @classmethod
    def of(cls, book: Book) -> Reach:
        """The market has risen at least to its best bid, and fallen at least to its best ask."""
        return cls(book.asks[0].price if book.asks else None, book.bids[0].price if book.bids else None)


def armed(order: Order, price: Decimal) -> Order:
    """Return the order waiting for its trigger, given the market's price now.

    Raises:
        Refused: the trigger is reached already.
    """
    request, trigger = order.request, order.request.trigger_price
    if trigger is None:
        if request.trailing is not None and request.side == "sell" and request.trailing >= price:
            raise Refused(
                Reason.INVALID_TRIGGER, f"trailing is {text(request.trailing)}; it must be below {text(price)}."
            )
        rises = request.side == "buy"
        return replace(order, status="untriggered", extreme=price, request=replace(request, trigger_rises=rises))
    rises = trigger > price if request.trigger_rises is None else request.trigger_rises
    if trigger <= price if rises else trigger >= price:
        side = "above" if rises else "below"
        raise Refused(
            Reason.INVALID_TRIGGER,
            f"trigger_price is {text(trigger)}; the market is at {text(price)}, so it must be {side} that.",
        )
    return replace(order, status="untriggered", request=replace(request, trigger_rises=rises))


def reached(order: Order, reach: Reach) -> bool:
    """Whether the market has come to the order's trigger."""
    trigger, price = order.trigger, reach.high if order.request.trigger_rises else reach.low
    if trigger is None or price is None:
        return False
    return price >= trigger if order.request.trigger_rises else price <= trigger


def followed(order: Order, reach: Reach) -> Order:
    """Return a trailing stop after the market has moved; other orders as they are."""
    price = reach.low if order.side == "buy" else reach.high
    if not order.request.trails or order.extreme is None or price is None:
        return order
    extreme = min(order.extreme, price) if order.side == "buy" else max(order.extreme, price)
    return order if extreme == order.extreme else replace(order, extreme=extreme)


def protect(account: Account, market: Market, order: Order, now: int) -> None:
    """Give what an order has filled its take-profit and stop-loss, or let those that wait grow with it."""
    prices = {"take_profit": order.request.take_profit, "stop_loss": order.request.stop_loss}
    if not any(prices.values()):
        return
    received = order.filled - (order.fees.get(market.base, ZERO) if market.spot else ZERO)
    amount = floor_to(received, market.amount_step)
    extra = amount - order.protected
    if extra <= 0:
        return
    account.put(replace(order, protected=amount))
    waiting = [child for child in account.live(market.symbol) if child.parent == order.id and child.status != "open"]
    if waiting:
        for child in waiting:
            grown = child.amount + extra
            account.put(replace(child, amount=grown, request=replace(child.request, amount=grown), updated=now))
        return
    roles: tuple[Role, ...] = ("take_profit", "stop_loss")
    children = [
        _child(account, market, order, extra, role, price, now) for role in roles if (price := prices[role]) is not None
    ]
    for child in children:
        sibling = next((other.id for other in children if other.id != child.id), None)
        account.put(replace(child, sibling=sibling))


def _child(
    account: Account, market: Market, parent: Order, amount: Decimal, role: Role, price: Decimal, now: int
) -> Order:
    request = OrderRequest(
        symbol=market.symbol,
        side="sell" if parent.side == "buy" else "buy",
        type="market",
        amount=amount,
        reduce_only=not market.spot,
        trigger_price=price,
        trigger_rises=(role == "take_profit") == (parent.side == "buy"),
    )
    return account.create(market, request, now, status="untriggered", role=role, parent=parent.id)
