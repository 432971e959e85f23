"""The form of an order: what ccxt's `createOrder` and `editOrder` are given, as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.engine import OrderRequest, OrderType, Side, TimeInForce
from ccxt_mcp.paper.feed import number_of
from ccxt_mcp.text import clean_text

_CREATE = frozenset({
    "clientOrderId", "timeInForce", "postOnly", "reduceOnly", "triggerPrice", "triggerDirection", "takeProfit",
    "stopLoss", "trailingAmount", "trailingPercent", "cost", "createMarketBuyOrderRequiresPrice",
})  # fmt: skip
_IN_FORCE: Mapping[str, TimeInForce] = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PO": "PO"}
_DIRECTIONS = {"ascending": True, "above": True, "descending": False, "below": False}
_PERCENT = Decimal("0.01")


def request_of(
    symbol: str, type_: Any, side: Any, amount: Any, price: Any, params: Mapping[str, Any] | None
) -> OrderRequest:
    """Return the order that `createOrder` asks for.

    Args:
        symbol: the market.
        type_: market or limit.
        side: buy or sell.
        amount: in base, or in contracts; of no account when `params` has a cost.
        price: of a limit order.
        params: ccxt's unified names; an unknown one is refused, since it might change what the order means.

    Raises:
        Failure: INVALID_ORDER.
    """
    params = {name: value for name, value in (params or {}).items() if value is not None}
    _check_names(params)
    cost = _number("cost", params.get("cost"))
    percent = _number("trailingPercent", params.get("trailingPercent"))
    return OrderRequest(
        symbol=symbol,
        side=cast("Side", _word("side", side, ("buy", "sell"))),
        type=cast("OrderType", _word("type", type_, ("market", "limit"))),
        amount=_number("amount", amount) if cost is None else None,
        cost=cost,
        price=_number("price", price),
        time_in_force=_time_in_force(params),
        reduce_only=params.get("reduceOnly") is True,
        trigger_price=_number("triggerPrice", params.get("triggerPrice")),
        trigger_rises=_rises(params.get("triggerDirection")),
        client_order_id=params.get("clientOrderId") and str(params["clientOrderId"]),
        take_profit=_attached("takeProfit", params.get("takeProfit")),
        stop_loss=_attached("stopLoss", params.get("stopLoss")),
        trailing=_number("trailingAmount", params.get("trailingAmount")),
        trailing_rate=None if percent is None else percent * _PERCENT,
    )


def changes_of(amount: Any, price: Any, params: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """Return what `editOrder` may change: amount, price and trigger price, as far as they are given.

    Raises:
        Failure: INVALID_ORDER.
    """
    _check_names(params or {})
    given = {"amount": amount, "price": price, "trigger_price": (params or {}).get("triggerPrice")}
    return {name: number for name, value in given.items() if (number := _number(name, value)) is not None}


def _check_names(params: Mapping[str, Any]) -> None:
    if unknown := sorted(set(params) - _CREATE):
        raise Failure(
            Code.INVALID_ORDER,
            f"Paper accounts do not take {clean_text(', '.join(unknown), 80)} in params.",
            hint=f"They take {', '.join(sorted(_CREATE))}.",
        )


def _word(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise Failure(
            Code.INVALID_ORDER, f"{name} is {clean_text(str(value), 20)!r}; paper accounts take {' or '.join(known)}."
        )
    return value


def _number(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    if (number := number_of(value)) is None:
        raise Failure(Code.INVALID_ORDER, f"{name} is {clean_text(str(value), 40)!r}, which is no usable number.")
    return number


def _time_in_force(params: Mapping[str, Any]) -> TimeInForce:
    given = params.get("timeInForce", "GTC")
    if given not in _IN_FORCE:
        raise Failure(Code.INVALID_ORDER, f"timeInForce is {clean_text(str(given), 20)!r}; take GTC, IOC, FOK or PO.")
    if params.get("postOnly") is not True:
        return _IN_FORCE[given]
    if given in {"IOC", "FOK"}:
        raise Failure(Code.INVALID_ORDER, f"A post-only order rests, so timeInForce cannot be {given}.")
    return "PO"


def _rises(direction: Any) -> bool | None:
    if direction is None:
        return None
    if direction not in _DIRECTIONS:
        raise Failure(
            Code.INVALID_ORDER,
            f"triggerDirection is {clean_text(str(direction), 20)!r}; take ascending or descending.",
        )
    return _DIRECTIONS[direction]


def _attached(name: str, terms: Any) -> Decimal | None:
    if terms is None:
        return None
    if not isinstance(terms, Mapping) or set(cast("Mapping[str, Any]", terms)) != {"triggerPrice"}:
        raise Failure(
            Code.INVALID_ORDER, f"{name} must be {{'triggerPrice': PRICE}}; on paper it is always a market order."
        )
    return _number(name, cast("Mapping[str, Any]", terms)["triggerPrice"])
