"""The paper broker: answers to ccxt's private method names, for an account of play money on a real market.

It keeps nothing in memory: each call reads what it must know of the market, then opens the account, lives through what
has happened since, does what was asked, and writes all of it at once. So a call that is cancelled, and a process that
is killed, leave the account before the call or after it, never between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper import unified
from ccxt_mcp.paper.account import Opened, PaperAccount
from ccxt_mcp.paper.engine import Market, Order, Reason, Refused
from ccxt_mcp.paper.feed import number_of
from ccxt_mcp.paper.form import changes_of, request_of
from ccxt_mcp.paper.markets import PaperMarkets
from ccxt_mcp.text import clean_text

if TYPE_CHECKING:
    from ccxt_mcp.paper.feed import Feed
    from ccxt_mcp.paper.store import PaperStore

Params = Mapping[str, Any] | None

_METHODS = {
    "fetchBalance": "fetch_balance",
    "fetchPositions": "fetch_positions",
    "fetchOrder": "fetch_order",
    "fetchOrders": "fetch_orders",
    "fetchOpenOrders": "fetch_open_orders",
    "fetchClosedOrders": "fetch_closed_orders",
    "fetchCanceledOrders": "fetch_canceled_orders",
    "fetchCanceledAndClosedOrders": "fetch_canceled_and_closed_orders",
    "fetchMyTrades": "fetch_my_trades",
    "fetchTradingFee": "fetch_trading_fee",
    "fetchLeverage": "fetch_leverage",
    "createOrder": "create_order",
    "editOrder": "edit_order",
    "cancelOrder": "cancel_order",
    "cancelAllOrders": "cancel_all_orders",
    "setLeverage": "set_leverage",
    "setMarginMode": "set_margin_mode",
}
_ROWS = 100  # where no limit is given
_ENDED = frozenset({"closed", "canceled", "rejected"})


class PaperBroker:
    """Answers for one paper account; every answer is one of ccxt's unified structures.

    Args:
        exchange: the exchange's id.
        account: the account's name.
        markets: ccxt's markets by symbol, as they are loaded now.
        feed: the exchange's public data.
        store: where the account is kept.
        balances: what a new account begins with; currencies that the exchange does not have are left out.
        clock_ms: milliseconds since the epoch.
        precision_mode: ccxt's `precisionMode` of the exchange.
    """

    has: Mapping[str, bool] = dict.fromkeys(_METHODS, True)

    def __init__(
        self,
        exchange: str,
        account: str,
        *,
        markets: Callable[[], Mapping[str, Mapping[str, Any]]],
        feed: Feed,
        store: PaperStore,
        balances: Mapping[str, Decimal],
        clock_ms: Callable[[], int],
        precision_mode: int = 4,
    ) -> None:
        self._markets = PaperMarkets(markets, precision_mode)
        self._paper = PaperAccount(
            exchange,
            account,
            markets=self._markets,
            feed=feed,
            store=store,
            balances=balances,
            clock_ms=clock_ms,
        )

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method by ccxt's name, with ccxt's positional arguments.

        Raises:
            Failure: METHOD_NOT_SUPPORTED, or what the method raises.
        """
        if (name := _METHODS.get(method)) is None:
            raise Failure(Code.METHOD_NOT_SUPPORTED, f"Paper accounts have no {clean_text(method, 40)}.")
        return await getattr(self, name)(*arguments)

    async def advance(self) -> bool:
        """Let the account live through what the market has done; whether it has anything that the market may change."""
        return await self._paper.use(lambda at: bool(at.engine.orders() or at.engine.positions()))

    async def run(self, interval: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Advance for ever, while there are open orders or positions; whoever starts this cancels it.

        Args:
            interval: seconds between two looks at the market.
            sleep: waits for so many seconds.
        """
        while True:
            self._paper.waits.clear()
            try:
                waits = await self.advance()
            except Failure:  # of the store, or of markets that cannot be loaded: the next look may fare better
                waits = True
            await (sleep(interval) if waits else self._paper.waits.wait())

    async def fetch_balance(self, params: Params = None) -> dict[str, Any]:
        """Return free, used and total of each currency."""
        del params
        return await self._paper.use(lambda at: unified.balance_of(at.engine.balances(), at.now))

    async def fetch_positions(self, symbols: Sequence[str] | None = None, params: Params = None) -> list[Any]:
        """Return the open positions, of some markets or of all."""
        del params
        positions = await self._paper.use(lambda at: at.engine.positions())
        return [unified.position_of(one) for one in positions if not symbols or one.symbol in symbols]

    async def fetch_order(self, id: str | None, symbol: str | None = None, params: Params = None) -> dict[str, Any]:  # noqa: A002 - ccxt's name
        """Return an order, live or ended, by its id, or by `clientOrderId` in params.

        Raises:
            Failure: ORDER_NOT_FOUND.
        """
        client_order_id = _client_order_id(id, params)
        live = await self._paper.use(lambda at: _found(at.engine.orders(), id, client_order_id))
        order = live or await self._paper.ended_order(id, client_order_id)
        if order is None or symbol not in {None, order.symbol}:
            raise Failure(Code.ORDER_NOT_FOUND, f"There is no order {clean_text(str(id or client_order_id), 60)!r}.")
        return unified.order_of(order)

    async def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the live orders, those that wait for a trigger included, oldest first."""
        wanted = (params or {}).get("clientOrderId")
        live = await self._paper.use(lambda at: at.engine.orders(symbol))
        orders = [one for one in live if one.created >= (since or 0) and wanted in {None, one.client_order_id}]
        return [unified.order_of(order) for order in orders[: limit or len(orders)]]

    async def fetch_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the newest orders, live and ended, oldest first."""
        del params
        live = await self._paper.use(lambda at: at.engine.orders(symbol))
        ended = await self._paper.ended_orders(_ENDED, symbol, since, limit or _ROWS)
        found = {order.id: order for order in (*live, *ended) if order.created >= (since or 0)}
        orders = sorted(found.values(), key=lambda order: order.number)
        return [unified.order_of(order) for order in orders[-(limit or _ROWS) :]]

    async def fetch_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the newest orders that were filled, oldest first."""
        del params
        return await self._fetch_ended({"closed"}, symbol, since, limit)

    async def fetch_canceled_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the newest orders that ended before they were filled, oldest first."""
        del params
        return await self._fetch_ended({"canceled", "rejected"}, symbol, since, limit)

    async def fetch_canceled_and_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the newest orders that have ended, oldest first."""
        del params
        return await self._fetch_ended(_ENDED, symbol, since, limit)

    async def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = None
    ) -> list[dict[str, Any]]:
        """Return the newest fills, oldest first; those of one order where params has `orderId`."""
        await self.advance()
        fills = await self._paper.fills(symbol, (params or {}).get("orderId"), since, limit or _ROWS)
        return [unified.trade_of(fill) for fill in fills]

    async def fetch_trading_fee(self, symbol: str, params: Params = None) -> dict[str, Any]:
        """Return the fee rates of a market."""
        del params
        return unified.fee_of(self._markets.require(symbol))

    async def fetch_leverage(self, symbol: str, params: Params = None) -> dict[str, Any]:
        """Return the leverage of what is opened in a contract from now on."""
        del params
        market = self._contract(symbol)
        leverage = await self._paper.use(lambda at: at.engine.leverage(market.symbol))
        return unified.leverage_of(market.symbol, leverage)

    async def create_order(
        self,
        symbol: str,
        type: str,  # noqa: A002 - ccxt's name
        side: str,
        amount: Any = None,
        price: Any = None,
        params: Params = None,
    ) -> dict[str, Any]:
        """Place an order, and return it as it stands after it has taken what it can.

        Raises:
            Failure: it was refused, or the market could not be read; nothing was placed then.
        """
        market = self._markets.require_active(symbol)
        request = request_of(market.symbol, type, side, amount, price, params)
        if request.client_order_id is not None and await self._paper.ended_order(None, request.client_order_id):
            raise Failure(
                Code.CLIENT_ORDER_ID_USED, f"clientOrderId {clean_text(request.client_order_id, 60)!r} was used before."
            )
        placed = await self._paper.use(lambda at: at.engine.place(request, at.now, at.book), book_of=market.symbol)
        return unified.order_of(placed)

    async def edit_order(
        self,
        id: str,  # noqa: A002 - ccxt's name
        symbol: str,
        type: str | None = None,  # noqa: A002 - ccxt's name
        side: str | None = None,
        amount: Any = None,
        price: Any = None,
        params: Params = None,
    ) -> dict[str, Any]:
        """Change amount, price or trigger price of an open order; it keeps its id, and what is filled stays filled.

        Raises:
            Failure: it was refused, or the market could not be read; the order stays as it was.
        """
        market = self._markets.require(symbol)
        changes = changes_of(amount, price, params)

        def edit(at: Opened) -> Order:
            order = at.engine.order(id)
            if (
                order.symbol != market.symbol
                or type not in {None, order.request.type}
                or side not in {None, order.side}
            ):
                raise Refused(Reason.NOT_AMENDABLE, "Market, type and side of an order cannot be changed.")
            present = {
                "amount": order.amount,
                "price": order.request.price,
                "trigger_price": order.request.trigger_price,
            }
            new = {name: value for name, value in changes.items() if value != present[name]}
            return at.engine.amend(id, at.now, book=at.book, **new) if new else order

        return unified.order_of(await self._paper.use(edit, book_of=market.symbol))

    async def cancel_order(self, id: str | None, symbol: str | None = None, params: Params = None) -> dict[str, Any]:  # noqa: A002 - ccxt's name
        """Cancel a live order, by its id or by `clientOrderId` in params, and return it.

        Raises:
            Failure: ORDER_NOT_FOUND; it has ended, or never was.
        """
        client_order_id = _client_order_id(id, params)

        def cancel(at: Opened) -> Order:
            order = at.engine.order_of(client_order_id) if client_order_id else at.engine.order(str(id))
            if symbol not in {None, order.symbol}:
                raise Refused(Reason.ORDER_NOT_FOUND, f"Order {order.id} is one of {order.symbol}.")
            return at.engine.cancel(order.id, at.now)

        return unified.order_of(await self._paper.use(cancel))

    async def cancel_all_orders(self, symbol: str | None = None, params: Params = None) -> list[dict[str, Any]]:
        """Cancel the live orders of a market, or all, and return them."""
        del params

        def cancel(at: Opened) -> list[Order]:
            return [at.engine.cancel(order.id, at.now) for order in at.engine.orders(symbol)]

        return [unified.order_of(order) for order in await self._paper.use(cancel)]

    async def set_leverage(self, leverage: Any, symbol: str, params: Params = None) -> dict[str, Any]:
        """Set the leverage of a contract; the margin of its position and orders follows.

        Raises:
            Failure: it was refused; nothing has changed.
        """
        del params
        market = self._contract(symbol)
        wanted = number_of(leverage)
        if wanted is None:
            raise Failure(Code.INVALID_ARGUMENT, f"leverage is {clean_text(str(leverage), 40)!r}, which is no number.")
        await self._paper.use(lambda at: at.engine.set_leverage(market.symbol, wanted, at.now))
        return unified.leverage_of(market.symbol, wanted)

    async def set_margin_mode(self, margin_mode: str, symbol: str | None = None, params: Params = None) -> Any:
        """Accept isolated margin, which is all that there is.

        Raises:
            Failure: METHOD_NOT_SUPPORTED for another mode.
        """
        del params
        if margin_mode != "isolated":
            raise Failure(
                Code.METHOD_NOT_SUPPORTED,
                f"marginMode is {clean_text(str(margin_mode), 20)!r}; paper accounts have isolated margin only.",
            )
        return {"info": {}, "symbol": symbol, "marginMode": "isolated"}

    def _contract(self, symbol: str) -> Market:
        market = self._markets.require(symbol)
        if market.spot:
            raise Failure(Code.INVALID_ARGUMENT, f"{symbol} is a spot market; leverage is for contracts.")
        return market

    async def _fetch_ended(
        self, statuses: Collection[str], symbol: str | None, since: int | None, limit: int | None
    ) -> list[dict[str, Any]]:
        await self.advance()
        orders = await self._paper.ended_orders(statuses, symbol, since, limit or _ROWS)
        return [unified.order_of(order) for order in orders]


def _client_order_id(order_id: str | None, params: Params) -> str | None:
    return None if order_id else (params or {}).get("clientOrderId")


def _found(orders: Iterable[Order], order_id: str | None, client_order_id: str | None) -> Order | None:
    for order in orders:
        if (order.client_order_id == client_order_id) if client_order_id else (order.id == order_id):
            return order
    return None
