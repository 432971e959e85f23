"""What a key may do and what it owns, through unmodified ccxt."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
import pytest
from ccxt.test.exchange.base.test_balance import test_balance as check_balance
from ccxt.test.exchange.base.test_currency import test_currency as check_currency
from ccxt.test.exchange.base.test_trading_fee import test_trading_fee as check_trading_fee

from ccxt_mcp.simulator import API_KEY, API_SECRET, BALANCES, KEYS, PERMISSIONS, Key, Simulator
from simulator.clients import outcome, trader

if TYPE_CHECKING:
    from simulator.clocks import Clock

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
DEEP = 50_000


async def test_a_balance_passes_ccxts_validator_and_says_what_is_held(trader: Any) -> None:
    balance = await trader.fetch_balance()
    check_balance(trader, {}, "fetchBalance", balance)
    assert balance["total"] == {coin: float(amount) for coin, amount in BALANCES.items()}
    await trader.create_order(SPOT, "limit", "buy", 0.1, DEEP)
    await trader.create_order(SPOT, "limit", "sell", 0.5, 3 * DEEP)
    await trader.create_order(SWAP, "market", "buy", 0.1)
    balance = await trader.fetch_balance()
    check_balance(trader, {}, "fetchBalance", balance)
    (position,) = await trader.fetch_positions()
    assert balance["USDT"]["used"] == pytest.approx(0.1 * DEEP + position["initialMargin"])
    assert balance["BTC"] == {"free": 1.5, "used": 0.5, "total": 2.0, "debt": 0.0}
    (wallet,) = balance["info"]["result"]["list"]
    locked = {coin["coin"]: coin["locked"] for coin in wallet["coin"]}
    assert (locked["USDT"], locked["BTC"], locked["ETH"]) == ("5000", "0.5", "0")
    assert float(wallet["totalEquity"]) > 500_000


async def test_a_wallet_can_be_asked_for_some_coins_and_is_of_one_kind_only(trader: Any) -> None:
    ask = trader.private_get_v5_account_wallet_balance
    reply = await ask({"accountType": "UNIFIED", "coin": "BTC,EUR"})
    coins = {coin["coin"]: float(coin["usdValue"]) for coin in reply["result"]["list"][0]["coin"]}
    assert 0.9 < coins["EUR"] / 115_000 < 1.1
    assert list(coins) == ["BTC", "EUR"]
    with pytest.raises(ccxt.BadRequest):
        await ask({"accountType": "SPOT"})


async def test_fees_are_those_that_are_charged(trader: Any) -> None:
    for symbol, maker, taker in ((SPOT, 0.001, 0.001), (SWAP, 0.0002, 0.00055)):
        fee = await trader.fetch_trading_fee(symbol)
        check_trading_fee(trader, {}, "fetchTradingFee", symbol, fee)
        assert (fee["maker"], fee["taker"]) == (maker, taker)
    assert set(await trader.fetch_trading_fees()) == {one for one in trader.markets if trader.markets[one]["swap"]}


async def test_every_currency_passes_ccxts_validator_and_nothing_can_leave(trader: Any) -> None:
    assert set(BALANCES) <= set(trader.currencies)
    for code, currency in (await trader.fetch_currencies()).items():
        check_currency(trader, {"active": True, "deposit": True, "withdraw": True}, "fetchCurrencies", currency)
        assert [network["withdraw"] for network in currency["networks"].values()] == [False], code


async def test_the_account_is_unified_with_isolated_margin(trader: Any) -> None:
    assert await trader.is_unified_enabled() == [False, True]
    assert (await trader.fetch_margin_mode(SWAP))["marginMode"] == "isolated"
    assert (await trader.set_margin_mode("isolated"))["retCode"] == 0
    with pytest.raises(ccxt.ExchangeError, match="110073"):
        await trader.set_margin_mode("cross")
    with pytest.raises(ccxt.PermissionDenied, match="100028"):
        await trader.private_post_v5_position_switch_isolated({"category": "linear", "symbol": "BTCUSDT"})


@pytest.mark.parametrize(
    ("name", "read_only", "wallet"),
    [(API_KEY, 0, []), ("simulator-reader", 1, []), ("simulator-withdrawer", 0, ["AccountTransfer", "Withdraw"])],
)
async def test_a_key_says_what_it_may_do(
    simulator: Simulator, clock: Clock, name: str, read_only: int, wallet: list[str]
) -> None:
    async with trader(simulator, clock, name, KEYS[name].secret) as exchange:
        told = (await exchange.private_get_v5_user_query_api())["result"]
    assert (told["apiKey"], told["readOnly"], told["permissions"]["Wallet"]) == (name, read_only, wallet)


async def test_a_read_only_key_reads_and_changes_nothing(simulator: Simulator, clock: Clock) -> None:
    name = "simulator-reader"
    async with trader(simulator, clock, name, KEYS[name].secret) as exchange:
        assert (await exchange.fetch_balance())["BTC"]["free"] == 2
        for change in (
            exchange.create_order(SPOT, "market", "buy", 0.001),
            exchange.cancel_order("1", SPOT),
            exchange.cancel_all_orders(SPOT),
            exchange.set_leverage(5, SWAP),
        ):
            with pytest.raises(ccxt.PermissionDenied, match="10005"):
                await change
        assert (await exchange.fetch_balance())["BTC"]["free"] == 2


async def test_a_key_trades_only_what_its_permissions_name(clock: Clock) -> None:
    spot_only = Key(secret="s", permissions={**PERMISSIONS, "ContractTrade": ()})
    async with Simulator(clock=clock, keys={"spot": spot_only}) as running, trader(running, clock, "spot", "s") as one:
        await one.create_order(SPOT, "market", "buy", 0.001)
        with pytest.raises(ccxt.PermissionDenied, match="10005"):
            await one.create_order(SWAP, "market", "buy", 0.001)


async def test_each_key_has_an_account_of_its_own_with_the_balances_it_was_given(clock: Clock) -> None:
    keys = {"rich": Key(secret="a", balances={"USDT": Decimal(10**9)}), "poor": Key(secret="b", balances={})}
    async with (
        Simulator(clock=clock, keys=keys) as running,
        trader(running, clock, "rich", "a") as rich,
        trader(running, clock, "poor", "b") as poor,
    ):
        order = await rich.create_order(SPOT, "market", "buy", 0.5, params={"clientOrderId": "same"})
        assert (await rich.fetch_balance())["total"]["BTC"] == pytest.approx(0.4995)
        assert (await poor.fetch_balance())["total"] == {}
        with pytest.raises(ccxt.OrderNotFound):
            await outcome(poor, order)
        with pytest.raises(ccxt.InsufficientFunds):
            await poor.create_order(SPOT, "market", "buy", 0.5, params={"clientOrderId": "same"})


@pytest.mark.parametrize(("limit", "admitted"), [(3, 3), ({"/v5/order/create": 5}, 5), (None, 30)])
async def test_the_limit_of_a_key_can_be_chosen(clock: Clock, limit: Any, admitted: int) -> None:
    async with Simulator(clock=clock, key_limit=limit) as running, trader(running, clock) as exchange:
        await exchange.is_unified_enabled()
        for _ in range(admitted):
            await exchange.create_order(SPOT, "limit", "buy", 0.001, DEEP)
        if limit is not None:
            with pytest.raises(ccxt.RateLimitExceeded, match="10006"):
                await exchange.create_order(SPOT, "limit", "buy", 0.001, DEEP)
            assert exchange.last_response_headers["X-Bapi-Limit-Status"] == "0"


async def test_a_key_may_usually_place_twenty_orders_a_second(trader: Any, clock: Clock) -> None:
    for _ in range(2):
        for _ in range(20):
            await trader.create_order(SPOT, "limit", "buy", 0.001, DEEP)
        with pytest.raises(ccxt.RateLimitExceeded, match="10006"):
            await trader.create_order(SPOT, "limit", "buy", 0.001, DEEP)
        clock.now += 1
    assert len(await trader.fetch_open_orders(SPOT, limit=50)) == 40


async def test_a_wrong_secret_comes_back_with_the_key_in_it(simulator: Simulator, clock: Clock) -> None:
    async with trader(simulator, clock) as exchange:
        exchange.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError, match=rf"10004.*origin_string\[\d+{API_KEY}") as caught:
            await exchange.create_order(SPOT, "market", "buy", 0.001)
        assert API_SECRET not in str(caught.value)


def test_a_keys_secret_is_not_in_its_repr() -> None:
    assert KEYS[API_KEY].secret not in repr(KEYS)
