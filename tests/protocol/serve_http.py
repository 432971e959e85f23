"""Serve the MCP server over HTTP on an ephemeral loopback port: prints its URL, ends when stdin ends.

Arguments: the cache folder, then optionally "sessions" for the older revisions' stateful way of serving.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from ccxt_mcp.serve import start_logs
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings


async def serve(cache: Path, *, sessions: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
        settings = Settings(cache_dir=cache)
        start_logs(settings)
        app = build_server(settings).streamable_http_app(stateless_http=not sessions, transport_security=security)
        # httptools keeps trailing white space in header values, which the suite's header checks do not forgive.
        config = uvicorn.Config(app, http="h11", log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            sys.stdout.write(f"http://{hosts[0]}/mcp\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
            server.should_exit = True


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sessions="sessions" in sys.argv[2:]))
