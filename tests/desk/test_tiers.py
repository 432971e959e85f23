"""Tiers: what the operator does not allow is neither shown nor done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Settings
from ccxt_mcp.simulator import Simulator
from ccxt_mcp.tools import tool_catalogue
from desk.house import SPOT, data, error, open_house, order
from desk.people import Person
from desk.real import ACCOUNT, EXCHANGE, SYMBOL, live_house

READS = {
    "trade_fetch_order", "trade_fetch_orders", "account_balance", "account_positions", "account_trades", "account_fees",
    "account_limits", "account_orders_unknown", "system_audit",
}  # fmt: skip
WRITES = {
    "trade_create_order", "trade_modify_order", "trade_cancel_order", "trade_cancel_all", "trade_set_leverage",
}  # fmt: skip


async def listed(era: str, **settings: Any) -> set[str]:
    """The private tools that a client sees."""
    server = build_server(Settings.model_validate({"toolsets": ("all",), **settings}))
    async with Client(server, mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    return names & (READS | WRITES)


@pytest.mark.parametrize(
    ("allow", "seen"),
    [("public", set[str]()), ("account", READS), ("paper", READS | WRITES), ("trade", READS | WRITES)],
)
async def test_tools_above_what_is_allowed_are_not_listed(tmp_path: Path, era: str, allow: str, seen: set[str]) -> None:
    assert await listed(era, allow=allow, cache_dir=tmp_path, data_dir=tmp_path) == seen


async def test_a_server_that_only_reads_lists_no_tool_that_writes(tmp_path: Path, era: str) -> None:
    assert await listed(era, read_only=True, cache_dir=tmp_path, data_dir=tmp_path) == READS


def test_all_private_tools_are_known_here() -> None:
    private = {name for name, spec in tool_catalogue().items() if spec.tier != "public"}
    assert private == READS | WRITES


@pytest.mark.parametrize("name", sorted(READS | WRITES))
def test_annotations_tell_what_a_tool_does(name: str) -> None:
    told = tool_catalogue()[name].annotations
    assert told.read_only_hint is (name in READS)
    assert told.destructive_hint is (name in WRITES)
    assert told.idempotent_hint is (name not in {"trade_create_order", "trade_modify_order"})
    assert told.open_world_hint is (name not in {"account_orders_unknown", "system_audit"})


async def test_a_hidden_tool_cannot_be_called(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, allow="account") as house:
        called = await house.client.call_tool("trade_create_order", {"exchange": "venue", **order()})
        assert called.is_error
        assert data(await house.ask("account_balance"))["value"] > 0
        assert await house.truth() == []


async def test_play_money_needs_less_than_real_money(tmp_path: Path) -> None:
    person = Person()
    async with live_house(tmp_path, allow="paper", asked=person) as (house, kraken):
        small = order(symbol=SYMBOL, amount=0.01)
        refused = error(await house.ask("trade_create_order", EXCHANGE, account=ACCOUNT, **small))
        assert (refused["code"], refused["reason"]) == ("TAPS010", "tier_not_allowed")
        assert "--allow trade" in refused["message"]
        assert not kraken.asked  # not even which markets there are
        for tool, arguments in (
            ("trade_cancel_order", {"order_id": "O1"}),
            ("trade_cancel_all", {}),
            ("trade_modify_order", {"order_id": "O1", "amount": 1}),
            ("trade_create_order", {**small, "dry_run": True}),
        ):
            answer = await house.ask(tool, EXCHANGE, account=ACCOUNT, **arguments)
            assert error(answer)["reason"] == "tier_not_allowed", tool
        assert (person.asked, kraken.asked["AddOrder"], kraken.asked["CancelOrder"]) == ([], 0, 0)
        assert data(await house.ask("trade_create_order", EXCHANGE, **small))["filled"] == 0.01
        assert data(await house.ask("account_balance", EXCHANGE, account=ACCOUNT))["value"] == 500_000


async def test_an_order_is_not_placed_without_a_word_from_the_operator(tmp_path: Path, simulator: Simulator) -> None:
    async with open_house(tmp_path, simulator, allow="public") as house:
        assert data(await house.ask("market_ticker", symbol=SPOT))["last"] > 0
        for tool in sorted(READS | WRITES):
            assert (await house.client.call_tool(tool, {"exchange": "venue"})).is_error
