"""Migrations: numbered steps that make the tables, and bring those of an older program up to date.

A step never changes once it was released. `schema.py` shows the tables as they are after the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, select

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.journal import schema
from ccxt_mcp.journal.locks import SCHEMA, lock


@dataclass(frozen=True, slots=True)
class Step:
    """What one version changes.

    Attributes:
        statements: for every database; `{number}` stands for a primary key that counts by itself, `{key}` for one
            that does not.
        sqlite: more for SQLite.
        postgresql: more for PostgreSQL.
    """

    statements: tuple[str, ...]
    sqlite: tuple[str, ...] = ()
    postgresql: tuple[str, ...] = ()


_ORDERS = Step(
    statements=(
        "CREATE TABLE journal_version (version INTEGER NOT NULL)",
        "INSERT INTO journal_version (version) VALUES (0)",
        """CREATE TABLE journal_intents (
            id {number}, exchange TEXT NOT NULL, account TEXT NOT NULL, mode TEXT NOT NULL, kind TEXT NOT NULL,
            client_order_id TEXT NOT NULL, sent_id TEXT NOT NULL, order_id TEXT, fingerprint TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'rejected', 'unknown')),
            raises_risk BOOLEAN NOT NULL, notional_usd TEXT, notional_micros BIGINT, request TEXT NOT NULL,
            "order" TEXT, error TEXT, who TEXT NOT NULL, tool TEXT NOT NULL, created_ms BIGINT NOT NULL,
            updated_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, owner TEXT NOT NULL, claimed_by TEXT,
            claimed_until_ms BIGINT, attempts INTEGER NOT NULL, note TEXT, ticket TEXT,
            UNIQUE (exchange, account, client_order_id))""",
        "CREATE UNIQUE INDEX journal_intents_sent ON journal_intents (exchange, account, sent_id) WHERE sent_id <> ''",
        "CREATE INDEX journal_intents_time ON journal_intents (exchange, account, created_ms)",
        "CREATE INDEX journal_intents_order ON journal_intents (exchange, account, order_id)",
        """CREATE INDEX journal_intents_in_flight ON journal_intents (exchange, account)
            WHERE state IN ('open', 'unknown')""",
        """CREATE TABLE journal_audit (
            seq {key}, time_ms BIGINT NOT NULL, event TEXT NOT NULL, who TEXT NOT NULL, tool TEXT,
            exchange TEXT, account TEXT, mode TEXT, client_order_id TEXT, facts TEXT NOT NULL, prev TEXT NOT NULL,
            hash TEXT NOT NULL)""",
        "CREATE INDEX journal_audit_intent ON journal_audit (client_order_id)",
        """CREATE TABLE journal_tickets (
            code TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, exchange TEXT NOT NULL, account TEXT NOT NULL,
            who TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'declined', 'used', 'expired')),
            facts TEXT NOT NULL, asked_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, decided_by TEXT, how TEXT,
            used_by BIGINT)""",
        """CREATE INDEX journal_tickets_alive ON journal_tickets (fingerprint)
            WHERE state IN ('waiting', 'approved')""",
        """CREATE TABLE journal_halts (
            scope TEXT PRIMARY KEY, "by" TEXT NOT NULL, why TEXT NOT NULL, since_ms BIGINT NOT NULL)""",
        """CREATE TABLE journal_marks (
            exchange TEXT NOT NULL, account TEXT NOT NULL, day INTEGER NOT NULL, value TEXT NOT NULL,
            PRIMARY KEY (exchange, account, day))""",
    ),
    sqlite=(
        """CREATE TRIGGER journal_audit_no_update BEFORE UPDATE ON journal_audit
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
        """CREATE TRIGGER journal_audit_no_delete BEFORE DELETE ON journal_audit
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
        # REPLACE deletes without asking the trigger for deletions.
        """CREATE TRIGGER journal_audit_no_replace BEFORE INSERT ON journal_audit
            WHEN EXISTS (SELECT 1 FROM journal_audit WHERE seq = NEW.seq)
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
    ),
    postgresql=(
        """CREATE FUNCTION journal_audit_append_only() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$""",
        """CREATE TRIGGER journal_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_audit
            FOR EACH STATEMENT EXECUTE FUNCTION journal_audit_append_only()""",
    ),
)

_PAPER = Step(
    statements=(
        """CREATE TABLE paper_accounts (
            exchange TEXT NOT NULL, account TEXT NOT NULL, state TEXT NOT NULL, updated_ms BIGINT NOT NULL,
            PRIMARY KEY (exchange, account))""",
        """CREATE TABLE paper_orders (
            seq {number}, exchange TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, client_order_id TEXT,
            symbol TEXT NOT NULL, time_ms BIGINT NOT NULL, document TEXT NOT NULL, UNIQUE (exchange, account, id))""",
        "CREATE INDEX paper_orders_time ON paper_orders (exchange, account, time_ms)",
        """CREATE TABLE paper_trades (
            seq {number}, exchange TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, order_id TEXT,
            symbol TEXT NOT NULL, time_ms BIGINT NOT NULL, document TEXT NOT NULL, UNIQUE (exchange, account, id))""",
        "CREATE INDEX paper_trades_time ON paper_trades (exchange, account, time_ms)",
    ),
)

_DAY = Step(
    statements=(
        "DROP INDEX journal_intents_time",
        # All that the counters of a day read, so that they do not open its rows one by one.
        """CREATE INDEX journal_intents_day ON journal_intents
            (exchange, account, created_ms, raises_risk, state, notional_micros, kind)""",
    ),
)

_ALERTS = Step(
    statements=(
        """CREATE TABLE journal_alerts (
            id TEXT PRIMARY KEY, exchange TEXT NOT NULL, account TEXT NOT NULL, symbol TEXT NOT NULL,
            condition TEXT NOT NULL, note TEXT NOT NULL, who TEXT NOT NULL, repeat BOOLEAN NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('active', 'fired', 'expired', 'deleted')),
            created_ms BIGINT NOT NULL, expires_ms BIGINT, fired_count INTEGER NOT NULL, fired_ms BIGINT, fired TEXT,
            ended_ms BIGINT)""",
    ),
)

STEPS = (_ORDERS, _PAPER, _DAY, _ALERTS)

_WORDS = {
    "sqlite": {"{number}": "INTEGER PRIMARY KEY AUTOINCREMENT", "{key}": "INTEGER PRIMARY KEY"},
    "postgresql": {
        "{number}": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "{key}": "BIGINT PRIMARY KEY",
    },
}


def version_of(connection: Connection) -> int:
    """Return the version of the tables; 0 where there are none yet.

    Raises:
        Failure: JOURNAL_UNAVAILABLE when they are newer than this program, or the file is that of another program.
    """
    tables = inspect(connection).get_table_names()
    if schema.version.name not in tables:
        if tables and connection.dialect.name == "sqlite":
            raise Failure(Code.JOURNAL_UNAVAILABLE, "The journal's file is the database of another program.")
        return 0
    version = connection.execute(select(schema.version.c.version)).scalar_one()
    if version > len(STEPS):
        raise Failure(
            Code.JOURNAL_UNAVAILABLE,
            f"The journal has version {version}; this program knows versions up to {len(STEPS)}.",
            hint="Nothing was sent; a human upgrades ccxt-mcp-server.",
        )
    return version


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, all steps in the transaction that the connection is in.

    Raises:
        Failure: as `version_of`.
    """
    lock(connection, SCHEMA)
    version = version_of(connection)
    dialect = connection.dialect.name
    for step in STEPS[version:]:
        for statement in step.statements + (step.sqlite if dialect == "sqlite" else step.postgresql):
            connection.exec_driver_sql(_spelt(statement, dialect))
    if version < len(STEPS):
        connection.execute(schema.version.update().values(version=len(STEPS)))


def _spelt(statement: str, dialect: str) -> str:
    for word, meaning in _WORDS[dialect].items():
        statement = statement.replace(word, meaning)
    return statement
