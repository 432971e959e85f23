"""Reserver: a reservation from its first try to its end, be that a refusal on record or a caller who is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import audit, intents, reservation
from ccxt_mcp.journal.database import Database
from ccxt_mcp.journal.owner import Owner
from ccxt_mcp.journal.records import NewIntent, Reserved


class Reserver:
    """Reserves intents in the journal's database; see `Journal.reserve`.

    Args:
        database: where.
        owner: who is at work on them.
        clock: milliseconds since the epoch; may be asked in another thread.
    """

    def __init__(self, database: Database, owner: Owner, clock: Callable[[], int]) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock

    async def reserve(
        self, new: NewIntent, *, check: reservation.Check, ticket: str | None, facts: Mapping[str, Any], working_ms: int
    ) -> Reserved:
        """Record an intent, or return the one that was recorded; what nobody waits for any more is taken back.

        Raises:
            Failure: as `reservation.reserve`, or JOURNAL_UNAVAILABLE.
        """
        return await self._database.run(self._reserve(new, check, ticket, facts, working_ms), unwanted=self._abandon)

    async def _reserve(
        self, new: NewIntent, check: reservation.Check, ticket: str | None, facts: Mapping[str, Any], working_ms: int
    ) -> Reserved:
        def work(connection: Connection) -> Reserved:
            now = self._clock()
            return reservation.reserve(
                connection,
                new,
                check=check,
                ticket=ticket,
                facts=facts,
                owner=self._owner,
                expires_ms=now + working_ms,
                now=now,
            )

        try:
            return await self._database.write(work)
        except Failure as refusal:
            if refusal.code is not Code.JOURNAL_UNAVAILABLE:
                refused = reservation.refused(new, refusal, ticket, facts)
                await self._database.write(lambda c: audit.append(c, refused, self._clock()))
            raise

    async def _abandon(self, reserved: Reserved) -> None:
        """Settle what was reserved for a caller who is gone: it was never sent."""
        if reserved.is_new:
            error = {"reason": "cancelled", "message": "The call was cancelled before anything was sent."}
            await self._database.write(
                lambda c: intents.settle(
                    c, reserved.intent.id, "rejected", order=None, error=error, how=None, now=self._clock()
                )
            )
