"""The tools from a terminal: list them, or run one through a real MCP client in this process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson
import typer
from mcp.client.client import Client
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult, Tool
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.arguments import Mistyped, parse_arguments, type_of
from ccxt_mcp.cli.charts import QUIET
from ccxt_mcp.cli.terminal import answer_view, print_json, screen
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.serve import chosen_environment, start_logs
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings, load_settings


async def call(name: str, words: Sequence[str], *, as_json: bool, allow: str | None, config: Path | None) -> int:
    """Run one tool and print what a model would get; return the exit code.

    In a terminal, the person who runs it is the human who is asked to confirm an order.

    Args:
        name: the tool, of any toolset.
        words: its arguments as `key=value`.
        as_json: print the envelope itself, on one line.
        allow: the most that is allowed, instead of what the settings say.
        config: configuration file to read instead of the usual one.

    Raises:
        typer.BadParameter: there is no such tool, or the words do not fit it.
        Failure: the settings make no sense.
    """
    settings, redactor = _settings(config, toolsets="all", allow=allow)
    server = build_server(settings, redactor=redactor)
    tool = _named(name, await server.list_tools())
    try:
        arguments = parse_arguments(name, tool.input_schema, words)
    except Mistyped as slip:
        raise typer.BadParameter(str(slip)) from None
    console = screen(stderr=True)
    waiting = Status(f"[dim]{name}[/]", console=console) if console.is_terminal else None

    async def show_progress(progress: float, total: float | None, message: str | None) -> None:
        if waiting is not None:
            waiting.update(f"[dim]{name} · {progress:g}{f' of {total:g}' if total else ''} · {message or ''}[/]")

    async def confirm(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        if waiting is not None:
            waiting.stop()
        agreed = await asyncio.to_thread(typer.confirm, params.message, default=False, err=True)
        return ElicitResult(action="accept", content={"confirm": True}) if agreed else ElicitResult(action="decline")

    asked = confirm if sys.stdin.isatty() else None
    with waiting or nullcontext():
        async with Client(server, elicitation_callback=asked) as client:
            result = await client.call_tool(name, arguments, progress_callback=show_progress)
    envelope: dict[str, Any] = result.structured_content or {}
    if as_json:
        print_json(envelope)
    else:
        screen().print(answer_view(name, envelope))
    return 1 if result.is_error else 0


async def show_tools(names: Sequence[str], *, toolsets: str | None, as_json: bool, config: Path | None) -> int:
    """Print the tools that a model can call; return the exit code.

    Args:
        names: only these, of any toolset; all that the settings choose when there are none.
        toolsets: groups of tools instead of those of the settings.
        as_json: print them as the protocol lists them, on one line.
        config: configuration file to read instead of the usual one.

    Raises:
        typer.BadParameter: there is no such tool.
        Failure: the settings make no sense.
    """
    settings, redactor = _settings(config, toolsets="all" if names else toolsets)
    server = build_server(settings, redactor=redactor)
    listed = await server.list_tools()
    chosen = [_named(name, listed) for name in names] or listed
    raw = {"tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in chosen]}
    if as_json:
        print_json(raw)
        return 0
    console = screen()
    for tool in chosen:
        console.print(tool_view(tool), Text())
    size = len(orjson.dumps(raw)) / 1024
    console.print(
        Text(
            f"{len(chosen)} tool{'s' * (len(chosen) != 1)}, {size:.1f} KB in a model's context. * is required.",
            style=QUIET,
        )
    )
    return 0


def tool_view(tool: Tool) -> RenderableType:
    """Return a tool's name, what it does, and its arguments."""
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(style=QUIET, overflow="fold")
    grid.add_column(style=QUIET, overflow="fold")
    for row in _argument_rows(tool):
        grid.add_row(*row)
    return Group(Text(tool.name, style="bold"), Padding(tool.description or "", (0, 0, 0, 2)), grid)


def _argument_rows(tool: Tool) -> Iterator[tuple[str, str, str]]:
    required = tool.input_schema.get("required") or ()
    for name, schema in (tool.input_schema.get("properties") or {}).items():
        default = f" Default: {orjson.dumps(schema['default']).decode()}." if "default" in schema else ""
        mark = "*" if name in required else " "
        yield f"  {mark} {name}", type_of(schema), f"{schema.get('description', '')}{default}"


def _settings(config: Path | None, *, toolsets: str | None, allow: str | None = None) -> tuple[Settings, Redactor]:
    settings = load_settings(chosen_environment(config and str(config)), toolsets=toolsets, allow=allow)
    return settings, start_logs(settings)


def _named(name: str, tools: Sequence[Tool]) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    near = get_close_matches(name, [tool.name for tool in tools], 3, 0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "ccxt-mcp tools lists them."
    raise typer.BadParameter(f"there is no tool {name!r}; {hint}")
