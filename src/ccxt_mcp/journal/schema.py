"""The tables as they are now. How an older file becomes like this stands in `migrations.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER primary key counts by itself in SQLite

version = Table("journal_version", metadata, Column("version", Integer, nullable=False))

intents = Table(
    "journal_intents",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("client_order_id", Text, nullable=False),
    Column("sent_id", Text, nullable=False),
    Column("order_id", Text),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("raises_risk", Boolean, nullable=False),
    Column("notional_usd", Text),
    Column("notional_micros", BigInteger),
    Column("request", Text, nullable=False),
    Column("order", Text),
    Column("error", Text),
    Column("who", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("note", Text),
    Column("ticket", Text),
)

audit = Table(
    "journal_audit",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("tool", Text),
    Column("exchange", Text),
    Column("account", Text),
    Column("mode", Text),
    Column("client_order_id", Text),
    Column("facts", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

tickets = Table(
    "journal_tickets",
    metadata,
    Column("code", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("decided_by", Text),
    Column("how", Text),
    Column("used_by", BigInteger),
)

halts = Table(
    "journal_halts",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

marks = Table(
    "journal_marks",
    metadata,
    Column("exchange", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
)

paper_accounts = Table(
    "paper_accounts",
    metadata,
    Column("exchange", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

paper_orders = Table(
    "paper_orders",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("client_order_id", Text),
    Column("symbol", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

paper_trades = Table(
    "paper_trades",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("order_id", Text),
    Column("symbol", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

alerts = Table(
    "journal_alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("fired_count", Integer, nullable=False),
    Column("fired_ms", BigInteger),
    Column("fired", Text),
    Column("ended_ms", BigInteger),
)
