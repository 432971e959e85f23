"""Whatever becomes of the answer, an order is executed at most once, and the simulator can tell whether it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.async_support as ccxt
import pytest

from ccxt_mcp.simulator import Fault, FaultKind, Simulator
from simulator.clients import bybit, trader

if TYPE_CHECKING:
    from simulator.clocks import Clock

SPOT = "BTC/USDT"
CREATE = "/v5/order/create"


async def truth(http: aiohttp.ClientSession, link: str | None = None) -> Any:
    async with http.get("/_simulator/orders", params={} if link is None else {"link": link}) as reply:
        return await reply.json()


async def buy(exchange: Any, link: str = "one") -> Any:
    return await exchange.create_order(SPOT, "limit", "buy", 0.001, 80_000, {"clientOrderId": link})


@pytest.mark.parametrize("kind", ["500", "503", "403", "418", "429", "drop"])
async def test_what_fails_before_execution_was_not_executed(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind, path=CREATE))
    with pytest.raises(ccxt.BaseError):
        await buy(trader)
    assert await truth(http) == {"orders": [], "asked": {}}


@pytest.mark.parametrize("kind", ["lose_reply", "execute_then_500", "cut_transfer"])
async def test_what_fails_after_execution_was_executed_once(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind, path=CREATE))
    with pytest.raises(ccxt.BaseError):
        await buy(trader)
    simulator.faults.clear()
    with pytest.raises(ccxt.InvalidOrder, match="170141"):
        await buy(trader)
    told = await truth(http, "one")
    assert [order["orderStatus"] for order in told["orders"]] == ["New"]
    assert told["asked"] == {"one": 2}
    assert (await trader.fetch_balance())["USDT"]["used"] == 80


@pytest.mark.parametrize(("kind", "executed"), [("empty", 0), ("html", 0), ("cut_json", 1)])
async def test_ccxt_takes_a_success_without_a_body_for_an_order_without_an_id(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession, kind: FaultKind, executed: int
) -> None:
    simulator.faults.set(Fault(kind, path=CREATE))
    assert (await buy(trader))["id"] is None
    assert len((await truth(http))["orders"]) == executed


async def test_a_client_that_waits_in_vain_was_executed(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("execute_then_hang", path=CREATE))
    trader.timeout = 50
    with pytest.raises(ccxt.RequestTimeout):
        await buy(trader)
    assert len((await truth(http))["orders"]) == 1


async def test_a_late_execution_does_not_end_with_its_client(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("execute_late", path=CREATE, seconds=0.5))
    trader.timeout = 50
    with pytest.raises(ccxt.RequestTimeout):
        await buy(trader)
    assert (await truth(http))["orders"] == []
    while not (found := (await truth(http))["orders"]):
        pass
    assert len(found) == 1


async def test_a_delayed_request_ends_with_its_client_and_is_never_executed(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("latency", path=CREATE, seconds=0.4))
    trader.timeout = 20
    with pytest.raises(ccxt.RequestTimeout):
        await buy(trader)
    simulator.faults.clear()
    trader.timeout = 10_000
    simulator.faults.set(Fault("latency", path="/time", seconds=0.5))
    await trader.fetch_time()
    assert (await truth(http))["orders"] == []


async def test_a_patient_client_gets_the_answer_of_a_late_execution(simulator: Simulator, trader: Any) -> None:
    simulator.faults.set(Fault("execute_late", path=CREATE, seconds=0.01))
    assert (await buy(trader))["clientOrderId"] == "one"


async def test_a_late_execution_ends_with_the_simulator(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    await simulator.start()
    async with trader(simulator, clock) as exchange:
        await exchange.is_unified_enabled()
        simulator.faults.set(Fault("execute_late", path=CREATE, seconds=3600))
        buying = asyncio.create_task(buy(exchange))
        while not simulator.requests.by_path[CREATE]:
            await exchange.fetch_time()
        await simulator.close()
        with pytest.raises(ccxt.NetworkError):
            await buying


async def test_fifty_orders_at_once_through_every_fault_are_executed_at_most_once_each(clock: Clock) -> None:
    kinds: tuple[FaultKind, ...] = ("500", "drop", "lose_reply", "execute_then_500", "cut_json", "execute_late")
    async with (
        Simulator(clock=clock, key_limit=None) as running,
        trader(running, clock) as exchange,
        aiohttp.ClientSession(running.url) as http,
    ):
        await exchange.is_unified_enabled()
        running.faults.set(*(Fault(kind, path=CREATE, probability=0.2) for kind in kinds))
        links = [f"order-{number}" for number in range(50)]
        answers = await asyncio.gather(*(buy(exchange, link) for link in links), return_exceptions=True)
        told = await truth(http)
        executed = [order["orderLinkId"] for order in told["orders"]]
        assert len(executed) == len(set(executed))
        answered = {link for link, answer in zip(links, answers, strict=True) if isinstance(answer, dict)}
        assert answered < set(executed) < set(links)
        assert len(await exchange.fetch_open_orders(SPOT, limit=50)) == len(executed)


async def test_the_truth_names_the_order_its_key_and_how_far_it_was_filled(
    simulator: Simulator, trader: Any, http: aiohttp.ClientSession
) -> None:
    order = await trader.create_order(SPOT, "market", "buy", 0.001, params={"clientOrderId": "m"})
    await trader.create_order(SPOT, "market", "buy", 0.001)
    with pytest.raises(ccxt.InsufficientFunds):
        await trader.create_order(SPOT, "market", "buy", 5, params={"clientOrderId": "refused"})
    told = await truth(http)
    assert [one["orderLinkId"] for one in told["orders"]] == ["m", ""]
    assert told["asked"] == {"m": 1, "refused": 1}
    (one,) = (await truth(http, "m"))["orders"]
    assert [one[name] for name in ("key", "orderId", "symbol", "side", "orderStatus", "cumExecQty", "asked")] == [
        "simulator-key", order["id"], "BTCUSDT", "Buy", "Filled", "0.001", 1,
    ]  # fmt: skip
    assert (await truth(http, "refused"))["orders"] == []
    async with http.get("/_simulator/nothing") as reply:
        assert reply.status == 404
    async with bybit(simulator) as keyless:
        with pytest.raises(ccxt.AuthenticationError):
            await keyless.fetch_balance()
