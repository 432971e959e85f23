"""Journal: the memory of everything that was ordered, shared by all processes that have the same database."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import audit, halts, intents, marks, reservation, tickets
from ccxt_mcp.journal.address import Address
from ccxt_mcp.journal.alerts import Alerts
from ccxt_mcp.journal.database import Database
from ccxt_mcp.journal.owner import Owner
from ccxt_mcp.journal.paper import PaperRecords
from ccxt_mcp.journal.records import (
    Counters,
    Entries,
    Entry,
    Event,
    Halt,
    Intent,
    IntentState,
    NewIntent,
    Reserved,
    Ticket,
    Verified,
)
from ccxt_mcp.journal.reserver import Reserver

T = TypeVar("T")

_SENT = "The order may be at work: look it up at the exchange. A human looks after the journal's database."


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Intents, audit, tickets, halts, alerts and paper accounts in one database.

    It opens the database when it is first used, and makes or upgrades its tables then. Each method is one transaction:
    on disk when it returns, and without a trace when it raises. A cancelled caller does not interrupt it. Any method
    raises a Failure with JOURNAL_UNAVAILABLE where the database cannot be used.

    Args:
        url: a path, `sqlite:///path` or `postgresql://...`.
        clock: milliseconds since the epoch; may be asked in another thread.
        rng: makes the codes of tickets.
        wait: seconds to wait for other processes before giving up.

    Attributes:
        paper: the store of paper accounts.
        alerts: what somebody wants to be told about markets.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        clock: Callable[[], int] = _now_ms,
        rng: random.Random | None = None,
        wait: float = 10.0,
    ) -> None:
        self._rng = rng or random.SystemRandom()
        self._clock = clock
        self._owner = Owner.here(f"{self._rng.getrandbits(64):016x}")
        self._database = Database(Address.of(url), wait=wait)
        self._at_work = False
        self._reserver = Reserver(self._database, self._owner, clock)
        self.paper = PaperRecords(self._database, clock)
        self.alerts = Alerts(self._database, clock)

    @property
    def place(self) -> str:
        """Where it is kept, without user and password."""
        return str(self._database.address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is under way, and tell other processes that nobody is at work here any more."""
        release = partial(intents.release, owner=self._owner, now=self._clock())
        await self._database.close(release if self._at_work else None)

    # -- intents -------------------------------------------------------------------------------------------------------

    async def reserve(
        self,
        new: NewIntent,
        *,
        check: reservation.Check,
        ticket: str | None = None,
        facts: Mapping[str, Any] | None = None,
        working_for: float = 60.0,
    ) -> Reserved:
        """Record an intent before it is sent, or return the one that has its client order id.

        It is all or nothing: halts, unresolved orders, limits, the confirmation and the record are one transaction
        under the account's lock. A refusal is recorded in the audit.

        Args:
            new: the intent.
            check: raises a Failure when what the account has done lately leaves no room; not asked for what raises no
                risk. It may run in another thread, and must not wait for anything.
            ticket: the code of the confirmation that the intent uses up.
            facts: more for the audit.
            working_for: seconds for which this process may be at work on it; unresolved after that.

        Raises:
            Failure: CLIENT_ORDER_ID_USED, HALTED, UNRESOLVED_ORDER, CONFIRMATION_REQUIRED, CONFIRMATION_DECLINED, or
                what the check raises.
        """
        self._at_work = True
        return await self._reserver.reserve(
            new, check=check, ticket=ticket, facts=dict(facts or {}), working_ms=round(working_for * 1000)
        )

    async def settle(
        self,
        intent_id: int,
        state: IntentState,
        *,
        order: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Intent:
        """Record the outcome that the sender has seen, and return the intent as it is recorded then.

        Args:
            intent_id: the intent's number.
            state: accepted, rejected or unknown.
            order: the order as the exchange tells it.
            error: why it was refused, or why nothing is known.
        """
        return await self._settle(intent_id, state, order, error, None)

    async def resolve(
        self,
        intent_id: int,
        state: IntentState,
        *,
        order: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        how: str,
    ) -> Intent:
        """Record the outcome of an unknown intent as it was found out, and give it up for others.

        Args:
            intent_id: the intent's number.
            state: accepted or rejected.
            order: the order as the exchange tells it.
            error: why it counts as never placed.
            how: by which way that was found.
        """
        return await self._settle(intent_id, state, order, error, how)

    async def note(self, intent_id: int, *, order: Mapping[str, Any] | None = None, text: str | None = None) -> Intent:
        """Record what was learnt of an intent without a change of its state, and return it.

        Args:
            intent_id: the intent's number.
            order: a newer account of the order.
            text: what an attempt to find its outcome came to; counts as one more attempt.
        """
        return await self._write(lambda c: intents.note(c, intent_id, order=order, text=text, now=self._clock()))

    async def get(self, exchange: str, account: str, client_order_id: str) -> Intent | None:
        """Return the intent with a client order id: the caller's, or the one that the exchange got."""
        return await self._read(lambda c: intents.find_by_client_id(c, exchange, account, client_order_id))

    async def get_id(self, intent_id: int) -> Intent | None:
        """Return an intent by its number."""
        return await self._read(lambda c: intents.find(c, intent_id))

    async def by_order(self, exchange: str, account: str, order_id: str) -> Intent | None:
        """Return the intent that made an order, by the exchange's id."""
        return await self._read(lambda c: intents.find_by_order(c, exchange, account, order_id))

    async def order_ids(self, exchange: str, account: str) -> frozenset[str]:
        """Return the exchange's ids of all orders of an account that the journal knows."""
        return await self._read(lambda c: intents.order_ids(c, exchange, account))

    async def counters(self, exchange: str, account: str) -> Counters:
        """Return what an account has done lately."""
        return await self._read(lambda c: reservation.counters(c, exchange, account, self._clock()))

    async def unresolved(self, exchange: str | None = None, account: str | None = None) -> list[Intent]:
        """Return intents whose outcome is unknown, and open ones that were left, the oldest first.

        An open intent was left when its process has ended, which is seen at once on the same host, or when the time is
        over for which it said to be at work.
        """
        return await self._read(lambda c: intents.unresolved(c, exchange=exchange, account=account, now=self._clock()))

    async def claim(self, intent_id: int, for_seconds: float) -> Intent | None:
        """Take an unresolved intent, so that this process alone looks for its outcome.

        Args:
            intent_id: the intent's number.
            for_seconds: how long; it can be taken again by the same journal before that.

        Returns:
            The intent; None when it is resolved, still worked on, or taken by another process that lives.
        """
        self._at_work = True
        now = self._clock()
        until = now + round(for_seconds * 1000)
        return await self._write(lambda c: intents.claim(c, intent_id, owner=self._owner, until=until, now=now))

    async def recent(
        self,
        *,
        exchange: str | None = None,
        account: str | None = None,
        state: IntentState | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[Intent]:
        """Return intents, the newest first.

        Args:
            exchange: only there.
            account: only this one's.
            state: only those in this state.
            limit: how many at most.
            before: only those with a smaller number: the last of the page before.
        """
        filters = {"exchange": exchange, "account": account, "state": state}
        return await self._read(partial(intents.recent, **filters, limit=limit, before=before))

    # -- audit ---------------------------------------------------------------------------------------------------------

    async def append(
        self,
        event: Event,
        *,
        who: str,
        tool: str | None = None,
        exchange: str | None = None,
        account: str | None = None,
        mode: str | None = None,
        client_order_id: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add a row to the audit. Facts never hold a secret: nothing is ever taken out again."""
        entry = audit.NewEntry(event, who, tool, exchange, account, mode, client_order_id, dict(facts or {}))
        return await self._write(lambda c: audit.append(c, entry, self._clock()))

    async def read(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        exchange: str | None = None,
        account: str | None = None,
        event: str | None = None,
        client_order_id: str | None = None,
        limit: int = 100,
        cursor: int | None = None,
        newest_first: bool = True,
    ) -> Entries:
        """Return a page of the audit.

        Args:
            since: written at this time or later, in milliseconds since the epoch.
            until: written before this time.
            exchange: where.
            account: whose.
            event: what happened.
            client_order_id: of which intent.
            limit: how many rows at most.
            cursor: the `next` of the page before.
            newest_first: the order.
        """
        filters = audit.Filters(since, until, exchange, account, event, client_order_id)
        return await self._read(lambda c: audit.page(c, filters, limit=limit, cursor=cursor, newest_first=newest_first))

    async def verify(self, known: tuple[int, str] | None = None) -> Verified:
        """Walk the whole audit and return whether a row was changed, taken out, put in or moved.

        Rows that are missing at the very end, and an end that was made anew as a whole, are found only with a head that
        was kept elsewhere, since whoever can write the database can also compute hashes.

        Args:
            known: number and hash of a row, as kept elsewhere: `rows` and `head` of an earlier walk.
        """
        verifier = audit.Verifier(known)
        while rows := await self._read(lambda c: audit.batch(c, verifier.seq)):
            if not verifier.sound(rows):
                break
        return verifier.verdict()

    # -- confirmations -------------------------------------------------------------------------------------------------

    async def ask(
        self,
        fingerprint: str,
        *,
        facts: Mapping[str, Any],
        exchange: str,
        account: str,
        who: str,
        expires_ms: int,
    ) -> Ticket:
        """Return the ticket on which a human decides; the same one as long as it waits, or is approved and unused.

        Args:
            fingerprint: what it is for, exactly.
            facts: what the human is shown.
            exchange: where.
            account: whose.
            who: who asks.
            expires_ms: until when it can be approved and used, in milliseconds since the epoch.
        """
        wanted: dict[str, Any] = {
            "facts": facts,
            "exchange": exchange,
            "account": account,
            "who": who,
            "expires_ms": expires_ms,
        }
        return await self._write(lambda c: tickets.ask(c, fingerprint, **wanted, now=self._clock(), rng=self._rng))

    async def waiting(self) -> list[Ticket]:
        """Return the tickets that wait for a human, the oldest first."""
        return await self._read(lambda c: tickets.waiting(c, self._clock()))

    async def ticket(self, code: str) -> Ticket | None:
        """Return a ticket by its code."""
        return await self._read(lambda c: tickets.find(c, code, self._clock()))

    async def find_approved(self, fingerprint: str, exchange: str, account: str) -> Ticket | None:
        """Return a ticket that a human approved for exactly this and that was not used yet."""
        return await self._read(lambda c: tickets.find_approved(c, fingerprint, exchange, account, self._clock()))

    async def presented(self, code: str, fingerprint: str) -> Ticket:
        """Return the ticket that an answer came with, if it is for this and can still be decided or used.

        Raises:
            Failure: CONFIRMATION_REQUIRED or CONFIRMATION_DECLINED.
        """
        return await self._read(lambda c: tickets.presented(c, code, fingerprint, self._clock()))

    async def approve(self, code: str, *, by: str, how: str, expires_ms: int | None = None) -> Ticket:
        """Approve a ticket that waits, and return it.

        Args:
            code: the ticket's.
            by: who approves.
            how: by which way.
            expires_ms: until when it can be used, if that is to change.

        Raises:
            Failure: INVALID_ARGUMENT when there is none, or it is not waiting any more.
        """
        return await self._decide(code, approve=True, by=by, how=how, expires_ms=expires_ms)

    async def decline(self, code: str, *, by: str, how: str = "") -> Ticket:
        """Decline a ticket that waits, or take back an approval that was not used, and return it.

        Raises:
            Failure: INVALID_ARGUMENT when there is none, or it cannot be declined any more.
        """
        return await self._decide(code, approve=False, by=by, how=how, expires_ms=None)

    # -- halts and marks -----------------------------------------------------------------------------------------------

    async def halt(self, scope: str, *, by: str, why: str) -> Halt:
        """Stop everything that raises risk, in all processes, until `resume`.

        Args:
            scope: "*" for everything, or "exchange/account".
            by: who wants it.
            why: their reason.

        Raises:
            Failure: INVALID_ARGUMENT for any other scope.
        """
        return await self._write(lambda c: halts.halt(c, scope, by=by, why=why, now=self._clock()))

    async def resume(self, scope: str, *, by: str) -> Halt | None:
        """End the halt of exactly this scope, and return what it was; None when there was none."""
        return await self._write(lambda c: halts.resume(c, scope, by=by, now=self._clock()))

    async def halts(self) -> list[Halt]:
        """Return what is halted."""
        return await self._read(halts.all_halts)

    async def day_start(self, exchange: str, account: str, day: int, value: Decimal) -> Decimal:
        """Return what an account was worth at the first look of a day, which may be this one.

        Args:
            exchange: where.
            account: whose.
            day: days since the epoch, in UTC.
            value: what it is worth now.
        """
        return await self._write(lambda c: marks.day_start(c, exchange, account, day, value))

    # -- transactions --------------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.run(self._database.write(work))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.run(self._database.read(work))

    async def _settle(
        self,
        intent_id: int,
        state: IntentState,
        order: Mapping[str, Any] | None,
        error: Mapping[str, Any] | None,
        how: str | None,
    ) -> Intent:
        try:
            return await self._write(
                lambda c: intents.settle(c, intent_id, state, order=order, error=error, how=how, now=self._clock())
            )
        except Failure as failure:
            if failure.code is not Code.JOURNAL_UNAVAILABLE:
                raise
            raise Failure(failure.code, failure.message, hint=_SENT) from failure

    async def _decide(self, code: str, *, approve: bool, by: str, how: str, expires_ms: int | None) -> Ticket:
        decided = await self._write(
            lambda c: tickets.decide(c, code, approve=approve, by=by, how=how, now=self._clock(), expires_ms=expires_ms)
        )
        if isinstance(decided, Failure):
            raise decided
        return decided
