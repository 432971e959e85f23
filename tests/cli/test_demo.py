"""The demo, run once as a stranger runs it, without a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command_line import clean_environment, run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shown(home: Path) -> subprocess.CompletedProcess[str]:
    """The demo's own folders go where a test can see them; its settings must not come from this environment."""
    temporary = {name: str(home) for name in ("TMPDIR", "TEMP", "TMP")}
    environment = clean_environment(home, CCXT_MCP_DEADLINE="nonsense", **temporary)
    return run("demo", environment=environment)


def test_the_demo_succeeds_and_says_nothing_on_stderr(shown: subprocess.CompletedProcess[str]):
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("tools/list", "market_", "compare_prices"),
        ("market_ticker exchange=simulator symbol=BTC/USDT", "percentage"),
        ("market_orderbook", "mid", "━━"),
        ("market_ohlcv", "┃", "║ rose, ┃ fell"),
        ("analytics_compare_prices", "simulator_c", "buy ", "simulator_d: TAPS007"),
        ("TAPS011 unknown_symbol", "candidates: BTC/USDT"),
        ("TAPS007 circuit_open", "without a request to the exchange"),
        ("system_health", "state", "open"),
        ("trade_create_order exchange=simulator account=paper", "closed"),
        ("the human is asked", "Place this order? simulator_b", "yes"),
        ("client_order_id=eth-1", "It was never sent again"),
        ("TAPS103 limit_exceeded", "order_notional is 1000000"),
        ("account_balance exchange=simulator account=paper", "1.04995"),
        ("claude mcp add ccxt -- ", '"mcpServers"'),
    ],
    ids=[
        "tools",
        "ticker",
        "book",
        "candles",
        "comparison",
        "mistake",
        "outage",
        "health",
        "paper",
        "human",
        "lost reply",
        "limit",
        "balance",
        "clients",
    ],
)
def test_every_step_is_shown(words: tuple[str, ...], shown: subprocess.CompletedProcess[str]):
    for word in words:
        assert word in shown.stdout


def test_the_demo_fits_a_narrow_terminal_and_is_plain_text_without_one(shown: subprocess.CompletedProcess[str]):
    steps = shown.stdout.partition("Add it to your client")[0]
    assert max(map(len, steps.splitlines())) <= 80
    assert "\x1b" not in shown.stdout


def test_the_demo_leaves_nothing_behind(home: Path, shown: subprocess.CompletedProcess[str]):
    assert shown.returncode == 0
    assert [path.name for path in home.iterdir()] == ["config.toml"]
