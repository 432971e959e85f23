"""Bare WebSocket clients, who see what goes over the wire."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from ccxt_mcp.simulator import API_KEY, API_SECRET

if TYPE_CHECKING:
    import aiohttp

    from simulator.clocks import Clock


class Client:
    """A client of the public stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def call(self, op: str, *topics: str) -> Any:
        await self.socket.send_json({"op": op, "args": topics, "req_id": "r1"})
        return await self.receive()

    async def subscribe(self, *topics: str) -> None:
        assert (await self.call("subscribe", *topics))["success"] is True

    async def receive(self) -> Any:
        return await self.socket.receive_json(timeout=5)

    async def news(self) -> list[Any]:
        """Everything that has been sent, up to the answer to a ping."""
        await self.socket.send_json({"op": "ping"})
        found: list[Any] = []
        while (message := await self.receive()).get("ret_msg") != "pong":
            found.append(message)
        return found


class Wire:
    """A client of the private stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, clock: Clock) -> None:
        self.socket = socket
        self.clock = clock

    async def call(self, op: str, *arguments: object) -> Any:
        await self.socket.send_json({"op": op, "args": arguments, "req_id": "7"})
        return await self.receive()

    async def receive(self) -> Any:
        return await self.socket.receive_json(timeout=5)

    async def auth(self, key: str = API_KEY, secret: str = API_SECRET, ahead: int = 10_000) -> Any:
        expires = self.clock.ms + ahead
        sign = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), "sha256").hexdigest()
        return await self.call("auth", key, expires, sign)

    async def news(self) -> list[Any]:
        """Everything that has been sent, up to the answer to a ping."""
        await self.socket.send_json({"op": "ping"})
        found: list[Any] = []
        while (message := await self.receive())["op" if "op" in message else "topic"] != "pong":
            found.append(message)
        return found
