"""What an operator reads and resets beside the model: the audit, its check, and paper accounts."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from command_line import clean_environment, run

ORDER = ("symbol=BTC/USDT", "side=buy", "type=market", "amount=0.01")
PAPER = ("call", "trade_create_order", "exchange=simulator", "account=paper", *ORDER)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path)


@pytest.fixture
def traded(environment: dict[str, str]) -> dict[str, str]:
    """An environment in whose journal an order was placed."""
    placed = run(*PAPER, "client_order_id=mine-1", environment=environment)
    assert placed.returncode == 0, placed.stderr
    return environment


def rows(environment: dict[str, str], *words: str) -> list[dict[str, object]]:
    exported = run("journal", "--json", *words, environment=environment)
    assert exported.returncode == 0, exported.stderr
    return [json.loads(line) for line in exported.stdout.splitlines()]


def test_the_audit_tells_who_ordered_what_and_what_came_of_it_also_in_a_narrow_terminal(
    traded: dict[str, str],
) -> None:
    shown = run("journal", environment=traded).stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    told = " ".join(shown.split())
    for word in ("reserved", "outcome", "simulator/paper", "mine-1", "trade_create_order", "symbol BTC/USDT"):
        assert word in told


def test_rows_are_chosen_by_event_order_account_and_time(traded: dict[str, str]) -> None:
    everything = rows(traded)
    assert [row["event"] for row in everything] == ["reserved", "outcome"]
    assert rows(traded, "--event", "outcome") == everything[1:]
    assert rows(traded, "--order", "mine-1", "--exchange", "simulator", "--account", "paper") == everything
    assert rows(traded, "--order", "another") == rows(traded, "--since", "2100-01-01") == []
    assert rows(traded, "--limit", "1") == everything[-1:]
    assert "no such rows" in run("journal", "--order", "another", environment=traded).stdout


def test_a_changed_row_and_a_missing_end_are_found(traded: dict[str, str], tmp_path: Path) -> None:
    sound = run("journal", "--verify", environment=traded)
    said = "".join(sound.stdout.split())
    assert (sound.returncode, said.startswith("Sound:2rows.")) == (0, True)
    (head,) = re.findall(r"2:[0-9a-f]{64}", said)
    assert run("journal", "--verify", "--head", head, environment=traded).returncode == 0
    longer = head.replace("2:", "3:", 1)
    assert run("journal", "--verify", "--head", longer, environment=traded).returncode == 1
    assert run("journal", "--verify", "--head", "nonsense", environment=traded).returncode == 2

    with sqlite3.connect(tmp_path / "data" / "journal.sqlite3") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE journal_audit SET who = 'nobody' WHERE seq = 2")
    database.close()
    found = run("journal", "--verify", environment=traded)
    assert (found.returncode, "Not sound from row 2 on" in found.stdout) == (1, True)


def test_a_paper_account_begins_anew(traded: dict[str, str]) -> None:
    def bitcoin() -> float:
        told = run("call", "account_balance", "exchange=simulator", "account=paper", "--json", environment=traded)
        table = json.loads(told.stdout)["data"]["balances"]
        (row,) = (row for row in table["rows"] if row[0] == "BTC")
        return row[table["columns"].index("total")]

    assert bitcoin() != 1
    assert "1 paper account reset." in run("paper", "reset", "simulator", environment=traded).stdout
    assert bitcoin() == 1
    assert rows(traded, "--event", "paper_reset")[0]["account"] == "paper"
