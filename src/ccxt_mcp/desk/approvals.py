"""Approvals: a human's agreement to one write, asked once, for exactly that write, and used up by it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccxt_mcp.desk.confirmation import Approver, Question
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal import Ticket

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class Wish:
    """What a human is to agree to.

    Attributes:
        fingerprint: what makes it this very write.
        exchange: where.
        account: with whose money.
        who: who wants it, for the audit.
        text: the question, made from the caller's arguments alone.
        preview: what it comes to, for who answers in a terminal.
    """

    fingerprint: str
    exchange: str
    account: str
    who: str
    text: str
    preview: Mapping[str, Any]


class Approvals:
    """Gets tickets approved: through the client where it can ask its human, else in a terminal.

    Args:
        gateway: whose clock and settings count.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def approved(self, journal: Journal, wish: Wish, approver: Approver) -> str:
        """Return the code of a ticket that a human approved for exactly this; reserving the intent uses it up.

        Raises:
            Failure: CONFIRMATION_REQUIRED or CONFIRMATION_DECLINED.
        """
        if approver.presented is not None:
            ticket = await journal.presented(approver.presented, wish.fingerprint)
        elif (ready := await journal.find_approved(wish.fingerprint, wish.exchange, wish.account)) is not None:
            return ready.code
        else:
            ticket = await self._ask(journal, wish)
        verdict = await approver.ask(Question(ticket.code, wish.text))
        if verdict == "approved":
            with _of_a_confirmation():
                await journal.approve(ticket.code, by=wish.who, how=approver.name)
            return ticket.code
        if verdict == "declined":
            with _of_a_confirmation():
                await journal.decline(ticket.code, by=wish.who)
            raise Failure(Code.CONFIRMATION_DECLINED, "The human did not agree. Nothing was done.")
        raise Failure(
            Code.CONFIRMATION_REQUIRED,
            f"A human must agree first: ccxt-mcp approve {ticket.code}",
            details={"ticket": ticket.code, "expires": ticket.expires_ms, "preview": dict(wish.preview)},
        )

    async def _ask(self, journal: Journal, wish: Wish) -> Ticket:
        lasts_ms = round(self._gateway.settings.ticket_minutes * 60_000)
        return await journal.ask(
            wish.fingerprint,
            facts={"question": wish.text, **wish.preview},
            exchange=wish.exchange,
            account=wish.account,
            who=wish.who,
            expires_ms=self._gateway.now_ms() + lasts_ms,
        )


@contextmanager
def _of_a_confirmation() -> Generator[None]:
    """Tell that an answer came too late as what it is: the ticket was used, or has expired, while it was given."""
    try:
        yield
    except Failure as failure:
        if failure.code is not Code.INVALID_ARGUMENT:
            raise
        raise Failure(Code.CONFIRMATION_REQUIRED, failure.message) from None
