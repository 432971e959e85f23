"""Accounts: which one a call is about, and that nobody gets a live one unasked."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import Accounts
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.settings import load_settings

KEYS = {"KRAKEN_API_KEY": "kraken-key", "OKX_SECRET_FILE": "/nowhere", "GEMINI_API_KEY": ""}


def accounts_of(variables: dict[str, str] | None = None, **settings: Any) -> Accounts:
    return Accounts(load_settings({"CCXT_MCP_CONFIG": os.devnull, **(variables or {})}, **settings))


def names(accounts: Accounts, exchange: str) -> list[str]:
    return [account.name for account in accounts.of(exchange)]


def test_a_call_that_names_no_account_is_on_paper_even_where_there_are_keys() -> None:
    accounts = accounts_of(KEYS, accounts={"main": {"exchange": "kraken", "mode": "live"}})
    assert accounts.resolve("kraken").mode == "paper"
    assert accounts.resolve("kraken").name == "paper"


def test_a_simulators_own_account_is_its_default_and_needs_no_credentials() -> None:
    accounts = accounts_of(exchanges={"venue_b": {"simulator": "http://127.0.0.1:1"}})
    for exchange in ("simulator", "venue_b"):
        account = accounts.resolve(exchange)
        assert (account.name, account.mode, account.source) == (exchange, "simulated", None)
        assert names(accounts, exchange) == [exchange, "paper"]


def test_a_configured_default_is_the_account_of_calls_that_name_none() -> None:
    accounts = accounts_of(
        exchanges={"kraken": {"account": "main"}}, accounts={"main": {"exchange": "kraken", "credentials": "keyring"}}
    )
    assert accounts.resolve("kraken").name == "main"
    assert names(accounts, "kraken") == ["main", "paper"]
    assert accounts.resolve("okx").name == "paper"


def test_variables_make_an_account_that_is_named_like_its_exchange() -> None:
    accounts = accounts_of(KEYS, exchanges={"okx": {"mode": "testnet"}})
    assert accounts.resolve("kraken", "kraken").mode == "live"
    assert accounts.resolve("okx", "okx").mode == "testnet"
    assert str(accounts.resolve("okx", "okx").source) == "variables OKX_…"
    assert names(accounts, "gemini") == ["paper"]  # an empty variable makes none


def test_a_configured_account_of_the_exchanges_name_goes_before_the_one_of_the_variables() -> None:
    accounts = accounts_of(KEYS, accounts={"kraken": {"exchange": "kraken", "credentials": "env:SUB"}})
    assert str(accounts.resolve("kraken", "kraken").source) == "variables SUB_…"
    assert names(accounts, "kraken") == ["paper", "kraken"]


def test_an_account_that_names_no_mode_has_that_of_the_exchanges_data() -> None:
    accounts = accounts_of(
        exchanges={"bybit": {"mode": "testnet"}, "venue_b": {"simulator": "http://127.0.0.1:1"}},
        accounts={"a": {"exchange": "bybit"}, "b": {"exchange": "okx"}, "c": {"exchange": "venue_b"}},
    )
    found = [accounts.named(name).mode for name in "abc"]
    assert found == ["testnet", "live", "simulated"]


def test_paper_accounts_begin_with_the_general_balances_or_with_their_own() -> None:
    accounts = accounts_of(
        paper_balances={"USDT": 5},
        accounts={
            "a": {"exchange": "okx", "mode": "paper", "balances": {"BTC": "0.5"}},
            "b": {"exchange": "okx", "mode": "paper"},
            "c": {"exchange": "okx"},
        },
    )
    assert accounts.resolve("okx", "a").balances == {"BTC": Decimal("0.5")}
    assert accounts.resolve("okx", "b").balances == accounts.resolve("okx").balances == {"USDT": Decimal(5)}
    assert accounts.resolve("okx", "c").balances == {}
    assert accounts.resolve("okx", "a").source is None


def test_an_account_brings_its_own_limits() -> None:
    accounts = accounts_of(accounts={"a": {"exchange": "okx", "limits": {"leverage": 2}}})
    assert accounts.resolve("okx", "a").limits.given == {"leverage": Decimal(2)}


@given(name=st.text(max_size=60))
def test_an_unknown_account_is_refused_with_those_that_there_are(name: str) -> None:
    accounts = accounts_of(KEYS)
    if name in {"kraken", "paper"}:
        return
    with pytest.raises(Failure) as refused:
        accounts.resolve("kraken", name)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.hint == "Accounts of kraken: paper, kraken."
    assert refused.value.details == {"accounts": ["paper", "kraken"]}
    assert len(refused.value.message) < 150


def test_an_account_of_another_exchange_is_unknown_here() -> None:
    accounts = accounts_of(KEYS, accounts={"main": {"exchange": "kraken"}})
    with pytest.raises(Failure, match="account is 'main', unknown for okx"):
        accounts.resolve("okx", "main")


def test_a_default_whose_variables_are_not_set_is_not_replaced_by_another_account() -> None:
    accounts = accounts_of(exchanges={"kraken": {"account": "kraken"}})
    account = accounts.resolve("kraken")
    assert (account.name, account.mode) == ("kraken", "live")
    assert account.source is not None
    assert account.source.read() == {}
    assert account not in accounts.of("kraken")


def test_an_unknown_exchange_gets_the_nearest_names() -> None:
    with pytest.raises(Failure) as refused:
        accounts_of().resolve("krakn")
    assert refused.value.code is Code.UNKNOWN_EXCHANGE
    assert "kraken" in refused.value.hint


def test_all_accounts_are_those_that_somebody_made_and_the_simulators() -> None:
    accounts = accounts_of(
        KEYS | {"HOME_SECRET": "x", "BINANCE_SUB_API_KEY": "y"}, accounts={"main": {"exchange": "okx"}}
    )
    assert {account.name for account in accounts.all()} == {"simulator", "main", "okx", "kraken"}
    assert accounts.named("main").exchange == "okx"
    with pytest.raises(Failure, match="no account 'man'") as refused:
        accounts.named("man")
    assert refused.value.hint == "Did you mean main?"


def test_no_account_is_live_without_its_name_on_any_exchange() -> None:
    variables = {f"{exchange.upper()}_API_KEY": "k" for exchange in exchange_ids()}
    accounts = accounts_of(variables)
    assert {accounts.resolve(exchange).mode for exchange in exchange_ids()} == {"paper"}
    assert {accounts.resolve(exchange, exchange).mode for exchange in exchange_ids()} == {"live"}
