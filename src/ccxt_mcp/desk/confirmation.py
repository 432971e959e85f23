"""Confirmation: what a human is asked before real or large money moves, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ccxt_mcp.text import clean_text

Verdict = Literal["approved", "declined", "unanswered"]

_MONEY = {"live": "REAL MONEY", "testnet": "test money", "paper": "paper money", "simulated": "simulated money"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one write.

    Attributes:
        code: the ticket that the answer counts for.
        text: the question, built from the call's own arguments and from nothing that an exchange says.
    """

    code: str
    text: str


class Approver(Protocol):
    """The way to the human behind a call."""

    @property
    def presented(self) -> str | None:
        """The code of the ticket whose answer came with this call, if any did."""
        ...

    @property
    def name(self) -> str:
        """How the answer is known to have come from a human, for the audit."""
        ...

    async def ask(self, question: Question) -> Verdict:
        """Return the answer, or "unanswered" where nobody can be asked this way.

        It may also leave the call altogether, to be called again with the answer presented.
        """
        ...


def question_line(action: str, exchange: str, account: str, mode: str, arguments: Mapping[str, Any]) -> str:
    """Return the question about a write, as one line that a person can check against what they wanted.

    Args:
        action: what would be done, such as "Place this order".
        exchange: where.
        account: with whose money.
        mode: of what kind that money is.
        arguments: the caller's arguments in their order; absent ones (None, False) are left out.
    """
    told = [f"{name.replace('_', ' ')} {_shown(value)}" for name, value in arguments.items() if _told(value)]
    place = clean_text(f"{exchange}, account {account} ({_MONEY.get(mode, mode)})", 150)
    return f"{action}? {place}: {', '.join(told)}."


def _told(value: Any) -> bool:
    return value is not None and value is not False


def _shown(value: Any) -> str:
    return "yes" if value is True else clean_text(str(value), 60)
