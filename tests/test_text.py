"""clean_text: what strangers wrote, made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.text import clean_text

_HIDDEN = "\u202e\u2066\u2069\u200b\u200d\ufeff\u00ad\U000e0041\ufe0f\u3164\x1b\x00\x9b\x7f\ud800\ue000"


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=400), st.integers(1, 250))
def test_whatever_comes_in_one_short_visible_line_goes_out(text: str, limit: int) -> None:
    clean = clean_text(text, limit)
    assert len(clean) <= limit
    assert clean == clean.strip()
    assert "  " not in clean
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert clean_text(clean, limit) == clean


@given(
    st.lists(st.sampled_from(list(_HIDDEN)), max_size=5),
    st.lists(st.sampled_from(list("BTC/USDT:0.5 é漢")), max_size=20),
)
def test_hidden_characters_leave_no_trace_between_visible_ones(hidden: list[str], visible: list[str]) -> None:
    mixed = "".join(char + "".join(hidden) for char in visible)
    assert clean_text(mixed) == " ".join("".join(visible).split())


@pytest.mark.parametrize(
    "text", ["BTC/USDT:USDT-251226-100000-C", "Kraken (Payward, Inc.)", "東京 取引所", "5 < 6 & 7", ""]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


def test_lines_and_tabs_become_single_spaces() -> None:
    assert clean_text("one\r\n\t two\u2028three\x85four") == "one two three four"


def test_what_is_cut_says_so() -> None:
    assert clean_text("x" * 300) == "x" * 199 + "…"
