"""Orders from end to end: a client places them, the simulator's own books say what became of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.exchanges.lazy import ccxt_version
from ccxt_mcp.exchanges.store import MarketStore
from ccxt_mcp.simulator import Fault, Simulator
from ccxt_mcp.simulator.faults import FaultKind
from desk.house import SPOT, SWAP, House, data, error, open_house, rows


async def test_a_market_order_is_filled_and_told_in_ccxts_words(era_house: House) -> None:
    answer = await era_house.order()
    placed = data(answer)
    (truth,) = await era_house.truth()
    assert placed["id"] == truth["orderId"]
    assert placed["clientOrderId"] == truth["orderLinkId"]
    assert [placed[name] for name in ("symbol", "side", "type", "status", "amount", "filled", "remaining")] == [
        SPOT, "buy", "market", "closed", 0.01, 0.01, 0,
    ]  # fmt: skip
    assert placed["average"] > 0
    assert placed["fee"] == {"cost": pytest.approx(0.00001), "currency": "BTC"}
    assert (answer["metadata"]["account"], answer["metadata"]["mode"]) == ("venue", "simulated")


async def test_what_an_order_comes_to_is_told_to_the_digit(house: House) -> None:
    placed = data(await house.order(amount="0.0123456789"))
    effective = placed["effective"]
    assert effective["amount"] == "0.012345"
    assert effective["changes"] == ["amount is cut from 0.0123456789 to 0.012345 BTC: BTC/USDT has steps of 0.000001."]
    assert float(effective["notionalUsd"]) == pytest.approx(0.012345 * placed["average"], rel=0.01)
    assert (await house.truth())[0]["cumExecQty"] == "0.012345"


async def test_a_limit_order_rests_is_modified_and_is_cancelled(era_house: House) -> None:
    placed = await era_house.resting()
    assert (placed["status"], placed["filled"], placed["remaining"]) == ("open", 0, 0.01)
    price = round(placed["price"] * 1.01, 1)
    changed = data(
        await era_house.ask("trade_modify_order", symbol=SPOT, order_id=placed["id"], amount=0.02, price=price)
    )
    assert (changed["id"], changed["amount"], changed["price"]) == (placed["id"], 0.02, price)
    found = data(await era_house.ask("trade_fetch_order", client_order_id=placed["clientOrderId"]))
    assert (found["id"], found["amount"], found["price"], found["status"]) == (placed["id"], 0.02, price, "open")
    gone = data(await era_house.ask("trade_cancel_order", order_id=placed["id"]))
    assert (gone["id"], gone["status"], gone["filled"]) == (placed["id"], "canceled", 0)
    (truth,) = await era_house.truth()
    assert (truth["orderStatus"], truth["cumExecQty"]) == ("Cancelled", "0")


async def test_a_limit_order_takes_what_crosses_it_and_the_rest_rests(house: House) -> None:
    placed = await house.partly_filled()
    assert placed["status"] == "open"
    assert placed["remaining"] == pytest.approx(placed["amount"] - placed["filled"])
    gone = data(await house.ask("trade_cancel_order", order_id=placed["id"]))
    assert gone["status"] in {"canceled", "closed"}
    assert placed["filled"] <= gone["filled"] <= placed["amount"]
    bought = sum(
        row["amount"] for row in rows(data(await house.ask("account_trades"))["trades"]) if row["order"] == gone["id"]
    )
    assert bought == pytest.approx(gone["filled"])


async def test_an_amount_in_quote_is_reckoned_in_base(house: House) -> None:
    placed = data(await house.order(amount=500, unit="quote"))
    assert placed["cost"] == pytest.approx(500, rel=0.01)
    assert placed["effective"]["unit"] == "BTC"
    sold = data(await house.order("sell", amount=placed["filled"], unit="base"))
    assert sold["filled"] == placed["filled"]


@pytest.mark.parametrize("unit", ["contracts", "base", "quote", None])
async def test_contracts_are_ordered_in_every_unit(house: House, unit: str | None) -> None:
    amount = 1500 if unit == "quote" else 0.01
    placed = data(await house.order(symbol=SWAP, amount=amount, unit=unit))
    effective = placed["effective"]
    assert effective["contracts"] == effective["amount"] == str(placed["amount"])
    assert (effective["contractSize"], effective["unit"]) == ("1", "contracts")
    (held,) = rows(data(await house.ask("account_positions"))["positions"])
    assert (held["symbol"], held["side"], held["contracts"]) == (SWAP, "long", placed["amount"])


async def test_a_position_is_closed_by_an_order_that_only_reduces(house: House) -> None:
    data(await house.order(symbol=SWAP, amount=0.02))
    refused = error(await house.order("buy", symbol=SWAP, amount=0.01, reduce_only=True))
    assert refused["code"] in {"TAPS004", "TAPS005"}
    closed = data(await house.order("sell", symbol=SWAP, amount=0.02, reduce_only=True))
    assert closed["reduceOnly"]
    assert rows(data(await house.ask("account_positions"))["positions"]) == []


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_a_trigger_order_waits_is_seen_is_found_and_is_cancelled(house: House, symbol: str) -> None:
    bid, ask = await house.touch(symbol)
    rising = data(await house.order("buy", symbol=symbol, trigger_price=round(ask * 1.05, 1)))
    falling = data(
        await house.order("sell", symbol=symbol, trigger_price=round(bid * 0.95, 1), price=round(bid * 0.94, 1))
    )
    for placed in (rising, falling):
        assert (placed["status"], placed["filled"]) == ("open", 0)
        assert placed["triggerPrice"] == float(placed["effective"]["triggerPrice"])
        assert data(await house.ask("trade_fetch_order", order_id=placed["id"]))["status"] == "open"
    listed = rows(data(await house.ask("trade_fetch_orders"))["orders"])
    assert {row["id"] for row in listed} == {rising["id"], falling["id"]}
    assert data(await house.ask("trade_cancel_order", order_id=rising["id"]))["status"] == "canceled"
    assert data(await house.ask("trade_cancel_order", client_order_id=falling["clientOrderId"]))["status"] == "canceled"


async def test_a_trigger_on_the_wrong_side_is_refused_with_the_side(house: House) -> None:
    bid, _ = await house.touch()
    refused = error(await house.order("buy", trigger_price=round(bid * 0.95, 1)))
    assert refused["code"] == "TAPS005"
    assert "needs one above the market" in refused["message"]


async def test_take_profit_and_stop_loss_are_attached(house: House) -> None:
    bid, ask = await house.touch(SWAP)
    placed = data(
        await house.order(symbol=SWAP, take_profit=round(ask * 1.1, 1), stop_loss=round(bid * 0.9, 1), amount=0.02)
    )
    assert (placed["takeProfitPrice"], placed["stopLossPrice"]) == (round(ask * 1.1, 1), round(bid * 0.9, 1))
    protecting = rows(data(await house.ask("trade_fetch_orders"))["orders"])
    assert [(row["side"], row["amount"]) for row in protecting] == [("sell", 0.02)] * 2


@pytest.mark.parametrize("trailing", ["1%", "500"])
async def test_a_trailing_stop_is_refused_where_the_exchange_would_drop_the_word(house: House, trailing: str) -> None:
    data(await house.order(symbol=SWAP))
    answer = await house.order("sell", symbol=SWAP, trailing=trailing, reduce_only=True)
    assert (error(answer)["code"], error(answer)["reason"]) == ("TAPS006", "method_not_supported")
    assert len(await house.truth()) == 1


@pytest.mark.parametrize("trailing", ["1%", "500"])
async def test_a_trailing_stop_rests_on_paper(house: House, trailing: str) -> None:
    data(await house.order(symbol=SWAP, account="paper"))
    answer = await house.order("sell", symbol=SWAP, trailing=trailing, reduce_only=True, account="paper")
    assert (data(answer)["status"], data(answer)["filled"]) == ("open", 0)
    assert (answer["metadata"]["account"], answer["metadata"]["mode"]) == ("paper", "paper")
    assert await house.truth() == []


async def test_time_in_force_is_held_to(house: House) -> None:
    bid, ask = await house.touch()
    immediate = data(await house.order(amount=0.01, price=round(bid * 0.95, 1), time_in_force="IOC"))
    assert (immediate["status"], immediate["filled"]) == ("canceled", 0)
    whole = data(await house.order(amount=0.5, price=round(ask * 0.99, 1), time_in_force="FOK"))
    assert (whole["status"], whole["filled"]) == ("canceled", 0)
    never = await house.order(amount=0.01, price=round(ask * 1.02, 1), time_in_force="PO")
    assert (data(never)["status"], data(never)["filled"]) == ("canceled", 0)
    resting = data(await house.order(amount=0.01, price=round(bid * 0.95, 1), post_only=True))
    assert (resting["status"], resting["postOnly"]) == ("open", True)


async def test_a_dry_run_tells_all_and_does_nothing(era_house: House) -> None:
    told = data(await era_house.order(amount=0.5, dry_run=True))
    assert told["dryRun"] is True
    assert (told["amount"], told["needsConfirmation"], "refusal" in told) == ("0.5", False, False)
    large = data(await era_house.order(amount=5, dry_run=True))
    assert large["needsConfirmation"] is True
    assert await era_house.truth() == []
    assert await era_house.intents() == []
    assert await era_house.events() == []


async def test_a_dry_run_names_the_limit_that_stands_in_the_way(house: House) -> None:
    told = data(await house.order(amount=15, dry_run=True))
    assert told["refusal"]["code"] == "TAPS103"
    assert told["refusal"]["details"]["limit"] == "order_notional"


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"amount": "NaN"}, "TAPS005", "amount"),
    ({"amount": "Infinity"}, "TAPS005", "amount"),
    ({"amount": -1}, "TAPS005", "amount"),
    ({"amount": 0}, "TAPS005", "amount"),
    ({"amount": "1e99"}, "TAPS005", "amount"),
    ({"amount": "0.000001"}, "TAPS005", "amount is 0.000001 BTC; the least on BTC/USDT is 0.000011 BTC."),
    ({"amount": "0.0000001"}, "TAPS005", "amount is 0.0000001 BTC; the smallest amount on BTC/USDT is 0.000011 BTC."),
    ({"amount": 1000}, "TAPS005", "the most on BTC/USDT is"),
    ({"type": "market", "price": 60000}, "TAPS005", "price is 60000; a market order has none."),
    ({"type": "limit"}, "TAPS005", "price is missing; a limit order needs one."),
    ({"price": "NaN"}, "TAPS005", "price"),
    ({"price": -5}, "TAPS005", "price"),
    ({"unit": "lots"}, "TAPS005", "unit"),
    ({"unit": "contracts"}, "TAPS005", "unit is contracts; BTC/USDT is a spot market and takes base or quote."),
    ({"side": "hold"}, "TAPS005", "side"),
    ({"symbol": "EOS/USDT", "amount": 100}, "TAPS006", "EOS/USDT does not trade at present."),
    ({"symbol": "BTC/USDTT"}, "TAPS011", "BTC/USDTT"),
    ({"reduce_only": True}, "TAPS005", "reduce_only is true; BTC/USDT is a spot market without positions."),
    ({"post_only": True}, "TAPS005", "post_only is true; a market order always takes."),
    ({"take_profit": 1}, "TAPS005", "take_profit"),
    ({"trailing": "near"}, "TAPS005", "trailing"),
    ({"symbol": SWAP, "take_profit": 1, "reduce_only": True}, "TAPS005", "take_profit"),
    ({"account": "nobody"}, "TAPS005", "account"),
    ({"amout": 1}, "TAPS005", "amout is no argument"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), WRONG)
async def test_wrong_input_is_refused_by_name_and_with_a_next_step(
    house: House, arguments: dict[str, Any], code: str, says: str
) -> None:
    refused = error(await house.order(**arguments))
    assert refused["code"] == code, refused
    assert says in refused["message"]
    assert refused["hint"]
    assert await house.truth() == []
    assert await house.intents() == []


async def test_contracts_that_are_no_whole_coins_need_a_unit(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator) as house:
        data(await house.ask("exchange_init"))
    store = MarketStore(house.settings.cache_dir, ccxt_version=ccxt_version())
    kept = store.read("venue-simulated")
    assert kept is not None
    markets = {**kept.markets, SWAP: {**kept.markets[SWAP], "contractSize": 0.001}}
    store.write("venue-simulated", replace(kept, markets=markets))
    async with open_house(tmp_path, simulator) as house:
        refused = error(await house.order(symbol=SWAP, amount=2))
        assert refused["details"] == {"field": "unit", "units": ["contracts", "base", "quote"]}
        for meaning in ("unit contracts: 2 contracts worth", "unit base: 2000 contracts worth"):
            assert meaning in refused["message"]
        told = data(await house.order(symbol=SWAP, amount=0.15, unit="base", dry_run=True))
        assert (told["contracts"], told["contractSize"], told["baseAmount"]) == ("150", "0.001", "0.15")


async def test_an_order_that_the_exchange_refuses_is_refused_with_its_words(house: House) -> None:
    refused = error(await house.order("sell", symbol="SOL/USDT", amount=300))  # of two hundred that are there
    assert (refused["code"], refused["reason"]) == ("TAPS004", "insufficient_balance")
    (intent,) = await house.intents()
    assert (intent.state, intent.error["reason"]) == ("rejected", "insufficient_balance")
    assert await house.unknown() == []


async def test_leverage_is_set_and_told_again_without_harm(house: House) -> None:
    for _ in range(2):
        told = data(await house.ask("trade_set_leverage", symbol=SWAP, leverage=5))
        assert (told["symbol"], told["leverage"]) == (SWAP, 5)
    data(await house.order(symbol=SWAP))
    (held,) = rows(data(await house.ask("account_positions"))["positions"])
    assert held["leverage"] == 5


@pytest.mark.parametrize(("fault", "reason"), [("429", "rate_limited"), ("drop", "outcome_unknown")])
async def test_a_leverage_that_fails_is_told_with_the_margin_mode_that_is_set(
    house: House, fault: FaultKind, reason: str
) -> None:
    house.simulator.faults.set(Fault(fault, path="/v5/position/set-leverage"))
    refused = error(await house.ask("trade_set_leverage", symbol=SWAP, leverage=5, margin_mode="isolated"))
    assert refused["reason"] == reason
    assert refused["message"].startswith("The margin mode is isolated. ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"symbol": SPOT, "leverage": 5}, "leverage is 5; BTC/USDT is a spot market and has none."),
        ({"symbol": SWAP, "leverage": 500}, "leverage"),
        ({"symbol": SWAP, "leverage": 0}, "leverage"),
        ({"symbol": SWAP, "leverage": 50}, "leverage is 20, and leverage is 50."),
        ({"symbol": SWAP, "leverage": 5, "margin_mode": "cross"}, ""),
    ],
)
async def test_a_leverage_that_cannot_be_is_refused(house: House, arguments: dict[str, Any], says: str) -> None:
    assert says in error(await house.ask("trade_set_leverage", **arguments))["message"]
