"""Watching a market: a screen that is drawn anew as it moves, or lines where nobody looks at a terminal."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOBase
from math import inf
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.live import Live
from rich.status import Status
from rich.text import Text

from ccxt_mcp.cli.board import Board, Told
from ccxt_mcp.cli.board_lines import lines
from ccxt_mcp.cli.board_view import BoardView
from ccxt_mcp.cli.charts import QUIET
from ccxt_mcp.cli.terminal import failure_view, leave_stdout, screen
from ccxt_mcp.envelope import error_dict
from ccxt_mcp.errors import Failure
from ccxt_mcp.serve import chosen_environment, start_logs
from ccxt_mcp.server import House, build_house
from ccxt_mcp.settings import load_settings
from ccxt_mcp.streams import Channel, Hub, Topic
from ccxt_mcp.text import clean_text

_FRAME = 0.125  # seconds between two looks at what came, where a person looks
_IDLE_FRAMES = 8  # frames without news after which the screen is drawn all the same: ages grow
_LINES = 0.5  # seconds between two looks, where lines are written
_HELD_LINES = 200  # of the log, while a screen is up

_Show = Callable[[Sequence[Told]], None]


async def watch(
    exchange: str,
    symbol: str,
    *,
    book: bool,
    trades: bool,
    seconds: float | None,
    account: str | None,
    config: Path | None,
) -> int:
    """Show a market as it moves, until Ctrl-C; return the exit code.

    Args:
        exchange: the exchange's id.
        symbol: the market.
        book: with the order book.
        trades: with the newest trades, which are there anyway where no order book is asked for.
        seconds: end by itself after that long.
        account: an account in whose environment the exchange is, such as its testnet.
        config: configuration file to read instead of the usual one.

    Raises:
        Failure: the settings make no sense.
    """
    settings = load_settings(chosen_environment(config and str(config)))
    redactor = start_logs(settings)
    house = build_house(settings)
    redactor.follow(house.gateway.pool.vault.present)
    channels = [Channel.TICKER]
    channels += [Channel.BOOK] if book else []
    channels += [Channel.TRADES] if trades or not book else []
    topics = [Topic(exchange, channel, symbol, account=account) for channel in channels]
    try:
        with _ended_by_sigterm():
            await _watch(house, topics, seconds)
    except asyncio.CancelledError:
        _this_task().uncancel()
    except BrokenPipeError:
        leave_stdout()
    except Failure as failure:
        screen(stderr=True).print(failure_view(error_dict(failure, clean_text(exchange, 40))))
        return 1
    finally:
        await house.close()
    return 0


async def _watch(house: House, topics: Sequence[Topic], seconds: float | None) -> None:
    console = screen()
    looks = sys.stdout.isatty() and console.is_interactive
    opening = Status(Text(f"opening {topics[0].exchange}", style=QUIET), console=console)
    with opening if looks else nullcontext():
        board = await _board(house.hub, topics)
    if looks:
        with _on_screen(console, board) as show:
            await _follow(board, show, pace=_FRAME, seconds=seconds)
    else:
        await _follow(board, lambda told: _write(board, told), pace=_LINES, seconds=seconds)


async def _board(hub: Hub, topics: Sequence[Topic]) -> Board:
    sources = [await hub.stream(topic) for topic in topics]
    key = sources[0][0].key

    def present() -> dict[str, Any] | None:
        served = hub.live(key.venue, "fetchTicker", {"symbol": key.symbol})
        return None if served is None else served.value

    return Board(sources, present=present)


async def _follow(board: Board, show: _Show, *, pace: float, seconds: float | None) -> None:
    """Show what comes.

    Raises:
        Failure: that with which a stream ended.
    """
    loop = asyncio.get_running_loop()
    end = inf if seconds is None else loop.time() + seconds
    while True:
        show(board.read())
        if board.failure is not None:
            raise board.failure
        left = end - loop.time()
        if left <= 0:
            return
        await asyncio.sleep(min(pace, left))


def _write(board: Board, told: Sequence[Told]) -> None:
    for line in lines(board, told):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@contextmanager
def _on_screen(console: Console, board: Board) -> Generator[_Show]:
    """Give a way to draw the board; what it shows at the end stays in the terminal."""
    view = BoardView(board, mode=board.streams[0].key.venue.mode, hint="Ctrl-C ends")
    drawn, frames = board.touch, 0

    def show(told: Sequence[Told]) -> None:
        nonlocal drawn, frames
        frames += 1
        if told or frames >= _IDLE_FRAMES or board.touch != drawn:
            drawn, frames = board.touch, 0
            live.refresh()

    with _logs_held():
        try:
            with Live(view, console=console, auto_refresh=False, screen=True) as live:
                yield show
        finally:
            view.hint = ""
            console.print(view)


@contextmanager
def _logs_held() -> Generator[None]:
    """Keep lines of the log from the screen, and write the last of them when it is gone."""
    if not sys.stderr.isatty():
        yield
        return
    held = _Held()
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, logging.StreamHandler)]
    before = [(handler, handler.setStream(held)) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream or sys.stderr)
        sys.stderr.writelines(held.texts)


class _Held(TextIOBase):
    """Keeps the last of what is written."""

    def __init__(self) -> None:
        self.texts = deque[str](maxlen=_HELD_LINES)

    def write(self, text: str, /) -> int:
        self.texts.append(text)
        return len(text)


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Let SIGTERM end the task as Ctrl-C does, once, so that the terminal is left as it was."""
    loop, task = asyncio.get_running_loop(), _this_task()
    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


def _this_task() -> asyncio.Task[object]:
    return cast("asyncio.Task[object]", asyncio.current_task())  # a coroutine runs in one
