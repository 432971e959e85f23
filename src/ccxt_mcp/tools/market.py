"""Market data: tickers, books, trades, candles, funding, and symbols from loose words."""

import asyncio
from dataclasses import replace
from itertools import zip_longest
from typing import Annotated, Any, Literal

from pydantic import Field

from ccxt_mcp.analytics.book import summarise_book
from ccxt_mcp.analytics.candles import CANDLE_COLUMNS, closed_candles, summarise_candles
from ccxt_mcp.analytics.tickers import TICKER_FIELDS, select_fields, sorted_tickers, ticker_row
from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope, Table, combined, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.quirks import BOOK_LEVELS, BOOK_LEVELS_ODD
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.text import clean_text
from ccxt_mcp.times import iso, parse_moment, timeframe_ms
from ccxt_mcp.tools import as_data, tool
from ccxt_mcp.tools.parameters import (
    Account,
    Cursor,
    ExchangeId,
    Exchanges,
    Fields,
    Levels,
    Limit,
    MarketType,
    Moment,
    Symbol,
    Symbols,
    Timeframe,
)

_TICKER_COLUMNS = ("symbol", "last", "bid", "ask", "percentage", "high", "low", "quoteVolume")
_TRADE_COLUMNS = ("timestamp", "side", "price", "amount")
_TRADE_FIELDS = ("timestamp", "datetime", "id", "symbol", "side", "price", "amount", "cost", "takerOrMaker", "type")
_DAY_MS = 86_400_000
_MOST_FOUND = 200  # symbols of one exchange; who wants more lists its markets


@tool("Ticker")
async def market_ticker(
    gateway: Gateway, exchange: ExchangeId, symbol: Symbol, account: Account = None, fields: Fields = None
) -> Envelope:
    """Price of one symbol: last, bid, ask, 24-hour range, change and volume."""
    columns = select_fields(fields, allowed=TICKER_FIELDS, default=TICKER_FIELDS)
    answer = await gateway.call(Call("fetchTicker", exchange, symbol=symbol, account=account))
    return answer.shaped(_ticker, columns)


@tool("Tickers")
async def market_tickers(
    gateway: Gateway,
    exchange: ExchangeId,
    symbols: Symbols = None,
    type: MarketType = None,  # noqa: A002 - ccxt's and everybody's word for it
    sort: Annotated[Literal["volume", "change", "symbol"], Field(description="Largest first.")] = "volume",
    limit: Limit = 50,
    cursor: Cursor = None,
    fields: Fields = None,
    account: Account = None,
) -> Envelope:
    """Prices of many or all symbols of one exchange, sorted and paged."""
    columns = select_fields(fields, allowed=TICKER_FIELDS, default=_TICKER_COLUMNS)

    def page(tickers: list[dict[str, Any]]) -> Table:
        rows = [ticker_row(ticker, columns) for ticker in sorted_tickers(tickers, by=sort)]
        return Table.page(columns, rows, cursor=cursor, limit=limit)

    if symbols is None:
        arguments = {"params": {"type": type}} if type else {}
        answer = await gateway.call(Call("fetchTickers", exchange, arguments=arguments, account=account))
        return answer.map(lambda tickers: {"tickers": page(list(tickers.values()))})
    symbols = list(dict.fromkeys(symbols))
    calls = [Call("fetchTicker", exchange, symbol=symbol, account=account) for symbol in symbols]
    answers = await asyncio.gather(*(gateway.call(call) for call in calls))  # the gateway makes batches of them
    good = [answer for answer in answers if answer.success]
    if not good:
        return answers[0] if answers else gateway.failed(Failure(Code.INVALID_ARGUMENT, "symbols is empty."), exchange)
    tickers = {answer.data["symbol"]: answer.data for answer in good}  # two spellings may mean one symbol
    data = {"tickers": page(list(tickers.values())), "failed": _failures("symbol", symbols, answers)}
    return Envelope(combined(good), data=as_data(data))


@tool("Order book")
async def market_orderbook(
    gateway: Gateway,
    exchange: ExchangeId,
    symbol: Symbol,
    limit: Levels = 20,
    within: Annotated[float, Field(description="Depth is summed within this % of mid.", gt=0, le=50)] = 1.0,
    account: Account = None,
) -> Envelope:
    """Order book: best levels, mid, spread, depth within x % of mid, imbalance."""
    venue = await gateway.open(exchange, account)
    market = venue.markets[venue.resolve(symbol)]
    size = market.get("contractSize") if market.get("contract") else None
    arguments = {"limit": BOOK_LEVELS_ODD.get(exchange, BOOK_LEVELS)}
    answer = await gateway.call(Call("fetchOrderBook", exchange, symbol=symbol, arguments=arguments, account=account))
    return answer.shaped(_book, limit, within, size, bool(market.get("inverse")))


@tool("Trades")
async def market_trades(
    gateway: Gateway,
    exchange: ExchangeId,
    symbol: Symbol,
    since: Moment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    fields: Fields = None,
    account: Account = None,
) -> Envelope:
    """Latest public trades of a symbol, oldest first."""
    columns = select_fields(fields, allowed=_TRADE_FIELDS, default=_TRADE_COLUMNS)
    arguments: dict[str, Any] = {"limit": limit}
    if since is not None:
        arguments["since"] = parse_moment(since, now_ms=gateway.now_ms())

    def shape(trades: list[dict[str, Any]]) -> dict[str, Any]:
        newest = trades[-limit:] if since is None else trades[:limit]
        rows = [[trade.get(name) for name in columns] for trade in newest]
        times = [trade["timestamp"] for trade in newest if trade.get("timestamp")]
        span = {"first": iso(min(times)), "last": iso(max(times))} if times else {}
        return span | {"trades": Table.page(columns, rows, cursor=cursor, limit=limit)}

    return (await gateway.call(Call("fetchTrades", exchange, symbol=symbol, arguments=arguments, account=account))).map(
        shape
    )


@tool("Candles")
async def market_ohlcv(
    gateway: Gateway,
    exchange: ExchangeId,
    symbol: Symbol,
    timeframe: Timeframe = "1h",
    since: Moment = None,
    until: Moment = None,
    limit: Limit = 100,
    closed: Annotated[bool, Field(description="Leave out the running candle.")] = True,
    cursor: Cursor = None,
    account: Account = None,
) -> Envelope:
    """Candles (OHLCV), oldest first: the newest, or those from since on."""
    step = timeframe_ms(timeframe)
    now_ms = gateway.now_ms()
    start = None if since is None else _aligned(parse_moment(since, now_ms=now_ms), step)
    end = None if until is None else parse_moment(until, now_ms=now_ms, name="until")
    if start is not None and end is not None and start >= end:
        raise Failure(Code.INVALID_ARGUMENT, f"since is {iso(start)}, which is not before until, {iso(end)}.")
    if start is None and end is not None:
        start = _aligned(end - limit * step, step)
    venue = await gateway.open(exchange, account)
    wanted = min(limit + (start is None and closed), venue.candle_limit(venue.resolve(symbol)))
    arguments = {"timeframe": timeframe, "since": start, "limit": wanted, "until": end, "closed": closed}

    def shape(candles: list[list[Any]]) -> dict[str, Any]:
        rows = [row for row in candles if (start is None or row[0] >= start) and (end is None or row[0] < end)]
        rows = closed_candles(rows, timeframe, now_ms) if closed else rows
        rows = rows[-limit:] if start is None else rows[:limit]
        table = Table.page(CANDLE_COLUMNS, rows, cursor=cursor, limit=limit)
        note = _missing_candles(rows, start, step, limit, wanted)
        return {"timeframe": timeframe} | summarise_candles(rows, timeframe) | {"candles": replace(table, note=note)}

    return (await gateway.call(Call("fetchOHLCV", exchange, symbol=symbol, arguments=arguments, account=account))).map(
        shape
    )


@tool("Find symbols")
async def market_symbols(
    gateway: Gateway,
    query: Annotated[str, Field(description='Loose words: "btc perp", "BTC-USDT", "eth usd".', max_length=100)],
    exchanges: Exchanges = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Envelope:
    """Find symbols from loose words, on the named exchanges or on all that are opened."""
    named = list(dict.fromkeys(exchanges or gateway.pool.loaded()))
    if not named:
        raise Failure(Code.INVALID_ARGUMENT, "exchanges is empty and none is opened.", hint="Name exchanges.")
    answers = await asyncio.gather(*(gateway.call(Call("loadMarkets", exchange)) for exchange in named))
    if all(answer.failure for answer in answers):
        return answers[0]
    found = [_found(answer.data, query) for answer in answers if answer.success]
    in_turn = [row for rows in zip_longest(*found) for row in rows if row is not None]  # the best of each come first
    table = Table.page(("exchange", "symbol", "type", "active"), in_turn, cursor=cursor, limit=limit)
    failed = _failures("exchange", named, answers)
    return Envelope(gateway.metadata(), data=as_data({"symbols": table, "failed": failed}))


@tool("Funding")
async def market_funding(
    gateway: Gateway,
    exchange: ExchangeId,
    symbol: Symbol,
    since: Moment = None,
    limit: Annotated[int, Field(description="Past rates at most.", ge=1, le=200)] = 10,
    account: Account = None,
) -> Envelope:
    """Funding of a perpetual: rates, next time, open interest, mark and index."""
    venue = await gateway.open(exchange, account)
    resolved = _perpetual(venue, symbol)
    past: dict[str, Any] = {"limit": limit}
    if since is not None:
        past["since"] = parse_moment(since, now_ms=gateway.now_ms())
    rate, history, interest = await asyncio.gather(
        gateway.call(Call("fetchFundingRate", exchange, symbol=resolved, account=account)),
        gateway.call(Call("fetchFundingRateHistory", exchange, symbol=resolved, arguments=past, account=account)),
        gateway.call(Call("fetchOpenInterest", exchange, symbol=resolved, account=account)),
    )
    good = [part for part in (rate, history, interest) if part.success]
    if not good:
        return rate
    names = ("rate", "history", "openInterest")
    missing = {
        name: part.failure.message for name, part in zip(names, (rate, history, interest), strict=True) if part.failure
    }
    data = _funding_now(rate.data or {}) | _open_interest(interest.data or {})
    if history.success:
        rows = [[past_rate.get("timestamp"), past_rate.get("fundingRate")] for past_rate in history.data[-limit:]]
        data["history"] = Table(("timestamp", "fundingRate"), rows)
    return Envelope(
        combined(good), data={"symbol": resolved} | as_data(data) | ({"missing": missing} if missing else {})
    )


def _ticker(ticker: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return as_data({name: ticker.get(name) for name in columns})


def _book(book: dict[str, Any], levels: int, within: float, size: float | None, inverse: bool) -> dict[str, Any]:
    return summarise_book(book, levels=levels, within=within, contract_size=size, inverse=inverse)


def _missing_candles(rows: list[Any], start: int | None, step: int, limit: int, wanted: int) -> str | None:
    """Return a sentence about candles that were asked for and are not there, if any."""
    if start is not None and rows and rows[0][0] > start + step:
        return f"The exchange sent none before {iso(rows[0][0])}, though since is {iso(start)}."
    if len(rows) < limit and len(rows) >= min(wanted, limit) - 1 > 0 and wanted <= limit:
        return f"The exchange sends {wanted} candles at once; ask for others with since or until."
    return None


def _aligned(ms: int, step: int) -> int:
    return ms // step * step if step <= _DAY_MS else ms


def _found(venue: Venue, query: str) -> list[list[Any]]:
    symbols = venue.index.search(query, limit=_MOST_FOUND)
    markets = [venue.markets[symbol] for symbol in symbols]
    return [[venue.key.exchange, market["symbol"], market.get("type"), market.get("active")] for market in markets]


def _failures(what: str, names: list[str], answers: list[Envelope]) -> Table | None:
    rows: list[list[Any]] = []
    for symbol, answer in zip(names, answers, strict=True):
        if answer.failure is not None:
            error = error_dict(answer.failure)
            rows.append([clean_text(symbol, 100), error["code"], error["reason"], error["message"]])
    return Table((what, "code", "reason", "message"), rows) if rows else None


def _perpetual(venue: Venue, symbol: str) -> str:
    resolved = venue.resolve(symbol)
    market = venue.markets[resolved]
    if market.get("swap"):
        return resolved
    perpetuals = [
        name for name, other in venue.markets.items() if other.get("swap") and other.get("base") == market.get("base")
    ]
    raise Failure(
        Code.INVALID_ARGUMENT,
        f"{resolved} is a {market.get('type')} market; only perpetuals have funding.",
        hint=f"Try {', '.join(perpetuals[:3])}." if perpetuals else None,
    )


def _funding_now(rate: dict[str, Any]) -> dict[str, Any]:
    names = (
        "fundingRate",
        "fundingTimestamp",
        "nextFundingRate",
        "nextFundingTimestamp",
        "interval",
        "markPrice",
        "indexPrice",
    )
    return {name: rate.get(name) for name in names}


def _open_interest(interest: dict[str, Any]) -> dict[str, Any]:
    return {name: interest.get(name) for name in ("openInterestAmount", "openInterestValue")}
