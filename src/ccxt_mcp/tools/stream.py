"""Live streams: watch for a while, wait for something, and alerts that outlive a call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import Field

from ccxt_mcp.analytics.conditions import Condition
from ccxt_mcp.analytics.watched import Watched
from ccxt_mcp.analytics.watcher import Fired, Watcher
from ccxt_mcp.envelope import Envelope, Table, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.streams.alerting import ALERT_COLUMNS, Alerting, row_of, topics_of
from ccxt_mcp.streams.channels import CHANNELS, Channel
from ccxt_mcp.streams.events import Event
from ccxt_mcp.streams.following import Following, following
from ccxt_mcp.streams.hub import Topic
from ccxt_mcp.streams.stream import Stream
from ccxt_mcp.text import clean_text
from ccxt_mcp.times import parse_end
from ccxt_mcp.tools import as_data, tool
from ccxt_mcp.tools.human import caller
from ccxt_mcp.tools.parameters import ExchangeId, Limit, Moment, OwnAccount, Symbol, Timeframe

_MOST_TOPICS = 40
_TOLD_EVERY = 1.0  # seconds between two progress notifications

_Kind = Annotated[
    Literal[
        "price_above",
        "price_below",
        "price_crosses",
        "spread_below",
        "change_over",
        "order_filled",
        "liquidation_within",
    ],
    Field(description="What must hold."),
]
_Channels = list[Literal["ticker", "book", "trades", "candles", "orders", "own_trades", "balance", "positions"]]
_More = Annotated[list[str] | None, Field(description="More of them.", max_length=40)]
_Value = Annotated[float | None, Field(description="Price; spread in bps; change or distance in percent.")]
_Window = Annotated[float | None, Field(description="Seconds, for change_over.")]
_OrderId = Annotated[str | None, Field(description="For order_filled.", max_length=100)]


@tool("Watch live", idempotent=False, default=False)
async def stream_watch(
    alerting: Alerting,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: Annotated[str | None, Field(description="Market; a balance has none.", max_length=100)] = None,
    channels: Annotated[_Channels, Field(description="What to watch.")] = ["ticker"],  # noqa: B006 - pydantic copies it
    symbols: _More = None,
    exchanges: _More = None,
    timeframe: Timeframe = "1m",
    account: OwnAccount = None,
    seconds: Annotated[float, Field(description="At most so long.", ge=0.1, le=300)] = 10.0,
    updates: Annotated[int | None, Field(description="Ends after so many.", ge=1, le=100_000)] = None,
    condition: Annotated[_Kind | None, Field(description="Ends when it is met.")] = None,
    value: _Value = None,
    window: _Window = None,
    order_id: _OrderId = None,
    limit: Annotated[int, Field(description="Newest rows of each.", ge=1, le=200)] = 5,
) -> Envelope:
    """Watch streams for some seconds: first, last, high, low, volume, gaps, newest rows of each."""
    wanted = None if condition is None else Condition.read(condition, value=value, window=window, order_id=order_id)
    asked = _topics(exchange, exchanges, symbol, symbols, channels, timeframe, account)
    if wanted is not None and symbol is None and not symbols:
        raise Failure(Code.INVALID_ARGUMENT, "symbol is missing, which a condition needs.")
    markets = dict.fromkeys((topic.exchange, topic.symbol) for topic in asked if topic.symbol)
    beside = [] if wanted is None else _beside(alerting, wanted, markets, account)
    async with following(alerting.hub, [*asked, *beside]) as follow:
        if asked[0] in follow.failures and not follow.streams.keys() & set(asked):
            raise follow.failures[asked[0]]
        watch = _Watch(follow, asked, wanted, limit)
        if wanted is not None and wanted.order_id is not None:
            order = await alerting.find(exchange, account, wanted.order_id, symbol)
            watch.look(exchange, symbol, order.unwrap(), alerting.hub.gateway.now_ms())
        ended = await watch.run(context, seconds, updates)
        if not watch.updates and (failures := watch.failures):
            raise failures[0]
        return _watched(alerting, watch, ended)


class _Watch:
    """What is seen of streams until it is enough."""

    def __init__(self, follow: Following, asked: list[Topic], wanted: Condition | None, keep: int) -> None:
        self.follow = follow
        self.asked = asked
        known = {follow.streams[topic]: topic for topic in reversed(asked) if topic in follow.streams}
        self.seen = {topic: Watched(topic.channel, keep=keep) for topic in asked if topic in known.values()}
        self.met: dict[str, Any] | None = None
        self.order_ended: str | None = None
        self._watchers: dict[tuple[str, str | None], Watcher] = {}
        for topic, stream in follow.streams.items():
            if wanted is not None and topic.symbol is not None:
                watcher = Watcher(wanted, symbol=stream.key.symbol or topic.symbol)
                self._watchers.setdefault((topic.exchange, topic.symbol), watcher)

    @property
    def updates(self) -> int:
        return sum(seen.updates for seen in self.seen.values())

    @property
    def failures(self) -> list[Failure]:
        """Why streams have ended, if all of them have."""
        streams = [self.follow.streams[topic] for topic in self.seen]
        ended = [stream.failure for stream in streams if stream.state == "failed" and stream.failure is not None]
        return ended if len(ended) == len(streams) else []

    def look(self, exchange: str, symbol: str | None, order: dict[str, Any], at_ms: int) -> None:
        """Look at an order as it was before anything was told of it."""
        watcher = self._watchers.get((exchange, symbol))
        if watcher is not None and (fired := watcher.see(Channel.ORDERS, [order], at_ms)):
            self.met = {"exchange": exchange, "symbol": symbol} | fired.facts
        self.order_ended = watcher and watcher.ended

    async def run(self, context: Context[Any, Any], seconds: float, updates: int | None) -> str:
        """Watch until enough was seen; return why it ended."""
        if self.met is not None or self.order_ended is not None:
            return "condition"
        telling = asyncio.create_task(_tell(context, seconds, lambda: f"{self.updates} updates"))
        try:
            async with asyncio.timeout(seconds), aclosing(self.follow.events()) as events:
                async for topic, event in events:
                    self._take(topic, event)
                    if self.met is not None or self.order_ended is not None:
                        return "condition"
                    if updates is not None and self.updates >= updates:
                        return "updates"
                return "streams"
        except TimeoutError:
            return "time"
        finally:
            telling.cancel()

    def _take(self, topic: Topic, event: Event) -> None:
        if (seen := self.seen.get(topic)) is not None:
            _note(seen, event)
        if (watcher := self._watchers.get((topic.exchange, topic.symbol))) is None:
            return
        if event.kind in ("gap", "stale"):
            watcher.gap()
        elif event.kind == "data" and (fired := watcher.see(topic.channel, event.data, event.at_ms)):
            self.met = {"exchange": topic.exchange, "symbol": topic.symbol} | fired.facts
        self.order_ended = watcher.ended


def _note(seen: Watched, event: Event) -> None:
    if event.kind == "gap":
        seen.gap(event.dropped)
    elif event.kind == "stale":
        seen.stale()
    elif event.kind == "data":
        seen.see(event.data, event.at_ms)


def _watched(alerting: Alerting, watch: _Watch, ended: str) -> Envelope:
    summaries = {topic: seen.summary() for topic, seen in watch.seen.items()}
    streams = {topic: watch.follow.streams[topic] for topic in summaries}
    latest = {_name(stream): summaries[topic].pop("latest") for topic, stream in streams.items()}
    told = [name for name in _SUMMARY if any(name in summary for summary in summaries.values())]
    rows = [[*_whose(stream), *map(summaries[topic].get, told)] for topic, stream in streams.items()]
    data: dict[str, Any] = {
        "ended": ended,
        "met": watch.met,
        "orderEnded": watch.order_ended,
        "streams": Table((*_WHOSE, *told), rows),
        "latest": latest,
    }
    if failed := _failed_rows(watch.follow, watch.asked):
        data["failed"] = Table(("exchange", "channel", "symbol", "code", "message"), failed)
    return Envelope(alerting.hub.gateway.metadata(**_freshness(list(streams.values()))), data=as_data(data))


def _freshness(streams: list[Stream]) -> dict[str, Any]:
    """Return what is true of an answer made of streams: whose they are, and how old the oldest of their data is."""
    ages = [stream.age for stream in streams if stream.age is not None]
    venues = {stream.key.venue for stream in streams}
    whose = {venue for venue in venues if venue.account is not None} or venues  # the account's, with public data beside
    one = whose.pop() if len(whose) == 1 and len({venue.exchange for venue in venues}) == 1 else None
    return {
        "exchange": one and one.exchange,
        "mode": one and one.mode,
        "account": one and one.account,
        "age_ms": round(max(ages, default=0) * 1000),
        "stale": any(stream.state in ("stale", "broken") for stream in streams),
    }


def _failed_rows(follow: Following, asked: list[Topic]) -> list[list[Any]]:
    ended = {topic: stream.failure for topic, stream in follow.streams.items() if stream.state == "failed"}
    return [
        [clean_text(topic.exchange, 40), topic.channel, topic.symbol, error_dict(failure)["code"], failure.message]
        for topic, failure in {**follow.failures, **ended}.items()
        if failure is not None and topic in asked
    ]


@tool("Wait for a condition", idempotent=False, default=False)
async def stream_wait(
    alerting: Alerting,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: Symbol,
    condition: _Kind,
    value: _Value = None,
    window: _Window = None,
    order_id: _OrderId = None,
    account: OwnAccount = None,
    seconds: Annotated[float, Field(description="At most so long.", ge=0.1, le=3600)] = 60.0,
) -> Envelope:
    """Sleep until a condition holds or the time is over; tells what happened."""
    wanted = Condition.read(condition, value=value, window=window, order_id=order_id)
    account = alerting.account_of(wanted, exchange, account)
    venue = await alerting.hub.gateway.open(exchange, account)
    watcher = Watcher(wanted, symbol=venue.resolve(symbol))
    wait = _Wait(watcher)
    began = asyncio.get_running_loop().time()
    telling = asyncio.create_task(_tell(context, seconds, lambda: _so_far(watcher)))
    try:
        async with alerting.watching(watcher, exchange, symbol, account) as (wait.streams, seen):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await wait.until_it_ends(seen)
    finally:
        telling.cancel()
    data = {
        "met": wait.fired is not None,
        "condition": wanted.words(venue.resolve(symbol)),
        "seen": wait.fired.facts if wait.fired else watcher.distance,
        "orderEnded": watcher.ended,
        "waitedSeconds": round(asyncio.get_running_loop().time() - began, 3),
        "gaps": wait.gaps,
        "trouble": wait.trouble,
    }
    return Envelope(alerting.hub.gateway.metadata(**_freshness(wait.streams)), data=as_data(data))


@dataclass
class _Wait:
    """What happens while a condition is waited for."""

    watcher: Watcher
    streams: list[Stream] = field(default_factory=list[Stream])
    fired: Fired | None = None
    gaps: int = 0

    async def until_it_ends(self, seen: AsyncIterator[tuple[Event | None, Fired | None]]) -> None:
        """Wait until the condition is met, or cannot be any more."""
        async for event, fired in seen:
            self.fired = fired
            if fired is not None or self.watcher.ended is not None:
                return
            self.gaps += event is not None and event.kind == "gap"
            if event is not None and event.kind == "error" and event.failure and self._is_vain:
                raise event.failure

    @property
    def _is_vain(self) -> bool:
        """Whether so many streams have ended that nothing more can be seen: an account's, or all of them."""
        ended = [stream for stream in self.streams if stream.state == "failed"]
        return len(ended) == len(self.streams) or any(stream.row.private for stream in ended)

    @property
    def trouble(self) -> str | None:
        """What keeps the streams from telling, if anything does."""
        told = next((stream.failure.message for stream in self.streams if stream.failure is not None), None)
        nothing = self.fired is None and all(stream.last_at is None for stream in self.streams)
        return told or ("Nothing came in that time." if nothing else None)


@tool("Open streams", open_world=False, default=False)
async def stream_list(alerting: Alerting) -> Envelope:
    """Every open stream: state, source, readers, age, updates, breaks, dropped rows."""
    columns = (*_WHOSE, "mode", "readers", "ageMs", "updates", "breaks", "stale", "dropped", "filled")
    rows = [_stream_row(stream) for stream in alerting.hub.streams()]
    return Envelope(alerting.hub.gateway.metadata(), data={"streams": Table(columns, rows, total=len(rows))})


@tool("Create an alert", idempotent=False, default=False, keeps=True)
async def stream_alert_create(
    alerting: Alerting,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: Symbol,
    condition: _Kind,
    value: _Value = None,
    window: _Window = None,
    order_id: _OrderId = None,
    account: OwnAccount = None,
    note: Annotated[str, Field(description="Told with it.", max_length=200)] = "",
    repeat: Annotated[bool, Field(description="Goes on after it fired.")] = False,
    expires: Annotated[Moment, Field(description='ms, ISO 8601 or "2h".')] = None,
) -> Envelope:
    """Watch for a condition also after this call and after restarts; fired alerts: ccxt://alerts, stream_alert_list."""
    gateway = alerting.hub.gateway
    alert = await alerting.create(
        Condition.read(condition, value=value, window=window, order_id=order_id),
        exchange=exchange,
        symbol=symbol,
        account=account,
        who=caller(context),
        note=note,
        repeat=repeat,
        expires_ms=None if expires is None else parse_end(expires, now_ms=gateway.now_ms(), name="expires"),
    )
    named = alert.account or None
    mode = (gateway.pool.account_key(exchange, named) if named else gateway.pool.key(exchange)).mode
    row = dict(zip(ALERT_COLUMNS, row_of(alert, None), strict=True))
    return Envelope(gateway.metadata(exchange=exchange, mode=mode, account=named), data=as_data(row))


@tool("Alerts", open_world=False, default=False)
async def stream_alert_list(
    alerting: Alerting,
    status: Annotated[Literal["active", "fired", "expired"] | None, Field(description="Only these.")] = None,
    limit: Limit = 50,
) -> Envelope:
    """Alerts, newest first: what they wait for, how far it is, what fired and when."""
    alerts = await alerting.all(limit, state=status)
    rows = [row_of(alert, alerting.watch_of(alert.id)) for alert in alerts]
    return Envelope(alerting.hub.gateway.metadata(), data={"alerts": Table(ALERT_COLUMNS, rows)})


@tool("Delete an alert", open_world=False, default=False, keeps=True)
async def stream_alert_delete(
    alerting: Alerting, alert_id: Annotated[str, Field(description="Its id.", max_length=64)]
) -> Envelope:
    """Forget an alert, fired or not."""
    if not await alerting.delete(alert_id):
        raise Failure(
            Code.INVALID_ARGUMENT, "alert_id is no alert's, or it was deleted.", hint="See stream_alert_list."
        )
    return Envelope(alerting.hub.gateway.metadata(), data={"deleted": alert_id})


# -- parts -----------------------------------------------------------------------------------------------------------


def _topics(
    exchange: str,
    exchanges: list[str] | None,
    symbol: str | None,
    symbols: list[str] | None,
    channels: _Channels,
    timeframe: str,
    account: str | None,
) -> list[Topic]:
    """Return every combination of what was named."""
    markets = _distinct(symbol, symbols)
    topics: list[Topic] = []
    for at in _distinct(exchange, exchanges):
        for name in dict.fromkeys(channels):
            private = CHANNELS[Channel(name)].private
            named: list[str] | list[None] = [None] if name == "balance" or (private and not markets) else markets
            if not named:
                raise Failure(Code.INVALID_ARGUMENT, f"symbol is missing, which {name} needs.")
            step = timeframe if name == "candles" else None
            topics += [Topic(at, Channel(name), one, step, account) for one in named]
    if len(topics) > _MOST_TOPICS:
        raise Failure(Code.LIMIT_EXCEEDED, f"{len(topics)} streams at once; {_MOST_TOPICS} are the most.")
    return topics


def _distinct(first: str | None, more: list[str] | None) -> list[str]:
    named = [*([] if first is None else [first]), *(more or [])]
    return list(dict.fromkeys(named))


_WHOSE = ("exchange", "account", "channel", "symbol", "timeframe", "state", "source", "trouble")
_SUMMARY = (
    "updates", "first", "last", "high", "low", "changePct", "volume", "buyVolume", "sellVolume", "trades", "gaps",
    "dropped", "stale",
)  # fmt: skip


def _whose(stream: Stream) -> list[Any]:
    key = stream.key
    return [
        key.venue.exchange, key.venue.account, key.channel, key.symbol, key.timeframe, stream.state,
        stream.note or "stream", stream.failure and stream.failure.message,
    ]  # fmt: skip


def _name(stream: Stream) -> str:
    """Return what tells a stream from the others in an answer."""
    key = stream.key
    return " ".join(part for part in (key.venue.exchange, key.symbol, key.channel, key.timeframe) if part)


def _beside(
    alerting: Alerting, wanted: Condition, markets: Iterable[tuple[str, str | None]], account: str | None
) -> list[Topic]:
    """Return what a condition is seen on, at each exchange that there is; those that are none are told elsewhere."""
    topics: list[Topic] = []
    for exchange, symbol in markets:
        with suppress(Failure):
            topics += topics_of(wanted, exchange, symbol or "", alerting.account_of(wanted, exchange, account))
    return topics


def _stream_row(stream: Stream) -> list[Any]:
    counters, age = stream.counters, stream.age
    return [
        *_whose(stream), stream.key.venue.mode, stream.readers, None if age is None else round(age * 1000),
        counters.updates, counters.breaks, counters.stale, counters.dropped, counters.filled,
    ]  # fmt: skip


def _so_far(watcher: Watcher) -> str:
    seen = watcher.distance or {}
    return ", ".join(f"{name} {value}" for name, value in seen.items()) or "nothing yet"


async def _tell(context: Context[Any, Any], seconds: float, words: Callable[[], str]) -> None:
    """Notify the client of how far it is, once a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(Exception):
        while True:
            await asyncio.sleep(_TOLD_EVERY)
            await context.report_progress(min(seconds, loop.time() - began), seconds, words())
