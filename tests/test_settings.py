"""Settings: what is refused, under which name, and with which advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.settings import Settings, load_settings

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


@pytest.mark.parametrize("text", ["exchanges = 3", "[exchanges]\nkraken = 3", "accounts = [1]", "[accounts.mine]"])
def test_a_section_of_another_shape_is_refused_by_its_name(text: str, file: Path) -> None:
    file.write_text(text)
    assert refusal(file).message.startswith(("Configuration: exchanges", "Configuration: accounts"))
