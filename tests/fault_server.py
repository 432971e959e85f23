"""A proxy that answers every request with one fault; the first segment of the path says which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

PAGE = "<html><head><title>Attention required</title></head><body>https://edge.example/?token=leak-me</body></html>"


def _page(status: int, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=PAGE, content_type="text/html", headers=headers)

    return answer


def _body(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return answer


async def _hang(request: web.Request) -> web.StreamResponse:
    await request.app[GONE].wait()
    return web.Response(status=503)


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "4096", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"result":[{"symbol":"BTC')
    assert request.transport is not None
    request.transport.close()
    return response


FAULTS: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "hang": _hang,
    "429": _page(429, **{"Retry-After": "77"}),
    "418": _page(418),
    "403": _page(403),
    "500": _page(500),
    "503": _page(503),
    "524": _page(524),
    "200-html": _page(200),
    "200-empty": _body(""),
    "200-truncated": _body('{"result":[{"symbol":"BTCUSDT","lastPrice":"600'),
    "200-cut": _cut,
    "200-object": _body("{}"),
    "200-array": _body("[]"),
}

GONE = web.AppKey("gone", asyncio.Event)


@asynccontextmanager
async def fault_server() -> AsyncGenerator[str]:
    """Serve the faults on loopback; yields the URL to which a fault's name and a slash are appended."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await FAULTS[request.path.split("/", 2)[1]](request)

    app = web.Application()
    app[GONE] = asyncio.Event()
    app.router.add_route("*", "/{everything:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/"
    finally:
        app[GONE].set()
        await runner.cleanup()
