"""Order books: best prices, spread, and how much stands close to the middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ccxt_mcp.analytics.decimals import bps, exact, finite, number
from ccxt_mcp.envelope import Table

LEVEL_COLUMNS = ("price", "amount")

_Measure = Callable[[Decimal, Decimal], tuple[Decimal, Decimal]]


class _Depth(NamedTuple):
    """What one side holds up to a bound: base amount, quote value, and whether the book reaches beyond the bound."""

    amount: Decimal
    value: Decimal
    complete: bool


def summarise_book(
    book: Mapping[str, Any], *, levels: int, within: float, contract_size: float | None = None, inverse: bool = False
) -> dict[str, Any]:
    """Return best prices, spread, depth around the middle, and the best levels of an order book.

    Formulas: mid = (bid + ask) / 2; spread = ask - bid, spreadBps = spread / mid x 10^4; depth sums each side's levels
    from the best price to mid x (1 - within/100) or mid x (1 + within/100), in base units (bidAmount, askAmount) and
    in quote units (bidValue, askValue); imbalance = (bidValue - askValue) / (bidValue + askValue), from -1 (only
    sellers) to 1 (only buyers). `depthComplete` is false when a side ends before its bound: then its true depth may be
    larger. `crossed` appears when the best bid is not below the best ask. What an empty side makes unknown is left out.

    Args:
        book: ccxt's unified book, best levels first.
        levels: at most so many levels of each side in the tables `bids` and `asks`, as the exchange gives them.
        within: percent of mid.
        contract_size: the market's contractSize, where amounts are contracts; otherwise they are base units.
        inverse: whether a contract is worth a fixed number of quote units instead of base units.
    """
    bids, asks = _levels(book.get("bids")), _levels(book.get("asks"))
    bid, ask = _best(bids), _best(asks)
    facts: dict[str, Any] = {
        "symbol": book.get("symbol"),
        "timestamp": book.get("timestamp"),
        "bid": bids[0][0] if bids else None,
        "ask": asks[0][0] if asks else None,
    }
    if bid is not None and ask is not None:
        facts |= _middle(bid, ask)
        if (mid := (bid + ask) / 2) > 0:
            measure = _measure(Decimal(1) if contract_size is None else Decimal(str(contract_size)), inverse=inverse)
            facts |= _depths(bids, asks, mid, Decimal(str(within)), measure)
    facts |= {"bids": Table(LEVEL_COLUMNS, bids[:levels]), "asks": Table(LEVEL_COLUMNS, asks[:levels])}
    return {name: fact for name, fact in facts.items() if fact is not None}


def _levels(side: Any) -> list[list[Any]]:
    return [[level[0], level[1]] for level in side or () if finite(level[0]) and finite(level[1])]


def _best(side: Sequence[Sequence[Any]]) -> Decimal | None:
    return exact(side[0][0]) if side else None


def _middle(bid: Decimal, ask: Decimal) -> dict[str, Any]:
    mid = (bid + ask) / 2
    facts: dict[str, Any] = {"mid": number(mid), "spread": number(ask - bid)}
    if mid > 0:
        facts["spreadBps"] = bps(ask - bid, mid)
    if bid >= ask:
        facts["crossed"] = True
    return facts


def _depths(
    bids: Sequence[Sequence[Any]], asks: Sequence[Sequence[Any]], mid: Decimal, within: Decimal, measure: _Measure
) -> dict[str, Any]:
    low, high = mid * (1 - within / 100), mid * (1 + within / 100)
    buyers = _depth(bids, lambda price: price >= low, measure)
    sellers = _depth(asks, lambda price: price <= high, measure)
    both = buyers.value + sellers.value
    depth = {
        "withinPercent": number(within),
        "bidAmount": number(buyers.amount),
        "bidValue": number(buyers.value),
        "askAmount": number(sellers.amount),
        "askValue": number(sellers.value),
        "imbalance": number((buyers.value - sellers.value) / both, 4) if both else None,
    }
    return {
        "depthComplete": buyers.complete and sellers.complete,
        "depth": {name: value for name, value in depth.items() if value is not None},
    }


def _depth(side: Sequence[Sequence[Any]], reached: Callable[[Decimal], bool], measure: _Measure) -> _Depth:
    amount = value = Decimal(0)
    for level in side:
        price = Decimal(str(level[0]))
        if not reached(price):
            return _Depth(amount, value, complete=True)
        more_amount, more_value = measure(price, Decimal(str(level[1])))
        amount, value = amount + more_amount, value + more_value
    return _Depth(amount, value, complete=False)


def _measure(size: Decimal, *, inverse: bool) -> _Measure:
    """Return the rule that turns a level's price and amount into base amount and quote value."""
    if inverse:
        return lambda price, amount: (amount * size / price, amount * size)
    return lambda price, amount: (amount * size, amount * size * price)
