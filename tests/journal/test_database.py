"""The database: made for its owner alone, opened late, closed cleanly, and honest about why it cannot be used."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Engine, event

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Journal
from journal.orders import Moment, new_intent, no_limit

Another = Callable[[], Journal]


async def complaint(journal: Journal) -> str:
    """Return why a journal cannot be used."""
    async with journal:
        with pytest.raises(Failure) as failed:
            await journal.append("noted", who="tester", facts={"long": "x" * 100_000})
    assert failed.value.code is Code.JOURNAL_UNAVAILABLE
    return failed.value.message


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_in(folder: Path) -> dict[str, int]:
    return {file.name: mode(file) for file in folder.iterdir()}


# -- life --------------------------------------------------------------------------------------------------------------


async def test_nothing_is_made_before_it_is_used(tmp_path: Path):
    async with Journal(tmp_path / "data" / "journal.db") as journal:
        assert journal.place == str(tmp_path / "data" / "journal.db")
    assert files_in(tmp_path) == {}


async def test_a_new_file_is_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "data" / "journal.db"
    async with Journal(path) as journal:
        await journal.append("noted", who="tester")
        names = ("journal.db", "journal.db-wal", "journal.db-shm")
        assert files_in(path.parent) == dict.fromkeys(names, 0o600)
        assert mode(path.parent) == 0o700
    assert files_in(path.parent) == {"journal.db": 0o600}


def test_a_folder_and_a_file_that_are_there_keep_their_modes(tmp_path: Path):
    async def use(path: Path) -> None:
        async with Journal(path) as journal:
            await journal.halts()

    path = tmp_path / "journal.db"
    path.touch()
    path.chmod(0o640)
    tmp_path.chmod(0o750)
    asyncio.run(use(path))
    assert (mode(path), mode(tmp_path)) == (0o640, 0o750)


async def test_every_commit_of_a_file_is_synchronised(tmp_path: Path):
    async with Journal(tmp_path / "journal.db") as journal:
        await journal.halts()
        words = ("journal_mode", "synchronous", "foreign_keys")
        found = await journal._database.read(lambda c: [c.exec_driver_sql(f"PRAGMA {word}").scalar() for word in words])
    assert found == ["wal", 2, 1]


async def test_a_server_that_does_not_wait_for_its_disk_is_told_to(postgres: str):
    async with Journal(f"{postgres}&search_path=public&synchronous_commit=off") as journal:
        words = ("synchronous_commit", "transaction_isolation", "lock_timeout", "application_name")
        found = await journal._database.read(lambda c: [c.exec_driver_sql(f"SHOW {word}").scalar() for word in words])
    assert found == ["on", "read committed", "10s", "ccxt-mcp"]


async def test_a_closed_journal_says_so(journal: Journal):
    await journal.halts()
    await journal.close()
    await journal.close()
    with pytest.raises(Failure, match="The journal's database is closed"):
        await journal.halts()
    with pytest.raises(Failure, match="The journal's database is closed"):
        await journal.paper.open("kraken", "paper").__aenter__()


async def test_hundreds_of_callers_share_a_few_connections(journal: Journal):
    found = await asyncio.gather(*(journal.get("kraken", "main", str(n)) for n in range(300)))
    assert set(found) == {None}


def test_records_need_no_sql():
    code = "import sys, ccxt_mcp.journal; print('sqlalchemy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_what_a_journal_does_not_have_is_missing():
    import ccxt_mcp.journal

    with pytest.raises(AttributeError, match="no attribute 'Ledgers'"):
        _ = ccxt_mcp.journal.Ledgers


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("/var/lib/journal.db", "/var/lib/journal.db"),
        ("sqlite:////var/lib/journal.db", "/var/lib/journal.db"),
        ("sqlite:///journal.db", "journal.db"),
        ("sqlite:///~/journal.db", str(Path.home() / "journal.db")),
        ("journal?.db", "journal?.db"),
        ("postgresql://user:secret@host:5432/desk?sslmode=require", "postgresql://host:5432/desk"),
        ("postgres://user:secret@host/desk", "postgresql://host/desk"),
        ("postgresql+asyncpg://host/desk", "postgresql://host/desk"),
    ],
)
def test_an_address_is_shown_without_user_and_password(written: str, place: str):
    journal = Journal(written)
    assert journal.place == place
    assert "secret" not in repr(journal._database.address)


@pytest.mark.parametrize(
    "written", ["", ":memory:", "sqlite://", "sqlite:///:memory:", "mysql://user:secret@host/desk"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(written: str):
    with pytest.raises(Failure) as refused:
        Journal(written)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert "secret" not in refused.value.message


async def test_a_missing_driver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    async with Journal("postgresql://host/desk") as journal:
        with pytest.raises(Failure) as missing:
            await journal.halts()
    assert missing.value.code is Code.JOURNAL_UNAVAILABLE
    assert "pip install ccxt-mcp-server[postgres]" in missing.value.hint


# -- files that cannot be used -----------------------------------------------------------------------------------------


@pytest.fixture
def pragmas() -> Iterator[list[str]]:
    """Settings that every new connection gets besides ours: SQLite's own way to run out of disk or of rights."""
    words: list[str] = []

    def prepare(driver: sqlite3.Connection, _: object) -> None:
        for word in words:
            driver.execute(f"PRAGMA {word}")

    event.listen(Engine, "connect", prepare)
    yield words
    event.remove(Engine, "connect", prepare)


@pytest.mark.parametrize(
    ("pragma", "why"),
    [
        ("max_page_count=1", "The journal's database cannot be written: the disk is full."),
        ("query_only=ON", "The journal's database cannot be written: the file or its folder is read-only."),
    ],
)
async def test_a_disk_that_takes_no_more_is_told(tmp_path: Path, pragmas: list[str], pragma: str, why: str):
    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        await journal.append("noted", who="tester")
    pragmas.append(pragma)
    assert await complaint(Journal(path)) == why
    pragmas.clear()
    async with Journal(path) as journal:
        assert (await journal.verify()).rows == 1


async def test_an_outcome_that_cannot_be_written_asks_to_look_the_order_up(tmp_path: Path, pragmas: list[str]):
    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        intent = (await journal.reserve(new_intent(), check=no_limit)).intent
    pragmas.append("query_only=ON")
    async with Journal(path) as journal:
        with pytest.raises(Failure) as failed:
            await journal.settle(intent.id, "accepted", order={"id": "7"})
    assert failed.value.code is Code.JOURNAL_UNAVAILABLE
    assert failed.value.hint.startswith("The order may be at work")


async def test_a_file_that_is_no_database_is_told(tmp_path: Path):
    path = tmp_path / "journal.db"
    path.write_bytes(random.Random(1).randbytes(10_000))
    why = "The journal's database is damaged, or no journal at all: restore it from a copy."
    assert await complaint(Journal(path)) == why


async def test_a_damaged_file_is_told(tmp_path: Path):
    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        for _ in range(20):
            await journal.append("noted", who="tester", facts={"long": "x" * 2_000})
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    assert await complaint(Journal(path)) == "The journal's database is damaged: restore it from a copy."


async def test_the_file_of_another_program_is_left_alone(tmp_path: Path):
    path = tmp_path / "journal.db"
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE photographs (name TEXT)")
    file.close()
    assert await complaint(Journal(path)) == "The journal's file is the database of another program."


async def test_a_place_where_no_file_can_be_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    assert "cannot be opened or reached: file exists" in await complaint(Journal(tmp_path / "file" / "journal.db"))
    assert "cannot be opened or reached: is a directory" in await complaint(Journal(tmp_path))


async def test_a_file_that_another_program_holds_is_waited_for_and_then_told(tmp_path: Path):
    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        await journal.append("noted", who="tester")
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    why = "The journal's database is held by another process and did not become free in time."
    assert await complaint(Journal(path, wait=0.05)) == why
    async with Journal(path) as journal:
        waiting = asyncio.create_task(journal.append("noted", who="tester"))
        await journal.halts()
        assert not waiting.done()
        holder.execute("COMMIT")
        assert (await waiting).seq == 2
    holder.close()


# -- servers that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("tester@", "stranger@"), "refuses the user or the password"),
        (("/postgres?", "/missing?"), "does not exist on that server"),
        (("?host=", "?host=/missing"), "cannot be opened or reached: no such file or directory"),
        (("postgresql://tester@/postgres?host=", "postgresql://tester@127.0.0.1:1/postgres?x="), "cannot be opened"),
    ],
)
async def test_a_server_that_cannot_be_used_is_told(postgres: str, change: tuple[str, str], why: str):
    message = await complaint(Journal(postgres.replace(*change)))
    assert why in message
    assert "tester" not in message


async def test_a_connection_that_broke_is_replaced(postgres: str):
    async with Journal(postgres) as journal:
        await journal.halts()
        admin = await asyncpg.connect(postgres)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ccxt-mcp'"
        )
        await admin.close()
        assert await journal.halts() == []


async def test_a_read_only_server_is_told(postgres: str):
    async with Journal(postgres) as journal:
        await journal.halts()
    why = "The journal's database cannot be written: the server is read-only."
    assert await complaint(Journal(f"{postgres}&default_transaction_read_only=on")) == why


async def test_a_lock_that_another_process_keeps_is_waited_for_and_then_told(
    url: str, clock: Moment, journals: Another
):
    async with journals().paper.open("kraken", "paper"), Journal(url, clock=clock, wait=0.2) as hasty:
        with pytest.raises(Failure, match="did not become free in time"):
            await hasty.paper.open("kraken", "paper").__aenter__()


async def test_a_journal_waits_for_itself_no_longer_than_for_others(tmp_path: Path):
    async with Journal(tmp_path / "journal.db", wait=0.2) as journal, journal.paper.open("kraken", "paper"):
        with pytest.raises(Failure, match="does not answer in time"):
            await journal.append("noted", who="tester")
