"""The pages are held against the code: tools, arguments, commands, examples, settings, links."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import tomllib
from itertools import takewhile
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import orjson
import pytest
from mcp import Client
from rich.console import Console
from typer.main import get_command

import ccxt_mcp
from ccxt_mcp.cli.arguments import parse_arguments, type_of
from ccxt_mcp.cli.commands import app
from ccxt_mcp.cli.terminal import answer_view
from ccxt_mcp.methods import ALLOWED, METHODS
from ccxt_mcp.orders.limits import defaults
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import FaultKind
from ccxt_mcp.tools import tool_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp.types import Tool

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src/ccxt_mcp"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md", ROOT / "tests/protocol/README.md"]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
WORD = re.compile(r"(?<![\w./])[a-z][A-Za-z]+(?![\w/])")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # whose parts may look like words
CHANGING = {"yes", "no", "buy", "sell"}  # facts of the moment, not of the form
COMMANDS: dict[str, Any] = vars(get_command(app))["commands"]

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


class Example(NamedTuple):
    """A command and the output that a page shows for it."""

    command: str
    output: str


class Sitting(NamedTuple):
    """The calls of one block of a page, which a reader makes one after the other."""

    page: str
    examples: tuple[Example, ...]


def blocks(page: Path, *languages: str) -> list[Block]:
    found = [
        Block(*match) for match in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page, "sh") for line in block.text.splitlines()]
    lines += re.findall(r"^\$ (.+)$", "".join(block.text for block in blocks(page, "console")), re.MULTILINE)
    lines = [line.partition(" # ")[0].strip() for line in lines]
    return [line for line in lines if line.startswith("ccxt-mcp")]


def sittings() -> list[Sitting]:
    """Every block of calls on a page that need no network and no configuration."""
    found: list[Sitting] = []
    for page, name in zip(PAGES, NAMES, strict=True):
        for block in blocks(page, "console"):
            parts = [part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]]
            calls = tuple(
                Example(command, output)
                for command, _, output in parts
                if command.startswith("ccxt-mcp call") and "simulator_" not in command
            )
            if calls:
                found.append(Sitting(name, calls))
    return found


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def argument_rows(tool: Tool) -> list[str]:
    """Return the lines that describe a tool's arguments on a page."""
    rows: list[str] = []
    required = tool.input_schema.get("required") or ()
    for name, schema in (tool.input_schema.get("properties") or {}).items():
        default = f"`{orjson.dumps(schema['default']).decode()}`" if "default" in schema else ""
        kind = type_of(schema).replace(" | ", ", ")
        what = "required" if name in required else default
        rows.append(f"| `{name}` | {kind} | {what} | {schema.get('description', '')} |")
    return rows


@pytest.fixture(scope="module")
def tools() -> dict[str, Tool]:
    listed = asyncio.run(build_server(Settings(toolsets=("all",))).list_tools())
    return {tool.name: tool for tool in listed}


@pytest.mark.parametrize("name", tool_catalogue())
def test_each_tool_has_a_section_with_exactly_its_arguments(name: str, tools: dict[str, Tool]) -> None:
    section = re.search(
        rf"^## {name}\n(.*?)(?=^## |\Z)", (ROOT / "docs/tools.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert section is not None
    shown = re.findall(r"^\| `.*\|$", section[1], re.MULTILINE)
    assert shown == argument_rows(tools[name])
    assert f"ccxt-mcp call {name}" in section[1] or name == "system_health"


def test_the_readme_names_each_tool_once_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(tool_catalogue())


@every_page
def test_each_command_on_a_page_is_understood(page: Path, tools: dict[str, Tool]) -> None:
    for command in commands(page):
        words = shlex.split(command)[1:]
        name, *rest = list(takewhile(lambda word: word not in {"|", "<", ">"}, words)) or ["serve"]
        assert name in COMMANDS, command
        understood: Any = COMMANDS[name]
        while rest and (inner := getattr(understood, "commands", {}).get(rest[0])) is not None:
            understood, rest = inner, rest[1:]
        assert not hasattr(understood, "commands"), command
        parsed = understood.make_context(name, list(rest))
        if name == "call":
            tool = parsed.params["tool"]
            parse_arguments(tool, tools[tool].input_schema, parsed.params["words"] or [])
    for name in re.findall(r"`ccxt-mcp (\w+)[^`]*`", prose(page)):
        assert name in COMMANDS, name


@pytest.mark.parametrize("sitting", sittings(), ids=lambda one: f"{one.page}: {one.examples[0].command[14:60]}")
async def test_each_example_shows_what_the_command_says(sitting: Sitting, settings: Settings) -> None:
    server = build_server(settings.model_copy(update={"toolsets": ("all",)}))
    async with Client(server) as client:
        listed = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        envelopes: list[dict[str, Any]] = []
        for example in sitting.examples:
            name, *words = [word for word in shlex.split(example.command)[2:] if word != "--json"]
            arguments = parse_arguments(name, listed[name], words)
            envelopes.append((await client.call_tool(name, arguments)).structured_content or {})
    for example, envelope in zip(sitting.examples, envelopes, strict=True):
        check_output(example, envelope)


def check_output(example: Example, envelope: dict[str, Any]) -> None:
    name = shlex.split(example.command)[2]
    as_json = "--json" in example.command
    drawn = io.StringIO()
    if as_json:
        drawn.write(orjson.dumps(envelope).decode())
        assert json.loads(example.output).keys() == envelope.keys()
    else:
        Console(file=drawn, width=100, highlight=False, emoji=False).print(answer_view(name, envelope))
    missing = set(WORD.findall(UUID.sub("", example.output))) - set(WORD.findall(drawn.getvalue())) - CHANGING
    assert not missing, drawn.getvalue()
    assert re.findall(r"TAPS\d{3} \w+", example.output) == re.findall(r"TAPS\d{3} \w+", drawn.getvalue())


@every_page
def test_each_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@every_page
def test_each_file_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"`([\w./]+\.(?:py|md|toml|txt|in))`", prose(page)):
        if name != "config.toml":  # the reader's own
            places = (page.parent, ROOT, PACKAGE, ROOT / "tests", ROOT / "bench")
            assert any((place / name).exists() for place in places), name


@every_page
def test_a_page_names_no_machine_and_no_foreign_host(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"(?<![\w.~])/(?:work|home|root|Users|opt|tmp|var|usr)\b", text)
    assert not re.findall(r"https?://(?!127\.0\.0\.1\b)\S+", text)


@every_page
def test_json_and_toml_on_a_page_are_valid_and_mean_something_to_the_server(page: Path) -> None:
    for block in blocks(page, "json"):
        for server in json.loads(block.text).get("mcpServers", {}).values():
            assert server["command"].endswith("/.venv/bin/ccxt-mcp")
            name, *rest = server.get("args", ["serve"])
            COMMANDS[name].make_context(name, rest)
    for block in blocks(page, "toml"):
        Settings(**tomllib.loads(block.text))


@every_page
def test_each_make_target_on_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for block in blocks(page, "sh") for name in re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)}
    named |= set(re.findall(r"`make ([a-z]+)`", prose(page)))
    assert named <= targets


def test_the_map_of_the_house_shows_each_room() -> None:
    rooms = next(block.text for block in blocks(ROOT / "docs/architecture.md") if "src/ccxt_mcp/" in block.text)
    shown = ("guards", "exchanges", "analytics", "orders", "journal", "paper", "desk", "tools", "cli")
    files = [*PACKAGE.glob("*.py"), *(path for room in shown for path in (PACKAGE / room).glob("*.py"))]
    missing = {path.stem for path in files if path.stem != "__init__"} - set(re.findall(r"\w+", rooms))
    assert not missing
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(
        re.findall(r"\w+", rooms)
    )


@pytest.mark.parametrize("name", METHODS)
def test_how_fresh_each_method_is_stands_on_the_page_of_operations(name: str) -> None:
    row = METHODS[name]
    line = re.search(
        rf"^\| `{name}` \| (.+) \| (.+) \| (.+) \|$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    assert line is not None
    used_by, fresh, stale = line.groups()
    assert set(re.findall(r"`(\w+)`", used_by)) <= set(tool_catalogue())
    assert stale == ("without limit" if row.stale_for == inf else f"{row.stale_for:g} s")
    assert name == "fetchOHLCV" or fresh.startswith(f"{row.ttl({}, None, 0.0):g} s")


def test_each_fault_of_the_simulator_stands_on_its_page() -> None:
    page = (ROOT / "docs/simulator.md").read_text()
    assert set(get_args(FaultKind)) == {
        kind for cell in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for kind in re.findall(r"`(\w+)`", cell)
    }


def test_the_page_of_tools_names_those_that_are_not_in_the_default_toolset() -> None:
    paragraph = re.search(
        r"^\*\*Toolsets\.\*\*(.+?)\n\n", (ROOT / "docs/tools.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert paragraph is not None
    beyond = {name for name, spec in tool_catalogue().items() if not spec.default}
    assert set(re.findall(r"`(\w+)`", paragraph[1])) & set(tool_catalogue()) == beyond


# -- the page on safety ------------------------------------------------------------------------------------------------

SAFETY = ROOT / "docs/safety.md"
HELD_BY = re.compile(r"`([\w/]+\.py)::([tT]est\w+)`")


def claims() -> Iterator[list[str]]:
    """Yield the rows of the tables whose last column says which test holds them."""
    for table in re.findall(r"(?:^\|.*\|\n)+", SAFETY.read_text(), re.MULTILINE):
        head, _, *rows = table.splitlines()
        if head.endswith("| held by |"):
            yield from ([cell.strip() for cell in row.strip("|").split(" | ")] for row in rows)


@pytest.mark.parametrize(("file", "test"), sorted(set(HELD_BY.findall(SAFETY.read_text()))))
def test_each_test_that_the_page_on_safety_names_exists(file: str, test: str) -> None:
    assert re.search(rf"^(?:(?:async )?def {test}\(|{test} = )", (ROOT / "tests" / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("claim", list(claims()), ids=lambda claim: claim[0][:60])
def test_each_claim_on_the_page_on_safety_names_a_test(claim: list[str]) -> None:
    assert HELD_BY.search(claim[-1])


@pytest.mark.parametrize("limit", sorted({*defaults("live"), *defaults("paper")}))
def test_the_page_on_safety_tells_the_default_of_each_limit(limit: str) -> None:
    def shown(values: Mapping[str, Any]) -> str:
        return f"{values[limit]:,}" if limit in values else "–"

    row = f"| `{limit}` | {shown(defaults('live'))} | {shown(defaults('paper'))} |"
    assert row in SAFETY.read_text()
    assert defaults("paper") == defaults("simulated") == defaults("testnet")


def test_the_page_on_safety_tells_what_each_tier_allows() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", SAFETY.read_text(), re.MULTILINE)
    assert tuple(word for word in rows if word in ALLOWED) == ALLOWED


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == ccxt_mcp.__version__
