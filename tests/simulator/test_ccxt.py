"""Unmodified ccxt runs on the simulator, and ccxt's own validators accept what it serves."""

from __future__ import annotations

from typing import Any

import ccxt.async_support
import pytest
from ccxt.test.exchange.base.test_funding_rate_history import test_funding_rate_history as check_funding_rate_history
from ccxt.test.exchange.base.test_market import test_market as check_market
from ccxt.test.exchange.base.test_ohlcv import test_ohlcv as check_ohlcv
from ccxt.test.exchange.base.test_open_interest import test_open_interest as check_open_interest
from ccxt.test.exchange.base.test_order_book import test_order_book as check_order_book
from ccxt.test.exchange.base.test_ticker import test_ticker as check_ticker
from ccxt.test.exchange.base.test_trade import test_trade as check_trade

SYMBOLS = ["BTC/USDT", "ETH/BTC", "USDC/USDT", "BTC/EUR", "DOGE/USDT:USDT", "BTC/USDC:USDC"]


async def test_every_market_passes_ccxts_validator(bybit: Any) -> None:
    markets = await bybit.load_markets()
    for market in markets.values():
        check_market(bybit, {}, "fetchMarkets", market)
    assert [symbol for symbol, market in markets.items() if not market["active"]] == ["EOS/USDT"]
    assert sum(market["spot"] for market in markets.values()) >= 12
    assert sum(market["linear"] is True for market in markets.values()) >= 6
    assert {market["quote"] for market in markets.values()} >= {"USDT", "USDC", "BTC", "EUR"}


async def test_every_ticker_passes_ccxts_validator(bybit: Any) -> None:
    await bybit.load_markets()
    tickers = {
        **await bybit.fetch_tickers(params={"type": "spot"}),
        **await bybit.fetch_tickers(params={"type": "swap"}),
    }
    assert len(tickers) == len(bybit.markets) - 1
    for symbol, ticker in tickers.items():
        check_ticker(bybit, {}, "fetchTicker", ticker, symbol)


@pytest.mark.parametrize("symbol", SYMBOLS)
async def test_ticker_book_trades_and_candles_pass_ccxts_validators(bybit: Any, symbol: str) -> None:
    check_ticker(bybit, {}, "fetchTicker", await bybit.fetch_ticker(symbol), symbol)
    for limit in (None, 1, 50, 200):
        check_order_book(bybit, {}, "fetchOrderBook", await bybit.fetch_order_book(symbol, limit), symbol)
    trades = await bybit.fetch_trades(symbol, limit=50)
    assert len(trades) == 50
    for trade in trades:
        check_trade(bybit, {}, "fetchTrades", trade, symbol, bybit.milliseconds(), True)
    for timeframe in bybit.timeframes:
        candles = await bybit.fetch_ohlcv(symbol, timeframe, limit=20)
        assert len(candles) == 20
        for candle in candles:
            check_ohlcv(bybit, {}, "fetchOHLCV", candle, symbol, bybit.milliseconds())


async def test_a_year_of_days_and_a_week_of_minutes_can_be_fetched(bybit: Any) -> None:
    year = await bybit.fetch_ohlcv("BTC/USDT", "1d", since=bybit.parse8601("2024-01-01T00:00:00Z"), limit=366)
    assert [bybit.iso8601(year[i][0])[:10] for i in (0, -1)] == ["2024-01-01", "2024-12-31"]
    minute, since = 60_000, bybit.parse8601("2025-03-01T00:00:00Z")
    minutes: list[list[float]] = []
    while len(minutes) < 7 * 1440:
        minutes += await bybit.fetch_ohlcv("ETH/USDT", "1m", since=since + len(minutes) * minute, limit=1000)
    assert [candle[0] for candle in minutes] == [since + i * minute for i in range(len(minutes))]


async def test_since_and_until_bound_the_candles(bybit: Any) -> None:
    since, until = (bybit.parse8601(f"2025-06-01T0{hour}:00:00Z") for hour in (1, 5))
    candles = await bybit.fetch_ohlcv("SOL/USDT:USDT", "1h", since=since, params={"until": until})
    assert [bybit.iso8601(candle[0])[11:13] for candle in candles] == ["01", "02", "03", "04", "05"]


async def test_funding_and_open_interest_pass_ccxts_validators(bybit: Any) -> None:
    symbol = "BTC/USDT:USDT"
    rate = await bybit.fetch_funding_rate(symbol)
    assert rate["interval"] == "8h"
    assert rate["markPrice"] == pytest.approx(rate["indexPrice"], rel=0.01)
    assert len(await bybit.fetch_funding_rates()) >= 6
    history = await bybit.fetch_funding_rate_history(symbol, limit=30)
    assert len(history) == 30
    for entry in history:
        check_funding_rate_history(bybit, {}, "fetchFundingRateHistory", entry, symbol)
    check_open_interest(bybit, {}, "fetchOpenInterest", await bybit.fetch_open_interest(symbol))
    for entry in await bybit.fetch_open_interest_history(symbol, "1h", limit=24):
        check_open_interest(bybit, {}, "fetchOpenInterestHistory", entry)


async def test_the_time_is_the_clocks(bybit: Any, clock: Any) -> None:
    assert await bybit.fetch_time() == clock.ms


async def test_an_inactive_market_has_no_ticker(bybit: Any) -> None:
    with pytest.raises(ccxt.async_support.BadSymbol):
        await bybit.fetch_ticker("EOS/USDT")


async def test_a_live_ticker_passes_ccxts_validator(live: Any) -> None:
    for symbol in ("BTC/USDT", "BTC/USDT:USDT"):
        for _ in range(3):
            check_ticker(live, {}, "watchTicker", await live.watch_ticker(symbol), symbol)


async def test_a_live_book_passes_ccxts_validator(live: Any) -> None:
    for symbol, limit in (("ETH/USDT", 50), ("BTC/USDT:USDT", 200)):
        for _ in range(5):
            book = await live.watch_order_book(symbol, limit)
            check_order_book(live, {}, "watchOrderBook", book, symbol)
            assert len(book["bids"]) == len(book["asks"]) == limit


async def test_live_trades_pass_ccxts_validator_and_never_repeat(live: Any) -> None:
    seen: list[str] = []
    while len(seen) < 20:
        for trade in await live.watch_trades("BTC/USDT"):
            check_trade(live, {}, "watchTrades", trade, "BTC/USDT", live.milliseconds(), True)
            seen.append(trade["id"])
    assert len(set(seen)) == len(seen)


async def test_live_candles_move_on_and_end_as_rest_tells_them(live: Any) -> None:
    first = (await live.watch_ohlcv("BTC/USDT:USDT", "1m"))[-1]
    candles = [first]
    while candles[-1][0] == first[0]:
        candles = await live.watch_ohlcv("BTC/USDT:USDT", "1m")
        for candle in candles:
            check_ohlcv(live, {}, "watchOHLCV", candle, "BTC/USDT:USDT", live.milliseconds())
    told = next(candle for candle in live.ohlcvs["BTC/USDT:USDT"]["1m"] if candle[0] == first[0])
    (fetched,) = await live.fetch_ohlcv("BTC/USDT:USDT", "1m", since=first[0], limit=1)
    assert told == fetched


async def test_an_unwatched_stream_falls_silent(live: Any) -> None:
    await live.watch_ticker("BTC/USDT")
    await live.un_watch_ticker("BTC/USDT")
    assert "BTC/USDT" not in live.tickers
