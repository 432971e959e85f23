"""Live: a ccxt.pro instance made safe to run for days, whose streams the Hub awaits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.books import order_book
from ccxt_mcp.exchanges.quirks import CLAIMS_IN_VAIN, lineage
from ccxt_mcp.exchanges.signing import Leave, disarm
from ccxt_mcp.exchanges.translate import Reply, translate
from ccxt_mcp.exchanges.venue import VenueKey, guarded

_BYBIT = frozenset({"bybit"})
_NO_SNAPSHOTS = {
    "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
    "watchBalance": {"awaitBalanceSnapshot": False},
}
"""Options of ccxt by which a stream does not begin with a request, which would hang it for good where it failed.

Those who read such a stream ask for the state themselves.
"""


class Streaming:
    """Mixed in front of a ccxt.pro class: no message ends a connection's reading without a word, and all is closed."""

    clients: dict[str, Any] | None

    def client(self, url: str) -> Any:
        """Return the connection to a URL.

        ccxt handles messages in a task's callback. An error there (a frame that is no JSON, or JSON of another shape)
        reaches nobody and stops the reading for good, while all who wait go on waiting. Here it breaks the connection.
        """
        if (known := (self.clients or {}).get(url)) is not None:
            return known  # with each update it is asked for
        base: Any = super()
        client = base.client(url)
        client.handle_message = functools.partial(_handle_safely, client, client.handle_message)
        client.open = functools.partial(_open_known, client, client.open)
        client.future = functools.partial(_note_wait, client, client.future)
        return client

    def order_book(self, snapshot: Any = None, depth: int | None = None) -> Any:
        """Return an order book whose levels may be handed out as they are."""
        return order_book(snapshot or {}, depth)

    async def close_ws_clients(self) -> None:
        """Close all connections, those too that are being made: ccxt would leave them, and they would stay for good."""
        base: Any = super()
        dials = [dial for client in (base.clients or {}).values() if (dial := vars(client).get("dial")) is not None]
        for dial in dials:
            dial.cancel()
        if dials:
            await asyncio.wait(dials)
        await base.close_ws_clients()


class Wait(NamedTuple):
    """What a call of ccxt waits for.

    Attributes:
        client: a connection.
        name: by which ccxt knows the future there; it is another future each time.
    """

    client: Any
    name: str

    def is_current(self, exchange: Any) -> bool:
        """Whether the connection is the one in use; nothing comes on another one."""
        return exchange.clients.get(self.client.url) is self.client

    def future(self) -> Any:
        """Return the future of the next update."""
        return self.client.future(self.name)


_waits: ContextVar[list[Wait] | None] = ContextVar("ccxt_mcp_waits", default=None)


def _note_wait(client: Any, future: Callable[[str], Any], name: str) -> Any:
    if (waits := _waits.get()) is not None and (wait := Wait(client, name)) not in waits:
        waits.append(wait)
    return future(name)


async def _open_known(client: Any, opening: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Open a connection in a task that can be found."""
    client.dial = asyncio.current_task()
    try:
        await opening(*arguments)
    finally:
        client.dial = None


def _handle_safely(client: Any, handle: Callable[[Any], None], message: Any) -> None:
    if client.error is not None:
        return  # it is being closed; its successor has the word
    try:
        handle(message)
    except Exception:  # noqa: BLE001 - whatever a parser meets; it goes on as the connection's error
        from ccxt.base.errors import BadResponse  # noqa: PLC0415 - ccxt is imported by whoever made the client

        client.on_error(BadResponse("a message that cannot be read"))


class _Checked:
    """Mixed in front of Bybit's class: ccxt takes news without data for no news, and does not notice lost increments.

    Bybit numbers the messages of a book without holes (`u`; 1 is a snapshot after a restart of its service):
    https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
    """

    def handle_message(self, client: Any, message: Any) -> None:
        """Refuse news without data, which would be lost without a word."""
        base: Any = super()
        if isinstance(message, dict) and "topic" in message and not isinstance(message.get("data"), dict | list):
            from ccxt.base.errors import BadResponse  # noqa: PLC0415 - as above

            raise BadResponse("news without data")
        base.handle_message(client, message)

    def handle_order_book(self, client: Any, message: Any) -> None:
        """Apply a snapshot, or the increment that follows; after a hole nothing until the next snapshot."""
        base: Any = super()
        data = message["data"]
        known: dict[str, int | None] = vars(client).setdefault("book_numbers", {})
        topic, number = message["topic"], data["u"]
        if message["type"] == "snapshot" or number == 1:
            known[topic] = number
        elif (last := known.get(topic)) is None or number <= last:
            return  # out of step already, or a message that came twice
        elif number != last + 1:
            from ccxt.base.errors import ChecksumError  # noqa: PLC0415 - as above

            known[topic] = None
            symbol = base.safe_market(data["s"], None, None, "spot" if "spot" in client.url else "contract")["symbol"]
            client.reject(ChecksumError("an increment of the order book is missing"), f"orderbook:{symbol}")
            return
        else:
            known[topic] = number
        base.handle_order_book(client, message)


@functools.cache
def streaming(exchange_class: type[Any]) -> type[Any]:
    """Return a ccxt.pro class with our guards in front; it keeps its name, so that messages and reprs do too."""
    guards = (_Checked, Streaming) if lineage(exchange_class) & _BYBIT else (Streaming,)
    return type(exchange_class.__name__, (*guards, guarded(exchange_class)), {})


class Live:
    """The streams of one exchange in one environment, for one account or for none.

    Args:
        key: which exchange, environment and account.
        exchange: an instance of a class made by `streaming`.
    """

    def __init__(self, key: VenueKey, exchange: Any) -> None:
        self.key = key
        self.exchange = exchange
        self._ids = lineage(type(exchange))
        self._leave: Leave | None = None
        for method, options in _NO_SNAPSHOTS.items():
            known = exchange.options.get(method, {})
            if isinstance(known, dict):
                exchange.options[method] = known | options

    def offers(self, method: str) -> bool:
        """Whether the exchange itself sends what a `watch…` or `unWatch…` method of ccxt is for."""
        vain = any(method in CLAIMS_IN_VAIN[exchange] for exchange in self._ids & CLAIMS_IN_VAIN.keys())
        return not vain and self.exchange.has.get(method) is True

    @property
    def dialect(self) -> frozenset[str]:
        """The ids of the exchange's class and of those that it inherits from."""
        return self._ids

    @property
    def connected(self) -> bool:
        """Whether there are connections, and all of them are up."""
        clients = (self.exchange.clients or {}).values()
        return bool(clients) and not any(client.closed() for client in clients)

    def enter(self) -> None:
        """Let the task that calls this sign for the account, until the instance is closed.

        ccxt's own tasks, which renew keys of private streams, sign in the context of the one that made them; so the
        leave is one for all of an instance's tasks and ends with none of them.
        """
        held = self.exchange.held
        if held is None:
            return
        if self._leave is None:
            self._leave = Leave(self.exchange, held, self._ids)
        self._leave.enter()

    @contextmanager
    def waits(self) -> Generator[list[Wait]]:
        """Note what the calls made inside wait for."""
        waits: list[Wait] = []
        token = _waits.set(waits)
        try:
            yield waits
        finally:
            _waits.reset(token)

    def failure(self, error: BaseException) -> Failure:
        """Return what an error of a stream means, and leave no secret in the error."""
        cause = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
        reply = None if cause is None else Reply(getattr(cause, "status", None), shape="text")  # its text has the URL
        if self.exchange.held is not None:
            disarm(error, self.exchange.held.scrub)
        return translate(error, exchange=self.key.exchange, reply=reply)

    async def reconnect(self) -> None:
        """Close the connections; each stream of this instance learns of it as of a broken one, and begins anew."""
        await self.exchange.close_ws_clients()

    async def close(self) -> None:
        """Close the connections and end the leave to sign; the shared HTTP session stays open."""
        try:
            with suppress(Exception):  # ccxt's own closing may meet what is closed already
                await self.exchange.close()
        finally:
            if self._leave is not None:
                self._leave.end()


def check_streams(exchange: Any, *, production: set[str], testnet: bool, by_url: bool) -> None:
    """Refuse an instance whose streams would not go where its requests go.

    Args:
        exchange: ccxt's instance, pointed at its environment.
        production: the hosts of its streams before that.
        testnet: whether it is meant for a testnet.
        by_url: whether its requests pass a proxy that is put in front of their URLs, which streams cannot.

    Raises:
        Failure: METHOD_NOT_SUPPORTED.
    """
    if by_url:
        raise Failure(Code.METHOD_NOT_SUPPORTED, f"{exchange.id} has no streams through a proxy_url.")
    hosts = stream_hosts(exchange)
    if testnet and (not hosts or hosts & production):
        raise Failure(Code.METHOD_NOT_SUPPORTED, f"{exchange.id} has no streams in its testnet.")


def stream_hosts(exchange: Any) -> set[str]:
    """Return the hosts of an instance's streams."""
    return {host for url in _texts(exchange.urls["api"]) if url.startswith("ws") and (host := urlsplit(url).hostname)}


def _texts(urls: Any) -> list[str]:
    if isinstance(urls, dict):
        return [text for value in urls.values() for text in _texts(value)]
    return [urls] if isinstance(urls, str) else []
