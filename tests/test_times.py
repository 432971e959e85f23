"""Times to come, as people and models write them."""

from __future__ import annotations

import pytest

from ccxt_mcp.errors import Failure
from ccxt_mcp.times import parse_end, parse_moment

NOW = 1_763_942_400_000  # 2025-11-24T00:00:00Z


@pytest.mark.parametrize(
    ("written", "after"),
    [
        ("2h", 7_200_000),
        ("in 2 hours", 7_200_000),
        ("90 minutes", 5_400_000),
        ("In 30 sec", 30_000),
        ("7d", 604_800_000),
        ("1M", 2_592_000_000),
        ("2025-11-25", 86_400_000),
        (NOW + 5_000, 5_000),
        (NOW // 1000 + 5, 5_000),
    ],
)
def test_a_time_to_come_counts_from_now(written: str | int, after: int) -> None:
    assert parse_end(written, now_ms=NOW, name="expires") == NOW + after


@pytest.mark.parametrize(
    "written", ["2h ago", "-2h", "0s", "2025-11-23", "now", "tomorrow", "999999999y", "", "in", NOW]
)
def test_what_is_over_or_never_comes_is_refused(written: str | int) -> None:
    with pytest.raises(Failure, match="expires is"):
        parse_end(written, now_ms=NOW, name="expires")


def test_the_past_counts_backwards() -> None:
    assert parse_moment("90 minutes ago", now_ms=NOW) == NOW - 5_400_000
    assert parse_moment("30 seconds", now_ms=NOW) == NOW - 30_000
