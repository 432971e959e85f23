"""The journal: what was ordered, asked, decided and done, in a database that outlives every process.

This is the only room that knows SQL. Its records are plain data; `Journal` brings SQLAlchemy with it, and is imported
when it is first asked for, so that nobody pays for a journal who never trades.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ccxt_mcp.journal.records import (
    Alert,
    AlertState,
    Counters,
    Entries,
    Entry,
    Event,
    Halt,
    Intent,
    IntentKind,
    IntentState,
    NewIntent,
    Reserved,
    Ticket,
    TicketState,
    Verified,
)

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal

__all__ = [
    "Alert",
    "AlertState",
    "Counters",
    "Entries",
    "Entry",
    "Event",
    "Halt",
    "Intent",
    "IntentKind",
    "IntentState",
    "Journal",
    "NewIntent",
    "Reserved",
    "Ticket",
    "TicketState",
    "Verified",
]


def __getattr__(name: str) -> Any:
    if name == "Journal":
        from ccxt_mcp.journal.journal import Journal  # noqa: PLC0415 - this is where the waiting ends

        return Journal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
