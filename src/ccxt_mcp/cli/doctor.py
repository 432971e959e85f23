"""The doctor: looks at everything that a session depends on, and says what to do about what is wrong."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import stat
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import distribution, version
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import urlsplit

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp import __version__
from ccxt_mcp.cli.charts import DOWN, QUIET, UP
from ccxt_mcp.cli.doctor_accounts import account_findings
from ccxt_mcp.cli.finding import Finding, State
from ccxt_mcp.cli.terminal import print_json, screen
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import SIMULATOR, check_names
from ccxt_mcp.exchanges.credentials import without_credentials
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.exchanges.translate import translate
from ccxt_mcp.exchanges.venue import Trace
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.serve import chosen_environment, start_logs
from ccxt_mcp.server import build_gateway
from ccxt_mcp.settings import PREFIX, Settings, config_path, load_settings

_MARKS: Mapping[State, tuple[str, str]] = {"ok": ("✓", UP), "warn": ("!", "yellow"), "fail": ("✗", DOWN)}
_WELL_KNOWN = ("kraken", "coinbase", "binance", "bybit", "okx")
_CREDENTIAL = re.compile(r"([A-Z0-9]+)_(API_KEY|SECRET|PASSWORD|UID|PRIVATE_KEY|WALLET_ADDRESS)")
_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
_NETWORK_ADVICE = (
    f"Check the network and its firewall; where a proxy is needed, set {PREFIX}HTTP_PROXY or {PREFIX}SOCKS_PROXY."
)
_SKEW = 1.0  # seconds by which a clock may be off before signed requests fail on most exchanges
_HANDSHAKE_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Probe:
    """How an exchange answered: after how many seconds, and how far its clock is ahead of ours if it tells the time."""

    took: float
    ahead: float | None


async def examine(named: Sequence[str], *, deadline: float, as_json: bool, config: Path | None) -> int:
    """Print what is well and what is not; return 1 when something failed.

    Args:
        named: exchanges that must answer; a few others are asked when there are none.
        deadline: seconds that each exchange and proxy has.
        as_json: print one line of JSON.
        config: configuration file to read instead of the usual one.
    """
    environment = chosen_environment(config and str(config))
    with suppress(Failure):  # it becomes a finding below
        start_logs(load_settings(environment))
    console, findings = screen(), list[Finding]()
    async for finding in findings_of(environment, named, deadline=deadline):
        if not as_json:
            repeated = findings and findings[-1].advice == finding.advice
            console.print(_line(finding, advice=None if repeated else finding.advice))
        findings.append(finding)
    failed = sum(finding.state == "fail" for finding in findings)
    warned = sum(finding.state == "warn" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [_facts(finding) for finding in findings]})
    else:
        console.print(
            Text(f"\n{failed} failed, {warned} to look at" if failed or warned else "\nAll well", style="bold")
        )
    return 1 if failed else 0


async def findings_of(
    environment: Mapping[str, str], named: Sequence[str], *, deadline: float
) -> AsyncGenerator[Finding]:
    """Yield the findings one after the other; without valid settings, only those that need none."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()}: {sys.executable}")
    yield Finding("ok", "versions", f"ccxt-mcp {__version__}, ccxt {version('ccxt')}, mcp {version('mcp')}")
    yield _bytecode()
    yield _environment(environment)
    try:
        settings = load_settings(environment)
        check_names(settings)
    except Failure as failure:
        yield Finding("fail", "settings", failure.message, failure.hint)
        return
    yield _config_file(environment)
    yield _cache_folder(settings.cache_dir)
    for finding in await _proxies(settings, deadline):
        yield finding
    for finding in await _exchanges(settings, named, deadline):
        yield finding
    async for finding in account_findings(settings, deadline=deadline):
        yield finding
    yield await _handshake(environment)


# -- this machine ------------------------------------------------------------------------------------------------------


def _bytecode() -> Finding:
    source = Path(str(distribution("ccxt").locate_file("ccxt/async_support/bybit.py")))
    compiled = Path(cache_from_source(str(source)))
    if compiled.exists():
        return Finding("ok", "bytecode", "ccxt is compiled")
    folder = next(parent for parent in compiled.parents if parent.exists())
    if not sys.dont_write_bytecode and os.access(folder, os.W_OK):
        return Finding("ok", "bytecode", "ccxt is compiled when first used")
    reason = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else f"{folder} is not writable"
    advice = f"Compile once: {sys.executable} -m compileall -q {source.parents[1]}"
    return Finding("warn", "bytecode", f"ccxt is compiled again by each process, a second or more: {reason}", advice)


def _environment(environment: Mapping[str, str]) -> Finding:
    ours = sorted(name for name in environment if name == "LOG_LEVEL" or name.startswith(PREFIX))
    keys = sorted(name for name in environment if _is_credential(name))
    found = f"set: {', '.join(ours)}" if ours else f"no {PREFIX}… variables are set"
    credentials = f"; credentials: {', '.join(keys)}" if keys else ""
    return Finding("ok", "environment", found + credentials)


def _is_credential(name: str) -> bool:
    match = _CREDENTIAL.fullmatch(name)
    return match is not None and match[1].lower() in exchange_ids()


def _config_file(environment: Mapping[str, str]) -> Finding:
    path = config_path(environment)
    if not path.exists():
        return Finding("ok", "settings", f"defaults; there is no {path}")
    written = load_settings({"CCXT_MCP_CONFIG": str(path)})
    secret = any(urlsplit(url).password for _, url in _proxy_urls(written))
    others = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    if os.name == "posix" and secret and others:
        return Finding("warn", "settings", f"{path} holds a password and others may read it", f"chmod 600 {path}")
    names = f", exchanges: {', '.join(written.exchanges)}" if written.exchanges else ""
    return Finding("ok", "settings", f"{path}{names}")


def _cache_folder(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = f"Make it writable, or set {PREFIX}CACHE_DIR; without it each start downloads markets again."
        return Finding("warn", "cache", f"{folder} is not writable: {error.strerror}", advice)
    return Finding("ok", "cache", f"{folder} is writable")


# -- the network -------------------------------------------------------------------------------------------------------


def _proxy_urls(settings: Settings) -> Iterator[tuple[str, str]]:
    for exchange, proxies in {"": settings, **settings.exchanges}.items():
        for name, url in proxies.chosen.items():
            yield f"{exchange or 'all exchanges'}: {name}", url


async def _proxies(settings: Settings, deadline: float) -> list[Finding]:
    return await asyncio.gather(*(_proxy(label, url, deadline) for label, url in _proxy_urls(settings)))


async def _proxy(label: str, url: str, deadline: float) -> Finding:
    shown = Redactor().scrub(url)
    try:
        parts = urlsplit(url)
        async with asyncio.timeout(deadline):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PROXY_PORTS[parts.scheme])
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        reason = getattr(error, "strerror", None) or f"no connection within {deadline:g} s"
        return Finding("fail", "proxy", f"{label} {shown}: {reason}", "Start the proxy, or correct its address.")
    writer.close()
    return Finding("ok", "proxy", f"{label} {shown} accepts connections")


async def _exchanges(settings: Settings, named: Sequence[str], deadline: float) -> list[Finding]:
    asked = list(dict.fromkeys(named or (SIMULATOR, *(settings.exchanges or _WELL_KNOWN))))
    gateway, simulators = build_gateway(settings)
    try:
        probes = await asyncio.gather(*(_probed(gateway, exchange, deadline) for exchange in asked))
    finally:
        await gateway.close()
        await simulators.close()
    needed = {*named, SIMULATOR}
    findings = [
        _reached(exchange, probe, needed=exchange in needed) for exchange, probe in zip(asked, probes, strict=True)
    ]
    return [*findings, _clock(dict(zip(asked, probes, strict=True)))]


def _reached(exchange: str, probe: Probe | Failure, *, needed: bool) -> Finding:
    if isinstance(probe, Probe):
        return Finding("ok", "exchange", f"{exchange} answered in {probe.took * 1000:,.0f} ms")
    advice = _NETWORK_ADVICE if probe.code in {Code.NETWORK, Code.TIMEOUT} else probe.hint
    return Finding("fail" if needed else "warn", "exchange", probe.message, advice)


async def _probed(
    gateway: Gateway, exchange: str, deadline: float, wall: Callable[[], float] = time.time
) -> Probe | Failure:
    """Ask an exchange one small thing without loading its markets; return what went wrong instead of raising it."""
    trace = Trace()

    async def ask() -> Probe:
        venue = await gateway.describe(exchange)
        methods = ("fetchTime", "fetchStatus", "fetchMarkets")
        method = next((name for name in methods if venue.support(name) == "native"), methods[-1])
        async with asyncio.timeout(deadline):
            sent = wall()
            reply = await venue.call(method, trace=trace)
            took = wall() - sent
        tells = method == "fetchTime" and isinstance(reply, int | float)
        return Probe(took, reply / 1000 - (sent + took / 2) if tells else None)

    (result,) = await asyncio.gather(ask(), return_exceptions=True)
    if isinstance(result, Probe | Failure):
        return result
    if not isinstance(result, Exception):
        raise result
    return translate(result, exchange=exchange, reply=trace.reply)


def _clock(probes: Mapping[str, Probe | Failure]) -> Finding:
    """Judge our clock by the exchanges that tell the time; the built-in simulator's is our own."""
    told = {
        exchange: probe.ahead
        for exchange, probe in probes.items()
        if isinstance(probe, Probe) and probe.ahead is not None and exchange != SIMULATOR
    }
    if not told:
        return Finding("ok", "clock", "not compared: no other exchange told the time")
    off = {exchange: ahead for exchange, ahead in told.items() if abs(ahead) > _SKEW}
    if not off:
        return Finding("ok", "clock", f"within {_SKEW:g} s of {', '.join(told)}")
    facts = ", ".join(f"{abs(s):.1f} s {'behind' if s > 0 else 'ahead of'} {exchange}" for exchange, s in off.items())
    return Finding("warn", "clock", facts, "Synchronise this machine's clock (NTP).")


async def _handshake(environment: Mapping[str, str]) -> Finding:
    """Start a server as a client would, and list its tools."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "ccxt_mcp", "serve"], env=without_credentials(environment)
    )
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as log:

        async def listed() -> str:
            async with asyncio.timeout(_HANDSHAKE_WITHIN), Client(stdio_client(command, errlog=log)) as client:
                count = len((await client.list_tools()).tools)
                return f"{count} tools over stdio in {time.monotonic() - started:.1f} s, {client.protocol_version}"

        (result,) = await asyncio.gather(listed(), return_exceptions=True)
        if isinstance(result, str):
            return Finding("ok", "server", result)
        if not isinstance(result, Exception):
            raise result
        log.seek(0)
        said = log.read().strip().splitlines()
    found = Redactor().scrub(said[-1]) if said else type(result).__name__
    return Finding("fail", "server", f"does not start: {found}", "Run ccxt-mcp serve and read what it says.")


# -- the report --------------------------------------------------------------------------------------------------------


def _facts(finding: Finding) -> dict[str, str]:
    return {name: value for name, value in asdict(finding).items() if value is not None}


def _line(finding: Finding, *, advice: str | None) -> Grid:
    mark, colour = _MARKS[finding.state]
    grid = Grid.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=12)
    grid.add_column(overflow="fold")
    found = Text.assemble(finding.found, (f"\n→ {advice}" if advice else "", colour))
    grid.add_row(Text(mark, style=colour), Text(finding.check, style=QUIET), found)
    return grid
