"""What an account has done: its orders and executions, kept for as long as the simulator runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccxt_mcp.paper.engine import Order

    from .markets import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What only the wire tells of an order.

    Attributes:
        quantity: `qty` as it was asked for.
        unit: `marketUnit` of a market order on spot, '' for any other.
        kind: `stopOrderType`: what an order that waits for a price is for, '' for any other.
    """

    quantity: str = ""
    unit: str = ""
    kind: str = ""


@dataclass(slots=True)
class Record:
    """An order as the exchange knows it: its place among all of the account, its terms, and how it stands."""

    number: int
    market: Market
    terms: Terms
    order: Order

    @property
    def link(self) -> str:
        """The client's own id, '' where it gave none."""
        return self.order.client_order_id or ""

    @property
    def filter(self) -> str:
        """Bybit's `orderFilter`: which kind of order it is until its price is reached."""
        if not self.order.request.waits or self.order.triggered is not None:
            return "Order"
        return "tpslOrder" if self.terms.kind == "tpslOrder" else "StopOrder"


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill, a liquidation or a funding; `document` is what /v5/execution/list tells of it."""

    number: int
    market: Market
    time: int
    document: dict[str, Any]
