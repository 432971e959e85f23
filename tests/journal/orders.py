"""What the journal's tests record, and the clock that they record it by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Alert, Counters, NewIntent

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


class Moment:
    """A clock in milliseconds that stands until the test moves it; it begins at noon (UTC)."""

    def __init__(self) -> None:
        self.now = NOON_MS

    def __call__(self) -> int:
        return self.now


def new_intent(name: str = "a", **changes: Any) -> NewIntent:
    """Return an intent to buy, with all its ids made of a name."""
    facts: dict[str, Any] = {
        "exchange": "kraken",
        "account": "main",
        "mode": "live",
        "kind": "create",
        "client_order_id": f"client-{name}",
        "sent_id": f"sent-{name}",
        "fingerprint": f"print-{name}",
        "request": {"symbol": "BTC/USDT", "side": "buy", "amount": "0.10"},
        "notional_usd": Decimal("100.000000000000000001"),
        "raises_risk": True,
        "who": "tester",
        "tool": "trade_create_order",
    }
    return NewIntent(**facts | changes)


def new_alert(name: str = "a", **changes: Any) -> Alert:
    """Return an alert for a price, with a name as its id, made at noon."""
    facts: dict[str, Any] = {
        "id": name,
        "exchange": "kraken",
        "account": "",
        "symbol": "BTC/USDT",
        "condition": {"kind": "above", "price": "100000.10"},
        "who": "tester",
        "created_ms": NOON_MS,
    }
    return Alert(**facts | changes)


def no_limit(_: Counters) -> None:
    """Everything is within no limit."""


def at_most(dollars: Decimal, value: Decimal) -> Any:
    """Return a check that refuses what would exceed so much in a day."""

    def check(counters: Counters) -> None:
        if counters.notional_today + value > dollars:
            raise Failure(Code.LIMIT_EXCEEDED, f"daily notional is above {dollars} USD.")

    return check
