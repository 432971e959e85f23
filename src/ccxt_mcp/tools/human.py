"""The human behind a call: asked by the client where it can, in both eras of the protocol."""

from collections.abc import Callable
from typing import Any

from mcp.server.elicitation import AcceptedElicitation, DeclinedElicitation
from mcp.server.mcpserver import Context
from mcp.types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from pydantic import BaseModel, Field

from ccxt_mcp.desk.confirmation import Question, Verdict
from ccxt_mcp.text import clean_text

_MODERN = "2026-07-28"  # from this revision on, a question is a result, and the answer comes with the repeated call
_ANSWER = "confirm"


class Confirm(BaseModel):
    """The form that a human fills in."""

    confirm: bool = Field(description="Tick to agree to exactly this.")


class InputNeeded(Exception):  # noqa: N818 - no error: the call goes on when the client calls again
    """Leaves a call with a question for the client's human."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__()
        self.result = result


class Human:
    """Asks through the client; nobody is asked where the client has no way to its human.

    Args:
        context: the call's.
        answered: called when a human has answered, whose thinking must not use up the call's time.
    """

    def __init__(self, context: Context[Any, Any], answered: Callable[[], None]) -> None:
        self._context = context
        self._answered = answered

    @property
    def presented(self) -> str | None:
        """The ticket whose answer came with this call, if any did; only we can have sealed it."""
        return self._context.request_state if self._context.input_responses else None

    @property
    def name(self) -> str:
        """How the answer is known to have come from a human, for the audit."""
        return f"asked by {caller(self._context)}"

    async def ask(self, question: Question) -> Verdict:
        """Return the human's answer.

        Raises:
            InputNeeded: the client asks now, and calls again with the answer.
        """
        if self.presented is not None:
            return _verdict((self._context.input_responses or {}).get(_ANSWER))
        if not self._can_ask:
            return "unanswered"
        if self._is_modern:
            raise InputNeeded(_request(question))
        answer = await self._context.elicit(question.text, Confirm)
        self._answered()
        if isinstance(answer, AcceptedElicitation) and answer.data.confirm:
            return "approved"
        return "declined" if isinstance(answer, AcceptedElicitation | DeclinedElicitation) else "unanswered"

    @property
    def _is_modern(self) -> bool:
        return (self._context.protocol_version or "") >= _MODERN

    @property
    def _can_ask(self) -> bool:
        capabilities = self._context.client_capabilities
        asking = capabilities.elicitation if capabilities else None
        if asking is None or (asking.url is not None and asking.form is None):
            return False
        return self._is_modern or self._context.session.can_send_request


def caller(context: Context[Any, Any]) -> str:
    """Return the name of the client program, as it gave it."""
    client = context.session.client_params
    return clean_text(client.client_info.name, 60) if client else "an unnamed client"


def _request(question: Question) -> InputRequiredResult:
    form = ElicitRequestFormParams(
        message=question.text,
        requested_schema={
            "type": "object",
            "properties": {_ANSWER: {"type": "boolean", "title": "Agree", "description": "Tick to agree to this."}},
            "required": [_ANSWER],
        },
    )
    return InputRequiredResult(input_requests={_ANSWER: ElicitRequest(params=form)}, request_state=question.code)


def _verdict(answer: object) -> Verdict:
    if not isinstance(answer, ElicitResult) or answer.action == "cancel":
        return "unanswered"
    agreed = answer.action == "accept" and (answer.content or {}).get(_ANSWER) is True
    return "approved" if agreed else "declined"
