"""stream_watch, stream_wait and stream_list, through a real client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ccxt_mcp.simulator import Fault, Simulator
from desk.house import PATIENCE, SPOT, SWAP, House, data, error, open_house, rows
from watching.market import Market, watched


@pytest.fixture
def market(open_market_house: Market) -> Market:
    return open_market_house


# -- stream_watch ------------------------------------------------------------------------------------------------------


async def test_it_ends_after_so_many_updates_and_sums_up_what_it_saw(market: Market) -> None:
    async with market.moving():
        seen = await market.told("stream_watch", channels=["trades"], updates=5, seconds=60, limit=3)
    assert seen["ended"] == "updates"
    [stream] = watched(seen)
    assert (stream["exchange"], stream["channel"], stream["symbol"]) == ("venue", "trades", SPOT)
    assert (stream["state"], stream["source"], stream["updates"], stream["gaps"]) == ("live", "stream", 5, 0)
    assert (
        stream["low"] <= min(stream["first"], stream["last"]) <= max(stream["first"], stream["last"]) <= stream["high"]
    )
    assert stream["volume"] == pytest.approx(stream["buyVolume"] + stream["sellVolume"])
    assert len(stream["latest"]) == 3
    assert stream["latest"][-1]["price"] == stream["last"]


async def test_it_ends_after_its_time_when_nothing_happens(market: Market) -> None:
    seen = await market.told("stream_watch", channels=["trades", "candles"], seconds=0.3)
    assert seen["ended"] == "time"
    assert [stream["updates"] for stream in watched(seen) if stream["channel"] == "trades"] == [0]


async def test_it_ends_when_a_condition_is_met(market: Market) -> None:
    ahead = await market.prices(5)
    level = max(ahead)
    async with market.moving():
        seen = await market.told(
            "stream_watch", channels=["book"], condition="price_above", value=level - 0.05, seconds=60
        )
    assert seen["ended"] == "condition"
    assert seen["met"]["price"] >= level - 0.05
    assert [stream["channel"] for stream in watched(seen)] == ["book"]  # trades were watched, but not asked for


async def test_it_watches_several_markets_and_exchanges_and_says_which_one_fails(market: Market) -> None:
    async with market.moving():
        seen = await market.told(
            "stream_watch", symbols=[SWAP], exchanges=["nowhere"], channels=["ticker", "book"], updates=12, seconds=30
        )
    told = {(stream["channel"], stream["symbol"]) for stream in watched(seen)}
    assert told == {(channel, symbol) for channel in ("ticker", "book") for symbol in (SPOT, SWAP)}
    failed = rows(seen["failed"])
    assert {(row["exchange"], row["code"]) for row in failed} == {("nowhere", "TAPS001")}
    assert len(failed) == 4


async def test_the_client_is_told_how_far_it_is(market: Market) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    arguments = {"exchange": "venue", "symbol": SPOT, "channels": ["book"], "seconds": 2.5}
    await market.house.client.call_tool("stream_watch", arguments, progress_callback=hear)
    assert [total for _, total, _ in told] == [2.5] * len(told)
    assert len(told) >= 2
    assert "updates" in (told[0][2] or "")


async def test_what_broke_meanwhile_is_told(market: Market) -> None:
    async def disturb() -> None:
        await market.until(subscribed(market, "orderbook.200.BTCUSDT"))
        await market.go_on()
        market.simulator.faults.set(Fault("close", path="/v5/public/spot/orderbook", times=1))
        await market.go_on()
        await market.until(subscribed(market, "orderbook.200.BTCUSDT"))
        await market.go_on()

    disturbing = asyncio.create_task(disturb())
    seen = await market.told("stream_watch", channels=["book"], updates=4, seconds=15)
    await disturbing
    [stream] = watched(seen)
    assert (stream["gaps"], stream["state"]) == (1, "live")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"symbol": None}, "TAPS005", "symbol is missing"),
        ({"symbol": "NO/SUCH"}, "TAPS011", "NO/SUCH"),
        ({"channels": ["nonsense"]}, "TAPS005", "channels"),
        ({"channels": ["candles"], "timeframe": "7m"}, "TAPS005", "timeframe"),
        ({"symbols": [f"A{number}/USDT" for number in range(40)]}, "TAPS103", "41 streams"),
        ({"condition": "price_above"}, "TAPS005", "value is missing"),
        ({"condition": "spread_below", "value": -1}, "TAPS005", "value"),
        ({"seconds": 0}, "TAPS005", "seconds"),
        ({"account": "nobody", "channels": ["orders"]}, "TAPS005", "nobody"),
    ],
)
async def test_what_makes_no_sense_is_refused_at_once(
    market: Market, arguments: dict[str, Any], code: str, words: str
) -> None:
    refused = error(await market.ask("stream_watch", **arguments))
    assert refused["code"] == code
    assert words in refused["message"]
    assert await market.streams() == []


async def test_an_account_is_watched_with_its_state_first(lively: House) -> None:
    channels = ["balance", "orders", "positions"]
    seen = data(await lively.ask("stream_watch", channels=channels, seconds=0.5))
    by_channel = {stream["channel"]: stream for stream in watched(seen)}
    assert {stream["account"] for stream in watched(seen)} == {"venue"}
    assert {row["currency"] for row in by_channel["balance"]["latest"]} >= {"USDT", "BTC"}
    assert by_channel["positions"]["updates"] == 1


async def test_a_paper_account_is_asked_now_and_again_and_says_so(market: Market) -> None:
    seen = await market.told("stream_watch", symbol=None, account="paper", channels=["balance"], seconds=0.5)
    [stream] = watched(seen)
    assert stream["source"].startswith("asked every 5 s")
    assert stream["updates"] == 1


async def test_what_a_condition_needs_is_watched_beside_and_not_counted(market: Market) -> None:
    async with market.moving():
        seen = await market.told(
            "stream_watch", channels=["book", "trades"], updates=9, seconds=60, condition="price_above", value=10**7
        )
    assert seen["ended"] == "updates"
    assert [stream["channel"] for stream in watched(seen)] == ["book", "trades"]
    assert sum(stream["updates"] for stream in watched(seen)) == 9


async def test_an_account_names_the_environment_of_public_data_too(market: Market) -> None:
    refused = error(await market.ask("stream_watch", account="nobody", channels=["book"], seconds=0.2))
    assert "nobody" in refused["message"]


async def test_a_market_that_cannot_be_opened_says_why(market: Market) -> None:
    market.simulator.faults.set(Fault("503", path="/v5/public/spot"))
    seen = await market.told("stream_watch", channels=["book"], seconds=1)
    [stream] = watched(seen)
    assert (stream["state"], stream["updates"]) == ("opening", 0)
    assert "503" in stream["trouble"]
    waited = await market.told("stream_wait", condition="price_above", value=1, seconds=1)
    assert waited["met"] is False
    assert "503" in waited["trouble"]


async def test_what_an_operator_does_not_allow_is_not_watched(tmp_path: Path, market: Market) -> None:
    async with open_house(tmp_path / "public", market.simulator, allow="public") as house:
        assert data(await house.ask("stream_watch", symbol=SPOT, channels=["book"], seconds=0.2))
        refused = error(await house.ask("stream_watch", channels=["balance"], seconds=0.2))
        assert refused["code"] == "TAPS010"


async def test_an_account_that_is_rejected_is_told_as_a_failure(tmp_path: Path, market: Market) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('api_key = "a-wrong-key-of-mine"\nsecret = "a-wrong-secret-of-mine"\n')
    keys.chmod(0o600)
    bad = {"exchange": "venue", "mode": "simulated", "credentials": f"file:{keys}"}
    async with open_house(tmp_path / "bad", market.simulator, accounts={"bad": bad}) as house:
        for channels in (["orders", "balance"], ["positions"]):
            answer = await house.ask("stream_watch", account="bad", seconds=20, channels=channels)
            assert error(answer)["code"] == "TAPS002"
            assert "of-mine" not in str(answer)
        both = data(await house.ask("stream_watch", account="bad", symbol=SPOT, channels=["book", "orders"], seconds=1))
        assert [row["channel"] for row in rows(both["failed"])] == ["orders"]
        waiting: dict[str, Any] = {"symbol": SWAP, "condition": "liquidation_within", "value": 5, "seconds": 600}
        assert error(await house.ask("stream_wait", account="bad", **waiting))["code"] == "TAPS002"


# -- stream_wait -------------------------------------------------------------------------------------------------------


async def test_it_returns_as_soon_as_the_condition_holds(market: Market) -> None:
    level = await market.price()
    async with market.moving():
        seen = await market.told("stream_wait", condition="price_crosses", value=level - 0.05, seconds=60)
    assert seen["met"] is True
    assert seen["seen"]["side"] in {"above", "below"}
    assert seen["condition"].startswith(f"{SPOT} crosses ")


async def test_its_end_says_how_far_it_was(market: Market) -> None:
    async with market.moving():
        seen = await market.told("stream_wait", condition="price_above", value=10_000_000, seconds=1)
    assert seen["met"] is False
    assert seen["seen"]["distancePct"] > 100
    assert seen["seen"]["price"] > 0


async def wait_for_fill(house: House, order_id: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"symbol": SPOT, "condition": "order_filled", "order_id": order_id, "seconds": 60}
    return data(await house.ask("stream_wait", **arguments))


async def test_an_order_that_is_filled_already_is_not_waited_for(lively: House) -> None:
    placed = data(await lively.order())
    for name in ("id", "clientOrderId"):
        seen = await wait_for_fill(lively, placed[name])
        assert (seen["met"], seen["seen"]["filled"]) == (True, placed["filled"])


async def test_an_order_that_is_filled_later_ends_the_waiting(lively: House) -> None:
    bid, ask = await lively.touch()
    below = data(await lively.order(price=round(bid - 1, 1)))
    above = data(await lively.order("sell", price=round(ask + 1, 1)))
    waits = [asyncio.create_task(wait_for_fill(lively, placed["id"])) for placed in (below, above)]
    done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)  # wherever the market goes
    for other in others:
        other.cancel()
    seen = done.pop().result()
    assert (seen["met"], seen["seen"]["status"]) == (True, "closed")


async def test_an_order_that_is_canceled_is_not_waited_for_any_longer(lively: House) -> None:
    placed = await lively.resting()
    waiting = asyncio.create_task(wait_for_fill(lively, placed["id"]))
    await asyncio.sleep(0.3)
    await lively.ask("trade_cancel_order", order_id=placed["id"])
    seen = await asyncio.wait_for(waiting, PATIENCE)
    assert (seen["met"], seen["orderEnded"]) == (False, "canceled")


async def test_a_position_s_distance_to_its_liquidation_is_waited_for(lively: House) -> None:
    data(await lively.ask("trade_set_leverage", symbol=SWAP, leverage=20))
    data(await lively.order(amount=0.01, symbol=SWAP))
    waiting: dict[str, Any] = {"symbol": SWAP, "condition": "liquidation_within"}
    near = await lively.ask("stream_wait", **waiting, value=50, seconds=30)
    assert (near["metadata"]["account"], near["data"]["met"]) == ("venue", True)
    assert near["data"]["seen"]["side"] == "long"
    assert 1 < near["data"]["seen"]["distancePct"] < 10
    far = data(await lively.ask("stream_wait", **waiting, value=0.01, seconds=0.5))
    assert (far["met"], far["seen"]["liquidationPrice"]) == (False, near["data"]["seen"]["liquidationPrice"])


async def test_without_a_position_nothing_is_near(lively: House) -> None:
    waiting: dict[str, Any] = {"symbol": SWAP, "condition": "liquidation_within", "value": 50, "seconds": 0.5}
    for account, mode in (("venue", "simulated"), ("paper", "paper")):
        answer = await lively.ask("stream_wait", **waiting, account=account)
        assert answer["data"]["met"] is False
        assert (answer["metadata"]["account"], answer["metadata"]["mode"]) == (account, mode)


async def test_a_change_in_a_window_is_waited_for(market: Market) -> None:
    async with market.moving():
        seen = await market.told("stream_wait", condition="change_over", value=0.01, window=3600, seconds=60)
    assert seen["met"] is True
    assert abs(seen["seen"]["changePct"]) >= 0.01


async def test_watching_ends_with_the_order_too(lively: House) -> None:
    placed = await lively.resting()
    wanted: dict[str, Any] = {"symbol": SPOT, "channels": ["orders"], "condition": "order_filled", "seconds": 60}
    watching = asyncio.create_task(lively.ask("stream_watch", **wanted, order_id=placed["id"]))
    await asyncio.sleep(0.5)
    await lively.ask("trade_cancel_order", order_id=placed["id"])
    seen = data(await asyncio.wait_for(watching, PATIENCE))
    assert (seen["ended"], seen["orderEnded"]) == ("condition", "canceled")


async def test_a_market_named_twice_is_one_stream(market: Market) -> None:
    seen = await market.watch(channels=["book"], symbols=["BTC-USDT", "btc/usdt"], seconds=0.5)
    assert [(stream["symbol"], stream["updates"]) for stream in seen] == [(SPOT, 1)]


async def test_an_order_that_nobody_knows_is_told_at_once(lively: House) -> None:
    arguments: dict[str, Any] = {"symbol": SPOT, "condition": "order_filled", "order_id": "0815", "seconds": 60}
    assert error(await lively.ask("stream_wait", **arguments))["code"] == "TAPS009"


async def test_a_caller_who_gives_up_leaves_no_reader_behind(market: Market) -> None:
    arguments = {"exchange": "venue", "symbol": SPOT, "condition": "price_above", "value": 10**8, "seconds": 600}
    waiting = asyncio.create_task(market.house.client.call_tool("stream_wait", arguments))

    async def read() -> bool:
        asked_for = ("trades", "ticker")  # the book completes tickers, for as long as there are any
        return any(stream["readers"] for stream in await market.streams() if stream["channel"] in asked_for)

    async def unread() -> bool:
        return not await read()

    await market.until(read)
    waiting.cancel()
    await asyncio.wait({waiting})
    await market.until(unread)


# -- stream_list -------------------------------------------------------------------------------------------------------


async def test_open_streams_are_listed_with_how_they_are(market: Market) -> None:
    assert await market.streams() == []
    await market.told("stream_watch", channels=["book"], seconds=0.3)
    [stream] = await market.streams()
    assert (stream["exchange"], stream["mode"], stream["channel"]) == ("venue", "simulated", "book")
    assert (stream["state"], stream["source"], stream["readers"], stream["breaks"]) == ("live", "stream", 0, 0)
    assert stream["updates"] >= 1


async def test_a_watched_market_costs_no_requests(market: Market) -> None:
    watching = asyncio.create_task(market.told("stream_watch", channels=["ticker"], seconds=3))
    await market.until(subscribed(market, "orderbook.200.BTCUSDT"))  # for the bid and ask of the ticker
    await market.go_on()
    await market.until(lambda: answered_at_hand(market))
    before = market.asked
    answer = await market.ask("market_ticker")
    assert answer["metadata"]["cached"] is True
    assert answer["data"]["bid"] < answer["data"]["ask"]
    assert (await market.ask("market_orderbook"))["metadata"]["cached"] is True
    assert market.asked == before
    await watching


async def answered_at_hand(market: Market) -> bool:
    before = market.asked
    await market.ask("market_ticker")
    return market.asked == before


def subscribed(market: Market, topic: str) -> Any:
    async def look() -> bool:
        return topic in market.topics

    return look


async def test_both_eras_watch(tmp_path: Path, era: str) -> None:
    async with Simulator(tick=0.02, ip_limit=None) as simulator, open_house(tmp_path, simulator, era) as house:
        seen = data(await house.ask("stream_watch", symbol=SPOT, channels=["book"], updates=3, seconds=20))
        assert (seen["ended"], watched(seen)[0]["updates"]) == ("updates", 3)
        waited = data(await house.ask("stream_wait", symbol=SPOT, condition="spread_below", value=1000, seconds=20))
        assert waited["met"] is True
