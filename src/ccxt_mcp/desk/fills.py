"""Fills: what becomes of orders, as the streams of their accounts tell it, without asking."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Literal

from ccxt_mcp.desk.lookup import Wanted
from ccxt_mcp.desk.plan import Plan
from ccxt_mcp.desk.prices import decimal_of
from ccxt_mcp.errors import Failure
from ccxt_mcp.methods import Tier, permit
from ccxt_mcp.streams import Channel, Event, Hub, Subscription, Topic
from ccxt_mcp.streams.stream import Stream

_HOLD = 600.0  # seconds after its last order for which an account's stream is kept open
_LONGEST_WAIT = 1.0
_SHORT_WAIT = 0.1  # where the stream was opened only now, and may have come too late
_YOUNG = 2.0
_SETTLES = 0.01  # in which the fill of an order that takes liquidity follows the first word of it
_DISTRUST = 30.0  # seconds without waiting for a stream that did not tell of an order
_REMEMBERED = 500
_FINAL = frozenset({"closed", "canceled", "expired", "rejected"})

Expected = Literal["at once", "perhaps", "later"]


@dataclass(slots=True)
class _Account:
    """What an account's stream told of late."""

    opened_at: float
    used_at: float
    orders: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict[str, dict[str, Any]])
    news: asyncio.Event = field(default_factory=asyncio.Event)
    stream: Stream | None = None
    distrusted_until: float = 0.0
    task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the exchange tells of orders by itself now."""
        return self.stream is not None and self.stream.origin == "stream" and self.stream.state == "live"


class Fills:
    """Listens to the orders of accounts that place some.

    Args:
        hub: where the streams are.
        clock: monotonic seconds.
    """

    def __init__(self, hub: Hub, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._accounts: dict[tuple[str, str | None], _Account] = {}

    def listen(self, exchange: str, account: str | None) -> None:
        """Begin to listen to an account, or go on; nothing is waited for. A paper account tells by itself."""
        try:
            key = self._hub.gateway.pool.account_key(exchange, account)
            permit(Tier.TRADE, mode=key.mode, allow=self._hub.gateway.settings.allow)
        except Failure:
            return  # the order itself meets the same, and tells of it
        if key.mode == "paper":
            return
        now = self._clock()
        owner = key.exchange, key.account
        heard = self._accounts.get(owner)
        if heard is None or heard.task is None or heard.task.done():
            heard = self._accounts[owner] = _Account(now, now)
            listening = self._hear(heard, Topic(key.exchange, Channel.ORDERS, account=key.account))
            heard.task = asyncio.create_task(listening, name=f"orders of {key.account}", context=Context())
        heard.used_at = now

    async def told(self, wanted: Wanted, *, end: Expected) -> dict[str, Any] | None:
        """Return a new order as its account's stream tells it; None where that is not told soon.

        Of an order that was changed a stream may still tell what it was: that one must be asked for.

        Args:
            wanted: the order.
            end: when it ends, as far as that is known: an end at once is waited for, one that may come shortly.
        """
        heard, now = self._accounts.get((wanted.exchange, wanted.account)), self._clock()
        if heard is None or not heard.up or now < heard.distrusted_until:
            return None
        young = now - heard.opened_at < _YOUNG
        wait = min(_SHORT_WAIT if young else _LONGEST_WAIT, self._hub.gateway.time_left() / 4)
        found = await _heard_of(heard, wanted, wait, final=end == "at once")
        if found is None and not young:
            heard.distrusted_until = self._clock() + _DISTRUST
        if found is not None and end == "perhaps":
            found = await _heard_of(heard, wanted, _SETTLES, final=True) or found
        return found

    async def close(self) -> None:
        """Listen to nobody any more."""
        tasks = [heard.task for heard in self._accounts.values() if heard.task is not None]
        self._accounts.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _hear(self, heard: _Account, topic: Topic) -> None:
        """Keep what the stream tells until nobody has placed an order for a while."""
        try:
            heard.stream, subscription = await self._hub.stream(topic)
        except Failure:
            return
        try:
            while (left := heard.used_at + _HOLD - self._clock()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        if not await self._take(heard, subscription):
                            return
        finally:
            heard.stream = None
            subscription.close()

    async def _take(self, heard: _Account, subscription: Subscription) -> bool:
        event: Event | None = await subscription.next()
        if event is None or event.kind == "error":
            return False
        if event.kind == "data":
            for row in event.data:
                _keep(heard.orders, row)
            heard.news.set()
        return True


def expected_end(plan: Plan) -> Expected:
    """Return whether an order surely ends at once, surely rests, or neither is sure."""
    order, touch = plan.order, decimal_of(plan.effective.get("bid" if plan.order.side == "buy" else "ask"))
    if order.type == "market" or order.time_in_force in {"IOC", "FOK"}:
        return "at once"
    if order.price is None or touch is None or order.trigger_price is not None:
        return "perhaps"
    rests = order.price <= touch if order.side == "buy" else order.price >= touch
    return "later" if rests else "perhaps"


async def _heard_of(heard: _Account, wanted: Wanted, seconds: float, *, final: bool) -> dict[str, Any] | None:
    """Return the newest word on an order, waiting for its end or for the first word."""
    found: dict[str, Any] | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                heard.news.clear()
                found = next((row for row in reversed(heard.orders.values()) if wanted.is_it(row)), None)
                if found is not None and (not final or found.get("status") in _FINAL):
                    return found
                await heard.news.wait()
    return found


def _keep(orders: OrderedDict[str, dict[str, Any]], row: Mapping[str, Any]) -> None:
    told = {name: value for name, value in row.items() if value is not None}
    orders[row["id"]] = orders.get(row["id"], {}) | told
    orders.move_to_end(row["id"])
    while len(orders) > _REMEMBERED:
        orders.popitem(last=False)
