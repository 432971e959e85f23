"""Terms: what an exchange takes in an order, as ccxt declares it; what it does not declare is never sent in hope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.features import features_of
from ccxt_mcp.exchanges.quirks import BUYS_BY_COST, STOPS_OF_POSITIONS, lineage

_WORDS = {
    "trigger_price": "trigger orders",
    "take_profit": "attached take-profits",
    "stop_loss": "attached stop-losses",
    "trailing_distance": "trailing stops by a distance",
    "trailing_percent": "trailing stops by a percentage",
    "IOC": "time in force IOC",
    "FOK": "time in force FOK",
    "PO": "post-only orders",
}


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What one market of an exchange takes beside plain market and limit orders.

    Attributes:
        takes: the words of `_WORDS` that it takes.
        buys_by_cost: whether a market buy says how much quote to spend, not how much base to buy.
        directed: whether a trigger must say from which side it is reached.
        triggers_by_kind: whether ccxt takes triggers as stop-loss or take-profit prices only.
    """

    takes: frozenset[str]
    buys_by_cost: bool = False
    directed: bool = False
    triggers_by_kind: bool = False

    @classmethod
    def of(cls, exchange: Any, market: Mapping[str, Any]) -> Self:
        """Return the terms of a market, from ccxt's `features`.

        Args:
            exchange: the ccxt instance.
            market: ccxt's market.
        """
        features = features_of(exchange, "createOrder", market)
        ids = lineage(type(exchange))
        attached = bool(features.get("attachedStopLossTakeProfit"))
        in_force = features.get("timeInForce") or {}
        by_kind = not features.get("triggerPrice") and bool(features.get("stopLossPrice"))
        trails = bool(features.get("trailing")) and not ids & STOPS_OF_POSITIONS
        has = {
            "trigger_price": bool(features.get("triggerPrice")) or by_kind,
            "take_profit": attached,
            "stop_loss": attached,
            "trailing_distance": trails and exchange.has.get("createTrailingAmountOrder") is True,
            "trailing_percent": trails and exchange.has.get("createTrailingPercentOrder") is True,
            **{word: in_force.get(word) is True for word in ("IOC", "FOK", "PO")},
        }
        return cls(
            takes=frozenset(word for word, taken in has.items() if taken),
            buys_by_cost=bool(market.get("spot")) and bool(ids & BUYS_BY_COST),
            directed=features.get("triggerDirection") is True,
            triggers_by_kind=by_kind,
        )

    def require(self, wanted: str, where: str) -> None:
        """Refuse what the market does not take.

        Args:
            wanted: one of the words of `takes`.
            where: exchange and market, for the message.

        Raises:
            Failure: METHOD_NOT_SUPPORTED.
        """
        if wanted not in self.takes:
            offered = ", ".join(_WORDS[word] for word in _WORDS if word in self.takes) or "plain orders only"
            raise Failure(
                Code.METHOD_NOT_SUPPORTED,
                f"{where} has no {_WORDS[wanted]} that ccxt could place.",
                hint=f"There are: {offered}.",
            )


EVERYTHING = OrderTerms(takes=frozenset(_WORDS))
"""The terms of a broker of ours."""
