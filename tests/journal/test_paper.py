"""Paper records: one at a time has an account, and what ends badly was never there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ccxt_mcp.journal import Journal

Another = Callable[[], Journal]


def order(name: str, time: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "clientOrderId": f"c-{name}",
        "symbol": "BTC/USDT",
        "timestamp": time,
        "amount": "0.1",
    } | changes


def trade(name: str, time: int, **changes: Any) -> dict[str, Any]:
    return {"id": name, "order": f"o-{name}", "symbol": "BTC/USDT", "timestamp": time, "price": "60000.10"} | changes


async def test_a_state_is_kept_and_seen_by_the_next(journals: Another):
    state = {"balances": {"USDT": "10000.00000001"}, "orders": [{"id": "1", "filled": None}]}
    async with journals().paper.open("kraken", "paper") as ledger:
        assert ledger.state is None
        ledger.save({"balances": {}})
        ledger.save(state)
    async with journals().paper.open("kraken", "paper") as ledger:
        assert ledger.state == state
    async with journals().paper.open("bybit", "paper") as ledger:
        assert ledger.state is None
    assert await journals().paper.accounts() == [("kraken", "paper")]


async def test_nothing_is_written_when_the_work_fails_or_saves_nothing(journal: Journal):
    async def fail() -> None:
        async with journal.paper.open("kraken", "paper") as ledger:
            ledger.save({"balances": {}}, orders=[order("1", 1)], trades=[trade("1", 1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with journal.paper.open("kraken", "paper"):
        pass
    assert await journal.paper.accounts() == []
    assert await journal.paper.orders("kraken", "paper") == []
    assert await journal.paper.trades("kraken", "paper") == []


async def test_of_those_who_open_an_account_at_once_each_sees_what_the_one_before_saved(journals: Another):
    openers = [journals(), journals()]

    async def add(journal: Journal) -> None:
        async with journal.paper.open("kraken", "paper") as ledger:
            count = (ledger.state or {"count": 0})["count"]
            await asyncio.sleep(0)
            ledger.save({"count": count + 1})

    await asyncio.gather(*(add(openers[n % 2]) for n in range(20)))
    async with journals().paper.open("kraken", "paper") as ledger:
        assert ledger.state == {"count": 20}


@pytest.mark.parametrize("inside", [True, False])
async def test_a_cancelled_caller_leaves_nothing_and_holds_nothing(journals: Another, inside: bool):
    journal = journals()
    entered = asyncio.Event()

    async def work() -> None:
        async with journal.paper.open("kraken", "paper") as ledger:
            ledger.save({"count": 1})
            entered.set()
            await asyncio.Event().wait()

    caller = asyncio.create_task(work())
    await (entered.wait() if inside else asyncio.sleep(0))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with journals().paper.open("kraken", "paper") as ledger:
        assert ledger.state is None


async def test_archives_are_found_and_come_oldest_first(journal: Journal):
    orders = [order(str(n), 100 + n, symbol=symbol) for n, symbol in enumerate(["BTC/USDT", "ETH/USDT"] * 3)]
    trades = [trade(str(n), 100 + n, order=f"o-{n // 2}") for n in range(6)]
    async with journal.paper.open("kraken", "paper") as ledger:
        ledger.save({}, orders=orders[:3])
        ledger.save({}, orders=orders[3:], trades=trades)
    paper = journal.paper

    def names(found: list[dict[str, Any]]) -> str:
        return "".join(document["id"] for document in found)

    assert await paper.orders("kraken", "paper") == orders
    assert names(await paper.orders("kraken", "paper", symbol="ETH/USDT")) == "135"
    assert names(await paper.orders("kraken", "paper", order_id="4")) == "4"
    assert names(await paper.orders("kraken", "paper", client_order_id="c-2")) == "2"
    assert names(await paper.orders("kraken", "paper", since=103)) == "345"
    assert names(await paper.orders("kraken", "paper", limit=2)) == "45"
    assert await paper.trades("kraken", "paper") == trades
    assert names(await paper.trades("kraken", "paper", order_id="o-1")) == "23"
    assert names(await paper.trades("kraken", "paper", symbol="BTC/USDT", since=101, limit=3)) == "345"
    assert await paper.orders("bybit", "paper") == []


async def test_an_order_that_is_archived_again_is_there_once(journal: Journal):
    async with journal.paper.open("kraken", "paper") as ledger:
        ledger.save({}, orders=[order("1", 1, status="open"), order("1", 1, status="canceled")])
    async with journal.paper.open("kraken", "paper") as ledger:
        ledger.save({}, orders=[order("1", 1, status="closed")])
    assert [found["status"] for found in await journal.paper.orders("kraken", "paper")] == ["closed"]


async def test_a_reset_forgets_accounts_their_archives_and_the_beginning_of_their_day(journals: Another):
    journal = journals()
    for exchange, account in [("kraken", "paper"), ("kraken", "second"), ("bybit", "paper")]:
        async with journal.paper.open(exchange, account) as ledger:
            ledger.save({"count": 1}, orders=[order("1", 1)], trades=[trade("1", 1)])
    await journal.day_start("kraken", "paper", 1, Decimal(10))
    assert await journals().paper.reset("kraken", "paper") == 1
    assert await journal.paper.accounts() == [("bybit", "paper"), ("kraken", "second")]
    assert await journal.paper.orders("kraken", "paper") == []
    assert await journal.paper.trades("kraken", "paper") == []
    assert len(await journal.paper.orders("bybit", "paper")) == 1
    assert await journal.day_start("kraken", "paper", 1, Decimal(20)) == 20
    assert await journal.paper.reset(None, None, by="tester") == 2
    assert await journal.paper.reset(None, None) == 0
    rows = (await journal.read(event="paper_reset", newest_first=False)).rows
    assert [(row.who, row.exchange, row.account) for row in rows] == [
        ("operator", "kraken", "paper"),
        ("tester", "bybit", "paper"),
        ("tester", "kraken", "second"),
    ]
