"""Settings: what is refused, under which name, and with which advice."""

from __future__ import annotations

import copy
import os
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.settings import Settings, chosen_environment, load_settings

TWO = {"http_proxy": "http://me:hunter2@127.0.0.1:1", "socks_proxy": "socks5://me:hunter2@127.0.0.1:2"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.touch()
    return path


def load(file: Path, **environment: str) -> Settings:
    return load_settings({"CCXT_MCP_CONFIG": str(file), **environment})


def refusal(file: Path, **environment: str) -> Failure:
    with pytest.raises(Failure) as refused:
        load(file, **environment)
    return refused.value


@pytest.mark.parametrize("settings", [TWO, {"exchanges": {"kraken": TWO}}])
def test_two_proxies_at_once_are_refused_by_the_settings_themselves(settings: Any) -> None:
    with pytest.raises(ValidationError, match="choose one of http_proxy and socks_proxy") as refused:
        Settings(**settings)
    assert "hunter2" not in str(refused.value)


def test_two_proxies_at_once_are_refused_under_the_name_of_their_section(file: Path) -> None:
    lines = "\n".join(f'{name} = "{url}"' for name, url in TWO.items())
    file.write_text(lines)
    general = refusal(file)
    file.write_text(f"[exchanges.kraken]\n{lines}")
    own = refusal(file)
    assert general.code is own.code is Code.INVALID_ARGUMENT
    assert general.message == "Configuration: choose one of http_proxy and socks_proxy."
    assert own.message == "Configuration: exchanges.kraken: choose one of http_proxy and socks_proxy."


def test_an_exchange_may_have_another_proxy_than_the_rest(file: Path) -> None:
    file.write_text('http_proxy = "http://a:1"\n[exchanges.kraken]\nsocks_proxy = "socks5://b:2"')
    settings = load(file)
    assert settings.exchange("kraken").chosen == {"socks_proxy": "socks5://b:2"}
    assert settings.exchange("okx").chosen == {"http_proxy": "http://a:1"}


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:80",
        "http://me:hunter2@",
        "http://me:hunter2@a:65536",
        "http://a:0",
        "http://me:hunter2/@a",
        "http://[::1",
        "ftp://a",
    ],
)
def test_a_url_without_a_host_or_with_no_such_port_is_refused_and_not_repeated(url: str, file: Path) -> None:
    failure = refusal(file, CCXT_MCP_HTTP_PROXY=url)
    assert failure.message.startswith("Configuration: CCXT_MCP_HTTP_PROXY: write a URL ")
    assert "hunter2" not in failure.message


@pytest.mark.parametrize("url", ["http://a", "https://a:65535/x?url=", "http://me:hunter2@[::1]:8080"])
def test_a_url_with_a_host_is_taken_as_it_is_written(url: str, file: Path) -> None:
    assert load(file, CCXT_MCP_PROXY_URL=url).proxy_url == url


@pytest.mark.parametrize("variable", ["LOG_LEVEL", "CCXT_MCP_LOG_LEVEL"])
@pytest.mark.parametrize(
    ("written", "level"), [("WARN", "warning"), ("Warning", "warning"), ("DEBUG", "debug"), ("error", "error")]
)
def test_a_level_is_understood_in_any_case_and_by_its_short_name(
    variable: str, written: str, level: str, file: Path
) -> None:
    assert load(file, **{variable: written}).log_level == level


def test_our_own_variable_wins_over_the_general_one_in_either_order(file: Path) -> None:
    assert load(file, LOG_LEVEL="error", CCXT_MCP_LOG_LEVEL="debug").log_level == "debug"
    assert load(file, CCXT_MCP_LOG_LEVEL="debug", LOG_LEVEL="loud").log_level == "debug"


@pytest.mark.parametrize("variable", ["LOG_LEVEL", "CCXT_MCP_LOG_LEVEL"])
def test_a_bad_level_names_the_variable_and_the_choices(variable: str, file: Path) -> None:
    message = refusal(file, **{variable: "loud"}).message
    assert message.startswith(f"Configuration: {variable}: ")
    assert all(level in message for level in ("debug", "info", "warning", "error"))


def test_a_bad_level_from_the_command_line_is_not_blamed_on_a_variable(file: Path) -> None:
    with pytest.raises(Failure, match="Configuration: log_level: "):
        load_settings({"CCXT_MCP_CONFIG": str(file), "LOG_LEVEL": "error"}, log_level="loud")


def test_the_home_folder_is_put_in_place_of_its_sign(file: Path) -> None:
    assert load(file, CCXT_MCP_CACHE_DIR="~/markets").cache_dir == Path.home() / "markets"
    file.write_text('cache_dir = "~/markets"')
    assert load(file).cache_dir == Path.home() / "markets"


@pytest.mark.parametrize("minutes", ["2.9", "0", "nan", "inf"])
def test_an_exchange_is_never_closed_within_a_call(minutes: str, file: Path) -> None:
    assert "CCXT_MCP_IDLE_MINUTES" in refusal(file, CCXT_MCP_IDLE_MINUTES=minutes).message
    assert load(file, CCXT_MCP_IDLE_MINUTES="3").idle_minutes == 3


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("dedline = 5", "dedline", "deadline"),
        ("[exchanges.kraken]\nrate_limits = 5", "exchanges.kraken.rate_limits", "rate_limit"),
        ('[accounts.mine]\nexchange = "kraken"\nmod = "live"', "accounts.mine.mod", "mode"),
        ("[limits]\norder_notionl = 5", "limits.order_notionl", "order_notional"),
        (
            '[accounts.mine]\nexchange = "okx"\n[accounts.mine.limits]\ndayly_loss = 5',
            "accounts.mine.limits.dayly_loss",
            "daily_loss",
        ),
    ],
)
def test_a_misspelt_key_gets_the_nearest_name_as_a_hint(text: str, name: str, meant: str, file: Path) -> None:
    file.write_text(text)
    failure = refusal(file)
    assert failure.message == f"{name} is not a setting."
    assert failure.hint == f"Did you mean {meant}?"


def test_a_misspelt_variable_gets_the_nearest_name_as_a_hint(file: Path) -> None:
    failure = refusal(file, CCXT_MCP_DEDLINE="5")
    assert failure.message == "CCXT_MCP_DEDLINE is not a setting."
    assert failure.hint == "Did you mean CCXT_MCP_DEADLINE?"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[limits]\nopen_orders = 2.5", "limits.open_orders"),
        ("[limits]\nleverage = -1", "limits.leverage"),
        ("[limits]\ndaily_loss = nan", "limits.daily_loss"),
        ("[limits]\norder_notional = inf", "limits.order_notional"),
        ('[limits]\nprice_collar = "wide"', "limits.price_collar"),
        ("[paper_balances]\nUSDT = -1", "paper_balances.USDT"),
        ("[paper_balances]\nusdt = 1", "paper_balances.usdt"),
        ('[accounts."../x"]\nexchange = "okx"', "accounts.../x"),
        ('[accounts.x]\nexchange = "okx"\nmode = "real"', "accounts.x.mode"),
        ('[accounts.x]\nexchange = "okx"\n[accounts.x.balances]\nBTC = "a"', "accounts.x.balances.BTC"),
        ('[accounts.x]\nexchange = "okx"\ncredentials = "hunter2"', "accounts.x.credentials"),
        ('[accounts.x]\nexchange = "okx"\ncredentials = "file:"', "accounts.x.credentials"),
        ('[accounts.x]\nexchange = "okx"\ncredentials = "env:A-B"', "accounts.x.credentials"),
        ('[exchanges.okx]\naccount = ""', "exchanges.okx.account"),
        ('allow = "everything"', "allow"),
        ('journal_url = "hunter2"', "journal_url"),
        ("reconcile_seconds = 0", "reconcile_seconds"),
    ],
)
def test_a_value_out_of_bounds_is_refused_under_its_whole_name_and_not_repeated(
    text: str, place: str, file: Path
) -> None:
    file.write_text(text)
    message = refusal(file).message
    assert message.startswith(f"Configuration: {place}: ")
    assert "hunter2" not in message


def test_limits_are_decimals_to_the_digit_and_those_of_an_account_come_after_the_general_ones(file: Path) -> None:
    file.write_text("""
        [limits]
        order_notional = 0.1
        deny_symbols = ["DOGE/USDT"]
        [accounts.main]
        exchange = "okx"
        [accounts.main.limits]
        order_notional = "1000.50"
        open_orders = 0
    """)
    settings = load(file)
    general = {"order_notional": Decimal("0.1"), "deny_symbols": ("DOGE/USDT",)}
    assert settings.limits_of("main") == (general, {"order_notional": Decimal("1000.50"), "open_orders": 0})
    assert settings.limits_of("paper") == (general, {})


@pytest.mark.parametrize("written", ["trade", "TRADE", " Trade "])
def test_what_is_allowed_is_understood_in_any_case_and_is_paper_unless_it_is_said(written: str, file: Path) -> None:
    assert load(file).allow == "paper"
    assert load(file, CCXT_MCP_ALLOW=written).allow == "trade"


@pytest.mark.parametrize("variable", ["JOURNAL_URL", "CCXT_MCP_JOURNAL_URL"])
def test_the_journals_url_is_shown_nowhere(variable: str, file: Path) -> None:
    url = "postgresql://me:hunter2@127.0.0.1/journal"
    settings = load(file, **{variable: url})
    assert settings.journal_url == url
    assert "hunter2" not in f"{settings!r} {settings}"


def test_our_own_variable_of_the_journal_wins_over_the_general_one(file: Path) -> None:
    assert load(file, JOURNAL_URL="sqlite:///a", CCXT_MCP_JOURNAL_URL="sqlite:///b").journal_url == "sqlite:///b"


def test_settings_know_where_credentials_may_be_and_hold_and_save_none(file: Path) -> None:
    settings = load(file, KRAKEN_SECRET="hunter2", OKX_API_KEY="")
    assert settings.environment.get("KRAKEN_SECRET") == "hunter2"
    assert settings.environment.get("OKX_API_KEY") is None
    assert "KRAKEN_SECRET" in settings.environment.names()
    assert "OKX_API_KEY" not in settings.environment.names()
    shown = f"{settings!r} {settings} {settings.environment!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in shown
    assert b"hunter2" not in pickle.dumps(settings)
    assert copy.deepcopy(settings).environment is settings.environment
    assert settings.model_copy(update={"deadline": 5.0}).environment is settings.environment
    assert Settings().environment.names() == []


def test_a_file_named_on_the_command_line_copies_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = chosen_environment("/a/config.toml")
    assert environment["CCXT_MCP_CONFIG"] == "/a/config.toml"
    monkeypatch.setenv("KRAKEN_SECRET", "hunter2")
    assert environment["KRAKEN_SECRET"] == "hunter2"
    assert chosen_environment(None) is os.environ


@pytest.mark.parametrize("text", ["exchanges = 3", "[exchanges]\nkraken = 3", "accounts = [1]", "[accounts.mine]"])
def test_a_section_of_another_shape_is_refused_by_its_name(text: str, file: Path) -> None:
    file.write_text(text)
    assert refusal(file).message.startswith(("Configuration: exchanges", "Configuration: accounts"))
