"""What every client meets, in both eras of the protocol: the server's words, its tools, resources and prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
    Tool,
)

from ccxt_mcp import __version__
from ccxt_mcp.server import build_server
from ccxt_mcp.tools import tool_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.mcpserver import MCPServer

    from ccxt_mcp.settings import Settings

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS" in os.environ
STANDARD_WORDS = {
    "side", "type", "amount", "unit", "price", "time_in_force", "post_only", "reduce_only", "trigger_price",
    "take_profit", "stop_loss", "trailing", "leverage", "client_order_id", "order_id", "status", "dry_run",
    "exchange", "exchanges", "symbol", "symbols", "timeframe", "limit", "since", "until", "query", "account", "cursor",
    "fields",
}  # fmt: skip
OTHER_WORDS = {
    "active", "base", "capability", "closed", "country", "quote", "sort", "testnet", "within", "margin_mode",
    "channels", "seconds", "updates", "condition", "value", "window", "note", "repeat", "expires", "alert_id",
}  # fmt: skip
TEMPLATES = {
    "ccxt://{exchange}/markets", "ccxt://{exchange}/{+symbol}/ticker", "ccxt://{exchange}/{+symbol}/book",
    "ccxt://{exchange}/{+symbol}/trades", "ccxt://{exchange}/{+symbol}/candles/{timeframe}",
    "ccxt://account/{account}/orders", "ccxt://account/{account}/balance", "ccxt://account/{account}/positions",
}  # fmt: skip
STRANGE = "kra\u202e\u200b\u2066\x1b[31mken"
SECRET = "sk-live-51HG7aVbQ"


@pytest.fixture
def server(settings: Settings) -> MCPServer[Any]:
    return build_server(settings)


@pytest.fixture
def every_tool(settings: Settings) -> MCPServer[Any]:
    return build_server(settings.model_copy(update={"toolsets": ("all",)}))


async def listed(server: MCPServer[Any], era: str) -> list[Tool]:
    async with Client(server, mode=era) as client:
        return (await client.list_tools()).tools


def as_json(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Each schema within a schema; names of properties are not schemas."""
    if isinstance(schema, list):
        for item in schema:
            yield from nodes(item)
    elif isinstance(schema, dict):
        yield schema
        for name, item in schema.items():
            yield from nodes(list(item.values()) if name in ("properties", "$defs") else item)


def said(result: CallToolResult) -> str:
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


def error_of(result: CallToolResult) -> dict[str, Any]:
    """The error of a failed call, which must be the same in both channels."""
    assert result.is_error is True
    assert result.structured_content is not None
    assert json.loads(said(result)) == result.structured_content
    return result.structured_content["error"]


# -- the server's words ------------------------------------------------------------------------------------------------


async def test_the_server_introduces_itself_in_under_150_words(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        assert client.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[era]
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("ccxt-mcp", __version__)
        assert client.instructions is not None
        assert 50 < len(client.instructions.split()) < 150
        for needed in ("simulator", "retryAfterMs", "--toolsets", "Off:"):
            assert needed in client.instructions
        capabilities = client.server_capabilities
        for offered in (capabilities.tools, capabilities.resources, capabilities.prompts, capabilities.completions):
            assert offered is not None


# -- the tools ---------------------------------------------------------------------------------------------------------


async def test_the_tools_fit_into_20_kilobytes_and_are_at_most_25(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        answer = await client.list_tools()
    text = json.dumps(answer.model_dump(mode="json", by_alias=True, exclude_none=True), separators=(",", ":"))
    assert len(text.encode()) < 20_000
    assert 14 <= len(answer.tools) <= 25
    assert answer.next_cursor is None


async def test_both_eras_see_the_same_tools_in_the_same_order(every_tool: MCPServer[Any]) -> None:
    modern, legacy = [await listed(every_tool, era) for era in ("auto", "legacy")]
    assert [as_json(tool) for tool in modern] == [as_json(tool) for tool in legacy]


async def test_every_tool_has_a_title_all_four_annotations_and_one_short_sentence(every_tool: MCPServer[Any]) -> None:
    for tool in await listed(every_tool, "auto"):
        assert tool.title, tool.name
        assert tool.description, tool.name
        assert len(tool.description.split()) <= 25, tool.description
        notes = tool.annotations
        assert notes is not None, tool.name
        hints = (notes.read_only_hint, notes.destructive_hint, notes.idempotent_hint, notes.open_world_hint)
        assert None not in hints, tool.name


async def test_every_schema_is_compact_and_describes_each_argument(every_tool: MCPServer[Any]) -> None:
    for tool in await listed(every_tool, "auto"):
        assert not any("title" in node for node in nodes([tool.input_schema, tool.output_schema])), tool.name
        assert len(json.dumps(tool.output_schema)) < 400, tool.name
        for name, schema in tool.input_schema.get("properties", {}).items():
            assert schema.get("description"), f"{tool.name}.{name}"
            assert len(schema["description"].split()) <= 15, f"{tool.name}.{name}"


async def test_arguments_are_named_with_the_words_of_the_standard_and_mean_one_thing(
    every_tool: MCPServer[Any],
) -> None:
    types: dict[str, set[str]] = {}
    for tool in await listed(every_tool, "auto"):
        for name, schema in tool.input_schema.get("properties", {}).items():
            told = {option["type"] for option in schema.get("anyOf", [schema])}
            types.setdefault(name, set()).add(" or ".join(sorted(told)))
    assert set(types) <= STANDARD_WORDS | OTHER_WORDS
    assert set(types) >= OTHER_WORDS
    assert {name: told for name, told in types.items() if len(told) > 1} == {}


async def test_the_exchange_and_nothing_else_travels_in_a_header_too(every_tool: MCPServer[Any]) -> None:
    for tool in await listed(every_tool, "auto"):
        for name, schema in tool.input_schema.get("properties", {}).items():
            assert schema.get("x-mcp-header") == ("Exchange" if name == "exchange" else None), f"{tool.name}.{name}"


@pytest.mark.parametrize("name", sorted(tool_catalogue()))
async def test_each_tool_looks_to_clients_as_its_snapshot_says(every_tool: MCPServer[Any], name: str) -> None:
    tool = {tool.name: tool for tool in await listed(every_tool, "auto")}[name]
    text = json.dumps(as_json(tool), indent=2, ensure_ascii=False) + "\n"
    snapshot = SNAPSHOTS / f"{name}.json"
    if UPDATE:
        snapshot.write_text(text, encoding="utf-8")
    seen = snapshot.read_text(encoding="utf-8") if snapshot.exists() else ""
    assert seen == text, "README.md beside this file says how to update snapshots"


def test_every_snapshot_is_of_a_tool_that_exists() -> None:
    stale = [snapshot for snapshot in SNAPSHOTS.glob("*.json") if snapshot.stem not in tool_catalogue()]
    if UPDATE:
        for snapshot in stale:
            snapshot.unlink()
    assert [snapshot.name for snapshot in stale if snapshot.exists()] == []


# -- resources, prompts and completion ---------------------------------------------------------------------------------


async def test_the_resources_are_listed_and_hold_what_they_promise(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        assert {resource.uri for resource in resources} == {"ccxt://alerts", "ccxt://exchanges", "ccxt://health"}
        assert {template.uri_template for template in templates} == TEMPLATES
        assert {described.mime_type for described in [*resources, *templates]} == {"application/json"}
        markets = await read(client, "ccxt://simulator/markets")
        health = await read(client, "ccxt://health")
        exchanges = await read(client, "ccxt://exchanges")
    columns = markets["markets"]["columns"]
    assert "BTC/USDT" in [row[columns.index("symbol")] for row in markets["markets"]["rows"]]
    assert "simulator" in json.dumps(health)
    assert exchanges["opened"] == ["simulator"]
    assert exchanges["exchanges"]["total"] > 100


async def read(client: Client, uri: str) -> dict[str, Any]:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    envelope = json.loads(content.text)
    assert envelope["success"] is True
    return envelope["data"]


@pytest.mark.parametrize("uri", ["ccxt://nowhere", "ccxt://no-such-exchange/markets", "https://example.org/x"])
async def test_a_resource_that_does_not_exist_is_a_wrong_parameter(server: MCPServer[Any], era: str, uri: str) -> None:
    async with Client(server, mode=era) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    assert caught.value.error.code == INVALID_PARAMS
    assert caught.value.error.data == {"uri": uri}


async def test_the_prompts_are_listed_and_filled_in(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        prompts = (await client.list_prompts()).prompts
        assert {prompt.name for prompt in prompts} == {"market_brief", "best_venue"}
        for prompt in prompts:
            assert prompt.title
            assert prompt.description
            filled = await client.get_prompt(
                prompt.name, {argument.name: f"<{argument.name}>" for argument in prompt.arguments or []}
            )
            (message,) = filled.messages
            assert isinstance(message.content, TextContent)
            for argument in prompt.arguments or []:
                assert f"<{argument.name}>" in message.content.text


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("market_breif", {}, "Unknown prompt: market_breif"),
        ("market_brief", {"exchange": "kraken"}, "missing or unknown: symbol"),
        ("market_brief", {"exchange": "kraken", "symbol": "BTC/USD", "depth": "1"}, "missing or unknown: depth"),
    ],
    ids=["name", "missing", "unknown"],
)
async def test_a_prompt_asked_for_wrongly_is_a_wrong_parameter(
    server: MCPServer[Any], era: str, name: str, arguments: dict[str, str], told: str
) -> None:
    async with Client(server, mode=era) as client:
        with pytest.raises(MCPError) as caught:
            await client.get_prompt(name, arguments)
    assert caught.value.error.code == INVALID_PARAMS
    assert caught.value.error.message.endswith(told)


async def test_prompts_name_only_tools_that_exist(server: MCPServer[Any]) -> None:
    async with Client(server) as client:
        for prompt in (await client.list_prompts()).prompts:
            values = {argument.name: "x" for argument in prompt.arguments or []}
            (message,) = (await client.get_prompt(prompt.name, values)).messages
            assert isinstance(message.content, TextContent)
            words = message.content.text.replace(",", " ").replace(".", " ").split()
            named = {word for word in words if word.startswith(("exchange_", "market_", "analytics_", "system_"))}
            assert named
            assert named <= set(tool_catalogue())


async def test_exchanges_and_symbols_of_opened_exchanges_are_completed(server: MCPServer[Any], era: str) -> None:
    brief = PromptReference(name="market_brief")
    async with Client(server, mode=era) as client:
        for reference in (brief, ResourceTemplateReference(uri="ccxt://{exchange}/markets")):
            exchanges = await client.complete(reference, {"name": "exchange", "value": "Simu"})
            assert exchanges.completion.values == ["simulator"]
        every = (await client.complete(brief, {"name": "exchange", "value": ""})).completion
        assert len(every.values) == 100
        assert every.has_more is True
        assert every.total is not None
        assert every.total > 100
        closed = await client.complete(brief, {"name": "symbol", "value": "btc"}, {"exchange": "simulator"})
        assert closed.completion.values == []
        await client.call_tool("exchange_init", {"exchange": "simulator"})
        opened = await client.complete(brief, {"name": "symbol", "value": "btc/"}, {"exchange": "simulator"})
        assert "BTC/USDT" in opened.completion.values
        assert all(symbol.startswith("BTC/") for symbol in opened.completion.values)
        other = await client.complete(brief, {"name": "symbol", "value": "btc"}, {"exchange": "kraken"})
        assert other.completion.values == []


# -- wrong calls -------------------------------------------------------------------------------------------------------


async def test_a_tool_that_does_not_exist_is_a_failure_that_names_it(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        result = await client.call_tool("market_tikker", {})
    assert result.is_error is True
    assert said(result) == "Unknown tool: market_tikker"


async def test_an_unknown_argument_is_refused_with_the_nearest_name(server: MCPServer[Any], era: str) -> None:
    async with Client(server, mode=era) as client:
        result = await client.call_tool("market_ticker", {"exchange": "simulator", "symbl": "BTC/USDT"})
    error = error_of(result)
    assert (error["code"], error["reason"], error["retryable"]) == ("TAPS005", "invalid_argument", False)
    assert "symbl" in error["message"]
    assert error["hint"] == "Did you mean symbol?"


async def test_an_unknown_argument_that_resembles_nothing_is_answered_with_the_list(server: MCPServer[Any]) -> None:
    async with Client(server) as client:
        error = error_of(await client.call_tool("exchange_init", {"exchange": "simulator", "zzz": 1}))
        assert error["hint"] == "Arguments: exchange, account."
        error = error_of(await client.call_tool("system_health", {"zzz": 1}))
        assert error["hint"] == "Arguments: none."


@pytest.mark.parametrize(
    ("tool", "wrong", "field"),
    [
        ("market_ticker", {"exchange": "simulator"}, "symbol"),
        ("market_ticker", {"symbol": "BTC/USDT"}, "exchange"),
        ("market_ticker", {"exchange": 5, "symbol": "BTC/USDT"}, "exchange"),
        ("market_ticker", {"exchange": "simulator", "symbol": {"deep": SECRET}}, "symbol"),
        ("market_ticker", {"exchange": "simulator", "symbol": SECRET * 20}, "symbol"),
        ("market_trades", {"exchange": "simulator", "symbol": "BTC/USDT", "limit": SECRET}, "limit"),
        ("market_trades", {"exchange": "simulator", "symbol": "BTC/USDT", "limit": 0}, "limit"),
        ("market_tickers", {"exchange": "simulator", "symbols": SECRET}, "symbols"),
        ("market_tickers", {"exchange": "simulator", "sort": SECRET}, "sort"),
        ("market_orderbook", {"exchange": "simulator", "symbol": "BTC/USDT", "within": SECRET}, "within"),
        ("exchange_list", {"testnet": SECRET}, "testnet"),
    ],
)
async def test_a_wrong_type_is_refused_by_its_field_without_repeating_the_value(
    server: MCPServer[Any], era: str, tool: str, wrong: dict[str, Any], field: str
) -> None:
    async with Client(server, mode=era) as client:
        result = await client.call_tool(tool, wrong)
    error = error_of(result)
    assert (error["code"], error["reason"]) == ("TAPS005", "invalid_argument")
    assert error["message"].startswith(f"{field}: ")
    assert len(error["message"]) < 250
    for leaked in (SECRET, "input_value", "https://", "pydantic"):
        assert leaked not in said(result)


@pytest.mark.parametrize(
    "arguments",
    [
        {"exchange": "simulator", "symbol": "BTC/USDT", "apiKey": SECRET},
        {"exchange": "simulator", "symbol": "BTC/USDT", "secret": {"apiKey": SECRET}},
        {"exchange": "simulator", "symbol": "BTC/USDT", "params": [SECRET]},
        {"exchange": {"id": "simulator", "apiKey": SECRET}, "symbol": "BTC/USDT"},
        {"exchange": "simulator", "symbol": ["BTC/USDT", SECRET]},
        {"exchange": "simulator", "symbol": "BTC/USDT", "account": {"secret": SECRET}},
    ],
    ids=["unknown", "unknown-object", "unknown-list", "exchange", "symbol", "account"],
)
async def test_a_secret_in_the_wrong_place_is_never_repeated(
    server: MCPServer[Any], era: str, arguments: dict[str, Any]
) -> None:
    async with Client(server, mode=era) as client:
        result = await client.call_tool("market_ticker", arguments)
    assert error_of(result)["code"] == "TAPS005"
    assert SECRET not in said(result)


@pytest.mark.parametrize("word", [STRANGE, "z" * 60], ids=["invisible", "long"])
@pytest.mark.parametrize(
    ("tool", "field", "others"),
    [
        ("market_ticker", "exchange", {"symbol": "BTC/USDT"}),
        ("market_ticker", "symbol", {"exchange": "simulator"}),
        ("market_ticker", "account", {"exchange": "simulator", "symbol": "BTC/USDT"}),
        ("market_ticker", "fields", {"exchange": "simulator", "symbol": "BTC/USDT"}),
        ("market_tickers", "symbols", {"exchange": "simulator"}),
        ("market_ohlcv", "since", {"exchange": "simulator", "symbol": "BTC/USDT"}),
        ("market_symbols", "exchanges", {"query": "btc"}),
        ("analytics_compare_prices", "exchanges", {"symbol": "BTC/USDT"}),
        ("analytics_compare_prices", "symbol", {"exchanges": ["simulator"]}),
        ("exchange_list", "capability", {}),
        ("exchange_list", "cursor", {}),
    ],
)
async def test_what_a_failure_repeats_of_a_callers_words_is_short_and_visible(
    server: MCPServer[Any], tool: str, field: str, others: dict[str, Any], word: str
) -> None:
    given = [word] if field in ("fields", "symbols", "exchanges") else word
    async with Client(server) as client:
        result = await client.call_tool(tool, {**others, field: given})
    error_of(result)
    assert not any(character in json.dumps(result.structured_content, ensure_ascii=False) for character in STRANGE[3:6])
    assert "\\u001b" not in json.dumps(result.structured_content)
    assert "z" * 41 not in said(result)
