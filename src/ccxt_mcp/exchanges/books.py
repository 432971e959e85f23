"""Books: order books that ccxt keeps up to date, with levels that can be handed out as they are."""

from __future__ import annotations

import functools
from bisect import bisect_left
from typing import Any


def order_book(snapshot: Any, depth: int | None) -> Any:
    """Return a book for ccxt to keep, whose sides replace levels.

    ccxt's own change levels in place, so that a book can be kept only by copying all of them with each update.

    Args:
        snapshot: bids, asks and what else is known to begin with.
        depth: levels of each side at most; None for all.
    """
    asks, bids, book = _classes()
    sides = {"asks": asks(snapshot.get("asks", []), depth), "bids": bids(snapshot.get("bids", []), depth)}
    return book({**snapshot, **sides}, depth)


def levels_of(side: Any, most: int) -> list[list[Any]]:
    """Return a side's best levels, which stay as they are; they are copied where ccxt would change them."""
    levels: list[list[Any]] = side[:most]
    return levels if isinstance(side, _Replacing) else [[level[0], level[1]] for level in levels]


class _Replacing:
    """Mixed in front of a side of ccxt's order books."""

    side: bool | None
    _index: list[float]

    def storeArray(self, delta: Any) -> None:  # noqa: N802 - ccxt's name
        """Put a level [price, amount] where it belongs; an amount of 0 takes it out."""
        levels: Any = self
        price, amount = delta[0], delta[1]
        key, keys = -price if self.side else price, self._index
        index = bisect_left(keys, key)
        there = index < len(keys) and keys[index] == key
        if not amount:
            if there:
                del keys[index], levels[index]
        elif there:
            levels[index] = [price, amount]
        else:
            keys.insert(index, key)
            levels.insert(index, [price, amount])


@functools.cache
def _classes() -> tuple[type[Any], type[Any], type[Any]]:
    """Return the classes of asks, bids and books."""
    from ccxt.async_support.base.ws.order_book import OrderBook  # noqa: PLC0415 - when an exchange is imported already
    from ccxt.async_support.base.ws.order_book_side import Asks, Bids  # noqa: PLC0415 - as above

    def replacing(side: type[Any]) -> type[Any]:
        return type(side.__name__, (_Replacing, side), {})

    return replacing(Asks), replacing(Bids), OrderBook
