"""A session of the demo: a client of a running server, and the terminal on which a person watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcp.client.client import Client
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ccxt_mcp.cli.charts import QUIET
from ccxt_mcp.cli.terminal import failure_view


@dataclass(frozen=True, slots=True)
class Session:
    """A client of a running server, and the terminal on which a person watches."""

    client: Client
    console: Console

    async def data(self, question: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Ask a question and return the answer's data; an unexpected failure is shown, and there is no data."""
        self.say(question, tool, **arguments)
        envelope = await self.call(tool, **arguments)
        if not envelope["success"]:
            self.show(failure_view(envelope["error"]))
        return envelope.get("data", {})

    def say(self, question: str, request: str, **arguments: Any) -> None:
        """Show what a model is asked, and the request that answers it."""
        words = "".join(f" {name}={word(value)}" for name, value in arguments.items())
        self.console.print(Text.assemble("\n", ("▸ ", QUIET), (question, "bold")))
        self.show(Text.assemble((request, "cyan"), (words, QUIET)), Text())

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the envelope that a model gets."""
        return (await self.client.call_tool(tool, arguments)).structured_content or {}

    def show(self, *drawings: RenderableType) -> None:
        """Draw what belongs to a question."""
        self.console.print(Padding(Group(*drawings), (0, 0, 0, 2), expand=False))


def word(value: Any) -> str:
    """Return an argument as a person would type it."""
    return ",".join(value) if isinstance(value, list) else str(value)
