"""Kinds: where an exchange keeps spot and contracts apart, a question about all markets must be asked for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SPLITS: Mapping[str, frozenset[str]] = {
    "fetchOpenOrders": frozenset({
        "aster", "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "btse", "bybit", "bybitid",
        "digifinex", "fmfwio", "gate", "hashkey", "hitbtc", "htx", "mexc", "poloniex", "toobit", "weex", "xt",
    }),
    "fetchClosedOrders": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "bybit", "bybitid", "deepcoin", "fmfwio",
        "gate", "hitbtc", "htx", "mexc", "myokx", "okx", "poloniex", "toobit", "weex", "xt",
    }),
    "fetchCanceledOrders": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "bybit", "bybitid", "deepcoin", "htx", "mexc",
        "myokx", "okx", "weex", "xt",
    }),
    "fetchCanceledAndClosedOrders": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "bybit", "bybitid", "deepcoin", "hashkey",
        "weex",
    }),
    "fetchOrders": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "digifinex", "htx", "mexc", "toobit", "xt",
    }),
    "fetchMyTrades": frozenset({
        "aster", "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "blofin", "btse", "bybit", "bybitid",
        "deepcoin", "digifinex", "fmfwio", "gate", "hashkey", "hitbtc", "htx", "kucoin", "kucoinfutures", "mexc",
        "myokx", "okx", "phemex", "poloniex", "toobit", "weex", "xt", "zebpay",
    }),
    "fetchPositions": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "bybit", "bybitid", "deepcoin", "digifinex",
        "fmfwio", "gate", "hitbtc", "htx", "phemex", "xt",
    }),
    "cancelAllOrders": frozenset({
        "binance", "binancecoinm", "binanceusdm", "bingx", "bitget", "btse", "bybit", "bybitid", "fmfwio", "gate",
        "hitbtc", "htx", "kucoin", "kucoinfutures", "mexc", "poloniex", "toobit", "weex", "whitebit", "xt",
        "zebpay",
    }),
}  # fmt: skip
"""Methods that answer for one kind of market at a time when no symbol is given, with the exchanges where they do."""

PAGES: Mapping[str, frozenset[str]] = {"fetchOpenOrders": frozenset({"bybit", "bybiteu", "bybitid"})}
"""Methods whose pages ccxt turns by itself, ten at most, when `paginate` tells it to and a `since` is given."""

TELLS_TRIGGERS = frozenset({"bybit", "bybiteu", "bybitid"})
"""Exchanges whose lists hold orders that wait for a price among the others, although ccxt can ask for them alone."""

_BY_SETTLE = frozenset({"bybit", "bybitid"})
"""Exchanges that also keep contracts apart by the currency in which they settle."""

_CONTRACTS_ONLY = frozenset({"fetchPositions"})


def kinds_of(method: str, ids: frozenset[str], markets: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the `params` with which a method must be called to answer for all markets: one set for each kind.

    Args:
        method: ccxt's unified name.
        ids: the exchange and those that its class inherits from.
        markets: ccxt's markets by unified symbol.
    """
    if not ids & SPLITS.get(method, frozenset()):
        return [{}]
    kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
    for market in markets.values():
        if market.get("active") is not False and (market.get("contract") or method not in _CONTRACTS_ONLY):
            kind = _kind(market, by_settle=bool(ids & _BY_SETTLE))
            kinds.setdefault(tuple(kind.items()), kind)
    return list(kinds.values()) or [{}]


def _kind(market: Mapping[str, Any], *, by_settle: bool) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": market.get("type") or "spot"}
    if market.get("contract"):
        kind["subType"] = "inverse" if market.get("inverse") else "linear"
        if by_settle:
            kind["settleCoin"] = market.get("settleId") or market.get("settle")
    return kind
