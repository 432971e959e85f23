"""CHANNELS: one row for each kind of stream: how it is watched, how it is asked for by requests, what is bearable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Channel(StrEnum):
    """What a stream tells of."""

    TICKER = "ticker"
    BOOK = "book"
    TRADES = "trades"
    CANDLES = "candles"
    ORDERS = "orders"
    OWN_TRADES = "own_trades"
    BALANCE = "balance"
    POSITIONS = "positions"


@dataclass(frozen=True, slots=True)
class Row:
    """How a channel is served.

    Attributes:
        watch: ccxt's method that awaits an update.
        unwatch: ccxt's method that ends the subscription, where the exchange has it.
        poll: the method of METHODS that asks for the same by a request.
        conflates: whether a newer update makes the older one worthless. What does not is queued, and counted if lost.
        patience: seconds without an update after which a stream is called stale and subscribed anew.
        every: seconds between two requests, at least, where there is no stream.
        audit: seconds between two requests that check a live stream for what it left out; 0 for none.
        private: whether it is an account's.
    """

    watch: str
    unwatch: str
    poll: str
    conflates: bool = False
    patience: float = inf
    every: float = 2.0
    audit: float = 0.0
    private: bool = False


CHANNELS: Mapping[Channel, Row] = {
    Channel.TICKER: Row("watchTicker", "unWatchTicker", "fetchTicker", conflates=True, patience=20.0),
    Channel.BOOK: Row("watchOrderBook", "unWatchOrderBook", "fetchOrderBook", conflates=True, patience=20.0),
    Channel.TRADES: Row("watchTrades", "unWatchTrades", "fetchTrades", patience=60.0, every=3.0, audit=60.0),
    Channel.CANDLES: Row("watchOHLCV", "unWatchOHLCV", "fetchOHLCV", patience=90.0, every=5.0),
    Channel.ORDERS: Row("watchOrders", "unWatchOrders", "fetchOpenOrders", audit=60.0, private=True),
    Channel.OWN_TRADES: Row("watchMyTrades", "unWatchMyTrades", "fetchMyTrades", every=5.0, audit=60.0, private=True),
    Channel.BALANCE: Row(
        "watchBalance", "unWatchBalance", "fetchBalance", conflates=True, every=5.0, audit=60.0, private=True
    ),
    Channel.POSITIONS: Row(
        "watchPositions", "unWatchPositions", "fetchPositions", conflates=True, every=5.0, audit=60.0, private=True
    ),
}

BOOK_DEPTH = 100
"""Levels of each side that a stream of order books brings, where the exchange has so many."""

_BOOK_LIMITS: Mapping[str, Mapping[str, int]] = {
    "bybit": {"option": 100, "*": 200},  # one of 1, 50, 200, 1000; options 25 or 100
    "kraken": {"*": 100},
    "bitfinex": {"*": 100},
}


def book_limit(exchanges: frozenset[str], market_type: str) -> int | None:
    """Return the depth of order books to subscribe to, where an exchange's default would be less than BOOK_DEPTH.

    Args:
        exchanges: the exchange's id and those of the classes that it inherits from.
        market_type: ccxt's type of the market.
    """
    for exchange in exchanges & _BOOK_LIMITS.keys():
        limits = _BOOK_LIMITS[exchange]
        return limits.get(market_type, limits["*"])
    return None
