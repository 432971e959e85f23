"""A server that is killed in the middle of a change or a cancel holds its account only until the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kill.servers import VENUE, Place, Server, at_place, running, until

_CHANGES = ("trade_modify_order", "trade_cancel_order", "trade_cancel_all")


async def below(place: Place, share: float) -> float:
    """A price so far below the market that nothing is traded there."""
    tickers = await place.get("/v5/market/tickers", {"category": "spot", "symbol": "BTCUSDT"})
    return round(float(tickers["result"]["list"][0]["lastPrice"]) * (1 - share), 1)


async def resting(place: Place, name: str) -> dict[str, Any]:
    price = await below(place, 0.1)
    shape = {"symbol": "BTC/USDT", "side": "buy", "type": "limit", "amount": 0.001, "price": price}
    return shape | {"client_order_id": name}


async def place_in(server: Server, order: dict[str, Any]) -> None:
    answer = await server.place(order)
    assert answer is not None
    assert answer["success"], answer


async def is_free(server: Server) -> bool:
    async def none() -> bool:
        return await server.unresolved() == []

    return await until(none)


async def test_what_is_killed_after_it_was_done_is_found_to_be_done(tmp_path: Path):
    dying = {"KILL_STEP": "before the outcome", "KILL_TURN": "2"}
    async with at_place(tmp_path) as place:
        moved = await below(place, 0.12)
        for tool in _CHANGES:
            async with running(place, **dying) as server:
                assert await is_free(server)
                await place_in(server, await resting(place, tool))
                named: dict[str, Any] = {} if tool == "trade_cancel_all" else {"client_order_id": tool}
                change = {"price": moved} if tool == "trade_modify_order" else {}
                assert await server.call(tool, exchange=VENUE, **named, **change) is None
        async with running(place) as server:
            assert await is_free(server)
            await place_in(server, await resting(place, "after"))
        truth = {order["orderLinkId"]: order for order in (await place.truth())["orders"]}
        async with place.journal() as journal:
            recorded = {intent.kind: intent.state for intent in await journal.recent()}
            assert (await journal.verify()).first_bad is None
        assert float(truth["trade_modify_order"]["price"]) == moved
        assert {truth[tool]["orderStatus"] for tool in _CHANGES} == {"Cancelled"}
        assert recorded == dict.fromkeys(("create", "modify", "cancel", "cancel_all"), "accepted")
