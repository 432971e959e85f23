"""Lookup: finds an order at its exchange by every route that the exchange has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.desk.plan import id_params
from ccxt_mcp.desk.prices import decimal_of
from ccxt_mcp.envelope import Envelope
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.everywhere import ask_everywhere, is_whole, listing_of
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway

_ENDED = ("fetchCanceledAndClosedOrders", "fetchOrders", "fetchClosedOrders", "fetchCanceledOrders")
_ENOUGH = frozenset({"fetchCanceledAndClosedOrders", "fetchOrders"})  # each shows all orders that have ended
_ROWS = 100  # at once, of lists that ccxt knows no bound of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of the order that is looked for.

    Attributes:
        exchange: where it is.
        account: whose it is.
        symbol: its market; None where nobody knows, which some exchanges do not answer.
        order_id: the exchange's id.
        client_id: the id that we gave it.
        since: when it was placed at the earliest, in milliseconds since the epoch.
        like: its symbol, side, amount and price, where the exchange keeps no id of ours.
        not_these: ids of other orders, which may look the same.
        waits: whether it waits for a price, or did; None where nobody knows.
    """

    exchange: str
    account: str
    symbol: str | None = None
    order_id: str | None = None
    client_id: str | None = None
    since: int | None = None
    like: Mapping[str, Any] | None = None
    not_these: frozenset[str] = frozenset()
    waits: bool | None = None

    def is_it(self, order: Mapping[str, Any]) -> bool:
        """Whether an order of the exchange is the wanted one."""
        if self.like is not None:
            return order.get("id") not in self.not_these and self._is_alike(order, self.like)
        by_id = self.order_id is not None and order.get("id") == self.order_id
        return by_id or (self.client_id is not None and order.get("clientOrderId") == self.client_id)

    def identified(self, order: Mapping[str, Any]) -> Wanted:
        """Return the same search with what an order of the exchange tells of itself."""
        waits = order.get("triggerPrice") is not None
        return replace(self, order_id=order["id"], symbol=self.symbol or order.get("symbol"), waits=waits)

    def _is_alike(self, order: Mapping[str, Any], like: Mapping[str, Any]) -> bool:
        later = (order.get("timestamp") or 0) >= (self.since or 0)
        same = all(order.get(name) == like.get(name) for name in ("symbol", "side"))
        numbers = [name for name in ("amount", "price") if like.get(name) is not None]
        return later and same and all(decimal_of(order.get(name)) == decimal_of(like[name]) for name in numbers)


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search.

    Attributes:
        order: the order, as ccxt's unified structure; None if it was not seen.
        certain: whether it would have been seen if it existed: open and ended orders were both told.
        route: the method that showed it.
        failure: why a route did not answer, where one did not.
    """

    order: dict[str, Any] | None = None
    certain: bool = False
    route: str | None = None
    failure: Failure | None = None


class Lookup:
    """Searches by id, then among open orders, ended orders and trades.

    Args:
        gateway: the way to the exchanges.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def find(self, wanted: Wanted) -> Found:
        """Return the order, or how sure it is that there is none. Never raises for what an exchange does.

        Raises:
            Failure: the account does not exist, or its data may not be read.
        """
        venue = await self._gateway.account_venue(wanted.exchange, wanted.account)
        direct = await self._by_id(venue, wanted)
        if direct.order is not None:
            return direct
        open_orders = await self._among(venue, "fetchOpenOrders", wanted)
        if open_orders.order is not None:
            return open_orders
        ended = await self._ended(venue, wanted)
        if ended.order is not None:
            return ended
        return Found(
            certain=open_orders.certain and ended.certain,
            failure=open_orders.failure or ended.failure or direct.failure,
        )

    async def open_orders(self, exchange: str, account: str, symbol: str | None = None) -> Envelope:
        """Return the account's open orders, of one market or of all."""
        return await ask_everywhere(self._gateway, Call("fetchOpenOrders", exchange, symbol=symbol, account=account))

    async def _by_id(self, venue: Venue, wanted: Wanted) -> Found:
        if venue.support("fetchOrder") == "none":
            return Found()
        params = {} if wanted.client_id is None else id_params(venue, "fetchOrder", wanted.client_id, wanted.symbol)
        if wanted.order_id is None and (wanted.client_id is None or not params):
            return Found()
        given: dict[str, Any] = {} if wanted.order_id else params
        apart = wanted.waits and listing_of(venue, "fetchOrder", wanted.symbol).apart
        failure: Failure | None = None
        for form in ({"trigger": True}, {}) if apart else ({},):
            answer = await self._ask("fetchOrder", wanted, {"id": wanted.order_id, "params": {**given, **form}})
            if answer.failure is None and wanted.is_it(answer.data):
                return Found(answer.data, certain=True, route="fetchOrder")
            if answer.failure is not None and answer.failure.code is not Code.ORDER_NOT_FOUND:
                failure = answer.failure
        return Found(failure=failure)

    async def _ended(self, venue: Venue, wanted: Wanted) -> Found:
        """Search what has ended: all of it where one method tells all, else piece by piece, with the trades."""
        methods = [method for method in _ENDED if venue.support(method) != "none"]
        whole = [method for method in methods if method in _ENOUGH]
        answers: list[Found] = []
        for method in whole[:1] or methods:
            answers.append(await self._among(venue, method, wanted))
            if answers[-1].order is not None:
                return answers[-1]
        if not whole and venue.support("fetchMyTrades") != "none":
            answers.append(await self._traded(venue, wanted))
        found = next((answer for answer in answers if answer.order is not None), None)
        failure = next((answer.failure for answer in answers if answer.failure is not None), None)
        return found or Found(certain=bool(answers) and all(answer.certain for answer in answers), failure=failure)

    async def _among(self, venue: Venue, method: str, wanted: Wanted) -> Found:
        if venue.support(method) == "none":
            return Found()
        since = None if method == "fetchOpenOrders" else wanted.since
        answer = await self._ask(method, wanted, {"since": since, "limit": _ROWS})
        if answer.failure is not None:
            return Found(failure=answer.failure)
        order = next(filter(wanted.is_it, answer.data), None)
        return Found(order, certain=order is not None or self._is_whole(venue, method, wanted, answer), route=method)

    async def _traded(self, venue: Venue, wanted: Wanted) -> Found:
        answer = await self._ask("fetchMyTrades", wanted, {"since": wanted.since, "limit": _ROWS})
        if answer.failure is not None:
            return Found(failure=answer.failure)
        fills = [trade for trade in answer.data if wanted.is_it({"id": trade.get("order"), **_client_id(trade)})]
        order = _order_of(fills) if fills else None
        certain = order is not None or self._is_whole(venue, "fetchMyTrades", wanted, answer)
        return Found(order, certain=certain, route="fetchMyTrades")

    def _is_whole(self, venue: Venue, method: str, wanted: Wanted, answer: Envelope) -> bool:
        call = Call(method, wanted.exchange, symbol=wanted.symbol, arguments={"limit": _ROWS})
        return is_whole(venue, call, answer.data)

    async def _ask(self, method: str, wanted: Wanted, arguments: Mapping[str, Any]) -> Envelope:
        given = {name: value for name, value in arguments.items() if value is not None}
        call = Call(method, wanted.exchange, symbol=wanted.symbol, arguments=given, account=wanted.account)
        if method == "fetchOrder":
            return await self._gateway.call(call)
        return await ask_everywhere(self._gateway, call, waiting=wanted.waits is not False)


def _client_id(trade: Mapping[str, Any]) -> dict[str, Any]:
    return {"clientOrderId": trade.get("clientOrderId")}


def _order_of(fills: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what trades tell of their order: that it was executed, and how much of it at least."""
    rows = list(fills)
    filled = sum(float(row["amount"]) for row in rows)
    cost = sum(float(row["amount"]) * float(row["price"]) for row in rows)
    return {
        "id": rows[0].get("order"),
        "symbol": rows[0].get("symbol"),
        "side": rows[0].get("side"),
        "filled": filled,
        "cost": cost,
        "average": cost / filled if filled else None,
    }
