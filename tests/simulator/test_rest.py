"""What the REST side answers, as it goes over the wire."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ccxt_mcp.simulator.klines import INTERVALS, row
from ccxt_mcp.simulator.world import World

if TYPE_CHECKING:
    import aiohttp

    from simulator.clocks import Clock


async def ask(http: aiohttp.ClientSession, path: str, **query: str | int) -> Any:
    async with http.get(f"/v5/market/{path}", params=query) as reply:
        assert reply.status == 200
        return await reply.json()


async def result(http: aiohttp.ClientSession, path: str, **query: str | int) -> Any:
    document = await ask(http, path, **query)
    assert (document["retCode"], document["retMsg"]) == (0, "OK")
    return document["result"]


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("tickers", {"category": "spot", "symbol": "NOPE"}, "Not supported symbols"),
        ("tickers", {"category": "spot", "symbol": "EOSUSDT"}, "Not supported symbols"),
        ("tickers", {"category": "moon"}, "Illegal category"),
        ("tickers", {}, "Illegal category"),
        ("kline", {"category": "spot", "symbol": "BTCUSDT", "interval": "7"}, "Invalid period!"),
        ("kline", {"category": "spot", "symbol": "BTCUSDT"}, "Invalid period!"),
        (
            "kline",
            {"category": "spot", "symbol": "BTCUSDT", "interval": "1", "start": "x"},
            "params error: start invalid",
        ),
        ("orderbook", {"category": "linear"}, "Not supported symbols"),
        ("recent-trade", {"category": "spot", "symbol": "BTCUSDT", "limit": "-1"}, "params error: limit invalid"),
        ("funding/history", {"category": "spot", "symbol": "BTCUSDT"}, "Invalid category"),
        ("open-interest", {"category": "spot", "symbol": "BTCUSDT", "intervalTime": "1h"}, "Invalid category"),
        ("open-interest", {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "2h"}, "Invalid intervalTime"),
        ("instruments-info", {"category": "spot", "symbol": "NOPE"}, "Not supported symbols"),
        (
            "funding/history",
            {"category": "linear", "symbol": "BTCUSDT", "startTime": "1"},
            "params error: endTime can not be empty when startTime is passed",
        ),
    ],
)
async def test_a_wrong_request_gets_bybits_refusal(
    http: aiohttp.ClientSession, path: str, query: dict[str, str], message: str
) -> None:
    document = await ask(http, path, **query)
    assert (document["retCode"], document["retMsg"], document["result"]) == (10001, message, {})


async def test_an_unknown_path_or_method_is_404(http: aiohttp.ClientSession) -> None:
    async with http.get("/v5/market/moon") as reply:
        assert reply.status == 404
    async with http.post("/v5/market/tickers") as reply:
        assert reply.status == 404
    async with http.get("/_simulator/moon") as reply:
        assert reply.status == 404


async def test_limits_are_clamped_as_bybit_does(http: aiohttp.ClientSession) -> None:
    market: dict[str, str] = {"category": "spot", "symbol": "BTCUSDT"}
    assert len((await result(http, "recent-trade", **market, limit=5000))["list"]) == 60
    assert len((await result(http, "kline", **market, interval="1", limit=5000))["list"]) == 1000
    assert len((await result(http, "kline", **market, interval="1"))["list"]) == 200
    assert len((await result(http, "orderbook", **market, limit=5000))["b"]) == 200
    assert len((await result(http, "orderbook", **market))["b"]) == 1
    market["category"] = "linear"
    assert len((await result(http, "recent-trade", **market, limit=5000))["list"]) == 1000
    assert len((await result(http, "recent-trade", **market))["list"]) == 500
    assert len((await result(http, "orderbook", **market, limit=5000))["a"]) == 500
    assert len((await result(http, "funding/history", **market, limit=5000))["list"]) == 200


async def test_ticker_candles_and_book_tell_the_same_story(http: aiohttp.ClientSession, clock: Clock) -> None:
    for category, symbol in (("spot", "ETHUSDT"), ("linear", "BTCPERP"), ("spot", "ETHBTC")):
        market = {"category": category, "symbol": symbol}
        (ticker,) = (await result(http, "tickers", **market))["list"]
        rows = (await result(http, "kline", **market, interval="1", limit=1000))["list"]
        rest = await result(http, "kline", **market, interval="1", end=int(rows[-1][0]) - 1, limit=440)
        rows += rest["list"]
        assert len(rows) == 1440
        assert ticker["lastPrice"] == rows[0][4]
        assert ticker["prevPrice24h"] == rows[-1][1]
        assert Decimal(ticker["highPrice24h"]) == max(Decimal(row[2]) for row in rows)
        assert Decimal(ticker["lowPrice24h"]) == min(Decimal(row[3]) for row in rows)
        assert Decimal(ticker["volume24h"]) == sum(Decimal(row[5]) for row in rows)
        assert Decimal(ticker["turnover24h"]) == sum(Decimal(row[6]) for row in rows)
        change = Decimal(ticker["lastPrice"]) / Decimal(ticker["prevPrice24h"]) - 1
        assert Decimal(ticker["price24hPcnt"]) == pytest.approx(change, abs=Decimal("0.00005"))
        book = await result(http, "orderbook", **market, limit=50)
        assert [ticker["bid1Price"], ticker["bid1Size"]] == book["b"][0]
        assert [ticker["ask1Price"], ticker["ask1Size"]] == book["a"][0]
        trade = (await result(http, "recent-trade", **market, limit=1))["list"][0]
        assert trade["price"] == ticker["lastPrice"]
        assert int(trade["time"]) <= clock.ms


@pytest.mark.parametrize("interval", sorted(INTERVALS))
async def test_candles_of_every_interval_are_whole_and_in_order(
    http: aiohttp.ClientSession, clock: Clock, interval: str
) -> None:
    rows = (await result(http, "kline", category="spot", symbol="SOLUSDT", interval=interval, limit=60))["list"]
    starts = [int(row[0]) for row in rows]
    assert starts == sorted(starts, reverse=True)
    assert starts[0] <= clock.ms
    assert len(rows) == 60
    venue = World(7).venue("spot", "SOLUSDT")
    assert venue is not None
    whole = venue.tape.history.span(starts[1] // 60_000, starts[0] // 60_000)
    assert rows[1] == row(venue.market, starts[1] // 60_000, whole)


async def test_klines_honour_start_end_and_limit(http: aiohttp.ClientSession) -> None:
    hour = 3_600_000
    begin = 1_762_000_000_000 // hour * hour
    market: dict[str, str] = {"category": "spot", "symbol": "BTCUSDT", "interval": "60"}

    async def starts(**query: int) -> list[int]:
        rows = (await result(http, "kline", **market, **query))["list"]
        return [(int(row[0]) - begin) // hour for row in rows]

    assert await starts(start=begin, limit=3) == [2, 1, 0]
    assert await starts(start=begin + 1, limit=2) == [1, 0]
    assert await starts(end=begin, limit=3) == [0, -1, -2]
    assert await starts(start=begin, end=begin + 10 * hour, limit=3) == [10, 9, 8]
    assert await starts(start=begin + 10**12) == []
    assert await starts(end=1_500_000_000_000) == []
    assert (await result(http, "kline", **market, start=0, limit=1))["list"][0][0] == "1577836800000"


async def test_the_first_week_and_month_begin_with_history(http: aiohttp.ClientSession) -> None:
    market: dict[str, str] = {"category": "spot", "symbol": "BTCUSDT"}
    weeks = (await result(http, "kline", **market, interval="W", limit=1000))["list"]
    days = (await result(http, "kline", **market, interval="D", limit=1000, end=1_578_268_800_000))["list"]
    # The first week is short: history begins on a Wednesday.
    assert weeks[-1][1] == days[-1][1]
    assert len(days) == 6


async def test_instruments_list_every_market_with_the_closed_one_marked(http: aiohttp.ClientSession) -> None:
    spot = (await result(http, "instruments-info", category="spot"))["list"]
    linear = (await result(http, "instruments-info", category="linear"))["list"]
    assert len(spot) >= 13
    assert len(linear) >= 6
    assert [one["symbol"] for one in spot if one["status"] != "Trading"] == ["EOSUSDT"]
    assert (await result(http, "instruments-info", category="linear", status="PreLaunch"))["list"] == []
    (one,) = (await result(http, "instruments-info", category="linear", symbol="BTCPERP"))["list"]
    assert (one["quoteCoin"], one["settleCoin"], one["fundingInterval"]) == ("USDC", "USDC", 480)
    tickers = (await result(http, "tickers", category="spot"))["list"]
    assert len(tickers) == len(spot) - 1


async def test_funding_is_paid_every_eight_hours_at_the_rate_shown_before(
    http: aiohttp.ClientSession, clock: Clock
) -> None:
    market = {"category": "linear", "symbol": "ETHUSDT"}
    (ticker,) = (await result(http, "tickers", **market))["list"]
    clock.now = int(ticker["nextFundingTime"]) / 1000
    rates = (await result(http, "funding/history", **market))["list"]
    assert rates[0]["fundingRateTimestamp"] == ticker["nextFundingTime"]
    assert rates[0]["fundingRate"] == ticker["fundingRate"]
    times = [int(rate["fundingRateTimestamp"]) for rate in rates]
    assert {left - right for left, right in itertools.pairwise(times)} == {28_800_000}
    assert len({rate["fundingRate"] for rate in rates}) > 10


async def test_open_interest_now_is_the_end_of_its_history_and_pages_back(http: aiohttp.ClientSession) -> None:
    market: dict[str, str] = {"category": "linear", "symbol": "BTCUSDT"}
    (ticker,) = (await result(http, "tickers", **market))["list"]
    page = await result(http, "open-interest", **market, intervalTime="5min", limit=3)
    assert page["list"][0]["openInterest"] == ticker["openInterest"]
    following = await result(
        http, "open-interest", **market, intervalTime="5min", limit=2, cursor=page["nextPageCursor"]
    )
    assert int(page["list"][-1]["timestamp"]) - int(following["list"][0]["timestamp"]) == 300_000
