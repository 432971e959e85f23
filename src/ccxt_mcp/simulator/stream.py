"""The public WebSocket: connections, their subscriptions, and the task that keeps them supplied."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from .topics import Message, Topic, open_topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .markets import Category
    from .world import World

PATIENCE = 5.0
"""Seconds that a client may leave a message unread."""


class Connection:
    """One client. `open` until it has gone, or was cut off."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, number: int) -> None:
        self.id = f"simulator-{number}"
        self.open = True
        self._socket = socket
        self._transport = transport

    async def send(self, messages: Iterable[Message]) -> None:
        """Send messages in order. A client that does not read for five seconds is cut off, or all would wait for it."""
        try:
            async with asyncio.timeout(PATIENCE):
                for message in messages:
                    await self._socket.send_str(orjson.dumps(message).decode())
        except ConnectionError:
            self.open = False
        except TimeoutError:
            self.cut()

    def cut(self) -> None:
        """End the connection without a goodbye."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY)


class Subscriber(Connection):
    """A client of a public stream, with its topics by name."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, number: int, category: Category
    ) -> None:
        super().__init__(socket, transport, number)
        self.category: Category = category
        self.topics: dict[str, Topic] = {}


class Supplier:
    """A task that publishes every `tick` seconds, from `start` until nobody wants it any more."""

    def __init__(
        self, name: str, publish: Callable[[], Awaitable[None]], wanted: Callable[[], bool], tick: float
    ) -> None:
        self._name = name
        self._publish = publish
        self._wanted = wanted
        self._tick = tick
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, where it does not run yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while self._wanted():
            await asyncio.sleep(self._tick)
            await self._publish()
        self._task = None


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

    def reply(self, connection: Connection, words: str = "", *, success: bool = True) -> Message:
        """The answer to it."""
        return {
            "success": success,
            "ret_msg": words,
            "conn_id": connection.id,
            "req_id": self.number,
            "op": self.operation,
        }


class Stream:
    """All public connections. One task supplies them, from the first subscription to the last."""

    def __init__(self, world: World, now: Callable[[], int], tick: float) -> None:
        self._world = world
        self._now = now
        self._numbers = count(1)
        self._connections: set[Subscriber] = set()
        self._supplier = Supplier("simulator-stream", self.publish, self._wanted, tick)

    async def serve(self, request: web.BaseRequest, category: Category) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        connection = Subscriber(socket, request.transport, next(self._numbers), category)
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
        await self._supplier.close()
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))

    def _wanted(self) -> bool:
        return any(connection.topics and connection.open for connection in self._connections)

    async def _supply(self, connection: Subscriber, now: int) -> None:
        for topic in list(connection.topics.values()):
            if connection.open:
                await connection.send(topic.news(now))

    async def _answer(self, connection: Subscriber, text: str) -> None:
        request = Request.read(text)
        match request.operation:
            case "ping":
                await connection.send([request.reply(connection, "pong")])
            case "subscribe":
                await self._subscribe(connection, request)
            case "unsubscribe":
                for name in request.arguments:
                    connection.topics.pop(name, None)
                await connection.send([request.reply(connection)])
            case _:
                await connection.send([request.reply(connection, "Params Error", success=False)])

    async def _subscribe(self, connection: Subscriber, request: Request) -> None:
        try:
            topics = {name: open_topic(self._world, connection.category, name) for name in request.arguments}
        except ValueError as error:
            await connection.send([request.reply(connection, str(error), success=False)])
            return
        await connection.send([request.reply(connection)])
        now = self._now()
        for name, topic in topics.items():
            await connection.send(topic.first(now))
            # Only now may the supplier see it: news must not overtake the first message.
            connection.topics[name] = topic
        if topics:
            self._supplier.start()


def _decoded(text: str) -> dict[str, Any]:
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
