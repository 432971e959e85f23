"""The real market, as paper trading reads it: what it asks for, and what it makes of ccxt's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Protocol

from ccxt_mcp.paper.engine import Book, Level
from ccxt_mcp.paper.engine.money import within_reach


class Feed(Protocol):
    """An exchange's public data, each thing as ccxt's unified structure. Each read may raise Failure."""

    async def book(self, symbol: str) -> Mapping[str, Any]:
        """Return the order book, as deep as an order may walk it."""
        ...

    async def trades(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest trades; older ones than asked for do no harm, and show that none is missing."""
        ...

    async def candles(self, symbol: str, since_ms: int) -> Sequence[Sequence[Any]]:
        """Return one-minute candles from then on, the running one included; as many as one request gives."""
        ...

    async def funding(self, symbol: str) -> Mapping[str, Any]:
        """Return the funding rate to come, with its time, and the mark price where it is known."""
        ...

    async def funding_history(self, symbol: str, since_ms: int) -> Sequence[Mapping[str, Any]]:
        """Return the funding rates that were paid from then on."""
        ...


class Trade(NamedTuple):
    """A public trade; milliseconds, quote, and base or contracts where it is known."""

    time: int
    price: Decimal
    amount: Decimal | None


class Candle(NamedTuple):
    """A minute of trading; `time` is when it opened."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class Funding(NamedTuple):
    """A funding rate, and when it is paid."""

    time: int
    rate: Decimal


def number_of(value: Any) -> Decimal | None:
    """Return a number of ccxt's exactly as it is written; None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if within_reach(number) else None


def book_of(book: Mapping[str, Any]) -> Book:
    """Return an order book without levels that are none."""
    return Book(_levels(book.get("bids"), best_is_high=True), _levels(book.get("asks"), best_is_high=False))


def trades_of(trades: Iterable[Mapping[str, Any]]) -> list[Trade]:
    """Return trades that have a time and a price, oldest first."""
    found = [
        Trade(int(trade["timestamp"]), price, _positive(trade.get("amount")))
        for trade in trades
        if trade.get("timestamp") and (price := _positive(trade.get("price"))) is not None
    ]
    return sorted(found, key=lambda trade: trade.time)


def candles_of(candles: Iterable[Sequence[Any]]) -> list[Candle]:
    """Return candles that are whole, oldest first."""
    found: list[Candle] = []
    for row in candles:
        prices = [price for cell in row[1:5] if (price := _positive(cell)) is not None]
        if row and row[0] and len(prices) == 4:
            found.append(Candle(int(row[0]), *prices))
    return sorted(found)


def mark_of(funding: Mapping[str, Any]) -> Decimal | None:
    """Return the mark price that comes with a funding rate."""
    return _positive(funding.get("markPrice"))


def coming_of(funding: Mapping[str, Any], now: int) -> Funding | None:
    """Return the next funding, if its time is known."""
    rate = number_of(funding.get("fundingRate"))
    times = (funding.get(name) for name in ("fundingTimestamp", "nextFundingTimestamp"))
    time = next((int(time) for time in times if time and time > now), None)
    return None if rate is None or time is None else Funding(time, rate)


def payments_of(history: Iterable[Mapping[str, Any]]) -> list[Funding]:
    """Return the fundings of a history, oldest first."""
    return sorted(
        Funding(int(entry["timestamp"]), rate)
        for entry in history
        if entry.get("timestamp") and (rate := number_of(entry.get("fundingRate"))) is not None
    )


def _positive(value: Any) -> Decimal | None:
    number = number_of(value)
    return number if number is not None and number > 0 else None


def _levels(side: Any, *, best_is_high: bool) -> tuple[Level, ...]:
    levels = [
        Level(price, amount)
        for row in side or ()
        if (price := _positive(row[0])) is not None and (amount := _positive(row[1])) is not None
    ]
    return tuple(sorted(levels, key=lambda level: level.price, reverse=best_is_high))
