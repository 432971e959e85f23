"""The board as one screen of a terminal, however narrow or low that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.board import Board
from ccxt_mcp.cli.charts import DOWN, QUIET, UP, BookLadder, Scale, sparkline
from ccxt_mcp.cli.figures import grouped
from ccxt_mcp.streams import Channel
from ccxt_mcp.times import iso

_LEVELS = 10
_SPARKS = 60
_BOTH = 7  # lines from which there is room for trades below the order book
_BESIDE = 84  # columns from which trades stand beside the order book
_LADDER_WIDTH, _TRADES_WIDTH = 72, 40
_TROUBLE_LINES = 3
_FITTED = 50  # trades: as many as a screen shows
_CARE = "yellow"


class BoardView:
    """What is known of a market, and whether it is still true. It can be drawn again and again.

    Args:
        board: what is known.
        mode: live, testnet, paper or simulated.
        hint: what a person may do.
    """

    def __init__(self, board: Board, *, mode: str, hint: str = "") -> None:
        self.hint = hint
        self._board = board
        self._mode = mode
        self._scale = Scale()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width and height at hand."""
        width, height = options.max_width, options.height or console.height - 2
        self._fit()
        top = [*packed(self._title(), width), *packed(self._touch(), width)]
        more = [*packed(self._day(), width), *self._sparks(width)]
        state = [*packed(self._status(), width, gap=" · "), *self._trouble(console, width)]
        top += [*(more if len(top) + len(more) + len(state) <= height // 2 else ()), *state]
        yield from top
        yield Text()
        yield self._body(width, max(3, height - len(top) - 1))

    def _fit(self) -> None:
        board = self._board
        prices = [board.last, *board.touch, board.ticker.get("high"), board.ticker.get("low")]
        self._scale.fit(prices=(price for price in prices if price is not None))
        trades = [trade for trade in board.trades[:_FITTED] if trade is not None]
        self._scale.fit(prices=(row["price"] for row in trades), amounts=(row["amount"] for row in trades))

    # -- above -------------------------------------------------------------------------------------------------------

    def _title(self) -> Iterator[Text]:
        board, key = self._board, self._board.streams[0].key
        yield Text(f"{key.venue.exchange} {key.symbol}", style="bold")
        if board.last is not None:
            before = board.prices[-2] if len(board.prices) > 1 else board.last
            arrow, style = ("▲", UP) if board.last > before else ("▼", DOWN) if board.last < before else ("", "")
            yield Text(f"{self._scale.price(board.last)} {arrow}".strip(), style=f"bold {style}".strip())
        if self.hint:
            yield Text(self.hint, style=QUIET)

    def _touch(self) -> Iterator[Text]:
        bid, ask = self._board.touch
        for name, price in (("bid", bid), ("ask", ask)):
            if price is not None:
                yield _fact(name, self._scale.price(price).strip())
        if (spread := self._board.spread_bps) is not None:
            yield _fact("spread", f"{spread:.4g} bps" if spread < 100 else f"{spread:,.0f} bps")

    def _day(self) -> Iterator[Text]:
        ticker = self._board.ticker
        change, high, low = ticker.get("percentage"), ticker.get("high"), ticker.get("low")
        if change is not None:
            yield _fact("24h", f"{change:+.2f} %", UP if change > 0 else DOWN if change < 0 else "")
        for name, price in (("high", high), ("low", low)):
            if price is not None:
                yield _fact(name, self._scale.price(price).strip())
        for name, field in (("volume", "baseVolume"), ("quote volume", "quoteVolume")):
            if (volume := ticker.get(field)) is not None:
                yield _fact(name, grouped(round(volume) if volume >= 1000 else volume))
                return

    def _sparks(self, width: int) -> Iterator[Text]:
        prices = list(self._board.prices)[-min(_SPARKS, width) :]
        if len(prices) < 2:
            return
        bounds = f"{self._scale.price(min(prices)).strip()} to {self._scale.price(max(prices)).strip()}"
        yield from packed([Text(sparkline(prices), style="cyan"), Text(bounds, style=QUIET)], width)

    def _status(self) -> Iterator[Text]:
        board = self._board
        states = board.states
        for word, channels in states.items():
            whose = "" if len(states) == 1 else f"{', '.join(channels)} "
            yield Text.assemble((whose, QUIET), (word, _style(word)))
        yield Text(self._mode)
        if (age := board.age) is not None:
            yield Text(f"{age:.1f} s old" if age < 10 else f"{age:,.0f} s old", style=QUIET)
        if (rate := board.rate) is not None:
            yield Text(f"{rate:.1f} updates/s", style=QUIET)
        yield Text(f"{board.gaps} gap{'s' * (board.gaps != 1)}", style=_CARE if board.gaps else QUIET)
        yield Text(f"{board.dropped} dropped", style=_CARE if board.dropped else QUIET)

    def _trouble(self, console: Console, width: int) -> Iterator[Text]:
        """Yield what went wrong last and when, and why what is not up yet is not."""
        trouble, told = self._board.trouble, list[str]()
        if trouble is not None:
            told.append(f"{_time(trouble.at_ms)} {trouble.kind}, {trouble.channel}: {trouble.text}")
        down = [stream.failure for stream in self._board.streams if stream.state in ("opening", "broken")]
        messages = sorted({failure.message for failure in down if failure is not None})
        told += (message for message in messages if trouble is None or message not in trouble.text)
        for text in told:
            yield from Text(text, style=_CARE).wrap(console, width)[:_TROUBLE_LINES]

    # -- below -------------------------------------------------------------------------------------------------------

    def _body(self, width: int, height: int) -> RenderableType:
        board = self._board
        if not board.shows(Channel.BOOK):
            return self._trades(height)
        if not board.shows(Channel.TRADES) or (width < _BESIDE and height < _BOTH):
            return self._ladder(height)
        if width < _BESIDE:
            levels = min(2 * _LEVELS + 1, height * 2 // 3)
            return Group(self._ladder(levels), Text(), self._trades(height - levels - 1))
        grid = Grid.grid(padding=(0, 2))
        grid.add_column(width=min(_LADDER_WIDTH, width - _TRADES_WIDTH - 2))
        grid.add_column(width=_TRADES_WIDTH)
        grid.add_row(self._ladder(height), self._trades(min(height, 2 * _LEVELS + 1)))
        return grid

    def _ladder(self, height: int) -> RenderableType:
        book = self._board.book
        if not book:
            return Text("no order book yet", style=QUIET)
        levels = max(1, min(_LEVELS, (height - 1) // 2))
        sides = {side: {"rows": book[side][:levels]} for side in ("bids", "asks")}
        bid, ask = self._board.touch
        spread = None if bid is None or ask is None else round(ask - bid, 12)
        return BookLadder({**sides, "spread": spread, "spreadBps": self._board.spread_bps}, scale=self._scale)

    def _trades(self, height: int) -> RenderableType:
        rows = self._board.trades[: max(1, height)]
        return Group(*map(self._trade, rows)) if rows else Text("no trades yet", style=QUIET)

    def _trade(self, row: dict[str, Any] | None) -> Text:
        if row is None:
            return _line(Text("── gap ──", style=_CARE))
        side = row.get("side") or ""
        style = {"buy": UP, "sell": DOWN}.get(side, "")
        facts = f"{side:<4}  {self._scale.price(row['price'])}  {self._scale.amount(row['amount'])}"
        return _line(Text.assemble((_time(row.get("timestamp")), QUIET), "  ", (facts, style)))


def packed(pieces: Iterator[Text] | Sequence[Text], width: int, *, gap: str = "   ") -> Iterator[Text]:
    """Yield lines of as many pieces as fit; no piece is torn, and one that is too long for a line is cut."""
    line: Text | None = None
    for piece in pieces:
        if line is not None and line.cell_len + len(gap) + piece.cell_len <= width:
            line = Text.assemble(line, (gap, QUIET), piece)
            continue
        if line is not None:
            yield _line(line)
        line = piece
    if line is not None:
        yield _line(line)


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _fact(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name} ", QUIET), (value, style))


def _style(word: str) -> str:
    return {"live": UP, "failed": DOWN, "broken": DOWN}.get(word, _CARE)


def _time(ms: int | None) -> str:
    return (iso(ms) or "")[11:19] or "-" * 8
