"""US dollars: which currencies count as one, and which markets tell what the others are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DOLLARS = (
    "USD",
    "USDT",
    "USDC",
    "FDUSD",
    "TUSD",
    "DAI",
    "PYUSD",
    "USDE",
    "USDP",
    "RLUSD",
    "USD1",
    "USDD",
    "GUSD",
    "BUSD",
)
"""Currencies that count as one dollar each, those with the most markets first.

Limits are measured in them; where one has lost its peg it is worth less, so that a limit errs on the careful side.
"""

_DOLLARS = frozenset(DOLLARS)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A market that tells what a currency is worth.

    Attributes:
        symbol: the market.
        inverted: whether its price is how much of the currency a dollar costs.
    """

    symbol: str
    inverted: bool = False


def is_dollar(currency: str) -> bool:
    """Return whether one unit of a currency counts as one US dollar."""
    return currency.upper() in _DOLLARS


def conversions(currency: str, markets: Mapping[str, Mapping[str, Any]]) -> Iterator[Conversion]:
    """Yield the spot markets that tell what a currency is worth in dollars, the best first.

    Args:
        currency: the currency; a dollar itself needs none.
        markets: ccxt's markets by unified symbol; inactive ones tell nothing.
    """
    if is_dollar(currency):
        return
    for inverted in (False, True):
        for dollar in DOLLARS:
            symbol = f"{dollar}/{currency}" if inverted else f"{currency}/{dollar}"
            market = markets.get(symbol)
            if market is not None and market.get("active") is not False:
                yield Conversion(symbol, inverted)
