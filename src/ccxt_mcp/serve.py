"""Serving: from the settings to one client on stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp.server.mcpserver import MCPServer

from ccxt_mcp.errors import Failure
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings, chosen_environment, load_settings
from ccxt_mcp.stdio import serve_stdio

_WELCOME = """\
This is an MCP server on stdio. It is waiting for an MCP client to write to it; nothing typed here will be understood.
Try: ccxt-mcp demo, ccxt-mcp tools, or ccxt-mcp call market_ticker exchange=simulator symbol=BTC/USDT.
Ctrl-C ends it. ccxt-mcp --help tells the rest.
"""


def serve(config: str | None = None, **overrides: str | bool | None) -> int:
    """Serve one client over stdin and stdout until it leaves; return the exit code of the process.

    Args:
        config: path of the configuration file, instead of the usual one.
        overrides: settings that go before those of the file and the environment; None where there is none.
    """
    try:
        settings = load_settings(chosen_environment(config), **overrides)
        server = build_server(settings, redactor=start_logs(settings))
    except Failure as failure:
        return refuse(failure)
    asyncio.run(_session(server))
    return 0


async def _session(server: MCPServer[Any]) -> None:
    if sys.stdin is not None and sys.stdin.isatty():
        sys.stderr.write(_WELCOME)
    await serve_stdio(server)


def start_logs(settings: Settings) -> Redactor:
    """Log to stderr as the settings ask, without the passwords that they hold.

    Returns:
        What takes secrets out of the log; let it follow those that the server comes to know.
    """
    redactor = Redactor()
    redactor.follow(lambda: _passwords(settings))
    configure_logs(settings.log_level, redactor=redactor)
    return redactor


def refuse(failure: Failure) -> int:
    """Tell a person on stderr why nothing was started, and what to do; return the exit code."""
    sys.stderr.write(f"ccxt-mcp: {failure.message}\n{failure.hint}\n")
    return 2


def _passwords(settings: Settings) -> Iterator[str]:
    urls = [url for proxies in (settings, *settings.exchanges.values()) for url in proxies.chosen.values()]
    for url in (*urls, settings.journal_url or ""):
        with suppress(ValueError):  # a journal's URL may have no form that is known here
            if password := urlsplit(url).password:
                yield from {password, unquote(password)}
