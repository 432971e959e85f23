"""The baseline: one tool on the SDK's `MCPServer`, over the SDK's own stdio.

With the path of a file, the tool gives the result that is in it; it only has to be put together, which is the least
that a tool does for a call.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent


def build(text: str, structured: dict[str, Any] | None = None) -> MCPServer:
    """Return the server; its tool always gives this text and this structured content."""
    server = MCPServer("bare")

    @server.tool()
    async def market_ticker(exchange: str, symbol: str) -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """Price of one symbol."""
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)

    return server


def main() -> None:
    """Serve until the input ends."""
    if len(sys.argv) > 1:
        result = orjson.loads(Path(sys.argv[1]).read_bytes())
        server = build(result["content"][0]["text"], result["structuredContent"])
    else:
        server = build("42")
    server.run("stdio")


if __name__ == "__main__":
    main()
