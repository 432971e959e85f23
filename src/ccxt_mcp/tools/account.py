"""Accounts: what they hold, what they did, what they pay, and what they may still do."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from ccxt_mcp.call import Call
from ccxt_mcp.desk.prices import decimal_of
from ccxt_mcp.desk.trading import Trading
from ccxt_mcp.envelope import Envelope, Table
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.everywhere import NOT_ALL, ask_everywhere, is_whole
from ccxt_mcp.methods import Tier
from ccxt_mcp.times import parse_moment
from ccxt_mcp.tools import as_data, tool
from ccxt_mcp.tools.parameters import (
    AccountOrAll,
    Cursor,
    ExchangeId,
    ExchangeOrAll,
    Limit,
    Moment,
    OwnAccount,
    SymbolOrNone,
)

_POSITION_COLUMNS = (
    "symbol", "side", "contracts", "notional", "entryPrice", "markPrice", "unrealizedPnl", "leverage", "marginMode",
    "initialMargin", "liquidationPrice",
)  # fmt: skip
_TRADE_COLUMNS = (
    "timestamp",
    "id",
    "order",
    "symbol",
    "side",
    "price",
    "amount",
    "cost",
    "fee",
    "feeCurrency",
    "takerOrMaker",
)
_UNKNOWN_COLUMNS = (
    "clientOrderId",
    "exchange",
    "account",
    "kind",
    "state",
    "symbol",
    "side",
    "amount",
    "price",
    "created",
)


@tool("Balance", tier=Tier.ACCOUNT)
async def account_balance(
    trading: Trading,
    exchange: ExchangeId,
    account: OwnAccount = None,
    quote: Annotated[str, Field(description="Currency of values.", max_length=30)] = "USD",
) -> Envelope:
    """What an account holds, with its value."""
    answer = await trading.gateway.call(Call("fetchBalance", exchange, account=account))
    if not answer.success:
        return answer
    name = answer.metadata.account or ""
    totals = {code: total for code, value in answer.data["total"].items() if (total := decimal_of(value))}
    worth, unit = await asyncio.gather(
        trading.desk.prices.worth(exchange, name, totals), trading.desk.prices.usd(exchange, name, quote.upper())
    )
    values = {code: None if value is None or not unit else value / unit for code, value in worth.items()}
    rows = [
        [code, *(answer.data[part].get(code) for part in ("free", "used", "total")), _rounded(values[code])]
        for code in sorted(totals, key=lambda code: (values[code] is None, -(values[code] or Decimal(0)), code))
    ]
    known = [value for value in values.values() if value is not None]
    unpriced = [code for code, value in values.items() if value is None]
    data = {
        "value": None if unpriced and not known else _rounded(sum(known, Decimal(0))),
        "valueCurrency": quote.upper(),
        "unpriced": unpriced or None,
        "balances": Table(("currency", "free", "used", "total", "value"), rows),
    }
    return Envelope(answer.metadata, data=as_data(data))


@tool("Positions", tier=Tier.ACCOUNT)
async def account_positions(
    trading: Trading,
    exchange: ExchangeId,
    symbol: SymbolOrNone = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    account: OwnAccount = None,
) -> Envelope:
    """Open contract positions: entry, mark, profit, liquidation price."""
    wanted = None if symbol is None else (symbol,)
    answer = await ask_everywhere(trading.gateway, Call("fetchPositions", exchange, symbols=wanted, account=account))

    def page(positions: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [[position.get(name) for name in _POSITION_COLUMNS] for position in positions]
        return {"positions": Table.page(_POSITION_COLUMNS, rows, cursor=cursor, limit=limit)}

    return answer.map(page)


@tool("Own trades", tier=Tier.ACCOUNT)
async def account_trades(
    trading: Trading,
    exchange: ExchangeId,
    symbol: SymbolOrNone = None,
    since: Moment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    account: OwnAccount = None,
) -> Envelope:
    """Own fills, newest first."""
    arguments: dict[str, Any] = {"limit": 500}
    if since is not None:
        arguments["since"] = parse_moment(since, now_ms=trading.gateway.now_ms())
    call = Call("fetchMyTrades", exchange, symbol=symbol, arguments=arguments, account=account)
    answer = await ask_everywhere(trading.gateway, call)
    venue = await trading.gateway.account_venue(exchange, account)

    def page(trades: list[dict[str, Any]]) -> dict[str, Any]:
        newest_first = sorted(trades, key=lambda trade: trade.get("timestamp") or 0, reverse=True)
        rows = [[_trade_cell(trade, name) for name in _TRADE_COLUMNS] for trade in newest_first]
        table = Table.page(_TRADE_COLUMNS, rows, cursor=cursor, limit=limit)
        return {"trades": table if is_whole(venue, call, trades) else replace(table, note=NOT_ALL)}

    return answer.map(page)


@tool("Trading fees", tier=Tier.ACCOUNT, default=False)
async def account_fees(
    trading: Trading, exchange: ExchangeId, symbol: SymbolOrNone = None, account: OwnAccount = None
) -> Envelope:
    """Maker and taker fee rates of an account for a symbol; the market's listed ones where it has no own."""
    venue = await trading.gateway.account_venue(exchange, account)
    name = venue.key.account
    if venue.support("fetchTradingFee") != "none" and symbol is not None:
        answer = await trading.gateway.call(Call("fetchTradingFee", exchange, symbol=symbol, account=name))
        return answer.map(lambda fee: as_data({"source": "account", **_fee(fee)}))
    if venue.support("fetchTradingFees") != "none":
        answer = await trading.gateway.call(Call("fetchTradingFees", exchange, account=name))
        if symbol is None and answer.failure is not None and answer.failure.code is Code.METHOD_NOT_SUPPORTED:
            raise _one_market(exchange)
        wanted = None if symbol is None else venue.resolve(symbol)
        fees = {one: fee for one, fee in (answer.data or {}).items() if wanted in {None, one}}
        rows = [[one, fee.get("maker"), fee.get("taker")] for one, fee in sorted(fees.items())]
        return answer.map(lambda _: {"source": "account", "fees": Table(("symbol", "maker", "taker"), rows)})
    if symbol is None:
        raise _one_market(exchange)
    market = venue.markets[venue.resolve(symbol)]
    data = {"source": "market", **_fee(dict(market))}
    return Envelope(trading.gateway.metadata(exchange=exchange, mode=venue.key.mode, account=name), data=as_data(data))


@tool("Limits", tier=Tier.ACCOUNT)
async def account_limits(
    trading: Trading, exchange: ExchangeId, symbol: SymbolOrNone = None, account: OwnAccount = None
) -> Envelope:
    """What may still be ordered: limits, what is left, halts, market bounds."""
    return await trading.allowance.tell(exchange, account, symbol)


@tool("Unresolved orders", tier=Tier.ACCOUNT, open_world=False)
async def account_orders_unknown(
    trading: Trading,
    exchange: ExchangeOrAll = "",
    account: AccountOrAll = None,
) -> Envelope:
    """Orders whose outcome is not known yet; they are looked for until it is."""
    journal = await trading.desk.journal()
    trading.desk.seek()
    rows = [
        [
            intent.client_order_id,
            intent.exchange,
            intent.account,
            intent.kind,
            intent.state,
            *(intent.request.get(name) for name in ("symbol", "side", "amount", "price")),
            intent.created_ms,
        ]
        for intent in await journal.unresolved(exchange or None, account)
    ]
    return Envelope(trading.gateway.metadata(exchange=exchange or None), data={"orders": Table(_UNKNOWN_COLUMNS, rows)})


def _rounded(value: Decimal | None) -> float | None:
    """Return a value in ten digits, which are cents of a fortune and satoshis of a coin."""
    return None if value is None else float(f"{value:.10g}")


def _one_market(exchange: str) -> Failure:
    return Failure(Code.INVALID_ARGUMENT, f"symbol is missing; {exchange} tells fees of one market at a time.")


def _trade_cell(trade: dict[str, Any], name: str) -> Any:
    fee = trade.get("fee") or {}
    return {"fee": fee.get("cost"), "feeCurrency": fee.get("currency")}.get(name, trade.get(name))


def _fee(fee: dict[str, Any]) -> dict[str, Any]:
    return {name: fee.get(name) for name in ("symbol", "maker", "taker", "percentage", "tierBased")}
