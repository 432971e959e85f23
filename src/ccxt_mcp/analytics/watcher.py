"""What follows one condition over a feed until it is met."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import ge, le
from typing import Any, NamedTuple, Self

from ccxt_mcp.analytics.conditions import Condition, Side
from ccxt_mcp.analytics.decimals import bps, exact, percent, positive

_ENDED = frozenset({"canceled", "closed", "expired", "rejected"})
_AHEAD_MS = 60_000  # clocks differ by less; a time farther in the future is none


@dataclass(frozen=True, slots=True)
class Fired:
    """A condition that is met.

    Attributes:
        at_ms: when that arrived, in milliseconds since the epoch.
        facts: what was seen, with JSON names.
    """

    at_ms: int
    facts: dict[str, Any]


class Watcher:
    """Follows one condition over a feed; it has no clock, whoever feeds it says when something arrived.

    It fires when it first sees the condition met. With `repeat` a comparison with `value` fires again after it has
    been false, a crossing at each change of side, and a change when the price moves as far again from where it fired;
    order_filled fires once. Prices count in the order in which they arrive; those that are no positive number do not.

    Args:
        condition: what to wait for; one that another watcher had goes on where that one stopped, but for the prices
            in change_over's window.
        symbol: the market's unified symbol; orders and positions of others are passed over.
        repeat: whether to go on after it has fired.
    """

    def __init__(self, condition: Condition, *, symbol: str, repeat: bool = False) -> None:
        self._condition = condition
        self._symbol = symbol
        self._repeat = repeat and condition.kind != "order_filled"
        self._value = Decimal(str(condition.value or 0))
        self._side = condition.side
        self._gap = False
        self._over = False
        self._price: _Price | None = None
        self._window = _Window((condition.window or 0) * 1000)
        self._liquidations: dict[Any, Any] = {}
        self._measured: dict[str, Any] | None = None
        self._ended: str | None = None

    @property
    def condition(self) -> Condition:
        """The condition as it is now, to be stored and gone on with."""
        return replace(self._condition, side=self._side)

    @property
    def ended(self) -> str | None:
        """The status with which the order ended unfilled, such as "canceled": waiting is in vain."""
        return self._ended

    @property
    def distance(self) -> dict[str, Any] | None:
        """The latest of what is compared; None if nothing was seen. A price's distancePct is how far it has to go."""
        if not self._condition.kind.startswith("price_") or self._price is None:
            return self._measured
        away = percent(self._value - self._price.exact, self._price.exact)
        return {**self._price.facts(), "distancePct": away}

    def see(self, channel: str, data: Any, at_ms: int) -> Fired | None:
        """Look at one event, and return the first time that it meets the condition.

        Args:
            channel: "ticker", "trades", "book", "orders" or "positions".
            data: ccxt's unified ticker or book, or the list of trades, orders or positions, the oldest first.
            at_ms: when it arrived, in milliseconds since the epoch.
        """
        if self._over or channel not in self._condition.channels:
            return None
        met = [facts for facts in self._looks(channel, data, at_ms) if facts is not None]
        self._over = bool(met) and not self._repeat
        return Fired(at_ms, met[0]) if met else None

    def gap(self) -> None:
        """Take note that data may be missing: a crossing in it fires at the first price on the other side."""
        self._gap = True

    def _looks(self, channel: str, data: Any, at_ms: int) -> Iterable[dict[str, Any] | None]:
        match channel:
            case "trades":
                return (self._take(_Price.of(trade, "price", at_ms)) for trade in data)
            case "ticker":
                return (self._ticker(data, at_ms),)
            case "book":
                return (self._book(data),)
            case "orders":
                return (self._order(order) for order in data)
            case _:
                return (self._positions(data, at_ms),)

    def _ticker(self, ticker: Mapping[str, Any], at_ms: int) -> dict[str, Any] | None:
        marked = self._condition.kind == "liquidation_within" and positive(ticker.get("markPrice")) is not None
        price = _Price.of(ticker, "markPrice" if marked else "last", at_ms)
        return None if price is None or price.older(self._price) else self._take(price)

    def _take(self, price: _Price | None) -> dict[str, Any] | None:
        if price is None:
            return None
        self._price = price
        match self._condition.kind:
            case "price_above":
                return price.facts() if self._newly(met=price.exact >= self._value) else None
            case "price_below":
                return price.facts() if self._newly(met=price.exact <= self._value) else None
            case "price_crosses":
                return self._crossing(price)
            case "change_over":
                return self._change(price)
            case _:
                return self._liquidation()

    def _newly(self, *, met: bool) -> bool:
        fires = met and self._side is None
        side: Side = "above" if self._condition.kind == "price_above" else "below"
        self._side = side if met else None
        return fires

    def _crossing(self, price: _Price) -> dict[str, Any] | None:
        if price.exact == self._value:
            return None
        before, self._side = self._side, "above" if price.exact > self._value else "below"
        unseen, self._gap = self._gap, False
        if before in {None, self._side}:
            return None
        return price.facts() | {"side": self._side} | ({"duringGap": True} if unseen else {})

    def _change(self, price: _Price) -> dict[str, Any] | None:
        low, high, price = self._window.add(price)
        rise, fall = (price.exact - low.exact) / low.exact, (high.exact - price.exact) / high.exact
        start = low if rise >= fall else high
        self._measured = {
            "from": start.shown,
            "to": price.shown,
            "changePct": percent(price.exact - start.exact, start.exact),
            "seconds": (price.ms - start.ms) / 1000,
        }
        if abs(price.exact - start.exact) * 100 < self._value * start.exact:
            return None
        self._window.restart(price)
        return self._measured

    def _book(self, book: Mapping[str, Any]) -> dict[str, Any] | None:
        bids, asks = book.get("bids"), book.get("asks")
        if not bids or not asks or (bid := positive(bids[0][0])) is None or (ask := positive(asks[0][0])) is None:
            return None
        if bid > ask:  # no market does that for long; the book is not to be believed
            return None
        mid = (bid + ask) / 2
        self._measured = {"spreadBps": bps(ask - bid, mid), "bid": bids[0][0], "ask": asks[0][0]}
        return self._measured if self._newly(met=(ask - bid) * 10_000 <= self._value * mid) else None

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        wanted, symbol = self._condition.order_id, order.get("symbol")
        if wanted not in {order.get("id"), order.get("clientOrderId")} or symbol not in {None, self._symbol}:
            return None
        names = ("id", "clientOrderId", "status", "filled", "remaining", "average")
        self._measured = {name: order[name] for name in names if order.get(name) is not None}
        status = order.get("status")
        if status == "closed" and positive(order.get("filled")) is not None:
            self._ended = None
            return self._measured
        if status in _ENDED:
            self._ended = status
        return None

    def _positions(self, positions: Sequence[Mapping[str, Any]], at_ms: int) -> dict[str, Any] | None:
        """Take the symbol's positions; the other side of hedged ones stays. Where none is held, it is not met."""
        mine = [position for position in positions if position.get("symbol") == self._symbol]
        if not mine:
            return None
        if not any(position.get("hedged") is True for position in mine):
            self._liquidations.clear()
        for position in mine:
            self._liquidations.pop(position.get("side"), None)
            if exact(position.get("contracts")):
                self._liquidations[position.get("side")] = position.get("liquidationPrice")
            self._price = _Price.of(position, "markPrice", at_ms) or self._price
        if not self._liquidations:
            self._measured = self._side = None
        return self._liquidation()

    def _liquidation(self) -> dict[str, Any] | None:
        """Measure how far the nearest liquidation is from the latest price, be it a position's or a ticker's."""
        known = [(price, side) for side, shown in self._liquidations.items() if (price := positive(shown)) is not None]
        if not known or self._price is None:
            return None
        mark = self._price.exact
        price, side = min(known, key=lambda pair: abs(mark - pair[0]))
        self._measured = {
            "distancePct": percent(abs(mark - price), mark),
            "markPrice": self._price.shown,
            "liquidationPrice": self._liquidations[side],
            "side": side,
        }
        return self._measured if self._newly(met=abs(mark - price) * 100 <= self._value * mark) else None


class _Price(NamedTuple):
    """A price as the exchange gave it and exactly, when it was, and the exchange's own time of it, where known."""

    shown: Any
    exact: Decimal
    ms: float
    stamp: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any], name: str, at_ms: int) -> Self | None:
        """Return the price that a row has under a name, None if that is no positive number."""
        shown, stamp = row.get(name), row.get("timestamp")
        if (price := positive(shown)) is None:
            return None
        if stamp is None or not 0 < stamp <= at_ms + _AHEAD_MS:
            return cls(shown, price, at_ms, None)
        return cls(shown, price, stamp, stamp)

    def older(self, other: _Price | None) -> bool:
        """Whether it is known to be from before another one."""
        return other is not None and None not in {self.stamp, other.stamp} and self.ms < other.ms

    def facts(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"price": self.shown} | ({} if self.stamp is None else {"timestamp": self.stamp})


class _Window:
    """The lowest and the highest price of so many milliseconds; each price goes in and out once."""

    def __init__(self, length_ms: float) -> None:
        self._length_ms = length_ms
        self._lows: deque[_Price] = deque()
        self._highs: deque[_Price] = deque()

    def add(self, price: _Price) -> tuple[_Price, _Price, _Price]:
        """Return the lowest and the highest price with this one, and this one, not before the one that came before."""
        if self._lows:
            price = price._replace(ms=max(price.ms, self._lows[-1].ms))
        for kept, reaches in ((self._lows, ge), (self._highs, le)):
            while kept and reaches(kept[-1].exact, price.exact):
                kept.pop()
            kept.append(price)
            while kept[0].ms < price.ms - self._length_ms:
                kept.popleft()
        return self._lows[0], self._highs[0], price

    def restart(self, price: _Price) -> None:
        """Forget all but this price."""
        self._lows, self._highs = deque([price]), deque([price])
