"""The human behind a client: who asks, how it is told, and what a client can make of the question."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import ErrorData, Implementation

from ccxt_mcp.journal import Journal
from ccxt_mcp.server import build_server
from ccxt_mcp.simulator import Simulator
from desk.house import House, data, error, open_house, order, rows, settings_for
from desk.people import Person

UNASKED = {"confirm_above": 50_000}  # US dollars; what is worth more is asked about


async def test_the_client_is_named_in_the_audit_without_strange_characters(tmp_path: Path, era: str) -> None:
    strange = Implementation(name="evil\u202e\x1b[31m client" + "x" * 100, version="1")
    async with Simulator(ip_limit=None, key_limit=None) as simulator:
        settings = settings_for(tmp_path, simulator.url)
        async with Client(build_server(settings), mode=era, client_info=strange) as client:
            house = House(client, simulator, settings)
            data(await house.order(amount=0.001))
            told = {row["who"] for row in rows(data(await house.ask("system_audit", None))["audit"])}
    (who,) = told
    assert who.startswith("evil")
    assert who.isprintable()
    assert len(who) <= 60


async def test_the_audit_tells_how_a_human_was_asked(tmp_path: Path, era: str) -> None:
    async with Simulator(ip_limit=None, key_limit=None) as simulator:
        asked = Person()
        async with open_house(tmp_path, simulator, era, asked=asked, limits=UNASKED) as house:
            data(await house.order(amount=0.6))
            async with Journal(house.settings.data_dir / "journal.sqlite3") as journal:
                (approved,) = (await journal.read(event="approved")).rows
    assert approved.facts["how"] == f"asked by {approved.who}"
    assert len(asked.asked) == 1


async def test_a_slow_human_does_not_use_up_the_calls_time(tmp_path: Path, era: str) -> None:
    async with Simulator(ip_limit=None, key_limit=None) as simulator:
        person = Person()
        async with open_house(tmp_path, simulator, era, asked=person, limits=UNASKED, deadline=0.6) as house:
            data(await house.order(amount=0.001))

            async def think() -> None:
                begun = time.monotonic()
                while time.monotonic() < begun + 1.0:
                    data(await house.ask("system_health", None))

            person.meanwhile = think
            assert data(await house.order(amount=0.6))["filled"] == 0.6


async def test_a_client_that_fails_to_ask_places_nothing(tmp_path: Path, era: str) -> None:
    async def broken(_context: Any, _params: Any) -> ErrorData:
        return ErrorData(code=-32_000, message="no human here")

    async with (
        Simulator(ip_limit=None, key_limit=None) as simulator,
        open_house(tmp_path, simulator, era, asked=broken, limits=UNASKED) as house,
    ):
        data(await house.order(amount=0.001))
        with pytest.raises(MCPError, match="no human here"):
            await house.client.call_tool("trade_create_order", {"exchange": "venue", **order(amount=0.6)})
        assert len(await house.truth()) == 1
        assert [intent.state for intent in await house.intents()] == ["accepted"]


async def test_a_client_without_a_way_to_its_human_is_not_asked(tmp_path: Path, era: str) -> None:
    async with (
        Simulator(ip_limit=None, key_limit=None) as simulator,
        open_house(tmp_path, simulator, era, limits=UNASKED) as house,
    ):
        refused = error(await house.order(amount=0.6))
    assert (refused["code"], refused["reason"]) == ("TAPS102", "confirmation_required")
    assert refused["details"]["expires"] > 0


async def test_two_programs_ask_for_themselves(tmp_path: Path) -> None:
    """The ticket that one program asked for is not shown to another one, but what a human approved counts for both."""
    async with Simulator(ip_limit=None, key_limit=None) as simulator:
        settings = settings_for(tmp_path, simulator.url, limits=UNASKED)
        tickets: list[str] = []
        for name in ("one", "two"):
            async with Client(build_server(settings), client_info=Implementation(name=name, version="1")) as client:
                refused = error(await House(client, simulator, settings).order(amount=0.6))
                tickets.append(refused["details"]["ticket"])
    assert tickets[0] != tickets[1]
