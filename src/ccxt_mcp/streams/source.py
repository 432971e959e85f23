"""Source: where the next update of a stream comes from: ccxt's `watch…` method, or what that method waits for.

Each call of a `watch…` method works its way to one future again: markets, addresses, topics, subscriptions. Between two
calls nothing of that changes while the connection stays the same. So the first call shows which future it is, and from
then on that is awaited, and what came is taken from where ccxt keeps it. Where this is not plain, `watch…` is called
each time: for accounts, for calls that wait for several futures, and for exchanges that keep their data elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ccxt_mcp.exchanges.live import Live, Wait
from ccxt_mcp.streams.channels import Channel


class Source:
    """Gives a stream's updates one by one.

    Args:
        live: the instance.
        channel: what the stream tells of.
        symbol: the market; None for all of an account's.
        timeframe: of candles.
        watch: ccxt's method.
        arguments: its arguments.
    """

    def __init__(
        self,
        live: Live,
        channel: Channel,
        symbol: str | None,
        timeframe: str | None,
        *,
        watch: Callable[..., Awaitable[Any]],
        arguments: Sequence[Any],
    ) -> None:
        self._live = live
        self._exchange = live.exchange
        self._channel = channel
        self._symbol = symbol
        self._timeframe = timeframe
        self._watch = watch
        self._arguments = arguments
        self._wait: Wait | None = None
        self._newest: Callable[[], Any] | None = {
            Channel.TICKER: self._ticker,
            Channel.BOOK: self._book,
            Channel.TRADES: self._trades,
            Channel.CANDLES: self._candles,
        }.get(channel)
        self._known: Any = None

    async def next(self) -> Any:
        """Return what `watch…` returns for the next update.

        Raises:
            Exception: what `watch…` raises.
        """
        while (wait := self._wait) is not None and self._newest is not None and wait.is_current(self._exchange):
            await wait.future()
            if (newest := self._newest()) is not None:
                return newest
        with self._live.waits() as waits:
            value = await self._watch(*self._arguments)
        self._wait = waits[0] if len(waits) == 1 and self._is_kept(value) else None
        return value

    def _is_kept(self, value: Any) -> bool:
        """Whether ccxt keeps what it returned where all its exchanges keep such things."""
        exchange, symbol = self._exchange, self._symbol
        match self._channel:
            case Channel.TICKER:
                self._known = value
                return bool(value) and (exchange.tickers or {}).get(symbol) is value
            case Channel.BOOK:
                return bool(value) and (exchange.orderbooks or {}).get(symbol) is value
            case Channel.TRADES:
                kept = (exchange.trades or {}).get(symbol)
            case Channel.CANDLES:
                kept = ((exchange.ohlcvs or {}).get(symbol) or {}).get(self._timeframe)
            case _:
                return False
        return bool(kept) and bool(value) and kept[-1] is value[-1]

    def _ticker(self) -> Any:
        known, self._known = self._known, self._exchange.tickers.get(self._symbol)
        return None if self._known is known else self._known  # the future may have been about another market

    def _book(self) -> Any:
        return self._exchange.orderbooks[self._symbol].limit()

    def _trades(self) -> Any:
        kept = self._exchange.trades[self._symbol]
        return kept[-kept.getLimit(self._symbol, None) :]

    def _candles(self) -> Any:
        kept = self._exchange.ohlcvs[self._symbol][self._timeframe]
        return kept[-kept.getLimit(self._symbol, None) :]
