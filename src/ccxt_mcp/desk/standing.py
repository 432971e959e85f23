"""Standing: what limits need to know of an account besides the journal: its open orders and what it is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ccxt_mcp.call import Call
from ccxt_mcp.desk.prices import Prices, decimal_of, has_market
from ccxt_mcp.everywhere import ask_everywhere, is_whole
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal

_SEEN_FOR_MS = 5_000  # for how long a look at the open orders counts; later orders are added from the journal
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """A look at an account's open orders.

    Attributes:
        count: how many there were; None when the exchange did not tell, or not all.
        seen_ms: when, in milliseconds since the epoch.
    """

    count: int | None
    seen_ms: int


class Standing:
    """Looks at accounts for the limits.

    Args:
        gateway: the way to the exchanges.
        prices: what currencies are worth.
        now_ms: milliseconds since the epoch.
    """

    def __init__(self, gateway: Gateway, prices: Prices, *, now_ms: Callable[[], int]) -> None:
        self._gateway = gateway
        self._prices = prices
        self._now_ms = now_ms
        self._seen: dict[tuple[str, str], OpenOrders] = {}

    async def open_orders(self, exchange: str, account: str, *, anew: bool = False) -> OpenOrders:
        """Return how many orders are open, from a look that is a few seconds old at most.

        Args:
            exchange: the exchange.
            account: the account.
            anew: whether to look now.
        """
        seen = self._seen.get((exchange, account))
        if not anew and seen is not None and self._now_ms() - seen.seen_ms < _SEEN_FOR_MS:
            return seen
        now = self._now_ms()
        call = Call("fetchOpenOrders", exchange, account=account)
        answer = await ask_everywhere(self._gateway, call)
        told = answer.success and is_whole(await self._gateway.account_venue(exchange, account), call, answer.data)
        seen = OpenOrders(len(answer.data) if told else None, now)
        if seen.count is not None:
            self._seen[exchange, account] = seen
        return seen

    async def loss_today(self, journal: Journal, exchange: str, account: str) -> Decimal | None:
        """Return by how much the account is worth less than at its first order of the day (UTC), in US dollars.

        None where that cannot be known. Money that was moved in or out counts as gain or loss.
        """
        worth = await self.equity(exchange, account)
        if worth is None:
            return None
        start = await journal.day_start(exchange, account, self._now_ms() // _DAY_MS, worth)
        return start - worth

    async def equity(self, exchange: str, account: str) -> Decimal | None:
        """Return what an account is worth in US dollars, open positions included; None if a price is not known now.

        What the exchange has no market for counts as nothing: else a worthless coin that somebody sent would stop all
        trading.
        """
        balance, positions = await asyncio.gather(
            self._gateway.call(Call("fetchBalance", exchange, account=account)),
            self.positions(exchange, account),
        )
        if not balance.success or positions is None:
            return None
        totals = {code: decimal_of(total) for code, total in balance.data["total"].items()}
        for position in positions:
            settle = str(position["symbol"]).rpartition(":")[2].partition("-")[0]  # what follows is the expiry
            gain = decimal_of(position.get("unrealizedPnl"))
            totals[settle] = (totals.get(settle) or Decimal(0)) + (gain or Decimal(0))
        markets = (await self._gateway.account_venue(exchange, account)).markets
        amounts = {code: total for code, total in totals.items() if total and has_market(code, markets)}
        values = (await self._prices.worth(exchange, account, amounts)).values()
        known = [value for value in values if value is not None]
        return sum(known, Decimal(0)) if len(known) == len(amounts) else None

    async def positions(self, exchange: str, account: str, symbol: str | None = None) -> list[dict[str, Any]] | None:
        """Return the open positions; none where the exchange has no such thing, None where it does not tell now."""
        venue = await self._gateway.account_venue(exchange, account)
        if venue.support("fetchPositions") == "none":
            return []
        wanted = None if symbol is None else (symbol,)
        answer = await ask_everywhere(self._gateway, Call("fetchPositions", exchange, symbols=wanted, account=account))
        return answer.data if answer.success else None

    async def leverage(self, venue: Venue, symbol: str) -> Decimal | None:
        """Return the leverage that is set for a contract market; None where the exchange has no way to tell.

        It is not a number where the exchange should have told and did not, so that no limit passes it.
        """
        if venue.support("fetchLeverage") == "none":
            return None
        answer = await self._gateway.call(
            Call("fetchLeverage", venue.key.exchange, symbol=symbol, account=venue.key.account)
        )
        if not answer.success:
            return Decimal("NaN")
        sides = [decimal_of(answer.data.get(side)) for side in ("longLeverage", "shortLeverage")]
        return max((side for side in sides if side is not None), default=None)
