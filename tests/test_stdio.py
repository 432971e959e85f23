"""The stdio transport: by itself on real pipes, and in real processes with the SDK's client and without it."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp_types import TextContent

import ccxt_mcp
from ccxt_mcp.stdio import MAX_LINE, MAX_UNSENT, Lines, Wire

if TYPE_CHECKING:
    from collections.abc import Generator

TOOLBOX = str(Path(__file__).parent / "stdio_servers" / "toolbox.py")
PYTHONPATH = str(Path(ccxt_mcp.__file__).parents[1])
PATIENCE = 20.0  # seconds, far beyond what anything here takes
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE = [
    {
        "jsonrpc": "2.0",
        "id": "hello",
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


def call(number: int, tool: str, /, **arguments: Any) -> bytes:
    """One tools/call of the modern era, which needs no handshake."""
    params = {"name": tool, "arguments": arguments, "_meta": MODERN}
    return line({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def answers(output: bytes) -> dict[Any, dict[str, Any]]:
    """Answers by request id; every line of the output must be one, and none may be torn."""
    messages = [json.loads(each) for each in output.splitlines()]
    return {message["id"]: message for message in messages}


def said(answer: dict[str, Any]) -> str:
    return answer["result"]["content"][0]["text"]


class Program:
    """A toolbox process; what it says is read with a bound on the wait."""

    def __init__(self, *arguments: str, stdin: Any = subprocess.PIPE, stdout: Any = subprocess.PIPE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, TOOLBOX, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
        )

    def send(self, *lines: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"".join(lines))

    def until(self, text: bytes, *, on: IO[bytes] | None = None) -> bytes:
        """Read stderr, or another stream, until it has said ``text``."""
        stream = on or self.process.stderr
        assert stream
        return read_until(stream.fileno(), text)

    def end(self) -> tuple[bytes, bytes]:
        """Close stdin, and give the rest of stdout and stderr of a process that must end with code 0."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors, errors.decode()
        return output or b"", errors


def read_until(fd: int, text: bytes) -> bytes:
    seen = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while text not in seen:
            assert selector.select(PATIENCE), f"{text!r} was not said, only {seen[-1000:]!r}"
            chunk = os.read(fd, 65536)
            assert chunk, f"{text!r} was not said, only {seen[-1000:]!r}"
            seen += chunk
    return seen


@contextmanager
def program(*arguments: str, **streams: Any) -> Generator[Program]:
    started = Program(*arguments, **streams)
    with started.process:
        try:
            yield started
        finally:
            if started.process.poll() is None:
                started.process.kill()


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def wired(ended: list[str] | None = None) -> Generator[tuple[Wire, int, int]]:
    """A wire, the client's end to write to, and the client's end to read from."""
    with pipe() as (source, to_wire), pipe() as (from_wire, sink):
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        yield (
            Wire(source, sink, on_end=partial((ended if ended is not None else []).append, "ended")),
            to_wire,
            from_wire,
        )


async def sip(fd: int) -> bytes:
    """Read a little, as a client does that has other things to do."""
    async with asyncio.timeout(PATIENCE):
        await anyio.wait_readable(fd)
    return os.read(fd, 65536)


# The parts, on pipes.


def test_the_sdk_still_has_the_low_level_server_that_is_driven_here() -> None:
    assert isinstance(MCPServer("pinned")._lowlevel_server, Server)


@given(
    st.lists(st.binary(max_size=12).map(lambda some: some.replace(b"\n", b"")), max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
)
def test_lines_are_the_same_however_the_stream_is_cut_and_long_ones_are_missing(
    whole: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(each + b"\n" for each in whole)
    lines, taken = Lines(limit=6), list[bytes]()
    position = 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        lines.feed(stream[position : position + size])
        position += size
        while (found := lines.take()) is not None:
            taken.append(bytes(found))
        assert len(lines) <= 6
    assert taken == [each for each in whole if len(each) <= 6]


async def test_a_client_that_does_not_read_is_asked_for_no_more_until_it_does() -> None:
    with wired() as (wire, to_wire, from_wire):
        os.write(to_wire, b"first\nsecond\n")
        assert await wire.read_line() == b"first"
        sending = asyncio.create_task(wire.write_line(b"x" * (MAX_UNSENT + 2**17)))
        await asyncio.sleep(0)
        reading = asyncio.create_task(wire.read_line())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not sending.done()
        assert not reading.done()
        received = 0
        while not (sending.done() and reading.done()):
            received += len(await sip(from_wire))
        assert reading.result() == b"second"
        assert received < MAX_UNSENT
        await wire.close()


async def test_what_nobody_takes_is_read_no_more_than_a_little_ahead() -> None:
    with wired() as (wire, to_wire, _):
        reading = asyncio.create_task(wire.read_line())
        await asyncio.sleep(0)  # from now on the wire listens
        os.set_blocking(to_wire, False)
        os.write(to_wire, b"first\n")
        assert await reading == b"first"
        lines = [b"%07d" % number for number in range(MAX_UNSENT // 8)]
        unwritten = b"\n".join(lines) + b"\n"
        refused = 0
        while refused < 10:
            try:
                unwritten = unwritten[os.write(to_wire, unwritten) :]
            except BlockingIOError:
                refused += 1
            await asyncio.sleep(0)
        taken = (MAX_UNSENT - len(unwritten)) // 8
        assert taken < MAX_UNSENT // 16
        assert [await wire.read_line() for _ in range(taken)] == lines[:taken]
        await wire.close()


async def test_the_end_of_the_input_is_noticed_although_the_client_does_not_read() -> None:
    ended: list[str] = []
    with wired(ended) as (wire, to_wire, from_wire):
        sending = asyncio.create_task(wire.write_line(b"x" * (MAX_UNSENT * 2)))
        reading = asyncio.create_task(wire.read_line())
        await asyncio.sleep(0)
        os.write(to_wire, b"unfinished")
        os.dup2(from_wire, to_wire)  # the last writing end is gone
        async with asyncio.timeout(PATIENCE):
            assert await reading == b"unfinished"
            await sending
            assert await wire.read_line() is None
            await wire.close()
        assert ended == ["ended"]


async def test_a_cancelled_sender_leaves_no_torn_line() -> None:
    with wired() as (wire, _, from_wire):
        sending = asyncio.create_task(wire.write_line(b"x" * (MAX_UNSENT * 2)))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait({sending})
        next_line = asyncio.create_task(wire.write_line(b"next"))
        received = b""
        while not received.endswith(b"next\n"):
            received += await sip(from_wire)
        await next_line
        assert [len(each) for each in received.splitlines()] == [MAX_UNSENT * 2, 4]
        await wire.close()


async def test_a_line_for_a_client_that_is_gone_is_refused_and_ends_the_input() -> None:
    with wired() as (wire, to_wire, from_wire):
        reading = asyncio.create_task(wire.read_line())
        await asyncio.sleep(0)
        os.dup2(to_wire, from_wire)  # the last reading end is gone
        await wire.write_line(b"lost")
        async with asyncio.timeout(PATIENCE):
            assert await reading is None
        with pytest.raises(anyio.BrokenResourceError):
            await wire.write_line(b"refused")
        await wire.close()


# Sessions of the SDK's client, in both eras.

BOTH_ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])


@contextmanager
def toolbox_transport() -> Generator[tuple[Any, int]]:
    """The SDK's stdio transport to a toolbox, and a descriptor to read its stderr from."""
    with pipe() as (errors, writing), os.fdopen(os.dup(writing), "w") as errlog:
        parameters = StdioServerParameters(command=sys.executable, args=[TOOLBOX], env={"PYTHONPATH": PYTHONPATH})
        yield stdio_client(parameters, errlog=errlog), errors


def content(result: Any) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@BOTH_ERAS
async def test_the_sdk_client_lists_tools_sees_progress_and_moves_megabytes_both_ways(era: str) -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    with toolbox_transport() as (transport, _):
        async with Client(transport, mode=era) as client:
            assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
            million = "é∂🐍" * (3 * 2**20 // 9)
            assert content(await client.call_tool("echo", {"value": million})) == million
            result = await client.call_tool("counting", progress_callback=note)
            assert content(result) == "counted"
    assert steps == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@BOTH_ERAS
async def test_a_cancelled_call_is_cancelled_in_the_server_and_the_session_goes_on(era: str) -> None:
    with toolbox_transport() as (transport, errors):
        async with Client(transport, mode=era) as client:
            hanging = asyncio.create_task(client.call_tool("hang"))
            await asyncio.to_thread(read_until, errors, b"hanging\n")
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            await asyncio.to_thread(read_until, errors, b"hang cancelled\n")
            assert content(await client.call_tool("echo", {"value": "alive"})) == "alive"


@BOTH_ERAS
async def test_stray_output_of_a_tool_and_its_children_goes_to_stderr_and_stdin_is_empty(era: str) -> None:
    with toolbox_transport() as (transport, errors):
        async with Client(transport, mode=era) as client:
            assert content(await client.call_tool("noisy")) == "stdin gives b''"
            assert content(await client.call_tool("echo", {"value": "alive"})) == "alive"
        noise = await asyncio.to_thread(read_until, errors, b"served\n")
    assert b"stray print, unflushed" in noise
    assert b"stray write" in noise
    assert b"stray child" in noise


# Whole processes without a client's help.


def test_every_answer_is_the_same_bytes_as_over_the_sdk_s_own_transport() -> None:
    requests = [
        *map(line, HANDSHAKE),
        *(
            line({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            for number, (method, params) in enumerate(
                [
                    ("tools/list", {}),
                    ("ping", {}),
                    ("tools/call", {"name": "echo", "arguments": {"value": '\u2028 \x00 é \\ "'}}),
                    ("tools/call", {"name": "echo", "arguments": {}}),
                    ("tools/call", {"name": "no such tool"}),
                    ("no/such/method", {}),
                ]
            )
        ),
    ]
    outputs: list[list[bytes]] = []
    for arguments in ((), ("sdk",)):
        with program(*arguments) as started:
            output = b""
            for request in requests:
                started.send(request)
                if b'"id"' in request:
                    output += started.until(b"\n", on=started.process.stdout)
            started.end()
            outputs.append(output.splitlines())
    assert len(outputs[0]) == 7
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("handshake", [True, False], ids=["legacy", "modern"])
def test_requests_from_a_file_are_all_answered_into_a_file(handshake: bool, tmp_path: Path) -> None:
    requests = [call(number, "a_moment") for number in range(20)]
    if handshake:
        requests = [json.dumps({**json.loads(each), "params": {"name": "a_moment"}}).encode() for each in requests]
        requests = [*map(line, HANDSHAKE), *(each + b"\n" for each in requests)]
    (tmp_path / "in").write_bytes(b"".join(requests).rstrip())
    with (
        (tmp_path / "in").open("rb") as stdin,
        (tmp_path / "out").open("wb") as stdout,
        program(stdin=stdin, stdout=stdout) as started,
    ):
        started.end()
    given_answers = answers((tmp_path / "out").read_bytes())
    assert given_answers.keys() == set(range(20)) | ({"hello"} if handshake else set())
    assert {said(given_answers[number]) for number in range(20)} == {"done"}


def test_lines_that_are_no_messages_cost_nothing_but_themselves() -> None:
    with program() as started:
        started.send(
            b"\n \t\r\n",
            b"not json\n",
            b"[1, 2]\n",
            b'{"jsonrpc": "2.0"}\n',
            b"\xff\xfe\x00\n",
            call(1, "echo", value="crlf").replace(b"\n", b"\r\n"),
            call(2, "echo", value="x" * MAX_LINE),
            call(3, "echo", value="?").replace(b"?", b"\xff"),
            call(4, "unspeakable"),
        )
        output = started.until(b'"id":4', on=started.process.stdout)
        rest, errors = started.process.communicate(call(5, "echo", value="partial").rstrip(), timeout=PATIENCE)
    assert started.process.returncode == 0, errors.decode()
    given_answers = answers(output + rest)
    assert given_answers.keys() == {1, 3, 4, 5}
    assert [said(given_answers[number]) for number in (1, 3, 5)] == ["crlf", "\ufffd", "partial"]
    assert "error" in given_answers[4]
    assert b"too long" in errors
    assert errors.count(b"not a JSON-RPC message") == 4  # blank lines are nothing to tell of
    assert b"not json" not in errors  # what a client sends may be a secret


def test_at_the_end_of_the_input_almost_finished_answers_come_and_hanging_ones_are_cancelled() -> None:
    with pipe() as (reading, writing):
        with program(stdin=reading) as started:
            os.write(writing, call(1, "hang"))
            started.until(b"hanging\n")
            os.write(writing, call(2, "a_moment"))
            os.dup2(reading, writing)  # the last writing end is gone
            output, errors = started.end()
        assert os.get_blocking(reading), "the mode of a shared descriptor is given back"
    given_answers = answers(output)
    assert said(given_answers[2]) == "done"
    assert given_answers[1]["error"]["message"] == "Connection closed"
    assert b"hang cancelled\nlifespan left\nserved\n" in errors


def test_a_large_answer_is_sent_to_its_end_after_the_end_of_the_input() -> None:
    with program() as started:
        started.send(call(1, "large", size=3 * 2**20))
        output, _ = started.end()
    assert len(said(answers(output)[1])) == 3 * 2**20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_what_hangs_and_leaves_in_order(number: signal.Signals) -> None:
    with program() as started:
        started.send(call(1, "hang"))
        started.until(b"hanging\n")
        started.process.send_signal(number)
        errors = started.until(b"served\n")  # before stdin is closed
        output, _ = started.end()
    assert answers(output)[1]["error"]["message"] == "Connection closed"
    assert b"hang cancelled\nlifespan left\nserved\n" in errors


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    with program() as started:
        started.send(call(1, "stuck_thread"), call(2, "echo", value="alive"))
        started.until(b"stuck\n")
        _, errors = started.end()
    assert b"served" not in errors


def test_a_client_that_died_ends_the_process_quietly_although_its_stdin_stays_open() -> None:
    with program() as started:
        assert started.process.stdout
        started.send(call(1, "echo", value="heard"))
        started.until(b"heard", on=started.process.stdout)
        started.process.stdout.close()
        started.send(call(2, "hang"), call(3, "echo", value="unheard"))
        errors = started.until(b"served\n")
        assert started.process.wait(PATIENCE) == 0
    assert b"lifespan left" in errors
    assert b"Traceback" not in errors


def test_a_client_that_died_with_all_its_pipes_ends_the_process_cleanly() -> None:
    with program() as started:
        assert started.process.stdout
        assert started.process.stderr
        started.send(call(1, "noisy"))
        started.until(b"stdin gives", on=started.process.stdout)
        started.process.stdout.close()
        started.process.stderr.close()
        started.send(call(2, "echo", value="unheard"))
        assert started.process.wait(PATIENCE) == 0


def test_a_client_that_never_reads_does_not_keep_the_process() -> None:
    with program() as started:
        assert started.process.stdin
        started.send(*(call(number, "large", size=3 * 2**20) for number in range(3)))
        started.until(b"lifespan entered")
        started.process.stdin.close()
        assert started.process.wait(PATIENCE) == 0


def test_one_socket_may_be_both_stdin_and_stdout() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, program(stdin=theirs, stdout=theirs) as started:
        theirs.close()
        for number in (1, 2):
            ours.sendall(call(number, "echo", value="x" * 2**20))
            assert len(said(answers(read_until(ours.fileno(), b"\n"))[number])) == 2**20
        ours.shutdown(socket.SHUT_WR)
        started.end()


def test_an_empty_input_ends_the_process_at_once() -> None:
    with program(stdin=subprocess.DEVNULL) as started:
        assert started.end()[0] == b""


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_process_without_stdin_or_stdout_says_so(closed: str) -> None:
    command = f'exec "$0" "$1" {closed}'
    finished = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, TOOLBOX],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert finished.returncode == 1
    assert b"stdin and stdout have to be open" in finished.stderr
