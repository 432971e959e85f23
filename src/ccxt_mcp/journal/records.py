"""Records: what the journal takes and gives, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

IntentKind = Literal["create", "modify", "cancel", "cancel_all", "leverage"]
IntentState = Literal["open", "accepted", "rejected", "unknown"]
TicketState = Literal["waiting", "approved", "declined", "used", "expired"]
AlertState = Literal["active", "fired", "expired", "deleted"]
Event = Literal[
    "refused",
    "reserved",
    "repeated",
    "outcome",
    "orphaned",
    "noted",
    "resolved",
    "conflict",
    "confirmation_asked",
    "approved",
    "declined",
    "expired",
    "used",
    "halted",
    "resumed",
    "paper_reset",
]

_MOST_NOTIONAL = Decimal(10) ** 12  # a million million dollars: more is a mistake, and sums must fit into 64 bits


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A write that is about to be sent, as it is recorded before that.

    Attributes:
        exchange: where it goes.
        account: with whose money.
        mode: what kind of money that is.
        kind: what it does.
        client_order_id: what makes it one of a kind on its account; the same one again means the same write.
        sent_id: the client order id that the exchange gets; empty where it takes none.
        fingerprint: the same for the same arguments, and for no others.
        request: the facts of the order, without secrets.
        notional_usd: its value in US dollars, by which it counts towards the day's; None if unknown.
        raises_risk: False for cancels and reduce-only orders, which no limit, halt or doubt holds.
        who: on whose behalf.
        tool: what was called.
    """

    exchange: str
    account: str
    mode: str
    kind: IntentKind
    client_order_id: str
    sent_id: str
    fingerprint: str
    request: Mapping[str, Any]
    notional_usd: Decimal | None
    raises_risk: bool
    who: str
    tool: str

    def __post_init__(self) -> None:
        if not self.client_order_id:
            raise ValueError("client_order_id is empty; it is what finds the write again")
        value = self.notional_usd
        if value is not None and not (value.is_finite() and 0 <= value < _MOST_NOTIONAL):
            raise ValueError(f"notional_usd is {value}; it is 0 or more and below {_MOST_NOTIONAL:f}")


@dataclass(frozen=True, slots=True)
class Intent:
    """A recorded write.

    Attributes:
        id: its number in the journal.
        exchange: where it went.
        account: with whose money.
        mode: what kind of money that is.
        kind: what it does.
        client_order_id: what makes it one of a kind on its account.
        sent_id: the client order id that the exchange got.
        order_id: the exchange's id of the order, once known.
        fingerprint: the same for the same arguments.
        state: what is known of its outcome.
        raises_risk: whether limits, halts and doubts hold it.
        notional_usd: its value in US dollars; None if unknown.
        request: the facts of the order.
        order: the order as the exchange told it.
        error: why it was refused, or why its outcome is unknown.
        who: on whose behalf.
        tool: what was called.
        created_ms: when it was recorded, in milliseconds since the epoch.
        updated_ms: when its record last changed.
        expires_ms: until when its process may be at work on it; an open one is unresolved after that.
        attempts: how often its outcome was looked for.
        note: what was learnt last, or how the outcome was found.
        ticket: the code of the confirmation that it used up.
    """

    id: int
    exchange: str
    account: str
    mode: str
    kind: IntentKind
    client_order_id: str
    sent_id: str
    order_id: str | None
    fingerprint: str
    state: IntentState
    raises_risk: bool
    notional_usd: Decimal | None
    request: dict[str, Any]
    order: dict[str, Any] | None
    error: dict[str, Any] | None
    who: str
    tool: str
    created_ms: int
    updated_ms: int
    expires_ms: int
    attempts: int
    note: str | None
    ticket: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """An intent that may be sent now, or one that was recorded before and must not be.

    Attributes:
        intent: the record.
        is_new: whether it was made by this very call.
    """

    intent: Intent
    is_new: bool


@dataclass(frozen=True, slots=True)
class Counters:
    """What an account has done lately, by its journal.

    Attributes:
        notional_today: US dollars of what was ordered this day (UTC) and was not rejected, each order rounded up to a
            millionth.
        unvalued_today: how many of those have no known value, so that `notional_today` is too low.
        orders_last_minute: orders and changes of orders recorded within the last 60 seconds, whatever became of them.
        in_flight: when each intent was recorded whose outcome is open or unknown, in milliseconds since the epoch.
        lately: new orders of the last 60 seconds that were not rejected: beginning of a tenth of a second, and count.
    """

    notional_today: Decimal = Decimal(0)
    unvalued_today: int = 0
    orders_last_minute: int = 0
    in_flight: tuple[int, ...] = ()
    lately: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def pending(self) -> int:
        """How many intents have an outcome that is open or unknown."""
        return len(self.in_flight)

    def orders_since(self, ms: int) -> int:
        """Return how many orders may be open that a look at the exchange at that moment did not show.

        These are the ones recorded since, by a tenth of a second, and earlier ones whose outcome is not known.

        Args:
            ms: the moment, in milliseconds since the epoch; at most a minute ago.
        """
        first = ms // LATELY_STEP_MS * LATELY_STEP_MS
        return sum(count for begin, count in self.lately if begin >= first) + sum(
            1 for created in self.in_flight if created < first
        )


LATELY_STEP_MS = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the audit; rows are only ever added, and each holds the hash of the one before.

    Attributes:
        seq: its number; the first is 1 and none is missing.
        time_ms: when it was written, in milliseconds since the epoch.
        event: what happened.
        who: on whose behalf.
        tool: what was called.
        exchange: where.
        account: whose.
        mode: what kind of money.
        client_order_id: of which intent.
        facts: what there is to know, without secrets.
        prev: the hash of the row before.
        hash: sha256 of everything else in the row.
    """

    seq: int
    time_ms: int
    event: str
    who: str
    tool: str | None
    exchange: str | None
    account: str | None
    mode: str | None
    client_order_id: str | None
    facts: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Entries:
    """A page of the audit.

    Attributes:
        rows: the rows, in the order that was asked for.
        next: the cursor of the following page; None on the last.
    """

    rows: list[Entry]
    next: int | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at the whole audit found.

    Attributes:
        rows: how many rows are sound, counted from the first.
        head: the hash of the last sound row. Kept somewhere else, it proves later that nothing up to it has changed.
        first_bad: the number of the first row that is not sound; None when all are.
        why: what is wrong with it.
    """

    rows: int
    head: str
    first_bad: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A confirmation that was asked of a human.

    Attributes:
        code: how people call it.
        fingerprint: what it is for, and nothing else.
        exchange: where.
        account: whose.
        who: who asked for it.
        state: what became of it.
        facts: what the human is shown.
        asked_ms: when it was asked, in milliseconds since the epoch.
        expires_ms: until when it can be approved and used.
        decided_by: who approved or declined it.
        how: by which way they did.
        used_by: the intent that used it up.
    """

    code: str
    fingerprint: str
    exchange: str
    account: str
    who: str
    state: TicketState
    facts: dict[str, Any]
    asked_ms: int
    expires_ms: int
    decided_by: str | None
    how: str | None
    used_by: int | None


@dataclass(frozen=True, slots=True)
class Halt:
    """An operator's word that nothing that raises risk may be ordered.

    Attributes:
        scope: "*" for everything, or "exchange/account".
        by: who said it.
        why: their reason.
        since_ms: since when, in milliseconds since the epoch.
    """

    scope: str
    by: str
    why: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody wants to be told about a market; it moves no money. A new one is active and has never fired.

    Attributes:
        id: how people call it; chosen by whoever adds it, for this one alone.
        exchange: where.
        account: with whose keys the market is watched; empty for public data.
        symbol: which market.
        condition: when it fires, as JSON types; the journal knows nothing of what it means.
        who: who asked for it.
        created_ms: when it was made, in milliseconds since the epoch.
        note: what they want to be reminded of, one line of at most 200 characters.
        repeat: whether it stays active after it has fired.
        expires_ms: from when on it fires no more; None for never.
        state: what became of it.
        fired_count: how often it has fired.
        fired_ms: when it fired last; None if never.
        fired: the facts of that firing.
        ended_ms: when it was recorded that it is not active any more; None while it is.
    """

    id: str
    exchange: str
    account: str
    symbol: str
    condition: dict[str, Any]
    who: str
    created_ms: int
    note: str = ""
    repeat: bool = False
    expires_ms: int | None = None
    state: AlertState = "active"
    fired_count: int = 0
    fired_ms: int | None = None
    fired: dict[str, Any] | None = None
    ended_ms: int | None = None
