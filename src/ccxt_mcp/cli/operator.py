"""What a human does beside the model: approve orders, halt trading, read the journal, reset paper accounts."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer
from rich.padding import Padding
from rich.text import Text

from ccxt_mcp.cli.charts import DOWN, QUIET, UP
from ccxt_mcp.cli.terminal import print_json, screen
from ccxt_mcp.journal import Entry, Journal, Ticket
from ccxt_mcp.journal.opener import Opener
from ccxt_mcp.serve import chosen_environment, start_logs
from ccxt_mcp.settings import load_settings
from ccxt_mcp.times import iso, parse_moment

_PAGE = 200


@asynccontextmanager
async def _journal(config: Path | None) -> AsyncGenerator[Journal]:
    settings = load_settings(chosen_environment(config and str(config)))
    start_logs(settings)
    opener = Opener(settings)
    try:
        yield await opener()
    finally:
        await opener.close()


async def approve(code: str | None, *, decline: bool, yes: bool, config: Path | None) -> int:
    """List the orders that wait for a human, or decide on one of them; return the exit code.

    Args:
        code: the ticket; None lists what waits.
        decline: say no instead of yes.
        yes: do not ask back.
        config: configuration file to read instead of the usual one.

    Raises:
        Failure: there is no such ticket, or the journal cannot be read.
    """
    async with _journal(config) as journal:
        waiting = await journal.waiting()
        if code is None:
            _show_waiting(waiting)
            return 0
        ticket = await journal.ticket(code)
        if ticket is not None:
            _show_ticket(ticket)
        who = f"{getpass.getuser()} in a terminal"
        if decline:
            await journal.decline(code, by=who, how="ccxt-mcp approve")
            screen().print("Declined. It will not be placed.")
            return 0
        if sys.stdin.isatty() and not yes and not typer.confirm("Approve exactly this?", default=False):
            screen().print("Nothing was decided.")
            return 1
        approved = await journal.approve(code, by=who, how="ccxt-mcp approve")
        screen().print(f"Approved until {iso(approved.expires_ms)}: the same call, made again, goes through once.")
    return 0


async def halt(scope: str, why: str, *, config: Path | None) -> int:
    """Stop everything that raises risk, for all processes on this journal; return the exit code."""
    async with _journal(config) as journal:
        await journal.halt(scope, by=getpass.getuser(), why=why)
        screen().print(f"Halted: {_everything(scope)}. Cancels and reduce-only orders still go through.")
    return 0


async def resume(scope: str, *, config: Path | None) -> int:
    """End a halt; return the exit code."""
    async with _journal(config) as journal:
        ended = await journal.resume(scope, by=getpass.getuser())
        left = [halt.scope for halt in await journal.halts()]
        told = f"Resumed: {_everything(scope)}." if ended else f"{_everything(scope)} was not halted."
        screen().print(told + (f" Still halted: {', '.join(left)}." if left else ""))
    return 0


async def show_journal(filters: Mapping[str, Any], *, limit: int, as_json: bool, config: Path | None) -> int:
    """Print rows of the audit, the oldest first; return the exit code.

    Args:
        filters: what `Journal.read` takes.
        limit: how many of the newest rows.
        as_json: one JSON object a line, with the hashes.
        config: configuration file to read instead of the usual one.
    """
    async with _journal(config) as journal:
        rows: list[Entry] = []
        cursor: int | None = None
        while len(rows) < limit:
            page = await journal.read(**filters, limit=min(_PAGE, limit - len(rows)), cursor=cursor)
            rows += page.rows
            cursor = page.next
            if cursor is None:
                break
        rows.reverse()
    if as_json:
        for row in rows:
            print_json(_document(row))
        return 0
    for row in rows:
        where = "/".join(filter(None, (row.exchange, row.account)))
        told = (row.event, where, row.client_order_id)
        screen().print(Text(f"{row.seq:>6}  {iso(row.time_ms)}  {'  '.join(filter(None, told))}"))
        more = " · ".join(filter(None, (row.who, row.tool, _brief(row.facts))))
        screen().print(Padding(Text(more, style=QUIET), (0, 0, 0, 8)))
    if not rows:
        screen().print(Text("The journal has no such rows.", style=QUIET))
    return 0


async def verify(head: str | None, *, config: Path | None) -> int:
    """Check the chain of the audit; return 0 when every row is sound.

    Args:
        head: `ROWS:HASH` as an earlier check printed it, to find out whether rows are missing at the end.
        config: configuration file to read instead of the usual one.
    """
    known: tuple[int, str] | None = None
    if head is not None:
        rows, _, digest = head.partition(":")
        if not rows.isdecimal() or not digest:
            raise typer.BadParameter(f"{head!r} is no ROWS:HASH, as `ccxt-mcp journal --verify` prints it.")
        known = int(rows), digest
    async with _journal(config) as journal:
        found = await journal.verify(known)
    if found.first_bad is None:
        screen().print(Text(f"Sound: {found.rows} rows. Keep this elsewhere: {found.rows}:{found.head}", style=UP))
        return 0
    screen().print(Text(f"Not sound from row {found.first_bad} on: {found.why}", style=DOWN))
    return 1


async def reset_paper(exchange: str | None, account: str | None, *, config: Path | None) -> int:
    """Forget paper accounts, which start anew with their starting balances; return the exit code."""
    async with _journal(config) as journal:
        count = await journal.paper.reset(exchange, account, by=getpass.getuser())
    screen().print(f"{count} paper account{'s' * (count != 1)} reset.")
    return 0


def moment(text: str) -> int:
    """Return a time that a person typed, in milliseconds since the epoch.

    Raises:
        Failure: INVALID_ARGUMENT when it is none.
    """
    return parse_moment(text, now_ms=time.time_ns() // 1_000_000)


def _show_waiting(waiting: list[Ticket]) -> None:
    if not waiting:
        screen().print(Text("Nothing waits for approval.", style=QUIET))
    for ticket in waiting:
        _show_ticket(ticket)
    if waiting:
        screen().print(Text("ccxt-mcp approve CODE approves one; add --decline to refuse it.", style=QUIET))


def _show_ticket(ticket: Ticket) -> None:
    facts = {name: value for name, value in ticket.facts.items() if name != "question"}
    console = screen()
    console.print(Text.assemble((ticket.code, "bold"), f"  {ticket.facts.get('question', '')}"))
    console.print(Text(f"        {_brief(facts)}", style=QUIET))
    console.print(
        Text(f"        {ticket.state}, asked for by {ticket.who}, until {iso(ticket.expires_ms)}", style=QUIET)
    )


def _everything(scope: str) -> str:
    return "all accounts" if scope == "*" else scope


def _brief(facts: Mapping[str, Any]) -> str:
    return " · ".join(f"{name} {_flat(value)}" for name, value in facts.items() if value not in (None, [], {}))


def _flat(value: Any) -> str:
    return f"({_brief(value)})" if isinstance(value, Mapping) else str(value)


def _document(row: Entry) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
