"""The public WebSocket: connections, their subscriptions, and the task that keeps them supplied."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from .topics import Message, Topic, open_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .markets import Category
    from .world import World

PATIENCE = 5.0
"""Seconds that a client may leave a message unread."""


class Connection:
    """One client, its category, and its topics by name."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, category: Category, number: int
    ) -> None:
        self.category: Category = category
        self.id = f"simulator-{number}"
        self.topics: dict[str, Topic] = {}
        self._socket = socket
        self._transport = transport

    async def send(self, messages: Iterable[Message]) -> None:
        """Send messages in order. A client that does not read for five seconds is cut off, or all would wait for it."""
        try:
            async with asyncio.timeout(PATIENCE):
                for message in messages:
                    await self._socket.send_str(orjson.dumps(message).decode())
        except ConnectionError:
            self.topics.clear()
        except TimeoutError:
            self.topics.clear()
            if self._transport is not None:
                self._transport.abort()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY)


class Stream:
    """All connections. One task supplies them every `tick` seconds, from the first subscription to the last."""

    def __init__(self, world: World, now: Callable[[], int], tick: float) -> None:
        self._world = world
        self._now = now
        self._tick = tick
        self._numbers = count(1)
        self._connections: set[Connection] = set()
        self._supplier: asyncio.Task[None] | None = None

    async def serve(self, request: web.BaseRequest, category: Category) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(socket, request.transport, category, next(self._numbers))
        self._connections.add(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(connection, message.data)
        finally:
            self._connections.discard(connection)
        return socket

    async def publish(self) -> None:
        """Send every subscriber what is new at this moment."""
        now = self._now()
        await asyncio.gather(*(self._supply(connection, now) for connection in self._connections))

    async def close(self) -> None:
        """Stop supplying and end all connections."""
        supplier, self._supplier = self._supplier, None
        if supplier is not None:
            supplier.cancel()
            await asyncio.wait([supplier])
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))

    async def _supply(self, connection: Connection, now: int) -> None:
        for topic in list(connection.topics.values()):
            await connection.send(topic.news(now))

    async def _run(self) -> None:
        while any(connection.topics for connection in self._connections):
            await asyncio.sleep(self._tick)
            await self.publish()
        self._supplier = None

    async def _answer(self, connection: Connection, text: str) -> None:
        request = _decoded(text)
        operation, arguments = str(request.get("op", "")), request.get("args")
        names = [str(name) for name in cast("list[object]", arguments)] if isinstance(arguments, list) else []
        reply = {
            "success": True,
            "ret_msg": "",
            "conn_id": connection.id,
            "req_id": str(request.get("req_id", "")),
            "op": operation,
        }
        match operation:
            case "ping":
                await connection.send([{**reply, "ret_msg": "pong"}])
            case "subscribe":
                await self._subscribe(connection, names, reply)
            case "unsubscribe":
                for name in names:
                    connection.topics.pop(name, None)
                await connection.send([reply])
            case _:
                await connection.send([{**reply, "success": False, "ret_msg": "Params Error"}])

    async def _subscribe(self, connection: Connection, names: list[str], reply: Message) -> None:
        try:
            topics = {name: open_topic(self._world, connection.category, name) for name in names}
        except ValueError as error:
            await connection.send([{**reply, "success": False, "ret_msg": str(error)}])
            return
        await connection.send([reply])
        now = self._now()
        for name, topic in topics.items():
            await connection.send(topic.first(now))
            # Only now may the supplier see it: news must not overtake the first message.
            connection.topics[name] = topic
        if self._supplier is None and topics:
            self._supplier = asyncio.create_task(self._run(), name="simulator-stream")


def _decoded(text: str) -> dict[str, Any]:
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
