"""The endpoints that change an account: functions of account, form and time that return Bybit's `result`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ccxt_mcp.paper.engine import OrderRequest, Reason

from .codes import granted, refusal
from .floor import name_of
from .order_form import read_order, refuse_price_source
from .query import Query, read_category, read_number, read_price
from .records import Record, Terms
from .refusal import Refusal

if TYPE_CHECKING:
    from ccxt_mcp.paper.engine import Position

    from .account import Account
    from .floor import Floor
    from .markets import Market
    from .world import Venue

Write = Callable[["Account", Query, int], dict[str, Any]]

_STOPS = (("takeProfit", "TakeProfit", "tpSize"), ("stopLoss", "StopLoss", "slSize"))
_HINDRANCE = "The simulator has isolated margin only."


class Trading:
    """The endpoints by path. `now` is the world's time in milliseconds. An endpoint raises Refusal where Bybit does."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self.endpoints: Mapping[str, Write] = {
            "/v5/order/create": self.create,
            "/v5/order/amend": self.amend,
            "/v5/order/cancel": self.cancel,
            "/v5/order/cancel-all": self.cancel_all,
            "/v5/position/set-leverage": self.set_leverage,
            "/v5/position/trading-stop": self.trading_stop,
            "/v5/position/switch-isolated": self.switch_isolated,
            "/v5/account/set-margin-mode": self.set_margin_mode,
        }

    def create(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Place an order; the answer tells no more than its ids."""
        if link := form.get("orderLinkId"):
            account.asked[link] += 1
        venue = self._venue(account, form)
        request, terms = read_order(form, venue.market, self._floor.book(venue, now))
        return _ids(account.place(request, terms, venue, now))

    def amend(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Change amount, price or trigger of an order; what it protects stays."""
        venue = self._venue(account, form)
        refuse_price_source(form, "triggerBy")
        if any(read_price(form, name) for name in ("takeProfit", "stopLoss")):
            raise Refusal(110057, "The simulator cannot change take profit and stop loss of an order.")
        record = _live(account, form, venue)
        with granted(venue.market.category):
            account.engine.amend(
                record.order.id,
                now,
                book=self._floor.book(venue, now),
                amount=read_number(form, "qty"),
                price=read_number(form, "price"),
                trigger_price=read_price(form, "triggerPrice"),
            )
        account.tell(now)
        return _ids(record)

    def cancel(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Cancel an order; on spot only one of the kind that `orderFilter` says, plain orders by default."""
        venue = self._venue(account, form)
        record = _live(account, form, venue)
        if venue.contract is None and record.filter != form.get("orderFilter", "Order"):
            raise refusal("spot", Reason.ORDER_NOT_FOUND)
        account.engine.cancel(record.order.id, now)
        account.tell(now)
        return _ids(record)

    def cancel_all(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Cancel the orders of a symbol, a coin, or on spot all; of one kind where `orderFilter` says which."""
        category = read_category(form)
        _require_right(account, category)
        if category == "linear" and not any(form.get(name) for name in ("symbol", "baseCoin", "settleCoin")):
            raise Refusal(10001, "symbol, settleCoin or baseCoin is required")
        kind = form.get("orderFilter", "Order" if category == "spot" else "")
        found = [
            record
            for order in account.engine.orders()
            if in_scope((record := account.records[order.id]).market, form) and kind in {"", record.filter}
        ]
        gone: list[dict[str, str]] = []
        for record in found:
            if record.order.live:
                account.engine.cancel(record.order.id, now)
                account.tell(now)
                gone.append(_ids(record))
        return {"list": gone, "success": "1"}

    def set_leverage(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Set the leverage of a contract, the same for both sides."""
        venue = self._contract(account, form)
        leverage, other = read_number(form, "buyLeverage"), read_number(form, "sellLeverage")
        if leverage is None or leverage != other:
            raise Refusal(10001, "buy leverage invalid")
        name = name_of(venue.market)
        if leverage == account.engine.leverage(name):
            raise Refusal(110043, "leverage not modified")
        with granted("linear"):
            account.engine.set_leverage(name, leverage, now)
        account.tell(now)
        return {}

    def trading_stop(self, account: Account, form: Query, now: int) -> dict[str, Any]:
        """Set take-profit, stop-loss and trailing stop of a position: of all of it, or of `tpSize` and `slSize`.

        What closes all of it replaces what was set before, and '0' takes it away; it covers the position as it is now.
        """
        venue = self._contract(account, form)
        position = account.engine.position(name_of(venue.market))
        if position is None:
            raise Refusal(10001, "can not set tp/sl/ts for zero position")
        refuse_price_source(form, "tpTriggerBy", "slTriggerBy")
        if "Limit" in {form.get("tpOrderType"), form.get("slOrderType")} or read_price(form, "activePrice"):
            raise Refusal(110057, "The simulator has no limit orders as stops and no activePrice.")
        part = form.get("tpslMode") == "Partial"
        for field, kind, size in _STOPS:
            amount = read_number(form, size) if part else None
            self._set_stop(account, form, venue, position, field, f"Partial{kind}" if amount else kind, amount, now)
        self._set_stop(account, form, venue, position, "trailingStop", "TrailingStop", None, now)
        return {}

    def switch_isolated(self, _account: Account, _form: Query, _now: int) -> dict[str, Any]:
        """Bybit has this for accounts of the old kind only."""
        raise Refusal(100028, "The API cannot be accessed by unified account users.")

    def set_margin_mode(self, _account: Account, form: Query, _now: int) -> dict[str, Any]:
        """The mode is isolated margin, and stays so."""
        if form.get("setMarginMode") != "ISOLATED_MARGIN":
            raise Refusal(110073, _HINDRANCE)
        return {"reasons": []}

    def _set_stop(
        self,
        account: Account,
        form: Query,
        venue: Venue,
        position: Position,
        field: str,
        kind: str,
        amount: Decimal | None,
        now: int,
    ) -> None:
        value = read_number(form, field)
        if value is None:
            return
        if not value:
            _take_away(account, venue, kind, now)
            return
        trails, long = kind == "TrailingStop", position.side == "long"
        request = OrderRequest(
            symbol=position.symbol,
            side=position.closing_side,
            type="market",
            amount=position.contracts if amount is None else amount,
            reduce_only=True,
            trigger_price=None if trails else value,
            trigger_rises=None if trails else (field == "takeProfit") == long,
            trailing=value if trails else None,
        )
        before = account.whole_stops(venue.market)
        record = account.place(request, Terms(quantity="", kind=kind), venue, now)
        for old in before:
            if old.terms.kind == kind and old.order.live and old is not record:
                account.engine.cancel(old.order.id, now)
        account.tell(now)

    def _venue(self, account: Account, form: Query) -> Venue:
        category = read_category(form)
        _require_right(account, category)
        return self._floor.venue(category, form.get("symbol", ""))

    def _contract(self, account: Account, form: Query) -> Venue:
        venue = self._venue(account, form)
        if venue.contract is None:
            raise Refusal(10001, "Illegal category")
        return venue


def in_scope(market: Market, query: Query) -> bool:
    """Whether a market is of the category, symbol and coins that a query asks for."""
    wanted = (
        ("category", market.category),
        ("symbol", market.symbol),
        ("baseCoin", market.base),
        ("settleCoin", market.quote),
    )
    return all(query.get(name, "") in {"", value} for name, value in wanted)


def find(account: Account, query: Query) -> Record | None:
    """The order that `orderId` or `orderLinkId` names, live or not. Raises Refusal where neither is given."""
    if order_id := query.get("orderId"):
        return account.records.get(order_id)
    if link := query.get("orderLinkId"):
        return account.links.get(link)
    raise Refusal(10001, "orderId or orderLinkId is required")


def _live(account: Account, form: Query, venue: Venue) -> Record:
    record = find(account, form)
    if record is None or record.market is not venue.market or not record.order.live:
        raise refusal(venue.market.category, Reason.ORDER_NOT_FOUND)
    return record


def _take_away(account: Account, venue: Venue, kind: str, now: int) -> None:
    for record in account.whole_stops(venue.market):
        if record.terms.kind == kind and record.order.live:
            account.engine.cancel(record.order.id, now)
            account.tell(now)


def _ids(record: Record) -> dict[str, str]:
    return {"orderId": record.order.id, "orderLinkId": record.link}


def _require_right(account: Account, category: str) -> None:
    group, right = ("Spot", "SpotTrade") if category == "spot" else ("ContractTrade", "Order")
    if right not in account.key.permissions.get(group, ()):
        raise Refusal(10005, "Permission denied, please check your API key permissions.")
