"""Accounts as their tools show them: what they hold, what that is worth, what they did and what was done for them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import API_KEY, API_SECRET, Fault, Key, Simulator
from desk.house import SPOT, SWAP, House, data, error, open_house, rows, until


async def test_a_balance_has_a_value_in_the_currency_asked_for(era_house: House) -> None:
    dollars = data(await era_house.ask("account_balance"))
    held = {row["currency"]: row for row in rows(dollars["balances"])}
    assert (dollars["valueCurrency"], held["USDT"]["total"], held["USDT"]["value"]) == ("USD", 1_000_000, 1_000_000)
    bid, ask = await era_house.touch()
    assert held["BTC"]["value"] == pytest.approx(2 * (bid + ask) / 2, rel=0.01)
    assert dollars["value"] == pytest.approx(sum(row["value"] for row in held.values()), abs=0.1)
    assert [row["value"] for row in rows(dollars["balances"])] == sorted(
        (row["value"] for row in held.values()), reverse=True
    )
    coins = data(await era_house.ask("account_balance", quote="btc"))
    assert (coins["valueCurrency"], coins["value"]) == ("BTC", pytest.approx(dollars["value"] / bid, rel=0.01))
    assert data(await era_house.ask("account_balance", quote="EUR"))["value"] < dollars["value"]


async def test_a_small_value_keeps_its_digits(tmp_path: Path) -> None:
    money = Key(secret=API_SECRET, balances={"USDT": Decimal(100)})
    async with (
        Simulator(ip_limit=None, key_limit=None, keys={API_KEY: money}) as simulator,
        open_house(tmp_path, simulator) as house,
    ):
        value = data(await house.ask("account_balance", quote="BTC"))["value"]
        _, ask = await house.touch()
        assert value == pytest.approx(100 / ask, rel=0.001)


async def test_what_has_no_price_is_named_and_not_counted(house: House) -> None:
    known = data(await house.ask("account_balance"))
    assert "unpriced" not in known
    nothing = data(await house.ask("account_balance", quote="NOPE"))
    assert "value" not in nothing
    assert set(nothing["unpriced"]) == {row["currency"] for row in rows(known["balances"])}
    house.simulator.faults.set(Fault("blank_ticker"), Fault("500", path="/v5/market/orderbook"))

    async def dark() -> dict[str, Any] | None:  # as soon as no price is fresh any more
        told = data(await house.ask("account_balance"))
        return told if {"BTC", "ETH"} <= set(told.get("unpriced", ())) else None

    assert (await until(dark))["value"] >= 1_000_000


async def test_what_an_order_holds_back_is_used_and_not_free(house: House) -> None:
    placed = await house.resting(amount=0.1)
    held = {row["currency"]: row for row in rows(data(await house.ask("account_balance"))["balances"])}["USDT"]
    assert held["used"] == pytest.approx(0.1 * placed["price"])
    assert held["free"] == pytest.approx(held["total"] - held["used"])


async def test_a_paper_account_begins_with_its_money_however_late_the_markets_come(house: House) -> None:
    house.simulator.faults.set(Fault("500", path="/v5/market/instruments-info"))
    early = await asyncio.gather(*(house.ask("account_balance", account="paper") for _ in range(2)))
    assert {answer["success"] for answer in early} == {False}
    house.simulator.faults.clear()

    async def told() -> dict[str, Any] | None:
        answer = await house.ask("account_balance", account="paper")
        return answer["data"] if answer["success"] else None

    held = {row["currency"]: row["total"] for row in rows((await until(told))["balances"])}
    assert (held["USDT"], held["BTC"]) == (100_000, 1)


async def test_positions_show_what_they_are_worth_and_where_they_end(house: House) -> None:
    assert rows(data(await house.ask("account_positions"))["positions"]) == []
    opened = data(await house.order("sell", symbol=SWAP, amount=0.02))
    (held,) = rows(data(await house.ask("account_positions", symbol=SWAP))["positions"])
    assert (held["side"], held["contracts"], held["entryPrice"]) == ("short", 0.02, opened["average"])
    assert held["notional"] == pytest.approx(0.02 * held["markPrice"], rel=0.01)
    assert held["liquidationPrice"] > held["entryPrice"]
    assert held["leverage"] == 10


async def test_trades_are_the_newest_first_and_paged(house: House) -> None:
    for _ in range(3):
        data(await house.order())
    last = data(await house.order("sell", symbol=SWAP))
    first = data(await house.ask("account_trades", limit=2))["trades"]
    assert (first["total"], first["next"], len(first["rows"])) == (4, "2", 2)
    newest = rows(first)[0]
    assert (newest["order"], newest["side"], newest["symbol"]) == (last["id"], "sell", SWAP)
    assert (newest["feeCurrency"], newest["takerOrMaker"]) == ("USDT", "taker")
    second = data(await house.ask("account_trades", limit=2, cursor=first["next"]))["trades"]
    assert len({row["id"] for row in rows(first) + rows(second)}) == 4
    assert "next" not in second
    spot = rows(data(await house.ask("account_trades", symbol=SPOT))["trades"])
    assert [row["symbol"] for row in spot] == [SPOT] * 3
    assert rows(data(await house.ask("account_trades", since=4_000_000_000_000))["trades"]) == []


async def test_fees_are_the_accounts_own(house: House) -> None:
    spot = data(await house.ask("account_fees", symbol=SPOT))
    assert (spot["source"], spot["maker"], spot["taker"]) == ("account", 0.001, 0.001)
    swap = data(await house.ask("account_fees", symbol=SWAP))
    assert (swap["maker"], swap["taker"]) == (0.0002, 0.00055)
    refused = error(await house.ask("account_fees"))
    assert (refused["code"], "symbol is missing" in refused["message"]) == ("TAPS005", True)


async def test_orders_are_listed_by_what_became_of_them(house: House) -> None:
    resting = await house.resting()
    filled = data(await house.order())
    gone = await house.resting(symbol=SWAP)
    data(await house.ask("trade_cancel_order", order_id=gone["id"]))

    async def ids(**arguments: object) -> list[str]:
        answer = await house.ask("trade_fetch_orders", **arguments)  # pyright: ignore[reportArgumentType]
        return [row["id"] for row in rows(data(answer)["orders"])]

    assert await ids() == [resting["id"]]
    assert await ids(status="closed") == [gone["id"], filled["id"]]
    assert await ids(status="all") == [gone["id"], filled["id"], resting["id"]]
    assert await ids(status="all", symbol=SPOT) == [filled["id"], resting["id"]]
    page = data(await house.ask("trade_fetch_orders", status="all", limit=1))["orders"]
    assert (page["next"], page["total"]) == ("1", 3)


async def test_the_audit_is_paged_and_filtered(house: House) -> None:
    placed = data(await house.order(client_order_id="mine-1"))
    data(await house.order(client_order_id="mine-2"))
    error(await house.order(amount=100))
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = data(await house.ask("system_audit", None, limit=2, cursor=cursor))["audit"]
        assert len(page["rows"]) <= 2
        seen += [row["seq"] for row in rows(page)]
        if (cursor := page.get("next")) is None:
            break
    assert seen == sorted(seen, reverse=True) == list(range(len(seen), 0, -1))
    mine = rows(data(await house.ask("system_audit", None, client_order_id="mine-1"))["audit"])
    assert {row["clientOrderId"] for row in mine} == {"mine-1"}
    assert [row["event"] for row in mine][-2:] == ["outcome", "reserved"]
    assert placed["id"] in mine[-2]["facts"]
    refused = rows(data(await house.ask("system_audit", None))["audit"])[0]
    assert (refused["event"], refused["tool"]) == ("refused", "trade_create_order")
    assert "amount" in refused["facts"]
    assert rows(data(await house.ask("system_audit", "venue"))["audit"])
    assert error(await house.ask("system_audit", None, cursor="-1"))["code"] == "TAPS005"


async def test_no_secret_is_in_the_audit(house: House) -> None:
    data(await house.order())
    told = str(await house.ask("system_audit", None, limit=100))
    assert API_SECRET not in told
    assert API_KEY not in told


async def test_nothing_is_unresolved_where_nothing_was_lost(house: House) -> None:
    data(await house.order())
    assert await house.unknown() == []
    assert rows(data(await house.ask("account_orders_unknown", "venue"))["orders"]) == []
