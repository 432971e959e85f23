"""A paper account at its store: opened, caught up with the real market, changed and written, all in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.engine import Book, Engine, Reason, Refused
from ccxt_mcp.paper.reading import Reading, read
from ccxt_mcp.paper.state import (
    State,
    archived_fill,
    archived_order,
    ended_orders,
    new_fills,
    positions_of,
    watches_of,
)

if TYPE_CHECKING:
    from ccxt_mcp.paper.engine import Fill, Order
    from ccxt_mcp.paper.feed import Feed
    from ccxt_mcp.paper.markets import PaperMarkets
    from ccxt_mcp.paper.store import PaperStore

T = TypeVar("T")

_CODES = {
    Reason.UNKNOWN_SYMBOL: Code.UNKNOWN_SYMBOL,
    Reason.ORDER_NOT_FOUND: Code.ORDER_NOT_FOUND,
    Reason.INSUFFICIENT_BALANCE: Code.INSUFFICIENT_BALANCE,
    Reason.DUPLICATE_CLIENT_ORDER_ID: Code.CLIENT_ORDER_ID_USED,
    Reason.NO_LIQUIDITY: Code.REFUSED,
    Reason.NOT_AMENDABLE: Code.REFUSED,
    Reason.LEVERAGE_REJECTED: Code.REFUSED,
}
"""What a refusal is called outside; all others are INVALID_ORDER."""

_SCAN = 1000  # archived orders that are looked through for those of some statuses


@dataclass(frozen=True, slots=True)
class Opened:
    """An account that is open and up to date.

    Attributes:
        engine: the account.
        now: milliseconds since the epoch.
        book: of the market that was asked for; empty where none was.
    """

    engine: Engine
    now: int
    book: Book


class PaperAccount:
    """One account at its store. Nothing of it is kept in memory between two uses.

    Args:
        exchange: the exchange's id.
        name: the account's name.
        markets: the exchange's markets.
        feed: its public data.
        store: where the account is kept.
        balances: what a new account begins with; currencies that the exchange does not have are left out.
        clock_ms: milliseconds since the epoch.
    """

    def __init__(
        self,
        exchange: str,
        name: str,
        *,
        markets: PaperMarkets,
        feed: Feed,
        store: PaperStore,
        balances: Mapping[str, Decimal],
        clock_ms: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._name = name
        self._markets = markets
        self._feed = feed
        self._store = store
        self._balances = balances
        self._clock_ms = clock_ms
        self.waits = asyncio.Event()
        """Set whenever the account is left with something that the market may change."""

    async def use(self, act: Callable[[Opened], T], *, book_of: str | None = None) -> T:
        """Live through what has happened since, do something, and write all of it at once.

        Args:
            act: what to do.
            book_of: the market whose book it needs.

        Raises:
            Failure: the markets are not loaded or the book could not be read, and nothing was done; or it was refused,
                and only the past was written.
        """
        readings = await self._read(book_of)
        book = _book(readings, book_of)
        if not self._markets.loaded:  # to begin an account without them would be to begin it without money
            raise Failure(Code.EMPTY_REPLY, f"The markets of {self._exchange} are not loaded yet.")
        refusal: Refused | None = None
        result: Any = None
        async with self._store.open(self._exchange, self._name) as ledger:
            now = self._clock_ms()
            state = self._state(ledger.state, now)
            state.catch_up(readings)
            try:
                result = act(Opened(state.engine, now, book))
            except Refused as refused:
                refusal = refused
            waits = state.follow(now)
            events = state.engine.drain()
            if (document := state.to_dict()) != ledger.state:
                ledger.save(document, orders=ended_orders(events), trades=new_fills(events))
        if waits:
            self.waits.set()
        if refusal is not None:
            code = _CODES.get(refusal.reason, Code.INVALID_ORDER)
            raise Failure(code, refusal.message, details={"reason": refusal.reason.value})
        return result

    async def ended_order(self, order_id: str | None, client_order_id: str | None) -> Order | None:
        """Return an order that has ended, by one of its ids; None when there is none."""
        documents = await self._store.orders(
            self._exchange, self._name, order_id=order_id, client_order_id=client_order_id, limit=1
        )
        return archived_order(documents[-1]) if documents and (order_id or client_order_id) else None

    async def ended_orders(
        self, statuses: Collection[str], symbol: str | None, since: int | None, limit: int
    ) -> list[Order]:
        """Return the newest orders that ended in one of these ways, oldest first."""
        documents = await self._store.orders(self._exchange, self._name, symbol=symbol, since=since, limit=_SCAN)
        orders = [order for document in documents if (order := archived_order(document)).status in statuses]
        return orders[-limit:]

    async def fills(self, symbol: str | None, order_id: str | None, since: int | None, limit: int) -> list[Fill]:
        """Return the newest fills, oldest first."""
        documents = await self._store.trades(
            self._exchange, self._name, symbol=symbol, order_id=order_id, since=since, limit=limit
        )
        return [archived_fill(document) for document in documents]

    async def _read(self, symbol: str | None) -> list[Reading]:
        """Ask the exchange of one market, and of all that the account follows; the account is closed meanwhile."""
        async with self._store.open(self._exchange, self._name) as ledger:
            document = ledger.state
        watches, held, now = watches_of(document), positions_of(document), self._clock_ms()
        wanted = {*watches, *([] if symbol is None else [symbol])}
        return await asyncio.gather(
            *(read(self._feed, one, watches.get(one), position=one in held, now=now) for one in sorted(wanted))
        )

    def _state(self, document: Mapping[str, Any] | None, now: int) -> State:
        if document is not None:
            return State.from_dict(self._markets, document)
        listed = self._markets.currencies()
        balances = {name: amount for name, amount in self._balances.items() if name in listed}
        return State.new(self._markets, balances, now)


def _book(readings: Iterable[Reading], symbol: str | None) -> Book:
    for reading in readings:
        if reading.symbol == symbol:
            if reading.book is None:
                raise reading.failure or Failure(Code.EMPTY_REPLY, f"The book of {symbol} did not come.")
            return reading.book
    return Book()
