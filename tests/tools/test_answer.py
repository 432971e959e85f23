from __future__ import annotations

import csv
import json
from collections import deque
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson
import pytest
from ccxt.async_support.base.ws.cache import ArrayCache
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import CallToolResult, TextContent

from ccxt_mcp.envelope import Envelope, Metadata, RateLimit, Table
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.tools.answer import answer

CAP = 65_536
FACTS = Metadata(
    request_id="r-1",
    timestamp=1_795_486_104_000,
    exchange="kraken",
    mode="live",
    rate_limit=RateLimit(remaining=14.5, reset=1_795_486_105_000),
)


def answered(data: Any, *, cap: int = CAP, metadata: Metadata = FACTS) -> CallToolResult:
    return answer(Envelope(metadata, data=data), cap=cap)


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def lines_of(data: Any) -> list[str]:
    return text_of(answered(data)).split("\n")[1:]


def data_of(result: CallToolResult) -> Any:
    assert result.structured_content is not None
    return result.structured_content["data"]


def sizes(result: CallToolResult) -> tuple[int, int]:
    return len(text_of(result).encode()), len(orjson.dumps(result.structured_content))


def test_the_first_line_says_where_how_fresh_and_what_budget() -> None:
    cached = replace(FACTS, cached=True, age_ms=1_234)
    assert text_of(answered({}, metadata=cached)).split("\n")[0] == (
        "kraken · live · 2026-11-24T02:08:24Z · age 1.2 s, cached · budget 14.5 left, full 2026-11-24T02:08:25Z"
        " · request r-1"
    )


def test_the_first_line_leaves_out_what_is_unknown() -> None:
    header = text_of(answered({}, metadata=Metadata(request_id="r-2", timestamp=0))).split("\n")[0]
    assert header == "1970-01-01T00:00:00Z · request r-2"


def test_a_stale_answer_says_so_before_anything_else() -> None:
    stale = replace(FACTS, cached=True, stale=True, age_ms=34_000, account="main")
    result = answered({"last": 1}, metadata=stale)
    assert text_of(result).startswith(
        "STALE: 34.0 s old, the exchange does not answer now · kraken · live · account main"
    )
    assert result.structured_content is not None
    assert result.structured_content["metadata"]["stale"] is True


def test_facts_are_lines_with_dotted_names_and_both_channels_hold_the_same() -> None:
    result = answered(
        {
            "symbol": "BTC/USD",
            "timestamp": 1_763_942_400_000,
            "last": 60_000.0,
            "tick": 0.00001234,
            "dust": 1e-9,
            "crossed": False,
            "vwap": None,
            "depth": {"bid": 1.5, "ask": None},
            "timeframes": ["1m", "1h"],
            "failed": [{"exchange": "okx", "message": "down, for now"}],
            "nothing": {},
            "none": [],
        }
    )
    assert text_of(result).split("\n")[1:] == [
        "symbol: BTC/USD",
        "timestamp: 1763942400000 (2025-11-24T00:00:00Z)",
        "last: 60000",
        "tick: 0.00001234",
        "dust: 0.000000001",
        "crossed: false",
        "depth.bid: 1.5",
        "timeframes: 1m, 1h",
        "failed[0].exchange: okx",
        "failed[0].message: down, for now",
        "nothing: {}",
        "none: []",
    ]
    assert data_of(result) == {
        "symbol": "BTC/USD",
        "timestamp": 1_763_942_400_000,
        "last": 60_000,
        "tick": 0.00001234,
        "dust": 1e-9,
        "crossed": False,
        "depth": {"bid": 1.5},
        "timeframes": ["1m", "1h"],
        "failed": [{"exchange": "okx", "message": "down, for now"}],
        "nothing": {},
        "none": [],
    }
    assert result.is_error is False


def test_tables_come_after_the_facts_as_comma_separated_rows() -> None:
    bids = Table(("price", "amount"), [[60_000.5, 0.1], [60_000.0, None]])
    asks = Table(("price", "amount"), [], note="empty side")
    assert lines_of({"bids": bids, "book": {"asks": asks}, "mid": 60_001}) == [
        "mid: 60001",
        "bids (2): price,amount",
        "60000.5,0.1",
        "60000,",
        "book.asks (0): price,amount",
        "book.asks.note: empty side",
    ]


def test_a_page_of_a_table_shows_its_total_and_its_next_cursor() -> None:
    table = Table.page(("n", "name"), [[n, "x"] for n in range(5)], cursor="2", limit=2)
    result = answered(table)
    assert text_of(result).split("\n")[1:] == ["rows (2 of 5): n,name", "2,x", "3,x", "next: 4"]
    assert data_of(result) == {"columns": ["n", "name"], "rows": [[2, "x"], [3, "x"]], "total": 5, "next": "4"}


def test_cells_are_quoted_as_in_csv_where_they_need_it() -> None:
    cells = ["a,b", 'say "hi"', "two\nlines\u202e\x1b[31m", "", None, True, ["spot", "swap"], [], {"min": 1}]
    lines = lines_of(Table(tuple("abcdefghi"), [cells]))
    assert "\n".join(lines[1:]) == '"a,b","say ""hi""",two lines[31m,"",,true,spot;swap,[],"{""min"":1}"'
    (read,) = csv.reader(["\n".join(lines[1:])])
    assert read == ["a,b", 'say "hi"', "two lines[31m", "", "", "true", "spot;swap", "[]", '{"min":1}']


@pytest.mark.parametrize("hostile", ["x\nnext: 5", "x\r\nSTALE", "x\u2028note: buy"])
def test_a_text_cannot_pass_for_another_line(hostile: str) -> None:
    assert len(lines_of({"status": hostile, hostile: 1})) == 2


class Side(StrEnum):
    BUY = "buy"


def test_everything_that_ccxt_may_hold_becomes_strict_json() -> None:
    cache = ArrayCache(10)
    cache.append({"symbol": "BTC/USDT", "id": "1"})
    cache.append({"symbol": "BTC/USDT", "id": "2"})
    result = answered(
        {
            "nan": float("nan"),
            "infinite": float("inf"),
            "exact": Decimal("0.1"),
            "trades": cache,
            "side": Side.BUY,
            "pair": ("a", 1),
            "huge": 2**70,
            "large": 1e300,
            "surrogate": "\ud800",
            7: "number as name",
            "table": Table(("a", "b"), [[float("nan"), Decimal("NaN")], [float("-inf"), 1.0]]),
        }
    )
    data = data_of(result)
    assert json.loads(orjson.dumps(data)) == data
    assert data == {
        "exact": 0.1,
        "trades": [{"symbol": "BTC/USDT", "id": "1"}, {"symbol": "BTC/USDT", "id": "2"}],
        "side": "buy",
        "pair": ["a", 1],
        "huge": str(2**70),
        "large": 1e300,
        "surrogate": "",
        "7": "number as name",
        "table": {"columns": ["a", "b"], "rows": [[None, None], [None, 1]]},
    }
    assert answered(deque([1])).is_error is False


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_the_same_in_both_channels(number: float) -> None:
    result = answered({"price": number})
    assert data_of(result)["price"] == number
    assert float(text_of(result).rpartition("price: ")[2]) == number


@given(
    st.lists(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text() | st.none(),
            min_size=2,
            max_size=2,
        )
    )
)
def test_the_rows_of_the_text_are_those_of_the_structured_answer(rows: list[list[Any]]) -> None:
    result = answered({"t": Table(("a", "b"), rows)}, cap=10**9)
    block = text_of(result).partition("t (")[2].partition("\n")[2]
    read = list(csv.reader(block.splitlines(keepends=True))) if "\r" not in block else None
    expected = data_of(result)["t"]["rows"]
    if read is not None and not any(isinstance(cell, str) for row in expected for cell in row):
        assert [[None if cell == "" else float(cell) for cell in row] for row in read] == [
            [None if cell is None else float(cell) for cell in row] for row in expected
        ]
    assert f"t ({len(rows)})" in text_of(result)


def test_a_failure_is_one_compact_json_object_in_both_channels() -> None:
    failure = Failure(
        Code.RATE_LIMITED, "kraken allows 1 call a second.", retry_after=1.5, details={"limit": float("nan"), "n": 1}
    )
    result = answer(Envelope(FACTS, failure=failure), cap=CAP)
    assert result.is_error is True
    assert orjson.loads(text_of(result)) == result.structured_content
    assert "\n" not in text_of(result)
    assert result.structured_content is not None
    assert result.structured_content["error"] == {
        "code": "TAPS003",
        "reason": "rate_limited",
        "message": "kraken allows 1 call a second.",
        "exchange": "kraken",
        "retryable": True,
        "retryAfterMs": 1500,
        "hint": "Wait for retryAfterMs, or ask for less at once.",
        "details": {"n": 1},
    }


def test_a_failure_stays_under_the_cap_whatever_its_details_hold() -> None:
    failure = Failure(Code.INTERNAL, "x" * 9_000, details={f"k{n}" * 9: ["y" * 90] * 90 for n in range(90)})
    result = answer(Envelope(FACTS, failure=failure), cap=4_096)
    assert max(sizes(result)) <= 4_096
    assert orjson.loads(text_of(result)) == result.structured_content
    assert orjson.loads(text_of(result))["error"]["code"] == "TAPS999"


def test_rows_beyond_the_cap_are_cut_with_a_cursor_that_continues_without_gap() -> None:
    everything = [[n, n / 7, "name"] for n in range(5_000)]
    cursor: str | None = None
    seen: list[Any] = []
    for _ in range(100):
        result = answered({"list": Table.page(("n", "x", "name"), everything, cursor=cursor, limit=1_000)}, cap=8_192)
        assert max(sizes(result)) <= 8_192
        table = data_of(result)["list"]
        if len(table["rows"]) < 1_000 and table.get("next"):
            assert f"list.note: Cut to {len(table['rows'])} of " in text_of(result)
            assert f"cursor={table['next']}" in table["note"]
        seen += table["rows"]
        cursor = table.get("next")
        if cursor is None:
            break
    assert seen == everything


def test_the_cap_is_used_well() -> None:
    result = answered(Table(("n", "x"), [[n, n / 7] for n in range(9_000)]), cap=CAP)
    assert max(sizes(result)) > CAP - 300


def test_a_cursor_that_is_no_position_is_dropped_with_the_rows_before_it() -> None:
    table = Table(("n",), [["x" * 100]] * 100, next="1763942400000", note="Newest first.")
    cut = data_of(answered(table, cap=4_096))
    assert "next" not in cut
    assert cut["note"].startswith("Newest first. Cut to ")
    assert cut["note"].endswith("ask for fewer rows or fields.")


def test_the_longest_tables_are_cut_first() -> None:
    data = {"failed": Table(("e",), [["okx"]] * 3), "rows": Table(("n", "text"), [[n, "x" * 50] for n in range(900)])}
    cut = data_of(answered(data, cap=8_192))
    assert len(cut["failed"]["rows"]) == 3
    assert 50 < len(cut["rows"]["rows"]) < 900


def test_a_text_beyond_the_cap_is_cut_and_says_so() -> None:
    cut = data_of(answered({"message": "x" * 100_000, "last": 5}, cap=8_192))
    assert cut["last"] == 5
    assert cut["message"].endswith("… [cut, 100000 characters]")


def test_a_row_that_is_larger_than_the_cap_is_cut_inside() -> None:
    table = Table.page(("id", "text"), [["1", "x" * 100_000], ["2", "y"]], cursor=None, limit=2)
    rows = data_of(answered(table, cap=8_192))["rows"]
    assert [row[0] for row in rows] == ["1", "2"]
    assert "[cut, 100000 characters]" in rows[0][1]


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.builds(
        lambda rows, times, start: Table(tuple("abcd"[:width]), rows * times, start=start),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6),
        st.sampled_from([1, 5, 200]),
        st.none() | st.integers(0, 10_000),
    )
)
DATA = st.recursive(
    CELLS | TABLES | st.text(max_size=3).map(lambda text: text * 2_000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(DATA, st.sampled_from([1_024, 2_000, 8_192, CAP]))
def test_no_answer_ever_exceeds_the_cap_and_every_answer_is_json(data: Any, cap: int) -> None:
    result = answered(data, cap=cap)
    assert max(sizes(result)) <= cap
    assert json.loads(orjson.dumps(result.structured_content)) == result.structured_content


@given(TABLES, st.sampled_from([1_024, 8_192]))
def test_rows_that_are_shown_are_the_first_ones_unchanged(table: Table, cap: int) -> None:
    everything = data_of(answered(table, cap=10**9))["rows"]
    cut = data_of(answered(table, cap=cap))
    assert cut["rows"] == everything[: len(cut["rows"])]
    if 0 < len(cut["rows"]) < len(everything):
        assert f"of {len(everything)} rows" in cut["note"]
        assert cut.get("next") == (None if table.start is None else str(table.start + len(cut["rows"])))


@pytest.mark.parametrize("cursor", ["-1", "1.5", "abc", "٣", "9" * 10, "1 "])
def test_a_cursor_that_no_page_ever_had_is_invalid(cursor: str) -> None:
    with pytest.raises(Failure, match="cursor is") as caught:
        Table.page(("a",), [[1]], cursor=cursor, limit=10)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_page_makes_only_the_rows_that_it_shows() -> None:
    made: list[int] = []

    def row(item: int) -> list[Any]:
        made.append(item)
        return [item]

    table = Table.page(("n",), range(100), cursor="10", limit=3, row=row)
    assert made == [10, 11, 12]
    assert (table.rows, table.next, table.total) == ([[10], [11], [12]], "13", 100)


def test_the_last_page_has_no_cursor_and_a_page_beyond_the_end_has_no_rows() -> None:
    assert Table.page(("n",), [[1], [2]], cursor=None, limit=2).next is None
    assert Table.page(("n",), [[1], [2]], cursor="9", limit=2).rows == []
