from __future__ import annotations

from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.mcpserver import MCPServer

from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings


def spans(server: MCPServer) -> int:
    return sum(isinstance(one, OpenTelemetryMiddleware) for one in server.middleware)


def test_no_spans_are_opened_that_nobody_collects_although_the_sdk_would() -> None:
    assert spans(MCPServer("bare")) == 1
    assert spans(build_server(Settings())) == 0
