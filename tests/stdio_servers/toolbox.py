"""A small MCP server whose tools do what a stdio transport must survive.

Run as a program it serves one stdio session; with the argument ``sdk`` over the SDK's own transport.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, TextContent

from ccxt_mcp.stdio import serve_stdio


def tell(line: str) -> None:
    """Write to the real stderr, where a test listens, or no longer does."""
    with suppress(BrokenPipeError):
        os.write(2, line.encode() + b"\n")


@asynccontextmanager
async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[None]:
    tell("lifespan entered")
    yield
    tell("lifespan left")


server = MCPServer("toolbox", lifespan=lifespan)


def text(value: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=value)])


@server.tool()
async def echo(value: str) -> CallToolResult:
    return text(value)


@server.tool()
async def large(size: int) -> CallToolResult:
    return text("x" * size)


@server.tool()
async def a_moment() -> CallToolResult:
    await asyncio.sleep(0.05)
    return text("done")


@server.tool()
async def hang() -> CallToolResult:
    tell("hanging")
    try:
        await asyncio.Event().wait()
    finally:
        tell("hang cancelled")
    return text("never")


@server.tool()
def stuck_thread() -> CallToolResult:
    tell("stuck")
    time.sleep(60)
    return text("never")


@server.tool()
async def noisy() -> CallToolResult:
    print("stray print, unflushed")  # noqa: T201
    os.write(1, b"stray write\n")
    await (await asyncio.create_subprocess_exec("echo", "stray child")).wait()
    return text(f"stdin gives {os.read(0, 10)!r}")


@server.tool()
async def unspeakable() -> CallToolResult:
    return text("\ud800")


@server.tool()
async def counting(ctx: Context[Any]) -> CallToolResult:
    for done in (1, 2, 3):
        await ctx.report_progress(done, 3, f"step {done}")
    return text("counted")


if __name__ == "__main__":
    if sys.argv[1:] == ["sdk"]:
        server.run("stdio")
    else:
        asyncio.run(serve_stdio(server))
        tell("served")
