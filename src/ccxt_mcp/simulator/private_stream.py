"""The private WebSocket: who is who, what each wants to hear of its account, and what it is sent."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from .connection import Connection, Request, StreamCount, shake_hands
from .documents import order_document, wallet_document
from .stream import Supplier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from .account import Account, Changes
    from .faults import Faults
    from .signatures import Signatures

_CHANNELS = {"order", "execution", "execution.fast", "position", "wallet"}
_CATEGORIES = {"spot", "linear"}
_FAST = (
    "category", "symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId", "side", "execTime",
)  # fmt: skip


class Listener(Connection):
    """A client of the private stream.

    Attributes:
        account: whose news it hears; None until it has shown who it is.
    """

    def __init__(self, socket: web.WebSocketResponse, request: web.BaseRequest, number: int, faults: Faults) -> None:
        super().__init__(socket, request, number, faults)
        self.account: Account | None = None
        self._numbers = count(1)

    def hear(self, changes: Changes) -> None:
        """Send what has changed and is wanted."""
        for topic in sorted(self.topics):
            if data := _data(topic, changes):
                number = f"{self.id}-{next(self._numbers)}"
                news = {"id": number, "topic": topic, "creationTime": changes.time, "data": data}
                self.tell(topic, orjson.dumps(news), increment=True)


class PrivateStream:
    """All private connections. One task looks at their accounts every `tick` seconds."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        signatures: Signatures,
        faults: Faults,
        *,
        now: Callable[[], int],
        server: Callable[[], int],
        tick: float,
    ) -> None:
        self._accounts = accounts
        self._signatures = signatures
        self._faults = faults
        self._now = now
        self._server = server
        self._numbers = count(1)
        self._listeners: set[Listener] = set()
        self._supplier = Supplier("simulator-private-stream", self.publish, self._wanted, tick)

    async def serve(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = await shake_hands(request)
        listener = Listener(socket, request, next(self._numbers), self._faults)
        self._listeners.add(listener)
        try:
            await listener.serve(lambda asked: self._answer(listener, asked))
        finally:
            self._listeners.discard(listener)
            if listener.account is not None:
                listener.account.listeners.discard(listener.hear)
        return socket

    async def publish(self) -> None:
        """Let everything happen to the accounts that somebody listens to; they post what is new."""
        now = self._now()
        for account in {listener.account for listener in self._listeners}:
            if account is not None:
                account.advance(now)

    async def close(self) -> None:
        """Stop looking and end all connections."""
        await self._supplier.close()
        await asyncio.gather(*(listener.close() for listener in list(self._listeners)))

    def count(self) -> StreamCount:
        """The connections, and their topics."""
        return StreamCount.of(self._listeners)

    def _wanted(self) -> bool:
        return any(listener.topics and listener.open for listener in self._listeners)

    def _answer(self, listener: Listener, request: Request) -> None:
        match request.operation:
            case "ping":
                listener.answer(request, more={"op": "pong", "args": [str(self._server())]})
            case "auth":
                self._admit(listener, request)
            case "subscribe" | "unsubscribe" if listener.account is None:
                listener.answer(request, "Request not authorized", success=False)
            case "subscribe":
                self._subscribe(listener, request)
            case "unsubscribe":
                listener.topics.difference_update(request.arguments)
                listener.answer(request)
            case _:
                listener.answer(request, "Params Error", success=False)

    def _admit(self, listener: Listener, request: Request) -> None:
        key = self._signatures.check_stream(request.arguments, self._server())
        if key is None:
            # As on Bybit, the refusal repeats what was sent, the key included.
            asked = {"op": "auth", "args": list(request.arguments)}
            listener.answer(request, "error:USVC1111", success=False, more={"request": asked})
            return
        if listener.account is not None:
            listener.account.listeners.discard(listener.hear)
        listener.account = self._accounts[key]
        listener.account.listeners.add(listener.hear)
        listener.answer(request)

    def _subscribe(self, listener: Listener, request: Request) -> None:
        unknown = [topic for topic in request.arguments if not _known(topic)]
        if unknown:
            words = f"error:handler not found,topic:{unknown[0]}"
            listener.answer(request, words, success=False)
            return
        listener.answer(request)
        listener.topics.update(request.arguments)
        if listener.topics:
            self._supplier.start()


def _known(topic: str) -> bool:
    channel, category = _parted(topic)
    return channel in _CHANNELS and (category is None or channel != "wallet")


def _parted(topic: str) -> tuple[str, str | None]:
    """Channel and category of a topic such as 'order.spot'; None for all categories."""
    channel, _, last = topic.rpartition(".")
    return (channel, last) if last in _CATEGORIES else (topic, None)


def _data(topic: str, changes: Changes) -> list[dict[str, Any]]:
    channel, category = _parted(topic)
    if channel == "wallet":
        return [wallet_document(list(changes.coins))] if changes.coins else []
    match channel:
        case "order":
            found = [order_document(record) for record in changes.orders]
        case "position":
            found = list(changes.positions)
        case _:
            found = [one.document for one in changes.executions]
            if channel == "execution.fast":
                found = [{name: one[name] for name in _FAST} for one in found if one["execType"] == "Trade"]
    return [one for one in found if category in {None, one["category"]}]
