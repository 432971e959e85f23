"""Random runs: servers are killed at every step of an order while the exchange loses replies, and no order is lost.

`KILL_RUNS` says how many orders, `KILL_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ccxt_mcp.journal import Intent
from ccxt_mcp.simulator import Fault
from kill.server import STEPS
from kill.servers import DEADLINE, Place, Server, at_place, running, schema, until

RUNS = int(os.environ.get("KILL_RUNS", "300"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
TRADERS = 6  # each with an exchange and a journal of its own, all at the same time
LATEST = DEADLINE  # seconds after which an order may still be executed: a second before it counts as never placed
ON_A_SERVER = 3  # every so manieth journal is one on a PostgreSQL server

_WRITES = (
    # executed
    "lose_reply", "execute_then_500", "execute_then_hang", "execute_late", "execute_late", "cut_json", "cut_transfer",
    # not executed
    "drop", "500", "503", "hang", "html", "empty", "object", "array", "429",
)  # fmt: skip
_READS = ("drop", "500", "503", "cut_json", "cut_transfer", "html", "empty", "object", "array")
_FINDING_OUT = frozenset({
    "before a look", "after a claim", "before a lookup", "after a lookup", "before the resolution",
    "after the resolution",
})  # fmt: skip

log = logging.getLogger(__name__)


class Trader:
    """Places orders through servers that die, and keeps what it was told.

    Args:
        name: begins its client order ids.
        place: where it trades.
        rng: decides everything.
    """

    def __init__(self, name: str, place: Place, rng: random.Random) -> None:
        self.name = name
        self.place = place
        self.rng = rng
        self.asked: dict[str, dict[str, Any]] = {}
        self.told: dict[str, dict[str, Any] | None] = {}
        self.lives = 0
        self.deaths: Counter[str] = Counter()
        self.last: dict[str, float] = {}

    async def trade(self, orders: int, deck: Callable[[], str]) -> None:
        """Place so many orders, in as many lives of a server as it takes, then find out what became of each.

        Args:
            orders: how many.
            deck: gives the step at which the next server dies.
        """
        for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT"):
            tickers = await self.place.get("/v5/market/tickers", {"category": "spot", "symbol": symbol})
            self.last[symbol] = float(tickers["result"]["list"][0]["lastPrice"])
        while (left := orders - len(await self.place.intents())) > 0:
            await self._life(deck(), min(self.rng.randint(14, 28), left + 4))
        self.place.simulator.faults.clear()
        async with running(self.place, mode=self._mode()) as server:
            assert await self._resolved(server), f"{self.name}: {await server.unresolved()} stay unresolved"
            await self._repeat(server, sorted(set(self.asked) & set(await self.place.intents())))

    async def _life(self, step: str, orders: int) -> None:
        """Run one server until it dies at a step, or has done what there is to do."""
        turns = self.rng.randint(1, 2 if step in _FINDING_OUT else orders)
        dying = {"KILL_STEP": step, "KILL_TURN": str(turns), "KILL_SECONDS": f"{self.rng.uniform(0, 0.6):.3f}"}
        if step == "a moment":
            dying["KILL_TURN"] = "1"
        self.lives += 1
        async with running(self.place, mode=self._mode(), **dying) as server:
            if self.rng.random() < 0.9:
                await self._resolved(server)
            known = list(self.asked)
            self.place.simulator.faults.set(*self._faults())
            await self._repeat(server, self.rng.sample(known, min(len(known), self.rng.choice((0, 0, 3)))))
            if server.gone:
                self.deaths[step] += 1
                return
            new = {f"{self.name}-{len(known) + n}": self._order() for n in range(orders)}
            self.asked |= new
            await asyncio.gather(*(self._place(server, name) for name in new))
            if step in _FINDING_OUT:
                await self._resolved(server)
            if await server.unresolved() is None:
                self.deaths[step] += 1

    async def _place(self, server: Server, name: str) -> None:
        self.told[name] = await server.place(self.asked[name] | {"client_order_id": name})

    async def _repeat(self, server: Server, names: list[str]) -> None:
        await asyncio.gather(*(self._place(server, name) for name in names))

    async def _resolved(self, server: Server) -> bool:
        """Wait until nothing is unresolved, or the server is gone; return whether that came."""

        async def none() -> bool:
            return not await server.unresolved()

        return await until(none)

    def _mode(self) -> str:
        return ("auto", "legacy")[self.lives % 2]

    def _order(self) -> dict[str, Any]:
        """An order that rests, trades, waits, ends at once, or is refused by the exchange."""
        btc, eth, ltc = (self.last[symbol] for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT"))
        spot, contract = "BTC/USDT", "BTC/USDT:USDT"
        shapes: tuple[dict[str, Any], ...] = (
            {"symbol": spot, "side": "buy", "type": "market", "amount": 0.001},
            {"symbol": spot, "side": "sell", "type": "market", "amount": 0.001},
            {"symbol": spot, "side": "buy", "type": "limit", "amount": 0.002, "price": round(btc * 0.9, 1)},
            {"symbol": spot, "side": "sell", "type": "limit", "amount": 0.001, "price": round(btc * 0.99, 1)},
            {"symbol": "ETH/USDT", "side": "buy", "type": "limit", "amount": 0.05, "price": round(eth * 0.95, 2),
             "time_in_force": "IOC"},
            {"symbol": "ETH/USDT", "side": "buy", "type": "limit", "amount": 0.05, "price": round(eth * 1.02, 2),
             "post_only": True},
            {"symbol": spot, "side": "buy", "type": "market", "amount": 0.001, "trigger_price": round(btc * 1.05, 1)},
            {"symbol": contract, "side": "buy", "type": "market", "amount": 0.001},
            {"symbol": contract, "side": "buy", "type": "limit", "amount": 0.002, "price": round(btc * 0.9, 1)},
            {"symbol": "LTC/USDT", "side": "sell", "type": "limit", "amount": 1, "price": round(ltc * 1.02, 2)},
        )  # fmt: skip
        return self.rng.choice(shapes)

    def _faults(self) -> list[Fault]:
        """What the exchange does wrong in the next life; few enough that it is not given up as dead."""
        rng = self.rng
        writes = [
            Fault(
                rng.choice(_WRITES), path="/v5/order/create", probability=0.5, times=1, seconds=rng.uniform(0.1, LATEST)
            )
            for _ in range(rng.choice((0, 1, 2, 4)))
        ]
        reads = [
            Fault(rng.choice(_READS), path=rng.choice(("/order/realtime", "/order/history")), times=1)
            for _ in range(rng.choice((0, 0, 1, 2)))
        ]
        slow = [Fault("latency", path="/v5/order", seconds=rng.uniform(0.0, 0.1))] if rng.random() < 0.3 else []
        return [*writes, *reads, *slow]


# -- what must be true -------------------------------------------------------------------------------------------------


async def faults_found(trader: Trader) -> list[str]:
    """Return what is wrong between an exchange, a journal and what a trader was told; nothing, if all is well."""
    place = trader.place
    truth, intents = await place.truth(), await place.intents()
    orders: dict[str, list[dict[str, Any]]] = {}
    for order in truth["orders"]:
        orders.setdefault(order["orderLinkId"], []).append(order)
    wrong = [f"{link} was executed {len(rows)} times" for link, rows in orders.items() if len(rows) > 1]
    wrong += [f"{link} was sent {times} times" for link, times in truth["asked"].items() if times > 1]
    wrong += [f"{link} is at the exchange, and the journal has nothing of it" for link in set(orders) - set(intents)]
    for intent in intents.values():
        wrong += _about(intent, orders.get(intent.sent_id, []))
    for name, answer in trader.told.items():
        wrong += _about_answer(name, answer, intents.get(name), orders.get(name, []))
    async with place.journal() as journal:
        verified = await journal.verify()
    return wrong if verified.first_bad is None else [*wrong, f"the audit is broken at row {verified.first_bad}"]


def _about(intent: Intent, orders: list[dict[str, Any]]) -> list[str]:
    name, there = intent.client_order_id, [order["orderId"] for order in orders]
    match intent.state:
        case "accepted":
            return [] if there == [intent.order_id] else [f"{name} is {intent.order_id} here and {there} there"]
        case "rejected":
            return [f"{name} is lost: rejected here ({intent.note or intent.error}), {there} there"] if there else []
        case _:
            return [f"{name} is still {intent.state}"]


def _about_answer(
    name: str, answer: dict[str, Any] | None, intent: Intent | None, orders: list[dict[str, Any]]
) -> list[str]:
    if answer is None:
        return []
    there = [order["orderId"] for order in orders]
    if answer["success"]:
        data = answer["data"]
        same = there == [data["id"]] and data["clientOrderId"] == name
        return [] if same else [f"{name}: success with {data['id']} was told, {there} is there"]
    if answer["error"]["reason"] == "outcome_unknown":
        return []
    return [f"{name}: {answer['error']} was told, {there} is there"] if there else []


async def figures(traders: list[Trader]) -> str:
    """Return what happened, in numbers."""
    states: Counter[str] = Counter()
    doubts = 0
    for trader in traders:
        states.update(intent.state for intent in (await trader.place.intents()).values())
        async with trader.place.journal() as journal:
            for event in ("orphaned", "resolved"):
                rows = (await journal.read(event=event, limit=10_000)).rows
                states[event] += len(rows)
            outcomes = (await journal.read(event="outcome", limit=10_000)).rows
            doubts += sum(row.facts.get("state") == "unknown" for row in outcomes)
    answers = Counter(_reason(answer) for trader in traders for answer in trader.told.values())
    deaths = sum((trader.deaths for trader in traders), Counter[str]())
    lives = sum(trader.lives for trader in traders)
    return (
        f"{lives} lives, {deaths.total()} deaths {dict(deaths)}, {answers.total()} orders, unknown at first {doubts}, "
        f"{dict(states)}, told {dict(answers)}"
    )


def _reason(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "nothing"
    return "success" if answer["success"] else answer["error"]["reason"]


async def test_servers_that_are_killed_at_any_step_lose_no_order_and_double_none(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
):
    started = time.monotonic()
    rng = random.Random(SEED)
    cards: list[str] = []

    def deck() -> str:
        if not cards:
            cards.extend([*STEPS, *2 * [step for step in STEPS if step not in _FINDING_OUT]])
            rng.shuffle(cards)
        return cards.pop()

    async with AsyncExitStack() as stack:
        traders: list[Trader] = []
        for number in range(TRADERS):
            url = await schema(postgres, f"kill{number}") if number % ON_A_SERVER == 0 else None
            folder = tmp_path_factory.mktemp("trader")
            place = await stack.enter_async_context(at_place(folder, url))
            traders.append(Trader(f"t{number}", place, random.Random(rng.random())))
        share = -(-RUNS // TRADERS)
        async with asyncio.TaskGroup() as group:
            for trader in traders:
                group.create_task(trader.trade(share, deck))
        told = f"seed {SEED}: {await figures(traders)}, {time.monotonic() - started:.0f} s"
        log.info(told)
        wrong = [fault for trader in traders for fault in await faults_found(trader)]
    assert not wrong, f"{told}\n" + "\n".join(wrong)
