"""Limits through the whole house: what an account may do at most, counted by the journal, and closed where in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import API_KEY, API_SECRET, Fault, Key, Simulator
from conftest import in_own_task
from desk.house import SPOT, SWAP, House, command, data, error, open_house, order


def exceeded(answer: dict[str, Any], limit: str) -> dict[str, Any]:
    """The error of an order that a limit stopped."""
    refused = error(answer)
    assert (refused["code"], refused["reason"]) == ("TAPS103", "limit_exceeded"), refused
    assert refused["details"]["limit"] == limit
    return refused


@pytest.fixture
async def limited(tmp_path: Path, simulator: Simulator, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """A house with limits that the test asks for."""
    async with in_own_task(open_house(tmp_path, simulator, limits=request.param)) as opened:
        yield opened


def limits(**values: Any) -> Any:
    return pytest.mark.parametrize("limited", [values], indirect=True, ids=["limits"])


@limits(order_notional=500)
async def test_one_order_is_worth_no_more_than_its_limit(limited: House) -> None:
    refused = exceeded(await limited.order(amount=0.01), "order_notional")
    assert refused["details"]["value"] == "500"
    assert float(refused["details"]["asked"]) > 500
    exceeded(await limited.order(amount=700, unit="quote"), "order_notional")
    exceeded(await limited.order(symbol=SWAP, amount=0.01, unit="contracts"), "order_notional")
    exceeded(await limited.order(symbol=SWAP, amount=700, unit="quote"), "order_notional")
    exceeded(await limited.order(amount=0.01, account="paper"), "order_notional")
    data(await limited.order(amount=0.004))
    assert len(await limited.truth()) == 1


@limits(order_notional=1000, price_collar=50)
async def test_an_order_is_valued_at_the_worst_of_its_price_and_the_market(limited: House) -> None:
    _, ask = await limited.touch()
    exceeded(await limited.order("sell", amount=0.009, price=round(ask * 1.3, 1)), "order_notional")
    exceeded(await limited.order("buy", amount=0.012, price=round(ask * 0.7, 1)), "order_notional")
    data(await limited.order("buy", amount=0.009, price=round(ask * 0.7, 1)))


@limits(order_notional=1_000)
async def test_an_order_in_euro_is_valued_in_dollars(limited: House) -> None:
    euros = 950
    refused = exceeded(await limited.order(symbol="BTC/EUR", amount=euros, unit="quote"), "order_notional")
    assert 1_000 < float(refused["details"]["asked"]) < 1_300


async def test_the_days_orders_add_up_over_a_restart(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, limits={"daily_notional": 2_500}) as house:
        for _ in range(2):
            data(await house.order(amount=0.01))
        exceeded(await house.order(amount=0.01), "daily_notional")
    async with open_house(tmp_path, simulator, limits={"daily_notional": 2_500}) as house:
        exceeded(await house.order(amount=0.01), "daily_notional")
        left = data(await house.ask("account_limits"))["left"]["daily_notional"]
        assert 0 < Decimal(left) < 1_000
        exceeded(await house.order(amount=0.02, dry_run=False), "daily_notional")
        assert len(await house.truth()) == 2


@limits(daily_notional=5_000)
async def test_fifty_orders_at_once_never_pass_the_limit_of_the_day(limited: House) -> None:
    data(await limited.ask("market_ticker", symbol=SPOT))
    answers = await asyncio.gather(*(limited.order(amount=0.003) for _ in range(50)))
    placed = [data(answer) for answer in answers if answer["success"]]
    for answer in answers:
        if not answer["success"]:
            exceeded(answer, "daily_notional")
    worth = sum(Decimal(one["effective"]["notionalUsd"]) for one in placed)
    assert 4_500 < worth <= 5_000
    assert len(await limited.truth()) == len(placed)


@limits(open_orders=2)
async def test_no_more_orders_rest_than_allowed(limited: House) -> None:
    first = await limited.resting()
    await limited.resting(symbol=SWAP)
    bid, ask = await limited.touch()
    exceeded(await limited.order(price=round(bid * 0.9, 1)), "open_orders")
    exceeded(await limited.order(trigger_price=round(ask * 1.1, 1)), "open_orders")
    data(await limited.order(amount=0.01))
    data(await limited.ask("trade_modify_order", order_id=first["id"], amount=0.02))
    data(await limited.ask("trade_cancel_order", order_id=first["id"]))
    assert data(await limited.ask("account_limits"))["left"]["open_orders"] <= 1


@limits(open_orders=10)
async def test_ten_orders_at_once_do_not_slip_past_the_count(limited: House) -> None:
    bid, _ = await limited.touch()
    answers = await asyncio.gather(*(limited.order(price=round(bid * 0.9, 1)) for _ in range(30)))
    assert sum(answer["success"] for answer in answers) <= 10
    assert len(await limited.truth()) <= 10


@limits(open_orders=40)
async def test_more_orders_than_a_page_of_the_exchange_holds_are_counted(limited: House) -> None:
    bid, _ = await limited.touch()
    for _ in range(4):
        for answer in await asyncio.gather(*(limited.order(price=round(bid * 0.9, 1)) for _ in range(10))):
            data(answer)
    exceeded(await limited.order(price=round(bid * 0.9, 1)), "open_orders")


@limits(orders_per_minute=3)
async def test_no_more_orders_are_placed_in_a_minute_than_allowed(limited: House) -> None:
    for _ in range(3):
        data(await limited.order(amount=0.001))
    refused = exceeded(await limited.order(amount=0.001), "orders_per_minute")
    assert refused["details"]["used"] == "3"


@limits(price_collar=5)
async def test_no_price_is_far_on_the_wrong_side_of_the_market(limited: House) -> None:
    bid, ask = await limited.touch()
    exceeded(await limited.order("buy", price=round(ask * 1.1, 1)), "price_collar")
    exceeded(await limited.order("sell", price=round(bid * 0.9, 1)), "price_collar")
    beyond = {"trigger_price": round(ask * 1.1, 1), "price": round(ask * 1.2, 1)}
    exceeded(await limited.ask("trade_create_order", **order("buy", **beyond)), "price_collar")
    data(await limited.order("buy", price=round(bid * 0.97, 1)))
    data(await limited.order("sell", price=round(ask * 1.03, 1)))


@limits(price_collar=5)
async def test_a_modification_is_held_to_the_limits_too(limited: House) -> None:
    bid, ask = await limited.touch()
    placed = data(await limited.order("buy", price=round(bid * 0.97, 1)))
    refused = await limited.ask("trade_modify_order", order_id=placed["id"], price=round(ask * 1.2, 1))
    exceeded(refused, "price_collar")


@limits(leverage=5)
async def test_no_leverage_is_above_the_limit_neither_set_nor_used(limited: House) -> None:
    exceeded(await limited.ask("trade_set_leverage", symbol=SWAP, leverage=6), "leverage")
    exceeded(await limited.order(symbol=SWAP), "leverage")  # it is ten until somebody sets another one
    data(await limited.ask("trade_set_leverage", symbol=SWAP, leverage=5))
    data(await limited.order(symbol=SWAP))


@limits(leverage=20)
async def test_a_leverage_that_the_exchange_does_not_tell_now_is_none_that_passes(limited: House) -> None:
    opened = data(await limited.order(symbol=SWAP))
    limited.simulator.faults.set(Fault("500", path="/v5/position/list"))
    refused = error(await limited.order(symbol=SWAP))
    assert (refused["reason"], refused["details"]["missing"]) == ("limit_exceeded", "the leverage that is set")
    limited.simulator.faults.clear()
    data(await limited.order("sell", opened["amount"], symbol=SWAP, reduce_only=True))


@limits(allow_symbols=["BTC/*"], deny_symbols=["BTC/USDC"], deny_exchanges=["kraken"])
async def test_only_what_is_listed_is_traded(limited: House) -> None:
    exceeded(await limited.order(symbol="ETH/USDT"), "allow_symbols")
    exceeded(await limited.order(symbol="BTC/USDC"), "deny_symbols")
    data(await limited.order(symbol=SPOT))


@limits(allow_exchanges=["kraken"])
async def test_only_listed_exchanges_are_traded_on(limited: House) -> None:
    exceeded(await limited.order(), "allow_exchanges")


async def test_a_loss_of_the_day_stops_all_but_ways_out(tmp_path: Path) -> None:
    """The taker's fee of so much bitcoin is about ninety dollars."""
    money = Key(secret=API_SECRET, balances={"USDT": Decimal(100_000)})
    async with (
        Simulator(ip_limit=None, key_limit=None, keys={API_KEY: money}) as simulator,
        open_house(tmp_path, simulator, limits={"daily_loss": 25}) as house,
    ):
        resting = await house.resting(amount=0.001)
        data(await house.order(symbol=SWAP, amount=0.001))
        data(await house.order(amount=0.9))
        refused = exceeded(await house.order(amount=0.001), "daily_loss")
        assert 25 <= float(refused["details"]["used"]) < 500
        told = data(await house.ask("account_limits"))
        assert (told["stops"], told["left"]["daily_loss"]) == (["daily_loss"], "0")
        data(await house.ask("trade_cancel_order", order_id=resting["id"]))
        data(await house.order("sell", symbol=SWAP, amount=0.001, reduce_only=True))


async def test_an_account_whose_worth_is_unknown_places_nothing(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, limits={"daily_loss": 1_000_000}) as house:
        data(await house.order(amount=0.001))
        simulator.faults.set(Fault("500", path="/v5/account/wallet-balance"))
        refused = exceeded(await house.order(amount=0.001), "daily_loss")
        assert refused["details"]["missing"] == "what the account is worth"


async def test_an_unknown_price_closes_every_door(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator) as house:
        data(await house.ask("exchange_init"))
        simulator.faults.set(Fault("blank_ticker"), Fault("500", path="/v5/market/orderbook"))
        asked: list[dict[str, Any]] = [{"amount": 0.01}, {"price": 60_000}, {"symbol": SWAP, "price": 60_000}]
        for arguments in asked:
            refused = error(await house.order(**arguments))
            assert refused["code"] == "TAPS103"
            assert "is not known now" in refused["message"]
        assert error(await house.order(amount=1_000, unit="quote"))["details"]["missing"] == "ask"
        bound = error(await house.order(trigger_price=60_000, symbol=SWAP))
        assert "shows no price to tell its side by" in bound["message"]
        assert await house.truth() == []


async def test_an_unknown_count_of_open_orders_closes_the_door_for_orders_that_rest(house: House) -> None:
    data(await house.order(amount=0.001))
    house.simulator.faults.set(Fault("500", path="/v5/order/realtime"))
    bid, _ = await house.touch()
    exceeded(await house.order(price=round(bid * 0.9, 1)), "open_orders")


async def test_an_operator_halts_and_resumes_from_another_process(house: House) -> None:
    resting = await house.resting()
    data(await house.order(symbol=SWAP))
    code, said = await command(house, "halt", "venue/venue", "--why", "prices look wrong")
    assert (code, said) == (0, "Halted: venue/venue. Cancels and reduce-only orders still go through.\n")
    refused = error(await house.order())
    assert (refused["code"], refused["reason"]) == ("TAPS103", "halted")
    assert "prices look wrong" in refused["message"]
    assert data(await house.order(dry_run=True))["refusal"]["reason"] == "halted"
    assert error(await house.ask("trade_modify_order", order_id=resting["id"], amount=0.02))["reason"] == "halted"
    assert error(await house.ask("trade_set_leverage", symbol=SWAP, leverage=3))["reason"] == "halted"
    (halt,) = data(await house.ask("account_limits"))["halted"]
    assert (halt["scope"], halt["why"]) == ("venue/venue", "prices look wrong")
    data(await house.order(account="paper"))
    assert data(await house.ask("trade_cancel_order", order_id=resting["id"]))["status"] == "canceled"
    data(await house.order("sell", symbol=SWAP, reduce_only=True))
    data(await house.ask("trade_cancel_all"))
    assert await command(house, "resume", "venue/venue") == (0, "Resumed: venue/venue.\n")
    data(await house.order())


async def test_an_account_sees_its_limits_and_a_markets_bounds(house: House) -> None:
    data(await house.order(amount=0.01))
    told = data(await house.ask("account_limits", symbol=SWAP))
    assert told["limits"]["order_notional"] == "1000000"
    assert 9_998_000 < Decimal(told["left"]["daily_notional"]) < 10_000_000
    assert told["left"]["orders_per_minute"] == 599
    assert told["stops"] == []
    market = told["market"]
    assert (market["symbol"], market["active"], float(market["contractSize"])) == (SWAP, True, 1)
    assert float(market["minAmount"]) == 0.001
    assert float(market["maxLeverage"]) == 100


async def test_an_account_has_limits_of_its_own(tmp_path: Path, simulator: Simulator) -> None:
    accounts = {
        "careful": {"exchange": "venue", "mode": "simulated", "limits": {"order_notional": 100}},
        "bold": {"exchange": "venue", "mode": "simulated"},
    }
    async with open_house(tmp_path, simulator, accounts=accounts, limits={"order_notional": 2_000}) as house:
        exceeded(await house.order(account="careful"), "order_notional")
        answer = await house.order(account="bold")
        assert (data(answer)["filled"], answer["metadata"]["account"]) == (0.01, "bold")
        exceeded(await house.order(account="bold", amount=0.03), "order_notional")
