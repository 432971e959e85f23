"""The public WebSocket topics: what each sends when subscribed to, and what it sends as time goes on.

Every message is computed from the same venue as the REST answers, so both always agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .book import Book, Level
from .history import MINUTE_MS
from .klines import INTERVALS, Interval
from .markets import LAUNCH, Category
from .ticker import live_ticker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import Venue, World

Message = dict[str, Any]

_LEVELS = {"1", "50", "200", "500", "1000"}
_MOST_TRADES = 1000


class Topic(Protocol):
    """What a topic has told, to all who hear it alike."""

    def first(self, now: int) -> Iterator[Message]:
        """What begins it for one who comes, and what the next news build on; `now` in milliseconds."""
        ...

    def news(self, now: int) -> Iterator[Message]:
        """What has changed since the last message."""
        ...


def open_topic(world: World, category: Category, name: str) -> Topic:
    """The topic of a name such as 'orderbook.50.BTCUSDT'. Raises ValueError with Bybit's words."""
    channel, _, rest = name.partition(".")
    detail, _, symbol = rest.rpartition(".")
    venue = world.venue(category, symbol)
    if venue is None:
        raise ValueError(f"Invalid symbol :[{name}]")
    match channel:
        case "tickers" if not detail:
            return TickerTopic(name, venue)
        case "publicTrade" if not detail:
            return TradeTopic(name, venue)
        case "orderbook" if detail in _LEVELS:
            return BookTopic(name, venue, int(detail))
        case "kline" if detail in INTERVALS:
            return KlineTopic(name, venue, detail, INTERVALS[detail])
        case _:
            raise ValueError(f"error:handler not found,topic:{name}")


def is_increment(message: Message) -> bool:
    """Whether a message is worth nothing, or something else, without those before it; trades are 'snapshots' too."""
    return message["type"] == "delta" or message["topic"].startswith("publicTrade.")


class TickerTopic:
    """Spot sends a snapshot at each change, contracts one snapshot and then the fields that changed."""

    def __init__(self, name: str, venue: Venue) -> None:
        self._name = name
        self._venue = venue
        self._sent: dict[str, str] = {}

    def first(self, now: int) -> Iterator[Message]:
        """The whole ticker."""
        self._sent = live_ticker(self._venue, now)
        yield self._message("snapshot", self._sent, now)

    def news(self, now: int) -> Iterator[Message]:
        """The ticker or what changed in it."""
        present = live_ticker(self._venue, now)
        changed = {field: value for field, value in present.items() if self._sent.get(field) != value}
        if not changed:
            return
        self._sent = present
        if self._venue.contract is None:
            yield self._message("snapshot", present, now)
        else:
            yield self._message("delta", {"symbol": present["symbol"], **changed}, now)

    def _message(self, kind: str, data: dict[str, str], now: int) -> Message:
        return {"topic": self._name, "type": kind, "cs": now, "ts": now, "data": data}


class BookTopic:
    """A snapshot, then deltas that rebuild the REST book of the same moment; one level always comes as a snapshot.

    `u` counts what is told, one by one, so that a message that is lost leaves a hole; a snapshot has that of the last
    delta it contains. `seq` is that of the REST book of the same moment.
    """

    def __init__(self, name: str, venue: Venue, levels: int) -> None:
        self._name = name
        self._venue = venue
        self._levels = levels
        self._sent = Book((), (), 0)
        self._number = 0

    def first(self, now: int) -> Iterator[Message]:
        """The whole book."""
        if not self._number:
            # Not 1, which on Bybit says that its service was started again.
            self._number = self._venue.depth.book(now, self._levels).update
        self._moved(now)
        yield self._message("snapshot", self._sent.bids, self._sent.asks, now)

    def news(self, now: int) -> Iterator[Message]:
        """The levels that changed; a level that is gone has size zero."""
        bids, asks = self._moved(now)
        if not (bids or asks):
            return
        if self._levels == 1:
            yield self._message("snapshot", self._sent.bids, self._sent.asks, now)
        else:
            yield self._message("delta", bids, asks, now)

    def _moved(self, now: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """What has changed on both sides, which takes the next number."""
        before, self._sent = self._sent, self._venue.depth.book(now, self._levels)
        if self._sent is before:
            return (), ()
        bids, asks = changes(before.bids, self._sent.bids), changes(before.asks, self._sent.asks)
        if bids or asks:
            self._number += 1
        return bids, asks

    def _message(self, kind: str, bids: tuple[Level, ...], asks: tuple[Level, ...], now: int) -> Message:
        market = self._venue.market
        data = {
            "s": market.symbol,
            "b": [[market.price(price), market.size(size) if size else "0"] for price, size in bids],
            "a": [[market.price(price), market.size(size) if size else "0"] for price, size in asks],
            "u": self._number,
            "seq": self._sent.update,
        }
        return {"topic": self._name, "type": kind, "ts": now, "data": data, "cts": now}


def changes(before: tuple[Level, ...], after: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels to set, with size zero for those to remove, that lead from one side of a book to another."""
    old, new = dict(before), dict(after)
    gone = (Level(price, 0) for price in old if price not in new)
    return (*gone, *(level for level in after if old.get(level.price) != level.size))


class TradeTopic:
    """Every trade from the subscription on."""

    def __init__(self, name: str, venue: Venue) -> None:
        self._name = name
        self._venue = venue
        self._sent = 0

    def first(self, now: int) -> Iterator[Message]:
        """Nothing: past trades are for REST."""
        self._sent = now
        return iter(())

    def news(self, now: int) -> Iterator[Message]:
        """The trades since the last message; after a long silence the newest thousand."""
        market = self._venue.market
        trades = self._venue.tape.since(self._sent, now, _MOST_TRADES)
        self._sent = now
        if not trades:
            return
        data = [
            {
                "T": trade.time,
                "s": market.symbol,
                "S": "Buy" if trade.buy else "Sell",
                "v": market.size(trade.size),
                "p": market.price(trade.price),
                "i": str(trade.id),
                "BT": False,
                "RPI": False,
                "seq": trade.id,
            }
            for trade in trades
        ]
        yield {"topic": self._name, "type": "snapshot", "ts": now, "data": data}


class KlineTopic:
    """The candle being formed at each change, and once more with `confirm` when it is finished."""

    def __init__(self, name: str, venue: Venue, code: str, interval: Interval) -> None:
        self._name = name
        self._venue = venue
        self._code = code
        self._interval = interval
        self._number = 0
        self._sent: Message = {}

    def first(self, now: int) -> Iterator[Message]:
        """The candle being formed."""
        self._number = self._interval.number(now // MINUTE_MS)
        self._sent = self._row(self._number, now)
        yield self._message(self._sent, now)

    def news(self, now: int) -> Iterator[Message]:
        """The last candle where it is finished now, and the one being formed where it changed."""
        number = self._interval.number(now // MINUTE_MS)
        if number > self._number:
            yield self._message(self._row(self._number, now), now)
            self._number = number
        yield from self._changed(now)

    def _changed(self, now: int) -> Iterator[Message]:
        present = self._row(self._number, now)
        if present != self._sent:
            self._sent = present
            yield self._message(present, now)

    def _row(self, number: int, now: int) -> Message:
        market, tape = self._venue.market, self._venue.tape
        start, stop = self._interval.minute(number), self._interval.minute(number + 1)
        candle = tape.candle(max(start, LAUNCH // MINUTE_MS), stop, now)
        return {
            "start": start * MINUTE_MS,
            "end": stop * MINUTE_MS - 1,
            "interval": self._code,
            "open": market.price(candle.open),
            "close": market.price(candle.close),
            "high": market.price(candle.high),
            "low": market.price(candle.low),
            "volume": market.size(candle.volume),
            "turnover": market.value(candle.turnover),
            "confirm": now >= stop * MINUTE_MS,
            "timestamp": min(tape.last(now).time, stop * MINUTE_MS - 1),
        }

    def _message(self, data: Message, now: int) -> Message:
        return {"topic": self._name, "type": "snapshot", "ts": now, "data": [data]}
