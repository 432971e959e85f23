"""History: orders as the exchange knows them, by whatever routes it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.exits import Exits, Target
from ccxt_mcp.desk.shown import shown_order
from ccxt_mcp.envelope import Envelope, combined
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.everywhere import ask_everywhere, is_whole
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway

_ROWS = 500
_WHOLE = ("fetchCanceledAndClosedOrders", "fetchOrders")
_PARTS = ("fetchClosedOrders", "fetchCanceledOrders")
_OPEN = frozenset({"open", "untriggered"})


class History:
    """Looks orders up.

    Args:
        gateway: the way to the exchanges.
        desk: whose journal and lookup are used.
        exits: which know how to name an order.
    """

    def __init__(self, gateway: Gateway, desk: Desk, exits: Exits) -> None:
        self._gateway = gateway
        self._desk = desk
        self._exits = exits

    async def order(self, target: Target) -> Envelope:
        """Return one order, by either id; the journal tells its market and the id that the exchange knows.

        Raises:
            Failure: ORDER_NOT_FOUND, or why the exchange could not be asked.
        """
        venue = await self._gateway.account_venue(target.exchange, target.account)
        wanted = await self._exits.wanted(venue, target)
        found = await self._desk.lookup.find(wanted)
        if found.order is None:
            if found.failure is not None:
                raise found.failure
            raise Failure(
                Code.ORDER_NOT_FOUND,
                f"{target.exchange} shows no such order among open and ended ones.",
                hint="Give symbol as well; many exchanges look orders up by market only."
                if wanted.symbol is None
                else None,
            )
        own = {"clientOrderId": target.client_order_id} if target.client_order_id else {}
        return Envelope(self._metadata(venue), data=shown_order(found.order | own))

    async def by_any_id(self, exchange: str, account: str | None, order_id: str, symbol: str | None) -> Envelope:
        """Return one order by an id that may be the exchange's or ours.

        Raises:
            Failure: as `order`.
        """
        try:
            return await self.order(Target(exchange, account, order_id, None, symbol, "", ""))
        except Failure as failure:
            if failure.code is not Code.ORDER_NOT_FOUND:
                raise
        return await self.order(Target(exchange, account, None, order_id, symbol, "", ""))

    async def orders(
        self, exchange: str, account: str | None, status: str, symbol: str | None, since: int | None
    ) -> Envelope:
        """Return an account's `orders`, newest first, and whether that is the `whole` of them.

        Args:
            exchange: the exchange.
            account: the account; None for the exchange's default one.
            status: open, closed (ended, filled or not) or all.
            symbol: only this market.
            since: only those from then on, in milliseconds since the epoch.
        """
        venue = await self._gateway.account_venue(exchange, account)
        methods = self._methods(venue, status)
        if not methods:
            raise Failure(Code.METHOD_NOT_SUPPORTED, f"{exchange} does not list {status} orders.")
        arguments: dict[str, Any] = {"limit": _ROWS} | ({} if since is None else {"since": since})
        account = venue.key.account
        calls = [Call(method, exchange, symbol=symbol, arguments=arguments, account=account) for method in methods]
        answers = await asyncio.gather(*(ask_everywhere(self._gateway, call) for call in calls))
        if failed := next((answer for answer in answers if not answer.success), None):
            return failed
        whole = all(is_whole(venue, call, answer.data) for call, answer in zip(calls, answers, strict=True))
        merged = {order["id"]: order for answer in answers for order in answer.data}
        fitting = [order for order in merged.values() if _fits(order, status, since)]
        newest_first = sorted(fitting, key=lambda order: order.get("timestamp") or 0, reverse=True)
        return Envelope(combined(answers), data={"orders": newest_first, "whole": whole})

    def _methods(self, venue: Venue, status: str) -> list[str]:
        """Return the calls that together list orders of this status."""
        has = [method for method in (*_WHOLE, *_PARTS) if venue.support(method) != "none"]
        ended = [method for method in has if method in _WHOLE][:1] or [method for method in has if method in _PARTS]
        resting = ["fetchOpenOrders"] if venue.support("fetchOpenOrders") != "none" else []
        wanted = {"open": resting, "closed": ended, "all": [*resting, *ended]}[status]
        return wanted if status != "all" or ended else []

    def _metadata(self, venue: Venue) -> Any:
        return self._gateway.metadata(exchange=venue.key.exchange, mode=venue.key.mode, account=venue.key.account)


def _fits(order: Mapping[str, Any], status: str, since: int | None) -> bool:
    is_open = order.get("status") in _OPEN
    late_enough = since is None or order.get("timestamp") is None or order["timestamp"] >= since
    return late_enough and (status == "all" or is_open == (status == "open"))
