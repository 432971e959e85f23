"""HTTP replies: the good ones, and the broken ones that faults ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .faults import Fault

_JSON = "application/json"
_HTML = "text/html"
_PAGES = {
    "403": (
        403,
        "403 Forbidden",
        "The Amazon CloudFront distribution is configured to block access from your country.",
    ),
    "418": (418, "418 I'm a teapot", "Your address is banned."),
    "500": (500, "500 Internal Server Error", "nginx"),
    "503": (503, "503 Service Unavailable", "The service is under maintenance."),
    "524": (524, "524: A timeout occurred", "The origin web server timed out responding to this request."),
    "execute_then_500": (500, "500 Internal Server Error", "nginx"),
    "html": (200, "Just a moment...", "Checking your browser before accessing the site."),
}
_EXECUTED = {"lose_reply", "execute_then_500", "execute_then_hang"}
_BODIES = {"empty": b"", "object": b"{}", "array": b"[]"}


def json_reply(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON reply."""
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type=_JSON)


def not_found() -> web.Response:
    """The reply to a path that does not exist."""
    return web.Response(text="404 page not found", status=404)


def too_frequent() -> web.Response:
    """Bybit's reply to an address that asks too often."""
    return web.Response(text="403, access too frequent. Please try again later.", status=403)


async def broken_reply(
    fault: Fault, request: web.BaseRequest, refusal: bytes, reply: Callable[[], web.Response], closing: asyncio.Event
) -> web.StreamResponse:
    """What a fault makes of a request.

    `refusal` is the body of a 429; `reply` executes the request and gives its good reply, and is called only by the
    faults that come after execution; `closing` ends a hang.
    """
    if fault.kind in _EXECUTED:
        reply()
    if fault.kind in _PAGES:
        status, title, text = _PAGES[fault.kind]
        head = f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        page = f"{head}<body><h1>{title}</h1><p>{text}</p></body></html>"
        return web.Response(text=page, status=status, content_type=_HTML)
    if fault.kind in _BODIES:
        return web.Response(body=_BODIES[fault.kind], content_type=_JSON)
    match fault.kind:
        case "429":
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return web.Response(body=refusal, status=429, headers=headers, content_type=_JSON)
        case "cut_json":
            return web.Response(body=_half(reply()), content_type=_JSON)
        case "cut_transfer":
            return await _cut_transfer(request, reply())
        case "hang" | "execute_then_hang":
            await closing.wait()
        case _:
            pass
    return cut_off(request)


def cut_off(request: web.BaseRequest) -> web.StreamResponse:
    """End the connection without an answer."""
    return _end(request, web.Response())


async def _cut_transfer(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    cut = web.StreamResponse()
    cut.content_type = _JSON
    cut.content_length = whole.content_length
    await cut.prepare(request)
    await cut.write(_half(whole))
    return _end(request, cut)


def _half(whole: web.Response) -> bytes:
    body = whole.body
    return body[: len(body) // 2] if isinstance(body, bytes) else b""


def _end(request: web.BaseRequest, unsent: web.StreamResponse) -> web.StreamResponse:
    """Close the connection; what was written before still arrives, the reply returned to aiohttp does not."""
    if request.transport is not None:
        request.transport.close()
    return unsent
