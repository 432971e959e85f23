"""Live resources: markets and accounts that a client reads at any time, and is told of when they change."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.subscriptions import ResourceUpdated, SubscriptionBus
from mcp.types import SubscriptionsListenRequestParams

from ccxt_mcp.desk.trading import Trading
from ccxt_mcp.envelope import Envelope, Table
from ccxt_mcp.errors import Failure
from ccxt_mcp.exchanges.accounts import Accounts
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.streams.alerting import ALERT_COLUMNS, Alerting, row_of
from ccxt_mcp.streams.channels import Channel
from ccxt_mcp.streams.hub import Topic
from ccxt_mcp.streams.notices import Notices
from ccxt_mcp.tools.account import account_balance, account_positions
from ccxt_mcp.tools.market import market_ohlcv, market_orderbook, market_ticker, market_trades
from ccxt_mcp.tools.resources import JSON, content_of, failed
from ccxt_mcp.tools.trade import trade_fetch_orders

ALERTS = "ccxt://alerts"

_ROOT = "ccxt://"
_MOST_URIS = 100  # of one listener
_ALERTS_SHOWN = 100


def add_live_resources(server: MCPServer[Any], trading: Trading, alerting: Alerting) -> None:
    """Offer markets, accounts and alerts as resources."""
    gateway, cap = trading.gateway, trading.gateway.settings.answer_cap

    async def read(asked: Callable[[], Awaitable[Envelope]]) -> str:
        with gateway.one_deadline():
            try:
                return content_of(await asked(), cap=cap)
            except Failure as failure:
                raise failed(failure) from None

    _add_markets(server, gateway, read)
    _add_accounts(server, trading, read)

    @server.resource(ALERTS, title="Alerts", mime_type=JSON)
    async def alerts() -> str:  # pyright: ignore[reportUnusedFunction]
        """What alerts wait for, and which have fired; listen to it to be told."""

        async def asked() -> Envelope:
            rows = [row_of(alert, alerting.watch_of(alert.id)) for alert in await alerting.all(_ALERTS_SHOWN)]
            return Envelope(gateway.metadata(), data={"alerts": Table(ALERT_COLUMNS, rows)})

        return await read(asked)


Read = Callable[[Callable[[], Awaitable[Envelope]]], Awaitable[str]]


def _add_markets(server: MCPServer[Any], gateway: Gateway, read: Read) -> None:
    @server.resource("ccxt://{exchange}/{+symbol}/ticker", title="Ticker", mime_type=JSON)
    async def ticker(exchange: str, symbol: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The ticker of a market, as market_ticker tells it."""
        return await read(partial(market_ticker, gateway, exchange, symbol))

    @server.resource("ccxt://{exchange}/{+symbol}/book", title="Order book", mime_type=JSON)
    async def book(exchange: str, symbol: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The order book of a market, as market_orderbook tells it."""
        return await read(partial(market_orderbook, gateway, exchange, symbol))

    @server.resource("ccxt://{exchange}/{+symbol}/trades", title="Trades", mime_type=JSON)
    async def trades(exchange: str, symbol: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The newest trades of a market, as market_trades tells them."""
        return await read(partial(market_trades, gateway, exchange, symbol))

    @server.resource("ccxt://{exchange}/{+symbol}/candles/{timeframe}", title="Candles", mime_type=JSON)
    async def candles(exchange: str, symbol: str, timeframe: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The newest candles of a market with the running one, as market_ohlcv tells them."""
        return await read(partial(market_ohlcv, gateway, exchange, symbol, timeframe, closed=False))


def _add_accounts(server: MCPServer[Any], trading: Trading, read: Read) -> None:
    accounts = trading.gateway.pool.accounts

    @server.resource("ccxt://account/{account}/orders", title="Open orders of an account", mime_type=JSON)
    async def orders(account: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The open orders of an account, as trade_fetch_orders tells them."""
        exchange, name = _account(accounts, account)
        return await read(partial(trade_fetch_orders, trading, exchange, account=name))

    @server.resource("ccxt://account/{account}/balance", title="Balance of an account", mime_type=JSON)
    async def balance(account: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """What an account has, as account_balance tells it."""
        exchange, name = _account(accounts, account)
        return await read(partial(account_balance, trading, exchange, account=name))

    @server.resource("ccxt://account/{account}/positions", title="Positions of an account", mime_type=JSON)
    async def positions(account: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The open positions of an account, as account_positions tells them."""
        exchange, name = _account(accounts, account)
        return await read(partial(account_positions, trading, exchange, account=name))


def _account(accounts: Accounts, written: str) -> tuple[str, str]:
    """Return exchange and name of an account written as NAME, or as EXCHANGE:NAME where exchanges share a name."""
    try:
        exchange, separator, name = written.partition(":")
        owner = accounts.resolve(exchange, name) if separator else accounts.named(written)
    except Failure as failure:
        raise ResourceNotFoundError(failure.message) from None
    return owner.exchange, owner.name


# -- being told ------------------------------------------------------------------------------------------------------


def add_listening(server: MCPServer[Any], bus: SubscriptionBus, notices: Notices, alerting: Alerting) -> None:
    """Keep the streams open behind the resources that `subscriptions/listen` names, for as long as it listens.

    The SDK's handler tells clients what is published on the bus; it tells nobody which resources are listened to.
    """
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # a test pins it
    usual = lowlevel.get_request_handler("subscriptions/listen")
    if usual is None:
        raise RuntimeError("The SDK's server does not answer subscriptions/listen.")
    accounts = alerting.hub.gateway.pool.accounts
    publishing: set[asyncio.Task[None]] = set()

    def fired(_: object) -> None:
        task = asyncio.create_task(bus.publish(ResourceUpdated(uri=ALERTS)))
        publishing.add(task)
        task.add_done_callback(publishing.discard)

    @contextmanager
    def kept_open(uris: list[str]) -> Generator[None]:
        topics = {uri: topic for uri in uris[:_MOST_URIS] if (topic := topic_of(uri, accounts)) is not None}
        for uri, topic in topics.items():
            notices.listen(uri, topic)
        try:
            yield
        finally:
            for uri in topics:
                notices.leave(uri)

    async def listen(
        context: ServerRequestContext[Gateway, Any], params: SubscriptionsListenRequestParams
    ) -> HandlerResult:
        with kept_open(list(dict.fromkeys(params.notifications.resource_subscriptions or []))):
            return await usual.handler(context, params)

    alerting.listen(fired)
    lowlevel.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listen)


def topic_of(uri: str, accounts: Accounts) -> Topic | None:
    """Return what a resource shows of a market or an account; None where it is no live resource."""
    if not uri.startswith(_ROOT):
        return None
    parts = [unquote(part) for part in uri.removeprefix(_ROOT).split("/")]
    match parts:
        case ["account", account, ("orders" | "balance" | "positions") as channel]:
            try:
                exchange, name = _account(accounts, account)
            except ResourceNotFoundError:
                return None
            return Topic(exchange, Channel(channel), account=name)
        case [exchange, *symbol, ("ticker" | "book" | "trades") as channel] if symbol:
            return Topic(exchange, Channel(channel), "/".join(symbol))
        case [exchange, *symbol, "candles", timeframe] if symbol:
            return Topic(exchange, Channel.CANDLES, "/".join(symbol), timeframe)
        case _:
            return None
