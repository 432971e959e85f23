"""The TAPS 1.0.0 response envelope: one shape for every answer, success or failure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ccxt_mcp.kept import Kept

VERSION = "TAPS-1.0.0"

Mode = Literal["live", "testnet", "paper", "simulated"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of the request budget.

    Attributes:
        remaining: cost units that may be spent now (ccxt's weights of the exchange's endpoints).
        reset: milliseconds since the epoch at which the whole budget is free again.
    """

    remaining: float
    reset: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; a whole number of units has no fraction."""
        whole = self.remaining % 1 == 0
        return {"remaining": int(self.remaining) if whole else self.remaining, "reset": self.reset}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is true of an answer besides its data; see docs/envelope.md for the JSON names."""

    request_id: str
    timestamp: int
    exchange: str | None = None
    mode: Mode | None = None
    account: str | None = None
    rate_limit: RateLimit | None = None
    cached: bool = False
    age_ms: int = 0
    stale: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object with the standard's field names; absent facts are left out."""
        fields: dict[str, Any] = {
            "exchange": self.exchange,
            "timestamp": self.timestamp,
            "rateLimit": None if self.rate_limit is None else self.rate_limit.to_dict(),
            "version": VERSION,
            "mode": self.mode,
            "account": self.account,
            "cached": self.cached,
            "ageMs": self.age_ms,
            "stale": self.stale,
            "requestId": self.request_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Table:
    """A list as columns and rows, so that no name is repeated for every row.

    Attributes:
        columns: the names of the values in each row.
        rows: the rows of this page.
        next: the cursor of the following page, when there is one.
        total: how many rows there are on all pages, where that is known.
        note: a sentence for the reader, such as why rows are missing.
        start: the position of the first row in the whole list, where cursors are such positions.
    """

    columns: tuple[str, ...]
    rows: list[list[Any]] = field(default_factory=list[list[Any]])
    next: str | None = None
    total: int | None = None
    note: str | None = None
    start: int | None = None

    @classmethod
    def page(
        cls,
        columns: Sequence[str],
        items: Sequence[Any],
        *,
        cursor: str | None,
        limit: int,
        row: Callable[[Any], list[Any]] = list,
    ) -> Self:
        """Return one page of a list; its cursor is the position of the page's first item.

        Args:
            columns: the names of the values in each row.
            items: the whole list, in an order that stays the same from page to page.
            cursor: `next` of the page before; None for the first page.
            limit: at most so many rows.
            row: makes an item's row; called for the items of this page only.

        Raises:
            Failure: INVALID_ARGUMENT for a cursor that no page ever had.
        """
        start = _position(cursor)
        end = start + limit
        return cls(
            columns=tuple(columns),
            rows=[row(item) for item in items[start:end]],
            next=str(end) if end < len(items) else None,
            total=len(items),
            start=start,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the columnar JSON object; absent facts are left out."""
        optional = {"total": self.total, "next": self.next, "note": self.note}
        return {"columns": list(self.columns), "rows": self.rows} | {k: v for k, v in optional.items() if v is not None}


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    if cursor.isascii() and cursor.isdecimal() and len(cursor) <= 9:
        return int(cursor)
    raise Failure(
        Code.INVALID_ARGUMENT,
        f"cursor is {clean_text(cursor, 40)!r}, which is no page.",
        hint="Pass next of the page before, or leave cursor out for the first page.",
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """One answer: data or a failure, and its metadata.

    Attributes:
        kept: the data, where other answers may have the same, with what was made of it already.
    """

    metadata: Metadata
    data: Any = None
    failure: Failure | None = None
    kept: Kept | None = field(default=None, repr=False, compare=False)

    @property
    def success(self) -> bool:
        """Whether there is data."""
        return self.failure is None

    def map(self, shape: Callable[[Any], Any]) -> Self:
        """Return the same answer with its data shaped, however that depends on the call; a failure stays as it is."""
        return self if self.failure is not None else type(self)(self.metadata, shape(self.data))

    def shaped(self, shape: Callable[..., Any], *arguments: Hashable) -> Self:
        """Return the same answer with `shape(data, *arguments)` as data; a failure stays as it is.

        Answers with the same data have it shaped once; see `Kept.made` for what that asks of the shape.
        """
        if self.kept is None or self.failure is not None:
            return self.map(lambda data: shape(data, *arguments))
        kept = self.kept.made(shape, *arguments)
        return type(self)(self.metadata, kept.value, kept=kept)

    def unwrap(self) -> Any:
        """Return the data, or raise the failure."""
        if self.failure is not None:
            raise self.failure
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that a client receives."""
        if self.failure is None:
            return {"success": True, "data": self.data, "metadata": self.metadata.to_dict()}
        return {
            "success": False,
            "error": error_dict(self.failure, self.metadata.exchange),
            "metadata": self.metadata.to_dict(),
        }


def combined(parts: Sequence[Envelope]) -> Metadata:
    """Return the metadata of an answer made of several: as old, as stale and as uncached as its worst part."""
    worst = max((part.metadata for part in parts), key=lambda metadata: metadata.age_ms)
    return replace(
        worst,
        cached=all(part.metadata.cached for part in parts),
        stale=any(part.metadata.stale for part in parts),
    )


def error_dict(failure: Failure, exchange: str | None = None) -> dict[str, Any]:
    """Return the JSON object of a failure: code, reason, message, and what to do next."""
    row = failure.code.value
    fields: dict[str, Any] = {
        "code": row.taps,
        "reason": row.reason,
        "message": failure.message,
        "exchange": exchange,
        "retryable": row.retryable,
        "retryAfterMs": None if failure.retry_after is None else max(1, round(failure.retry_after * 1000)),
        "hint": failure.hint,
        "details": failure.details,
    }
    return {name: value for name, value in fields.items() if value is not None}


def internal_failure() -> Failure:
    """Return the failure for a defect of ours: it tells nothing but that the log knows more."""
    return Failure(Code.INTERNAL, "Something went wrong inside the server.")
