"""Two server processes on one journal, in a file and on a PostgreSQL server: one order, one limit, one switch."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import Fault
from kill.servers import VENUE, Place, Server, at_place, running, schema, until

_schemas = count()
_CREATE = "/v5/order/create"
_DOUBT = {"outcome_unknown", "unresolved_order"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def journal_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    return await schema(request.getfixturevalue("postgres"), f"two{next(_schemas)}")


@asynccontextmanager
async def pair(place: Place, **variables: str) -> AsyncGenerator[tuple[Server, Server]]:
    """Two servers, one with a client of each era; the first one gets the variables."""
    async with running(place, mode="auto", **variables) as first, running(place, mode="legacy") as second:
        yield first, second


async def price(place: Place, times: float = 1.0) -> float:
    tickers = await place.get("/v5/market/tickers", {"category": "spot", "symbol": "BTCUSDT"})
    return round(float(tickers["result"]["list"][0]["lastPrice"]) * times, 1)


def market(name: str) -> dict[str, Any]:
    return {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 0.001, "client_order_id": name}


async def resting(place: Place, name: str) -> dict[str, Any]:
    return market(name) | {"type": "limit", "price": await price(place, 0.9)}


async def fifty(place: Place) -> list[dict[str, Any]]:
    """Fifty orders of 100 dollars each, whose own price is the worst that they can have."""
    worst = await price(place, 1.02)
    shape = {"type": "limit", "price": worst, "amount": round(100 / worst, 6)}
    return [market(f"many-{n}") | shape for n in range(50)]


def reason(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    return "success" if answer["success"] else answer["error"]["reason"]


async def settled(server: Server, order: dict[str, Any]) -> dict[str, Any]:
    """Repeat a call until it tells the order's outcome; return that."""
    last: list[dict[str, Any]] = []

    async def known() -> bool:
        answer = await server.place(order)
        assert answer is not None
        last[:] = [answer]
        return reason(answer) not in _DOUBT

    assert await until(known), last
    return last[0]


async def test_of_two_processes_that_race_on_one_client_order_id_one_places_it(tmp_path: Path, journal_url: str | None):
    async with at_place(tmp_path, journal_url) as place, pair(place) as servers:
        lost = Fault("lose_reply", path=_CREATE, times=1), Fault("execute_then_500", path=_CREATE, times=1)
        for faults in ((), lost):
            place.simulator.faults.set(*faults)
            orders = [market(f"race-{len(faults)}-{n}") for n in range(12)]
            answers = await asyncio.gather(*(server.place(order) for order in orders for server in servers))
            assert {reason(answer) for answer in answers} <= {"success", *_DOUBT}
            for order in orders:
                first, second = [await settled(server, order) for server in servers]
                truth = await place.truth(order["client_order_id"])
                assert list(truth["asked"].values()) == [1]
                assert [one["orderId"] for one in truth["orders"]] == [first["data"]["id"]] == [second["data"]["id"]]


@pytest.mark.parametrize(
    ("step", "journal_url"),
    [
        ("after the journal", "sqlite"),
        ("in flight", "postgresql"),
        ("at the reply", "sqlite"),
        ("before the outcome", "postgresql"),
    ],
    indirect=["journal_url"],
)
async def test_what_a_killed_process_has_left_the_other_finds_out_when_it_is_asked_again(
    tmp_path: Path, journal_url: str | None, step: str
):
    async with at_place(tmp_path, journal_url) as place, pair(place, KILL_STEP=step) as (doomed, other):
        if step == "in flight":
            place.simulator.faults.set(Fault("execute_late", path=_CREATE, seconds=2.0))
        order = market("left")
        assert await doomed.place(order) is None
        answer = await settled(other, order)
        truth = await place.truth("left")
        assert len(truth["orders"]) == (step != "after the journal")
        assert reason(answer) == ("success" if truth["orders"] else "refused")
        assert truth["asked"].get("left", 0) <= 1


async def test_limits_hold_for_fifty_orders_at_once_through_two_processes(tmp_path: Path, journal_url: str | None):
    settings = "[limits]\ndaily_notional = 1_050\n"
    async with at_place(tmp_path, journal_url, settings=settings) as place, pair(place) as servers:
        orders = await fifty(place)
        answers = await asyncio.gather(*(servers[n % 2].place(one) for n, one in enumerate(orders)))
        truth = (await place.truth())["orders"]
        worth = sum(Decimal(one["price"]) * Decimal(one["qty"]) for one in truth)
        assert worth <= 1_050
        assert len(truth) == 10 == sum(reason(answer) == "success" for answer in answers)
        assert {reason(answer) for answer in answers} == {"success", "limit_exceeded"}


async def test_limits_hold_for_fifty_orders_at_once_while_replies_are_lost(tmp_path: Path):
    settings = "[limits]\ndaily_notional = 1_050\n"
    rng = random.Random(8)
    async with at_place(tmp_path, settings=settings) as place, running(place) as server:
        lost = [Fault(kind, path=_CREATE, times=1) for kind in ("lose_reply", "drop", "execute_then_500", "500")]
        place.simulator.faults.set(*rng.sample(lost, len(lost)))
        await asyncio.gather(*(server.place(one) for one in await fifty(place)))
        truth = (await place.truth())["orders"]
        assert 0 < len(truth) <= 10
        assert sum(Decimal(one["price"]) * Decimal(one["qty"]) for one in truth) <= 1_050


async def operate(place: Place, *words: str) -> str:
    """Run the command line as an operator does beside the servers, and return what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "ccxt_mcp", *words,
        env=place.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_halt_stops_the_orders_of_running_processes_at_once_and_no_way_out(tmp_path: Path):
    async with at_place(tmp_path) as place, pair(place) as servers:
        open_order = await servers[0].place(await resting(place, "before"))
        assert reason(open_order) == "success"
        await operate(place, "halt", "--why", "a test")
        for number, server in enumerate(servers):
            assert reason(await server.place(market(f"halted-{number}"))) == "halted"
        cancelled = await servers[1].call("trade_cancel_order", exchange=VENUE, client_order_id="before")
        assert reason(cancelled) == "success"
        assert [one["orderStatus"] for one in (await place.truth())["orders"]] == ["Cancelled"]
        await operate(place, "resume")
        assert reason(await servers[1].place(market("after"))) == "success"
