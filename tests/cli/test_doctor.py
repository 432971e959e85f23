"""The doctor: what it finds, in processes of its own and, where that takes too long, in this one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import clean_environment, run

from ccxt_mcp.cli.doctor import Finding, findings_of
from ccxt_mcp.simulator import Fault, Simulator

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes as POSIX has them")


def with_config(folder: Path, text: str, **more: str) -> dict[str, str]:
    environment = clean_environment(folder, **more)
    (folder / "config.toml").write_text(text)
    return environment


async def found(environment: Mapping[str, str], *named: str, until: str, deadline: float = 5.0) -> list[Finding]:
    """The findings up to and including the first that looked at `until`; those after it are not made."""
    findings: list[Finding] = []
    walk = findings_of(environment, named, deadline=deadline)
    async for finding in walk:
        findings.append(finding)
        if finding.check == until:
            break
    await walk.aclose()
    return findings


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


@asynccontextmanager
async def listening(answer: bytes) -> AsyncGenerator[str]:
    """A server that gives everybody the same answer; an empty one means that it never answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
            else:
                await reader.read()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_without_a_network_the_simulator_answers_and_nothing_fails(tmp_path: Path):
    done = run("doctor", "simulator", "--json", environment=clean_environment(tmp_path))
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["ok"] is True
    states = {finding["check"]: finding["state"] for finding in report["findings"]}
    wanted = ("python", "versions", "environment", "settings", "cache", "exchange", "clock", "server")
    assert {check: states[check] for check in wanted} == dict.fromkeys(wanted, "ok")
    assert all(finding.get("advice") for finding in report["findings"] if finding["state"] != "ok")


def test_a_person_sees_marks_and_advice_and_the_code_says_failure(tmp_path: Path):
    done = run("doctor", "krakken", environment=clean_environment(tmp_path))
    assert done.returncode == 1
    assert "✓ python" in done.stdout
    assert "✗ exchange" in done.stdout
    assert "→ Did you mean kraken?" in done.stdout
    assert "1 failed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_wrong_settings_are_a_finding_and_nothing_that_needs_them_is_tried(tmp_path: Path):
    done = run("doctor", "--json", environment=with_config(tmp_path, "deadlin = 3"))
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert "deadlin" in report["findings"][-1]["found"]
    assert report["findings"][-1]["state"] == "fail"
    assert "server" not in {finding["check"] for finding in report["findings"]}


async def test_an_exchange_that_does_not_answer_fails_only_if_it_was_named(tmp_path: Path):
    async with listening(BUSY) as proxy:
        environment = with_config(tmp_path, f'[exchanges.kraken]\nproxy_url = "{proxy}"')
        by_itself = of(await found(environment, until="clock"), "exchange")
        named = of(await found(environment, "kraken", until="clock"), "exchange")
    assert [finding.state for finding in by_itself] == ["ok", "warn"]
    assert [finding.state for finding in named] == ["fail"]
    assert "kraken" in named[0].found


async def test_an_exchange_that_hangs_takes_no_longer_than_the_deadline(tmp_path: Path):
    async with asyncio.timeout(30), listening(b"") as proxy:
        environment = with_config(tmp_path, f'[exchanges.kraken]\nproxy_url = "{proxy}"')
        findings = await found(environment, until="clock", deadline=0.2)
    _, kraken = of(findings, "exchange")
    assert (kraken.state, "CCXT_MCP_HTTP_PROXY" in str(kraken.advice)) == ("warn", True)


@pytest.mark.parametrize(("skew_ms", "said"), [(5_000, "behind elsewhere"), (-5_000, "ahead of elsewhere")])
async def test_a_clock_that_is_off_is_noticed_by_the_exchanges_time(tmp_path: Path, skew_ms: int, said: str):
    async with Simulator() as simulator:
        simulator.faults.set(Fault("clock_skew", skew_ms=skew_ms))
        environment = with_config(tmp_path, f'[exchanges.elsewhere]\nsimulator = "{simulator.url}"')
        (clock,) = of(await found(environment, until="clock"), "clock")
    assert clock.state == "warn"
    assert said in clock.found
    assert "NTP" in str(clock.advice)


async def test_a_clock_that_is_right_is_ok(tmp_path: Path):
    async with Simulator() as simulator:
        environment = with_config(tmp_path, f'[exchanges.elsewhere]\nsimulator = "{simulator.url}"')
        (clock,) = of(await found(environment, until="clock"), "clock")
    assert (clock.state, clock.found) == ("ok", "within 1 s of elsewhere")


async def test_a_proxy_that_accepts_nothing_fails_and_its_password_stays_hidden(tmp_path: Path):
    async with listening(BUSY) as url:
        port = urlsplit(url).port
    async with listening(BUSY) as alive:
        dead = f"http://me:hunter2hunter2@127.0.0.1:{port}"
        text = f'http_proxy = "{dead}"\n[exchanges.kraken]\nhttp_proxy = "{alive}"'
        general, own = of(await found(with_config(tmp_path, text), until="exchange"), "proxy")
    assert (general.state, own.state) == ("fail", "ok")
    assert str(port) in general.found
    assert "hunter2" not in general.found
    assert own.found.startswith("kraken: http_proxy ")


@needs_posix
@pytest.mark.parametrize(("mode", "state"), [(0o644, "warn"), (0o600, "ok")])
async def test_a_file_with_a_password_that_others_may_read_is_a_warning(tmp_path: Path, mode: int, state: str):
    environment = with_config(tmp_path, 'socks_proxy = "socks5://me:hunter2hunter2@127.0.0.1:1"')
    (tmp_path / "config.toml").chmod(mode)
    (settings,) = of(await found(environment, until="settings"), "settings")
    assert settings.state == state
    assert settings.advice == (f"chmod 600 {tmp_path / 'config.toml'}" if state == "warn" else None)


async def test_a_cache_folder_that_cannot_be_written_is_a_warning(tmp_path: Path):
    (tmp_path / "file").touch()
    environment = clean_environment(tmp_path, CCXT_MCP_CACHE_DIR=str(tmp_path / "file" / "cache"))
    (cache,) = of(await found(environment, until="cache"), "cache")
    assert cache.state == "warn"
    assert "CCXT_MCP_CACHE_DIR" in str(cache.advice)


async def test_variables_are_named_and_their_values_hidden(tmp_path: Path):
    environment = clean_environment(tmp_path, KRAKEN_SECRET="hunter2hunter2", NOBODYS_SECRET="x", LOG_LEVEL="error")
    (variables,) = of(await found(environment, until="environment"), "environment")
    assert "LOG_LEVEL" in variables.found
    assert "KRAKEN_SECRET" in variables.found
    assert "NOBODYS" not in variables.found
    assert "hunter2" not in variables.found
