"""Exchanges: which there are, what each can do, how each is doing, and its markets."""

from typing import Annotated, Any

from pydantic import Field

from ccxt_mcp.analytics.tickers import select_fields
from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope, Table, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.catalogue import MARKET_TYPES
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.health import exchange_health
from ccxt_mcp.text import clean_text
from ccxt_mcp.times import iso
from ccxt_mcp.tools import as_data, tool
from ccxt_mcp.tools.parameters import Account, Cursor, ExchangeId, Fields, Limit, MarketType, Query

_MARKET_COLUMNS = ("symbol", "type", "base", "quote", "settle", "active")
_MARKET_FIELDS = (
    *_MARKET_COLUMNS, "id", "linear", "inverse", "contractSize", "expiryDatetime", "strike", "optionType",
    "taker", "maker", "precision", "limits",
)  # fmt: skip
_CAPABILITIES = (
    "fetchTicker", "fetchTickers", "fetchOrderBook", "fetchTrades", "fetchOHLCV", "fetchStatus", "fetchTime",
    "fetchFundingRate", "fetchFundingRateHistory", "fetchOpenInterest", "fetchBalance", "createOrder", "editOrder",
    "cancelOrder", "cancelAllOrders", "fetchOrder", "fetchOpenOrders", "fetchClosedOrders", "fetchMyTrades",
    "fetchPositions", "setLeverage", "watchTicker", "watchOrderBook", "watchTrades", "watchOHLCV", "watchOrders",
)  # fmt: skip

_SIMULATED = (
    "fetchTicker", "fetchTickers", "fetchOrderBook", "fetchTrades", "fetchOHLCV", "fetchTime",
    "fetchFundingRate", "fetchFundingRateHistory", "fetchOpenInterest", "fetchBalance", "createOrder", "editOrder",
    "cancelOrder", "cancelAllOrders", "fetchOrder", "fetchOpenOrders", "fetchClosedOrders", "fetchMyTrades",
    "fetchPositions", "setLeverage",
)  # fmt: skip


@tool("List exchanges", open_world=False)
async def exchange_list(
    gateway: Gateway,
    query: Query = None,
    capability: Annotated[str | None, Field(description="ccxt method it must have, e.g. fetchFundingRate.")] = None,
    type: MarketType = None,  # noqa: A002 - ccxt's and everybody's word for it
    testnet: Annotated[bool | None, Field(description="Only with (true) or without a testnet.")] = None,
    country: Annotated[str | None, Field(description="Two-letter code, e.g. US.", max_length=2)] = None,
    limit: Limit = 150,
    cursor: Cursor = None,
) -> Envelope:
    """Exchanges that can be asked, by name, capability, market type, testnet or country."""
    rows = [*_simulators(gateway), *await gateway.catalogue.rows()]
    if capability is not None and not any(capability in row["has"] for row in rows):
        raise Failure(Code.INVALID_ARGUMENT, f"capability is {capability[:40]!r}; write a ccxt method: fetchOHLCV.")
    words = (query or "").lower().split()
    found = [
        [row["exchange"], row["name"], row["types"], row["testnet"], row["countries"]]
        for row in rows
        if all(word in f"{row['exchange']} {row['name']}".lower() for word in words)
        and (capability is None or capability in row["has"])
        and (type is None or type in row["types"])
        and (testnet is None or row["testnet"] == testnet)
        and (country is None or country.upper() in row["countries"])
    ]
    columns = ("exchange", "name", "types", "testnet", "countries")
    table = Table.page(columns, found, cursor=cursor, limit=limit)
    opened = sorted(venue.key.exchange for venue in gateway.pool.opened())
    return Envelope(gateway.metadata(), data=as_data({"opened": opened or None, "exchanges": table}))


@tool("Connect to an exchange")
async def exchange_init(gateway: Gateway, exchange: ExchangeId, account: Account = None) -> Envelope:
    """Open an exchange (other tools do it too); tells mode, markets, accounts and pace."""
    answer = await gateway.call(Call("loadMarkets", exchange, account=account))
    if not answer.success:
        return answer
    accounts = [[one.name, one.mode] for one in gateway.pool.accounts.of(exchange)]
    key = None if account is None else await _key(gateway, exchange, account)
    told = as_data({"accounts": Table(("account", "mode"), accounts), "key": key})
    return answer.map(lambda venue: _connection(venue) | told)


@tool("Exchange status")
async def exchange_status(gateway: Gateway, exchange: ExchangeId, account: Account = None) -> Envelope:
    """How an exchange is doing: its own status, latency, errors, breaker, budget."""
    venue = await gateway.describe(exchange, account)
    probe = next((method for method in ("fetchStatus", "fetchTime") if venue.support(method) != "none"), "loadMarkets")
    answer = await gateway.call(Call(probe, exchange, account=account))
    told: dict[str, Any] = {}
    if answer.failure is not None:
        told = {"error": error_dict(answer.failure)}
    elif probe == "fetchStatus":
        own = answer.data
        told = {"status": own.get("status"), "updated": iso(own.get("updated")), "until": iso(own.get("eta"))}
    elif probe == "fetchTime":
        told = {"serverTime": iso(answer.data)}
    budget = gateway.rates.rate_limit(venue.key)
    left = {"budgetLeft": budget.remaining if budget else None}
    data = {"answers": answer.success} | told | exchange_health(gateway, exchange) | left
    return Envelope(answer.metadata, data=as_data(data))


@tool("Markets of an exchange")
async def exchange_markets(
    gateway: Gateway,
    exchange: ExchangeId,
    query: Query = None,
    base: Annotated[str | None, Field(description="Base currency.", max_length=30)] = None,
    quote: Annotated[str | None, Field(description="Quote currency.", max_length=30)] = None,
    type: MarketType = None,  # noqa: A002 - ccxt's and everybody's word for it
    active: Annotated[bool | None, Field(description="Default: active only; null: all.")] = True,
    limit: Limit = 50,
    cursor: Cursor = None,
    fields: Fields = None,
    account: Account = None,
) -> Envelope:
    """Markets of an exchange: search by words, base, quote, type; paged."""
    columns = select_fields(fields, allowed=_MARKET_FIELDS, default=_MARKET_COLUMNS)

    def fits(market: dict[str, Any]) -> bool:
        return (
            (base is None or market.get("base") == base.upper())
            and (quote is None or market.get("quote") == quote.upper())
            and (type is None or market.get("type") == type)
            and (active is None or (market.get("active") is not False) == active)
        )

    def shape(venue: Venue) -> dict[str, Any]:
        names = (
            venue.index.search(query, limit=len(venue.markets), active_only=False) if query else sorted(venue.markets)
        )
        rows = [
            [market.get(name) for name in columns]
            for market in map(venue.markets.__getitem__, names)
            if fits(dict(market))
        ]
        return {"markets": Table.page(columns, rows, cursor=cursor, limit=limit)}

    return (await gateway.call(Call("loadMarkets", exchange, account=account))).map(shape)


@tool("Capabilities of an exchange", open_world=False)
async def exchange_capabilities(gateway: Gateway, exchange: ExchangeId, account: Account = None) -> Envelope:
    """What works on an exchange: methods, credentials, limits on candles and books."""
    venue = await gateway.describe(exchange, account)
    methods = {method: venue.support(method) for method in _CAPABILITIES}
    by_support = {
        how: [name for name, support in methods.items() if support == how] for how in ("native", "emulated", "none")
    }
    facts = venue.exchange
    data = {
        **{how: names for how, names in by_support.items() if names},
        "types": [kind for kind in MARKET_TYPES if facts.has.get(kind) is True],
        "credentials": [name for name, needed in facts.requiredCredentials.items() if needed],
        "timeframes": list(facts.timeframes or ()),
        "candlesPerCall": venue.candle_limits(),
        "bookLevels": 100,
    }
    return Envelope(gateway.metadata(exchange=exchange, mode=venue.key.mode), data=as_data(data))


def _simulators(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the simulators as the catalogue would list them."""
    facts = {"name": "Simulator", "types": ["spot", "swap"], "testnet": False, "countries": [], "has": _SIMULATED}
    return [{"exchange": name} | facts for name in gateway.pool.simulators()]


async def _key(gateway: Gateway, exchange: str, account: str) -> dict[str, Any] | None:
    """Return what an account's key may do, with a warning where it can withdraw; None where nothing is told."""
    try:
        permissions = await gateway.key_permissions(exchange, account)
    except Failure as failure:
        return {"error": error_dict(failure)}
    return None if permissions is None else as_data({**permissions.to_dict(), "WARNING": permissions.warning})


def _connection(venue: Venue) -> dict[str, Any]:
    facts = venue.exchange
    counts: dict[str, int] = {}
    for market in venue.markets.values():
        kind = str(market.get("type"))
        counts[kind] = counts.get(kind, 0) + 1
    return as_data(
        {
            "name": clean_text(str(facts.name), 60),
            "mode": venue.key.mode,
            "markets": counts,
            "timeframes": list(facts.timeframes or ()),
            "unitsPerSecond": round(1000 / facts.rateLimit, 3),
            "marketsLoaded": iso(None if venue.loaded_at is None else round(venue.loaded_at * 1000)),
        }
    )
