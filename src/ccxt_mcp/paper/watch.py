"""A watch: how far a market has been followed, for an account that has orders or a position there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from ccxt_mcp.paper.engine.money import text
from ccxt_mcp.paper.feed import Candle, Funding

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Watch:
    """How far a market has been followed; all times in milliseconds since the epoch.

    Attributes:
        time: what happened until then is known.
        funded: fundings until then were paid.
        coming: the next funding, as it was announced.
        minute: the candle that was running at `time`, as far as it was known.
    """

    time: int
    funded: int
    coming: Funding | None = None
    minute: Candle | None = None

    @classmethod
    def begun(cls, now: int) -> Self:
        """Return a watch that begins now."""
        return cls(now, now)

    def to_dict(self) -> dict[str, Any]:
        """The watch in JSON's types; numbers as text."""
        return {
            "time": self.time,
            "funded": self.funded,
            "coming": self.coming and [self.coming.time, text(self.coming.rate)],
            "minute": self.minute and [self.minute.time, *(text(price) for price in self.minute[1:])],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        coming, minute = document["coming"], document["minute"]
        return cls(
            document["time"],
            document["funded"],
            coming and Funding(coming[0], Decimal(coming[1])),
            minute and Candle(minute[0], *(Decimal(price) for price in minute[1:])),
        )
