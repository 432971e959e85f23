"""The simulator: an exchange on the loopback interface that speaks Bybit v5, for real ccxt classes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self, cast

import orjson
from aiohttp import web

from .account import accounts
from .api import Answer, Api, Ask, envelope, without_prices
from .config import ccxt_config
from .faults import Fault, Faults
from .floor import Floor
from .keys import KEYS, Key
from .limits import KEY_LIMITS, AddressLimit, KeyLimit, Requests
from .private_stream import PrivateStream
from .replies import broken_reply, cut_off, json_reply, not_found, too_frequent
from .signatures import Signatures
from .stream import Stream
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .connection import StreamCount
    from .markets import Category

_STREAMS: Mapping[str, Category] = {"/v5/public/spot": "spot", "/v5/public/linear": "linear"}
_PRIVATE = "/v5/private"
_CONTROL = "/_simulator/"


class Simulator:
    """A simulated exchange.

    `seed` chooses the world. `latency` delays every answer, in seconds. `clock` tells the time, in seconds since the
    epoch. `tick` is the time between WebSocket updates, in seconds. `ip_limit` is Bybit's limit on all requests
    together, as a number and a window in seconds, None for no limit. `key_limit` is how many requests a second a key
    may send to a path: by path, or one number for all, or None for no limit. `keys` are the keys by name, or their
    secrets where a key is an ordinary one; each has an account of its own.
    """

    def __init__(
        self,
        seed: int = 7,
        latency: float = 0.0,
        clock: Callable[[], float] = time.time,
        *,
        tick: float = 0.25,
        ip_limit: tuple[int, float] | None = (600, 5.0),
        key_limit: Mapping[str, int] | int | None = KEY_LIMITS,
        keys: Mapping[str, Key | str] = KEYS,
    ) -> None:
        self.requests = Requests()
        self.faults = Faults(seed)
        self._latency = latency
        self._clock = clock
        self._address_limit = AddressLimit(*ip_limit, clock) if ip_limit is not None else None
        world = World(seed)
        floor = Floor(world)
        known = {name: Key(secret=key) if isinstance(key, str) else key for name, key in keys.items()}
        signatures = Signatures(known)
        self._accounts = accounts(known, floor, self._now())
        self._api = Api(world, floor, self._accounts, signatures, KeyLimit(key_limit))
        self._stream = Stream(world, self.faults, self._now, tick)
        self._private = PrivateStream(
            self._accounts, signatures, self.faults, now=self._now, server=self._server_now, tick=tick
        )
        self._late: set[asyncio.Task[web.Response]] = set()
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens: 'http://127.0.0.1:PORT'. Raises RuntimeError when it does not."""
        if self._runner is None:
            raise RuntimeError("the simulator is not running: call start() first")
        return self._url

    def ccxt_config(self) -> dict[str, Any]:
        """What to merge into the configuration of a ccxt bybit class to make it talk to this simulator."""
        return ccxt_config(self.url)

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. Raises OSError when the port is taken."""
        if self._runner is not None:
            raise RuntimeError("the simulator is already running")
        self._closing.clear()
        # Cancelled handlers: a client that goes away must not leave a hang or a delay behind.
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._runner = runner

    async def publish(self) -> None:
        """Send WebSocket subscribers what is new now, without waiting for the next tick."""
        await self._stream.publish()
        await self._private.publish()

    def streams(self) -> dict[str, StreamCount]:
        """The open WebSocket connections and their subscriptions by topic, for each stream's path."""
        public = {path: self._stream.count(category) for path, category in _STREAMS.items()}
        return {**public, _PRIVATE: self._private.count()}

    async def close(self) -> None:
        """Stop listening, end all connections and hanging requests. Closing twice is harmless."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._closing.set()
        for task in self._late:
            task.cancel()
        await self._stream.close()
        await self._private.close()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _server_now(self) -> int:
        return self._now() + self.faults.skew_ms

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(_CONTROL):
            return await self._control(request)
        self.requests.count(path)
        if self._address_limit is not None and not self._address_limit.admit():
            self.requests.rejected += 1
            return too_frequent()
        return await self._answered(request)

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        """What the exchange makes of a request that was let in, and a fault of that."""
        path = request.path
        delay, fault = self.faults.strike(path)
        if delay + self._latency > 0:
            await asyncio.sleep(delay + self._latency)
        if path in _STREAMS and fault is None:
            return await self._stream.serve(request, _STREAMS[path])
        if path == _PRIVATE and fault is None:
            return await self._private.serve(request)
        ask = await _ask(request)
        if fault is None or fault.kind == "blank_ticker":
            return self._reply(ask, blank=fault is not None)
        if fault.kind == "execute_late":
            return await self._reply_late(request, ask, fault.seconds)
        refusal = orjson.dumps(envelope(10006, "Too many visits. Exceeded the API Rate Limit.", {}, self._server_now()))
        return await broken_reply(fault, request, refusal, lambda: self._reply(ask), self._closing)

    def _reply(self, ask: Ask, *, blank: bool = False, server: int | None = None) -> web.Response:
        """Execute a request; `server` is what the server's clock said when it came in, where that was before."""
        answer: Answer | None = self._api.answer(ask, self._now(), self._server_now() if server is None else server)
        if answer is None:
            return not_found()
        if blank:
            answer = without_prices(ask, answer)
        return json_reply(answer.document, headers=answer.headers)

    async def _reply_late(self, request: web.BaseRequest, ask: Ask, seconds: float) -> web.StreamResponse:
        """Execute a request later, in a task that the client's going does not end."""
        server = self._server_now()

        async def execute() -> web.Response:
            await asyncio.sleep(seconds)
            return self._reply(ask, server=server)

        task = asyncio.create_task(execute(), name="simulator-late")
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.wait([task])
        return cut_off(request) if task.cancelled() else task.result()

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """What is not of the exchange: its faults, and the truth about its orders and streams."""
        if request.path == f"{_CONTROL}faults":
            return await self._control_faults(request)
        if request.path == f"{_CONTROL}orders":
            return self._orders(request.query.get("link"))
        if request.path == f"{_CONTROL}streams":
            return json_reply(self.streams())
        return not_found()

    def _orders(self, link: str | None) -> web.Response:
        """GET /_simulator/orders: every order ever accepted, and how often each of the clients' own ids was sent.

        `link` asks for one of these ids.
        """
        orders: list[dict[str, Any]] = []
        asked: Counter[str] = Counter()
        for account in self._accounts.values():
            account.advance(self._now())
            records = account.records.values()
            orders += (account.truth(record) for record in records if link in {None, record.link})
            asked.update({name: number for name, number in account.asked.items() if link in {None, name}})
        return json_reply({"orders": orders, "asked": asked})

    async def _control_faults(self, request: web.BaseRequest) -> web.Response:
        """GET, POST and DELETE /_simulator/faults: see, set and clear the faults of a running simulator."""
        if request.method == "DELETE":
            self.faults.clear()
        elif request.method == "POST":
            try:
                document: object = orjson.loads(await request.read())
                documents = cast("list[object]", document if isinstance(document, list) else [document])
                self.faults.set(*(Fault.parse(one) for one in documents))
            except ValueError as error:
                return json_reply({"error": str(error)}, status=400)
        return json_reply({"faults": self.faults.documents()})


async def _ask(request: web.BaseRequest) -> Ask:
    payload = request.rel_url.raw_query_string
    if request.method == "POST":
        payload = (await request.read()).decode("utf-8", "replace")
    return Ask(request.method, request.path, request.query, request.headers, payload)
