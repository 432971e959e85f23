"""A known secret is logged through every path there is, and reaches neither stderr nor stdout."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiohttp import web

from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.guards.redaction import MASK, Redactor
from ccxt_mcp.logs import ccxt_log, configure_logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5"  # base64, as kraken wants it
API_KEY = "ck-71d2f6be0b"
PASSPHRASE = "correct horse"
KNOWN = (SECRET, API_KEY, PASSPHRASE)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Generator[None]:
    """Leave the interpreter's logging as it was found."""
    root, ccxt, deep = (logging.getLogger(name) for name in (None, "ccxt", "ccxt.base.exchange"))
    handlers, levels = root.handlers[:], [logger.level for logger in (root, ccxt, deep)]
    show = warnings.showwarning
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    for logger, level in zip((root, ccxt, deep), levels, strict=True):
        logger.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture(params=[io.StringIO, Terminal], ids=["lines", "terminal"])
def stream(request: pytest.FixtureRequest) -> io.StringIO:
    """What stands in for stderr, once as a file and once as a terminal."""
    return request.param()


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def boom() -> None:
    error = ValueError(f"kraken POST https://api.kraken.com/0/private/x?signature={SECRET} failed for {SECRET}")
    error.add_note(f"the key was {API_KEY}")
    try:
        raise KeyError(API_KEY)
    except KeyError as cause:
        raise error from cause


class Holder:
    def __repr__(self) -> str:
        return f"Holder({SECRET})"


def in_exception(log: Callable[..., Any], **kwargs: Any) -> None:
    try:
        boom()
    except ValueError:
        log("went wrong", **kwargs)


def in_group(log: logging.Logger) -> None:
    try:
        raise ExceptionGroup("several", [ValueError(SECRET), OSError(API_KEY)])
    except* (ValueError, OSError):
        log.exception("several")


ours = structlog.get_logger("ccxt_mcp.test")
theirs = logging.getLogger("mcp.some.library")

PATHS: dict[str, Callable[[], Any]] = {
    "event": lambda: ours.info(f"using {SECRET}"),
    "event with arguments": lambda: ours.info("using %s", SECRET),
    "keyword": lambda: ours.warning("request", headers={"API-Sign": "c2lnbmF0dXJl", "x": [SECRET]}),
    "keyword of a telling name": lambda: ours.warning("request", signature="c2lnbmF0dXJl", n=SECRET),
    "keyword object": lambda: ours.error("holder", holder=Holder(), data=SECRET.encode()),
    "keyword error": lambda: ours.error("failed", error=ValueError(SECRET)),
    "dictionary key": lambda: ours.error("failed", data={SECRET: 1}),
    "bound value": lambda: ours.bind(key=SECRET).error("bound"),
    "context": lambda: (structlog.contextvars.bind_contextvars(who=SECRET), ours.error("context")),
    "exception": lambda: in_exception(ours.exception),
    "exc_info": lambda: in_exception(ours.info, exc_info=True),
    "stack": lambda: ours.info(SECRET, stack_info=True),
    "library message": lambda: theirs.info(f"using {SECRET}"),
    "library arguments": lambda: theirs.debug("%s %r", {"X-MBX-APIKEY": API_KEY}, SECRET),
    "library mapping": lambda: theirs.debug("%(a)s", {"a": SECRET}),
    "library extra": lambda: theirs.info("extra", extra={"headers": {"secret": SECRET}, "who": Holder()}),
    "library exception": lambda: in_exception(theirs.exception),
    "library exception group": lambda: in_group(theirs),
    "library stack": lambda: theirs.info(SECRET, stack_info=True),
    "library object": lambda: theirs.info(Holder()),
    "library that formats badly": lambda: theirs.info("%d orders for %s", SECRET, API_KEY),
    "library whose object breaks": lambda: theirs.info("%s", BrokenHolder()),
    "root logger": lambda: logging.error(SECRET),  # noqa: LOG015 - some libraries do
    "warning": lambda: warnings.warn(f"old key {SECRET}", DeprecationWarning, stacklevel=1),
    "ccxt printing": lambda: ccxt_log("\nfetch Request:", "kraken", {"API-Key": API_KEY}, "RequestBody:", SECRET),
    "ccxt logger": lambda: logging.getLogger("ccxt.base.exchange").warning("Request: %s", {"API-Key": API_KEY}),
    "base64": lambda: theirs.info(base64.b64encode(f"user:{SECRET}".encode()).decode()),
    "url": lambda: theirs.info("GET https://user:%s@host/path?apiKey=%s", API_KEY, API_KEY),
}  # fmt: skip


class BrokenHolder:
    def __str__(self) -> str:
        raise ValueError(SECRET)


@pytest.mark.parametrize("path", PATHS)
def test_a_known_secret_does_not_get_out_on_this_path(
    path: str, stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(action="always"):
        configure_logs("debug", redactor=Redactor(KNOWN), stream=stream)
        PATHS[path]()
    written = stream.getvalue()
    everything = written + "".join(capfd.readouterr())
    assert written
    for secret in (*KNOWN, base64.b64encode(SECRET.encode()).decode()[4:40], "c2lnbmF0dXJl"):
        assert secret not in everything
    assert MASK in everything or "was lost" in everything
    if isinstance(stream, Terminal):
        assert "\x1b[" in everything or "was lost" in everything


def test_warnings_go_to_the_log_and_not_around_it() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings(action="always"):
        configure_logs("warning", redactor=Redactor(KNOWN), stream=stream)
        warnings.warn(f"key {SECRET}", UserWarning, stacklevel=1)
    (entry,) = entries(stream)
    assert entry["logger"] == "py.warnings"


async def test_what_asyncio_says_of_lost_errors_is_redacted(stream: io.StringIO) -> None:
    configure_logs("debug", redactor=Redactor(KNOWN), stream=stream)

    async def fail() -> None:
        raise ValueError(SECRET)

    task = asyncio.create_task(fail(), name=f"task for {API_KEY}")
    await asyncio.wait({task})
    del task
    gc.collect()
    assert "never retrieved" in stream.getvalue()
    assert not any(secret in stream.getvalue() for secret in KNOWN)


# -- a real exchange, signing a real request -----------------------------------------------------------------------


@pytest.fixture
async def wire() -> AsyncGenerator[tuple[str, list[dict[str, str]]], None]:
    """A server that remembers what it was sent and, as bybit does, sends the key back."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({**request.headers, **request.query, "body": await request.text()})
        text = f"error sign! origin_string[1658384314791{API_KEY}5000] apiKey={API_KEY} for {SECRET}"
        return web.json_response({"retCode": 10004, "retMsg": text, "code": "50113", "msg": text, "error": [text]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


SIGNED = {
    "bybit": ("privateGetV5AccountWalletBalance", "X-BAPI-SIGN"),
    "okx": ("privateGetAccountBalance", "OK-ACCESS-SIGN"),
    "kraken": ("privatePostBalance", "API-Sign"),
    "binance": ("privateGetAccount", "signature"),
    "kucoin": ("privateGetAccounts", "KC-API-SIGN"),
}


@pytest.mark.parametrize("exchange", SIGNED)
async def test_a_real_exchange_that_prints_everything_shows_neither_secret_nor_signature(
    exchange: str, stream: io.StringIO, wire: tuple[str, list[dict[str, str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logs("debug", redactor=Redactor(KNOWN), stream=stream)
    url, seen = wire
    method, signature = SIGNED[exchange]
    logging.getLogger("ccxt.base.exchange").setLevel(logging.DEBUG)  # as somebody might, against our default
    instance = exchange_class(exchange)(
        {"apiKey": API_KEY, "secret": SECRET, "password": PASSPHRASE, "verbose": True, "timeout_on_exit": 0}
    )
    instance.urls["api"] = dict.fromkeys((*instance.urls["api"], "private"), url)
    instance.log = ccxt_log
    try:
        await getattr(instance, method)()
    except Exception:  # noqa: BLE001 - whatever it is, it is logged
        ours.exception("failed")
    finally:
        await instance.close()
    everything = stream.getvalue() + "".join(capfd.readouterr())
    (request,) = seen
    assert request[signature]
    assert "fetch Request" in everything
    assert "Request:" in everything
    assert "Traceback" in everything
    for secret in (*KNOWN, request[signature], *(value for name, value in request.items() if "PASSPHRASE" in name)):
        assert secret not in everything


async def test_ccxts_own_loggers_stay_quiet_at_debug_unless_somebody_insists(wire: tuple[str, Any]) -> None:
    stream = io.StringIO()
    configure_logs("debug", redactor=Redactor(), stream=stream)
    instance = exchange_class("kraken")({"timeout_on_exit": 0})
    instance.urls["api"] = {"public": wire[0]}
    with pytest.raises(Exception, match="kraken"):
        await instance.publicGetTime()
    await instance.close()
    assert not [entry for entry in entries(stream) if entry["logger"].startswith("ccxt.")]


# -- what a line holds ---------------------------------------------------------------------------------------------


def test_lines_are_json_with_time_level_logger_and_request_id() -> None:
    stream = io.StringIO()
    configure_logs("info", redactor=Redactor(), stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="abc123"):
        ours.info("call failed", exchange="kraken", price=60000.5, symbol="BTC/USDT:USDT")
        theirs.warning("hello %s", "world", extra={"attempt": 2})
        ours.debug("not shown")
    own, foreign = entries(stream)
    assert own.pop("timestamp").endswith("Z")
    assert own == {
        "event": "call failed", "exchange": "kraken", "price": 60000.5, "symbol": "BTC/USDT:USDT",
        "request_id": "abc123", "level": "info", "logger": "ccxt_mcp.test",
    }  # fmt: skip
    assert foreign["event"] == "hello world"
    assert (foreign["attempt"], foreign["request_id"], foreign["logger"]) == (2, "abc123", "mcp.some.library")


def test_one_entry_is_one_line_whatever_it_holds() -> None:
    stream = io.StringIO()
    configure_logs("info", redactor=Redactor(), stream=stream)
    theirs.info('two\nlines "quoted" \x1b[31m\u2028 \udcff')
    in_exception(ours.exception)
    assert len(stream.getvalue().splitlines()) == 2
    assert "ValueError" in entries(stream)[1]["exception"]


def test_a_terminal_is_not_given_orders_by_what_is_logged() -> None:
    stream = Terminal()
    configure_logs("info", redactor=Redactor(), stream=stream)
    ours.info("title \x1b]0;pwned\x07 \x9b2J", name="\x1b[2J", nested=["\x1b[2J"])
    assert not any(order in stream.getvalue() for order in ("\x1b]", "\x07", "\x9b", "\x1b[2J"))


def test_long_printing_is_cut_without_leaving_half_a_secret() -> None:
    stream = io.StringIO()
    configure_logs("debug", redactor=Redactor(KNOWN), stream=stream)
    for room in range(3_900, 4_010):
        ccxt_log("x" * room, SECRET, "y" * 50)
    assert all(len(entry["said"]) < 4_100 for entry in entries(stream))
    assert SECRET[:4] not in stream.getvalue()


def test_ccxts_printing_costs_nothing_and_says_nothing_above_debug() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise AssertionError("must not be formatted")

    stream = io.StringIO()
    configure_logs("info", redactor=Redactor(), stream=stream)
    ccxt_log(Unprintable())
    assert not stream.getvalue()


def test_a_secret_learnt_after_configuration_is_redacted_too() -> None:
    stream, redactor = io.StringIO(), Redactor()
    configure_logs("info", redactor=redactor, stream=stream)
    redactor.add(SECRET)
    theirs.info("now %s", SECRET)
    assert SECRET not in stream.getvalue()


def test_configuring_again_moves_every_logger_to_the_new_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs("info", redactor=Redactor(), stream=first)
    ours.info("one")
    configure_logs("error", redactor=Redactor(KNOWN), stream=second)
    ours.info("quiet")
    ours.error(f"two {SECRET}")
    theirs.error("three")
    assert [entry["event"] for entry in entries(first)] == ["one"]
    assert [entry["event"] for entry in entries(second)] == [f"two {MASK}", "three"]


def test_a_stream_that_is_closed_stops_nobody() -> None:
    stream = io.StringIO()
    configure_logs("info", redactor=Redactor(KNOWN), stream=stream)
    stream.close()
    theirs.info("%s", SECRET)


def test_a_real_process_writes_logs_to_stderr_only_and_the_sdk_adds_no_handler_of_its_own() -> None:
    script = """
import logging, sys
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs
configure_logs("info", redactor=Redactor([sys.argv[1]]))
from mcp.server.mcpserver import MCPServer
MCPServer("x")
import structlog
structlog.get_logger("a").info("own", value=sys.argv[1])
logging.getLogger("b").info("foreign %s", sys.argv[1])
print(len(logging.getLogger().handlers), file=sys.stdout)
"""
    command = [sys.executable, "-c", script, SECRET]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "1\n"
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == ["own", f"foreign {MASK}"]


def test_nothing_heavy_is_imported_for_logging() -> None:
    script = """
import sys
import structlog
before = set(sys.modules)
import ccxt_mcp.logs, ccxt_mcp.guards.redaction
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} & {"ccxt", "mcp", "pydantic", "aiohttp"}))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"
