"""Orders, executions, positions and wallets, as Bybit's REST and WebSocket both write them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ccxt_mcp.paper.engine.money import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ccxt_mcp.paper.engine import Balance, Engine, Fill, Order, Payment, Position

    from .floor import Floor
    from .markets import Market
    from .records import Record

_ROLES = {"take_profit": "TakeProfit", "stop_loss": "StopLoss"}
_TIMES = {"PO": "PostOnly"}
_REASONS = {
    "post_only_would_take": "EC_PostOnlyWillTakeLiquidity",
    "immediate_or_cancel": "EC_NoImmediateQtyToFill",
    "fill_or_kill": "EC_NoImmediateQtyToFill",
    "book_too_thin": "EC_NoImmediateQtyToFill",
    "by_user": "EC_PerCancelRequest",
}


def status(market: Market, order: Order) -> str:
    """Bybit's word for how an order stands."""
    if order.status == "open":
        return "PartiallyFilled" if order.filled else "New"
    if order.status == "canceled":
        if order.request.waits and order.triggered is None:
            return "Deactivated"
        return "PartiallyFilledCanceled" if order.filled and market.category == "spot" else "Cancelled"
    return {"untriggered": "Untriggered", "closed": "Filled"}.get(order.status, "Rejected")


def order_document(record: Record) -> dict[str, Any]:
    """An order of /v5/order/realtime, /v5/order/history and the topic `order`."""
    market, order, request = record.market, record.order, record.order.request
    quantity = record.terms.quantity if record.terms.unit == "quoteCoin" else text(order.amount)
    left = order.remaining if order.live else Decimal(0)
    document = {
        "category": market.category,
        "symbol": market.symbol,
        "orderId": order.id,
        "orderLinkId": record.link,
        "side": order.side.capitalize(),
        "orderType": request.type.capitalize(),
        "price": text(request.price or Decimal(0)),
        "qty": quantity,
        "marketUnit": record.terms.unit,
        "timeInForce": "IOC" if request.type == "market" else _TIMES.get(request.time_in_force, request.time_in_force),
        "orderStatus": status(market, order),
        "rejectReason": _REASONS.get(order.reason or "", "EC_NoError" if order.reason is None else "EC_Others"),
        "cancelType": "CancelByUser" if order.reason == "by_user" else "UNKNOWN",
        "cumExecQty": text(order.filled),
        "cumExecValue": text(order.cost),
        "cumExecFee": text(sum(order.fees.values(), Decimal(0))),
        "cumFeeDetail": {coin: text(fee) for coin, fee in order.fees.items()},
        "avgPrice": "" if order.average is None else text(order.average),
        "leavesQty": quantity if order.live and request.cost is not None else text(left),
        "leavesValue": text(left * (request.price or Decimal(0))),
        "reduceOnly": request.reduce_only,
        "closeOnTrigger": False,
        **_triggers(record),
        "positionIdx": 0,
        "isLeverage": "0",
        "createdTime": str(order.created),
        "updatedTime": str(order.updated),
    }
    if market.category == "linear":
        # ccxt takes an order for one on contracts by this field alone.
        document |= {"tpslMode": "Full" if order.role else "", "createType": _created_by(order)}
    return document


def _triggers(record: Record) -> dict[str, Any]:
    """What an order waits for, and what protects what it fills."""
    order, request = record.order, record.order.request
    return {
        "stopOrderType": record.terms.kind,
        "triggerPrice": text(order.trigger or Decimal(0)) if request.waits else "",
        "triggerDirection": {True: 1, False: 2, None: 0}[request.trigger_rises],
        "triggerBy": "LastPrice" if request.waits else "",
        "takeProfit": text(request.take_profit) if request.take_profit else "",
        "stopLoss": text(request.stop_loss) if request.stop_loss else "",
    }


def _created_by(order: Order) -> str:
    """Bybit's word for where an order came from."""
    return f"CreateBy{_ROLES[order.role]}" if order.role else "CreateByUser"


def execution_document(record: Record | None, market: Market, fill: Fill, left: Decimal) -> dict[str, Any]:
    """A fill of /v5/execution/list and the topic `execution`; `left` of the order was open after it.

    A liquidation has no order.
    """
    order = None if record is None else record.order
    rate = Decimal(0)
    if fill.fee:
        rate = fill.fee / (fill.amount if fill.fee_currency == market.base else fill.cost)
    return {
        **_execution(market, fill.id, fill.time),
        "orderId": fill.order_id,
        "orderLinkId": fill.client_order_id or "",
        "side": fill.side.capitalize(),
        "orderType": "Market" if order is None else order.request.type.capitalize(),
        "orderPrice": text((order.request.price if order else None) or Decimal(0)),
        "orderQty": text(fill.amount if order is None else order.amount),
        "leavesQty": text(left),
        "stopOrderType": "UNKNOWN" if record is None else record.terms.kind or "UNKNOWN",
        "execType": "BustTrade" if fill.liquidation else "Trade",
        "execPrice": text(fill.price),
        "execQty": text(fill.amount),
        "execValue": text(fill.cost),
        "execFee": text(fill.fee),
        "feeRate": text(round(rate, 8)),
        "feeCurrency": fill.fee_currency,
        "feeCoin": fill.fee_currency,
        "execPnl": text(fill.realised),
        "isMaker": fill.maker,
    }


def payment_document(market: Market, position: Position | None, payment: Payment, number: int) -> dict[str, Any]:
    """A funding of /v5/execution/list; what was paid is a fee, what was received a negative one."""
    return {
        **_execution(market, f"funding-{payment.time}-{number}", payment.time),
        "orderId": "",
        "orderLinkId": "",
        "side": "Sell" if position is not None and position.side == "short" else "Buy",
        "orderType": "UNKNOWN",
        "execType": "Funding",
        "execPrice": text(position.mark if position is not None else Decimal(0)),
        "execQty": text(position.contracts if position is not None else Decimal(0)),
        "execValue": text(position.value if position is not None else Decimal(0)),
        "execFee": text(-payment.amount),
        "feeRate": text(payment.rate),
        "feeCurrency": payment.currency,
        "feeCoin": payment.currency,
        "isMaker": False,
    }


def _execution(market: Market, number: str, time: int) -> dict[str, Any]:
    document = {"category": market.category, "symbol": market.symbol, "execId": number, "execTime": str(time)}
    # ccxt takes an execution for one on contracts by this field alone.
    return document | {"createType": "CreateByUser"} if market.category == "linear" else document


def position_document(market: Market, position: Position, stops: Mapping[str, str]) -> dict[str, Any]:
    """A position of /v5/position/list and the topic `position`; `stops` are prices that close all of it."""
    open_, end = bool(position.contracts), position.liquidation_price
    return {
        "category": market.category,
        "symbol": market.symbol,
        "positionIdx": 0,
        "tradeMode": 1,
        "side": "" if not open_ else "Buy" if position.side == "long" else "Sell",
        "size": text(position.contracts),
        "avgPrice": text(round(position.entry_price, 8)),
        "entryPrice": text(round(position.entry_price, 8)),
        "positionValue": text(position.cost),
        "leverage": text(position.leverage),
        "markPrice": text(position.mark),
        "liqPrice": "" if end is None or not open_ else text(round(end, market.price_decimals)),
        "bustPrice": text(round(max(position.bankruptcy_price, Decimal(0)), market.price_decimals)) if open_ else "",
        "positionIM": text(position.margin),
        "positionMM": text(position.maintenance_margin),
        "positionBalance": text(position.margin),
        "unrealisedPnl": text(position.unrealised),
        "curRealisedPnl": text(position.realised - position.fees + position.funding),
        "cumRealisedPnl": text(position.realised - position.fees + position.funding),
        "positionStatus": "Normal",
        "tpslMode": "Full",
        "takeProfit": stops.get("takeProfit", ""),
        "stopLoss": stops.get("stopLoss", ""),
        "trailingStop": stops.get("trailingStop", ""),
        "autoAddMargin": 0,
        "riskId": 1,
        "riskLimitValue": "",
        "createdTime": str(position.opened),
        "updatedTime": str(position.updated),
    }


def no_position(market: Market, leverage: Decimal) -> dict[str, Any]:
    """What /v5/position/list tells of a contract in which there is no position."""
    return {
        "symbol": market.symbol,
        "positionIdx": 0,
        "tradeMode": 1,
        "side": "",
        "size": "0",
        "avgPrice": "0",
        "positionValue": "",
        "leverage": text(leverage),
        "markPrice": "",
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": "",
        "positionMM": "",
        "positionBalance": "",
        "unrealisedPnl": "",
        "curRealisedPnl": "0",
        "cumRealisedPnl": "0",
        "positionStatus": "Normal",
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "",
        "createdTime": "",
        "updatedTime": "",
    }


def coin_documents(engine: Engine, floor: Floor, coins: Iterable[str], now: int) -> list[dict[str, Any]]:
    """The coins of a wallet.

    Margin is isolated: what a position holds includes its profit, and `equity` is the wallet with all profits.
    """
    balances = engine.balances()
    return [_coin(engine, floor, coin, balances[coin], now) for coin in coins if coin in balances]


def _coin(engine: Engine, floor: Floor, coin: str, balance: Balance, now: int) -> dict[str, Any]:
    positions = [position for position in engine.positions() if position.currency == coin]
    profit = sum((position.unrealised for position in positions), Decimal(0))
    margin = sum((position.margin for position in positions), Decimal(0))
    held = balance.used - margin
    return {
        "coin": coin,
        "equity": text(balance.total + profit),
        "usdValue": text(round((balance.total + profit) * floor.in_usdt(coin, now), 8)),
        "walletBalance": text(balance.total),
        "availableToWithdraw": text(balance.free),
        "totalOrderIM": text(held),
        "totalPositionIM": text(margin + profit),
        "totalPositionMM": text(sum((position.maintenance_margin for position in positions), Decimal(0))),
        "unrealisedPnl": text(profit),
        "cumRealisedPnl": "0",
        "availableToBorrow": "",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "bonus": "0",
    }


def wallet_document(coins: list[dict[str, Any]]) -> dict[str, Any]:
    """A wallet of /v5/account/wallet-balance and the topic `wallet`; its sums are in USD."""
    equity = sum((Decimal(coin["usdValue"]) for coin in coins), Decimal(0))
    return {
        "accountType": "UNIFIED",
        "totalEquity": text(equity),
        "totalWalletBalance": text(equity),
        "totalMarginBalance": "",
        "totalAvailableBalance": "",
        "totalInitialMargin": "",
        "totalMaintenanceMargin": "",
        "totalPerpUPL": "",
        "accountIMRate": "",
        "accountMMRate": "",
        "accountLTV": "",
        "coin": coins,
    }
