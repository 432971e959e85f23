"""Listing: how an exchange lists what an account ordered, as ccxt declares it, so that no list passes for a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ccxt_mcp.exchanges.features import features_anywhere, features_of
from ccxt_mcp.exchanges.kinds import PAGES, TELLS_TRIGGERS
from ccxt_mcp.exchanges.quirks import lineage

_LIKE = {
    "fetchCanceledOrders": "fetchClosedOrders",
    "fetchCanceledAndClosedOrders": "fetchClosedOrders",
    "cancelAllOrders": "fetchOpenOrders",
    "cancelOrder": "fetchOpenOrders",
}
"""Methods that ccxt declares nothing of, with those that go to the same lists."""

_WHOLE_LISTS = frozenset({"fetchOpenOrders", "fetchOrders", "fetchClosedOrders", "fetchCanceledOrders"}) | _LIKE.keys()


@dataclass(frozen=True, slots=True)
class Listing:
    """How one method lists.

    Attributes:
        most: rows that one call gives at most; None where ccxt declares no bound.
        apart: whether orders that wait for a price are told, or cancelled, only when `trigger` asks for them.
        pages: whether ccxt turns the pages by itself when it is told to.
    """

    most: int | None
    apart: bool
    pages: bool

    @classmethod
    def of(cls, exchange: Any, method: str, market: Mapping[str, Any] | None) -> Self:
        """Return how a method lists one market, one kind of market, or all of them.

        Args:
            exchange: the ccxt instance.
            method: ccxt's unified name.
            market: ccxt's market, or `type` and `linear` of a kind; None for all.
        """
        name = _LIKE.get(method, method)
        found = list(features_anywhere(exchange, name)) if market is None else [features_of(exchange, name, market)]
        ids = lineage(type(exchange))
        bounds = [bound for one in found if isinstance(bound := one.get("limit"), int)]
        apart = method in _WHOLE_LISTS and any(one.get("trigger") is True for one in found)
        pages = bool(ids & PAGES.get(method, frozenset()))
        return cls(
            most=min(bounds, default=0) * (10 if pages else 1) or None,
            apart=apart and not (method.startswith("fetch") and ids & TELLS_TRIGGERS),
            pages=pages,
        )
