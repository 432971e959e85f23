"""The MCP conformance suite against the server over HTTP: every scenario that needs no tools of the suite's own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.client.client import Client

import ccxt_mcp

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from protocol.node import NodeTools

HERE = Path(__file__).parent
SOURCES = str(Path(ccxt_mcp.__file__).parents[1])
PATIENCE = 20  # seconds, far beyond what the server takes to start or to end
BOTH_ERAS = (
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
    "dns-rebinding-protection",
)
MODERN = (
    *BOTH_ERAS,
    "server-stateless",
    "server-sse-multiple-streams",
    "caching",
    "http-header-validation",
    "http-custom-header-server-validation",
    "sep-2164-resource-not-found",
    "input-required-result-unsupported-methods",
    "input-required-result-ignore-extra-params",
    "input-required-result-validate-input",
    "input-required-result-missing-input-response",
)
LEGACY = (*BOTH_ERAS, "server-initialize", "ping")
LEGACY_SESSIONS = (*LEGACY, "server-session-lifecycle", "server-sse-multiple-streams")


@contextmanager
def serving(folder: Path, *options: str) -> Generator[str]:
    """A server process; yields its URL, and expects a clean end and a log without a traceback."""
    log = folder / "stderr.log"
    command = [sys.executable, "-W", "error", str(HERE / "serve_http.py"), str(folder / "cache"), *options]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command,
            env={"PYTHONPATH": SOURCES, "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, log.read_text()
            yield url
            process.communicate(timeout=PATIENCE)  # closes stdin, which ends it
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def stateless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("stateless")) as url:
        yield url


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sessions"), "sessions") as url:
        yield url


def expect_conformance(tools: NodeTools, home: Path, url: str, revision: str, scenario: str) -> None:
    finished = tools.conformance(
        "server", "--url", url, "--spec-version", revision, "--scenario", scenario,
        "--expected-failures", str(HERE / "expected-failures.yml"), "--output-dir", str(home),
        home=home,
    )  # fmt: skip
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    checks = [check for file in home.rglob("checks.json") for check in json.loads(file.read_text())]
    assert any(check["status"] == "SUCCESS" for check in checks), f"{scenario} checked nothing:\n{said}"


@pytest.mark.parametrize("scenario", MODERN)
def test_the_2026_revision_is_spoken(tools: NodeTools, tmp_path: Path, stateless: str, scenario: str) -> None:
    expect_conformance(tools, tmp_path, stateless, "2026-07-28", scenario)


@pytest.mark.parametrize("scenario", LEGACY)
def test_the_2025_revision_is_spoken_without_sessions(
    tools: NodeTools, tmp_path: Path, stateless: str, scenario: str
) -> None:
    expect_conformance(tools, tmp_path, stateless, "2025-11-25", scenario)


@pytest.mark.parametrize("scenario", LEGACY_SESSIONS)
def test_the_2025_revision_is_spoken_with_sessions(
    tools: NodeTools, tmp_path: Path, sessions: str, scenario: str
) -> None:
    expect_conformance(tools, tmp_path, sessions, "2025-11-25", scenario)


@pytest.mark.parametrize("served", ["stateless", "sessions"])
async def test_an_exchange_that_one_client_opened_over_http_stays_open_for_the_next(
    request: pytest.FixtureRequest, served: str, era: str
) -> None:
    url: str = request.getfixturevalue(served)
    async with Client(url, mode=era) as first:
        await first.call_tool("exchange_init", {"exchange": "simulator"})
    async with Client(url, mode=era) as second:
        listed = await second.call_tool("exchange_list", {"query": "simulator"})
    assert listed.structured_content is not None
    assert listed.structured_content["data"]["opened"] == ["simulator"]
