from __future__ import annotations

from typing import Any

from ccxt_mcp.envelope import Envelope, Metadata
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.kept import Kept

FACTS = Metadata(request_id="r-1", timestamp=0)
TICKER = {"symbol": "BTC/USDT", "last": 60_000.5}


class Kitchen:
    """Makes things and counts how often."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.charged: list[Any] = []
        self.kept = Kept(TICKER, self.charged.append)

    def pick(self, ticker: dict[str, Any], *names: str) -> dict[str, Any]:
        self.made.append(names)
        return {name: ticker[name] for name in names}


def test_a_thing_is_made_once_for_all_who_ask_for_the_same() -> None:
    kitchen = Kitchen()
    first = kitchen.kept.made(kitchen.pick, "last")
    assert kitchen.kept.made(kitchen.pick, "last") is first
    assert kitchen.kept.made(kitchen.pick, "symbol").value == {"symbol": "BTC/USDT"}
    assert first.value == {"last": 60_000.5}
    assert kitchen.made == [("last",), ("symbol",)]


def test_what_is_made_of_a_made_thing_is_kept_too() -> None:
    kitchen = Kitchen()
    for _ in range(3):
        assert kitchen.kept.made(kitchen.pick, "last").made(len).value == 1
    assert kitchen.charged == [{"last": 60_000.5}, 1]


def test_no_more_than_a_few_things_are_kept_and_the_others_are_still_right() -> None:
    kitchen = Kitchen()
    for _ in range(2):
        for repeats in range(1, 9):
            assert kitchen.kept.made(kitchen.pick, *["last"] * repeats).value == {"last": 60_000.5}
    assert len(kitchen.charged) == 4
    assert len(kitchen.made) == 8 + 4


def test_answers_with_the_same_data_have_it_shaped_once_and_keep_their_own_metadata() -> None:
    kitchen = Kitchen()
    later = Metadata(request_id="r-2", timestamp=5, cached=True, age_ms=5)
    answers = [
        Envelope(facts, TICKER, kept=kitchen.kept).shaped(kitchen.pick, "last") for facts in (FACTS, later, later)
    ]
    assert answers[0].data is answers[1].data is answers[2].data
    assert [answer.metadata for answer in answers] == [FACTS, later, later]
    assert kitchen.made == [("last",)]


def test_an_answer_that_is_mapped_has_nothing_to_do_with_what_is_kept() -> None:
    kitchen = Kitchen()
    mapped = Envelope(FACTS, TICKER, kept=kitchen.kept).map(lambda ticker: [ticker["last"]])
    assert mapped.shaped(len).data == 1
    assert kitchen.charged == []


def test_data_that_is_not_kept_is_shaped_each_time_and_a_failure_never() -> None:
    kitchen = Kitchen()
    for _ in range(2):
        assert Envelope(FACTS, TICKER).shaped(kitchen.pick, "last").data == {"last": 60_000.5}
    assert len(kitchen.made) == 2
    failed = Envelope(FACTS, failure=Failure(Code.TIMEOUT, "late"), kept=kitchen.kept)
    assert failed.shaped(kitchen.pick, "last") is failed
