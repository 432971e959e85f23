"""Orders as an answer shows them: ccxt's unified fields, without what says nothing or says it twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = (
    "id", "clientOrderId", "symbol", "status", "side", "type", "amount", "filled", "remaining", "price", "average",
    "cost", "fee", "fees", "timeInForce", "postOnly", "reduceOnly", "triggerPrice", "takeProfitPrice", "stopLossPrice",
    "timestamp", "datetime", "lastTradeTimestamp",
)  # fmt: skip


def shown_order(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an order; absent facts are left out, and so are fees that `fee` tells already."""
    told = {name: order.get(name) for name in _FIELDS}
    if not told["fees"] or (told["fee"] or {}).get("cost") is not None:
        told["fees"] = None
    for name in ("postOnly", "reduceOnly"):
        told[name] = told[name] or None
    return {name: value for name, value in told.items() if value is not None and value != {}}
