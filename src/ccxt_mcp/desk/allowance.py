"""Allowance: what an account may still do, by our limits and by the market's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ccxt_mcp.desk.desk import Desk, counters
from ccxt_mcp.envelope import Envelope
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.orders.limits import Limits, allowed_now
from ccxt_mcp.orders.market import MarketRules


class Allowance:
    """Tells limits, and how much of them is used.

    Args:
        gateway: the way to the exchanges.
        desk: whose journal counts, and who looks at the account.
    """

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk

    async def tell(self, exchange: str, account: str | None, symbol: str | None) -> Envelope:
        """Return an account's limits, what is left of them, what halts it, and one market's bounds.

        Args:
            exchange: the exchange.
            account: the account; None for the exchange's default one.
            symbol: whose bounds are told as well.

        Raises:
            Failure: the account, the symbol or the journal could not be found.
        """
        venue = await self._gateway.account_venue(exchange, account)
        name = venue.key.account or ""
        limits = Limits.of(venue.key.mode, *self._gateway.settings.limits_of(name))
        journal = await self._desk.journal()
        counted = await journal.counters(exchange, name)
        seen = await self._desk.standing.open_orders(exchange, name)
        loss = None if limits.daily_loss is None else await self._desk.standing.loss_today(journal, exchange, name)
        data: dict[str, Any] = {
            **allowed_now(limits, counters(counted, seen, loss)),
            "halted": [
                {"scope": halt.scope, "by": halt.by, "why": halt.why, "since": halt.since_ms}
                for halt in await journal.halts()
                if halt.scope in {"*", f"{exchange}/{name}"}
            ]
            or None,
            "unresolved": len(await journal.unresolved(exchange, name)) or None,
        }
        if symbol is not None:
            data["market"] = _bounds(venue, venue.resolve(symbol))
        told = {part: item for part, item in data.items() if item is not None}
        metadata = self._gateway.metadata(exchange=exchange, mode=venue.key.mode, account=name)
        return Envelope(metadata, data=told)


def _bounds(venue: Venue, symbol: str) -> dict[str, Any]:
    """Return what the exchange takes in one market."""
    rules = MarketRules.of(venue.markets[symbol], precision_mode=venue.exchange.precisionMode)
    bounds = {"amount": rules.amounts, "price": rules.prices, "cost": rules.costs, "leverage": rules.leverages}
    least_most = {
        f"{side}{name.capitalize()}": value
        for name, bound in bounds.items()
        for side, value in (("min", bound.least), ("max", bound.most))
        if value is not None
    }
    facts: dict[str, Any] = {"symbol": symbol, "active": rules.active, "contractSize": _size(rules)}
    return {name: value for name, value in (facts | least_most).items() if value is not None}


def _size(rules: MarketRules) -> Decimal | None:
    return rules.contract_size if rules.contract else None
