"""Humans behind a client, as the SDK asks them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mcp.types import ElicitResult


@dataclass
class Person:
    """Answers every question in one way, and remembers what was asked.

    `meanwhile` is done between the question and the answer.
    """

    action: Literal["accept", "decline", "cancel"] = "accept"
    ticks: bool = True
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    asked: list[str] = field(default_factory=list)

    async def __call__(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        if self.meanwhile is not None:
            await self.meanwhile()
        content: Any = {"confirm": self.ticks} if self.action == "accept" else None
        return ElicitResult(action=self.action, content=content)


def ticked(*, yes: bool = True) -> dict[str, Any]:
    """The answer that comes with a repeated call."""
    return {"confirm": ElicitResult(action="accept", content={"confirm": yes})}
