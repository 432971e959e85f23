"""What the engine knows, in ccxt's unified structures: numbers as ccxt gives them, reckoned as decimals before."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from ccxt_mcp.paper.engine.money import ZERO, exact, quotient
from ccxt_mcp.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccxt_mcp.paper.engine import Balance, Fill, Market, Order, Position

_DIGITS = 15  # that a float holds for certain
_PLACES = 12


def balance_of(balances: Mapping[str, Balance], now: int) -> dict[str, Any]:
    """Return ccxt's balance structure; what is free and what is used add up to the total as it is written."""
    answer: dict[str, Any] = {"info": {}, "timestamp": now, "datetime": iso(now), "free": {}, "used": {}, "total": {}}
    for currency, balance in balances.items():
        # Cut to places that all three can show, however large the sum is.
        places = max(0, min(_PLACES, _DIGITS - 1 - max(0, balance.total.adjusted() + 1)))
        step = Decimal(1).scaleb(-places)
        free, used = (part.quantize(step, rounding=ROUND_DOWN) for part in (balance.free, balance.used))
        parts = {"free": float(free), "used": float(used), "total": float(free + used)}
        answer[currency] = parts
        for part, amount in parts.items():
            answer[part][currency] = amount
    return answer


def order_of(order: Order) -> dict[str, Any]:
    """Return ccxt's order structure. Waiting for a trigger is open, and rejected when triggered is canceled."""
    request = order.request
    status = {"untriggered": "open", "rejected": "canceled"}.get(order.status, order.status)
    fees = [{"currency": currency, "cost": float(fee)} for currency, fee in order.fees.items()]
    trigger = _float(order.trigger)
    return {
        "info": {"reason": order.reason, "role": order.role, "parent": order.parent, "triggered": order.triggered},
        "id": order.id,
        "clientOrderId": order.client_order_id,
        "timestamp": order.created,
        "datetime": iso(order.created),
        "lastTradeTimestamp": order.traded,
        "lastUpdateTimestamp": order.updated,
        "symbol": order.symbol,
        "type": request.type,
        "timeInForce": request.time_in_force,
        "postOnly": request.time_in_force == "PO",
        "reduceOnly": request.reduce_only,
        "side": request.side,
        "price": _float(order.average if request.price is None else request.price),
        "triggerPrice": trigger,
        "stopPrice": trigger,
        "takeProfitPrice": _float(request.take_profit),
        "stopLossPrice": _float(request.stop_loss),
        "amount": _float(order.amount or None),
        "cost": float(order.cost),
        "average": _float(order.average),
        "filled": float(order.filled),
        "remaining": float(order.remaining),
        "status": status,
        "fee": fees[0] if len(fees) == 1 else None,
        "fees": fees,
        "trades": [],
    }


def trade_of(fill: Fill) -> dict[str, Any]:
    """Return ccxt's trade structure."""
    fee = {"currency": fill.fee_currency, "cost": float(fill.fee)}
    return {
        "info": {"realised": float(fill.realised), "liquidation": fill.liquidation},
        "id": fill.id,
        "order": fill.order_id,
        "clientOrderId": fill.client_order_id,
        "timestamp": fill.time,
        "datetime": iso(fill.time),
        "symbol": fill.symbol,
        "type": None,
        "side": fill.side,
        "takerOrMaker": "maker" if fill.maker else "taker",
        "price": float(fill.price),
        "amount": float(fill.amount),
        "cost": float(fill.cost),
        "fee": fee,
        "fees": [fee],
    }


@exact
def position_of(position: Position) -> dict[str, Any]:
    """Return ccxt's position structure."""
    initial = quotient(position.cost, position.leverage)
    collateral = position.margin + position.unrealised
    solvent = collateral > 0
    return {
        "info": {"fees": float(position.fees), "funding": float(position.funding)},
        "id": position.symbol,
        "symbol": position.symbol,
        "timestamp": position.opened,
        "datetime": iso(position.opened),
        "lastUpdateTimestamp": position.updated,
        "side": position.side,
        "contracts": float(position.contracts),
        "contractSize": float(position.contract_size),
        "entryPrice": float(position.entry_price),
        "markPrice": float(position.mark),
        "lastPrice": None,
        "notional": float(position.value),
        "leverage": float(position.leverage),
        "initialMargin": float(initial),
        "initialMarginPercentage": float(quotient(Decimal(1), position.leverage)),
        "maintenanceMargin": float(position.maintenance_margin),
        "maintenanceMarginPercentage": float(position.maintenance),
        "positionMargin": float(position.margin),
        "collateral": float(collateral),
        "marginRatio": float(quotient(position.maintenance_margin, collateral)) if solvent else None,
        "liquidationPrice": _float(position.liquidation_price),
        "unrealizedPnl": float(position.unrealised),
        "realizedPnl": float(position.realised),
        "percentage": float(quotient(position.unrealised * 100, initial)) if initial > ZERO else None,
        "marginMode": "isolated",
        "marginType": "isolated",
        "hedged": False,
        "takeProfitPrice": None,
        "stopLossPrice": None,
    }


def fee_of(market: Market) -> dict[str, Any]:
    """Return ccxt's trading fee structure."""
    return {
        "info": {},
        "symbol": market.symbol,
        "maker": float(market.maker),
        "taker": float(market.taker),
        "percentage": True,
        "tierBased": False,
    }


def leverage_of(symbol: str, leverage: Decimal) -> dict[str, Any]:
    """Return ccxt's leverage structure; it is the same in both directions."""
    shown = float(leverage)
    return {"info": {}, "symbol": symbol, "marginMode": "isolated", "longLeverage": shown, "shortLeverage": shown}


def _float(number: Decimal | None) -> float | None:
    return None if number is None else float(number)
