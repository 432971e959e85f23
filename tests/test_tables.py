"""Every table is walked: error codes, methods, quirks, and the pages that show them."""

from __future__ import annotations

import re
from inspect import getsource
from math import inf
from pathlib import Path

import ccxt.async_support as ccxt_async
import pytest

from ccxt_mcp.errors import Code
from ccxt_mcp.exchanges import quirks
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.exchanges.replies import CHECKS
from ccxt_mcp.exchanges.venue import Guarded
from ccxt_mcp.methods import METHODS, Tier, candle_ttl
from ccxt_mcp.settings import Settings

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("code", Code)
def test_each_error_has_a_code_a_reason_and_advice_and_stands_in_the_docs(code: Code) -> None:
    row = code.value
    assert re.fullmatch(r"TAPS\d{3}", row.taps)
    assert row.advice.endswith(".")
    yes = {True: "yes", False: "no"}
    line = f"| {row.taps} | `{row.reason}` | {yes[row.retryable]} | {yes[row.trips_breaker]} | {row.advice} |"
    assert line in (ROOT / "docs/errors.md").read_text()


def test_reasons_are_unique() -> None:
    assert len({code.value.reason for code in Code}) == len(Code)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_exists_in_ccxt_takes_what_its_row_says_and_has_its_reply_checked(name: str) -> None:
    row = METHODS[name]
    assert row.stale_for >= 0
    assert row.private is (row.tier is not Tier.PUBLIC)
    assert row.retryable is (row.tier in {Tier.PUBLIC, Tier.ACCOUNT})
    bybit = ccxt_async.bybit()
    assert name == "loadMarkets" or name in bybit.has
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    method = getattr(bybit, snake, None) or getattr(bybit, name)
    parameters = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    assert parameters[: len(row.takes)] == row.takes
    assert name == "loadMarkets" or name in CHECKS


def test_every_reply_check_belongs_to_a_method() -> None:
    assert set(CHECKS) <= set(METHODS)


HOUR = 3600.0


@pytest.mark.parametrize(
    ("arguments", "newest_open", "now", "ttl"),
    [
        ({"closed": True}, 9 * HOUR, 10 * HOUR + 60, HOUR - 60),  # the last closed candle is there
        ({"closed": True}, 10 * HOUR, 10 * HOUR + 60, HOUR - 60),  # so is the running one
        ({"closed": True}, 8 * HOUR, 10 * HOUR + 1, 1.0),  # the exchange is late: ask again soon
        ({"closed": False}, 10 * HOUR, 10 * HOUR + 60, 1.0),  # the running candle moves
        ({"closed": True, "until": 5 * HOUR * 1000}, 4 * HOUR, 10 * HOUR, inf),
        ({"closed": True, "since": 1 * HOUR * 1000, "limit": 3}, 3 * HOUR, 10 * HOUR, inf),
        ({"closed": True, "since": 1 * HOUR * 1000, "limit": 9}, 9 * HOUR, 10 * HOUR + 30, 1.0),  # it may be corrected
    ],
)
def test_a_closed_candle_never_goes_stale_and_a_running_one_does(
    arguments: dict[str, object], newest_open: float, now: float, ttl: float
) -> None:
    candles = [[(newest_open - HOUR) * 1000, 1, 1, 1, 1, 1], [newest_open * 1000, 1, 1, 1, 1, 1]]
    assert candle_ttl({"timeframe": "1h", **arguments}, candles, now) == ttl


@pytest.mark.parametrize(
    "arguments", [{"closed": True}, {"until": 5 * HOUR * 1000}, {"since": 1 * HOUR * 1000, "limit": 3}]
)
def test_an_answer_without_candles_is_asked_for_again_soon(arguments: dict[str, object]) -> None:
    assert candle_ttl({"timeframe": "1h", **arguments}, [], 10 * HOUR) == 1.0


def test_windows_that_ccxt_declares_are_those_that_we_use() -> None:
    declared = re.compile(r"'rollingWindowSize': ([\d.]+)")
    for name in exchange_ids():
        cls = getattr(ccxt_async, name)
        bases = [
            base
            for base in cls.__mro__
            if base.__module__.startswith("ccxt.async_support.") and "base" not in base.__module__
        ]
        own = [declared.search(getsource(base)) for base in bases]
        found = next((match for match in own if match), None)
        window = quirks.rate_window(cls())
        assert window == (float(found[1]) / 1000 if found else quirks.UNDECLARED_WINDOW), name


def test_every_exchange_that_reads_market_info_keeps_it() -> None:
    reads = re.compile(r"[^.\w]market(?:Resolved)?\['info'\]|\(market(?:Resolved)?, 'info'")
    for name in exchange_ids():
        cls = getattr(ccxt_async, name)
        if reads.search(getsource(cls)):
            assert quirks.lineage(cls) & quirks.READS_MARKET_INFO.keys(), name


def test_exchanges_that_refuse_our_book_depth_are_known() -> None:
    for name in exchange_ids():
        source = getsource(getattr(ccxt_async, name))
        refusals = re.findall(r"fetchOrderBook\(\) limit argument must be (.*?)'", source)
        wanted = quirks.BOOK_LEVELS_ODD.get(name, quirks.BOOK_LEVELS)
        assert all(str(wanted) in refusal for refusal in refusals), (name, refusals)


@pytest.mark.parametrize("name", quirks.CLAIMS_IN_VAIN)
def test_a_vain_claim_is_still_made_by_ccxt(name: str) -> None:
    exchange = getattr(ccxt_async, name)()
    assert all(exchange.has[method] for method in quirks.CLAIMS_IN_VAIN[name])


@pytest.mark.parametrize("name", exchange_ids())
def test_no_exchange_overrides_the_hooks_that_guard_it(name: str) -> None:
    hooks = [hook for hook in vars(Guarded) if not hook.startswith("__")]
    cls = getattr(ccxt_async, name)
    overridden = {
        (base.__module__, hook)
        for hook in hooks
        for base in cls.__mro__
        if hook in vars(base) and "base" not in base.__module__
    }
    assert not overridden


def test_the_configuration_page_lists_every_setting() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    for name in set(Settings.model_fields) - {"exchanges", "accounts"}:
        assert f"| `{name}` |" in page, name
        assert f"`CCXT_MCP_{name.upper()}`" in page, name
