"""Preview: an order as it would reach its exchange, for people and programs to look at before it is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.number import about, exact, sure
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.sizing import Sized


@exact
def preview(
    request: OrderRequest, sized: Sized, rules: MarketRules, quote: Quote, *, usd: Decimal | None = None
) -> dict[str, Any]:
    """Return the effective order in JSON's types: numbers as exact text, and nothing that is not known.

    Args:
        request: the order as it was asked for.
        sized: the same in its exchange's terms.
        rules: its market.
        quote: that market's prices now.
        usd: US dollars for one unit of the market's quote currency; None where that is not known.

    Returns:
        `amount` is what the exchange is given, in `unit`; or `cost` is, in the quote currency. `worstNotional` is
        what limits look at. `fee` is an estimate, in quote for spot and linear contracts, at the taker's rate unless
        the order is post-only.
    """
    worst, rate = sure(sized.notional_worst), sure(usd)
    facts: dict[str, Any] = {
        "symbol": rules.symbol,
        "side": request.side,
        "type": request.type,
        "amount": sized.amount,
        "unit": None if sized.amount is None else rules.unit,
        "cost": sized.cost,
        "price": sized.price,
        "timeInForce": "PO" if request.never_takes else request.time_in_force,
        "reduceOnly": request.reduce_only or None,
        "triggerPrice": sized.trigger_price,
        "takeProfit": sized.take_profit,
        "stopLoss": sized.stop_loss,
        "trailing": None if request.trailing is None else str(request.trailing),
        "contracts": sized.contracts,
        "contractSize": rules.contract_size if rules.contract else None,
        "baseAmount": sized.base_amount,
        "base": rules.base,
        "expectedPrice": sized.expected_price,
        "notional": sized.notional,
        "worstNotional": worst,
        "quote": rules.quote,
        "notionalUsd": worst * rate if worst and rate else None,
        "fee": _fee(request, sized, rules),
        "bid": quote.taking("sell"),
        "ask": quote.taking("buy"),
        "quoteAgeMs": quote.age_ms,
        "changes": list(sized.changes) or None,
    }
    return {
        name: about(value) if isinstance(value, Decimal) else value
        for name, value in facts.items()
        if value is not None
    }


def _fee(request: OrderRequest, sized: Sized, rules: MarketRules) -> Decimal | None:
    """Return what the fill would cost; inverse contracts are charged in another currency and are left out."""
    rate = rules.maker if request.never_takes else rules.taker
    if rate is None or sized.notional is None or rules.inverse:
        return None
    return sized.notional * rate
