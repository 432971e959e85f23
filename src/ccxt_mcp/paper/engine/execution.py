"""How an order enters the market: it takes what crosses, rests, or waits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from . import matching, settlement
from .account import Account
from .book import Book, Level
from .market import Market
from .money import ZERO, floor_to, text
from .order import Order
from .refusal import Reason, Refused
from .rules import check_amount, check_cost
from .triggers import protect


def enter(account: Account, market: Market, order: Order, book: Book, now: int) -> None:
    """Execute a market order, or let a limit order take what crosses and rest.

    Raises:
        Refused: the order cannot be had; the caller undoes what has been done.
    """
    order = account.put(_fitted(account, market, order))
    if order.request.type == "market":
        _take(account, market, order, book, now)
    else:
        rest(account, market, order, book, now)


def rest(account: Account, market: Market, order: Order, book: Book, now: int) -> None:
    """Let a limit order that holds nothing take what crosses, and rest with what remains.

    Raises:
        Refused: it would take and must not, or the account cannot pay for it; the caller undoes what has been done.
    """
    request = order.request
    takes = matching.walk(
        book.offers(order.side), order.remaining, order.side, step=market.amount_step, limit=request.price
    )
    if takes and request.time_in_force == "PO":
        raise Refused(
            Reason.POST_ONLY_WOULD_TAKE,
            f"price is {text(request.price or ZERO)}; a post-only order here must not reach {text(takes[0].price)}.",
        )
    if request.time_in_force == "FOK" and matching.total(takes) < order.remaining:
        account.end(order, now, Reason.FILL_OR_KILL)
        return
    opens = ZERO if market.spot else settlement.opening(account, market, order)
    reserved = settlement.reservation(account, market, request, order.remaining, opens)
    account.ledger.hold(order.currency, reserved)
    order = _fill_all(account, market, account.put(replace(order, reserved=reserved, opens=opens)), takes, now)
    if order.live and request.time_in_force == "IOC":
        account.end(order, now, Reason.IMMEDIATE_OR_CANCEL)


def fill_resting(account: Account, market: Market, order: Order, amount: Decimal, now: int) -> Decimal:
    """Fill a resting order at its price; an opening that the account cannot pay for any more ends it.

    Returns:
        The amount that was filled.
    """
    price = order.request.price
    if price is None:
        return ZERO
    if order.request.reduce_only:
        amount = min(amount, settlement.closable(account, order))
    try:
        with account.atomic():
            after = _fill(account, market, order, Level(price, amount), maker=True, now=now)
    except Refused as refusal:
        closes = min(amount, settlement.closable(account, order))
        after = _fill(account, market, order, Level(price, closes), maker=True, now=now) if closes else order
        if after.live:
            after = account.end(after, now, refusal.reason)
    return after.filled - order.filled


def drop_reducing(account: Account, symbol: str, now: int) -> None:
    """End the orders that only reduce when there is nothing left that they could."""
    for order in account.live(symbol):
        if order.request.reduce_only and order.id in account.orders and not settlement.closable(account, order):
            account.end(order, now, Reason.POSITION_CLOSED)


def _fitted(account: Account, market: Market, order: Order) -> Order:
    """Return the order no larger than what it may close, on contracts, or sell of what its parent bought, on spot."""
    if order.request.reduce_only:
        most = settlement.closable(account, order)
    elif order.role is not None:
        most = floor_to(account.ledger[order.currency].free, market.amount_step)
        if not most:
            raise Refused(Reason.INSUFFICIENT_BALANCE, f"No {order.currency} is left to sell.")
    else:
        return order
    amount = min(order.amount, most)
    return replace(order, amount=amount, request=replace(order.request, amount=amount))


def _take(account: Account, market: Market, order: Order, book: Book, now: int) -> None:
    request, offers = order.request, book.offers(order.side)
    if request.cost is not None:
        takes = matching.walk_cost(offers, request.cost, market.amount_step)
        order = replace(order, amount=matching.total(takes))
        thin = matching.total(offers) <= order.amount
    else:
        takes = matching.walk(offers, order.amount, order.side, step=market.amount_step)
        thin = matching.total(takes) < order.amount
    if not offers or (thin and not takes):
        raise Refused(Reason.NO_LIQUIDITY, f"The book of {order.symbol} has nobody to trade with.")
    if not takes:
        raise Refused(Reason.AMOUNT_TOO_SMALL, f"The cost buys less than one step of {order.symbol}.")
    if request.cost is not None:  # whose value was checked as it was asked for
        check_amount(market, order.amount, least=True)
    elif order.role is None and not request.reduce_only:
        check_cost(market, takes[0].price * order.amount * market.contract_size)
    if thin and request.time_in_force == "FOK":
        account.end(account.put(order), now, Reason.FILL_OR_KILL)
        return
    settlement.require(account, market, order, takes)
    order = _fill_all(account, market, account.put(order), takes, now)
    if order.live:
        account.end(order, now, Reason.BOOK_TOO_THIN)


def _fill_all(account: Account, market: Market, order: Order, takes: list[Level], now: int) -> Order:
    for level in takes:
        if order.live:
            order = _fill(account, market, order, level, maker=False, now=now)
    return order


def _fill(account: Account, market: Market, order: Order, trade: Level, *, maker: bool, now: int) -> Order:
    order = settlement.fill(account, market, order, trade.price, trade.amount, maker=maker, now=now)
    protect(account, market, order, now)
    if not market.spot:
        drop_reducing(account, market.symbol, now)
    return account.latest(order.id)
