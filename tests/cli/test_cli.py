"""The command line, run as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import COMMAND, PATIENCE, clean_environment, run

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals as POSIX has them")
TICKER = ("call", "market_ticker", "exchange=simulator", "symbol=BTC/USDT")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache for all commands here, so that markets are loaded once."""
    return clean_environment(tmp_path_factory.mktemp("home"))


def test_version_names_ccxt_and_mcp_too(environment: dict[str, str]):
    done = run("--version", environment=environment)
    assert done.returncode == 0
    assert all(f"{name} " in done.stdout for name in ("ccxt-mcp", "ccxt", "mcp"))


def test_help_shows_every_command_and_a_first_step(environment: dict[str, str]):
    done = run("--help", environment=environment)
    assert done.returncode == 0
    for word in ("serve", "call", "tools", "doctor", "simulator", "demo", "ccxt-mcp call market_ticker"):
        assert word in done.stdout


@pytest.mark.parametrize("command", ["serve", "call"])
def test_help_of_a_command_has_examples(command: str, environment: dict[str, str]):
    done = run(command, "--help", environment=environment)
    assert done.returncode == 0
    assert done.stdout.count(f"ccxt-mcp {command} ") >= 3


def test_the_end_of_the_input_ends_a_server_that_was_started_by_name_alone(environment: dict[str, str]):
    done = run(environment=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_serving_imports_nothing_that_only_people_need(environment: dict[str, str]):
    code = (
        "import sys; from ccxt_mcp.__main__ import main; sys.argv = ['ccxt-mcp', 'serve', '--read-only']\n"
        "try: main()\n"
        "except SystemExit as end: print([end.code, *sorted({'typer', 'ccxt', 'ccxt_mcp.cli',"
        " 'ccxt_mcp.simulator'} & set(sys.modules))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("[0]", "")


@pytest.mark.parametrize("words", [("--bogus",), ("serve", "--toolsets"), ("bogus",)])
def test_what_is_not_understood_is_said_and_ends_with_2(words: tuple[str, ...], environment: dict[str, str]):
    done = run(*words, environment=environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words[-1] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--toolsets", "marked"), "toolset 'marked' does not exist"),
        (("--log-level=loud",), "log_level"),
        (("call", "system_health", "--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_wrong_settings_are_said_in_a_line_and_end_with_2(
    words: tuple[str, ...], said: str, environment: dict[str, str]
):
    done = run(*words, environment=environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ccxt-mcp: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_call_with_json_prints_the_envelope_on_one_line(environment: dict[str, str]):
    done = run(*TICKER, "--json", environment=environment)
    envelope = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert envelope["success"] is True
    assert envelope["data"]["symbol"] == "BTC/USDT"
    assert envelope["metadata"]["mode"] == "simulated"


def test_call_draws_an_answer_for_a_person(environment: dict[str, str]):
    done = run(
        "call",
        "market_ohlcv",
        "exchange=simulator",
        "symbol=btc/usdt",
        "limit=20",
        "closed=no",
        environment=environment,
    )
    assert done.returncode == 0
    assert "┃" in done.stdout
    assert "changePercent" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_failure_is_drawn_with_its_hint_and_ends_with_1(environment: dict[str, str]):
    done = run("call", "market_ticker", "exchange=simulator", "symbol=BTC/UDST", environment=environment)
    assert done.returncode == 1
    assert "TAPS011 unknown_symbol" in done.stdout
    assert "BTC/USDT" in done.stdout
    assert "→" in done.stdout


def test_a_failure_as_json_is_the_envelope_and_ends_with_1(environment: dict[str, str]):
    done = run("call", "market_ticker", "exchange=simulater", "symbol=BTC/USDT", "--json", environment=environment)
    envelope = json.loads(done.stdout)
    assert done.returncode == 1
    assert (envelope["success"], envelope["error"]["code"]) == (False, "TAPS001")


def test_a_comma_list_is_a_list_for_the_tool(environment: dict[str, str]):
    done = run(
        *("call", "analytics_compare_prices", "symbol=BTC/USDT", "exchanges=simulator,simulater", "--json"),
        environment=environment,
    )
    data = json.loads(done.stdout)["data"]
    assert [row[0] for row in data["quotes"]["rows"]] == ["simulator"]
    assert [row[0] for row in data["failed"]["rows"]] == ["simulater"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("market_tikker",), "market_ticker"),
        (("market_ticker", "exchang=kraken"), "did you mean exchange?"),
    ],
)
def test_a_slip_in_a_call_says_what_to_type_and_ends_with_2(
    words: tuple[str, ...], said: str, environment: dict[str, str]
):
    done = run("call", *words, environment=environment | {"COLUMNS": "200"})
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_tools_are_listed_with_their_arguments(environment: dict[str, str]):
    done = run("tools", "market_ohlcv", "system_health", environment=environment)
    assert done.returncode == 0
    for word in (
        "market_ohlcv\n",
        "* exchange",
        "* symbol",
        "timeframe",
        'Default: "1h"',
        "system_health\n",
        "2 tools",
    ):
        assert word in done.stdout


def test_tools_as_json_are_what_the_protocol_lists(environment: dict[str, str]):
    done = run("tools", "--toolsets", "system", "--json", environment=environment)
    tool, audit = json.loads(done.stdout)["tools"]
    assert (tool["name"], audit["name"]) == ("system_health", "system_audit")
    assert tool["annotations"]["readOnlyHint"] is True
    assert done.stdout.count("\n") == 1


@needs_posix
def test_the_simulator_runs_alone_until_it_is_stopped(environment: dict[str, str]):
    with subprocess.Popen(
        [*COMMAND, "simulator", "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("simulator: "):
                break
        url = said[-1].split()[1]
        with urllib.request.urlopen(f"{url}/v5/market/time", timeout=PATIENCE) as reply:
            assert json.load(reply)["retCode"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "[exchanges.simulator_2]" in "".join(said)


async def test_a_port_that_is_taken_is_said_without_a_traceback(environment: dict[str, str]):
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        done = await asyncio.to_thread(run, "simulator", "--port", str(port), environment=environment)
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """Processes that are started here heed SIGINT, also where these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@needs_posix
@pytest.mark.usefixtures("heeding_ctrl_c")
async def test_ctrl_c_ends_a_call_at_once_and_quietly(tmp_path: Path):
    """The exchange takes the connection and never answers."""
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        environment = clean_environment(tmp_path)
        (tmp_path / "config.toml").write_text(f'[exchanges.elsewhere]\nsimulator = "{url}"\n')
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "call", "market_ticker", "exchange=elsewhere", "symbol=BTC/USDT"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
            process.send_signal(signal.SIGINT)
            output, errors = await process.communicate()
    assert (process.returncode, output, errors) == (130, b"", b""), output.decode()


@needs_posix
def test_a_reader_that_leaves_early_causes_no_traceback(environment: dict[str, str]):
    with subprocess.Popen(
        [*COMMAND, "tools"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


@needs_posix
def test_a_person_who_starts_the_server_by_hand_is_told_what_it_is(environment: dict[str, str]):
    keyboard, terminal = os.openpty()
    try:
        with subprocess.Popen(
            COMMAND, env=environment, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            os.close(terminal)
            os.write(keyboard, b"\x04")  # Ctrl-D
            output, said = process.communicate(timeout=PATIENCE)
        assert said.startswith("This is an MCP server")
        assert "ccxt-mcp demo" in said
        assert (process.returncode, output) == (0, "")
    finally:
        os.close(keyboard)
