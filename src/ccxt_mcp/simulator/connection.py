"""One WebSocket client: what it asks, what it is sent, and what faults make of that."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .faults import Fault, Faults

PATIENCE = 5.0
"""Seconds that a client may leave a message unread."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent; '' and nothing where it made no sense."""

    operation: str
    arguments: tuple[str, ...]
    number: str

    @classmethod
    def read(cls, text: str) -> Request:
        """Read a message."""
        fields = _decoded(text)
        given = fields.get("args")
        arguments = cast("list[object]", given) if isinstance(given, list) else []
        return cls(str(fields.get("op", "")), tuple(str(one) for one in arguments), str(fields.get("req_id", "")))


class _Frame(NamedTuple):
    """What waits to be sent: `due` on the loop's clock; with an `end`, the connection ends that way instead."""

    due: float
    text: bytes
    end: Fault | None = None


class Connection:
    """One client. What it is sent waits in a queue of its own, so that nobody waits for it.

    Attributes:
        id: what Bybit calls conn_id.
        topics: what it has subscribed to.
        open: until it has gone, was cut off, or a fault is about to end it.
    """

    def __init__(self, socket: web.WebSocketResponse, request: web.BaseRequest, number: int, faults: Faults) -> None:
        self.id = f"simulator-{number}"
        self.topics: set[str] = set()
        self.open = True
        self._path = request.path
        self._socket = socket
        self._transport = request.transport
        self._faults = faults
        self._queue: asyncio.Queue[_Frame] = asyncio.Queue()
        self._due = 0.0
        self._closing = False

    def answer(
        self, request: Request, words: str = "", *, success: bool = True, more: Mapping[str, object] | None = None
    ) -> None:
        """Answer a request, after all that waits. Only faults that are meant for such answers strike it."""
        reply = {
            "success": success,
            "ret_msg": words,
            "conn_id": self.id,
            "req_id": request.number,
            "op": request.operation,
            **(more or {}),
        }
        path = f"{self._path}/{request.operation}"
        self._send(request.operation, orjson.dumps(reply), lambda: self._faults.strike_answer(path))

    def tell(self, topic: str, text: bytes, *, increment: bool) -> None:
        """Send news of a topic, after all that waits. `increment`: they are worth nothing without those before."""
        path = f"{self._path}/{topic}"
        self._send(topic, text, lambda: self._faults.strike_message(path, increment=increment))

    async def serve(self, answer: Callable[[Request], None]) -> None:
        """Answer what the client sends, and send what waits for it, until it leaves."""
        writer = asyncio.create_task(self._write(), name="simulator-writer")
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    answer(Request.read(message.data))
        finally:
            self.open = False
            # Saying goodbye has a time limit of its own, and the client shall hear it to the end.
            if not self._closing:
                writer.cancel()
            await asyncio.wait([writer])

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY)

    def _send(self, name: str, text: bytes, strike: Callable[[], tuple[float, Fault | None]]) -> None:
        if not self.open:
            return
        delay, fault = strike()
        match fault and fault.kind:
            case None:
                self._put(text, delay)
            case "duplicate":
                self._put(text, delay)
                self._put(text)
            case "garbage":
                self._put(self._faults.garbage(name, text), delay)
            case "close" | "drop":
                self.open = False
                self._put(b"", delay, fault)
            case _:
                pass  # it is lost

    def _put(self, text: bytes, delay: float = 0.0, end: Fault | None = None) -> None:
        # Never before what already waits: a delay holds up all that follows.
        self._due = max(self._due, asyncio.get_running_loop().time() + delay)
        self._queue.put_nowait(_Frame(self._due, text, end))

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame = await self._queue.get()
            if (wait := frame.due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if frame.end is not None:
                await self._end(frame.end)
                return
            try:
                async with asyncio.timeout_at(frame.due + PATIENCE):
                    await self._socket.send_frame(frame.text, WSMsgType.TEXT)
            except ConnectionError:
                self.open = False
                return
            except TimeoutError:
                self._cut()
                return

    async def _end(self, fault: Fault) -> None:
        if fault.kind == "drop":
            self._cut()
        else:
            self._closing = True
            await self._socket.close(code=fault.code)

    def _cut(self) -> None:
        """End the connection without a goodbye."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class StreamCount:
    """How many connections a stream has, and how many of them are subscribed to each topic."""

    connections: int
    topics: dict[str, int]

    @classmethod
    def of(cls, connections: Iterable[Connection]) -> StreamCount:
        """Count connections and their topics."""
        counted = list(connections)
        return cls(len(counted), dict(Counter(topic for one in counted for topic in sorted(one.topics))))


async def shake_hands(request: web.BaseRequest) -> web.WebSocketResponse:
    """The socket of a client that asks for one."""
    # A client that does not answer a goodbye within a second is left without one.
    socket = web.WebSocketResponse(compress=False, timeout=1.0)
    await socket.prepare(request)
    return socket


def _decoded(text: str) -> dict[str, Any]:
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
