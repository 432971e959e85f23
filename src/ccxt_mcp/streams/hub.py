"""The Hub: every live stream of the server. Subscribe once, serve many."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ccxt_mcp.envelope import internal_failure
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.exchanges.venue import Venue, VenueKey
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.guards.cache import Served
from ccxt_mcp.kept import Kept
from ccxt_mcp.streams.channels import BOOK_DEPTH, CHANNELS, Channel, book_limit
from ccxt_mcp.streams.events import Subscription
from ccxt_mcp.streams.ledgers import Rest
from ccxt_mcp.streams.poll import Poll
from ccxt_mcp.streams.pump import Pump, Unavailable
from ccxt_mcp.streams.stream import Stream, StreamKey, no_charge

log = structlog.get_logger(__name__)

_CLOSING = 5.0  # seconds that streams get to end by themselves
_MARKETS = frozenset({Channel.TICKER, Channel.BOOK, Channel.TRADES, Channel.CANDLES})


@dataclass(frozen=True, slots=True)
class Topic:
    """What somebody wants to watch, as they wrote it.

    Attributes:
        exchange: the exchange's id.
        channel: what of it.
        symbol: the market; not for a balance, and for other channels of an account only to leave out the rest.
        timeframe: of candles.
        account: the account's name; None for the exchange's default, or for public data.
    """

    exchange: str
    channel: Channel
    symbol: str | None = None
    timeframe: str | None = None
    account: str | None = None


@dataclass(slots=True)
class _Entry:
    """A stream that is up, and what keeps it so."""

    stream: Stream
    task: asyncio.Task[None] | None = None
    closing: asyncio.TimerHandle | None = None
    pump: Pump | None = None
    companion: Subscription | None = None
    made: tuple[Any, Kept] | None = None


class Hub:
    """Streams by what they tell of; each has one upstream subscription, however many read it.

    Args:
        gateway: the way of all requests.
        limit: streams at most.
        linger: seconds that a stream goes on after its last reader left, in case that another one comes.
        patience: scales the seconds after which a silent stream is called stale.
        jitter: a number between 0 and 1 for each pause.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        limit: int = 500,
        linger: float = 15.0,
        patience: float = 1.0,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway = gateway
        self._limit = limit
        self._linger = linger
        self._patience = patience
        self._jitter = jitter
        self._clock = clock
        self._entries: dict[StreamKey, _Entry] = {}
        self._ending: dict[StreamKey, asyncio.Task[None]] = {}
        self._closed = False

    async def subscribe(self, topic: Topic) -> Subscription:
        """Return a subscription to a topic; its stream is opened if nobody reads it yet.

        Raises:
            Failure: the topic makes no sense, the exchange or the account is not known or not allowed, or there are too
                many streams. What happens to the stream later is told by its events.
        """
        key = await self._key(topic)
        return self._entry(key).stream.join()

    async def stream(self, topic: Topic) -> tuple[Stream, Subscription]:
        """Return the stream of a topic too, for who tells what it is.

        Raises:
            Failure: as `subscribe`.
        """
        key = await self._key(topic)
        stream = self._entry(key).stream
        return stream, stream.join()

    def live(self, key: VenueKey, method: str, arguments: Mapping[str, Any]) -> Served[Any] | None:
        """Return what a live stream knows instead of an answer to a request; None where that must be asked for."""
        if not self._entries:
            return None
        symbol = arguments.get("symbol")
        if method == "fetchTicker":
            entry = self._entries.get(StreamKey(key, Channel.TICKER, symbol))
            return None if entry is None else self._ticker(entry)
        if method == "fetchOrderBook" and set(arguments) <= {"symbol", "limit"}:
            entry = self._entries.get(StreamKey(key, Channel.BOOK, symbol))
            served = None if entry is None else entry.stream.served()
            return served if served is not None and entry and _suffices(entry.stream, arguments.get("limit")) else None
        return None

    def streams(self) -> list[Stream]:
        """Return all streams that are up, those that are about to end among them."""
        return [entry.stream for entry in self._entries.values()]

    async def close(self) -> None:
        """End all streams and close what they came from; the Hub can be used again afterwards."""
        self._closed = True
        entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            self._release(entry)
            entry.stream.close()
        tasks = [entry.task for entry in entries if entry.task is not None]
        for task in tasks:
            task.cancel()
        pending = [*tasks, *self._ending.values()]
        if pending:
            await asyncio.wait(pending, timeout=_CLOSING)
        self._ending.clear()
        for venue in {entry.stream.key.venue for entry in entries}:
            await self.gateway.pool.close_live(venue)
        self._closed = False

    # -- opening -----------------------------------------------------------------------------------------------------

    async def _key(self, topic: Topic) -> StreamKey:
        row = CHANNELS[topic.channel]
        if row.private:
            venue = await self.gateway.account_venue(topic.exchange, topic.account, method=row.poll)
        else:
            venue = await self.gateway.open(topic.exchange, topic.account)
        if topic.channel in _MARKETS and topic.symbol is None:
            raise Failure(Code.INVALID_ARGUMENT, f"{topic.channel} needs a symbol.")
        symbol = None if topic.symbol is None or topic.channel is Channel.BALANCE else venue.resolve(topic.symbol)
        timeframe = (topic.timeframe or "1m") if topic.channel is Channel.CANDLES else None
        if timeframe is not None:
            venue.require_timeframe(timeframe)
        return StreamKey(venue.key, topic.channel, symbol, timeframe)

    def _entry(self, key: StreamKey) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            if self._closed:
                raise Failure(Code.NETWORK, "The server is closing its streams.")
            if len(self._entries) >= self._limit:
                raise Failure(Code.LIMIT_EXCEEDED, f"{self._limit} streams are open, which is the most.")
            stream = Stream(
                key, left=self._left, troubled=self._troubled, now_ms=self.gateway.now_ms, clock=self._clock
            )
            entry = self._entries[key] = _Entry(stream)
            if key.channel is Channel.TICKER:
                stream.complete = lambda ticker: self._with_touch(entry, ticker)
            name = f"stream {key.venue.exchange} {key.channel} {key.symbol or ''}".strip()
            running = self._run(entry, self._ending.get(key))
            entry.task = asyncio.create_task(running, name=name, context=Context())  # its opener's deadline ends sooner
        if entry.closing is not None:
            entry.closing.cancel()
            entry.closing = None
        return entry

    async def _run(self, entry: _Entry, before: asyncio.Task[None] | None) -> None:
        """Keep a stream up until it is cancelled or cannot be."""
        stream = entry.stream
        try:
            if before is not None:
                await asyncio.wait({before})
            venue = await self._venue(stream.key)
            rest = Rest(
                self.gateway,
                stream.key.channel,
                stream.key.venue.exchange,
                stream.key.venue.account,
                stream.key.symbol,
                stream.key.timeframe,
            )
            try:
                await self._pump(stream, venue, rest)
            except Unavailable:
                stream.origin = "poll"
                await Poll(
                    stream, venue, rest, neighbours=lambda: self._polled(stream.key.venue), jitter=self._jitter
                ).run()
        except Failure as failure:
            stream.failed(failure)
            self._forget(entry)
        except Exception:
            log.exception("a stream crashed", channel=str(stream.key.channel))
            stream.failed(internal_failure())
            self._forget(entry)

    async def _pump(self, stream: Stream, venue: Venue, rest: Rest) -> None:
        live = await self._live(stream, venue)
        if stream.key.channel is Channel.BOOK:
            market = venue.markets[stream.key.symbol or ""]
            stream.depth = book_limit(live.dialect, market.get("type") or "spot")
        pump = Pump(
            stream,
            live,
            rest,
            jitter=self._jitter,
            patience=self._patience,
            beside=lambda: [other for other in self.streams() if other is not stream and _same_source(other, stream)],
        )
        if (entry := self._entries.get(stream.key)) is not None:
            entry.pump = pump
        try:
            await pump.run()
        except asyncio.CancelledError:
            if not self._closed and live.connected and self._is_shared(stream.key) and not self._is_part(stream.key):
                await pump.unwatch()
            raise

    async def _live(self, stream: Stream, venue: Venue) -> Live:
        if venue.broker is not None:
            raise Unavailable(Failure(Code.METHOD_NOT_SUPPORTED, "A paper account has no stream."))
        try:
            live = await self.gateway.pool.live(venue.key)
        except Failure as failure:
            if failure.code is Code.METHOD_NOT_SUPPORTED:
                raise Unavailable(failure) from None
            raise
        if not live.offers(stream.row.watch):
            raise Unavailable(Failure(Code.METHOD_NOT_SUPPORTED, f"{venue.key.exchange} has no {stream.row.watch}."))
        return live

    async def _venue(self, key: StreamKey) -> Venue:
        venue, row = key.venue, CHANNELS[key.channel]
        if row.private:
            return await self.gateway.account_venue(venue.exchange, venue.account, method=row.poll)
        return await self.gateway.open(venue.exchange, self._account_in(venue))

    def _account_in(self, venue: VenueKey) -> str | None:
        """Return an account whose environment a public key is in, where it is not the exchange's own."""
        pool = self.gateway.pool
        if pool.key(venue.exchange) == venue:
            return None
        accounts = [account.name for account in pool.accounts.of(venue.exchange)]
        return next((name for name in accounts if pool.key(venue.exchange, name) == venue), None)

    def _polled(self, venue: VenueKey) -> int:
        mine = [entry.stream for entry in self._entries.values() if entry.stream.key.venue.public == venue.public]
        return max(1, sum(stream.origin == "poll" for stream in mine))

    def _troubled(self, stream: Stream) -> None:
        """Have the other streams of an instance looked after: what one lost, they may have lost as well."""
        for entry in self._entries.values():
            if entry.pump is not None and entry.stream is not stream and _same_source(entry.stream, stream):
                entry.pump.doubt()

    # -- completing tickers --------------------------------------------------------------------------------------------

    def _ticker(self, entry: _Entry) -> Served[Any] | None:
        """Return a ticker with the touch of this moment, or none where there is no touch."""
        served = entry.stream.served()
        if served is None or entry.companion is None:
            return served if served is not None and _has_touch(served.value) else None
        book = self._entries.get(replace(entry.stream.key, channel=Channel.BOOK))
        touch = None if book is None else book.stream.served()
        if touch is None:
            return None
        made = served.kept, touch.kept
        if entry.made is None or entry.made[0] != made:
            entry.made = made, Kept(_touched(served.value, touch.value), no_charge)
        kept = entry.made[1]
        return replace(served, value=kept.value, kept=kept) if _has_touch(kept.value) else None

    def _with_touch(self, entry: _Entry, ticker: dict[str, Any]) -> dict[str, Any]:
        """Return a ticker with the best bid and ask of the order book's stream, where its own stream has none.

        Some exchanges, as Bybit on spot markets, leave them out of a ticker's stream, and requests have them.
        """
        if (_has_touch(ticker) and entry.companion is None) or entry.stream.origin != "stream":
            return ticker
        key = replace(entry.stream.key, channel=Channel.BOOK)
        if entry.companion is None:
            try:
                entry.companion = self._entry(key).stream.join()
            except Failure:
                return ticker
        book = self._entries.get(key)
        newest = book.stream.newest() if book is not None and book.stream.fresh else None
        if newest is None or (newest.get("timestamp") or 0) < (ticker.get("timestamp") or 0):
            return ticker  # a touch from before would not fit the last price
        return _touched(ticker, newest)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _left(self, stream: Stream) -> None:
        entry = self._entries.get(stream.key)
        if entry is not None and entry.stream is stream and entry.closing is None:
            loop = asyncio.get_running_loop()
            entry.closing = loop.call_later(self._linger, self._forget_unread, stream.key)

    def _forget_unread(self, key: StreamKey) -> None:
        entry = self._entries.get(key)
        if entry is not None and not entry.stream.readers:
            self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        """End a stream: unsubscribe, and close the instance if it was the last one that came from it."""
        key = entry.stream.key
        if self._entries.get(key) is not entry:
            return
        del self._entries[key]
        self._release(entry)
        entry.stream.close()
        if entry.task is not None:
            entry.task.cancel()
            before = self._ending.get(key)
            tasks = {entry.task} if before is None else {entry.task, before}
            ending = asyncio.create_task(self._end(key, tasks), name="stream ending", context=Context())
            self._ending[key] = ending
            ending.add_done_callback(lambda done: self._ended(key, done))

    async def _end(self, key: StreamKey, tasks: set[asyncio.Task[None]]) -> None:
        await asyncio.wait(tasks)
        if not self._is_shared(key):
            await self.gateway.pool.close_live(key.venue)

    def _ended(self, key: StreamKey, task: asyncio.Task[None]) -> None:
        if self._ending.get(key) is task:
            del self._ending[key]

    def _release(self, entry: _Entry) -> None:
        if entry.closing is not None:
            entry.closing.cancel()
        if entry.companion is not None:
            entry.companion.close()

    def _is_part(self, key: StreamKey) -> bool:
        """Whether another stream shows other markets of what the exchange sends for both, as it does for accounts."""
        same = (other for other in self._entries if (other.venue, other.channel) == (key.venue, key.channel))
        return CHANNELS[key.channel].private and any(same)

    def _is_shared(self, key: StreamKey) -> bool:
        """Whether another stream comes from the same instance."""
        return any(other.venue == key.venue for other in self._entries)


def _same_source(one: Stream, other: Stream) -> bool:
    return one.key.venue == other.key.venue


def _touched(ticker: dict[str, Any], book: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ticker with a book's best bid and ask."""
    if not book["bids"] or not book["asks"]:
        return ticker
    (bid, bid_amount), (ask, ask_amount) = book["bids"][0], book["asks"][0]
    return ticker | {"bid": bid, "bidVolume": bid_amount, "ask": ask, "askVolume": ask_amount}


def _has_touch(ticker: Mapping[str, Any]) -> bool:
    return ticker.get("bid") is not None and ticker.get("ask") is not None


def _suffices(stream: Stream, limit: int | None) -> bool:
    """Whether a book has as many levels as were asked for, or all that there are."""
    if limit is None or limit > BOOK_DEPTH:
        return False
    book = stream.newest()
    return (stream.depth or 0) >= limit or min(len(book["bids"]), len(book["asks"])) >= limit
