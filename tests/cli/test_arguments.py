"""Arguments as a person types them."""

from __future__ import annotations

from typing import Any

import pytest

from ccxt_mcp.cli.arguments import Mistyped, parse_arguments, type_of

SCHEMA: dict[str, Any] = {
    "properties": {
        "exchange": {"type": "string"},
        "symbol": {"type": "string"},
        "limit": {"type": "integer"},
        "within": {"type": "number"},
        "closed": {"type": "boolean"},
        "exchanges": {"type": "array", "items": {"type": "string"}},
        "filter": {"type": "object"},
        "since": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "sort": {"type": "string", "enum": ["volume", "change"]},
        "anything": {},
    }
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("exchange=kraken", "kraken"),
        ("exchange=null", "null"),
        ("symbol=BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("symbol=a=b", "a=b"),
        ("limit=20", 20),
        ("limit=-1", -1),
        ("limit=null", None),
        ("within=1", 1),
        ("within=0.5", 0.5),
        ("within=1e-3", 0.001),
        ("closed=false", False),
        ("closed=YES", True),
        ("exchanges=kraken, okx", ["kraken", "okx"]),
        ('exchanges=["kraken"]', ["kraken"]),
        ("exchanges=", []),
        ('filter={"a": 1}', {"a": 1}),
        ("since=2h ago", "2h ago"),
        ("since=1700000000000", 1_700_000_000_000),
        ("anything=as it is", "as it is"),
    ],
)
def test_a_word_becomes_what_the_schema_asks_for(word: str, value: Any):
    name = word.partition("=")[0]
    parsed = parse_arguments("tool", SCHEMA, [word])
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kraken"], "did you mean exchange=kraken?"),
        (["BTC/USD"], "did you mean symbol=BTC/USD?"),
        (["exchang=kraken"], "did you mean exchange?"),
        (["zzz=1"], "it takes exchange, symbol"),
        (["limit=many"], "limit is 'many'; write a whole number."),
        (["limit=1.5"], "write a whole number"),
        (["within=wide"], "write a number"),
        (["closed=perhaps"], "write true or false"),
        (["exchanges=[kraken"], "a JSON array"),
        (["filter=[1]"], "a JSON object"),
        (["limit=1", "limit=2"], "limit is given twice"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(words: list[str], said: str):
    with pytest.raises(Mistyped) as slip:
        parse_arguments("tool", SCHEMA, words)
    assert said in str(slip.value)


def test_what_is_missing_is_named_with_a_command_to_type():
    with pytest.raises(Mistyped, match=r"needs exchange and symbol: ccxt-mcp call market_ticker exchange=… symbol=…"):
        parse_arguments("market_ticker", SCHEMA | {"required": ["exchange", "symbol"]}, [])


def test_a_tool_without_arguments_says_so():
    with pytest.raises(Mistyped, match="it takes none"):
        parse_arguments("system_health", {"properties": {}}, ["exchange=kraken"])


def test_types_are_told_in_words():
    types = {name: type_of(schema) for name, schema in SCHEMA["properties"].items()}
    assert types["sort"] == "volume | change"
    assert types["exchanges"] == "list of strings"
    assert types["since"] == "string or integer"
    assert types["anything"] == "any"
