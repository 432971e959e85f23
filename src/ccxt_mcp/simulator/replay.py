"""What the market did to an account since somebody last looked at it: its trades, mark prices and fundings, in order.

Hours and minutes in which nothing can happen to it are passed over: those whose highest and lowest prices reach none of
its orders and liquidate none of its positions. So an order may rest for weeks and be looked at once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from .floor import price, size
from .history import MINUTE_MS
from .prices import SESSION_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ccxt_mcp.paper.engine import Engine, Order

    from .candles import Candle
    from .floor import Floor
    from .history import History
    from .markets import Market
    from .world import Venue

_HOUR = 60
_PREMIUM = Decimal("0.002")  # more than a mark price ever stands away from its index


class Happening(NamedTuple):
    """Something that happened in a market. Of things at one time a mark price comes first, then the funding paid on it.

    `number` is a price, or the rate of a funding; `amount` is that of a trade.
    """

    time: int
    kind: Literal["mark", "paid", "trade"]
    name: str
    number: Decimal
    amount: Decimal = Decimal(0)


def replay(
    engine: Engine, floor: Floor, names: Iterable[str], after: int, now: int, paid: Callable[[int], None]
) -> None:
    """Let everything later than `after` and not later than `now` happen to an account; in milliseconds.

    `names` are the markets where it has orders or a position. `paid` is called with the time of each funding, while the
    position is what it was paid on.
    """
    venues = {name: venue for name in sorted(names) if _moved(venue := floor.of(name), after, now)}
    minute, last = after // MINUTE_MS, now // MINUTE_MS
    while minute <= last and venues:
        whole = minute % _HOUR == 0 and minute + _HOUR <= last
        if whole and all(_quiet(engine, *one, minute, _HOUR) for one in venues.items()):
            minute += _HOUR
            continue
        stirred = [one for one in venues.items() if not _quiet(engine, *one, minute, 1)]
        for happening in sorted(found for one in stirred for found in _happenings(*one, minute)):
            if after < happening.time <= now:
                _happen(engine, floor, happening, paid)
        minute += 1
    for position in engine.positions():
        engine.mark(position.symbol, floor.mark(floor.of(position.symbol), now), now)


def _moved(venue: Venue, after: int, now: int) -> bool:
    """Whether a market has traded, or paid funding; as a rule it has not since the last look."""
    if venue.tape.last(now).time > after:
        return True
    contract = venue.contract
    return contract is not None and (contract.spot.last(now).time > after or now // SESSION_MS > after // SESSION_MS)


def _happen(engine: Engine, floor: Floor, happening: Happening, paid: Callable[[int], None]) -> None:
    time, kind, name, number, amount = happening
    if kind == "mark":
        engine.mark(name, number, time)
    elif kind == "paid":
        engine.funding(name, number, time)
        paid(time)
    else:
        # Only what triggers takes from the book, and a book is dear.
        waiting = (order for order in engine.orders(name) if order.status == "untriggered")
        book = floor.book(floor.of(name), time) if any(_reached(order, number, number) for order in waiting) else None
        engine.trade(name, number, amount, time, book=book)


def _quiet(engine: Engine, name: str, venue: Venue, minute: int, length: int) -> bool:
    """Whether nothing can happen to the account in one market in a minute, or in the hour that begins with it."""

    def candle(history: History) -> Candle:
        return history.minute(minute) if length == 1 else history.hour(minute // _HOUR)

    low, high = _range(venue.market, candle(venue.tape.history))
    if any(_concerned(order, low, high) for order in engine.orders(name)):
        return False
    position = engine.position(name)
    if position is None or venue.contract is None:
        return True
    if _funding(minute):
        return False
    end = position.liquidation_price
    low, high = _range(venue.market, candle(venue.contract.spot.history))
    return end is None or (low * (1 - _PREMIUM) > end if position.side == "long" else high * (1 + _PREMIUM) < end)


def _range(market: Market, candle: Candle) -> tuple[Decimal, Decimal]:
    return price(market, candle.low), price(market, candle.high)


def _funding(minute: int) -> bool:
    """Whether funding is paid when a minute begins; an hour has it at its beginning too."""
    return minute * MINUTE_MS % SESSION_MS == 0


def _concerned(order: Order, low: Decimal, high: Decimal) -> bool:
    """Whether an order may be filled or triggered, or its trailing stop moved, by prices from `low` to `high`."""
    best = order.extreme
    if order.request.trails and best is not None and (low < best if order.side == "buy" else high > best):
        return True
    return _reached(order, low, high)


def _reached(order: Order, low: Decimal, high: Decimal) -> bool:
    bound, rises = order.request.price, order.side == "sell"
    if order.status == "untriggered":
        bound, rises = order.trigger, order.request.trigger_rises is True
    return bound is None or (high >= bound if rises else low <= bound)


def _happenings(name: str, venue: Venue, minute: int) -> Iterator[Happening]:
    """All that happens in one market in a minute: its trades and, at each trade of its index, its mark price."""
    market, contract = venue.market, venue.contract
    for trade in venue.tape.minute_trades(minute):
        yield Happening(trade.time, "trade", name, price(market, trade.price), size(market, trade.size))
    if contract is None:
        return
    begin = minute * MINUTE_MS
    times = {begin, *(trade.time for trade in contract.spot.minute_trades(minute))}
    for time in times:
        yield Happening(time, "mark", name, price(market, contract.mark(time)))
    if _funding(minute):
        rate = contract.funding_rate(begin // SESSION_MS - 1)
        yield Happening(begin, "paid", name, Decimal(f"{rate:.8f}"))
