"""The command line for people: run a tool, look around, find out what is wrong. `serve` is the way of MCP clients."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ccxt_mcp import __version__
from ccxt_mcp.cli.operations import add_operations
from ccxt_mcp.errors import Failure

_EXIT_WITHIN = 1.0  # seconds from the end of a command to the end of its process, whatever a thread still waits for

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, for a program.")]
Toolsets = Annotated[
    str | None,
    typer.Option(
        help="Groups of tools, separated by commas: default, all, exchange, market, analytics, trade, account, system."
    ),
]
Allow = Annotated[
    str | None,
    typer.Option(help="The most that may be done: public, account, paper [dim](default)[/], trade, funds."),
]
Config = Annotated[
    Path | None, typer.Option(help="Configuration file [dim](else CCXT_MCP_CONFIG, else the platform's folder)[/].")
]


def run_cli(words: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 success, 1 failure, 2 not understood."""
    try:
        app(args=list(words), prog_name="ccxt-mcp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Failure as failure:
        from ccxt_mcp.serve import refuse  # noqa: PLC0415 - --help does without half a second of imports

        return refuse(failure)
    return 0


def finish(command: Coroutine[Any, Any, int]) -> None:
    """Run a command to its end and exit with its code.

    A thread that waits for a dead name server cannot be cancelled, and Python waits for it; a person should not.
    """

    async def run() -> int:
        code = 130
        try:
            code = await command
        finally:
            with suppress(BrokenPipeError):
                sys.stdout.flush()
            last_resort = threading.Timer(_EXIT_WITHIN, os._exit, (code,))
            last_resort.daemon = True
            last_resort.start()
        return code

    raise typer.Exit(asyncio.run(run()))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ccxt-mcp {__version__} (ccxt {version('ccxt')}, mcp {version('mcp')})")
        raise typer.Exit


@app.callback()
def ccxt_mcp(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show versions and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """An MCP server that reads and trades 100+ crypto exchanges through CCXT.

    Without a command it serves an MCP client on stdin and stdout, as [bold]ccxt-mcp serve[/] does.

    [bold]First steps[/]

    ccxt-mcp demo                  [dim]a guided tour; needs no network[/]
    ccxt-mcp doctor                [dim]does everything work here?[/]
    ccxt-mcp tools                 [dim]what a model can call[/]
    ccxt-mcp call market_ticker exchange=kraken symbol=BTC/USD
    ccxt-mcp watch simulator BTC/USDT
    """


@app.command()
def serve(
    toolsets: Toolsets = None,
    allow: Allow = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Hide tools that change anything.")] = False,
    log_level: Annotated[str | None, typer.Option(help="To stderr: debug, info, warning, error.")] = None,
    config: Config = None,
) -> None:
    """Serve an MCP client on stdin and stdout.

    [bold]Examples[/]

    ccxt-mcp serve --toolsets market,analytics
    ccxt-mcp serve --read-only --log-level info
    ccxt-mcp serve --allow trade      [dim]live orders too; each is confirmed by you[/]
    ccxt-mcp serve --config ~/trading/config.toml

    In a client's configuration: [bold]{"mcpServers": {"ccxt": {"command": "ccxt-mcp"}}}[/]
    """
    from ccxt_mcp.serve import serve as serve_stdio  # noqa: PLC0415

    named = None if config is None else str(config)
    raise typer.Exit(
        serve_stdio(named, toolsets=toolsets, allow=allow, read_only=read_only or None, log_level=log_level)
    )


@app.command()
def call(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="Name of a tool; ccxt-mcp tools lists them.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Its arguments; lists as one,two or as JSON.")
    ] = None,
    as_json: Json = False,
    allow: Allow = None,
    config: Config = None,
) -> None:
    """Run one tool and show exactly what a model would get.

    The exit code is 0 on success, 1 on a failure, 2 when the command was not understood.

    [bold]Examples[/]

    ccxt-mcp call market_ticker exchange=kraken symbol=BTC/USD
    ccxt-mcp call market_ohlcv exchange=okx symbol=ETH/USDT timeframe=1d
    ccxt-mcp call analytics_compare_prices symbol=BTC/USDT exchanges=okx,kraken
    ccxt-mcp call market_symbols query="btc perp" exchanges=okx --json | jq .data
    ccxt-mcp call trade_create_order exchange=kraken symbol=BTC/USD side=buy type=market amount=0.01
    """
    from ccxt_mcp.cli import toolbox  # noqa: PLC0415

    finish(toolbox.call(tool, words or [], as_json=as_json, allow=allow, config=config))


@app.command()
def tools(
    names: Annotated[list[str] | None, typer.Argument(metavar="TOOL", help="Only these tools.")] = None,
    toolsets: Toolsets = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the tools that a model can call, with their arguments.

    [bold]Examples[/]

    ccxt-mcp tools
    ccxt-mcp tools market_ohlcv
    ccxt-mcp tools --toolsets all --json
    """
    from ccxt_mcp.cli import toolbox  # noqa: PLC0415

    finish(toolbox.show_tools(names or [], toolsets=toolsets, as_json=as_json, config=config))


@app.command()
def watch(
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help="Id of an exchange, such as kraken.")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="A market, such as BTC/USDT.")],
    book: Annotated[bool, typer.Option("--book", help="Show the order book, instead of the trades.")] = False,
    trades: Annotated[bool, typer.Option("--trades", help="Show the trades, also beside the order book.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End by itself after so long.")] = None,
    account: Annotated[
        str | None, typer.Option(help="An account in whose environment to watch, such as a testnet.")
    ] = None,
    config: Config = None,
) -> None:
    """Show a market live, until Ctrl-C.

    In a terminal that is a screen with the ticker, the newest trades or the order book, and how the streams are doing.
    Elsewhere it is lines: time, kind, price, and facts as key=value.

    The exit code is 0 also after Ctrl-C, and 1 when a stream cannot go on.

    [bold]Examples[/]

    ccxt-mcp watch simulator BTC/USDT
    ccxt-mcp watch kraken BTC/USD --book --trades
    ccxt-mcp watch okx ETH/USDT:USDT --seconds 60 > eth.txt
    ccxt-mcp watch simulator BTC/USDT | grep trades
    """
    from ccxt_mcp.cli import watch as watching  # noqa: PLC0415

    finish(watching.watch(exchange, symbol, book=book, trades=trades, seconds=seconds, account=account, config=config))


@app.command()
def doctor(
    exchanges: Annotated[list[str] | None, typer.Argument(metavar="EXCHANGE", help="Exchanges to ask.")] = None,
    deadline: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that an exchange has.")] = 5.0,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Check this installation, and say what to do.

    The exit code is 0 when nothing failed. An exchange that does not answer is a failure only if it was named here.

    [bold]Examples[/]

    ccxt-mcp doctor
    ccxt-mcp doctor kraken okx
    ccxt-mcp doctor --json | jq '.findings[] | select(.state != "ok")'
    """
    from ccxt_mcp.cli.doctor import examine  # noqa: PLC0415

    finish(examine(exchanges or [], deadline=deadline, as_json=as_json, config=config))


keys = typer.Typer(help="Credentials of accounts, in the system's keyring or in a file.", no_args_is_help=True)
app.add_typer(keys, name="keys")
AccountName = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account of the configuration file.")]
CredentialName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="One credential, such as apiKey; without it: all.")
]


@keys.command("set")
def set_keys(
    account: AccountName,
    name: CredentialName = None,
    from_stdin: Annotated[bool, typer.Option("--stdin", help="Read the value of NAME from a pipe.")] = False,
    config: Config = None,
) -> None:
    """Keep an account's credentials where the server finds them.

    You are asked for each one, and what you type is not shown. No value is ever taken from the command line, which
    other programs can see.

    [bold]Examples[/]

    ccxt-mcp keys set main
    ccxt-mcp keys set main secret
    pass show kraken/secret | ccxt-mcp keys set main secret --stdin
    """
    from ccxt_mcp.cli import keys as cabinet  # noqa: PLC0415

    raise typer.Exit(cabinet.set_keys(account, name, from_stdin=from_stdin, config=config))


@keys.command("list")
def list_keys(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only this account.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show which credentials each account has and where they are; never their values.

    [bold]Examples[/]

    ccxt-mcp keys list
    ccxt-mcp keys list main
    ccxt-mcp keys list --json
    """
    from ccxt_mcp.cli import keys as cabinet  # noqa: PLC0415

    raise typer.Exit(cabinet.list_keys(account, as_json=as_json, config=config))


@keys.command("delete")
def delete_keys(
    account: AccountName,
    name: CredentialName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")] = False,
    config: Config = None,
) -> None:
    """Forget an account's credentials.

    [bold]Examples[/]

    ccxt-mcp keys delete main
    ccxt-mcp keys delete main password
    ccxt-mcp keys delete main --yes
    """
    from ccxt_mcp.cli import keys as cabinet  # noqa: PLC0415

    raise typer.Exit(cabinet.delete_keys(account, name, sure=yes, config=config))


@app.command()
def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 7000,
    seed: Annotated[int, typer.Option(help="Chooses the world of prices.")] = 7,
    latency_ms: Annotated[float, typer.Option(min=0, help="Delay of every answer, in milliseconds.")] = 0.0,
) -> None:
    """Run the exchange simulator by itself.

    It runs until Ctrl-C, and speaks Bybit's v5 REST and WebSocket.
    Every server has one built in too: exchange=simulator.

    [bold]Examples[/]

    ccxt-mcp simulator
    ccxt-mcp simulator --port 7001 --seed 8 --latency-ms 50
    """
    from ccxt_mcp.settings import config_path  # noqa: PLC0415
    from ccxt_mcp.simulator import run  # noqa: PLC0415

    place = f"http://127.0.0.1:{port or 'PORT'}"
    typer.echo(
        f"To use it as an exchange, add this to {config_path(os.environ)}:\n\n"
        f'  [exchanges.simulator_2]\n  simulator = "{place}"\n',
        err=True,
    )
    try:
        asyncio.run(run(port=port, seed=seed, latency=latency_ms / 1000))
    except OSError as error:
        typer.echo(f"ccxt-mcp: port {port} cannot be used: {error.strerror}.\nTake another one with --port.", err=True)
        raise typer.Exit(1) from None


@app.command()
def demo() -> None:
    """Show what the server does, on simulated exchanges.

    A real server process and a real client; it needs no network and no configuration, and leaves nothing behind.
    """
    from ccxt_mcp.cli.demo import show  # noqa: PLC0415

    finish(show())


add_operations(app, finish)
