"""`ccxt-mcp keys`, as people use it: prompts, pipes, and nothing in clear."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMAND, PATIENCE, clean_environment, run

from ccxt_mcp.cli.commands import run_cli
from ccxt_mcp.cli.keys import asked

SECRET = "kQH5HW8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz"
PEM = ["-----BEGIN EC PRIVATE KEY-----", "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f", "-----END EC PRIVATE KEY-----"]
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and modes as POSIX has them")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    environment = clean_environment(tmp_path, KRAKEN_API_KEY=SECRET)
    Path(environment["CCXT_MCP_CONFIG"]).write_text(
        f'[accounts.main]\nexchange = "okx"\ncredentials = "file:{tmp_path}/okx.toml"\n'
        '[accounts.play]\nexchange = "okx"\nmode = "paper"\n'
    )
    return environment


def piped(value: str, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=environment, input=value, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_a_value_from_a_pipe_is_kept_listed_without_being_shown_and_deleted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    kept = piped(f"{SECRET}\n", "keys", "set", "main", "secret", "--stdin", environment=environment)
    assert kept.returncode == 0
    assert f'secret = "{SECRET}"' in (tmp_path / "okx.toml").read_text()
    listed = run("keys", "list", environment=environment)
    as_json = run("keys", "list", "main", "--json", environment=environment)
    assert listed.returncode == as_json.returncode == 0
    assert "••••" in listed.stdout
    assert {"kraken", "KRAKEN_API_KEY", "main", "play"} <= set(listed.stdout.split())
    (row,) = json.loads(as_json.stdout)["accounts"]
    assert row["credentials"] == {"secret": f"{tmp_path}/okx.toml"}
    deleted = run("keys", "delete", "main", "secret", "--yes", environment=environment)
    assert deleted.returncode == 0
    assert not (tmp_path / "okx.toml").exists()
    everything = [kept, listed, as_json, deleted]
    assert not any(SECRET in done.stdout + done.stderr for done in everything)


@needs_posix
def test_a_typed_secret_is_not_echoed_by_the_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "keys", "set", "main"],
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = ""
    for name in ("apiKey", "secret", "password"):
        while f"{name} (not shown" not in screen:
            assert select.select([master], [], [], PATIENCE)[0]
            screen += os.read(master, 4096).decode()
        os.write(master, f"{SECRET}-{name}\n".encode())
    try:
        while select.select([master], [], [], PATIENCE)[0]:
            screen += os.read(master, 4096).decode()
    except OSError:  # the terminal closes with its last process
        pass
    os.close(master)
    assert process.wait(PATIENCE) == 0
    assert SECRET not in screen
    assert (tmp_path / "okx.toml").read_text().count(SECRET) == 3
    assert (tmp_path / "okx.toml").stat().st_mode & 0o777 == 0o600


def test_a_pem_key_that_is_pasted_line_by_line_is_taken_whole() -> None:
    lines = iter(PEM)
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    assert asked("main secret", ask) == "\n".join(PEM)
    assert prompts == ["main secret (not shown; empty to skip): ", "", ""]


@needs_posix
def test_a_file_that_others_may_read_is_listed_with_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "okx.toml").write_text(f'secret = "{SECRET}"')
    (tmp_path / "okx.toml").chmod(0o644)
    listed = run("keys", "list", "--json", environment=environment)
    assert listed.returncode == 1
    (row,) = (row for row in json.loads(listed.stdout)["accounts"] if row["account"] == "main")
    assert "(mode 644)" in row["problem"]
    assert row["advice"].startswith(f"Run chmod 600 {tmp_path}/okx.toml, and rotate the key")
    assert SECRET not in listed.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "set", "kraken"), "takes its keys from variables KRAKEN_…"),
        (("keys", "set", "play"), "is paper and has no credentials"),
        (("keys", "set", "simulator"), "is simulated and has no credentials"),
        (("keys", "set", "mian"), "Did you mean main?"),
        (("keys", "set", "main", "secrte"), "Did you mean secret?"),
        (("keys", "set", "main", "--stdin"), "name the credential as well"),
        (("keys", "list", "nobody"), "There is no account 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    words: tuple[str, ...],
    said: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run_cli(words) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert said in " ".join(written.err.replace("│", " ").split())


def test_no_value_is_taken_from_the_command_line(environment: dict[str, str]) -> None:
    done = run("keys", "set", "main", "secret", "hunter2", environment=environment)
    assert done.returncode == 2


def test_nothing_given_is_nothing_kept(environment: dict[str, str], tmp_path: Path) -> None:
    assert piped("", "keys", "set", "main", "secret", "--stdin", environment=environment).returncode == 1
    assert not (tmp_path / "okx.toml").exists()
