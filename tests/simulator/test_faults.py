"""Each fault does what it says, and no more than it is told to."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.async_support
import orjson
import pytest

from ccxt_mcp.simulator import API_KEY, API_SECRET, Fault, FaultKind, Simulator

if TYPE_CHECKING:
    from simulator.clocks import Clock

TICKER = "/v5/market/tickers?category=spot&symbol=BTCUSDT"


async def read(http: aiohttp.ClientSession, path: str = TICKER) -> tuple[int, str, bytes]:
    async with http.get(path) as reply:
        return reply.status, reply.content_type, await reply.read()


@pytest.mark.parametrize("kind", ["403", "418", "500", "503", "524"])
async def test_a_status_fault_is_that_status_with_a_page(
    simulator: Simulator, http: aiohttp.ClientSession, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind))
    status, content_type, body = await read(http)
    assert (status, content_type) == (int(kind), "text/html")
    assert body.startswith(b"<!DOCTYPE html>")


async def test_too_many_requests_has_bybits_body_and_says_when_to_return(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("429", retry_after=2.5))
    async with http.get(TICKER) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (429, "2.5")
        assert (await reply.json())["retCode"] == 10006
    simulator.faults.set(Fault("429"))
    async with http.get(TICKER) as reply:
        assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(("kind", "body"), [("empty", b""), ("object", b"{}"), ("array", b"[]")])
async def test_a_hollow_reply_is_a_200_with_just_that_body(
    simulator: Simulator, http: aiohttp.ClientSession, kind: FaultKind, body: bytes
) -> None:
    simulator.faults.set(Fault(kind))
    assert await read(http) == (200, "application/json", body)


async def test_a_page_can_come_with_200(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    simulator.faults.set(Fault("html"))
    status, content_type, body = await read(http)
    assert (status, content_type) == (200, "text/html")
    assert b"Just a moment" in body


async def test_cut_json_is_half_of_a_good_answer(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    whole = (await read(http))[2]
    simulator.faults.set(Fault("cut_json"))
    status, _, body = await read(http)
    assert (status, body) == (200, whole[: len(whole) // 2])
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)


async def test_a_cut_transfer_ends_before_its_declared_length(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("cut_transfer"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(http)


@pytest.mark.parametrize("kind", ["drop", "lose_reply"])
async def test_a_dropped_connection_has_no_answer(
    simulator: Simulator, http: aiohttp.ClientSession, kind: FaultKind
) -> None:
    simulator.faults.set(Fault(kind))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await read(http)


async def test_a_lost_reply_was_executed_and_a_dropped_request_was_not(
    simulator: Simulator, http: aiohttp.ClientSession, clock: Clock
) -> None:
    async def spent(fault: Fault) -> tuple[int, int]:
        """How many requests were sent under a fault, and how much of the key's budget of ten they took."""
        clock.now += 1
        simulator.requests.reset()
        simulator.faults.set(fault)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.get("/v5/user/query-api", headers=signed(clock))
        sent = simulator.requests.total
        simulator.faults.clear()
        async with http.get("/v5/user/query-api", headers=signed(clock)) as reply:
            return sent, 9 - int(reply.headers["X-Bapi-Limit-Status"])

    # aiohttp's client repeats a GET whose connection ended without an answer, so one call may be two requests.
    sent, executed = await spent(Fault("drop"))
    assert (sent > 0, executed) == (True, 0)
    sent, executed = await spent(Fault("lose_reply"))
    assert sent == executed > 0


def signed(clock: Clock) -> dict[str, str]:
    origin = f"{clock.ms}{API_KEY}5000"
    return {
        "X-BAPI-API-KEY": API_KEY,
        "X-BAPI-TIMESTAMP": str(clock.ms),
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": hmac.new(API_SECRET.encode(), origin.encode(), "sha256").hexdigest(),
    }


async def test_a_hanging_request_ends_with_the_simulator(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    await simulator.start()
    simulator.faults.set(Fault("hang"))
    async with aiohttp.ClientSession(simulator.url) as http:
        asking = asyncio.create_task(read(http))
        while not simulator.requests.total:
            await read(http, "/_simulator/faults")
        assert not asking.done()
        await simulator.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking


async def test_a_hanging_request_ends_with_its_client(simulator: Simulator) -> None:
    simulator.faults.set(Fault("hang"))
    async with aiohttp.ClientSession(simulator.url, timeout=aiohttp.ClientTimeout(total=0.05)) as http:
        with pytest.raises(TimeoutError):
            await read(http)


async def test_latency_delays_and_leaves_the_answer_alone(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    good = await read(http)
    simulator.faults.set(Fault("latency", seconds=0.01), Fault("latency", seconds=0.01), Fault("500", times=1))
    assert (await read(http))[0] == 500
    assert await read(http) == good


async def test_a_blank_ticker_has_no_price_and_other_answers_stay(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    simulator.faults.set(Fault("blank_ticker", times=1))
    assert b'"price":"' in (await read(http, "/v5/market/recent-trade?category=spot&symbol=BTCUSDT"))[2]
    document: Any = orjson.loads((await read(http))[2])
    (ticker,) = document["result"]["list"]
    assert ticker["symbol"] == "BTCUSDT"
    assert [ticker[name] for name in ("lastPrice", "bid1Price", "ask1Price", "highPrice24h")] == [""] * 4
    assert float(orjson.loads((await read(http))[2])["result"]["list"][0]["lastPrice"]) > 0


async def test_a_skewed_clock_shows_in_the_time_and_refuses_signatures(
    simulator: Simulator, http: aiohttp.ClientSession, clock: Clock
) -> None:
    simulator.faults.set(Fault("clock_skew", skew_ms=60_000))
    document: Any = orjson.loads((await read(http, "/v5/market/time"))[2])
    assert document["time"] == clock.ms + 60_000
    assert document["result"]["timeNano"] == str((clock.ms + 60_000) * 10**6)
    async with http.get("/v5/user/query-api", headers=signed(clock)) as reply:
        assert (await reply.json())["retCode"] == 10002
    simulator.faults.clear()
    async with http.get("/v5/user/query-api", headers=signed(clock)) as reply:
        assert (await reply.json())["retCode"] == 0


async def test_a_fault_is_limited_to_its_path_and_its_times(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    simulator.faults.set(Fault("500", path="/tickers", times=2))
    statuses = [(await read(http, path))[0] for path in ("/v5/market/time", TICKER, TICKER, TICKER)]
    assert statuses == [200, 500, 500, 200]
    assert simulator.faults.active == ()


async def test_a_probable_fault_strikes_the_same_requests_under_the_same_seed() -> None:
    async def statuses(seed: int) -> list[int]:
        async with Simulator(seed=seed) as simulator, aiohttp.ClientSession(simulator.url) as http:
            simulator.faults.set(Fault("500", probability=0.5))
            return [(await read(http, "/v5/market/time"))[0] for _ in range(40)]

    first = await statuses(1)
    assert 5 < first.count(500) < 35
    assert await statuses(1) == first
    assert await statuses(2) != first


async def test_faults_are_switched_over_http(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.post("/_simulator/faults", json={"kind": "503", "times": 1}) as reply:
        assert (await reply.json())["faults"][0]["kind"] == "503"
    async with http.get("/_simulator/faults") as reply:
        assert (await reply.json())["faults"][0]["times"] == 1
    assert (await read(http))[0] == 503
    async with http.post("/_simulator/faults", json=[{"kind": "html"}, {"kind": "latency", "seconds": 0.01}]) as reply:
        assert len((await reply.json())["faults"]) == 2
    async with http.delete("/_simulator/faults") as reply:
        assert (await reply.json())["faults"] == []
    assert (await read(http))[0] == 200
    assert simulator.requests.total == 2


@pytest.mark.parametrize(
    "body", ["", "1", "{}", '{"kind": "moon"}', '{"kind": "500", "x": 1}', '{"kind": "500", "times": "2"}',
             '{"kind": "500", "probability": 2}', "[[]]"]
)  # fmt: skip
async def test_a_wrong_fault_is_refused_and_changes_nothing(
    simulator: Simulator, http: aiohttp.ClientSession, body: str
) -> None:
    simulator.faults.set(Fault("500"))
    async with http.post("/_simulator/faults", data=body) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]
    assert simulator.faults.active == (Fault("500"),)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", ccxt.async_support.RateLimitExceeded),
        ("403", ccxt.async_support.RateLimitExceeded),
        ("418", ccxt.async_support.DDoSProtection),
        ("500", ccxt.async_support.ExchangeNotAvailable),
        ("503", ccxt.async_support.ExchangeNotAvailable),
        ("drop", ccxt.async_support.NetworkError),
        ("object", ccxt.async_support.ExchangeError),
    ],
)
async def test_ccxt_sees_faults_as_it_would_on_the_real_exchange(
    simulator: Simulator, bybit: Any, kind: FaultKind, error: type[Exception]
) -> None:
    await bybit.load_markets()
    simulator.faults.set(Fault(kind))
    with pytest.raises(error):
        await bybit.fetch_ticker("BTC/USDT")
    simulator.faults.clear()
    assert (await bybit.fetch_ticker("BTC/USDT"))["last"] > 0
