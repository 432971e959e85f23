"""Order facts: what limits look at in an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.number import exact, sure
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.orders.quote import Quote, Side
from ccxt_mcp.orders.sizing import Sized


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What limits look at in an order.

    Attributes:
        exchange: where it would be placed.
        symbol: ccxt's unified symbol.
        side: buy or sell.
        reduces: whether it can only reduce a position.
        notional: its value in US dollars at the worst price; None where that is not known.
        prices: by field, the prices that it names: limit, trigger, and where a trailing stop would be now.
        market_order: whether it takes whatever price there is.
        quote: the market's prices now.
        leverage: the leverage that the account has on this market; None on spot and where no exchange would tell, NaN
            where the exchange should have told.
        rests: whether it may add to the open orders; a change of one of them does not.
    """

    exchange: str
    symbol: str
    side: Side
    reduces: bool
    notional: Decimal | None
    prices: Mapping[str, Decimal]
    market_order: bool
    quote: Quote
    leverage: Decimal | None = None
    rests: bool = True

    @classmethod
    @exact
    def of(
        cls,
        exchange: str,
        request: OrderRequest,
        sized: Sized,
        rules: MarketRules,
        quote: Quote,
        *,
        usd: Decimal | None,
        leverage: Decimal | None = None,
        rests: bool = True,
    ) -> Self:
        """Return what limits look at in an order.

        Args:
            exchange: where it would be placed.
            request: the order as it was asked for.
            sized: the same in its exchange's terms.
            rules: its market.
            quote: that market's prices now.
            usd: US dollars for one unit of the market's quote currency; None where that is not known.
            leverage: see the attributes.
            rests: see the attributes.
        """
        worth, rate = sure(sized.notional_worst), sure(usd)
        prices = {
            "price": sized.price,
            "trigger_price": sized.trigger_price,
            "trailing": _stop(request, quote),
        }
        return cls(
            exchange=exchange,
            symbol=rules.symbol,
            side=request.side,
            reduces=request.reduce_only and rules.contract,
            notional=worth * rate if worth and rate else None,
            prices={name: price for name, price in prices.items() if price is not None},
            market_order=request.type == "market" and not request.waits,
            quote=quote,
            leverage=leverage,
            rests=rests,
        )


def _stop(request: OrderRequest, quote: Quote) -> Decimal | None:
    """Return where a trailing stop would begin."""
    market = quote.fair
    if request.trailing is None or market is None:
        return None
    distance = request.trailing.at(market)
    return market + distance if request.side == "buy" else market - distance
