"""JSON-safe copies of whatever an answer holds."""

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from typing import Any

from ccxt_mcp.envelope import Table
from ccxt_mcp.text import clean_text

_EXACT = 2**53  # integers up to here are the same in JSON, JavaScript and Python
_WIDEST = 2**63


def plain(value: Any) -> Any:
    """Return a copy of text, numbers, booleans, lists and dicts of exactly these types; tables stay tables.

    What JSON cannot hold becomes what it can: NaN and infinities None, decimals numbers, other sequences lists
    (ccxt's caches are lists that serialise as empty), lone surrogates "?", anything else its text. Dicts lose their
    None values; rows keep theirs, since a row's values stand by position. Whole floats become integers: 60000.0 is
    60000, the same number in less space.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if not isinstance(value, str) and isinstance(value, (Table, Mapping, list, tuple, set, frozenset)):
        return _holder(value)
    return _text(str(value))


def _holder(value: Any) -> Any:
    if isinstance(value, Table):
        return replace(value, columns=tuple(plain(value.columns)), rows=[plain(row) for row in value.rows])
    if isinstance(value, Mapping):
        pairs = ((_text(str(name)), plain(item)) for name, item in value.items())
        return {name: item for name, item in pairs if item is not None}
    return [plain(item) for item in value]


def _text(text: str) -> str:
    """Return text of one line that shows all it holds; exchanges choose names, and may choose them to deceive."""
    return clean_text(text, len(text))


def _number(value: float | Decimal) -> int | float | str | None:
    if isinstance(value, int):
        return int(value) if -_WIDEST <= value < _WIDEST else str(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < _EXACT else number
