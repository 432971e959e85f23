"""Fingerprint: one short text for all that a write asks for, so that the same and another can be told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ccxt_mcp.orders.number import plain


def fingerprint(exchange: str, account: str, action: str, facts: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of what is asked for.

    Equal if and only if exchange, account, action and all facts are equal. Numbers are compared by value, and a fact
    that is None or False counts as absent.

    Args:
        exchange: the exchange.
        account: the account.
        action: what is done, such as "create".
        facts: its arguments: texts, flags, and decimals for numbers.
    """
    told = {name: _written(value) for name, value in facts.items() if value is not None and value is not False}
    document = json.dumps([exchange, account, action, told], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(document.encode()).hexdigest()


def _written(value: Any) -> Any:
    # A number is wrapped, so that the amount 1 is not the text "1".
    return [plain(value)] if isinstance(value, Decimal) else value
