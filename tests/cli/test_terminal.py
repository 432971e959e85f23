"""Drawings for a person: what they show, and that they fit."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from ccxt_mcp.cli.charts import BookLadder, CandleChart
from ccxt_mcp.cli.figures import grouped, pointed
from ccxt_mcp.cli.terminal import TableView, answer_view, shown

HOUR = 3_600_000
START = 1_700_000_000_000 // HOUR * HOUR
METADATA = {"exchange": "simulator", "mode": "simulated", "cached": False, "requestId": "abc"}


def drawn(view: RenderableType, *, width: int = 80, colours: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colours,
        color_system="standard" if colours else None,
        highlight=False,
    )
    console.print(view)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def success(**data: Any) -> dict[str, Any]:
    return {"success": True, "data": data, "metadata": METADATA}


def rising_then_falling() -> list[list[float]]:
    return [[START, 100, 110, 95, 108, 5], [START + HOUR, 108, 109, 90, 92, 10]]


prices = st.floats(min_value=1e-6, max_value=1e6)
candles = st.builds(lambda o, a, b, c, volume: [START, o, max(o, a, b, c), min(o, a, b, c), c, volume], *[prices] * 5)


@given(rows=st.lists(candles, min_size=1, max_size=150), width=st.integers(40, 200), height=st.integers(4, 30))
def test_candles_fit_every_width_and_height(rows: list[list[float]], width: int, height: int):
    lines = drawn(CandleChart(rows, height=height), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == height + 2 + 1 + 1  # prices, volumes, times, legend


def test_without_colours_rising_candles_are_hollow_and_falling_ones_solid():
    rising, falling = rising_then_falling()
    assert "║" in drawn(CandleChart([rising])).partition("rose")[0][:-3]
    body = drawn(CandleChart([falling])).partition("║ rose")[0]
    assert "┃" in body
    assert "║" not in body


def test_with_colours_rising_candles_are_green_and_falling_ones_red():
    output = drawn(CandleChart(rising_then_falling()), colours=True)
    assert "\x1b[32m" in output
    assert "\x1b[31m" in output
    assert "║" not in output


def test_the_newest_candles_stay_when_not_all_fit():
    rows = [[START + place * HOUR, 1, 2, 1, 1.5, 1] for place in range(500)]
    times = drawn(CandleChart(rows), width=60).splitlines()[-2]
    assert times.rstrip().endswith("05 Dec 17:00")


def test_a_market_that_did_not_move_is_a_flat_line():
    assert "║" in drawn(CandleChart([[START, 5, 5, 5, 5, 0]] * 3))


def test_candles_without_prices_are_left_out():
    assert drawn(CandleChart([[START, None, None, None, None, None]])).strip() == "no candles"


def test_a_book_shows_asks_above_bids_and_the_larger_amount_longer():
    book = {
        "mid": 100.5, "spread": 1.0, "spreadBps": 99.5,
        "bids": {"columns": ["price", "amount"], "rows": [[100, 1.0], [99.5, 4.0]]},
        "asks": {"columns": ["price", "amount"], "rows": [[101, 2.0], [102, 0.5]]},
    }  # fmt: skip
    lines = drawn(BookLadder(book)).splitlines()
    assert [line.split()[0] for line in lines] == ["102.0", "101.0", "100.5", "100.0", "99.5"]
    bars = [line.count("━") for line in lines]
    assert bars[4] == 2 * bars[1] == 4 * bars[3] == 8 * bars[0]


def test_an_empty_book_is_drawn_too():
    assert "mid" not in drawn(BookLadder({"bids": {"columns": [], "rows": []}}))


def test_decimal_points_of_a_column_stand_under_each_other():
    output = drawn(TableView({"columns": ["symbol", "last"], "rows": [["A", 60000.5], ["B", 0.25], ["C", None]]}))
    first, second = output.splitlines()[1:3]
    assert first.index(".") == second.index(".")
    assert "60,000.5" in first


def test_a_wide_table_is_turned_when_that_makes_it_fit():
    columns = [f"a_long_column_{number}" for number in range(12)]
    output = drawn(TableView({"columns": columns, "rows": [list(range(12)), list(range(12))]}))
    assert [line.split()[0] for line in output.splitlines()] == columns
    assert max(map(len, output.splitlines())) <= 80


def test_a_page_says_how_to_get_the_next_one():
    table = {"columns": ["symbol"], "rows": [["A"]], "total": 90, "next": "1", "note": "Cut to fit."}
    assert "1 of 90 · next page: cursor=1 · Cut to fit." in drawn(TableView(table))


def test_times_are_written_for_a_person_and_numbers_stay_numbers():
    output = drawn(answer_view("market_ticker", success(timestamp=1_700_000_000_000, baseVolume=1_700_000_000_000)))
    assert "2023-11-14 22:13:20" in output
    assert "1,700,000,000,000" in output


def test_a_stale_answer_says_so():
    envelope = success(last=1) | {"metadata": METADATA | {"stale": True, "cached": True, "ageMs": 5_000}}
    assert "STALE, 5 s old" in drawn(answer_view("market_ticker", envelope))


def test_a_failure_shows_code_message_hint_and_candidates():
    error = {
        "code": "TAPS011", "reason": "unknown_symbol", "message": "[red]'X' is no market.", "hint": "Look it up.",
        "retryAfterMs": 1500, "details": {"candidates": ["A/B", "C/D"], "failed": [["kraken", "TAPS008"]]},
    }  # fmt: skip
    output = drawn(answer_view("market_ticker", {"success": False, "error": error, "metadata": METADATA}))
    for words in ("TAPS011 unknown_symbol", "[red]'X'", "→ Look it up.", "1.5 s", "A/B, C/D", "kraken · TAPS008"):
        assert words in output


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (None, "-"),
        ([], "-"),
        (["a", 1000], "a, 1,000"),
        ({"a": 1, "b": "c"}, "a 1 · b c"),
        (1e-8, "0.00000001"),
    ],
)
def test_json_values_are_shown_for_a_person(value: Any, text: str):
    assert shown(value) == text


@given(st.floats(min_value=1e-15, max_value=1e15))
def test_numbers_keep_their_first_nine_digits(value: float):
    assert abs(Decimal(grouped(value).replace(",", "")) / Decimal(repr(value)) - 1) <= Decimal("5e-9")


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)), min_size=1))
def test_a_column_of_numbers_has_one_place_for_the_point(values: list[float | None]):
    texts = pointed(values)
    places = {len(text) - text.index(".") for text in texts if "." in text}
    assert len(places) <= 1
