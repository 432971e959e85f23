"""The endpoints that tell of an account: functions of account, query and time that return Bybit's `result`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ccxt_mcp.paper.engine.money import text

from .documents import coin_documents, no_position, order_document, status, wallet_document
from .floor import name_of
from .markets import ASSETS
from .query import Query, read_category, read_limit, read_whole
from .records import Execution, Record
from .refusal import Refusal
from .trading import find, in_scope

if TYPE_CHECKING:
    from .account import Account
    from .floor import Floor

Numbered = TypeVar("Numbered", Record, Execution)
Read = Callable[["Account", Query, int], dict[str, Any]]

_WEEK_MS = 7 * 86_400_000
_RECENT = 500
_MOST_ORDERS, _USUAL_ORDERS = 50, 20
_MOST_EXECUTIONS, _USUAL_EXECUTIONS = 100, 50


class Reports:
    """The endpoints by path. `now` is the world's time in milliseconds. An endpoint raises Refusal where Bybit does."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self.endpoints: Mapping[str, Read] = {
            "/v5/user/query-api": self.key,
            "/v5/account/info": self.account_info,
            "/v5/account/wallet-balance": self.wallet,
            "/v5/account/fee-rate": self.fee_rates,
            "/v5/position/list": self.positions,
            "/v5/order/realtime": self.open_orders,
            "/v5/order/history": self.ended_orders,
            "/v5/execution/list": self.executions,
            "/v5/asset/coin/query-info": self.coins,
        }

    def key(self, account: Account, _query: Query, _now: int) -> dict[str, Any]:
        """What the key may do."""
        return {
            "id": "1",
            "note": "simulator",
            "apiKey": account.name,
            "readOnly": int(account.key.read_only),
            "secret": "",
            "permissions": {group: list(rights) for group, rights in account.key.permissions.items()},
            "ips": ["*"],
            "type": 1,
            "unified": 0,
            "uta": 1,
            "isMaster": True,
        }

    def account_info(self, _account: Account, _query: Query, now: int) -> dict[str, Any]:
        """A unified account with isolated margin."""
        return {
            "unifiedMarginStatus": 6,
            "marginMode": "ISOLATED_MARGIN",
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "updatedTime": str(now),
        }

    def wallet(self, account: Account, query: Query, now: int) -> dict[str, Any]:
        """All coins that are there, or those asked for."""
        if query.get("accountType") != "UNIFIED":
            raise Refusal(10001, "accountType only support UNIFIED.")
        balances = account.engine.balances()
        asked = [coin for coin in query.get("coin", "").split(",") if coin]
        coins = asked or [coin for coin, balance in balances.items() if balance.total]
        found = coin_documents(account.engine, self._floor, coins, now)
        for document in found:
            document |= {"locked": self._locked(account, document["coin"]), "free": document["availableToWithdraw"]}
        return {"list": [wallet_document(found)]}

    def fee_rates(self, _account: Account, query: Query, _now: int) -> dict[str, Any]:
        """What is charged, the same for every account."""
        category = read_category(query, usual="linear")
        markets = self._floor.listed(query, category)
        rules = [(market, self._floor.rules[name_of(market)]) for market in markets]
        return {
            "category": category,
            "list": [
                {"symbol": market.symbol, "takerFeeRate": text(rule.taker), "makerFeeRate": text(rule.maker)}
                for market, rule in rules
            ],
        }

    def positions(self, account: Account, query: Query, _now: int) -> dict[str, Any]:
        """The position in one contract, also where there is none, or all positions that settle in a coin."""
        if query.get("category") in {"inverse", "option"}:
            return {"category": query["category"], "list": [], "nextPageCursor": ""}
        if read_category(query) != "linear":
            raise Refusal(10001, "Illegal category")
        if query.get("symbol"):
            market = self._floor.venue("linear", query["symbol"]).market
            position, name = account.engine.position(name_of(market)), name_of(market)
            one = no_position(market, account.engine.leverage(name)) if position is None else account.position(position)
            return {"category": "linear", "list": [one], "nextPageCursor": ""}
        if not any(query.get(name) for name in ("settleCoin", "baseCoin")):
            raise Refusal(10001, "symbol or settleCoin is required")
        held = [one for one in account.engine.positions() if in_scope(self._floor.markets[one.symbol], query)]
        return {"category": "linear", "list": [account.position(one) for one in held], "nextPageCursor": ""}

    def open_orders(self, account: Account, query: Query, _now: int) -> dict[str, Any]:
        """The live orders, newest first; one that is named by its id also when it has ended.

        With `openOnly=1` the 500 orders that came last and have ended.
        """
        category = read_category(query)
        named = query.get("orderId") or query.get("orderLinkId")
        scoped = any(query.get(name) for name in ("symbol", "baseCoin", "settleCoin"))
        if category == "linear" and not named and not scoped:
            raise Refusal(10001, "symbol, settleCoin or baseCoin is required")
        if named:
            record = find(account, query)
            found = [] if record is None else [record]
        elif query.get("openOnly") == "1":
            found = list(islice((record for record in _newest(account) if not record.order.live), _RECENT))
        else:
            found = [account.records[order.id] for order in reversed(account.engine.orders())]
        return _orders(category, query, (record for record in found if _asked(record, query)))

    def ended_orders(self, account: Account, query: Query, now: int) -> dict[str, Any]:
        """The orders that have ended, newest first, of seven days at most."""
        category = read_category(query)
        first, last = _period(query, now)
        wanted = query.get("orderStatus", "")
        found = (
            record
            for record in _newest(account)
            if not record.order.live
            and first <= record.order.created <= last
            and wanted in {"", status(record.market, record.order)}
            and query.get("orderId", "") in {"", record.order.id}
            and query.get("orderLinkId", "") in {"", record.link}
            and _asked(record, query)
        )
        return _orders(category, query, found)

    def executions(self, account: Account, query: Query, now: int) -> dict[str, Any]:
        """Fills, liquidations and fundings, newest first, of seven days at most."""
        category = read_category(query)
        first, last = _period(query, now)
        found = (one for one in reversed(account.executions) if first <= one.time <= last and _told(one, query))
        page, cursor = _page(found, query, _USUAL_EXECUTIONS, _MOST_EXECUTIONS)
        listed = [{name: value for name, value in one.document.items() if name != "category"} for one in page]
        return {"category": category, "list": listed, "nextPageCursor": cursor}

    def coins(self, _account: Account, query: Query, _now: int) -> dict[str, Any]:
        """The coins and the one network of each, which is closed: nothing can leave a simulator."""
        asked = query.get("coin")
        return {
            "rows": [
                {
                    "name": coin,
                    "coin": coin,
                    "remainAmount": "0",
                    "chains": [
                        {
                            "chain": coin,
                            "chainType": coin,
                            "confirmation": "1",
                            "chainDeposit": "0",
                            "chainWithdraw": "0",
                            "depositMin": "0",
                            "withdrawMin": "0.001",
                            "withdrawFee": "0.0001",
                            "withdrawPercentageFee": "0",
                            "minAccuracy": "8",
                        }
                    ],
                }
                for coin in ASSETS
                if asked in {None, coin}
            ]
        }

    def _locked(self, account: Account, coin: str) -> str:
        """What open orders on spot hold."""
        orders = (order for order in account.engine.orders() if order.currency == coin)
        held = (order.reserved for order in orders if self._floor.rules[order.symbol].spot)
        return text(sum(held, Decimal(0)))


def _newest(account: Account) -> Iterable[Record]:
    """All orders, newest first."""
    return reversed(account.records.values())


def _asked(record: Record, query: Query) -> bool:
    return in_scope(record.market, query) and query.get("orderFilter", "") in {"", record.filter}


def _told(one: Execution, query: Query) -> bool:
    if not in_scope(one.market, query):
        return False
    wanted = ("orderId", "orderLinkId", "execType")
    return all(query.get(name, "") in {"", one.document[name]} for name in wanted)


def _orders(category: str, query: Query, found: Iterable[Record]) -> dict[str, Any]:
    page, cursor = _page(found, query, _USUAL_ORDERS, _MOST_ORDERS)
    listed = [{name: value for name, value in order_document(one).items() if name != "category"} for one in page]
    return {"category": category, "list": listed, "nextPageCursor": cursor}


def _page(found: Iterable[Numbered], query: Query, usual: int, most: int) -> tuple[list[Numbered], str]:
    """The page that a query asks for, of rows newest first, and the cursor of the next one, '' at the end.

    A cursor is the number of a page's last row, so that what comes in later does not shift the pages.
    """
    before, size = read_whole(query, "cursor"), read_limit(query, usual, most)
    rest = found if before is None else (one for one in found if one.number < before)
    rows = list(islice(rest, size + 1))
    page = rows[:size]
    return page, str(page[-1].number) if len(rows) > size else ""


def _period(query: Query, now: int) -> tuple[int, int]:
    """The first and the last moment asked for; a week from the one that is given, else the last week."""
    start, end = read_whole(query, "startTime"), read_whole(query, "endTime")
    if start is None and end is None:
        return now - _WEEK_MS, now
    if start is None:
        return (end or 0) - _WEEK_MS, end or 0
    if end is None:
        return start, start + _WEEK_MS
    if end - start > _WEEK_MS:
        raise Refusal(10001, "The time range between startTime and endTime cannot exceed 7 days.")
    return start, end
