"""Candles and order books drawn with characters, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.figures import aligned, decimals_of, grouped

UP, DOWN, QUIET = "green", "red", "dim"

_QUIET = Style(dim=True)
_DAY_MS = 86_400_000
_VOLUME_ROWS = 2
_EIGHTHS = " ▁▂▃▄▅▆▇█"

_Ink = Literal["", "wick", "body"]
_GLYPHS: dict[tuple[_Ink, _Ink], str] = {  # upper half, lower half
    ("", ""): " ",
    ("wick", "wick"): "│",
    ("body", "body"): "┃",
    ("wick", ""): "╵",
    ("", "wick"): "╷",
    ("body", ""): "╹",
    ("", "body"): "╻",
    ("wick", "body"): "╽",
    ("body", "wick"): "╿",
}


class Candle(NamedTuple):
    """Open time in milliseconds, prices, and volume."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def up(self) -> bool:
        """Whether it closed at its open or above."""
        return self.close >= self.open

    @property
    def colour(self) -> str:
        """Green or red."""
        return UP if self.up else DOWN


class CandleChart:
    """Candlesticks over a volume strip; the newest that fit, each in half-character steps.

    Where there are no colours, rising candles are hollow (║) and falling ones solid (┃), as on paper.

    Args:
        rows: candles as [time in ms, open, high, low, close, volume], oldest first; incomplete ones are left out.
        height: lines for the prices.
    """

    def __init__(self, rows: Sequence[Sequence[Any]], *, height: int = 12) -> None:
        complete = (row for row in rows if len(row) >= 6 and None not in row[:5])
        self._candles = [Candle(row[0], row[1], row[2], row[3], row[4], row[5] or 0.0) for row in complete]
        self._height = height
        prices = [price for candle in self._candles for price in candle[1:5]]
        self._decimals = decimals_of(prices)
        self._label_width = max((len(aligned(price, self._decimals)) for price in prices), default=0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width at hand."""
        if not self._candles:
            yield Text("no candles", style=QUIET)
            return
        room = max(8, options.max_width - self._label_width - 2)
        gap = 1 if 2 * len(self._candles) <= room else 0
        shown = self._candles[-(room // (1 + gap)) :]
        plain = console.color_system is None or console.no_color
        for line in (*self._prices(shown, gap, plain=plain), *_volumes(shown, gap), *_times(shown, gap)):
            yield from (*line, Segment.line())
        if plain:
            yield from (Segment("║ rose, ┃ fell"), Segment.line())

    def _prices(self, shown: list[Candle], gap: int, *, plain: bool) -> Iterator[list[Segment]]:
        scale = _Scale(min(c.low for c in shown), max(c.high for c in shown), 2 * self._height)
        last = shown[-1]
        last_row = self._height - 1 - scale.step(last.close) // 2
        labelled = set(range(0, self._height, max(1, self._height // 4)))
        for row in range(self._height):
            lower = 2 * (self._height - 1 - row)
            line: list[Segment] = []
            for candle in shown:
                glyph = _glyph(candle, lower, scale, hollow=plain and candle.up)
                line.append(Segment(glyph + " " * gap, Style(color=candle.colour)))
            if row == last_row:
                label = f"◂ {aligned(last.close, self._decimals):>{self._label_width}}"
                line.append(Segment(label, Style(color=last.colour, bold=True)))
            elif row in labelled and abs(row - last_row) > 1:
                label = f"┤ {aligned(scale.price(lower + 0.5), self._decimals):>{self._label_width}}"
                line.append(Segment(label, _QUIET))
            else:
                line.append(Segment("│", _QUIET))
            yield line


class _Scale:
    """Prices as steps from 0 at the lowest to `steps` - 1 at the highest."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        self._low = low
        self._per_step = (high - low) / (steps - 1)
        self._flat = steps // 2

    def step(self, price: float) -> int:
        return round((price - self._low) / self._per_step) if self._per_step else self._flat

    def price(self, step: float) -> float:
        return self._low + step * self._per_step


def _glyph(candle: Candle, lower: int, scale: _Scale, *, hollow: bool) -> str:
    wick = range(scale.step(candle.low), scale.step(candle.high) + 1)
    bottom, top = sorted((scale.step(candle.open), scale.step(candle.close)))
    body = range(bottom, top + 1)
    if hollow and (lower in body or lower + 1 in body):
        return "║"

    def ink(step: int) -> _Ink:
        return "body" if step in body else "wick" if step in wick else ""

    return _GLYPHS[ink(lower + 1), ink(lower)]


def _volumes(shown: list[Candle], gap: int) -> Iterator[list[Segment]]:
    most = max(candle.volume for candle in shown)
    if not most:
        return
    for row in reversed(range(_VOLUME_ROWS)):
        line: list[Segment] = []
        for candle in shown:
            eighths = max(1, round(candle.volume / most * 8 * _VOLUME_ROWS)) - 8 * row
            line.append(Segment(_EIGHTHS[min(8, max(0, eighths))] + " " * gap, Style(color=candle.colour, dim=True)))
        yield line


def _times(shown: list[Candle], gap: int) -> Iterator[list[Segment]]:
    """Yield one line with the first and the last open time, and the middle one where there is room."""
    width = len(shown) * (1 + gap) - gap
    daily = len(shown) > 1 and shown[1].time - shown[0].time >= _DAY_MS
    first, middle, last = (
        datetime.fromtimestamp(candle.time / 1000, UTC).strftime("%d %b %Y" if daily else "%d %b %H:%M")
        for candle in (shown[0], shown[len(shown) // 2], shown[-1])
    )
    line = first.ljust(width)
    if width >= 3 * len(middle) + 8:
        start = (width - len(middle)) // 2
        line = line[:start] + middle + line[start + len(middle) :]
    if width >= 2 * len(last) + 2:
        line = line[: width - len(last)] + last
    yield [Segment(line, _QUIET)]


def sparkline(values: Sequence[float]) -> str:
    """Return a bar of an eighth to a whole character for each value, between the lowest and the highest."""
    scale = _Scale(min(values), max(values), 8)
    return "".join(_EIGHTHS[1 + scale.step(value)] for value in values)


class Scale:
    """How prices and amounts of a market are written in columns; it only widens, so what is drawn again stays calm."""

    def __init__(self) -> None:
        self._decimals = [0, 0]
        self._whole = [0, 0]  # characters before the point

    def fit(self, *, prices: Iterable[float] = (), amounts: Iterable[float] = ()) -> None:
        """Make room for all digits of these."""
        for column, values in enumerate((list(prices), list(amounts))):
            self._decimals[column] = max(self._decimals[column], decimals_of(values))
            self._whole[column] = max(self._whole[column], *(len(aligned(value, 0)) for value in values), 0)

    def price(self, value: float) -> str:
        """Return a price with as many decimal places as any so far."""
        return self._written(value, 0)

    def amount(self, value: float) -> str:
        """Return an amount with as many decimal places as any so far."""
        return self._written(value, 1)

    @property
    def width(self) -> int:
        """Characters of a price and an amount together."""
        return sum(map(self._width_of, (0, 1)))

    def _width_of(self, column: int) -> int:
        decimals = self._decimals[column]
        return self._whole[column] + (decimals and decimals + 1)

    def _written(self, value: float, column: int) -> str:
        return aligned(value, self._decimals[column]).rjust(self._width_of(column))


class BookLadder:
    """An order book as a ladder: asks above, bids below, a bar for each amount.

    Args:
        book: the data of market_orderbook.
        scale: that of a ladder of the same market, which then keeps its columns.
    """

    def __init__(self, book: dict[str, Any], *, scale: Scale | None = None) -> None:
        self._bids: list[list[Any]] = (book.get("bids") or {}).get("rows") or []
        self._asks: list[list[Any]] = (book.get("asks") or {}).get("rows") or []
        self._book = book
        self._scale = scale or Scale()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width at hand."""
        levels = [*self._asks, *self._bids]
        self._scale.fit(prices=(level[0] for level in levels), amounts=(level[1] for level in levels))
        most = max((level[1] for level in levels), default=0)
        bar = max(8, min(40, options.max_width - 34))
        middle = _middle(self._book, room=options.max_width - self._scale.width - 4)
        grid = Grid.grid(padding=(0, 2))
        for justify in ("right", "right", "left"):
            grid.add_column(justify=justify, no_wrap=True)
        for side, colour in ((reversed(self._asks), DOWN), (self._bids, UP)):
            for price, amount in side:
                length = max(1, round(amount / most * bar)) if most else 0
                cells = (self._scale.price(price), self._scale.amount(amount), "━" * length)
                grid.add_row(*(Text(cell, style=colour) for cell in cells))
            if colour == DOWN:
                grid.add_row(*middle)
        yield grid


def _middle(book: dict[str, Any], *, room: int) -> tuple[Text, Text, Text]:
    """Return the row between the sides; of the spread as much as there is room for."""
    mid, spread, bps = book.get("mid"), book.get("spread"), book.get("spreadBps")
    facts = [] if spread is None else [grouped(spread)]
    facts += [] if bps is None else [f"{grouped(bps)} bps"]
    told = " · ".join(facts)
    forms = [f"spread {told}", told] if spread is not None else [told]
    return (
        Text("" if mid is None else grouped(mid), style="bold"),
        Text("mid" if mid is not None else "", style=QUIET),
        Text(next((form for form in forms if len(form) <= room), facts[-1] if facts else ""), style=QUIET),
    )
