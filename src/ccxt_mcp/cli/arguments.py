"""A tool's arguments as a person types them: `key=value` words, typed by the tool's own schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list: one,two,three or a JSON array",
    "object": "a JSON object",
}


class Mistyped(Exception):  # noqa: N818 - a person's slip, not an error of ours
    """Words that are no arguments of the tool; its text says what to type instead."""


def parse_arguments(tool: str, schema: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that `key=value` words mean to a tool.

    Texts are taken as they are; numbers, booleans, JSON arrays and objects, and comma lists as the schema asks;
    `null` stands for nothing wherever no text is expected.

    Args:
        tool: the tool's name, for messages.
        schema: its input schema.
        words: what was typed.

    Raises:
        Mistyped: a word without "=", an unknown key, a key twice, a value of another type, or a missing key.
    """
    properties: Mapping[str, Any] = schema.get("properties") or {}
    arguments: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise Mistyped(f"{word!r} is no key=value{_positional_hint(properties, word)}")
        if name not in properties:
            raise Mistyped(f"{name!r} is no argument of {tool}; {_nearest(name, properties)}")
        if name in arguments:
            raise Mistyped(f"{name} is given twice.")
        arguments[name] = _typed(name, text, properties[name])
    if missing := [name for name in schema.get("required") or () if name not in arguments]:
        example = " ".join(f"{name}=…" for name in missing)
        raise Mistyped(f"{tool} needs {' and '.join(missing)}: ccxt-mcp call {tool} {example}")
    return arguments


def type_of(schema: Mapping[str, Any]) -> str:
    """Return in a word what an argument's schema accepts."""
    if choices := schema.get("enum"):
        return " | ".join(map(str, choices))
    kinds = _kinds(schema)
    if kinds == ["array"]:
        return f"list of {schema.get('items', {}).get('type', 'value')}s"
    return " or ".join(kinds) or "any"


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    options = schema.get("anyOf") or [schema]
    return [option["type"] for option in options if option.get("type") not in {None, "null"}]


def _typed(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    kinds = _kinds(schema)
    if "string" not in kinds and text == "null":
        return None
    for kind in sorted(kinds, key="string".__eq__):  # a text is what remains when it is nothing narrower
        try:
            return _value(kind, text)
        except ValueError:
            continue
    if not kinds:
        return text
    raise Mistyped(f"{name} is {text!r}; write {' or '.join(_WORDS[kind] for kind in kinds)}.")


def _value(kind: str, text: str) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "number":
            return int(text) if text.lstrip("+-").isdecimal() else float(text)
        case "boolean" if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        case "array" if not text.startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        case "array" | "object":
            return _json(text, list if kind == "array" else dict)
        case "string":
            return text
        case _:
            raise ValueError(text)


def _json(text: str, shape: type) -> Any:
    value = json.loads(text)
    if not isinstance(value, shape):
        raise ValueError(text)  # noqa: TRY004 - the caller tries the next type
    return value


def _nearest(name: str, properties: Mapping[str, Any]) -> str:
    if near := get_close_matches(name, properties, 1):
        return f"did you mean {near[0]}?"
    return f"it takes {', '.join(properties)}." if properties else "it takes none."


def _positional_hint(properties: Mapping[str, Any], word: str) -> str:
    """Guess which argument a bare word was meant for: symbols have a slash, exchanges do not."""
    wanted = "symbol" if "/" in word else "exchange"
    return f"; did you mean {wanted}={word}?" if wanted in properties else "."
