"""What was seen of one stream: the way of the price, what was missed, and the newest updates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ccxt_mcp.analytics.candles import CANDLE_COLUMNS
from ccxt_mcp.analytics.decimals import exact, number, percent, positive
from ccxt_mcp.envelope import Table

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ticker": ("timestamp", "last", "bid", "ask"),
    "book": ("timestamp", "bid", "bidAmount", "ask", "askAmount"),
    "trades": ("timestamp", "side", "price", "amount"),
    "candles": CANDLE_COLUMNS,
    "orders": ("timestamp", "id", "clientOrderId", "status", "side", "filled", "amount", "average", "price"),
    "own_trades": ("timestamp", "order", "side", "price", "amount"),
    "positions": (
        "symbol", "side", "contracts", "entryPrice", "markPrice", "liquidationPrice", "unrealizedPnl",
    ),
    "balance": ("currency", "free", "used", "total"),
}  # fmt: skip


class Watched:
    """Adds up one stream, and keeps no more than `keep` of it; give it events with `see`, then ask for `summary`.

    Args:
        channel: "ticker", "book", "trades", "candles", "orders", "own_trades", "positions" or "balance".
        keep: so many of the newest rows are told, at least one; a balance is told whole.

    Attributes:
        updates: how many events were seen.
    """

    def __init__(self, channel: str, *, keep: int = 10) -> None:
        self._channel = channel
        self._columns = _COLUMNS[channel]
        self._keep = keep
        self._take: Callable[[Any, int], None] = {
            "ticker": self._ticker,
            "book": self._book,
            "trades": self._trades,
            "candles": self._candles,
            "balance": self._balance,
        }.get(channel, self._list)
        self._rows: deque[list[Any]] = deque(maxlen=None if channel == "balance" else keep)
        self._path = _Path()
        self._recent = _Recent(keep)
        self._sides = {"buy": Decimal(0), "sell": Decimal(0), None: Decimal(0)}
        self._trades_seen = 0
        self._missed = {"gaps": 0, "dropped": 0, "stale": 0}
        self.updates = 0

    def see(self, data: Any, at_ms: int) -> None:
        """Take one event.

        Args:
            data: ccxt's unified ticker, book or balance, or the list of the others, the oldest first.
            at_ms: when it arrived, in milliseconds since the epoch; the time of rows that tell none.
        """
        self.updates += 1
        self._take(data, at_ms)

    def gap(self, dropped: int = 0) -> None:
        """Take note that data may be missing, and of how many events are known to have been dropped."""
        self._missed["gaps"] += 1
        self._missed["dropped"] += dropped

    def stale(self) -> None:
        """Take note that the stream had been silent for too long."""
        self._missed["stale"] += 1

    def summary(self) -> dict[str, Any]:
        """Return what was seen until now; what is unknown is left out.

        `updates` counts events and `gaps` interruptions; `dropped` events and `stale` spells only where there are any.
        `first`, `last`, `high` and `low` are prices (a ticker's last or else its mid, a book's mid, a trade's price, a
        candle's close, and its high and low), changePct = (last - first) / first x 100. `volume` sums the amounts of
        `trades` trades, of which the takers bought `buyVolume` and sold `sellVolume`, or the candles' volumes, each
        candle's by its latest version. `latest` is a table of the newest rows, the oldest of them first.
        """
        missed = {name: count for name, count in self._missed.items() if count or name == "gaps"}
        rows = self._recent.rows(self._keep) if self._channel == "candles" else list(self._rows)
        volumes = self._volumes()
        return (
            {"updates": self.updates} | self._path.facts() | volumes | missed | {"latest": Table(self._columns, rows)}
        )

    def _volumes(self) -> dict[str, Any]:
        if self._channel == "candles":
            volume = self._recent.volume
            return {} if volume is None else {"volume": number(volume)}
        if self._channel != "trades":
            return {}
        return {
            "volume": number(sum(self._sides.values(), Decimal(0))),
            "buyVolume": number(self._sides["buy"]),
            "sellVolume": number(self._sides["sell"]),
            "trades": self._trades_seen,
        }

    def _ticker(self, ticker: Mapping[str, Any], at_ms: int) -> None:
        last, bid, ask = (ticker.get(name) for name in ("last", "bid", "ask"))
        self._path.add(last if positive(last) is not None else _mid(bid, ask))
        self._rows.append([_time(ticker, at_ms), last, bid, ask])

    def _book(self, book: Mapping[str, Any], at_ms: int) -> None:
        bid, ask = ((book.get(side) or [[None, None]])[0] for side in ("bids", "asks"))
        self._path.add(_mid(bid[0], ask[0]))
        self._rows.append([_time(book, at_ms), bid[0], bid[1], ask[0], ask[1]])

    def _trades(self, trades: Sequence[Mapping[str, Any]], at_ms: int) -> None:
        self._list(trades, at_ms)
        self._trades_seen += len(trades)
        for trade in trades:
            self._path.add(trade.get("price"))
            side = trade.get("side")
            self._sides[side if side in self._sides else None] += exact(trade.get("amount")) or 0

    def _candles(self, candles: Sequence[Sequence[Any]], at_ms: int) -> None:
        for candle in candles:
            if (newest := self._recent.add(candle)) is not None:
                self._path.add(candle[4], newest=newest)
                self._path.reach(candle[2], candle[3])

    def _balance(self, balance: Mapping[str, Any], at_ms: int) -> None:
        self._rows.clear()
        for currency, total in sorted((balance.get("total") or {}).items()):
            if exact(total):
                self._rows.append(
                    [currency, *((balance.get(part) or {}).get(currency) for part in ("free", "used")), total]
                )

    def _list(self, rows: Sequence[Mapping[str, Any]], at_ms: int) -> None:
        changed = "lastUpdateTimestamp" if self._channel == "orders" else "timestamp"  # an order's own is its birth
        for row in rows:
            self._rows.append(
                [_time(row, at_ms, changed) if name == "timestamp" else row.get(name) for name in self._columns]
            )


class _Path:
    """The way of a price: prices as the exchange gave them; those that are no positive number are passed over."""

    def __init__(self) -> None:
        self._first = self._last = self._low = self._high = None

    def add(self, shown: Any, *, newest: bool = True) -> None:
        """Take a price; one that is not the newest is not the last."""
        if positive(shown) is None:
            return
        self._first = shown if self._first is None else self._first
        self._last = shown if newest or self._last is None else self._last
        self.reach(shown)

    def reach(self, *shown: Any) -> None:
        """Take prices that were reached, but are neither the first nor the last."""
        for price in shown:
            if (now := positive(price)) is None:
                continue
            if self._low is None or now < Decimal(str(self._low)):
                self._low = price
            if self._high is None or now > Decimal(str(self._high)):
                self._high = price

    def facts(self) -> dict[str, Any]:
        """Return the JSON object."""
        known = {"first": self._first, "last": self._last, "high": self._high, "low": self._low}
        first, last = positive(self._first), positive(self._last)
        change = {} if first is None or last is None else {"changePct": percent(last - first, first)}
        return {name: price for name, price in known.items() if price is not None} | change


class _Recent:
    """The newest candles in their latest versions, and the volume of all.

    One more than are wanted is kept, so that the last version of a candle still counts after the next has begun.
    Candles from before those that are kept were counted when they were.
    """

    def __init__(self, keep: int) -> None:
        self._most = keep + 1
        self._candles: dict[int, list[Any]] = {}
        self._settled: Decimal | None = None
        self._settled_ms: int | None = None

    def add(self, candle: Sequence[Any]) -> bool | None:
        """Take a candle, and return whether it is the newest; None if it is from before those that are kept."""
        opened = candle[0]
        if self._settled_ms is not None and opened <= self._settled_ms:
            return None
        self._candles[opened] = list(candle)
        newest = opened == max(self._candles)
        if len(self._candles) > self._most:
            self._settled_ms = min(self._candles)
            self._settled = _sum((self._settled, exact(self._candles.pop(self._settled_ms)[5])))
        return newest

    @property
    def volume(self) -> Decimal | None:
        """The sum of all volumes, None if none is known."""
        return _sum((self._settled, *(exact(candle[5]) for candle in self._candles.values())))

    def rows(self, count: int) -> list[list[Any]]:
        """Return the newest candles, the oldest of them first."""
        return [self._candles[opened] for opened in sorted(self._candles)[-count:]]


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _mid(bid: Any, ask: Any) -> float | None:
    """Return the middle; None where a side is missing, or bids above the ask, which no market does for long."""
    low, high = positive(bid), positive(ask)
    return None if low is None or high is None or low > high else number((low + high) / 2)


def _time(row: Mapping[str, Any], at_ms: int, name: str = "timestamp") -> Any:
    time = row.get(name)
    return at_ms if time is None else time
