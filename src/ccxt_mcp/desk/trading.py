"""Trading: the parts of the write route together, as tools and doors use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ccxt_mcp.desk.allowance import Allowance
from ccxt_mcp.desk.changes import Changes
from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.exits import Exits
from ccxt_mcp.desk.history import History
from ccxt_mcp.desk.leverage import Leverage
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.streams import Hub

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class Trading:
    """What private tools work with.

    Attributes:
        gateway: the way to the exchanges, for private reads.
        desk: places orders.
        exits: cancels them.
        changes: modifies them.
        leverage: sets leverage and margin mode.
        history: looks orders up.
        allowance: tells limits.
    """

    gateway: Gateway
    desk: Desk
    exits: Exits
    changes: Changes
    leverage: Leverage
    history: History
    allowance: Allowance

    @classmethod
    def over(cls, gateway: Gateway, journal: Callable[[], Awaitable[Journal]], hub: Hub) -> Self:
        """Return the write route over a gateway.

        Args:
            gateway: the way to the exchanges.
            journal: opens the journal, on first use.
            hub: where the streams of accounts are.
        """
        desk = Desk(gateway, journal, hub)
        exits = Exits(desk)
        return cls(
            gateway,
            desk,
            exits,
            Changes(desk, exits),
            Leverage(desk),
            History(gateway, desk, exits),
            Allowance(gateway, desk),
        )
