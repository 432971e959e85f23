"""Alerts: told once, whatever happens to the process that watches."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import Simulator
from desk.house import PATIENCE, SPOT, House, data, error, open_house, rows
from watching.market import Market

PRICE_NEVER = 10_000_000


@pytest.fixture
def market(open_market_house: Market) -> Market:
    return open_market_house


async def alert(market: Market, condition: str = "price_above", **arguments: Any) -> dict[str, Any]:
    return await market.told("stream_alert_create", condition=condition, **arguments)


async def fired(market: Market, alert_id: str) -> dict[str, Any] | None:
    """The alert, if it has fired."""
    [found] = [row for row in await market.alerts() if row["id"] == alert_id]
    return found if found.get("firedCount") else None


async def test_an_alert_outlives_its_call_and_fires_once(market: Market) -> None:
    ahead = await market.prices(4)
    made = await alert(market, value=max(ahead) - 0.05, note="sell some")
    assert (made["state"], made["symbol"], made["note"]) == ("active", SPOT, "sell some")
    assert "trades above" in made["when"]
    told = await market.until(lambda: fired(market, made["id"]), moving=True)
    assert (told["state"], told["firedCount"]) == ("fired", 1)
    assert told["firedMs"] >= told["createdMs"]
    assert told["fired"]["price"] >= max(ahead) - 0.05
    for _ in range(5):
        await market.go_on()
    assert (await fired(market, made["id"]) or {})["firedCount"] == 1


async def test_what_holds_already_fires_at_once_and_not_before_it_was_made(market: Market) -> None:
    await market.told("stream_watch", channels=["ticker", "trades"], seconds=0.3)
    made = await alert(market, value=1)
    told = await market.until(lambda: fired(market, made["id"]))
    assert told["firedMs"] >= made["createdMs"]


async def test_one_that_repeats_fires_at_each_crossing(market: Market) -> None:
    ahead = await market.prices(40)
    level = sorted(ahead)[20] + 0.05
    first = await market.price()
    sides = [price > level for price in [first, *ahead]]
    crossings = sum(before != after for before, after in pairwise(sides))
    made = await alert(market, "price_crosses", value=level, repeat=True)
    await market.until(watched(market))
    for _ in range(40):
        await market.go_on()

    async def enough() -> bool:
        told = await fired(market, made["id"])
        return told is not None and told["firedCount"] >= crossings

    await market.until(enough)
    told = await fired(market, made["id"])
    assert told is not None
    assert told["state"] == "active"


async def test_one_that_is_over_or_deleted_fires_no_more(market: Market) -> None:
    now = (await market.house.ask("system_health", None))["metadata"]["timestamp"]
    soon = now + 700
    late = await alert(market, value=PRICE_NEVER, expires=soon)
    gone = await alert(market, value=PRICE_NEVER)
    assert data(await market.house.ask("stream_alert_delete", None, alert_id=gone["id"])) == {"deleted": gone["id"]}

    async def expired() -> bool:
        return [row["id"] for row in await market.alerts(status="expired")] == [late["id"]]

    await market.until(expired)
    assert await market.alerts(status="active") == []
    again = error(await market.house.ask("stream_alert_delete", None, alert_id=gone["id"]))
    assert again["code"] == "TAPS005"


async def test_what_cannot_be_watched_is_refused_and_not_recorded(market: Market) -> None:
    for arguments, code in (
        ({"symbol": "NO/SUCH", "value": 1}, "TAPS011"),
        ({"value": None}, "TAPS005"),
        ({"value": 1, "expires": "2001-01-01"}, "TAPS005"),
        ({"value": 1, "expires": "2h ago"}, "TAPS005"),
        ({"value": 1, "account": "nobody"}, "TAPS005"),
        ({"value": 1, "window": 60}, "TAPS005"),
    ):
        refused = error(await market.ask("stream_alert_create", **{"condition": "price_above", **arguments}))
        assert refused["code"] == code, arguments
    assert error(
        await market.house.ask("stream_alert_create", "nowhere", symbol=SPOT, condition="price_above", value=1)
    )
    assert await market.alerts() == []


async def test_an_order_filled_before_anybody_watched_fires(lively: House) -> None:
    placed = data(await lively.order())
    arguments = {"symbol": SPOT, "condition": "order_filled", "order_id": placed["id"]}
    made = data(await lively.ask("stream_alert_create", **arguments))
    row = await the_fired_one(lively)
    assert (row["id"], row["account"], row["fired"]["filled"]) == (made["id"], "venue", placed["filled"])


async def test_an_order_that_ends_unfilled_is_told_as_well(lively: House) -> None:
    placed = await lively.resting()
    arguments = {"symbol": SPOT, "condition": "order_filled", "order_id": placed["id"]}
    data(await lively.ask("stream_alert_create", **arguments))
    await lively.ask("trade_cancel_order", order_id=placed["id"])
    row = await the_fired_one(lively)
    assert row["fired"]["orderEnded"] == "canceled"


async def test_a_relative_end_counts_from_now(market: Market) -> None:
    for written in ("2h", "in 2 hours"):
        made = await alert(market, value=PRICE_NEVER, expires=written)
        assert made["expiresMs"] - made["createdMs"] == pytest.approx(7_200_000, abs=10_000)


async def test_it_says_how_far_it_is(market: Market) -> None:
    made = await alert(market, value=PRICE_NEVER)

    async def near() -> dict[str, Any] | None:
        [row] = await market.alerts()
        return row.get("now")

    assert (await market.until(near, moving=True))["distancePct"] > 0
    assert (await market.alerts())[0]["id"] == made["id"]


# -- across processes --------------------------------------------------------------------------------------------------


async def test_it_is_watched_again_after_a_restart(tmp_path: Path, market: Market) -> None:
    ahead = await market.prices(6)
    folder = tmp_path / "restarted"
    async with open_house(folder, market.simulator) as house:
        made = data(
            await house.ask("stream_alert_create", symbol=SPOT, condition="price_above", value=max(ahead) - 0.05)
        )
    async with open_house(folder, market.simulator) as house:
        told = await until_fired(market, house, made["id"])
    assert told["firedCount"] == 1


async def test_a_crossing_while_nobody_watched_is_told_at_the_next_start(tmp_path: Path, market: Market) -> None:
    first, ahead = await market.price(), await market.prices(10)
    level = (first + ahead[-1]) / 2
    folder = tmp_path / "restarted"
    async with open_house(folder, market.simulator) as house:
        made = data(await house.ask("stream_alert_create", symbol=SPOT, condition="price_crosses", value=level))
        assert made["state"] == "active"
    market.clock.now += 10 * 60
    async with open_house(folder, market.simulator) as house:
        told = await until_fired(market, house, made["id"], moving=False)
    assert told["fired"]["side"] == ("above" if ahead[-1] > level else "below")
    assert told["fired"]["duringGap"] is True


async def test_two_servers_with_one_journal_tell_of_it_once(tmp_path: Path, market: Market) -> None:
    ahead = await market.prices(6)
    folder = tmp_path / "shared"
    async with open_house(folder, market.simulator) as first:
        made = data(
            await first.ask("stream_alert_create", symbol=SPOT, condition="price_above", value=max(ahead) - 0.05)
        )
        async with open_house(folder, market.simulator) as second:
            told = await until_fired(market, second, made["id"])
            [seen] = await market.alerts(first)
    assert told["firedCount"] == seen["firedCount"] == 1
    assert told["fired"] == seen["fired"]


async def test_a_server_that_only_reads_lists_alerts_and_makes_none(tmp_path: Path, market: Market) -> None:
    async with open_house(tmp_path / "reader", market.simulator, read_only=True) as house:
        names = {tool.name for tool in (await house.client.list_tools()).tools}
    assert names & {"stream_alert_create", "stream_alert_delete"} == set()
    assert names >= {"stream_watch", "stream_wait", "stream_list", "stream_alert_list"}


async def test_without_a_journal_nothing_is_promised(tmp_path: Path, market: Market) -> None:
    address = "postgresql://127.0.0.1:1/nothing"
    async with open_house(tmp_path / "none", market.simulator, journal_url=address) as house:
        refused = error(await house.ask("stream_alert_create", symbol=SPOT, condition="price_above", value=1))
        assert refused["code"] == "TAPS999"
        assert data(await house.ask("stream_watch", symbol=SPOT, channels=["book"], updates=1, seconds=20))


async def test_both_eras_make_alerts(tmp_path: Path, era: str) -> None:
    async with Simulator(tick=0.02, ip_limit=None) as simulator, open_house(tmp_path, simulator, era) as house:
        made = data(await house.ask("stream_alert_create", symbol=SPOT, condition="price_above", value=1))
        assert [row["id"] for row in rows(data(await house.ask("stream_alert_list", None))["alerts"])] == [made["id"]]


async def until_fired(market: Market, house: House, alert_id: str, *, moving: bool = True) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        return next(
            (row for row in await market.alerts(house) if row["id"] == alert_id and row.get("firedCount")), None
        )

    return await market.until(look, moving=moving)


async def the_fired_one(house: House) -> dict[str, Any]:
    """The only alert of a house, as soon as it has fired."""
    async with asyncio.timeout(PATIENCE):
        while True:
            [row] = rows(data(await house.ask("stream_alert_list", None))["alerts"])
            if row["state"] == "fired":
                return row
            await asyncio.sleep(0.05)


def watched(market: Market) -> Any:
    async def look() -> bool:
        return {"publicTrade.BTCUSDT", "tickers.BTCUSDT"} <= market.topics

    return look


async def test_an_order_s_end_is_told_once_and_cannot_repeat(lively: House) -> None:
    placed = await lively.resting()
    arguments = {"symbol": SPOT, "condition": "order_filled", "order_id": placed["id"]}
    refused = error(await lively.ask("stream_alert_create", **arguments, repeat=True))
    assert "repeat" in refused["message"]


@pytest.mark.parametrize("account", ["venue", "paper"])
async def test_an_order_that_ends_before_its_stream_is_up_is_told(lively: House, account: str) -> None:
    placed = await lively.resting(account=account)
    arguments = {"symbol": SPOT, "condition": "order_filled", "order_id": placed["id"], "account": account}
    made = await lively.ask("stream_alert_create", **arguments)
    assert made["metadata"]["account"] == account
    assert made["metadata"]["mode"] == {"venue": "simulated", "paper": "paper"}[account]
    await lively.ask("trade_cancel_order", order_id=placed["id"], account=account)
    row = await the_fired_one(lively)
    assert row["fired"]["orderEnded"] == "canceled"
