"""Migrations: an old journal is upgraded whole or not at all, and a newer one is not touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import Journal, database, migrations, schema
from ccxt_mcp.journal.migrations import STEPS, Step
from journal.orders import new_alert, new_intent, no_limit

Another = Callable[[], Journal]


def program_knows(monkeypatch: pytest.MonkeyPatch, steps: tuple[Step, ...]) -> None:
    for module in (migrations, database):
        monkeypatch.setattr(module, "STEPS", steps)


async def tables(journal: Journal) -> dict[str, set[tuple[str, bool]]]:
    """Return the tables of a journal, and for each column its name and whether it may be empty."""

    def look(connection: Connection) -> dict[str, set[tuple[str, bool]]]:
        found = inspect(connection)
        keys = {name: found.get_pk_constraint(name)["constrained_columns"] for name in found.get_table_names()}
        return {
            name: {
                (column["name"], column["nullable"] and column["name"] not in keys[name])
                for column in found.get_columns(name)
            }
            for name in keys
        }

    return await journal._database.read(look)


async def version(journal: Journal) -> Any:
    return await journal._database.read(lambda c: c.exec_driver_sql("SELECT version FROM journal_version").scalar())


async def test_the_steps_lead_to_the_tables_that_the_program_uses(journal: Journal):
    wanted = {
        table.name: {(column.name, bool(column.nullable)) for column in table.columns}
        for table in schema.metadata.tables.values()
    }
    assert await tables(journal) == wanted
    assert await version(journal) == len(STEPS)


async def test_a_journal_of_the_first_version_is_upgraded_and_keeps_what_it_has(
    journals: Another, monkeypatch: pytest.MonkeyPatch
):
    program_knows(monkeypatch, STEPS[:1])
    old = journals()
    reserved = await old.reserve(new_intent(), check=no_limit)
    intent = await old.settle(reserved.intent.id, "accepted", order={"id": "7"})
    await old.close()
    assert await version(journals()) == 1
    program_knows(monkeypatch, STEPS)
    new = journals()
    assert await new.get("kraken", "main", "client-a") == intent
    async with new.paper.open("kraken", "paper") as ledger:
        ledger.save({})
    assert await version(new) == len(STEPS)
    assert (await new.verify()).rows == 2


async def test_a_journal_of_the_version_before_alerts_is_upgraded_and_keeps_what_it_has(
    journals: Another, monkeypatch: pytest.MonkeyPatch
):
    program_knows(monkeypatch, STEPS[:3])
    old = journals()
    intent = (await old.reserve(new_intent(), check=no_limit)).intent
    halt = await old.halt("kraken/main", by="operator", why="a strange fill")
    async with old.paper.open("kraken", "paper") as ledger:
        ledger.save({"count": 1})
    await old.close()
    assert await version(journals()) == 3
    program_knows(monkeypatch, STEPS)
    new = journals()
    assert await new.alerts.all() == []
    assert await version(new) == 4
    await new.alerts.add(new_alert())
    assert await new.get_id(intent.id) is not None
    assert await new.halts() == [halt]
    async with new.paper.open("kraken", "paper") as ledger:
        assert ledger.state == {"count": 1}
    assert (await new.verify()).first_bad is None


async def test_a_file_that_the_first_version_wrote_is_upgraded(tmp_path: Path):
    path = tmp_path / "journal.db"
    file = sqlite3.connect(path)
    file.executescript((Path(__file__).parent / "version1.sql").read_text())
    file.close()
    async with Journal(path) as journal:
        (intent,) = await journal.unresolved()
        assert (intent.client_order_id, intent.state, intent.raises_risk) == ("client-a", "open", True)
        assert await journal.paper.accounts() == []
        assert await journal.alerts.all() == []
        verified = await journal.verify()
    assert (verified.rows, verified.first_bad) == (3, None)


async def test_an_upgrade_that_fails_leaves_the_old_version_as_it_was(
    journals: Another, monkeypatch: pytest.MonkeyPatch
):
    first = journals()
    await first.append("noted", who="tester")
    before = await tables(first)
    broken = Step(("CREATE TABLE journal_more (name TEXT)", "CREATE TABLE journal_more (name TEXT)"))
    program_knows(monkeypatch, (*STEPS, broken))
    with pytest.raises(Failure) as failed:
        await journals().halts()
    assert failed.value.code is Code.JOURNAL_UNAVAILABLE
    program_knows(monkeypatch, STEPS)
    after = journals()
    assert await tables(after) == before
    assert await version(after) == len(STEPS)


async def test_a_journal_that_is_newer_than_the_program_is_refused(journals: Another, monkeypatch: pytest.MonkeyPatch):
    program_knows(monkeypatch, (*STEPS, Step(("CREATE TABLE journal_more (name TEXT)",))))
    await journals().halts()
    program_knows(monkeypatch, STEPS)
    with pytest.raises(Failure) as refused:
        await journals().halts()
    assert refused.value.code is Code.JOURNAL_UNAVAILABLE
    known = len(STEPS)
    told = f"The journal has version {known + 1}; this program knows versions up to {known}."
    assert refused.value.message == told
    assert refused.value.hint == "Nothing was sent; a human upgrades ccxt-mcp-server."
