"""The public WebSocket: connections, the topics they share, and the task that keeps them supplied."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import orjson

from .connection import Connection, Request, StreamCount, shake_hands
from .topics import is_increment, open_topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp import web

    from .faults import Faults
    from .markets import Category
    from .topics import Message, Topic
    from .world import World


class Subscriber(Connection):
    """A client of the public stream of one category."""

    def __init__(
        self, socket: web.WebSocketResponse, request: web.BaseRequest, number: int, faults: Faults, category: Category
    ) -> None:
        super().__init__(socket, request, number, faults)
        self.category: Category = category


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


class Channel:
    """A topic and those who hear it: its news are made once, and are the same for all."""

    def __init__(self, name: str, topic: Topic) -> None:
        self._name = name
        self._topic = topic
        # In the order of their coming, so that the same faults strike the same clients.
        self._subscribers: dict[Subscriber, None] = {}

    @property
    def wanted(self) -> bool:
        """Whether anybody hears it."""
        return any(subscriber.open for subscriber in self._subscribers)

    def join(self, subscriber: Subscriber, now: int) -> None:
        """Send a client what begins the topic, and from now on its news."""
        # The others must not miss what has changed before the snapshot that all news now build on.
        self.publish(now)
        self._subscribers[subscriber] = None
        subscriber.topics.add(self._name)
        self._tell(self._topic.first(now), [subscriber])

    def leave(self, subscriber: Subscriber) -> None:
        """Send a client nothing more."""
        self._subscribers.pop(subscriber, None)
        subscriber.topics.discard(self._name)

    def publish(self, now: int) -> None:
        """Send all what is new, where there is anybody."""
        if self._subscribers:
            self._tell(self._topic.news(now), self._subscribers)

    def _tell(self, messages: Iterable[Message], subscribers: Iterable[Subscriber]) -> None:
        for message in messages:
            text, increment = orjson.dumps(message), is_increment(message)
            for subscriber in subscribers:
                subscriber.tell(self._name, text, increment=increment)


class Stream:
    """All public connections. One task supplies them, from the first subscription to the last."""

    def __init__(self, world: World, faults: Faults, now: Callable[[], int], tick: float) -> None:
        self._world = world
        self._faults = faults
        self._now = now
        self._numbers = count(1)
        self._connections: set[Subscriber] = set()
        # Kept when the last subscriber has left, or the numbers of its updates would begin again.
        self._channels: dict[tuple[Category, str], Channel] = {}
        self._supplier = Supplier("simulator-stream", self.publish, self._wanted, tick)

    async def serve(self, request: web.BaseRequest, category: Category) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = await shake_hands(request)
        connection = Subscriber(socket, request, next(self._numbers), self._faults, category)
        self._connections.add(connection)
        try:
            await connection.serve(lambda asked: self._answer(connection, asked))
        finally:
            self._connections.discard(connection)
            self._leave(connection, list(connection.topics))
        return socket

    async def publish(self) -> None:
        """Send every subscriber what is new at this moment."""
        now = self._now()
        for channel in self._channels.values():
            channel.publish(now)

    async def close(self) -> None:
        """Stop supplying and end all connections."""
        await self._supplier.close()
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))

    def count(self, category: Category) -> StreamCount:
        """The connections of a category, and their topics."""
        return StreamCount.of(one for one in self._connections if one.category == category)

    def _wanted(self) -> bool:
        return any(channel.wanted for channel in self._channels.values())

    def _answer(self, connection: Subscriber, request: Request) -> None:
        match request.operation:
            case "ping":
                connection.answer(request, "pong")
            case "subscribe":
                self._subscribe(connection, request)
            case "unsubscribe":
                self._leave(connection, request.arguments)
                connection.answer(request)
            case _:
                connection.answer(request, "Params Error", success=False)

    def _subscribe(self, connection: Subscriber, request: Request) -> None:
        try:
            channels = [self._channel(connection.category, name) for name in request.arguments]
        except ValueError as error:
            connection.answer(request, str(error), success=False)
            return
        connection.answer(request)
        now = self._now()
        for channel in channels:
            channel.join(connection, now)
        if channels:
            self._supplier.start()

    def _channel(self, category: Category, name: str) -> Channel:
        channel = self._channels.get((category, name))
        if channel is None:
            channel = Channel(name, open_topic(self._world, category, name))
            self._channels[category, name] = channel
        return channel

    def _leave(self, connection: Subscriber, names: Iterable[str]) -> None:
        for name in names:
            channel = self._channels.get((connection.category, name))
            if channel is not None:
                channel.leave(connection)
