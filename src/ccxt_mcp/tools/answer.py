"""Answers as a client receives them: an envelope as structured content and as text, never above the cap."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any, NamedTuple, Self

import orjson
from mcp.types import CallToolResult, TextContent

from ccxt_mcp.envelope import Envelope, Metadata, Table
from ccxt_mcp.tools.plain import plain
from ccxt_mcp.tools.wording import headline, row_line, worded

_CLIPS = (None, 4096, 512, 64, 8)  # characters of a text, items of a list, tried one after the other
_SLACK = 64  # bytes by which a table's cursor and note may differ from those of its empty page
_FRAME_BYTES = len(b'{"success":true,"data":,"metadata":}')


class _Body(NamedTuple):
    """Data in both channels; the same in every answer with this data."""

    structured: Any
    text: str
    json_bytes: int
    text_bytes: int

    @classmethod
    def of(cls, data: Any) -> Self:
        """Return the body of plain data."""
        structured, text = _structured(data), worded(data)
        return cls(structured, text, len(orjson.dumps(structured)), len(text.encode()))


class _Rendered(NamedTuple):
    """Both channels of an answer, and their bytes; each is complete by itself, since clients show either.

    Attributes:
        structured: the structured content.
        text: the text.
        sizes: the bytes of the structured content as compact JSON, and of the text.
    """

    structured: dict[str, Any]
    text: str
    sizes: tuple[int, int]

    def fits(self, cap: int) -> bool:
        return max(self.sizes) <= cap

    def result(self, *, is_error: bool = False) -> CallToolResult:
        content = TextContent(type="text", text=self.text)
        return CallToolResult(content=[content], structured_content=self.structured, is_error=is_error)


def answer(envelope: Envelope, *, cap: int) -> CallToolResult:
    """Return what the client receives: the same facts as structured content and as text.

    Lists are tables, None values are left out of objects, numbers are the exchange's. A failure is one compact JSON
    object in both channels, since some clients drop the structured content of failures.

    Args:
        envelope: the answer.
        cap: bytes that neither channel exceeds, at least 1024. Rows that do not fit are cut off the longest tables,
            which then say so in a note, and by `next` where their cursors are positions. Only when that is not
            enough, long texts and lists are cut, each saying so in its place.
    """
    if envelope.failure is not None:
        return _failed(envelope, cap).result(is_error=True)
    whole = _rendered(envelope.metadata, envelope.shaped(_plain_body).data)
    return (whole if whole.fits(cap) else _shortened(envelope, plain(envelope.data), cap)).result()


def _failed(envelope: Envelope, cap: int) -> _Rendered:
    failure = _structured(plain(envelope.to_dict()))
    for clip in _CLIPS:
        rendered = _in_json(_clipped(failure, clip))
        if rendered.fits(cap):
            return rendered
    failure["error"].pop("details", None)
    return _in_json(_clipped(failure, 64))


def _in_json(structured: dict[str, Any]) -> _Rendered:
    text = orjson.dumps(structured)
    return _Rendered(structured, text.decode(), (len(text), len(text)))


def _plain_body(data: Any) -> _Body:
    return _Body.of(plain(data))


def _rendered(metadata: Metadata, body: _Body) -> _Rendered:
    facts, line = metadata.to_dict(), headline(metadata)
    sizes = _FRAME_BYTES + len(orjson.dumps(facts)) + body.json_bytes, len(line.encode()) + body.text_bytes
    return _Rendered({"success": True, "data": body.structured, "metadata": facts}, line + body.text, sizes)


def _structured(data: Any) -> Any:
    if isinstance(data, Table):
        return data.to_dict()
    if isinstance(data, dict):
        return {name: _structured(item) for name, item in data.items()}
    return [_structured(item) for item in data] if isinstance(data, list) else data


def _shortened(envelope: Envelope, data: Any, cap: int) -> _Rendered:
    """Return as much of the answer as fits: fewer rows first, then also shorter texts and lists."""
    for clip in _CLIPS:
        clipped = _clipped(data, clip)
        rows = _rows_within(envelope, clipped, cap)
        for most in (rows,) if clip != _CLIPS[-1] else (rows, 0):
            if most is not None:
                shortened = _rendered(envelope.metadata, _Body.of(_with_rows(clipped, most, cap)))
                if shortened.fits(cap):
                    return shortened
    note = {"note": f"The answer has more than {cap} bytes; ask for less at once."}
    return _rendered(envelope.metadata, _Body.of(note))


def _rows_within(envelope: Envelope, data: Any, cap: int) -> int | None:
    """Return the most rows that every table may have for the answer to fit, or None when not even one fits.

    It adds up the bytes of rows instead of rendering each possible answer.
    """
    tables = [table for table in _tables(data) if table.rows]
    bare = _rendered(envelope.metadata, _Body.of(_with_rows(data, 0, cap))).sizes
    longest = max((len(table.rows) for table in tables), default=1)
    best = longest
    for size, bytes_of in zip(bare, (_json_bytes, _text_bytes), strict=True):
        heights = [list(accumulate(map(bytes_of, table.rows), initial=0)) for table in tables]

        def taken(most: int, heights: list[list[int]] = heights) -> int:
            return sum(height[min(most, len(height) - 1)] for height in heights)

        room = cap - size - _SLACK * len(tables)
        best = min(best, bisect_right(range(longest + 1), room, key=taken) - 1)
    return best if best >= 1 else None


def _json_bytes(row: list[Any]) -> int:
    return len(orjson.dumps(row)) + 1


def _text_bytes(row: list[Any]) -> int:
    return len(row_line(row).encode()) + 1


def _tables(data: Any) -> Iterator[Table]:
    if isinstance(data, Table):
        yield data
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _tables(item)


def _with_rows(data: Any, most: int, cap: int) -> Any:
    """Return the data with at most so many rows in each table."""
    if isinstance(data, Table):
        return data if len(data.rows) <= most else _cut(data, most, cap)
    if isinstance(data, dict):
        return {name: _with_rows(item, most, cap) for name, item in data.items()}
    return [_with_rows(item, most, cap) for item in data] if isinstance(data, list) else data


def _cut(table: Table, most: int, cap: int) -> Table:
    """Return the table's first rows, with how to get the others.

    A cursor that is no position leads to what follows the uncut page, and would skip the rows cut off: it is dropped.
    """
    following = str(table.start + most) if table.start is not None and most else None
    how = f"pass cursor={following} for the rest" if following else "ask for fewer rows or fields"
    note = f"Cut to {most} of {len(table.rows)} rows, as answers end at {cap} bytes; {how}."
    return replace(
        table,
        rows=table.rows[:most],
        next=following,
        note=f"{table.note} {note}" if table.note else note,
    )


def _clipped(value: Any, most: int | None) -> Any:
    """Return the value with at most so many characters in each text and items in each list or object."""
    if most is None:
        return value
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}… [cut, {len(value)} characters]"
    if isinstance(value, Table):
        rows = [_clipped(row, most) for row in value.rows]
        return replace(value, columns=tuple(_clipped(list(value.columns), most)), rows=rows)
    if isinstance(value, dict):
        first = {_clipped(name, most): _clipped(value[name], most) for name in list(value)[:most]}
        return first if len(value) <= most else first | {"…": f"[cut, {len(value)} entries]"}
    if isinstance(value, list):
        first_items = [_clipped(item, most) for item in value[:most]]
        return first_items if len(value) <= most else [*first_items, f"… [cut, {len(value)} items]"]
    return value
