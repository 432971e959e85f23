"""A hunt for planted secrets: in errors, logs, reprs, pickles and all objects of the process, however a call ends."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import itertools
import logging
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
import structlog

from ccxt_mcp.errors import Failure
from ccxt_mcp.exchanges.accounts import Account
from ccxt_mcp.exchanges.pool import Pool
from ccxt_mcp.exchanges.venue import Trace, Venue
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import ccxt_log, configure_logs
from ccxt_mcp.serve import start_logs
from ccxt_mcp.settings import load_settings
from ccxt_mcp.simulator import ccxt_config
from keyring_backend import MemoryKeyring, chosen_keyring

NAMES = ("apiKey", "secret", "password")
VARIABLES = {"apiKey": "API_KEY", "secret": "SECRET", "password": "PASSWORD"}


rounds = itertools.count()
"""Each test plants secrets of its own, so that what a failed one left behind is not found by the next."""


def tag() -> str:
    """What all secrets of this round have in common."""
    return hashlib.sha256(str(rounds.__reduce__()[1][0]).encode()).hexdigest()[:16]


def planted(name: str) -> str:
    """A secret that stands nowhere in this file and is made anew each time, so that only leaks can be found."""
    return f"{name[:2]}{tag()}{hashlib.sha256(f'{tag()} {name}'.encode()).hexdigest()[:26]}"


# -- the hunt --------------------------------------------------------------------------------------------------------


def leaks(*allowed: object) -> list[str]:
    """Return what holds a secret in memory: of all that the collector knows, and of what these hold."""
    gc.collect()
    spared = {id(one) for one in allowed}
    holders = [one for one in gc.get_objects() if id(one) not in spared and not isinstance(one, FrameType)]
    found: list[object] = []
    while holders:
        held = gc.get_referents(*holders)
        if _tells(held):
            found += [one for one in holders if _tells(gc.get_referents(one))]
        holders = [one for one in held if type(one) in _CONTAINERS and not gc.is_tracked(one) and id(one) not in spared]
    return [f"{type(one).__module__}.{type(one).__qualname__}" for one in found]


def _tells(held: list[Any]) -> bool:
    needle, encoded = tag(), tag().encode()
    for one in held:  # a generator would keep the needle in a cell, and this would be found
        if (isinstance(one, str) and needle in one) or (isinstance(one, bytes | bytearray) and encoded in one):
            return True
    return False


_CONTAINERS = (dict, tuple)  # of these the collector does not know all


def reachable(*roots: object, spared: set[int]) -> Iterator[object]:
    """Yield what can be reached from some objects, but for code, which leads everywhere."""
    waiting, seen = list(roots), set(spared)
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, ModuleType | type | FrameType | FunctionType | CodeType):
            seen.add(id(one))
            yield one
            waiting += gc.get_referents(one)


def shown(*roots: object, spared: set[int]) -> str:
    """Return how all that is reachable shows itself, and what of it can be saved."""
    parts: list[str] = []
    for one in reachable(*roots, spared=spared):
        parts.append(repr(one) if not isinstance(one, dict | list | tuple | set) else "")
        if type(one).__module__.startswith(("ccxt", "aiohttp")):
            with suppress(Exception):  # what cannot be saved leaks nothing
                parts.append(pickle.dumps(one).decode("latin-1"))
    return "\n".join(parts)


def found_in(text: str) -> list[str]:
    return [name for name in NAMES if planted(name) in text]


# -- an exchange that ends in every way --------------------------------------------------------------------------------

GOOD = b'{"retCode":0,"retMsg":"OK","code":"0","data":[],"error":[],"result":{},"status":"ok"}'


def reply(body: bytes, status: str = "200 OK", kind: str = "application/json", length: int | None = None) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length or len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def echo(request: bytes) -> bytes:
    """What bybit does with a signature that is wrong: it tells the key and the request."""
    key = next((line for line in request.split(b"\r\n") if b"KEY" in line.upper()), b"").split(b": ")[-1]
    return reply(
        b'{"retCode":10004,"retMsg":"error sign! origin_string[1658' + key + b'5000]","code":"50113","msg":"'
        + key + b'","error":["EAPI:Invalid key ' + key + b'"],"status":"error","err-code":"' + key + b'"}'
    )  # fmt: skip


ENDS: dict[str, Any] = {
    "well": lambda request: reply(GOOD),
    "echo": echo,
    "403": lambda request: reply(b"<html>" + request + b"</html>", "403 Forbidden", "text/html"),
    "418": lambda request: reply(b"", "418 I am a teapot", "text/html"),
    "500": lambda request: reply(request, "500 Internal Server Error", "text/plain"),
    "524": lambda request: reply(b"", "524 A Timeout Occurred"),
    "page": lambda request: reply(b"<html>" + request + b"</html>", kind="text/html"),
    "empty": lambda request: reply(b""),
    "cut": lambda request: reply(GOOD[:20], length=4096),
    "garbage": lambda request: b"\x16\x03\x01 no HTTP at all " + request[:200] + b"\r\n\r\n",
    "drop": lambda request: b"",
    "hang": lambda request: None,
}


@asynccontextmanager
async def ending(how: str) -> AsyncGenerator[str]:
    """Serve one way in which a request may end."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply = ENDS[how](await reader.readuntil(b"\r\n\r\n"))
        if reply is None:
            await over.wait()
        writer.write(reply or b"")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()
        server.close()
        await asyncio.sleep(0)


# -- an account whose secrets are planted ----------------------------------------------------------------------------


class OpenGate:
    def admit(self, cost: float, *, private: bool) -> Any:
        return nullcontext(self)

    def unsent(self) -> None: ...

    def observe(self, reply: Any, url: str) -> None: ...


def no_paper(account: Account, venue: Venue) -> Any:
    raise AssertionError


def pool_of(variables: dict[str, str], folder: Path, **settings: Any) -> Pool:
    async def config(url: str | None) -> dict[str, Any]:
        return ccxt_config(url or "http://127.0.0.1:9")

    environment = {"CCXT_MCP_CONFIG": str(folder / "config.toml"), "CCXT_MCP_CACHE_DIR": str(folder)} | settings
    variables.update(environment)
    return Pool(
        load_settings(variables),
        gate=lambda key, exchange: OpenGate(),
        simulator=config,
        paper=no_paper,
        ccxt_log=ccxt_log,
    )


def in_environment(exchange: str, folder: Path) -> tuple[dict[str, str], str]:
    return {f"{exchange.upper()}_{VARIABLES[name]}": planted(name) for name in NAMES}, "env"


def in_file(exchange: str, folder: Path) -> tuple[dict[str, str], str]:
    path = folder / "keys.toml"
    path.write_text("".join(f'{name} = "{planted(name)}"\n' for name in NAMES))
    path.chmod(0o600)
    return {}, f"file:{path}"


def in_keyring(exchange: str, folder: Path) -> tuple[dict[str, str], str]:
    return {}, "keyring"


SOURCES = {"environment": in_environment, "file": in_file, "keyring": in_keyring}
CALLS = {
    "bybit": "privateGetV5AccountWalletBalance",
    "okx": "privateGetAccountBalance",
    "kraken": "privatePostBalance",
    "htx": "spotPrivateGetV1AccountAccounts",
    "binance": "privateGetAccount",
}


@dataclass
class Hunted:
    """An account whose secrets are planted.

    Attributes:
        pool: opens its exchange.
        exchange: which one that is.
        variables: where secrets may stand, as in the environment.
        entries: where secrets may stand, as in the keyring.
    """

    pool: Pool
    exchange: str
    variables: dict[str, str]
    entries: dict[Any, str]

    async def venue(self) -> Venue:
        venue = await self.pool.describe(self.pool.account_key(self.exchange, "main"))
        venue.exchange.verbose = True
        return venue

    def leaks(self) -> list[str]:
        return leaks(self.variables, self.entries)


@pytest.fixture
def backend() -> Generator[MemoryKeyring]:
    memory = MemoryKeyring()
    with chosen_keyring(memory):
        yield memory


@pytest.fixture
def stream() -> Generator[io.StringIO]:
    """All logging at its most talkative, ccxt's own included."""
    root, deep = logging.getLogger(), logging.getLogger("ccxt.base.exchange")
    handlers, level = root.handlers[:], root.level
    show = warnings.showwarning
    text = io.StringIO()
    yield text
    logging.captureWarnings(False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)
    deep.setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
async def hunted(
    request: pytest.FixtureRequest, tmp_path: Path, backend: MemoryKeyring, stream: io.StringIO
) -> AsyncIterator[Hunted]:
    next(rounds)
    exchange, source = request.param
    variables, credentials = SOURCES[source](exchange, tmp_path)
    if source == "keyring":
        for name in NAMES:
            backend.set_password("ccxt-mcp", f"main/{name}", planted(name))
    (tmp_path / "config.toml").write_text(f'[accounts.main]\nexchange = "{exchange}"\ncredentials = "{credentials}"\n')
    pool = pool_of(variables, tmp_path, CCXT_MCP_DEADLINE="0.3")
    yield Hunted(pool, exchange, variables, backend.entries)
    await pool.close()


def pointed_at(exchange: Any, url: str) -> None:
    api = exchange.urls["api"]
    exchange.urls["api"] = dict.fromkeys((*api, "private", "spot", "rest"), url)
    if exchange.id == "htx":
        exchange.urls["hostnames"] = dict.fromkeys(exchange.urls["hostnames"], url.removeprefix("http://"))
        exchange.urls["api"] = dict.fromkeys(api, "http://{hostname}")


async def ended(venue: Venue, how: str) -> BaseException | None:
    """Return how a signed call failed; None if it did not."""
    async with ending(how) as url:
        pointed_at(venue.exchange, url)
        try:
            await venue.call(CALLS[venue.key.exchange], trace=Trace())
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not leak
            structlog.get_logger("ccxt_mcp.test").exception("failed")
            return error
    return None


@pytest.mark.parametrize(
    "hunted",
    [*((exchange, "environment") for exchange in CALLS), ("bybit", "file"), ("bybit", "keyring")],
    ids=" from ".join,
    indirect=True,
)
async def test_no_secret_is_left_anywhere_however_a_call_ends(hunted: Hunted, stream: io.StringIO) -> None:
    log_everything(hunted.pool, stream)
    venue = await hunted.venue()
    errors = {how: await ended(venue, how) for how in ENDS}
    assert [how for how in ENDS if errors[how] is None] == ["well"]
    assert not hunted.leaks(), "while the errors are kept"
    told = "".join(line for error in errors.values() if error for line in traceback.format_exception(error))
    assert "fetch Request" in stream.getvalue()
    assert "Request:" in stream.getvalue()
    assert not found_in(told + stream.getvalue())
    assert not found_in(shown(hunted.pool, errors, spared={id(hunted.variables), id(hunted.entries)}))
    assert sorted(hunted.pool.vault.present()) == sorted(planted(name) for name in NAMES)
    await hunted.pool.close()
    assert not list(hunted.pool.vault.present())


def log_everything(pool: Pool, stream: io.StringIO) -> None:
    redactor = Redactor()
    redactor.follow(pool.vault.present)
    configure_logs("debug", redactor=redactor, stream=stream)  # in the test itself: pytest's own handlers must go
    logging.getLogger("ccxt.base.exchange").setLevel(logging.DEBUG)


@pytest.mark.parametrize("hunted", [("bybit", "environment")], ids=["bybit"], indirect=True)
async def test_the_hunt_finds_what_is_there(hunted: Hunted) -> None:
    holders: list[Any] = [{"a": planted("secret")}, [f"x{planted('apiKey')}y"], (b"x" + planted("secret").encode(),)]
    while len(holders) > 1:
        assert found_in(shown({"deep": [holders.pop()]}, spared=set()))
    assert hunted.leaks()
    holders.clear()
    assert not hunted.leaks()


@pytest.mark.parametrize("hunted", [("bybit", "environment")], ids=["bybit"], indirect=True)
async def test_credentials_that_were_taken_away_are_missing_once_they_were_forgotten(hunted: Hunted) -> None:
    venue = await hunted.venue()
    assert await ended(venue, "well") is None
    for name in VARIABLES.values():
        del hunted.variables[f"BYBIT_{name}"]
    assert await ended(venue, "well") is None
    hunted.pool.vault.close()
    refusal = await ended(venue, "well")
    assert isinstance(refusal, Failure)
    assert refusal.message == "bybit: account main lacks apiKey, secret (variables BYBIT_…)."


def test_passwords_in_settings_are_taken_out_of_the_log(
    stream: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(rounds)
    monkeypatch.setattr(sys, "stderr", stream)
    url = f"postgresql://me:{planted('password')}@127.0.0.1/journal"
    settings = load_settings({"CCXT_MCP_CONFIG": os.devnull, "JOURNAL_URL": url, "LOG_LEVEL": "info"})
    start_logs(settings)
    logging.getLogger("anybody").info("cannot log in with %s", planted("password"))
    assert "cannot log in with [redacted]" in stream.getvalue()
    broken = load_settings({"CCXT_MCP_CONFIG": os.devnull, "JOURNAL_URL": "postgresql://[me", "LOG_LEVEL": "info"})
    start_logs(broken)
    logging.getLogger("anybody").info("still here")
    assert "still here" in stream.getvalue()
