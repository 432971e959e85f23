"""Feed: the real market for paper accounts, through the same route and guards as every other reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.quirks import BOOK_LEVELS, BOOK_LEVELS_ODD
from ccxt_mcp.gateway import Gateway

_TRADES = 500
_CANDLES = 1000
_PAYMENTS = 100
_OLDEST_MS = 15_000  # what is older is no market to trade on


class GatewayFeed:
    """An exchange's public data; what is stale or old is a failure, for nothing may be filled at such a price.

    Args:
        gateway: the way to the exchange.
        exchange: the exchange's id.
    """

    def __init__(self, gateway: Gateway, exchange: str) -> None:
        self._gateway = gateway
        self._exchange = exchange

    async def book(self, symbol: str) -> Mapping[str, Any]:
        """Return the order book."""
        return await self._read("fetchOrderBook", symbol, limit=BOOK_LEVELS_ODD.get(self._exchange, BOOK_LEVELS))

    async def trades(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest trades."""
        return await self._read("fetchTrades", symbol, limit=_TRADES)

    async def candles(self, symbol: str, since_ms: int) -> Sequence[Sequence[Any]]:
        """Return one-minute candles from then on."""
        venue = await self._gateway.open(self._exchange)
        limit = min(_CANDLES, venue.candle_limit(symbol))
        return await self._read("fetchOHLCV", symbol, timeframe="1m", since=since_ms, limit=limit)

    async def funding(self, symbol: str) -> Mapping[str, Any]:
        """Return the funding rate to come, and the mark price where it is known."""
        return await self._read("fetchFundingRate", symbol)

    async def funding_history(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        """Return the funding rates that were paid from then on."""
        paid = await self._read("fetchFundingRateHistory", symbol, limit=_PAYMENTS)
        return [row for row in paid if (row.get("timestamp") or 0) >= since_ms]

    async def _read(self, method: str, symbol: str, **arguments: Any) -> Any:
        answer = await self._gateway.call(Call(method, self._exchange, symbol=symbol, arguments=arguments))
        if answer.success and (answer.metadata.stale or answer.metadata.age_ms > _OLDEST_MS):
            aged = method in {"fetchOrderBook", "fetchTrades"}
            if aged:
                raise Failure(Code.TIMEOUT, f"{self._exchange} shows no fresh market of {symbol} now.")
        return answer.unwrap()
