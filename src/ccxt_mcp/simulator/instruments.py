"""Instruments: a market's rules, as /v5/market/instruments-info lists them."""

from __future__ import annotations

from typing import Any

from .markets import ASSETS, LAUNCH, Market


def instrument(market: Market) -> dict[str, Any]:
    """One instrument."""
    return _spot(market) if market.category == "spot" else _linear(market)


def _spot(market: Market) -> dict[str, Any]:
    most = _order_lots(market, 2_000_000)
    return {
        "symbol": market.symbol,
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "innovation": "0",
        "status": market.status,
        "marginTrading": "utaOnly" if market.trading else "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": market.size(1),
            "quotePrecision": market.value(1),
            "minOrderQty": market.size(market.min_lots),
            "maxOrderQty": market.size(most),
            "minOrderAmt": {"BTC": "0.0001"}.get(market.quote, "5"),
            "maxOrderAmt": {"BTC": "40"}.get(market.quote, "4000000"),
        },
        "priceFilter": {"tickSize": market.price(1)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _linear(market: Market) -> dict[str, Any]:
    most = _order_lots(market, 20_000_000)
    return {
        "symbol": market.symbol,
        "contractType": "LinearPerpetual",
        "status": market.status,
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "settleCoin": market.quote,
        "launchTime": str(LAUNCH),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(market.price_decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{market.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": market.price(1),
            "maxPrice": market.price(int(ASSETS[market.base].usd * 20 / market.tick)),
            "tickSize": market.price(1),
        },
        "lotSizeFilter": {
            "maxOrderQty": market.size(most),
            "minOrderQty": market.size(market.min_lots),
            "qtyStep": market.size(1),
            "postOnlyMaxOrderQty": market.size(most),
            "maxMktOrderQty": market.size(most // 5),
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
    }


def _order_lots(market: Market, usd: int) -> int:
    """The lots that `usd` buy at the usual price."""
    return int(usd / ASSETS[market.base].usd * 10**market.lot_decimals)
