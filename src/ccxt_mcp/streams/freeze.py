"""Freeze: what ccxt hands out from a stream as it is at this moment, checked and free to be kept.

ccxt goes on changing the objects that it hands out, and of two messages read in one go it hands out the first. So the
newest state is copied, in the same step of the event loop in which ccxt resolved the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.books import levels_of
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.exchanges.replies import checked
from ccxt_mcp.streams.channels import BOOK_DEPTH, Channel

Freeze = Callable[[Live, Any, str | None], Any]
"""(instance, what ccxt handed out, symbol) -> what is fit to serve; None for nothing.

Raises:
    Failure: BAD_REPLY for what cannot be true.
"""

_SOME_WINDOW = 1  # a `since`: rows may be none, for a message need not hold any


def _ticker(live: Live, value: Any, symbol: str | None) -> Any:
    newest = (live.exchange.tickers or {}).get(symbol, value)
    return checked("fetchTicker", newest, {"symbol": symbol}, blank=False)


def _book(_live: Live, value: Any, symbol: str | None) -> Any:
    bids, asks = levels_of(value["bids"], BOOK_DEPTH), levels_of(value["asks"], BOOK_DEPTH)
    if not bids and not asks:
        raise Failure(Code.BAD_REPLY, f"The order book of {symbol} is empty.")
    if bids and asks and not 0 < bids[0][0] < asks[0][0]:
        raise Failure(Code.BAD_REPLY, f"The order book of {symbol} is crossed.")
    return {
        "symbol": symbol,
        "timestamp": value.get("timestamp"),
        "datetime": value.get("datetime"),
        "nonce": value.get("nonce"),
        "bids": bids,
        "asks": asks,
    }


def _trades(_live: Live, value: Any, symbol: str | None) -> Any:
    rows = [row for row in value if row.get("symbol") in (None, symbol)]
    return checked("fetchTrades", rows, {"symbol": symbol, "since": _SOME_WINDOW}, blank=False) or None


def _candles(_live: Live, value: Any, symbol: str | None) -> Any:
    return checked("fetchOHLCV", list(value), {"symbol": symbol, "since": _SOME_WINDOW}, blank=False) or None


def _orders(_live: Live, value: Any, _symbol: str | None) -> Any:
    return checked("fetchOrders", list(value), {}, blank=False) or None


def _own_trades(_live: Live, value: Any, _symbol: str | None) -> Any:
    return checked("fetchMyTrades", list(value), {}, blank=False) or None


def _balance(_live: Live, value: Any, _symbol: str | None) -> Any:
    return checked("fetchBalance", value, {}, blank=False)


def _positions(live: Live, value: Any, _symbol: str | None) -> Any:
    """Return all rows that the stream ever told, also of positions that are closed: their size is none."""
    kept = live.exchange.positions
    rows = value if kept is None else chain(*kept.values()) if isinstance(kept, dict) else kept
    return [dict(row) for row in rows if isinstance(row, dict)] or None


FREEZE: Mapping[Channel, Freeze] = {
    Channel.TICKER: _ticker,
    Channel.BOOK: _book,
    Channel.TRADES: _trades,
    Channel.CANDLES: _candles,
    Channel.ORDERS: _orders,
    Channel.OWN_TRADES: _own_trades,
    Channel.BALANCE: _balance,
    Channel.POSITIONS: _positions,
}


def lost_rows(live: Live, channel: Channel, value: Sequence[Any], symbol: str | None) -> int:
    """Return how many rows ccxt had no room for since it was asked last: its lists hold a thousand."""
    if channel is not Channel.TRADES or len(value) < _CCXT_ROWS:
        return 0
    told: Mapping[str | None, int] = live.exchange.trades[symbol]._new_updates_by_symbol
    return max(0, told.get(symbol, 0) - len(value))


_CCXT_ROWS = 1000
