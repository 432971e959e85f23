"""The tools: plain async functions that turn arguments into calls and answers into small shapes.

A tool takes the gateway first, `Trading` where it touches an account, or `Alerting` where it watches streams; then
what the model may choose. It returns an
envelope or raises `Failure`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mcp.types import ToolAnnotations

from ccxt_mcp.envelope import Envelope
from ccxt_mcp.methods import ALLOWED, Tier, needed

ToolFunction = Callable[..., Awaitable[Envelope]]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the catalogue holds it: the function, its toolset and what a client may assume of it."""

    function: ToolFunction
    toolset: str
    title: str
    tier: Tier
    annotations: ToolAnnotations
    default: bool

    @property
    def name(self) -> str:
        """The tool's name, which is the function's."""
        return self.function.__name__


TOOLS: dict[str, ToolSpec] = {}
"""Every tool by name, in the order in which the modules define them."""


def tool(
    title: str,
    *,
    tier: Tier = Tier.PUBLIC,
    idempotent: bool = True,
    open_world: bool = True,
    default: bool = True,
    keeps: bool = False,
) -> Callable[[ToolFunction], ToolFunction]:
    """Put a function into the catalogue; its toolset is the first word of its name.

    Args:
        title: the name that a person sees.
        tier: what it touches; clients see it only where the operator allows that, and whether it changes anything
            follows from it.
        idempotent: whether calling it twice does no more than calling it once.
        open_world: whether it talks to an exchange.
        default: whether it belongs to the `default` toolset.
        keeps: whether it changes what the server keeps for its users, and nothing at an exchange.
    """
    moves_nothing = tier in {Tier.PUBLIC, Tier.ACCOUNT}

    def register(function: ToolFunction) -> ToolFunction:
        annotations = ToolAnnotations(
            read_only_hint=moves_nothing and not keeps,
            destructive_hint=not moves_nothing,
            idempotent_hint=idempotent,
            open_world_hint=open_world,
        )
        spec = ToolSpec(function, function.__name__.partition("_")[0], title, tier, annotations, default)
        TOOLS[spec.name] = spec
        return function

    return register


def tool_catalogue() -> dict[str, ToolSpec]:
    """Return every tool by name, defining them on first use."""
    for group in ("exchange", "market", "analytics", "trade", "account", "system", "stream"):
        import_module(f"{__name__}.{group}")  # its functions register themselves
    return TOOLS


def chosen_tools(toolsets: tuple[str, ...], *, read_only: bool, allow: str) -> list[ToolSpec]:
    """Return the tools of the named toolsets (`default` and `all` included), in a stable order.

    Args:
        toolsets: names of toolsets.
        read_only: leave out what changes anything.
        allow: the most that the operator allows, one of `methods.ALLOWED`; what needs more is left out.

    Raises:
        ValueError: when a toolset does not exist.
    """
    catalogue = tool_catalogue()
    known = {"default", "all"} | {spec.toolset for spec in catalogue.values()}
    if unknown := [name for name in toolsets if name not in known]:
        raise ValueError(f"toolset {unknown[0]!r} does not exist; choose from {', '.join(sorted(known))}")
    wanted = set(toolsets)
    return [
        spec
        for spec in catalogue.values()
        if ("all" in wanted or spec.toolset in wanted or ("default" in wanted and spec.default))
        and (not read_only or spec.annotations.read_only_hint)
        and ALLOWED.index(needed(spec.tier, "paper")) <= ALLOWED.index(allow)
    ]


def as_data(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its absent (None) facts."""
    return {name: item for name, item in value.items() if item is not None}
