"""Signing: real exchange classes sign with an account's credentials, and keep none of them nor of what they derived."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import time
from base64 import b64encode
from collections.abc import Callable
from inspect import getfile
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import ccxt.async_support as ccxt_async
import pytest
from aiohttp import ClientResponseError, RequestInfo
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import BuiltIn, EnvironmentSource
from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids
from ccxt_mcp.exchanges.quirks import lineage
from ccxt_mcp.exchanges.signing import DERIVED, REQUIRED_BESIDES, Signing, disarm, required_of, signing
from ccxt_mcp.exchanges.vault import Held, Vault
from ccxt_mcp.exchanges.venue import guarded
from ccxt_mcp.settings import Environment

WALLET = "0x" + "5e" * 20
PRIVATE = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
BASE64 = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def sec1(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


RSA = pem(rsa.generate_private_key(65537, 2048))
ED25519 = pem(ed25519.Ed25519PrivateKey.generate())
EC = sec1(ec.generate_private_key(ec.SECP256R1()))
KEY = {"apiKey": "planted-api-key"}

SIGNED: dict[str, tuple[str, str, list[str], str, dict[str, str]]] = {
    "okx": ("okx", "account/balance", ["private"], "GET", KEY | {"secret": BASE64, "password": "planted-pass"}),
    "kraken": ("kraken", "Balance", ["private"], "POST", KEY | {"secret": BASE64}),
    "bybit": ("bybit", "v5/account/wallet-balance", ["private"], "GET", KEY | {"secret": BASE64}),
    "bybit, RSA": ("bybit", "v5/account/wallet-balance", ["private"], "GET", KEY | {"secret": RSA}),
    "binance": ("binance", "account", ["private"], "GET", KEY | {"secret": BASE64}),
    "binance, RSA": ("binance", "account", ["private"], "GET", KEY | {"secret": RSA}),
    "binance, Ed25519": ("binance", "account", ["private"], "GET", KEY | {"secret": ED25519}),
    "coinbase, ES256": (
        "coinbase", "brokerage/accounts", ["v3", "private"], "GET", KEY | {"secret": EC},
    ),
    "kucoin": ("kucoin", "accounts", ["private"], "GET", KEY | {"secret": BASE64, "password": "planted-pass"}),
    "htx, key in the URL": ("htx", "v1/account/accounts", ["spot", "private"], "GET", KEY | {"secret": BASE64}),
}  # fmt: skip


def instance(exchange: str, credentials: dict[str, str], vault: Vault | None = None) -> tuple[Any, Held]:
    made = guarded(exchange_class(exchange))({"enableRateLimit": False})
    made.held = (vault or Vault(idle=60)).of(exchange, exchange, BuiltIn(credentials))
    return made, made.held


def visible(exchange: Any) -> str:
    return f"{exchange!r} {exchange!s} {vars(exchange)} {vars(type(exchange))}"


@pytest.mark.parametrize("case", SIGNED)
async def test_a_request_is_signed_as_plain_ccxt_signs_it_and_nothing_of_it_stays(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path, api, method, credentials = SIGNED[case]
    exchange, held = instance(name, credentials)
    plain = exchange_class(name)(credentials | {"enableRateLimit": False})
    for one in (exchange, plain):
        monkeypatch.setattr(one, "milliseconds", lambda: 1_700_000_000_000)
        monkeypatch.setattr(one, "uuid22", lambda: "22" * 11)
        monkeypatch.setattr(one, "uuid16", lambda: "16" * 8)
    await held.load(required_of(exchange, lineage(type(exchange))))
    with signing(exchange, held, lineage(type(exchange))):
        request = exchange.sign(path, api, method, {})
        exchange.set_last_request(request)
        exchange.last_request_headers = request["headers"]
    wanted = plain.sign(path, api, method, {})
    if "ES256" not in case:  # its signature is another one each time
        assert request == wanted
    assert request.keys() == wanted.keys()
    assert exchange.last_request_headers is None
    for value in credentials.values():
        assert value not in visible(exchange)
        assert repr(value)[1:-1] not in visible(exchange)
    for attribute in credentials:
        assert getattr(exchange, attribute) is None


async def test_ed25519_and_wallet_signatures_come_out_of_sealed_keys() -> None:
    exchange, held = instance("hyperliquid", {"walletAddress": WALLET, "privateKey": PRIVATE})
    await held.load(required_of(exchange, lineage(type(exchange))))
    with signing(exchange, held, lineage(type(exchange))):
        signature = exchange.sign_l1_action({"type": "cancel", "cancels": []}, 1_700_000_000_000)
        assert exchange.walletAddress == WALLET
    assert signature == exchange_class("hyperliquid")({"privateKey": PRIVATE}).sign_l1_action(
        {"type": "cancel", "cancels": []}, 1_700_000_000_000
    )
    assert PRIVATE not in visible(exchange)
    assert exchange.walletAddress is None


@pytest.mark.parametrize("name", exchange_ids())
def test_every_exchange_is_made_without_credentials_among_its_variables(name: str) -> None:
    exchange = guarded(exchange_class(name))({"enableRateLimit": False})
    kept = {
        attribute
        for attribute, value in vars(Signing).items()
        if attribute[0] != "_" and hasattr(type(value), "__set__")
    }
    assert len(kept & set(ccxt_async.Exchange.requiredCredentials)) == 10
    assert not kept & vars(exchange).keys()
    assert all(getattr(exchange, attribute) is None for attribute in kept)


@pytest.mark.parametrize("name", exchange_ids())
def test_no_exchange_defines_itself_what_keeps_its_secrets(name: str) -> None:
    ours = {attribute for attribute in vars(Signing) if not attribute.startswith("__")}
    cls = exchange_class(name)
    assert not {
        (base.__module__, attribute)
        for base in cls.__mro__
        if ".base." not in f"{base.__module__}."
        for attribute in ours & vars(base).keys()
    }


async def test_outside_of_a_call_and_in_tasks_that_outlive_it_nothing_is_unsealed() -> None:
    exchange, held = instance("kraken", KEY | {"secret": BASE64})
    other, _ = instance("kraken", {"apiKey": "of-another"})
    await held.load(["apiKey"])
    go_on = asyncio.Event()

    async def late() -> str | None:
        await go_on.wait()
        return exchange.secret

    with signing(exchange, held, frozenset()):
        assert exchange.secret == BASE64
        assert await asyncio.create_task(asyncio.sleep(0, exchange.secret)) == BASE64
        assert other.apiKey is None
        outliving = asyncio.create_task(late())
        await asyncio.sleep(0)
    go_on.set()
    assert await outliving is None
    assert exchange.secret is None


def test_unsealing_costs_microseconds() -> None:
    exchange, held = instance("kraken", KEY | {"secret": BASE64})
    asyncio.run(held.load(["apiKey"]))
    with signing(exchange, held, frozenset()):
        started = time.perf_counter()
        for _ in range(1000):
            assert exchange.secret
        assert time.perf_counter() - started < 0.5  # a hundredth of it is usual


# -- what ccxt derives from credentials ------------------------------------------------------------------------------

HARMLESS = {
    *("account", "accountId", "accountIndex", "apiKeyIndex", "coinbaseAccounts", "coinbaseAccountsByCurrencyId"),
    *("deriveWalletAddress", "dydxAccount", "enableUnifiedAccount", "hasAlreadyAuthenticatedSuccessfully"),
    *("hip3TokensByName", "subaccount_id", "tiersForAccountIndexes", "tradingAccountId", "unifiedAccount"),
    *("userMainAccountId",),
}


def source_of(exchange: str) -> str:
    return Path(getfile(getattr(ccxt_async, exchange))).read_text()


def test_all_that_ccxt_keeps_of_credentials_in_options_is_known() -> None:
    telling = re.compile(
        r"token|secret|key|pem|cookie|credential|auth|session|sign|account|wallet|expire", re.IGNORECASE
    )
    for name in exchange_ids():
        kept = set(re.findall(r"self\.options\['(\w+)'\](?:\[[^\]]+\])* = ", source_of(name)))
        known = set().union(*(DERIVED[id_] for id_ in lineage(getattr(ccxt_async, name)) & DERIVED.keys()))
        assert {option for option in kept if telling.search(option)} - HARMLESS <= known, name


@pytest.mark.parametrize("name", DERIVED)
def test_ccxt_still_keeps_there_what_the_table_says(name: str) -> None:
    source = source_of(name)
    assert all(f"'{option}'" in source for option in DERIVED[name])


async def test_derived_secrets_are_sealed_between_calls_and_there_again_in_the_next() -> None:
    exchange, held = instance("paradex", {"walletAddress": WALLET, "privateKey": PRIVATE})
    ids = lineage(type(exchange))
    await held.load(required_of(exchange, ids))
    account = {"privateKey": "0xderived", "nested": [{"publicKey": "0xpublic"}, 7], "address": None}
    with signing(exchange, held, ids):
        exchange.options |= {"paradexAccount": account, "authToken": "planted.jwt", "expires": 5}
        with signing(exchange, held, ids):
            assert exchange.options["authToken"] == "planted.jwt"
        assert exchange.options["authToken"] == "planted.jwt"
    assert not exchange.options.keys() & DERIVED["paradex"]
    assert not any(word in visible(exchange) + str(vars(held)) for word in ("0xderived", "0xpublic", "planted.jwt"))
    with signing(exchange, held, ids):
        assert exchange.options["paradexAccount"] == account
        assert exchange.options["expires"] == 5
    held.forget()
    with signing(exchange, held, ids):
        assert "authToken" not in exchange.options


async def test_a_sessions_token_is_sealed_where_a_credential_would_be() -> None:
    exchange, held = instance("bullish", KEY | {"secret": BASE64})
    await held.load(["apiKey"])
    with signing(exchange, held, lineage(type(exchange))):
        exchange.token = "planted.session.token"
        assert exchange.token == "planted.session.token"
    assert exchange.token is None
    assert "planted.session" not in visible(exchange) + str(vars(held))


# -- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", exchange_ids())
async def test_what_an_exchange_needs_and_does_not_have_is_named_with_its_variables(name: str) -> None:
    exchange = guarded(exchange_class(name))({"enableRateLimit": False})
    held = Vault(idle=60).of(name, name, EnvironmentSource(Environment({f"{name.upper()}_TWOFA": "x"}), name))
    required = required_of(exchange, lineage(type(exchange)))
    assert required
    with pytest.raises(Failure) as refused:
        await held.load(required)
    assert refused.value.code is Code.CREDENTIALS_MISSING
    assert refused.value.details == {"missing": required}
    assert all(f"{name.upper()}_" in refused.value.hint for _ in required)
    assert not held.loaded


async def test_what_is_added_after_a_refusal_counts_in_the_next_call() -> None:
    variables = {"OKX_API_KEY": "k", "OKX_SECRET": "s"}
    held = Vault(idle=60).of("okx", "okx", EnvironmentSource(Environment(variables), "okx"))
    with pytest.raises(Failure, match=r"okx: account okx lacks password \(variables OKX_…\)"):
        await held.load(["apiKey", "secret", "password"])
    variables["OKX_PASSWORD"] = "p"
    await held.load(["apiKey", "secret", "password"])


async def test_a_wallets_address_alone_is_enough_until_something_must_be_signed() -> None:
    exchange, held = instance("hyperliquid", {"walletAddress": WALLET})
    await held.load(required_of(exchange, lineage(type(exchange))))
    with signing(exchange, held, frozenset()), pytest.raises(Failure) as refused:
        exchange.check_required_credentials()
    assert refused.value.details == {"missing": ["privateKey"]}


def test_an_instance_without_an_account_answers_as_ccxt_does() -> None:
    exchange = guarded(exchange_class("kraken"))({"enableRateLimit": False})
    assert exchange.check_required_credentials(False) is False
    with pytest.raises(ccxt_async.AuthenticationError):
        exchange.check_required_credentials()


def test_exchanges_that_need_more_than_ccxt_says_are_still_such() -> None:
    for name in REQUIRED_BESIDES:
        assert not any(getattr(ccxt_async, name)().requiredCredentials.values())


# -- the vault -------------------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_credentials_leave_the_memory_after_a_while_without_use_but_never_during_a_call() -> None:
    clock = Clock()
    vault = Vault(idle=60, clock=clock)
    exchange, held = instance("kraken", KEY | {"secret": BASE64}, vault)
    await held.load(["apiKey"])
    clock.now += 59
    vault.forget_idle()
    assert held.loaded
    with signing(exchange, held, frozenset()):
        clock.now += 600
        vault.forget_idle()
        assert exchange.apiKey == "planted-api-key"
    clock.now += 61
    vault.forget_idle()
    assert not held.loaded
    assert list(vault.present()) == []
    await held.load(["apiKey"])
    assert sorted(vault.present()) == sorted([*KEY.values(), BASE64])
    vault.close()
    assert not held.loaded


async def test_what_is_held_shows_nothing_and_cannot_be_saved() -> None:
    vault = Vault(idle=60)
    exchange, held = instance("kraken", KEY | {"secret": BASE64}, vault)
    await held.load(["apiKey"])
    text = f"{held!r} {vars(held)} {vault!r} {vars(vault)} {vars(vault).values()}"
    assert BASE64 not in text
    assert "planted-api-key" not in text.replace(str(vars(held.source)), "")
    for thing in (held, vault, exchange):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(thing)


@pytest.mark.parametrize("form", [str, json.dumps, quote_plus, lambda text: b64encode(text.encode()).decode()])
async def test_a_text_is_freed_of_what_is_held_in_each_form_of_a_request(form: Callable[[str], str]) -> None:
    vault = Vault(idle=60)
    _, held = instance("kraken", KEY | {"secret": BASE64}, vault)
    await held.load(["apiKey"])
    scrubbed = vault.scrub(f"before {form(BASE64)} after planted-api-key.")
    assert scrubbed.replace('"', "") == "before [redacted] after [redacted]."


# -- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_is_freed_of_secrets_with_its_causes_its_request_and_the_variables_on_its_way() -> None:
    url = URL("http://host/path?AccessKeyId=planted-api-key")
    headers = CIMultiDictProxy(CIMultiDict({"X-API": "planted-api-key"}))

    def fail() -> None:
        local = "planted-api-key"
        try:
            raise ClientResponseError(RequestInfo(url, "GET", headers, url), (), status=500, message=local)
        except ClientResponseError as cause:
            raise ccxt_async.ExchangeError(f"kraken GET {url} {local}", 5, {"a": local}) from cause

    with pytest.raises(ccxt_async.ExchangeError) as raised:
        fail()
    error = raised.value
    disarm(error, lambda text: text.replace("planted-api-key", "[redacted]"))
    assert error.args == ("kraken GET http://host/path?AccessKeyId=[redacted] [redacted]", 5, "{'a': '[redacted]'}")
    cause = error.__cause__
    assert isinstance(cause, ClientResponseError)
    assert (str(cause.request_info.real_url), len(cause.request_info.headers)) == ("http://host/path", 0)
    trace = error.__traceback__
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    assert frames[-1].f_code.co_name == "fail"
    assert not frames[-1].f_locals
