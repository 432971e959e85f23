"""The tables of client order ids, each row driven through ccxt up to where it would send."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from inspect import getsource
from sys import modules
from typing import Any
from uuid import UUID

import ccxt.async_support as ccxt_async
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.orders import client_ids
from ccxt_mcp.orders.client_ids import (
    FORMS,
    NO_CLIENT_ID,
    create_params,
    fits,
    lookup_params,
    new_client_id,
    takes_client_id,
)

EXCHANGES = exchange_ids()
RANDBITS = random.Random(7).getrandbits
NEED_MORE = frozenset({
    "apex", "aster", "bittrade", "coinbaseinternational", "derive", "dydx", "extended", "grvt", "htx", "hyperliquid",
    "lighter", "ndax", "pacifica", "paradex", "polymarket",
})  # fmt: skip
"""Exchanges whose code asks for an account, a chain or a signature first, so that their source is read instead."""


NEED_KEYS = frozenset({"aster", "derive", "grvt", "hyperliquid", "paradex"})
"""Exchanges that ask for a wallet before they look anything up; their source is read too."""

SHOW_ANOTHER = frozenset({"bitso", "bitteam"})
"""Exchanges whose orders show a field that createOrder's own id does not go into."""


class Sent(BaseException):
    """What an order or a lookup would have sent."""

    def __init__(self, params: Any) -> None:
        super().__init__()
        self.params = params


def instance(exchange: str, market: dict[str, Any]) -> Any:
    """Return an exchange with one market, which leaves at its first request about orders."""
    base = getattr(ccxt_async, exchange)

    class Stopping(base):
        async def fetch2(self, path: str, api: Any, method: str, params: Any, config: Any) -> Any:
            if "order" in path.lower() or method != "GET":
                raise Sent(params)
            return {}

    Stopping.__name__ = exchange
    options = {
        "operatorId": 1,
        "createOrder": {"accountId": "1"},
        "uta": False,
        "unifiedMargin": False,
        "tradingAccountId": "1",
    }
    keys = {"apiKey": "k" * 32, "secret": "c2VjcmV0" * 8, "password": "p", "uid": "1", "login": "l", "accountId": "1"}
    made = Stopping(keys | {"options": options, "timeout_on_exit": 0})
    step: Any = 0.01 if made.precisionMode == 4 else 5
    made.set_markets(
        [made.safe_market_structure(market | {"precision": dict.fromkeys(("amount", "price", "cost"), step)})]
    )
    return made


def spot(exchange: str) -> dict[str, Any]:
    return {
        "id": "1" if exchange == "nado" else "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
        "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True, "contract": False, "active": True,
        "numericId": 1, "lowercaseId": "btcusdt", "info": {"orderTypes": ["LIMIT"], "timeInForce": ["GTC"]},
        "limits": {"amount": {"min": 0.01, "max": 1000.0}},
    }  # fmt: skip


def swap(exchange: str) -> dict[str, Any]:
    return spot(exchange) | {
        "symbol": "BTC/USDT:USDT", "settle": "USDT", "settleId": "USDT", "type": "swap", "spot": False, "swap": True,
        "contract": True, "linear": True, "inverse": False, "contractSize": 1.0,
    }  # fmt: skip


@cache
def functions(exchange: str) -> dict[str, str]:
    """Return the source of each function of an exchange's class, those that it inherits included."""
    found: dict[str, str] = {}
    for cls in reversed(getattr(ccxt_async, exchange).__mro__):
        if cls.__module__.startswith("ccxt.async_support.") and ".base." not in cls.__module__:
            parts = re.split(r"\n    (?:async )?def ", getsource(modules[cls.__module__]))
            found |= {part.partition("(")[0]: part for part in parts[1:]}
    return found


def source(exchange: str, *beginnings: str) -> str:
    """Return the source of the functions whose names begin so."""
    return "".join(text for name, text in functions(exchange).items() if name.startswith(beginnings))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


async def sent(exchange: str, market: dict[str, Any], method: str, *arguments: Any) -> list[Any]:
    """Return all values that a call would send."""
    made = instance(exchange, market)
    try:
        await getattr(made, method)(*arguments)
    except Sent as request:
        return list(leaves(request.params))
    finally:
        await made.close()
    raise AssertionError("nothing was sent")


def markets_of(exchange: str, method: str) -> list[dict[str, Any]]:
    kinds = [spot(exchange), swap(exchange)] if exchange != "binanceusdm" else [swap(exchange)]
    return [kind for kind in kinds if lookup_params(exchange, method, "1", contract=kind["contract"])]  # pyright: ignore[reportArgumentType] - one of two literals


def test_the_tables_speak_of_exchanges_that_ccxt_has() -> None:
    tables = [FORMS, client_ids._CREATE, client_ids._NUMBERS, *client_ids._LOOKUPS.values()]
    assert {exchange for table in (*tables, NO_CLIENT_ID) for exchange in table} <= set(EXCHANGES)
    for method, exchanges in client_ids._SPOT_ONLY.items():
        assert exchanges <= set(client_ids._LOOKUPS[method])
    for table in tables:
        assert not NO_CLIENT_ID & set(table)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_new_id_has_the_form_of_its_exchange_and_is_another_each_time(exchange: str) -> None:
    made = {new_client_id(exchange, RANDBITS) for _ in range(50)}
    assert all(fits(exchange, text) for text in made)
    assert len(made) > 40
    for bits in (0, 2**128 - 1):
        assert fits(exchange, new_client_id(exchange, lambda _, bits=bits: bits))


@given(st.sampled_from(EXCHANGES), st.text() | st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True))
def test_what_fits_is_short_and_plain_whatever_the_exchange(exchange: str, text: str) -> None:
    if fits(exchange, text):
        assert text.isascii()
        assert text.isprintable()
        assert 0 < len(text) <= 99


@pytest.mark.parametrize(
    ("exchange", "good", "bad"),
    [
        ("binance", "my.order:1/a", "x" * 37),
        ("okx", "a1" * 16, "a-1"),
        ("gate", "t-abc_1.2", "abc"),
        ("gate", "t-" + "a" * 26, "t-" + "a" * 27),
        ("hyperliquid", "0x" + "a" * 32, "a" * 32),
        ("coinbaseexchange", str(UUID(int=7)), "7"),
        ("kraken", "short-1", "x" * 19),
        ("kraken", "a" * 32, "A" * 32),
        ("dydx", "4294967295", "4294967296"),
        ("htx", "1", "0"),
        ("grvt", str(2**63), str(2**63 - 1)),
        ("bybit", "a_b-c", "a b"),
        ("simulator", "a_b-c", "a\n"),
        ("blockchaincom", "a" * 20, "a" * 21),
    ],
)
def test_forms_differ_by_exchange(exchange: str, good: str, bad: str) -> None:
    assert fits(exchange, good)
    assert not fits(exchange, bad)


@pytest.mark.parametrize("exchange", [name for name in EXCHANGES if takes_client_id(name) and name not in NEED_MORE])
async def test_an_order_is_sent_with_our_id(exchange: str) -> None:
    ours = new_client_id(exchange, RANDBITS)
    for market in (swap(exchange),) if exchange == "binanceusdm" else (spot(exchange), swap(exchange)):
        arguments = (market["symbol"], "limit", "buy", 2.0, 100.0, create_params(exchange, ours))
        values = await sent(exchange, market, "create_order", *arguments)
        assert values.count(int(ours) if ours.isdecimal() and ours not in values else ours) == 1


@pytest.mark.parametrize("exchange", sorted(NEED_MORE))
def test_where_an_order_cannot_be_made_without_an_account_ccxts_source_takes_our_id(exchange: str) -> None:
    name = next(iter(create_params(exchange, "1")))
    assert re.search(rf"safe_\w+\(\w+, [^)]*'{name}'", source(exchange, "create_", "order_request"))


LOOKUPS = [(method, name) for method, table in client_ids._LOOKUPS.items() for name in table]
SNAKE = {"fetchOrder": "fetch_order", "cancelOrder": "cancel_order"}


@pytest.mark.parametrize(("method", "exchange"), [row for row in LOOKUPS if row[1] not in NEED_KEYS])
async def test_an_order_is_asked_for_by_our_id_and_without_another(method: Any, exchange: str) -> None:
    ours = new_client_id(exchange, RANDBITS)
    markets = markets_of(exchange, method)
    assert markets
    for market in markets:
        params = lookup_params(exchange, method, ours, contract=market["contract"])
        values = await sent(exchange, market, SNAKE[method], None, market["symbol"], params)
        assert ours in map(str, values)
        assert None not in values


@pytest.mark.parametrize(("method", "exchange"), [row for row in LOOKUPS if row[1] in NEED_KEYS])
def test_where_nothing_can_be_asked_without_an_account_ccxts_source_looks_by_our_id(method: Any, exchange: str) -> None:
    name = next(iter(lookup_params(exchange, method, "1", contract=False)))
    assert f"'{name}'" in source(exchange, SNAKE[method])


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_orders_of_exchanges_show_our_id_if_and_only_if_they_take_one(exchange: str) -> None:
    shown = re.findall(r"'clientOrderId': (?!None)\S+", source(exchange, "parse_"))
    if takes_client_id(exchange):
        assert shown
        assert create_params(exchange, "1")
    else:
        assert not shown or exchange in SHOW_ANOTHER
        assert create_params(exchange, "1") == {}
        assert lookup_params(exchange, "fetchOrder", "1") == {}


def test_krakens_fetch_order_takes_our_id_for_another_and_is_not_used() -> None:
    assert "request['userref'] = clientOrderId" in functions("kraken")["fetch_order"]
    assert lookup_params("kraken", "fetchOrder", "1", contract=False) == {}
    assert lookup_params("kraken", "cancelOrder", "1", contract=False) == {"clientOrderId": "1"}


def test_an_id_goes_where_ccxt_passes_it_on_as_what_the_exchange_wants() -> None:
    assert create_params("binance", "12") == {"clientOrderId": "12"}
    assert create_params("coinbase", "12") == {"client_order_id": "12"}
    assert create_params("bitfinex", "12") == {"cid": 12}


def test_where_the_kind_of_market_matters_and_is_not_known_nothing_is_looked_up() -> None:
    assert lookup_params("mexc", "fetchOrder", "1", contract=False) == {"clientOrderId": "1"}
    assert lookup_params("mexc", "fetchOrder", "1", contract=True) == {}
    assert lookup_params("mexc", "fetchOrder", "1") == {}
    assert lookup_params("binance", "fetchOrder", None) == {}
    assert lookup_params("simulator", "fetchOrder", "1") == {}
