"""Keys: a person puts an account's credentials where the server finds them; none is ever shown or typed in clear."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.charts import QUIET
from ccxt_mcp.cli.terminal import print_json, screen
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import Account, Accounts, check_names
from ccxt_mcp.exchanges.credentials import FileSource, KeyringSource, Writable, credential_name
from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.signing import required_of
from ccxt_mcp.settings import chosen_environment, config_path, load_settings

MASK = "••••••••"

Ask = Callable[[str], str]
"""Asks a person for a secret, which is not shown while it is typed."""


def set_keys(account: str, name: str | None, *, from_stdin: bool, config: Path | None) -> int:
    """Keep an account's credentials; return the exit code.

    Args:
        account: the account's name.
        name: one credential; all that the exchange needs when there is none.
        from_stdin: take the value of that one from a pipe.
        config: configuration file to read instead of the usual one.

    Raises:
        typer.BadParameter: a value was to come from a pipe, but not for which credential.
        Failure: there is no such account, or its credentials cannot be kept.
    """
    if from_stdin and name is None:
        raise typer.BadParameter("--stdin takes one value: name the credential as well.")
    owner = _accounts(config).named(account)
    source = _writable(owner, config)
    names = [credential_name(name)] if name else _needed(owner.exchange)
    kept: list[str] = []
    for one in names:
        value = sys.stdin.read().strip() if from_stdin else asked(f"{owner.name} {one}", _ask)
        if value:
            source.write(one, value)
            kept.append(one)
    typer.echo(f"{', '.join(kept) or 'nothing'} kept in {source}.", err=True)
    return 0 if kept else 1


def list_keys(account: str | None, *, as_json: bool, config: Path | None) -> int:
    """Print which credentials each account has and where they are; return 1 when a place could not be looked at.

    Args:
        account: only this one.
        as_json: print one line of JSON.
        config: configuration file to read instead of the usual one.

    Raises:
        Failure: there is no such account.
    """
    accounts = _accounts(config)
    chosen = accounts.all() if account is None else [accounts.named(account)]
    rows = [_row(owner) for owner in chosen]
    if as_json:
        print_json({"accounts": rows})
    else:
        for row in rows:
            screen().print(_view(row), Text())
    return 1 if any("problem" in row for row in rows) else 0


def delete_keys(account: str, name: str | None, *, sure: bool, config: Path | None) -> int:
    """Forget an account's credentials; return the exit code.

    Args:
        account: the account's name.
        name: one credential; all of them when there is none.
        sure: do not ask back.
        config: configuration file to read instead of the usual one.

    Raises:
        Failure: there is no such account, or its credentials cannot be taken away from where they are.
    """
    owner = _accounts(config).named(account)
    source = _writable(owner, config)
    found = source.found()
    names = [one for one in found if name is None or one == credential_name(name)]
    if not names:
        typer.echo(f"{owner.name} has no {name or 'credentials'} in {source}.", err=True)
        return 1
    if not sure and not typer.confirm(f"Delete {', '.join(names)} of {owner.name} from {source}?", err=True):
        return 1
    for one in names:
        source.delete(one)
    typer.echo(f"{', '.join(names)} deleted from {source}. Revoke the key at the exchange too.", err=True)
    return 0


def asked(what: str, ask: Ask) -> str:
    """Return a secret that a person types or pastes; a PEM key goes on to its last line.

    Args:
        what: names the secret.
        ask: asks for one line.
    """
    lines = [ask(f"{what} (not shown; empty to skip): ").strip()]
    while lines[0].startswith("-----BEGIN") and "-----END" not in lines[-1]:
        lines.append(ask("").strip())
    return "\n".join(lines)


def _ask(prompt: str) -> str:
    from getpass import getpass  # noqa: PLC0415 - termios is for who types

    try:
        return getpass(prompt, sys.stderr)
    except EOFError:
        return ""


def _accounts(config: Path | None) -> Accounts:
    settings = load_settings(chosen_environment(config and str(config)))
    check_names(settings)
    return Accounts(settings)


def _writable(owner: Account, config: Path | None) -> Writable:
    if isinstance(owner.source, KeyringSource | FileSource):
        return owner.source
    path = config or config_path(chosen_environment(None))
    where = f"is {owner.mode} and has no credentials" if owner.source is None else f"takes its keys from {owner.source}"
    raise Failure(
        Code.INVALID_ARGUMENT,
        f"Account {owner.name} {where}.",
        hint=f'To keep keys with ccxt-mcp, set credentials = "keyring" in an [accounts.NAME] of {path}.',
    )


def _needed(exchange: str) -> Sequence[str]:
    cls = exchange_class(exchange)
    return required_of(cls(), frozenset(base.__name__ for base in cls.__mro__))


def _row(owner: Account) -> dict[str, object]:
    row: dict[str, object] = {"account": owner.name, "exchange": owner.exchange, "mode": owner.mode}
    if owner.source is None:
        return row | {"source": "built in" if owner.mode == "simulated" else "none needed"}
    row["source"] = str(owner.source)
    try:
        return row | {"credentials": owner.source.found()}
    except Failure as failure:
        return row | {"problem": failure.message, "advice": failure.hint}


def _view(row: dict[str, object]) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style=QUIET, overflow="fold")
    grid.add_row(Text(str(row["account"]), style="bold"), f"{row['exchange']}, {row['mode']}", str(row["source"]))
    found = row.get("credentials")
    for name, place in (found if isinstance(found, dict) else {}).items():
        grid.add_row(f"  {name}", MASK, str(place))
    if "problem" in row:
        grid.add_row(Text("  !", style="yellow"), "", Text(f"{row['problem']} {row['advice']}", style="yellow"))
    return grid
