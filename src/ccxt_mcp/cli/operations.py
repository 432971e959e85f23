"""The operator's commands: what a human decides beside the model. The work is done in `operator`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[
    Path | None, typer.Option(help="Configuration file [dim](else CCXT_MCP_CONFIG, else the platform's folder)[/].")
]
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help='"*" for everything, or EXCHANGE/ACCOUNT.')]
Finish = Callable[[Coroutine[Any, Any, int]], None]

paper = typer.Typer(help="Paper accounts: simulated money on the live prices of any exchange.", no_args_is_help=True)


def add_operations(app: typer.Typer, finish: Finish) -> None:
    """Add the operator's commands to the command line.

    Args:
        app: the command line.
        finish: runs a command to its end and exits with its code.
    """
    _add_approve(app, finish)
    _add_halts(app, finish)
    _add_journal(app, finish)
    _add_paper(finish)
    app.add_typer(paper, name="paper")


def _add_approve(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def approve(
        code: Annotated[str | None, typer.Argument(metavar="CODE", help="The ticket; without it: list them.")] = None,
        decline: Annotated[bool, typer.Option("--decline", help="Say no.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")] = False,
        config: Config = None,
    ) -> None:
        """Show what waits for a human's approval, and approve it.

        A model that wants to place a live or a large order gets a ticket where its client cannot ask you. Once you have
        approved it, the model's next identical call goes through, once.

        [bold]Examples[/]

        ccxt-mcp approve
        ccxt-mcp approve K7WQ2M
        ccxt-mcp approve K7WQ2M --decline
        """
        from ccxt_mcp.cli import operator  # noqa: PLC0415

        finish(operator.approve(code, decline=decline, yes=yes, config=config))


def _add_halts(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def halt(
        scope: Scope = "*",
        why: Annotated[str, typer.Option(help="Your reason, for the audit.")] = "",
        config: Config = None,
    ) -> None:
        """Stop new orders at once, in every process that shares the journal.

        Cancels and reduce-only orders still go through. It lasts until [bold]ccxt-mcp resume[/].

        [bold]Examples[/]

        ccxt-mcp halt
        ccxt-mcp halt kraken/main --why "prices look wrong"
        """
        from ccxt_mcp.cli import operator  # noqa: PLC0415

        finish(operator.halt(scope, why, config=config))

    @app.command()
    def resume(scope: Scope = "*", config: Config = None) -> None:
        """End a halt of the same scope.

        [bold]Examples[/]

        ccxt-mcp resume
        ccxt-mcp resume kraken/main
        """
        from ccxt_mcp.cli import operator  # noqa: PLC0415

        finish(operator.resume(scope, config=config))


def _add_journal(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def journal(
        exchange: Annotated[str | None, typer.Option(help="Only this exchange.")] = None,
        account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
        event: Annotated[str | None, typer.Option(help="Only this event, such as refused or outcome.")] = None,
        order: Annotated[str | None, typer.Option(help="Only this client order id.")] = None,
        since: Annotated[str | None, typer.Option(help='From then on: ISO 8601, or "2h ago".')] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many of the newest rows.")] = 50,
        verify: Annotated[bool, typer.Option("--verify", help="Check the chain of all rows.")] = False,
        head: Annotated[str | None, typer.Option(help="With --verify: ROWS:HASH of an earlier check.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for export.")] = False,
        config: Config = None,
    ) -> None:
        """Print the audit: every attempt, refusal, confirmation and outcome of a write.

        Rows are only ever added, and each holds the hash of the one before.

        [bold]Examples[/]

        ccxt-mcp journal --since "1d ago"
        ccxt-mcp journal --event refused --limit 20
        ccxt-mcp journal --json --limit 100000 > audit.jsonl
        ccxt-mcp journal --verify
        """
        from ccxt_mcp.cli import operator  # noqa: PLC0415

        if verify:
            finish(operator.verify(head, config=config))
        filters = {"exchange": exchange, "account": account, "event": event, "client_order_id": order}
        filters_given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        if since is not None:
            filters_given["since"] = operator.moment(since)
        finish(operator.show_journal(filters_given, limit=limit, as_json=as_json, config=config))


def _add_paper(finish: Finish) -> None:
    @paper.command()
    def reset(
        exchange: Annotated[str | None, typer.Argument(metavar="EXCHANGE", help="Only there.")] = None,
        account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
        config: Config = None,
    ) -> None:
        """Forget paper accounts: they start anew with their starting balances.

        [bold]Examples[/]

        ccxt-mcp paper reset
        ccxt-mcp paper reset kraken
        """
        from ccxt_mcp.cli import operator  # noqa: PLC0415

        finish(operator.reset_paper(exchange, account, config=config))
