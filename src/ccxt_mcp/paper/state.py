"""A paper account while it is open: its engine and its watches, read from a document and written to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from ccxt_mcp.paper.engine import Engine, Fill, Order
from ccxt_mcp.paper.replay import replay
from ccxt_mcp.paper.watch import Watch

if TYPE_CHECKING:
    from ccxt_mcp.paper.engine import Events, Markets
    from ccxt_mcp.paper.reading import Reading


class State:
    """An account's engine, and how far each of its markets is followed."""

    def __init__(self, engine: Engine, watches: dict[str, Watch], born: int) -> None:
        self.engine = engine
        self._watches = watches
        self._born = born

    @classmethod
    def new(cls, markets: Markets, balances: Mapping[str, Decimal], now: int) -> Self:
        """Return an account that begins now."""
        return cls(Engine(markets, balances, ids=_ids(now)), {}, now)

    @classmethod
    def from_dict(cls, markets: Markets, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        born = document["born"]
        engine = Engine.from_dict(markets, document["engine"], ids=_ids(born))
        return cls(engine, watches_of(document), born)

    def to_dict(self) -> dict[str, Any]:
        """The account in JSON's types."""
        watches = {symbol: watch.to_dict() for symbol, watch in self._watches.items()}
        return {"born": self._born, "engine": self.engine.to_dict(), "watches": watches}

    def catch_up(self, readings: Iterable[Reading]) -> None:
        """Live through what the exchange has told of the markets that are followed."""
        for reading in readings:
            if (watch := self._watches.get(reading.symbol)) is not None:
                self._watches[reading.symbol] = replay(self.engine, reading, watch)

    def follow(self, now: int) -> bool:
        """Follow the markets that have orders or positions, from now on, and no others; whether there are any."""
        followed = {order.symbol for order in self.engine.orders()}
        followed |= {position.symbol for position in self.engine.positions()}
        self._watches = {symbol: self._watches.get(symbol, Watch.begun(now)) for symbol in sorted(followed)}
        return bool(followed)


def watches_of(document: Mapping[str, Any] | None) -> dict[str, Watch]:
    """Return the watches of an account's document, by symbol."""
    return {symbol: Watch.from_dict(watch) for symbol, watch in (document or {"watches": {}})["watches"].items()}


def positions_of(document: Mapping[str, Any] | None) -> set[str]:
    """Return the symbols in which an account's document has positions."""
    return set() if document is None else {position["symbol"] for position in document["engine"]["positions"]}


def ended_orders(events: Events) -> list[dict[str, Any]]:
    """Return the orders that have ended, as the archive keeps them."""
    return [
        {
            "id": order.id,
            "clientOrderId": order.client_order_id,
            "symbol": order.symbol,
            "timestamp": order.created,
            "order": order.to_dict(),
        }
        for order in events.orders
        if not order.live
    ]


def new_fills(events: Events) -> list[dict[str, Any]]:
    """Return the fills, as the archive keeps them."""
    return [
        {
            "id": fill.id,
            "order": fill.order_id,
            "symbol": fill.symbol,
            "timestamp": fill.time,
            "fill": fill.to_dict(),
        }
        for fill in events.fills
    ]


def archived_order(document: Mapping[str, Any]) -> Order:
    """Return an order from the archive."""
    return Order.from_dict(document["order"])


def archived_fill(document: Mapping[str, Any]) -> Fill:
    """Return a fill from the archive."""
    return Fill.from_dict(document["fill"])


def _ids(born: int) -> Callable[[int], str]:
    """Ids that no account before or after a reset has had."""
    return lambda number: f"{born}-{number}"
