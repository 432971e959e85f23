"""The benchmark: its arithmetic, its one question that needs no other process, and its ways to place orders."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # bench/ stands beside the tests and is not installed

from bench import __main__ as program
from bench.child import configured
from bench.direct import Direct
from bench.disk import Disk
from bench.exchanges import Exchanges
from bench.feed import Feed
from bench.flood import flood
from bench.local import Local
from bench.measure import Answer, Finding, at_least, at_most, compared, difference, in_turn, ratio
from bench.orders import LIMITLESS, UNPACED, cancel_all, far_orders
from bench.questions import h_bytes, k_stream, l_live, m_stream_memory
from bench.report import document, show
from bench.soak_streams import BOUNDS, Plan, Sample, Soak, growth
from bench.streams import EACH, mixed, names, speeds

from ccxt_mcp.settings import load_settings


def test_subjects_have_their_turns_in_every_round_and_warm_up_does_not_count() -> None:
    turns: list[str] = []
    clock = itertools.count()

    def subject(name: str) -> float:
        turns.append(name)
        return float(next(clock))

    figures = in_turn({"a": lambda: subject("a"), "b": lambda: subject("b")}, rounds=2, warm_up=1)
    assert turns == ["a", "b"] * 3
    assert figures == {"a": [2.0, 4.0], "b": [3.0, 5.0]}


def test_ratios_and_differences_are_medians_of_rounds_so_that_one_slow_round_changes_nothing() -> None:
    assert ratio([2.0, 4.0, 900.0], [1.0, 2.0, 3.0]) == 2.0
    assert difference([2.0, 5.0, 900.0], [1.0, 2.0, 3.0]) == 3.0


@pytest.mark.parametrize(("figures", "baseline"), [([1.0], [1.0, 2.0]), ([], [])])
def test_figures_without_a_baseline_of_the_same_rounds_are_refused(figures: list[float], baseline: list[float]) -> None:
    with pytest.raises(ValueError, match="no rounds"):
        ratio(figures, baseline)


def test_a_comparison_shows_both_medians_and_judges_the_ratio() -> None:
    finding = compared("start", [0.2, 0.3, 0.4], [0.1, 0.3, 0.1], target=at_most(2))
    assert (finding.figure, finding.baseline, finding.ratio, finding.passed) == (300.0, 100.0, 2.0, True)
    assert compared("rate", [3.0], [2.0], unit="calls/s", scale=1, target=at_least(2)).passed is False


def test_a_finding_without_a_ratio_is_judged_by_its_figure_and_one_without_a_target_not_at_all() -> None:
    assert Finding("added", 1.5, "ms", target=at_most(1)).passed is False
    assert Finding("added", 1.5, "ms").passed is None
    assert Answer("question", [Finding("added", 1.5, "ms")]).passed


async def test_the_sizes_of_answers_are_measured_and_lists_keep_their_target(tmp_path: Path) -> None:
    sizes = await h_bytes.measure_sizes(tmp_path)
    assert list(sizes) == [case.what for case in h_bytes.CASES]
    assert all(min(size) > 0 for size in sizes.values())
    assert all(finding.passed is not False for finding in h_bytes.findings(sizes))


async def test_so_many_calls_as_wanted_are_in_flight_and_each_is_made_once() -> None:
    made = most = now = 0

    async def call() -> None:
        nonlocal made, most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        made += 1

    assert await flood([call] * 10, 3) > 0
    assert (made, most) == (10, 3)


def test_a_configured_server_keeps_everything_in_the_folder_and_stops_no_benchmark(tmp_path: Path) -> None:
    environment = configured(tmp_path / "own", {"shop": "http://127.0.0.1:1"}, of_each=UNPACED, of_all=LIMITLESS)
    settings = load_settings(environment)
    assert {settings.cache_dir.parent, settings.data_dir.parent} == {tmp_path / "own"}
    assert settings.limits.open_orders == settings.limits.orders_per_minute == 1_000_000
    assert (settings.exchanges["shop"].rate_limit or 1) < 0.1


def test_commits_of_the_bare_disk_are_counted_one_by_one(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk.sqlite3") as disk:
        assert disk.time(3) > 0
    connection = sqlite3.connect(tmp_path / "disk.sqlite3")
    assert connection.execute("SELECT count(*) FROM facts").fetchone() == (3,)
    connection.close()


def test_raw_ccxt_and_a_desk_with_its_journal_on_disk_or_in_memory_place_the_same_orders(tmp_path: Path) -> None:
    with Exchanges(0) as exchanges:
        url = exchanges.urls[0]
        disk, memory = (
            configured(tmp_path / name, {"shop": url}, of_each=UNPACED, of_all=LIMITLESS) for name in ("disk", "memory")
        )
        with Direct(url, limiter=False) as direct, Local(disk) as desk, Local(memory, in_memory=True) as forgetful:
            orders = far_orders(direct)
            direct.flood("create_order", [order.raw for order in orders], in_flight=5)
            for local in (desk, forgetful):
                local.time("shop", orders[0])
                local.flood("shop", orders, in_flight=5)
            cancel_all(direct)
            left = direct.call("fetch_open_orders", None, None, None, {"type": "spot"})
        assert exchanges.requests()["/v5/order/create"] == 3 * len(orders) + 2
        assert (exchanges.refused(), left) == (0, [])
    assert [path.name for path in tmp_path.glob("*/data/*")] == ["journal.sqlite3"]


def test_of_every_four_exchanges_one_tells_its_books_and_no_stream_comes_twice() -> None:
    watched = mixed(20)
    assert len(watched) == len(set(watched)) == 20 * EACH
    assert sum(one.channel == "book" for one in watched) == 50
    assert [speed < 50 for speed in speeds(20)] == [number % 4 == 1 for number in range(20)]


async def test_a_ticker_reaches_one_reader_and_many_by_one_subscription(tmp_path: Path) -> None:
    with Feed(100.0, tick=0.01) as feed:
        measured = await k_stream.measure(feed, tmp_path, rounds=1, updates=5, readers=20)
    figures = [finding.figure for finding in measured.findings]
    assert min(figures) > 0
    assert figures[-1] == 1


async def test_a_ticker_from_a_stream_is_never_asked_for(tmp_path: Path) -> None:
    with Exchanges(0) as exchanges:
        measured = await l_live.measure(exchanges, tmp_path, rounds=1, calls=50)
    assert all(finding.figure > 0 for finding in measured.findings)


def test_the_memory_of_streams_is_that_of_a_process_of_their_own(tmp_path: Path) -> None:
    with Feed(*speeds(2), tick=0.05) as feed:
        environment = configured(tmp_path, names(feed.urls))
        figures = {way: [m_stream_memory.after(way, feed.urls, environment, 0.1)] for way in ("bare", "hub")}
    assert m_stream_memory.findings(figures, 2 * EACH)[0].figure > 0


def test_what_grows_after_the_first_minute_is_told_and_what_goes_up_and_down_is_not() -> None:
    first = [Sample(100, 40, 200.0), Sample(102, 41, 210.0)]
    steady = [Sample(101, 41, 212.0), Sample(106, 60, 300.0), Sample(102, 40, 214.0)] * 3
    assert growth(first, steady, judged=BOUNDS) == []
    assert growth(first, [*steady, *[Sample(110, 44, 230.0)] * 9], judged=BOUNDS) == [
        "tasks grew from 102 to 110 after the first minute",
        "sockets grew from 41 to 44 after the first minute",
        "mib grew from 210 to 230 after the first minute",
    ]


async def test_a_short_soak_ends_by_itself_and_finds_only_that_the_hub_is_no_faster_than_bare_ccxt() -> None:
    told: list[str] = []
    wrong = await Soak(Plan(seconds=1.0, venues=2, rounds=1, phase=0.5, most=0.001), told.append).run()
    assert [one.partition(" takes")[0] for one in wrong] == ["a message"]
    assert told[0] == "20 streams of 2 exchanges: 4 ticker, 3 trades, 3 candles, 10 book"


def test_every_question_has_its_letter() -> None:
    assert "".join(program.QUESTIONS) == "abcdefghijklm"


def answer(figure: float) -> Answer:
    return Answer("How much?", [Finding("it", figure, "ms", 2.0, figure / 2, at_most(1))], "half [of] it", ["a note"])


def test_a_table_tells_figure_baseline_ratio_target_and_verdict() -> None:
    console = Console(width=100)
    with console.capture() as captured:
        show("x", answer(3.0), console)
    text = captured.get()
    assert "(x) How much?" in text
    assert "half [of] it" in text
    assert [word for word in ("3 ms", "2 ms", "1.50", "≤ 1", "MISSED") if word not in text] == []


def test_a_run_as_json_holds_every_finding() -> None:
    told: Any = json.loads(json.dumps(document({"x": answer(1.0)})))
    assert told["questions"]["x"]["findings"] == [
        {"what": "it", "figure": 1.0, "unit": "ms", "baseline": 2.0, "ratio": 0.5, "target": "≤ 1", "passed": True}
    ]


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--check"], 1), (["good", "--check"], 0)])
def test_a_missed_target_fails_the_run_only_when_it_is_asked_to_check(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    questions = {"good": lambda: answer(1.0), "bad": lambda: answer(3.0)}
    assert program.run(words, questions=questions) == code
