"""Alerting: watches what alerts wait for, across restarts, and tells of each firing once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, replace
from itertools import chain
from itertools import repeat as ever
from math import inf
from typing import TYPE_CHECKING, Any

import structlog

from ccxt_mcp.analytics.conditions import Condition
from ccxt_mcp.analytics.watcher import Fired, Watcher
from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope, internal_failure
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.streams.channels import Channel
from ccxt_mcp.streams.events import Event
from ccxt_mcp.streams.following import Following, following
from ccxt_mcp.streams.hub import Hub, Topic
from ccxt_mcp.streams.stream import Stream

if TYPE_CHECKING:
    from ccxt_mcp.journal import Alert, Journal

log = structlog.get_logger(__name__)

_AGAIN = 15.0  # seconds after which a market that cannot be watched is tried anew
_SUBSCRIBED = 2.0  # seconds after which the stream of an account's orders is up
_LOOK_AGAIN = 60.0
_ALL = 1000  # more than a journal keeps
_LOOK = 30.0  # seconds between two looks at what other processes did to alerts
Find = Callable[[str, str | None, str, str | None], Awaitable[Envelope]]
"""(exchange, account, the exchange's id of an order or ours, symbol) -> the order as it is now."""


@dataclass(slots=True)
class Watch:
    """One alert that is watched now.

    Attributes:
        alert: what is wanted, as it was when it was read last.
        watcher: follows its condition.
        failure: why its market cannot be watched at the moment.
    """

    alert: Alert
    watcher: Watcher
    failure: Failure | None = None
    task: asyncio.Task[None] | None = None


class Alerting:
    """Keeps an eye on all active alerts of the journal.

    Of several processes with one journal each watches; the journal lets one of them tell of a firing.

    Args:
        hub: where the streams are.
        journal: opens the journal.
        find: looks an order up, which may have been filled before anybody watched.

    Attributes:
        hub: the same hub.
        find: the same search.
    """

    def __init__(self, hub: Hub, journal: Callable[[], Awaitable[Journal]], find: Find) -> None:
        self.hub = hub
        self._journal = journal
        self.find = find
        self._watches: dict[str, Watch] = {}
        self._looking: asyncio.Task[None] | None = None
        self._listeners: set[Callable[[Alert], None]] = set()

    def listen(self, listener: Callable[[Alert], None]) -> None:
        """Have a listener told of each alert that fires in this process."""
        self._listeners.add(listener)

    async def create(
        self,
        condition: Condition,
        *,
        exchange: str,
        symbol: str,
        account: str | None,
        who: str,
        note: str = "",
        repeat: bool = False,
        expires_ms: int | None = None,
    ) -> Alert:
        """Record an alert and watch for it from now on, also after a restart.

        Args:
            condition: when it fires.
            exchange: where.
            symbol: the market, as the caller wrote it.
            account: whose orders or positions, for conditions on these, or whose environment; None for the exchange's
                default.
            who: who asks.
            note: what they want to be reminded of.
            repeat: whether it goes on after it has fired.
            expires_ms: from when on it fires no more, in milliseconds since the epoch.

        Raises:
            Failure: the market or account is not known or not allowed, it cannot be watched at all, too many alerts are
                active, or the journal cannot be used.
        """
        from ccxt_mcp.journal import Alert  # noqa: PLC0415 - a quarter of a second that reading saves

        if repeat and condition.kind == "order_filled":
            raise Failure(Code.INVALID_ARGUMENT, "repeat makes no sense for order_filled: an order is filled once.")
        account = self.account_of(condition, exchange, account)
        async with following(self.hub, topics_of(condition, exchange, symbol, account)) as follow:
            if follow.failures:
                raise next(iter(follow.failures.values()))
            key = next(iter(follow.streams.values())).key
            alert = Alert(
                id=secrets.token_hex(4),
                exchange=exchange,
                account=account or "",
                symbol=key.symbol or symbol,
                condition=(await self._sided(condition, exchange, symbol, account)).to_dict(),
                who=who,
                created_ms=self.hub.gateway.now_ms(),
                note=note,
                repeat=repeat,
                expires_ms=expires_ms,
            )
            await (await self._journal()).alerts.add(alert)
            self._watch(alert)
            await asyncio.sleep(0)  # its watch joins the streams before they are left here
        self._look_on()
        return alert

    def account_of(self, condition: Condition, exchange: str, account: str | None) -> str | None:
        """Return the name of the account that a condition is about; None for one on public data that names none.

        Raises:
            Failure: UNKNOWN_EXCHANGE, or INVALID_ARGUMENT for an unknown account.
        """
        if account is None and not condition.private:
            return None
        return self.hub.gateway.pool.account_key(exchange, account).account

    async def delete(self, alert_id: str) -> bool:
        """Delete an alert; return whether there was one."""
        deleted = await (await self._journal()).alerts.delete(alert_id)
        self._unwatch(alert_id)
        return deleted

    async def all(self, limit: int, *, state: str | None = None) -> list[Alert]:
        """Return alerts, the newest first, in whatever state they are or in one."""
        journal = await self._journal()
        await journal.alerts.expire(self.hub.gateway.now_ms())
        kept = await journal.alerts.all(_ALL)
        return [alert for alert in kept if state in (None, alert.state)][:limit]

    def watch_of(self, alert_id: str) -> Watch | None:
        """Return how an alert is watched in this process, if it is."""
        return self._watches.get(alert_id)

    async def resume(self) -> None:
        """Watch for the alerts that are active, whoever made them; goes on looking for new ones.

        Raises:
            Failure: the journal cannot be used.
        """
        await self._compare()
        self._look_on()

    async def close(self) -> None:
        """Watch no more; active alerts are watched again after the next start."""
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        tasks += [self._looking] if self._looking is not None else []
        self._watches.clear()
        self._looking = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- watching ----------------------------------------------------------------------------------------------------

    async def _sided(self, condition: Condition, exchange: str, symbol: str, account: str | None) -> Condition:
        """Return a crossing with the side on which the price is now, so that one during a restart is seen."""
        if condition.kind != "price_crosses" or condition.value is None:
            return condition
        answer = await self.hub.gateway.call(Call("fetchTicker", exchange, symbol=symbol, account=account))
        last = (answer.data or {}).get("last")
        if last is None or last == condition.value:
            return condition
        return replace(condition, side="above" if last > condition.value else "below")

    def _watch(self, alert: Alert) -> None:
        condition = Condition.from_dict(alert.condition)
        if alert.repeat and alert.fired and (side := alert.fired.get("side")) in ("above", "below"):
            condition = replace(condition, side=side)
        watch = Watch(alert, Watcher(condition, symbol=alert.symbol, repeat=alert.repeat))
        watch.watcher.gap()  # nobody may have watched until now
        self._watches[alert.id] = watch
        watch.task = asyncio.create_task(self._run(watch), name=f"alert {alert.id}", context=Context())

    def _unwatch(self, alert_id: str) -> None:
        watch = self._watches.pop(alert_id, None)
        if watch is not None and watch.task is not None and watch.task is not asyncio.current_task():
            watch.task.cancel()

    async def _run(self, watch: Watch) -> None:
        """Watch one alert until it has ended."""
        while True:
            try:
                if await self._follow(watch):
                    self._unwatch(watch.alert.id)
                    return
            except Failure as failure:
                watch.failure = failure
            except Exception:
                log.exception("an alert's watch crashed", alert=watch.alert.id)
                watch.failure = internal_failure()
            await asyncio.sleep(_AGAIN)

    async def _follow(self, watch: Watch) -> bool:
        """Follow what an alert is about; return whether the alert has ended, or False when the streams have."""
        alert, watcher = watch.alert, watch.watcher
        async with self.watching(watcher, alert.exchange, alert.symbol, alert.account or None) as (_, seen):
            watch.failure = None
            async for event, fired in seen:
                if event is not None and event.kind == "error":
                    watch.failure = event.failure
                if fired is not None and await self._fire(watch, fired):
                    return True
                if watcher.ended is not None:  # it will not be met any more, and that is told as well
                    vain = {"orderEnded": watcher.ended, **(watcher.distance or {})}
                    return await self._fire(watch, Fired(self.hub.gateway.now_ms(), vain))
        return False

    @asynccontextmanager
    async def watching(
        self, watcher: Watcher, exchange: str, symbol: str, account: str | None
    ) -> AsyncGenerator[tuple[list[Stream], AsyncIterator[tuple[Event | None, Fired | None]]]]:
        """Feed a watcher from the streams that its condition is seen on.

        Yields these streams, and then of each event whether the condition is met by it.

        An order is looked up besides, at once and when it is surely watched: what happened before comes with no event.

        Args:
            watcher: follows the condition.
            exchange: where.
            symbol: the market.
            account: whose orders or positions, for conditions on these.

        Raises:
            Failure: none of the streams can be opened, or the order is not known.
        """
        topics = topics_of(watcher.condition, exchange, symbol, account)
        async with following(self.hub, topics) as follow:
            if len(follow.failures) == len(topics):
                raise next(iter(follow.failures.values()))
            async with aclosing(self._fed(watcher, follow, exchange, symbol, account)) as seen:
                yield list(follow.streams.values()), seen

    async def _fed(
        self, watcher: Watcher, follow: Following, exchange: str, symbol: str, account: str | None
    ) -> AsyncGenerator[tuple[Event | None, Fired | None]]:
        order_id = watcher.condition.order_id
        looks = ever(inf) if order_id is None else chain([0.0, _SUBSCRIBED], ever(_LOOK_AGAIN))
        async with aclosing(follow.events_and_pauses(looks)) as told:
            async for topic, event in told:
                if topic is None or event is None:
                    order = (await self.find(exchange, account, order_id or "", symbol)).unwrap()
                    yield None, watcher.see(Channel.ORDERS, [order], self.hub.gateway.now_ms())
                    continue
                if event.kind in ("gap", "stale"):
                    watcher.gap()
                seen = watcher.see(topic.channel, event.data, event.at_ms) if event.kind == "data" else None
                yield event, seen

    async def _fire(self, watch: Watch, fired: Fired) -> bool:
        """Record a firing, and tell of it if no other process did; return whether the alert has ended."""
        alerts = (await self._journal()).alerts
        alert = watch.alert
        side = watch.watcher.condition.side
        facts = fired.facts | ({} if side is None else {"side": side})
        at_ms = max(fired.at_ms, alert.created_ms)  # what a stream knew before counts as seen when the alert was made
        told = await alerts.fire(alert.id, facts, at_ms, alert.fired_count)
        now = await alerts.get(alert.id)
        if now is None:
            return True
        watch.alert = now
        if told:
            log.info("alert fired", alert=alert.id, exchange=alert.exchange, symbol=alert.symbol)
            for listener in list(self._listeners):
                listener(now)
        return now.state != "active"

    # -- what other processes do -------------------------------------------------------------------------------------

    def _look_on(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking(), name="alerts", context=Context())

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            with suppress(Failure):  # the journal may be back at the next look
                await self._compare()

    async def _compare(self) -> None:
        """Watch the alerts that are active, and no others."""
        alerts = (await self._journal()).alerts
        now = self.hub.gateway.now_ms()
        await alerts.expire(now)
        active = {alert.id: alert for alert in await alerts.active(now)}
        for alert_id in self._watches.keys() - active.keys():
            self._unwatch(alert_id)
        for alert in active.values():
            if alert.id not in self._watches:
                try:
                    self._watch(alert)
                except Failure as failure:
                    log.warning("an alert makes no sense", alert=alert.id, reason=failure.message)


def topics_of(condition: Condition, exchange: str, symbol: str, account: str | None) -> list[Topic]:
    """Return the streams that a condition is seen on."""
    return [Topic(exchange, Channel(name), symbol, account=account) for name in condition.channels]


ALERT_COLUMNS: tuple[str, ...] = (
    "id", "state", "when", "exchange", "symbol", "account", "note", "repeat", "createdMs", "expiresMs", "firedCount",
    "firedMs", "fired", "now", "trouble",
)  # fmt: skip
"""What is told of an alert: `fired` is what was seen when it fired last, `now` what is seen at present."""


def row_of(alert: Alert, watch: Watch | None) -> list[Any]:
    """Return an alert as a row of ALERT_COLUMNS.

    Args:
        alert: the alert.
        watch: how it is watched in this process, if it is.
    """
    return [
        alert.id, alert.state, Condition.from_dict(alert.condition).words(alert.symbol), alert.exchange, alert.symbol,
        alert.account or None, alert.note or None, alert.repeat, alert.created_ms, alert.expires_ms, alert.fired_count,
        alert.fired_ms, alert.fired, watch and watch.watcher.distance,
        watch and watch.failure and watch.failure.message,
    ]  # fmt: skip
