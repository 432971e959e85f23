"""Watching a market: real processes in pipes and terminals, and what the board shows of fabricated events."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, PATIENCE, clean_environment, run
from rich.console import Console

import virtual_time
from ccxt_mcp.cli import watch
from ccxt_mcp.cli.board import Board, Told
from ccxt_mcp.cli.board_lines import lines
from ccxt_mcp.cli.board_view import BoardView
from ccxt_mcp.cli.charts import BookLadder, Scale, sparkline
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import VenueKey
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.streams import Channel
from ccxt_mcp.streams.stream import Stream, StreamKey
from virtual_time import Clock

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals as POSIX has them")
MARKET = ("watch", "simulator", "BTC/USDT")
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  (ticker|book|trades|gap|stale|error|note) +(-|[\d.]+)  \S.*"
)
NOW = 1_790_000_000_000  # 2026-09-21 14:13:20
BROKEN = Failure(Code.NETWORK, "simulator lost its connection.")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("home"))


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """Processes that are started here heed SIGINT, also where these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def kinds(output: Sequence[str]) -> set[str]:
    found = [LINE.fullmatch(line.rstrip("\n")) for line in output]
    assert all(found), output
    return {match[1] for match in found if match}


def test_in_a_pipe_each_update_is_a_line_until_the_seconds_are_over(environment: dict[str, str]):
    done = run(*MARKET, "--book", "--seconds", "2", environment=environment | {"FORCE_COLOR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds(done.stdout.splitlines()) <= {"ticker", "book"}
    assert "\x1b" not in done.stdout


@needs_posix
@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_ends_it_with_0_after_lines_that_came_one_by_one(environment: dict[str, str]):
    with subprocess.Popen(
        [*COMMAND, *MARKET], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if kinds(said) >= {"ticker", "trades"}:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")


@needs_posix
def test_a_reader_that_leaves_ends_it_quietly(environment: dict[str, str]):
    with subprocess.Popen(
        [*COMMAND, *MARKET, "--book"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert LINE.match(process.stdout.readline())
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("words", "code", "advice"),
    [
        (("simulator", "BTC/UDST"), "TAPS011 unknown_symbol", "BTC/USDT"),
        (("simulater", "BTC/USDT"), "TAPS001 unknown_exchange", "Did you mean simulator?"),
        (("simulator", "BTC/USDT", "--account", "nobody"), "TAPS005 invalid_argument", "paper"),
    ],
)
def test_what_cannot_be_watched_is_said_as_elsewhere(
    words: tuple[str, ...], code: str, advice: str, environment: dict[str, str]
):
    done = run("watch", *words, environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert code in done.stderr
    assert advice in done.stderr
    assert "→" in done.stderr


@needs_posix
async def test_a_connection_that_breaks_is_told_and_updates_go_on(tmp_path: Path):
    environment = clean_environment(tmp_path)
    async with Simulator(tick=0.05) as simulator:
        (tmp_path / "config.toml").write_text(f'[exchanges.elsewhere]\nsimulator = "{simulator.url}"\n')
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "watch", "elsewhere", "BTC/USDT", "--book"), env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            await until(process.stdout, "book")
            simulator.faults.set(Fault("close", path="/v5/public/spot", times=1))
            assert "elsewhere could not be reached" in await until(process.stdout, "gap")
            await until(process.stdout, "book")
            process.terminate()
            assert await process.wait() == 0


async def until(output: asyncio.StreamReader, kind: str) -> str:
    """Return the next line of a kind."""
    while True:
        line = (await output.readline()).decode()
        assert line
        if f"Z  {kind} " in line:
            return line


@needs_posix
@pytest.mark.usefixtures("heeding_ctrl_c")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_in_a_terminal_it_is_a_screen_that_is_left_as_it_was_found(ending: int, environment: dict[str, str]):
    keyboard, terminal = os.openpty()
    with subprocess.Popen(
        [*COMMAND, *MARKET, "--book"],
        env=environment | {"TERM": "xterm-256color", "LINES": "24"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = read_terminal(keyboard, until="spread 0")
        process.send_signal(ending)
        shown += read_terminal(keyboard)
    os.close(keyboard)
    assert process.returncode == 0
    assert "Traceback" not in shown
    left = shown.rindex("\x1b[?1049l")
    assert shown.index("\x1b[?1049h") < left
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    last = ANSI.sub("", shown[left:])
    assert "simulator BTC/USDT" in last
    assert "━" in last
    assert "Ctrl-C" in shown
    assert "Ctrl-C" not in last


def read_terminal(keyboard: int, *, until: str | None = None) -> str:
    """Return what a terminal is sent, up to a text, or until nobody writes to it any more."""
    said = b""
    while until is None or until not in ANSI.sub("", said.decode(errors="replace")):
        try:
            more = os.read(keyboard, 65536)
        except OSError:
            break
        if not more:
            break
        said += more
    return said.decode(errors="replace")


@needs_posix
def test_a_terminal_that_can_do_nothing_gets_lines(environment: dict[str, str]):
    keyboard, terminal = os.openpty()
    with subprocess.Popen(
        [*COMMAND, *MARKET, "--book"], env=environment | {"TERM": "dumb"}, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        shown = read_terminal(keyboard, until="Z  book ")
        process.terminate()
        shown += read_terminal(keyboard)
    os.close(keyboard)
    assert process.returncode == 0
    assert "\x1b" not in shown
    assert "book" in kinds(shown.replace("\r", "").splitlines())


# -- fabricated events -------------------------------------------------------------------------------------------------


class Market:
    """Streams of a market that tell what a test wants, and the board that reads them."""

    def __init__(self, *channels: Channel, symbol: str = "BTC/USDT") -> None:
        self.clock = Clock()
        key = VenueKey("simulator", "simulated")
        self.streams = {
            channel: Stream(StreamKey(key, channel, symbol), left=lambda _: None, now_ms=lambda: NOW, clock=self.clock)
            for channel in channels
        }
        self.present: dict[str, Any] | None = None
        sources = [(stream, stream.join()) for stream in self.streams.values()]
        self.board = Board(sources, present=lambda: self.present, clock=self.clock)

    def tell(self, **data: Any) -> list[Told]:
        for channel, value in data.items():
            self.streams[Channel(channel)].data(value, "stream")
        return self.board.read()

    def drawn(self, *, width: int = 80, height: int = 24, **terminal: Any) -> str:
        console = Console(file=io.StringIO(), width=width, height=height, highlight=False, **terminal)
        console.print(BoardView(self.board, mode="simulated"))
        return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def ticker(last: float = 98_200.5, **more: Any) -> dict[str, Any]:
    prices = {"bid": last - 0.1, "ask": last, "high": 99_920.9, "low": 96_733.8}
    return {"last": last, **prices, "percentage": -0.27, "baseVolume": 10_729.4, **more}


def book(levels: int = 12) -> dict[str, Any]:
    bids = [[98_200.4 - 10 * place, 0.1 + place / 100] for place in range(levels)]
    return {"bids": bids, "asks": [[98_200.5 + 10 * place, 0.2 + place / 100] for place in range(levels)]}


def trade(second: int, side: str = "buy", amount: float = 0.016329) -> dict[str, Any]:
    return {
        "id": str(second), "timestamp": NOW + 1000 * second, "side": side, "price": 98_200.5 - second, "amount": amount
    }  # fmt: skip


def busy(*channels: Channel) -> Market:
    market = Market(Channel.TICKER, *channels)
    news: dict[str, Any] = {"book": book(), "trades": [trade(second) for second in range(40)]}
    market.tell(ticker=ticker(98_199.0), **{channel: news[channel] for channel in channels})
    market.clock.now += 2
    market.tell(ticker=ticker())
    return market


def test_the_screen_shows_the_ticker_the_trades_and_how_fresh_they_are():
    market = busy(Channel.TRADES)
    market.clock.now += 0.4
    shown = market.drawn()
    for told in (
        "simulator BTC/USDT   98,200.5 ▲",
        "bid 98,200.4   ask 98,200.5   spread 0.0102 bps",
        "24h -0.27 %   high 99,920.9   low 96,733.8   volume 10,729",
        "▁█   98,199.0 to 98,200.5",
        "live · simulated · 0.4 s old · 0.5 updates/s · 0 gaps · 0 dropped",
        "14:13:59  buy   98,161.5  0.016329",
    ):
        assert told in shown
    assert shown.index("14:13:59") < shown.index("14:13:58")


def test_the_book_is_a_ladder_of_ten_levels_with_the_spread_in_the_middle():
    shown = busy(Channel.BOOK).drawn(height=40).splitlines()
    middle = next(place for place, line in enumerate(shown) if "spread 0.1 · 0.0102 bps" in line)
    assert sum("━" in line for line in shown) == 20
    assert "98,200.5  0.20  ━" in shown[middle - 1]
    assert "98,200.4  0.10  ━" in shown[middle + 1]


@pytest.mark.parametrize("channels", [(Channel.TRADES,), (Channel.BOOK,), (Channel.BOOK, Channel.TRADES)])
@pytest.mark.parametrize("width", [40, 60, 83, 84, 120, 200])
@pytest.mark.parametrize("height", [14, 24, 60])
def test_it_fits_every_terminal(channels: tuple[Channel, ...], width: int, height: int):
    market = busy(*channels)
    market.streams[Channel.TICKER].broke(BROKEN)
    market.board.read()
    shown = market.drawn(width=width, height=height).splitlines()
    assert max(map(len, shown)) <= width
    assert len(shown) <= height
    assert not any("…" in line for line in shown)
    for told in ("98,200.5", "spread", "simulated", "1 gap", "lost its connection"):
        assert told in " ".join(" ".join(shown).split()), told


def test_wide_terminals_have_trades_beside_the_book():
    shown = busy(Channel.BOOK, Channel.TRADES).drawn(width=110)
    assert any("━" in line and "buy" in line for line in shown.splitlines())


def test_without_colours_the_same_is_told():
    market = busy(Channel.BOOK, Channel.TRADES)
    coloured = market.drawn(force_terminal=True, color_system="standard", no_color=False)
    plain = market.drawn(force_terminal=True, color_system="standard", no_color=True)
    assert "\x1b[32m" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    assert ANSI.sub("", coloured) == ANSI.sub("", plain)


def test_a_gap_is_told_above_and_among_the_trades_until_all_is_well_again():
    market = busy(Channel.TRADES)
    market.streams[Channel.TRADES].broke(BROKEN)
    (told,) = market.board.read()
    assert (told.kind, told.text) == ("gap", BROKEN.message)
    shown = market.drawn()
    assert "ticker live · trades broken · simulated" in shown
    assert re.search(r"\b1 gap\b", shown)
    assert "14:13:20 gap, trades: simulator lost its connection." in shown
    market.tell(trades=[trade(50)])
    shown = market.drawn()
    assert shown.index("14:14:10") < shown.index("── gap ──") < shown.index("14:13:59")
    assert "\nlive · simulated" in shown


def test_trades_that_are_lost_are_counted():
    market = busy(Channel.TRADES)
    market.streams[Channel.TRADES].missed(7)
    assert [told.text for told in market.board.read()] == ["7 lost."]
    assert "1 gap · 7 dropped" in market.drawn()


def test_silence_is_told():
    market = busy(Channel.TRADES)
    market.streams[Channel.TICKER].silent()
    market.clock.now += 75
    market.board.read()
    shown = market.drawn()
    assert "ticker stale · trades live · simulated · 75 s old · 0.0 updates/s" in shown
    assert "stale, ticker: nothing came for too long." in shown


def test_what_is_not_up_yet_says_why():
    market = Market(Channel.TICKER, Channel.TRADES)
    assert "waiting · simulated" in market.drawn()
    market.streams[Channel.TICKER].broke(BROKEN)
    assert [(told.kind, told.text) for told in market.board.read()] == [("note", BROKEN.message)]
    assert market.board.read() == []
    assert BROKEN.message in market.drawn()


def test_what_is_asked_for_says_how_often():
    market = busy(Channel.TRADES)
    market.streams[Channel.TRADES].note = "asked every 3 s"
    (told,) = market.board.read()
    assert (told.kind, told.channel) == ("note", Channel.TRADES)
    assert "ticker live · trades asked every 3 s · simulated" in market.drawn()


def test_the_touch_is_that_of_this_moment_and_stays_when_it_is_not_known_any_more():
    market = busy(Channel.TRADES)
    market.present = {"bid": 5.0, "ask": 6.0}
    market.board.read()
    assert market.board.touch == (5.0, 6.0)
    market.present = None
    market.board.read()
    assert market.board.touch == (5.0, 6.0)
    market.tell(ticker=ticker(7.0, bid=6.5))
    assert market.board.touch == (6.5, 7.0)


def test_a_trade_that_comes_late_stands_where_it_belongs_and_old_ones_are_forgotten():
    market = Market(Channel.TICKER, Channel.TRADES)
    market.tell(trades=[trade(second) for second in (1, 2, 9)])
    market.tell(trades=[trade(5)])
    assert [row and row["id"] for row in market.board.trades] == ["9", "5", "2", "1"]
    market.tell(trades=[trade(second) for second in range(10, 1000)])
    assert market.board.trades[0] == trade(999)
    assert len(market.board.trades) == 200


def test_text_is_never_taken_for_markup():
    market = busy(Channel.TRADES)
    market.streams[Channel.TRADES].broke(Failure(Code.NETWORK, "[red]closed[/red] :smile:"))
    market.board.read()
    assert "[red]closed[/red] :smile:" in market.drawn()


def test_what_is_unknown_is_left_out():
    market = Market(Channel.TICKER, Channel.BOOK, Channel.TRADES)
    market.tell(
        ticker={"last": None, "close": 0.00001234, "bid": None, "ask": None}, book={"bids": [], "asks": [[2, 1]]}
    )
    market.tell(trades=[{"id": None, "timestamp": None, "side": None, "price": 2, "amount": 3}])
    shown = market.drawn()
    assert "0.00001234" in shown
    assert "spread" not in shown
    assert "None" not in shown


# -- lines -------------------------------------------------------------------------------------------------------------


def test_lines_tell_the_newest_of_each_kind():
    market = Market(Channel.TICKER, Channel.BOOK, Channel.TRADES)
    told = market.tell(ticker=ticker(), book=book(), trades=[trade(0, amount=0.1), trade(1, "sell", 0.2)])
    told += market.tell(trades=[trade(2, amount=0.4)])
    assert [line.removeprefix("2026-09-21T14:13:20.000Z  ") for line in lines(market.board, told)] == [
        "ticker       98200.5  bid=98200.4 ask=98200.5 spread_bps=0.0102 change_percent=-0.27",
        "book        98200.45  bid=98200.4 bid_amount=0.1 ask=98200.5 ask_amount=0.2 spread_bps=0.0102",
        "trades       98198.5  count=3 amount=0.7 bought=0.5 sold=0.2",
    ]


def test_lines_are_in_the_order_of_time():
    market = busy(Channel.BOOK)
    later, earlier = (Told(NOW + ms, "note", Channel.BOOK, text=str(ms)) for ms in (500, 3))
    assert [line.rpartition(" ")[2] for line in lines(market.board, [later, earlier])] == ["3", "500"]


def test_lines_tell_gaps_silence_and_errors():
    market = busy(Channel.TRADES)
    stream = market.streams[Channel.TRADES]
    stream.broke(BROKEN)
    stream.silent()
    stream.failed(Failure(Code.ACCESS_BLOCKED, "simulator blocks this address."))
    assert lines(market.board, market.board.read()) == [
        "2026-09-21T14:13:20.000Z  gap                -  trades: simulator lost its connection.",
        "2026-09-21T14:13:20.000Z  stale              -  trades: nothing came for too long.",
        "2026-09-21T14:13:20.000Z  error              -  trades: simulator blocks this address.",
    ]


def test_lines_have_no_price_where_there_is_none():
    market = Market(Channel.TICKER, Channel.BOOK)
    told = market.tell(ticker={"last": None, "markPrice": 3.0}, book={"bids": [], "asks": [[2.0, 1.0]]})
    first, second = lines(market.board, told)
    assert first.endswith("ticker             -  bid=- ask=2 spread_bps=- change_percent=-")
    assert second.endswith("book               -  bid=- bid_amount=- ask=2 ask_amount=1 spread_bps=-")


# -- following ---------------------------------------------------------------------------------------------------------


def test_it_looks_eight_times_a_second_however_much_comes_and_ends_with_the_seconds():
    market = Market(Channel.TICKER, Channel.TRADES)
    looks: list[list[str]] = []

    def show(told: Sequence[Told]) -> None:
        looks.append([item.kind for item in told])
        for second in range(50):
            market.streams[Channel.TICKER].data(ticker(float(second)), "stream")

    virtual_time.run(watch._follow(market.board, show, pace=watch._FRAME, seconds=10))
    assert len(looks) == 81
    assert looks[5] == ["data"]


def test_an_error_is_shown_and_ends_it():
    market = busy(Channel.TRADES)
    market.streams[Channel.TRADES].failed(Failure(Code.ACCESS_BLOCKED, "simulator blocks this address."))
    shown: list[Told] = []
    with pytest.raises(Failure, match="blocks this address"):
        virtual_time.run(watch._follow(market.board, shown.extend, pace=watch._FRAME, seconds=None))
    assert [told.kind for told in shown] == ["error"]
    assert "trades failed" in market.drawn()


def test_the_log_waits_while_a_screen_is_up(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    with watch._logs_held():
        root.warning("something happened")
        assert terminal.getvalue() == ""
    assert terminal.getvalue() == "something happened\n"
    root.warning("and went on")
    assert terminal.getvalue() == "something happened\nand went on\n"


# -- drawings ----------------------------------------------------------------------------------------------------------


def test_a_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert len(set(sparkline([5, 5, 5]))) == 1


def test_a_scale_only_widens():
    scale = Scale()
    scale.fit(prices=[98_200.5], amounts=[0.25])
    assert (scale.price(7), scale.amount(3), scale.width) == ("     7.0", "3.00", 12)
    scale.fit(prices=[1.25])
    assert scale.price(98_200.5) == "98,200.50"
    scale.fit(prices=[1], amounts=[100])
    assert (scale.price(1), scale.amount(1)) == ("     1.00", "  1.00")


def test_a_ladder_tells_of_the_spread_what_fits():
    rows = {"bids": {"rows": [[98_200.4, 0.123456]]}, "asks": {"rows": [[98_200.5, 0.123456]]}}
    for width, told in ((60, "spread 0.1 · 0.0102 bps"), (40, "  0.1 · 0.0102 bps"), (32, "  0.0102 bps")):
        console = Console(file=io.StringIO(), width=width)
        console.print(BookLadder({**rows, "spread": 0.1, "spreadBps": 0.0102}))
        assert told in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
