"""Trading: orders are placed, modified, cancelled and looked up; leverage is set."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import Field

from ccxt_mcp.desk.changes import Change
from ccxt_mcp.desk.exits import Target
from ccxt_mcp.desk.plan import Placement
from ccxt_mcp.desk.trading import Trading
from ccxt_mcp.envelope import Envelope, Table
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.everywhere import NOT_ALL
from ccxt_mcp.methods import Tier
from ccxt_mcp.orders.order import OrderRequest
from ccxt_mcp.times import parse_moment
from ccxt_mcp.tools import tool
from ccxt_mcp.tools.human import Human, caller
from ccxt_mcp.tools.parameters import (
    Amount,
    Cursor,
    ExchangeId,
    Limit,
    Moment,
    OwnAccount,
    Price,
    Symbol,
    SymbolOrNone,
)

_ORDER_COLUMNS = (
    "id", "clientOrderId", "symbol", "status", "side", "type", "amount", "filled", "price", "average", "timestamp",
)  # fmt: skip
_OrderId = Annotated[str | None, Field(description="Exchange's order id.", max_length=100)]
_ClientOrderId = Annotated[str | None, Field(description="Your own order id.", max_length=64)]
_DryRun = Annotated[bool, Field(description="Only tell what would be sent.")]


@tool("Place an order", tier=Tier.TRADE, idempotent=False)
async def trade_create_order(
    trading: Trading,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: Symbol,
    side: Annotated[Literal["buy", "sell"], Field(description="Side.")],
    type: Annotated[Literal["market", "limit"], Field(description="Type.")],  # noqa: A002 - ccxt's word
    amount: Amount,
    unit: Annotated[Literal["base", "quote", "contracts"] | None, Field(description="Of amount; spot: base.")] = None,
    price: Price = None,
    time_in_force: Annotated[Literal["GTC", "IOC", "FOK", "PO"] | None, Field(description="PO: post-only.")] = None,
    post_only: Annotated[bool, Field(description="Never take liquidity.")] = False,
    reduce_only: Annotated[bool, Field(description="Only reduce a position.")] = False,
    trigger_price: Annotated[Price, Field(description="Waits for this price.")] = None,
    take_profit: Annotated[Price, Field(description="Closes it at this price.")] = None,
    stop_loss: Annotated[Price, Field(description="Closes it at this price.")] = None,
    trailing: Annotated[str | None, Field(description='"1%" or a distance.', max_length=20)] = None,
    client_order_id: Annotated[str | None, Field(description="The same id never places twice.", max_length=64)] = None,
    dry_run: _DryRun = False,
    account: OwnAccount = None,
) -> Envelope:
    """Place an order. Try dry_run first; never repeat it after TAPS101."""
    order = OrderRequest.read(
        symbol=symbol,
        side=side,
        type=type,
        amount=amount,
        unit=unit,
        price=price,
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
        trigger_price=trigger_price,
        take_profit=take_profit,
        stop_loss=stop_loss,
        trailing=trailing,
        client_order_id=client_order_id,
    )
    placement = Placement(exchange, account, order, caller(context), "trade_create_order")
    if dry_run:
        return await trading.desk.preview(placement)
    return await trading.desk.place(placement, Human(context, trading.gateway.renew_deadline))


@tool("Modify an order", tier=Tier.TRADE, idempotent=False)
async def trade_modify_order(
    trading: Trading,
    context: Context[Any, Any],
    exchange: ExchangeId,
    order_id: _OrderId = None,
    client_order_id: _ClientOrderId = None,
    symbol: SymbolOrNone = None,
    amount: Annotated[Price, Field(description="New amount, with what is filled.")] = None,
    price: Price = None,
    trigger_price: Annotated[Price, Field(description="New trigger price.")] = None,
    take_profit: Annotated[Price, Field(description="New take-profit price.")] = None,
    stop_loss: Annotated[Price, Field(description="New stop-loss price.")] = None,
    dry_run: _DryRun = False,
    account: OwnAccount = None,
) -> Envelope:
    """Change an open order; where exchanges cannot, it is replaced after asking."""
    change = Change(amount, price, trigger_price, take_profit, stop_loss)
    if not change.arguments:
        raise Failure(Code.INVALID_ARGUMENT, "amount, price and triggers are all missing; say what changes.")
    target = Target(exchange, account, order_id, client_order_id, symbol, caller(context), "trade_modify_order")
    human = Human(context, trading.gateway.renew_deadline)
    return await trading.changes.modify(target, change, human, dry_run=dry_run)


@tool("Cancel an order", tier=Tier.TRADE)
async def trade_cancel_order(
    trading: Trading,
    context: Context[Any, Any],
    exchange: ExchangeId,
    order_id: _OrderId = None,
    client_order_id: _ClientOrderId = None,
    symbol: SymbolOrNone = None,
    account: OwnAccount = None,
) -> Envelope:
    """Cancel an order by either id, also while halted."""
    return await trading.exits.cancel(
        Target(exchange, account, order_id, client_order_id, symbol, caller(context), "trade_cancel_order")
    )


@tool("Cancel all orders", tier=Tier.TRADE)
async def trade_cancel_all(
    trading: Trading,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: SymbolOrNone = None,
    account: OwnAccount = None,
) -> Envelope:
    """Cancel all open orders, or one symbol's; reports each."""
    return await trading.exits.cancel_all(
        Target(exchange, account, None, None, symbol, caller(context), "trade_cancel_all")
    )


@tool("Look up an order", tier=Tier.ACCOUNT)
async def trade_fetch_order(
    trading: Trading,
    exchange: ExchangeId,
    order_id: _OrderId = None,
    client_order_id: _ClientOrderId = None,
    symbol: SymbolOrNone = None,
    account: OwnAccount = None,
) -> Envelope:
    """An order as it stands: status, filled, average, fee."""
    return await trading.history.order(
        Target(exchange, account, order_id, client_order_id, symbol, "", "trade_fetch_order")
    )


@tool("Orders", tier=Tier.ACCOUNT)
async def trade_fetch_orders(
    trading: Trading,
    exchange: ExchangeId,
    status: Annotated[Literal["open", "closed", "all"], Field(description="closed: ended.")] = "open",
    symbol: SymbolOrNone = None,
    since: Moment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    account: OwnAccount = None,
) -> Envelope:
    """Own orders: open, ended or all, newest first."""
    start = None if since is None else parse_moment(since, now_ms=trading.gateway.now_ms())
    answer = await trading.history.orders(exchange, account, status, symbol, start)

    def page(found: dict[str, Any]) -> dict[str, Any]:
        rows = [[order.get(name) for name in _ORDER_COLUMNS] for order in found["orders"]]
        table = Table.page(_ORDER_COLUMNS, rows, cursor=cursor, limit=limit)
        return {"orders": table if found["whole"] else replace(table, note=NOT_ALL)}

    return answer.map(page)


@tool("Set leverage", tier=Tier.TRADE, default=False)
async def trade_set_leverage(
    trading: Trading,
    context: Context[Any, Any],
    exchange: ExchangeId,
    symbol: Symbol,
    leverage: Annotated[float, Field(description="Times the margin.", gt=0, le=1000)],
    margin_mode: Annotated[Literal["cross", "isolated"] | None, Field(description="Margin mode.")] = None,
    account: OwnAccount = None,
) -> Envelope:
    """Set the leverage, and margin mode, of one contract market."""
    target = Target(exchange, account, None, None, symbol, caller(context), "trade_set_leverage")
    human = Human(context, trading.gateway.renew_deadline)
    return await trading.leverage.set(target, Decimal(str(leverage)), margin_mode, human)
