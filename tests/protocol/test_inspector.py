"""The MCP Inspector's command line against the program as users start it, over stdio, in both eras."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ccxt_mcp
from protocol.test_eras import TEMPLATES

if TYPE_CHECKING:
    from protocol.node import NodeTools

SOURCES = str(Path(ccxt_mcp.__file__).parents[1])
ERAS = {"legacy": (), "modern": ("--protocol-era", "modern")}
TOOL_FAILED = 5  # the Inspector's exit code for a result with isError
REFUSED = 1  # and the one for an error of the protocol


class Inspector:
    """Runs one request against a server process of its own."""

    def __init__(self, tools: NodeTools, home: Path, era: tuple[str, ...]) -> None:
        self._tools = tools
        self._home = home
        self._era = era

    def __call__(self, method: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The answer (a result, or an error), after checking the exit code."""
        finished = self._tools.inspector(
            sys.executable, "-m", "ccxt_mcp", "-e", f"PYTHONPATH={SOURCES}", "-e", "PYTHONWARNINGS=error",
            *self._era,
            "--method", method, *arguments, "--format", "json",
            home=self._home,
        )  # fmt: skip
        assert finished.returncode == code, finished.stdout + finished.stderr
        said = finished.stdout or finished.stderr.splitlines()[-1]
        return json.loads(said)

    def call(self, tool: str, *pairs: str, code: int = 0) -> dict[str, Any]:
        answer = self("tools/call", "--tool-name", tool, "--tool-arg", *pairs, code=code)
        return answer["result"]


@pytest.fixture(params=sorted(ERAS))
def inspector(tools: NodeTools, tmp_path: Path, request: pytest.FixtureRequest) -> Inspector:
    return Inspector(tools, tmp_path, ERAS[request.param])


def test_the_inspector_lists_the_tools_and_finds_their_schemas_portable(inspector: Inspector) -> None:
    answer = inspector("tools/list", "--strict")
    names = {tool["name"] for tool in answer["result"]["tools"]}
    assert {"market_ticker", "exchange_list", "analytics_compare_prices", "system_health"} <= names


def test_the_inspector_reads_a_ticker(inspector: Inspector) -> None:
    result = inspector.call("market_ticker", "exchange=simulator", "symbol=BTC/USDT")
    envelope = result["structuredContent"]
    assert envelope["success"] is True
    assert envelope["metadata"]["mode"] == "simulated"
    assert envelope["data"]["symbol"] == "BTC/USDT"
    assert "BTC/USDT" in result["content"][0]["text"]


def test_the_inspector_sees_a_failed_call_as_failed(inspector: Inspector) -> None:
    result = inspector.call("market_ticker", "exchange=simulator", "symbol=NOPE/USDT", code=TOOL_FAILED)
    assert result["isError"] is True
    assert json.loads(result["content"][0]["text"])["error"]["code"] == "TAPS011"


def test_the_inspector_lists_resources_and_prompts(inspector: Inspector) -> None:
    resources = inspector("resources/list")["result"]["resources"]
    assert {resource["uri"] for resource in resources} == {"ccxt://alerts", "ccxt://exchanges", "ccxt://health"}
    templates = inspector("resources/templates/list")["result"]["resourceTemplates"]
    assert {template["uriTemplate"] for template in templates} == TEMPLATES
    prompts = inspector("prompts/list")["result"]["prompts"]
    assert {prompt["name"] for prompt in prompts} == {"market_brief", "best_venue"}


def test_the_inspector_reads_a_resource_and_gets_an_error_for_one_that_is_not_there(inspector: Inspector) -> None:
    contents = inspector("resources/read", "--uri", "ccxt://simulator/markets")["result"]["contents"]
    assert json.loads(contents[0]["text"])["data"]["markets"]["total"] >= 18
    refused = inspector("resources/read", "--uri", "ccxt://nowhere", code=REFUSED)
    assert "ccxt://nowhere" in refused["error"]["message"]


def test_the_inspector_gets_a_prompt(inspector: Inspector) -> None:
    arguments = ("--prompt-args", "exchange=simulator", "symbol=BTC/USDT")
    messages = inspector("prompts/get", "--prompt-name", "market_brief", *arguments)["result"]["messages"]
    assert "BTC/USDT at simulator" in messages[0]["content"]["text"]
