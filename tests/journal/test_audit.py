"""The audit: rows are only added, and what was done to them otherwise is found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.journal import Journal, Verified
from journal.orders import Moment

ROWS = 12
COLUMNS = ["time_ms", "event", "who", "tool", "exchange", "account", "mode", "client_order_id", "facts", "prev", "hash"]


async def fill(journal: Journal, rows: int = ROWS) -> None:
    for place in range(1, rows + 1):
        await journal.append("noted", who=f"tester {place}", exchange="kraken", facts={"place": place})


async def test_a_row_holds_what_was_said_and_the_hash_of_the_one_before(journal: Journal, clock: Moment):
    first = await journal.append("noted", who="tester", tool="trade_create_order", facts={"amount": "1", "a": None})
    second = await journal.append(
        "refused", who="tester", exchange="kraken", account="main", mode="live", client_order_id="c"
    )
    assert (first.seq, first.prev, first.time_ms) == (1, "0" * 64, clock.now)
    assert first.facts == {"amount": "1", "a": None}
    assert (second.seq, second.prev) == (2, first.hash)
    assert (await journal.read()).rows == [second, first]
    assert await journal.verify() == Verified(rows=2, head=second.hash)


async def test_an_empty_audit_is_sound(journal: Journal):
    assert await journal.verify() == Verified(rows=0, head="0" * 64)


async def test_whoever_has_the_rows_can_compute_their_hashes(journal: Journal):
    entry = await journal.append("halted", who="tester", facts={"b": "é", "a": 1})
    row: dict[str, Any] = {name: getattr(entry, name) for name in ["seq", *COLUMNS] if name != "hash"}
    row["facts"] = json.dumps(entry.facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = json.dumps(row, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == entry.hash


async def test_text_that_no_database_takes_is_kept_all_the_same(journal: Journal):
    facts = {"name": "nul \x00, half a pair \ud800, and \u202e"}
    await journal.append("noted", who="a\x00b\ud800c", client_order_id="x\x00", facts=facts)
    (entry,) = (await journal.read()).rows
    assert entry.facts == {"name": "nul \x00, half a pair ?, and \u202e"}
    assert (entry.who, entry.client_order_id) == ("abc", "x")
    assert (await journal.verify()).first_bad is None


async def test_rows_are_found_by_what_they_are_about(journal: Journal, clock: Moment):
    start = clock.now
    for exchange, account, event, order in [
        ("kraken", "main", "noted", "a"),
        ("kraken", "second", "refused", "b"),
        ("bybit", "main", "refused", "c"),
    ]:
        await journal.append(event, who="tester", exchange=exchange, account=account, client_order_id=order)  # type: ignore[arg-type] - a plain list of words
        clock.now += 10

    async def found(**filters: Any) -> str:
        return "".join(row.client_order_id or "" for row in (await journal.read(**filters, newest_first=False)).rows)

    assert await found() == "abc"
    assert await found(exchange="kraken") == "ab"
    assert await found(account="main") == "ac"
    assert await found(event="refused", account="main") == "c"
    assert await found(client_order_id="b") == "b"
    assert await found(since=start + 10) == "bc"
    assert await found(until=start + 10) == "a"
    assert await found(event="halted") == ""


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_show_every_row_once(journal: Journal, newest_first: bool):
    await fill(journal, 7)
    seen: list[int] = []
    cursor = None
    while True:
        page = await journal.read(limit=3, cursor=cursor, newest_first=newest_first)
        seen += [row.seq for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted(range(1, 8), reverse=newest_first)


async def test_writers_at_once_make_one_chain(journals: Callable[[], Journal]):
    writers = [journals(), journals(), journals()]
    await asyncio.gather(*(fill(writer, 8) for writer in writers))
    verified = await journals().verify()
    assert (verified.rows, verified.first_bad) == (24, None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_audit SET who = 'nobody'",
        "DELETE FROM journal_audit",
        "DELETE FROM journal_audit WHERE seq = 2",
        "INSERT OR REPLACE INTO journal_audit SELECT * FROM journal_audit WHERE seq = 2",
        "TRUNCATE journal_audit",
    ],
)
async def test_the_database_itself_refuses_to_change_a_row(journal: Journal, url: str, statement: str):
    await fill(journal, 3)
    dialect_only = {"INSERT OR": "sqlite", "TRUNCATE ": "postgresql"}.get(statement[:9])
    if dialect_only is not None and not url.startswith(dialect_only):
        pytest.skip("the other database knows no such statement")
    if url.startswith("sqlite"):
        file = sqlite3.connect(journal.place)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            file.execute(statement)
        file.close()
    else:
        connection = await asyncpg.connect(url)
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)
        await connection.close()
    assert (await journal.verify()).rows == 3


# -- tampering ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original() -> bytes:
    """The file of a journal with some rows."""

    async def make(path: Path) -> None:
        async with Journal(path, clock=Moment()) as journal:
            await fill(journal)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        asyncio.run(make(path))
        return path.read_bytes()


def verified(original: bytes, tamper: Callable[[sqlite3.Connection], object], known: Any = None) -> Verified:
    """Return what is found in a copy of the journal in which somebody who owns the file has worked."""

    async def look(path: Path) -> Verified:
        async with Journal(path, clock=Moment()) as journal:
            await journal.read()
            return await journal.verify(known)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        path.write_bytes(original)
        file = sqlite3.connect(path, isolation_level=None)
        for trigger in ("update", "delete", "replace"):
            file.execute(f"DROP TRIGGER journal_audit_no_{trigger}")
        tamper(file)
        file.close()
        return asyncio.run(look(path))


VALUES = st.one_of(st.text(max_size=8), st.integers(0, 10**15), st.binary(max_size=8), st.floats(allow_nan=False))


@settings(max_examples=60, deadline=None)
@given(seq=st.integers(1, ROWS), column=st.sampled_from(COLUMNS), value=VALUES)
def test_any_changed_value_is_found(original: bytes, seq: int, column: str, value: Any):
    changed = True

    def tamper(file: sqlite3.Connection) -> None:
        nonlocal changed
        look = f"SELECT typeof({column}), {column} FROM journal_audit WHERE seq = ?"
        file.text_factory = bytes
        before = file.execute(look, (seq,)).fetchone()
        file.execute(f"UPDATE journal_audit SET {column} = ? WHERE seq = ?", (value, seq))
        changed = before != file.execute(look, (seq,)).fetchone()

    found = verified(original, tamper)
    assert found.first_bad == (seq if changed else None)
    assert found.rows == (seq - 1 if changed else ROWS)


@settings(max_examples=15, deadline=None)
@given(seqs=st.sets(st.integers(1, ROWS - 1), min_size=1))
def test_rows_taken_out_of_the_middle_are_found(original: bytes, seqs: set[int]):
    def tamper(file: sqlite3.Connection) -> None:
        file.executemany("DELETE FROM journal_audit WHERE seq = ?", [(seq,) for seq in seqs])

    assert verified(original, tamper).first_bad == min(seqs)


@settings(max_examples=15, deadline=None)
@given(seqs=st.sets(st.integers(1, ROWS), min_size=2, max_size=2))
def test_rows_that_changed_places_are_found(original: bytes, seqs: set[int]):
    first, second = sorted(seqs)

    def tamper(file: sqlite3.Connection) -> None:
        for was, becomes in ((first, 99), (second, first), (99, second)):
            file.execute("UPDATE journal_audit SET seq = ? WHERE seq = ?", (becomes, was))

    assert verified(original, tamper).first_bad == first


def test_a_row_that_was_put_in_is_found(original: bytes):
    def tamper(file: sqlite3.Connection) -> None:
        file.execute("UPDATE journal_audit SET seq = seq + 100 WHERE seq > 4")
        file.execute(
            "INSERT INTO journal_audit SELECT 5, time_ms, event, who, tool, exchange, account, mode, client_order_id,"
            " facts, hash, hash FROM journal_audit WHERE seq = 4"
        )
        file.execute("UPDATE journal_audit SET seq = seq - 99 WHERE seq > 100")

    found = verified(original, tamper)
    assert (found.first_bad, found.why) == (5, "row 5 was changed: its hash is not that of its content")


def test_rows_missing_at_the_end_are_found_by_a_head_that_was_kept(original: bytes):
    whole = verified(original, lambda _: None)

    def tamper(file: sqlite3.Connection) -> None:
        file.execute("DELETE FROM journal_audit WHERE seq > 9")

    assert verified(original, tamper).first_bad is None
    found = verified(original, tamper, (whole.rows, whole.head))
    assert (found.rows, found.first_bad) == (9, 10)
    assert found.why == "rows are missing at the end: row 12 is known to have been there"


def test_an_end_that_was_made_anew_is_found_by_a_head_that_was_kept(original: bytes):
    whole = verified(original, lambda _: None)

    async def make_anew(path: Path) -> None:
        async with Journal(path, clock=Moment()) as journal:
            for place in range(9, ROWS + 1):
                await journal.append("noted", who="somebody else", facts={"place": place})

    def tamper(file: sqlite3.Connection) -> None:
        file.execute("DELETE FROM journal_audit WHERE seq > 8")
        path = Path(file.execute("PRAGMA database_list").fetchone()[2])
        asyncio.run(make_anew(path))

    assert verified(original, tamper).first_bad is None
    found = verified(original, tamper, (whole.rows, whole.head))
    assert (found.first_bad, found.why) == (
        12,
        "row 12 is not the one whose hash was kept: the rows up to it were made anew",
    )


def test_a_head_that_was_kept_proves_what_has_grown_since(original: bytes):
    whole = verified(original, lambda _: None)

    async def grow(path: Path) -> Verified:
        async with Journal(path, clock=Moment()) as journal:
            await fill(journal, 3)
            return await journal.verify((whole.rows, whole.head))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        path.write_bytes(original)
        grown = asyncio.run(grow(path))
    assert (grown.rows, grown.first_bad) == (ROWS + 3, None)
