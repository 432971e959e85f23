"""Who may ask, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.async_support
import pytest

from ccxt_mcp.simulator import API_KEY, API_SECRET, Simulator
from simulator.clients import bybit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.clocks import Clock

TIME = "/v5/market/time"


@pytest.fixture
async def signer() -> AsyncIterator[Any]:
    """The unmodified REST class of ccxt with the simulator's key, at the time of this machine."""
    async with Simulator() as running, bybit(running, apiKey=API_KEY, secret=API_SECRET) as exchange:
        yield exchange


async def test_a_signature_by_ccxt_is_accepted_and_limits_come_with_it(signer: Any) -> None:
    reply = await signer.private_get_v5_user_query_api({"a": "b,c"})
    assert reply["result"]["apiKey"] == API_KEY
    headers = signer.last_response_headers
    assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("10", "9")
    assert int(headers["X-Bapi-Limit-Reset-Timestamp"]) > 0


async def test_a_wrong_secret_is_refused(signer: Any) -> None:
    signer.secret = "wrong"
    with pytest.raises(ccxt.async_support.AuthenticationError, match="10004"):
        await signer.private_get_v5_user_query_api()


async def test_an_unknown_key_is_refused(signer: Any) -> None:
    signer.apiKey = "nobody"
    with pytest.raises(ccxt.async_support.AuthenticationError, match="10003"):
        await signer.private_get_v5_user_query_api()


@pytest.mark.parametrize("offset", [-60_000, 60_000])
async def test_a_request_from_another_time_is_refused(signer: Any, offset: int) -> None:
    signer.nonce = lambda: signer.milliseconds() + offset
    with pytest.raises(ccxt.async_support.InvalidNonce, match="10002"):
        await signer.private_get_v5_user_query_api()


async def test_an_unsigned_request_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.get("/v5/user/query-api") as reply:
        document = await reply.json()
    assert document["retCode"] == 10001
    assert document["retMsg"].endswith("openapi sign params error!")


async def test_a_key_shown_on_a_public_path_is_checked_too(http: aiohttp.ClientSession) -> None:
    headers = {"X-BAPI-API-KEY": "nobody", "X-BAPI-TIMESTAMP": "1", "X-BAPI-SIGN": "x"}
    async with http.get(TIME, headers=headers) as reply:
        assert (await reply.json())["retCode"] == 10003


async def test_own_keys_replace_the_usual_ones(signer: Any) -> None:
    async with Simulator(keys={"mine": "secret"}) as running:
        signer.urls["api"]["private"] = running.url
        with pytest.raises(ccxt.async_support.AuthenticationError, match="10003"):
            await signer.private_get_v5_user_query_api()
        signer.apiKey, signer.secret = "mine", "secret"
        assert (await signer.private_get_v5_user_query_api())["result"]["apiKey"] == "mine"


async def test_the_eleventh_signed_request_of_a_second_is_refused(clock: Clock) -> None:
    async with Simulator(clock=clock) as running, bybit(running, apiKey=API_KEY, secret=API_SECRET) as exchange:
        exchange.nonce = lambda: clock.ms
        for left in range(9, -1, -1):
            await exchange.private_get_v5_user_query_api()
            assert exchange.last_response_headers["X-Bapi-Limit-Status"] == str(left)
        with pytest.raises(ccxt.async_support.RateLimitExceeded, match="10006"):
            await exchange.private_get_v5_user_query_api()
        assert exchange.last_response_headers["X-Bapi-Limit-Reset-Timestamp"] == str(clock.ms + 1000)
        clock.now += 1
        await exchange.private_get_v5_user_query_api()


async def test_an_address_that_asks_too_often_gets_403_until_the_window_has_passed(clock: Clock) -> None:
    limited = Simulator(clock=clock, ip_limit=(3, 5.0))
    async with limited, aiohttp.ClientSession(limited.url) as http:

        async def status() -> int:
            async with http.get(TIME) as reply:
                text = await reply.text()
                assert reply.status == 200 or "access too frequent" in text
                return reply.status

        assert [await status() for _ in range(5)] == [200, 200, 200, 403, 403]
        assert (limited.requests.total, limited.requests.rejected) == (5, 2)
        clock.now += 5
        assert await status() == 200
        limited.requests.reset()
        assert (limited.requests.total, limited.requests.rejected, limited.requests.by_path) == (0, 0, {})


async def test_the_usual_limit_is_600_requests_in_five_seconds_and_can_be_off(clock: Clock) -> None:
    async with Simulator(clock=clock) as usual, Simulator(clock=clock, ip_limit=None) as free:
        for running, refused in ((usual, 5), (free, 0)):
            async with aiohttp.ClientSession(running.url) as http:
                for _ in range(605):
                    async with http.get(TIME):
                        pass
            assert running.requests.rejected == refused
            assert running.requests.by_path == {TIME: 605}
