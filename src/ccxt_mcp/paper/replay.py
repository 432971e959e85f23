"""The replay: lets an account live through what the market has done since it was last looked at.

A candle does not tell in which order its prices came, so the worse one comes first: for a position the price that
hurts it, else the price that brings an order in before the one that would pay it out. On the way from one price to the
next each trigger, and the price of liquidation, is met where it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ccxt_mcp.paper.feed import Candle, Funding
from ccxt_mcp.paper.watch import MINUTE_MS, Watch

if TYPE_CHECKING:
    from decimal import Decimal

    from ccxt_mcp.paper.engine import Engine
    from ccxt_mcp.paper.feed import Trade
    from ccxt_mcp.paper.reading import Fundings, Reading

_TOLERANCE_MS = 60_000  # by which an exchange may date a funding before the time that it announced


def replay(engine: Engine, reading: Reading, watch: Watch) -> Watch:
    """Apply a reading to an account, and return how far its market is followed then.

    Args:
        engine: the account.
        reading: what the exchange has told; what the watch knows already is passed over.
        watch: how far the market was followed.
    """
    symbol, history, now = reading.symbol, reading.history, reading.now
    payments = [one for one in reading.fundings.payments if one.time > watch.funded]
    candles = [one for one in history.candles if one.time >= watch.time or _is_running(one, watch)]
    trades = [one for one in history.trades if one.time > watch.time]
    moments: list[Funding | Candle | Trade] = [*payments, *candles, *trades]
    for moment in sorted(moments, key=lambda one: one.time):  # stable: funding comes before its minute
        if isinstance(moment, Funding):
            engine.funding(symbol, moment.rate, moment.time)
        elif isinstance(moment, Candle):
            _live_through(engine, symbol, moment, watch)
        else:
            engine.trade(symbol, moment.price, moment.amount, moment.time)
    if history.complete:
        if reading.book is not None:
            engine.book(symbol, reading.book, now)
        mark = reading.fundings.mark or (reading.book and reading.book.price)
        if mark is not None:
            engine.mark(symbol, mark, now)
    return _after(_paid(watch, reading.fundings), reading)


def _is_running(candle: Candle, watch: Watch) -> bool:
    return watch.minute is not None and candle.time == watch.minute.time


def _live_through(engine: Engine, symbol: str, candle: Candle, watch: Watch) -> None:
    """Go through a minute; of one that was seen in part, only where it went further since."""
    seen = watch.minute if _is_running(candle, watch) else None
    time = candle.time if seen is None else watch.time
    if seen is None:
        engine.trade(symbol, candle.open, None, time)
        engine.mark(symbol, candle.open, time)
        at = candle.open
    else:
        at = seen.close
    extremes = [candle.low, candle.high] if _falls_first(engine, symbol) else [candle.high, candle.low]
    for extreme in extremes:
        if seen is None or not seen.low <= extreme <= seen.high:
            _go(engine, symbol, at, extreme, time)
            at = extreme
    _go(engine, symbol, at, candle.close, time)


def _falls_first(engine: Engine, symbol: str) -> bool:
    """Whether the worse of a candle's extremes is its low."""
    if (position := engine.position(symbol)) is not None:
        return position.side == "long"
    orders = engine.orders(symbol)
    return any(order.role is not None for order in orders) or all(order.side == "sell" for order in orders)


def _go(engine: Engine, symbol: str, start: Decimal, end: Decimal, time: int) -> None:
    """Let the price move from one to another, meeting each trigger and the price of liquidation where it stands."""
    while (met := _next_met(engine, symbol, start, end)) is not None:
        engine.trade(symbol, met, None, time)
        engine.mark(symbol, met, time)
        start = met
    engine.trade(symbol, end, None, time)
    engine.mark(symbol, end, time)


def _next_met(engine: Engine, symbol: str, start: Decimal, end: Decimal) -> Decimal | None:
    prices = [order.trigger for order in engine.orders(symbol) if order.status == "untriggered"]
    if (position := engine.position(symbol)) is not None:
        prices.append(position.liquidation_price)
    if end > start:
        return min((price for price in prices if price is not None and start < price < end), default=None)
    return max((price for price in prices if price is not None and end < price < start), default=None)


def _paid(watch: Watch, fundings: Fundings) -> Watch:
    """Return the watch with what was paid; an announced funding that was not told yet goes on being asked for."""
    times = [one.time for one in fundings.payments]
    funded = max([watch.funded, *times])
    told = max([watch.funded, *(time + _TOLERANCE_MS for time in times)])
    waits = watch.coming is not None and watch.coming.time > told
    return replace(watch, funded=funded, coming=watch.coming if waits else fundings.coming or watch.coming)


def _after(watch: Watch, reading: Reading) -> Watch:
    candles, trades = reading.history.candles, reading.history.trades
    if trades:
        return replace(watch, time=max(watch.time, trades[-1].time), minute=None)
    if not candles:
        return watch
    last = candles[-1]
    if not reading.history.complete or last.time + MINUTE_MS <= reading.now:
        return replace(watch, time=max(watch.time, last.time + MINUTE_MS), minute=None)
    if watch.minute is not None and watch.minute.time == last.time:
        last = last._replace(high=max(last.high, watch.minute.high), low=min(last.low, watch.minute.low))
    return replace(watch, time=max(watch.time, reading.now), minute=last)
