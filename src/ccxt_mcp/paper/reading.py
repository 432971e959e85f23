"""A reading of the real market: its book now, and what has happened since it was last looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.feed import book_of, candles_of, coming_of, mark_of, payments_of, trades_of
from ccxt_mcp.paper.watch import MINUTE_MS

if TYPE_CHECKING:
    from decimal import Decimal

    from ccxt_mcp.paper.engine import Book
    from ccxt_mcp.paper.feed import Candle, Feed, Funding, Trade
    from ccxt_mcp.paper.watch import Watch

_RECENT_MS = 120_000  # a gap that the newest trades may span
_PAGES = 10  # of candles, in one reading; the next one goes on


@dataclass(frozen=True, slots=True)
class History:
    """What has happened since a watch's time: candles first, then trades.

    Attributes:
        candles: whole minutes, and the running one where the trades do not reach back to it.
        trades: the newest trades.
        complete: whether it reaches up to now.
    """

    candles: tuple[Candle, ...] = ()
    trades: tuple[Trade, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Fundings:
    """What is known of a contract's funding.

    Attributes:
        mark: the mark price.
        coming: the next funding.
        payments: those that were due since the watch last paid.
    """

    mark: Decimal | None = None
    coming: Funding | None = None
    payments: tuple[Funding, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the exchange has told of a market; whatever it did not tell is empty.

    Attributes:
        symbol: the market.
        now: when it was asked, in milliseconds since the epoch.
        book: the order book now.
        failure: why there is no book.
        history: what has happened.
        fundings: of a contract that the account has a position in.
    """

    symbol: str
    now: int
    book: Book | None
    failure: Failure | None
    history: History
    fundings: Fundings


async def read(feed: Feed, symbol: str, watch: Watch | None, *, position: bool, now: int) -> Reading:
    """Ask the exchange for all that an account must know of a market; what fails is left empty.

    Args:
        feed: the exchange's public data.
        symbol: the market.
        watch: how far it has been followed; None for a market without orders and position.
        position: whether the account has a position there.
        now: milliseconds since the epoch.
    """
    (book, failure), history, fundings = await asyncio.gather(
        _book(feed, symbol),
        _history(feed, symbol, watch, now),
        _fundings(feed, symbol, watch if position else None, now),
    )
    return Reading(symbol, now, book, failure, history, fundings)


async def _book(feed: Feed, symbol: str) -> tuple[Book | None, Failure | None]:
    try:
        return book_of(await feed.book(symbol)), None
    except Failure as failure:
        return None, failure


async def _history(feed: Feed, symbol: str, watch: Watch | None, now: int) -> History:
    if watch is None:
        return History()
    trades = await _trades(feed, symbol, watch.time) if now - watch.time <= _RECENT_MS else []
    if trades and trades[0].time <= watch.time:
        return History(trades=tuple(trades))
    start = watch.time if watch.minute is None else watch.minute.time
    candles, complete = await _candles(feed, symbol, start, now)
    if trades:
        candles = [candle for candle in candles if candle.time + MINUTE_MS <= trades[0].time]
    return History(tuple(candles), tuple(trades), complete)


async def _trades(feed: Feed, symbol: str, since: int) -> list[Trade]:
    try:
        return trades_of(await feed.trades(symbol, since))
    except Failure:
        return []


async def _candles(feed: Feed, symbol: str, since: int, now: int) -> tuple[list[Candle], bool]:
    """Return candles page by page, and whether they reach up to now."""
    found: dict[int, Candle] = {}
    for _ in range(_PAGES):
        try:
            page = candles_of(await feed.candles(symbol, since))
        except Failure:
            return list(found.values()), not found
        new = [candle for candle in page if candle.time >= since]
        found.update((candle.time, candle) for candle in new)
        if not new or new[-1].time + MINUTE_MS > now:
            return list(found.values()), True
        since = new[-1].time + MINUTE_MS
    return list(found.values()), False


async def _fundings(feed: Feed, symbol: str, watch: Watch | None, now: int) -> Fundings:
    if watch is None:
        return Fundings()
    try:
        told = await feed.funding(symbol)
        mark, coming = mark_of(told), coming_of(told, now)
    except Failure:
        mark = coming = None
    if watch.coming is not None and watch.coming.time > now:
        return Fundings(mark, coming)
    try:
        history = payments_of(await feed.funding_history(symbol, watch.funded + 1))
    except Failure as failure:
        announced = watch.coming if failure.code is Code.METHOD_NOT_SUPPORTED else None
        return Fundings(mark, coming, () if announced is None else (announced,))
    return Fundings(mark, coming, tuple(one for one in history if watch.funded < one.time <= now))
