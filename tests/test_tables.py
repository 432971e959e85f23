"""Every table is walked: error codes, methods, quirks, and the pages that show them."""

from __future__ import annotations

import re
import sys
from inspect import getsource
from math import inf
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt_async
import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges import quirks
from ccxt_mcp.exchanges.kinds import PAGES, SPLITS
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.exchanges.replies import CHECKS
from ccxt_mcp.exchanges.venue import Guarded
from ccxt_mcp.methods import ALLOWED, METHODS, Tier, candle_ttl, permit
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
    assert row.writes is not row.retryable
    assert row.stale_for == 0 or not row.private  # what an account has is never served from before
    bybit = ccxt_async.bybit()
    assert name == "loadMarkets" or name in bybit.has
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    method = getattr(bybit, snake, None) or getattr(bybit, name)
    parameters = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    assert parameters[: len(row.takes)] == row.takes
    assert name == "loadMarkets" or name in CHECKS


@pytest.mark.parametrize(
    ("tier", "mode", "wanted"),
    [
        (Tier.PUBLIC, "live", "public"),
        (Tier.ACCOUNT, "live", "account"),
        (Tier.ACCOUNT, "paper", "account"),
        (Tier.TRADE, "live", "trade"),
        (Tier.TRADE, "paper", "paper"),
        (Tier.TRADE, "testnet", "paper"),
        (Tier.TRADE, "simulated", "paper"),
        (Tier.FUNDS, "paper", "funds"),
    ],
)
def test_a_method_needs_what_its_tier_and_the_money_ask_for(tier: Tier, mode: str, wanted: str) -> None:
    for allow in ALLOWED:
        if ALLOWED.index(allow) >= ALLOWED.index(wanted):
            permit(tier, mode=mode, allow=allow)
            continue
        with pytest.raises(Failure) as caught:
            permit(tier, mode=mode, allow=allow)
        assert caught.value.code is Code.TIER_NOT_ALLOWED
        assert f"--allow {wanted}" in caught.value.message


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


_SPLITTERS = re.compile("handle_market_type_and_params|get_bybit_type|handle_sub_type_and_params|handle_product_type")


def splits(cls: type[Any], method: str, depth: int = 3, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a method of ccxt, or one that it calls, chooses a kind of market."""
    found = getattr(cls, method, None)
    if found is None or method in seen or ".base" in found.__module__:
        return False
    source = getsource(found)
    called = re.findall(r"self\.((?:fetch|cancel)_\w+)\(", source) if depth else []
    return bool(_SPLITTERS.search(source)) or any(splits(cls, one, depth - 1, seen | {method}) for one in called)


@pytest.mark.parametrize("method", SPLITS)
def test_every_exchange_that_keeps_kinds_of_markets_apart_is_known(method: str) -> None:
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", method).lower()
    found: set[str] = set()
    for name in exchange_ids():
        cls = getattr(ccxt_async, name)
        has = cls().has
        if (has.get("swap") or has.get("future")) and has.get(method) and splits(cls, snake):
            found.add(name)
            assert quirks.lineage(cls) & SPLITS[method], name
    assert found >= SPLITS[method]


def test_exchanges_on_which_market_buys_go_by_cost_are_known() -> None:
    word = "createMarketBuyOrderRequiresPrice"
    for name in exchange_ids():
        cls = getattr(ccxt_async, name)
        modules = [base.__module__ for base in cls.__mro__ if base.__module__.startswith("ccxt.async_support.")]
        files = [Path(sys.modules[module].__file__ or "") for module in modules if ".base." not in module]
        source = "".join(file.read_text() for file in files)
        stated = cls().options.get(word)
        by_default = f"'{word}', True)" in source if stated is None else stated
        assert bool(by_default) is bool(quirks.lineage(cls) & quirks.BUYS_BY_COST), name


def test_exchanges_that_look_an_order_up_only_when_warned_are_known() -> None:
    for name in exchange_ids():
        cls = getattr(ccxt_async, name)
        warned = "acknowledged" in getsource(cls.fetch_order)
        assert warned is bool(quirks.lineage(cls) & quirks.FETCH_ORDER_PARAMS.keys()), name


@pytest.mark.parametrize("name", sorted(quirks.STOPS_OF_POSITIONS))
def test_a_trailing_stop_of_a_position_is_still_no_order(name: str) -> None:
    assert "TradingStop" in getsource(getattr(ccxt_async, name).create_order)


@pytest.mark.parametrize(("method", "name"), [(method, name) for method in PAGES for name in sorted(PAGES[method])])
def test_ccxt_still_turns_the_pages_that_we_let_it_turn(method: str, name: str) -> None:
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", method).lower()
    source = getsource(getattr(getattr(ccxt_async, name), snake))
    assert "'paginate'" in source
    assert "nextPageCursor" in source


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
    for name in set(Settings.model_fields) - {"exchanges", "accounts", "limits", "paper_balances"}:
        assert f"| `{name}` |" in page, name
        assert f"`CCXT_MCP_{name.upper()}`" in page, name
