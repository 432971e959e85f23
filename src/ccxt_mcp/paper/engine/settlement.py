"""What a fill does to an account: money, margin, positions, and the orders that hang on them."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from .account import Account
from .book import Level
from .fill import Fill, Payment
from .market import Market
from .money import ZERO, ceiling, quotient
from .order import Order, OrderRequest
from .position import Position
from .refusal import Reason


class _Outcome(NamedTuple):
    """What a fill cost and brought, beside the trade itself."""

    fee: Decimal
    fee_currency: str
    realised: Decimal = ZERO


def margin_of(value: Decimal, leverage: Decimal) -> Decimal:
    """The initial margin of a value."""
    return quotient(value, leverage, ROUND_CEILING)


def closable(account: Account, order: Order) -> Decimal:
    """How much of a position an order of this side could close; 0 where there is none."""
    position = account.positions.get(order.symbol)
    return position.contracts if position is not None and position.closing_side == order.side else ZERO


def opening(account: Account, market: Market, order: Order) -> Decimal:
    """How much of an order would open or extend a position, after the position and older orders that close it."""
    if order.request.reduce_only:
        return ZERO
    position = account.positions.get(market.symbol)
    if position is None or position.closing_side != order.side:
        return order.remaining
    others = (
        other.remaining - other.opens
        for other in account.live(market.symbol)
        if other.status == "open" and other.side == order.side and other.id != order.id
    )
    return max(ZERO, order.remaining - max(ZERO, position.contracts - sum(others, ZERO)))


def reservation(account: Account, market: Market, request: OrderRequest, remaining: Decimal, opens: Decimal) -> Decimal:
    """What a resting order holds: what it spends on spot, initial margin and taker fee of what it opens else."""
    price = request.price or ZERO
    if market.spot:
        return price * remaining if request.side == "buy" else remaining
    value = price * opens * market.contract_size
    return margin_of(value, account.leverage(market)) + ceiling(value * max(market.taker, ZERO))


def require(account: Account, market: Market, order: Order, takes: list[Level]) -> None:
    """Raise Refused unless the account can pay for all that a market order takes; closing needs nothing."""
    value = sum((level.price * level.amount for level in takes), ZERO) * market.contract_size
    amount = sum((level.amount for level in takes), ZERO)
    position = account.positions.get(market.symbol)
    if market.spot:
        account.ledger.require(order.currency, value if order.side == "buy" else amount)
    elif position is None or position.closing_side != order.side:
        account.ledger.require(
            order.currency, margin_of(value, account.leverage(market)) + ceiling(value * market.taker)
        )


def fill(
    account: Account, market: Market, order: Order, price: Decimal, amount: Decimal, *, maker: bool, now: int
) -> Order:
    """Execute a part of an order and return its new state, ended by liquidation if the position cannot bear it.

    Raises:
        Refused: the account cannot pay for it; the caller undoes what has been done.
    """
    order = _free_held(account, market, order, amount)
    settle = _settle_spot if market.spot else _settle_contract
    outcome = settle(account, market, order, Level(price, amount), maker=maker, now=now)
    if outcome is None:
        return account.latest(order.id)
    _, fill_id = account.next_id()
    cost = price * amount * market.contract_size
    account.note_fill(
        Fill(
            id=fill_id,
            order_id=order.id,
            client_order_id=order.client_order_id,
            symbol=market.symbol,
            side=order.side,
            price=price,
            amount=amount,
            cost=cost,
            fee=outcome.fee,
            fee_currency=outcome.fee_currency,
            maker=maker,
            realised=outcome.realised,
            time=now,
        )
    )
    filled = order.filled + amount
    return account.put(
        replace(
            order,
            status="closed" if filled == order.amount else order.status,
            filled=filled,
            cost=order.cost + cost,
            average=quotient(order.cost + cost, filled * market.contract_size),
            fees={**order.fees, outcome.fee_currency: order.fees.get(outcome.fee_currency, ZERO) + outcome.fee},
            updated=now,
            traded=now,
        )
    )


def _free_held(account: Account, market: Market, order: Order, amount: Decimal) -> Order:
    """Free what the order held for the amount that is filled now."""
    remaining = order.remaining - amount
    opens = ZERO
    if order.opens:
        opens = min(remaining, max(ZERO, order.opens - max(ZERO, amount - closable(account, order))))
    reserved = ZERO
    if order.reserved:  # never more than before, whatever became of the market's terms
        reserved = min(order.reserved, reservation(account, market, order.request, remaining, opens))
    account.ledger.release(order.currency, order.reserved - reserved)
    return account.put(replace(order, reserved=reserved, opens=opens))


def _settle_spot(account: Account, market: Market, order: Order, trade: Level, *, maker: bool, now: int) -> _Outcome:
    del now
    ledger, cost, rate = account.ledger, trade.price * trade.amount, market.fee_rate(maker=maker)
    if order.side == "buy":
        fee = ceiling(trade.amount * rate)
        ledger.pay(market.quote, cost)
        ledger.receive(market.base, trade.amount - fee)
        return _Outcome(fee, market.base)
    fee = ceiling(cost * rate)
    ledger.pay(market.base, trade.amount)
    ledger.receive(market.quote, cost - fee)
    return _Outcome(fee, market.quote)


def _settle_contract(
    account: Account, market: Market, order: Order, trade: Level, *, maker: bool, now: int
) -> _Outcome | None:
    """Close first, then open with what is left; None when closing takes more than the margin."""
    position = account.positions.get(market.symbol)
    rate, fee, realised = market.fee_rate(maker=maker), ZERO, ZERO
    closing = ZERO
    if position is not None and position.closing_side == order.side:
        closing = min(trade.amount, position.contracts)
        closed = _close(account, position, Level(trade.price, closing), rate, now)
        if closed is None:
            liquidate(account, position, now)
            return None
        fee, realised = closed
    if opened := trade.amount - closing:
        fee += _open(account, market, order, Level(trade.price, opened), rate, now)
    return _Outcome(fee, market.money, realised)


def _close(
    account: Account, position: Position, trade: Level, rate: Decimal, now: int
) -> tuple[Decimal, Decimal] | None:
    """Close a part of a position; return fee and profit, None when its margin does not cover the loss."""
    cost, margin = position.share(trade.amount)
    value = trade.price * trade.amount * position.contract_size
    gain = value - cost if position.side == "long" else cost - value
    fee = ceiling(value * rate)
    if margin + gain - fee < 0:
        return None
    account.ledger.release(position.currency, margin)
    account.ledger.receive(position.currency, gain - fee)
    account.put_position(
        replace(
            position,
            contracts=position.contracts - trade.amount,
            cost=position.cost - cost,
            margin=position.margin - margin,
            realised=position.realised + gain,
            fees=position.fees + fee,
            updated=now,
        )
    )
    return fee, gain


def _open(account: Account, market: Market, order: Order, trade: Level, rate: Decimal, now: int) -> Decimal:
    """Open or extend a position; return the fee."""
    value = trade.price * trade.amount * market.contract_size
    leverage = account.leverage(market)
    margin, fee = margin_of(value, leverage), ceiling(value * rate)
    account.ledger.require(market.money, margin + fee)
    account.ledger.receive(market.money, -fee)
    account.ledger.hold(market.money, margin)
    position = account.positions.get(market.symbol) or Position(
        symbol=market.symbol,
        side="long" if order.side == "buy" else "short",
        contracts=ZERO,
        contract_size=market.contract_size,
        currency=market.money,
        cost=ZERO,
        margin=ZERO,
        leverage=leverage,
        maintenance=market.maintenance,
        mark=trade.price,
        opened=now,
        updated=now,
    )
    account.put_position(
        replace(
            position,
            contracts=position.contracts + trade.amount,
            cost=position.cost + value,
            margin=position.margin + margin,
            fees=position.fees + fee,
            updated=now,
        )
    )
    return fee


def liquidate(account: Account, position: Position, now: int) -> None:
    """Close a position at its bankruptcy price: all of its margin is lost, and the market's orders end."""
    for order in account.live(position.symbol):
        account.end(order, now, Reason.LIQUIDATION)
    account.ledger.lose(position.currency, position.margin)
    _, fill_id = account.next_id()
    account.note_fill(
        Fill(
            id=fill_id,
            order_id=fill_id,
            client_order_id=None,
            symbol=position.symbol,
            side=position.closing_side,
            price=max(ZERO, position.bankruptcy_price),
            amount=position.contracts,
            cost=max(ZERO, position.bankrupt_value),
            fee=ZERO,
            fee_currency=position.currency,
            maker=False,
            realised=-position.margin,
            liquidation=True,
            time=now,
        )
    )
    account.put_position(
        replace(
            position,
            contracts=ZERO,
            cost=ZERO,
            margin=ZERO,
            realised=position.realised - position.margin,
            updated=now,
        )
    )


def fund(account: Account, position: Position, rate: Decimal, now: int) -> None:
    """Pay or receive funding; what is not free is taken from the margin, and no more than that."""
    due = ceiling(position.value * (rate if position.side == "long" else -rate))
    free = account.ledger[position.currency].free
    from_free = min(due, free)
    from_margin = min(due - from_free, position.margin)
    account.ledger.receive(position.currency, -from_free)
    account.ledger.lose(position.currency, from_margin)
    paid = from_free + from_margin
    account.note_payment(Payment(position.symbol, position.currency, -paid, rate, now))
    account.put_position(
        replace(position, margin=position.margin - from_margin, funding=position.funding - paid, updated=now)
    )
