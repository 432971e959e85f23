"""What a request asks for: the query of a GET, or the body of a POST, read as Bybit reads it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, cast

import orjson

from .refusal import Refusal

if TYPE_CHECKING:
    from .markets import Category

Query = Mapping[str, str]


def decoded(body: str) -> Query:
    """The fields of a JSON body, all as text; those without a value are left out. Raises Refusal with 10001."""
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Refusal(10001, "params error: the body is not a JSON object")
    fields = cast("dict[str, object]", document)
    return {name: _written(value) for name, value in fields.items() if value is not None}


def read_category(query: Query, *, usual: Category | None = None) -> Category:
    """The category asked for, or the usual one where none is. Raises Refusal with 10001."""
    match query.get("category") or usual:
        case "spot":
            return "spot"
        case "linear":
            return "linear"
        case _:
            raise Refusal(10001, "Illegal category")


def read_limit(query: Query, usual: int, most: int) -> int:
    """How many rows are asked for, at least one."""
    found = read_whole(query, "limit")
    return usual if found is None else min(max(found, 1), most)


def read_whole(query: Query, name: str) -> int | None:
    """A whole number, None where there is none. Raises Refusal with 10001."""
    value = query.get(name, "")
    if not value:
        return None
    if not value.isdecimal():
        raise Refusal(10001, f"params error: {name} invalid")
    return int(value)


def read_number(query: Query, name: str) -> Decimal | None:
    """A finite number, None where there is none. Raises Refusal with 10001."""
    value = query.get(name, "")
    if not value:
        return None
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise Refusal(10001, f"params error: {name} invalid") from None
    if not found.is_finite():
        raise Refusal(10001, f"params error: {name} invalid")
    return found


def read_price(query: Query, name: str) -> Decimal | None:
    """A price, None where there is none or Bybit's zero that means none. Raises Refusal with 10001."""
    return read_number(query, name) or None


def read_flag(query: Query, name: str) -> bool:
    """Whether something is switched on."""
    return query.get(name, "").lower() == "true"


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
