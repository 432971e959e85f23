"""Halts and marks: small facts that all processes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Halt, Journal
from journal.orders import Moment

Another = Callable[[], Journal]


async def test_a_halt_is_seen_everywhere_until_it_is_ended(journals: Another, clock: Moment):
    made = await journals().halt("kraken/main", by="operator", why="a strange fill")
    assert made == Halt("kraken/main", "operator", "a strange fill", clock.now)
    clock.now += 5
    assert await journals().halt("kraken/main", by="another", why="again") == made
    await journals().halt("*", by="operator", why="")
    assert [halt.scope for halt in await journals().halts()] == ["kraken/main", "*"]
    assert await journals().resume("kraken/main", by="operator") == made
    assert await journals().resume("kraken/main", by="operator") is None
    assert [halt.scope for halt in await journals().halts()] == ["*"]
    rows = (await journals().read(newest_first=False)).rows
    assert [(row.event, row.exchange, row.account) for row in rows] == [
        ("halted", "kraken", "main"),
        ("halted", None, None),
        ("resumed", "kraken", "main"),
    ]


async def test_operators_who_halt_at_once_make_one_halt(journals: Another):
    made = await asyncio.gather(*(journals().halt("*", by=f"operator {n}", why="") for n in range(4)))
    assert len(set(made)) == 1


@pytest.mark.parametrize("scope", ["", "kraken", "kraken/", "/main", "*/*", "kraken/main/x", "kraken main"])
async def test_only_everything_or_an_account_can_be_halted(journal: Journal, scope: str):
    for word in (journal.halt(scope, by="operator", why=""), journal.resume(scope, by="operator")):
        with pytest.raises(Failure) as refused:
            await word
        assert refused.value.code is Code.INVALID_ARGUMENT


async def test_a_day_begins_with_the_first_value_that_anybody_saw(journals: Another):
    first, second = journals(), journals()
    assert await first.day_start("kraken", "main", 20_000, Decimal("1000.000000000000000001")) == Decimal(
        "1000.000000000000000001"
    )
    assert await second.day_start("kraken", "main", 20_000, Decimal(7)) == Decimal("1000.000000000000000001")
    assert await second.day_start("kraken", "main", 20_001, Decimal(7)) == 7
    assert await second.day_start("kraken", "second", 20_000, Decimal(8)) == 8


async def test_looks_at_once_agree_on_the_beginning_of_the_day(journals: Another):
    seen = await asyncio.gather(*(journals().day_start("kraken", "main", 1, Decimal(n)) for n in range(4)))
    assert len(set(seen)) == 1


async def test_a_day_begins_with_a_number(journal: Journal):
    with pytest.raises(ValueError, match="finite"):
        await journal.day_start("kraken", "main", 1, Decimal("NaN"))
