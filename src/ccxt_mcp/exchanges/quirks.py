"""Exchange-specific facts that ccxt does not declare, each as a table that a test holds against ccxt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNDECLARED_WINDOW = 1.0
"""Seconds of credit where ccxt names no window: no exchange that it knows counts in shorter ones."""

_BASE_WINDOW_MS = 60_000
_MINUTE_WINDOWS = frozenset({"binance", "bitvavo", "luno"})
"""Exchanges that declare the very minute that ccxt's base class has as its placeholder."""

READS_MARKET_INFO: Mapping[str, int | None] = dict.fromkeys(
    (
        "backpack", "binance", "bitrue", "btse", "bybit", "coinbase", "coinbaseinternational", "derive", "dydx",
        "extended", "gate", "grvt", "hibachi", "hitbtc", "htx", "hyperliquid", "kraken", "krakenfutures", "kucoin",
        "lighter", "nado", "okx", "paradex", "phemex", "polymarket", "tokocrypto", "toobit",
    ),
    600,
) | {"delta": None}  # fmt: skip
"""Exchanges whose code reads `market['info']`, and how long a nested value there may be (None: any length)."""

CLAIMS_IN_VAIN: Mapping[str, frozenset[str]] = {
    "cex": frozenset({"fetchOHLCV"}),  # wants to be told a `dataType` that no other exchange knows
    "cryptomus": frozenset({"fetchOrder"}),
    "hyperliquid": frozenset({"fetchTrades"}),  # a wallet's own trades
    "p2b": frozenset({"fetchTrades"}),  # wants the id of a trade to begin with
}
"""Methods that ccxt's `has` promises and that cannot be called in the unified way."""

CANDLES_NEED_SINCE = frozenset({"pacifica", "zebpay"})
"""Exchanges that send candles only from a given time on."""

BOOK_LEVELS = 100
"""Levels to ask for: every exchange that takes a limit takes this one, but for those in BOOK_LEVELS_ODD."""

BOOK_LEVELS_ODD: Mapping[str, int] = {"htx": 150}
"""Exchanges that refuse BOOK_LEVELS, with what they take instead."""

BUYS_BY_COST = frozenset(
    {
        "bigone", "bitget", "bithumb", "bitrue", "bittrade", "btse", "coinbase", "coinsph", "cryptocom", "cryptomus",
        "digifinex", "gate", "htx", "lbank", "poloniex", "tokocrypto", "upbit", "woo", "xt",
    }
)  # fmt: skip
"""Exchanges on which ccxt takes the cost of a market buy, unless it is given a price to reckon it from."""

STOPS_OF_POSITIONS = frozenset({"bybit", "bybiteu", "bybitid"})
"""Exchanges on which ccxt's trailing stop is a setting of the whole position: no order, no amount and no id."""

CANCELS_AS: Mapping[str, Mapping[str, Any]] = {"bybit": {"orderFilter": "tpslOrder"}}
"""What cancelOrder must be told of orders that are neither plain nor triggers: here, of what protects a spot order."""

FETCH_ORDER_PARAMS: Mapping[str, Mapping[str, Any]] = {"bybit": {"acknowledged": True}}
"""What fetchOrder must be told before it looks at all: that only the latest orders can be found."""

HEADER_TESTNETS = frozenset({"bitget", "okx"})
"""Exchanges whose testnet lives on the production host and is chosen by a header."""

DEMO_TESTNETS = frozenset({"binanceusdm", "binancecoinm"})
"""Exchanges whose sandbox is closed and that offer demo trading instead."""

TESTNETS_SHARING_DATA = frozenset({"alpaca", "gemini"})
"""Exchanges whose testnet takes public data or documents, and nothing else, from production addresses."""


def lineage(exchange_class: type[Any]) -> frozenset[str]:
    """Return the ids of the exchange and of those that its class inherits from."""
    return frozenset(cls.__name__ for cls in exchange_class.__mro__)


def rate_window(exchange: Any) -> float:
    """Return the window in which the exchange counts requests, in seconds; 0 where it gives no credit at all.

    ccxt's `rollingWindowSize` is a placeholder of one minute on most exchanges, so it counts only where the
    exchange itself declares it.
    """
    window_ms = exchange.rollingWindowSize
    if window_ms == _BASE_WINDOW_MS and not lineage(type(exchange)) & _MINUTE_WINDOWS:
        return UNDECLARED_WINDOW
    return window_ms / 1000
