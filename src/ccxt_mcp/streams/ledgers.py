"""Ledgers: what a stream has told so far, so that nothing is told twice, whether a stream or a request brings it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ccxt_mcp.call import Call
from ccxt_mcp.everywhere import ask_everywhere, each_kind
from ccxt_mcp.exchanges.replies import checked
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.streams.channels import CHANNELS, Channel

_REMEMBERED = 2000  # rows by their ids
_ENDED = frozenset({"closed", "canceled", "expired", "rejected"})
_TELLING = ("status", "amount", "price", "triggerPrice", "stopLossPrice", "takeProfitPrice")
_WHOLE = ("fetchCanceledAndClosedOrders", "fetchOrders")
_PARTS = ("fetchClosedOrders", "fetchCanceledOrders")
_TRADES = 500
_OWN_TRADES = 100
_ORDERS = 50
_CANDLES = 3


class Filled(NamedTuple):
    """What a request brought.

    Attributes:
        data: what is new to those who read the stream; None for nothing.
        complete: whether nothing is missing now, as far as the request can tell.
    """

    data: Any
    complete: bool


class Rest:
    """Asks for what a stream tells of, by requests on the read route.

    Attributes:
        settling: seconds that a stream gets to tell by itself what a request showed, before that counts.

    Args:
        gateway: the way to the exchange.
        channel: what the stream tells of.
        exchange: the exchange's id.
        account: the account's name; None for public data.
        symbol: the market; None for all of an account's.
        timeframe: of candles.
    """

    def __init__(
        self,
        gateway: Gateway,
        channel: Channel,
        exchange: str,
        account: str | None,
        symbol: str | None,
        timeframe: str | None,
    ) -> None:
        self.symbol = symbol
        self.settling = 0.0
        self._asked = 0
        self._gateway = gateway
        self._exchange = exchange
        self._account = account
        arguments: dict[str, Any] = {}
        match channel:
            case Channel.CANDLES:
                arguments = {"timeframe": timeframe, "limit": _CANDLES}
            case Channel.TRADES:
                arguments = {"limit": _TRADES}
            case Channel.OWN_TRADES:
                arguments = {"limit": _OWN_TRADES}
            case _:
                pass
        self._listed = channel in {Channel.ORDERS, Channel.OWN_TRADES, Channel.POSITIONS}
        one = None if symbol is None or channel is Channel.BALANCE else symbol
        self._call = Call(
            CHANNELS[channel].poll,
            exchange,
            symbol=None if channel is Channel.POSITIONS else one,
            symbols=(one,) if one is not None and channel is Channel.POSITIONS else None,
            arguments=arguments,
            account=account,
        )

    async def ask(self) -> Any:
        """Return what the exchange says now.

        Raises:
            Failure: it does not.
        """
        call = self._anew(self._call)
        answer = await (ask_everywhere(self._gateway, call) if self._listed else self._gateway.call(call))
        return answer.unwrap()

    async def settle(self) -> None:
        """Wait until the stream has had time to tell what requests have shown."""
        if self.settling:
            await asyncio.sleep(self.settling)

    async def requests(self) -> int:
        """Return how many requests it takes to ask once."""
        if not self._listed:
            return 1
        calls = [self._call, *(await self._of_ended() if self._call.method == "fetchOpenOrders" else ())]
        return sum([len(await each_kind(self._gateway, call)) for call in calls])

    async def ended(self) -> list[dict[str, Any]] | None:
        """Return the account's latest orders, those among them that have ended; None where that is not told now."""
        rows: list[dict[str, Any]] = []
        for call in await self._of_ended():
            answer = await ask_everywhere(self._gateway, self._anew(call))
            if answer.success:
                rows += answer.data
            elif answer.failure is None or answer.failure.code.retryable:
                return None
        return rows

    async def _of_ended(self) -> list[Call]:
        venue = await self._gateway.account_venue(self._exchange, self._account)
        whole = next((method for method in _WHOLE if venue.support(method) == "native"), None)
        methods = [whole] if whole else [method for method in _PARTS if venue.support(method) == "native"]
        return [replace(self._call, method=method, arguments={"limit": _ORDERS}) for method in methods]

    def _anew(self, call: Call) -> Call:
        """Return a call that no kept answer fits: by an argument that no method takes."""
        self._asked += 1
        return replace(call, arguments={**call.arguments, "asked": self._asked})

    async def order(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an order that is open no more, as its exchange keeps it; None where that is not told."""
        arguments = {"id": order["id"]}
        call = Call(
            "fetchOrder", self._exchange, symbol=order.get("symbol"), arguments=arguments, account=self._account
        )
        answer = await self._gateway.call(call)
        return answer.data if answer.success else None


class Ledger(Protocol):
    """What one stream has told."""

    def take(self, data: Any) -> Any:
        """Return what of an update is new; None for nothing."""
        ...

    async def fill(self, rest: Rest) -> Filled:
        """Ask for what the stream may have left out.

        Raises:
            Failure: the request failed.
        """
        ...

    def so_far(self) -> Any:
        """Return what a reader who comes now should know first; None for nothing."""
        ...


class State:
    """The ledger of what replaces itself: tickers, books, balances."""

    def __init__(self) -> None:
        self._last: Any = None
        self._taken = 0

    def take(self, data: Any) -> Any:
        """Return the update."""
        self._last = data
        self._taken += 1
        return data

    async def fill(self, rest: Rest) -> Filled:
        """Return the state where it is another one than was told; an update that came meanwhile is newer."""
        taken = self._taken
        now = await rest.ask()
        if taken != self._taken or (self._last is not None and self._is_same(now, self._last)):
            return Filled(None, complete=True)
        self._last = now
        return Filled(now, complete=True)

    def so_far(self) -> Any:
        """Return the state."""
        return self._last

    def _is_same(self, now: Any, known: Any) -> bool:
        return now == known


class Balances(State):
    """The ledger of a balance, of which a stream tells the currencies that moved."""

    def take(self, data: Any) -> Any:
        """Return the whole balance with the update in it."""
        known = self._last or {}
        parts = {part: {**known.get(part, {}), **data[part]} for part in ("free", "used", "total")}
        return super().take({"timestamp": data.get("timestamp")} | parts)

    def _is_same(self, now: Any, known: Any) -> bool:
        """Whether the amounts are the same: each request has a time of its own, and may leave out what is nothing."""
        return all(_something(now[part]) == _something(known[part]) for part in ("free", "used", "total"))


class Positions(State):
    """The ledger of positions: they are told as they are, all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[Any, dict[str, Any]] = {}
        self._heard: dict[Any, dict[str, Any]] = {}

    def take(self, data: Any) -> Any:
        """Return all open positions after rows of the stream, which tells the closed ones as well."""
        for row in data:
            key = row.get("symbol"), row.get("side")
            if self._heard.get(key) == row:
                continue  # said long ago; requests may have said otherwise since
            self._heard[key] = row
            if row.get("contracts"):
                self._open[key] = row
            else:
                for side in {row.get("side"), *(("long", "short", None) if row.get("side") is None else ())}:
                    self._open.pop((row.get("symbol"), side), None)
        return super().take(checked("fetchPositions", list(self._open.values()), {}, blank=False))

    async def fill(self, rest: Rest) -> Filled:
        """Return the positions where they are others than were told."""
        filled = await super().fill(rest)
        if filled.data is not None:
            self._open = {(row.get("symbol"), row.get("side")): row for row in filled.data}
        return filled


class Candles:
    """The ledger of candles: the running one is told again with each change."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Any]] = {}

    def take(self, data: Any) -> Any:
        """Return the candles that are new or changed."""
        oldest = min(self._rows) if len(self._rows) == _CANDLES else 0
        rows = [row for row in data if row[0] >= oldest and self._rows.get(row[0]) != row]
        known = {**self._rows, **{row[0]: row for row in rows}}
        self._rows = {time: known[time] for time in sorted(known)[-_CANDLES:]}
        return rows or None

    async def fill(self, rest: Rest) -> Filled:
        """Return the newest candles where they are new or changed."""
        newest = max(self._rows, default=None)
        rows = await rest.ask()
        return Filled(self.take(rows), complete=newest is None or rows[0][0] <= newest)

    def so_far(self) -> Any:
        """Return the newest candles."""
        return list(self._rows.values()) or None


class Trades:
    """The ledger of trades, known by their ids."""

    def __init__(self) -> None:
        self.one_numbering = False
        self._seen: OrderedDict[str, Any] = OrderedDict()

    def take(self, data: Any) -> Any:
        """Return the trades that were not told yet; one without an id is always new."""
        rows = [row for row in data if self._is_new(row)]
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return rows or None

    async def fill(self, rest: Rest) -> Filled:
        """Return the trades that were left out.

        Some exchanges number trades otherwise in streams than in requests. So what a request brings counts only once
        one of its trades was known from before (`one_numbering`); the trades after that one which are not known are
        those left out. If none is known any more there are some between, which no request brings.
        """
        rows: list[dict[str, Any]] = sorted(await rest.ask(), key=_moment)
        await rest.settle()
        known = next((at for at, row in enumerate(rows) if self._is_known(row)), None)
        if known is not None:
            self.one_numbering = True
            return Filled(self.take(rows[known:]), complete=True)
        if not self.one_numbering:
            return Filled(None, complete=False)
        begun = bool(self._seen)
        fresh = self.take(rows)
        return Filled(fresh if begun else None, complete=not begun)

    def so_far(self) -> Any:
        """Return nothing: trades are told from now on."""
        return

    def _is_new(self, row: Mapping[str, Any]) -> bool:
        if (name := row.get("id")) is None:
            return True
        if name in self._seen:
            return False
        self._seen[name] = row.get("price"), row.get("amount")
        return True

    def _is_known(self, row: Mapping[str, Any]) -> bool:
        return self._seen.get(row.get("id") or "") == (row.get("price"), row.get("amount"))


class OwnTrades(Trades):
    """The ledger of an account's own trades. An account that never traded has none to begin with."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False

    async def fill(self, rest: Rest) -> Filled:
        """Return the trades that were left out; all of them belong to the account, so that none needs proof."""
        rows = sorted(await rest.ask(), key=_moment)
        await rest.settle()
        fresh = self.take(rows)
        begun, self._begun = self._begun, True
        return Filled(fresh if begun else None, complete=not begun or len(fresh or ()) < _OWN_TRADES)


class Orders:
    """The ledger of an account's orders: the open ones, and how the last others ended."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, Any]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._begun = False

    def take(self, data: Any) -> Any:
        """Return the orders that changed; what comes late and tells less than is known is no change."""
        return [row for row in data if self._is_news(row)] or None

    async def fill(self, rest: Rest) -> Filled:
        """Return the orders that changed meanwhile, also those that are open no more, or never were while we looked."""
        rows = await rest.ask()
        ended = await rest.ended()
        listed = {row["id"] for row in (*rows, *(ended or ()))}
        gone = [await rest.order(row) for row in list(self._open.values()) if row["id"] not in listed]
        await rest.settle()
        known = [row for row in ended or () if self._begun or row["id"] in self._open]
        news = self.take([*rows, *known, *(row for row in gone if row is not None)])
        if ended is not None and not self._begun:
            self._begun = True
            self._ended.update((row["id"], None) for row in ended if row.get("status") in _ENDED)
        return Filled(news, complete=None not in gone and ended is not None)

    def so_far(self) -> Any:
        """Return the open orders."""
        return list(self._open.values()) or None

    def _is_news(self, row: dict[str, Any]) -> bool:
        order, known = row["id"], self._open.get(row["id"])
        if order in self._ended or (known is not None and not _is_later(row, known)):
            return False
        if row.get("status") in _ENDED:
            self._open.pop(order, None)
            self._ended[order] = None
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
        else:
            self._open[order] = row
        return True


def _is_later(row: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether an order's row says more than the one known: streams and requests do not fill in the same fields."""
    filled, before = row.get("filled") or 0, known.get("filled") or 0
    if filled != before:
        return filled > before
    told, then = row.get("lastUpdateTimestamp"), known.get("lastUpdateTimestamp")
    if told is not None and then is not None and told < then:
        return False
    return any(row.get(name) not in (None, known.get(name)) for name in _TELLING)


def _something(amounts: Mapping[str, float]) -> dict[str, float]:
    return {code: amount for code, amount in amounts.items() if amount}


def _moment(row: Mapping[str, Any]) -> float:
    return row.get("timestamp") or 0


_LEDGERS: Mapping[Channel, Callable[[], Ledger]] = {
    Channel.TICKER: State,
    Channel.BOOK: State,
    Channel.TRADES: Trades,
    Channel.CANDLES: Candles,
    Channel.ORDERS: Orders,
    Channel.OWN_TRADES: OwnTrades,
    Channel.BALANCE: Balances,
    Channel.POSITIONS: Positions,
}


def ledger_of(channel: Channel) -> Ledger:
    """Return an empty ledger for a channel."""
    return _LEDGERS[channel]()
