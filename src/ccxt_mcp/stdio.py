"""One MCP session over the process's standard streams, without a thread.

The SDK's own stdio transport hands each read, write and flush to a worker thread, which costs more than a cached
answer does. Here both descriptors are non-blocking, and the event loop waits for them only when the kernel has
nothing to give or no room. Regular files and ``/dev/null`` never make it wait, so they need no other path.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import structlog
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, jsonrpc_message_adapter

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mcp.server import MCPServer
    from mcp_types import JSONRPCMessage

log = structlog.get_logger(__name__)

MAX_LINE: Final = 16 * 2**20
"""Bytes of the longest line that is read; a longer one is dropped."""

MAX_UNSENT: Final = 2**20
"""Bytes that may wait for a slow client; beyond it, no request is taken and no answer is accepted."""

GRACE: Final = 0.5
"""Seconds that requests in flight have, after the end of the input, before they are cancelled."""

FLUSH_WITHIN: Final = 0.25
"""Seconds that the client has to read the last answers."""

EXIT_WITHIN: Final = 1.0
"""Seconds from the end of the session to the end of the process, whatever still hangs."""

_READ_SIZE: Final = 2**16


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve one client over stdin and stdout until the input ends, the client is gone, or SIGINT or SIGTERM.

    While serving, fd 0 leads to the null device and fd 1 to stderr, so that nobody else reads or writes the protocol.
    The process belongs to the session: when it has not ended by itself ``EXIT_WITHIN`` seconds after the session
    (a thread that waits for a dead name server cannot be cancelled), it is ended with exit code 0.

    To be awaited in the main thread, which is the one that signals reach. On Windows the SDK's own transport serves,
    because the event loop cannot wait for standard handles there.

    Raises:
        OSError: the process was started without stdin or stdout.
    """
    if sys.stdin is None or sys.stdout is None:
        # Their numbers belong to other files by now, the event loop's own perhaps.
        raise OSError(errno.EBADF, "stdin and stdout have to be open")
    if sys.platform == "win32":
        await server.run_stdio_async()
        return
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # a test pins it
    # Nothing is logged before the forced end: a full stderr may be the very thing that hangs.
    last_resort = threading.Timer(EXIT_WITHIN, os._exit, (0,))
    last_resort.daemon = True
    with _standard_streams() as (source, sink):
        wire = Wire(source, sink, on_end=last_resort.start)
        open_requests: set[str] = set()
        with _stopped_by_signals(wire):
            try:
                await lowlevel.run(
                    _Incoming(wire, open_requests),
                    _Outgoing(wire, open_requests),
                    lowlevel.create_initialization_options(),
                )
            finally:
                await wire.close()


class Lines:
    """Cuts a stream of bytes into lines, and drops the lines that are longer than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._searched = 0
        self._dropping = False

    def __len__(self) -> int:
        """Bytes that are held."""
        return len(self._held)

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the stream."""
        self._held += chunk

    def take(self) -> bytearray | None:
        """Give the next complete line without its line feed, or None when more bytes are needed."""
        while (end := self._held.find(b"\n", self._searched)) >= 0:
            line = self._held[:end]
            del self._held[: end + 1]
            self._searched = 0
            unwanted, self._dropping = self._dropping, False
            if unwanted:
                continue
            if end > self._limit:
                self._warn()
                continue
            return line
        if not self._dropping and len(self._held) > self._limit:
            self._warn()
            self._dropping = True
        if self._dropping:
            self._held.clear()
        self._searched = len(self._held)
        return None

    def _warn(self) -> None:
        log.warning("a line from the client is too long and was dropped", limit_bytes=self._limit)


class Wire:
    """Lines that come in from one non-blocking descriptor and go out to another.

    Whoever waits, waits for the same bell, and then looks again at what it waits for.

    Args:
        source: descriptor to read from.
        sink: descriptor to write to.
        on_end: called once, when no more lines will be read.
    """

    def __init__(self, source: int, sink: int, on_end: Callable[[], None]) -> None:
        self._source = source
        self._sink = sink
        self._on_end = on_end
        self._lines = Lines(MAX_LINE)
        self._unsent = bytearray()
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watching = False
        self._listening = False
        self.ended = False
        """Whether the input is over; lines that were read before may still be taken."""
        self.stopped = False
        """Whether neither lines nor room are waited for any longer."""
        self.broken = False
        """Whether the client no longer reads."""

    @property
    def full(self) -> bool:
        """Whether the client has to read before it may ask for more."""
        return len(self._unsent) > MAX_UNSENT and not self.ended

    def ring(self) -> None:
        """Wake all who wait."""
        self._bell.set()
        self._bell.clear()

    async def change(self) -> None:
        """Wait for the next ring."""
        await self._bell.wait()

    def stop(self) -> None:
        """End the session now: no more lines, no grace."""
        self.stopped = True
        self._end()

    async def read_line(self) -> bytearray | None:
        """Give the next line that is not empty, or None at the end."""
        while not self.stopped:
            if not self.full:
                line = self._lines.take()
                if line and not line.isspace():
                    return line
                if line is not None:
                    continue
                if self.ended:
                    break
            await self._fill()
        return None

    async def write_line(self, line: bytes) -> None:
        """Send a line; returns when it is sent or may wait.

        A line is never torn: whoever is cancelled here has already handed it over as a whole.

        Raises:
            anyio.BrokenResourceError: the client no longer reads.
        """
        if self.broken:
            raise anyio.BrokenResourceError
        self._unsent += line + b"\n"
        if not self._watching:
            self._push()
        while self.full:
            await self.change()

    async def close(self) -> None:
        """Give the client ``FLUSH_WITHIN`` seconds to read what is left, then let go of the descriptors."""
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_WITHIN):
                while self._unsent:
                    await self.change()
        self._forget_unsent()

    async def _fill(self) -> None:
        """Read what is there; wait for a ring when there is nothing, or no room for more."""
        # Even a client that does not read is heard for a while, so that the end of its input is noticed.
        if self._listening or (self.full and len(self._lines) > MAX_UNSENT):
            await self.change()
        elif self._read():
            # A flood of empty lines would otherwise never let signals and handlers run.
            await asyncio.sleep(0)
        else:
            self._loop.add_reader(self._source, self._hear)
            self._listening = True
            await self.change()

    def _hear(self) -> None:
        """Read what has come, as long as the lines before are taken; to listen anew for each would cost more."""
        self._read()
        if len(self._lines) > _READ_SIZE:
            self._forget_source()
        self.ring()

    def _forget_source(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._source)

    def _read(self) -> bool:
        """Read once without waiting; False when there is nothing yet."""
        try:
            chunk = os.read(self._source, _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            log.warning("stdin cannot be read", reason=error.strerror)
            chunk = b""
        self._lines.feed(chunk or b"\n")  # the last line may lack its line feed
        if not chunk:
            self._end()
        return True

    def _push(self) -> None:
        """Write as much as the client takes now; the event loop goes on when it takes more."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self._sink, self._unsent)]
        except BlockingIOError:
            if not self._watching:
                self._watching = True
                self._loop.add_writer(self._sink, self._push_more)
        except OSError:
            # Not worth a log line: stderr most likely led to the same client, who is gone.
            self.broken = True
            self._forget_unsent()
            self.stop()

    def _push_more(self) -> None:
        self._push()
        if not self._unsent:
            self._forget_unsent()
        self.ring()

    def _forget_unsent(self) -> None:
        self._unsent.clear()
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._sink)

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._forget_source()
            self._on_end()
        self.ring()


class _Incoming(ObjectReceiveStream["SessionMessage | Exception"]):
    """The client's messages as the SDK wants them; a line that is no message is given as its error."""

    def __init__(self, wire: Wire, open_requests: set[str]) -> None:
        self._wire = wire
        self._open = open_requests

    async def receive(self) -> SessionMessage | Exception:
        line = await self._wire.read_line()
        if line is None:
            await self._settle()
            raise anyio.EndOfStream
        try:
            message = jsonrpc_message_adapter.validate_json(line.decode(errors="replace"), by_name=False)
        except ValueError as error:
            log.warning("a line from the client is not a JSON-RPC message", size_bytes=len(line))
            return error
        if isinstance(message, JSONRPCRequest):
            self._open.add(str(message.id))
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._open.discard(str(cancelled_request_id_from_params(message.params)))
        return SessionMessage(message)

    async def aclose(self) -> None:
        """Leave the wire open: the last answers are still to be sent."""

    async def _settle(self) -> None:
        """Wait for the requests in flight, because the SDK cancels them when the input ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._open and not self._wire.stopped:
                    await self._wire.change()


class _Outgoing(ObjectSendStream[SessionMessage]):
    """The SDK's messages to the client, in the SDK's own JSON."""

    def __init__(self, wire: Wire, open_requests: set[str]) -> None:
        self._wire = wire
        self._open = open_requests

    async def send(self, item: SessionMessage) -> None:
        message = item.message
        try:
            # orjson saves under 1 % of a call here, and refuses the wide integers that exchanges send.
            await self._wire.write_line(message.model_dump_json(by_alias=True, exclude_unset=True).encode())
        finally:
            self._answered(message)

    async def aclose(self) -> None:
        """Leave the wire open: its owner flushes it after the session."""

    def _answered(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._open.discard(str(message.id))
            if self._wire.ended:
                self._wire.ring()


@contextmanager
def _standard_streams() -> Generator[tuple[int, int]]:
    """Give private descriptors of stdin and stdout, which meanwhile lead to the null device and to stderr."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        noise = null if sys.stderr is None else 2
        with _taken(0, null) as source, _taken(1, noise) as sink:
            try:
                yield source, sink
            finally:
                # What others printed and Python still buffers belongs to stderr too.
                with suppress(OSError, ValueError):
                    sys.stdout.flush()
    finally:
        os.close(null)


@contextmanager
def _taken(fd: int, substitute: int) -> Generator[int]:
    """Give a private, non-blocking duplicate of ``fd``, which leads to ``substitute`` until the end."""
    private = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    blocking = os.get_blocking(private)
    try:
        os.dup2(substitute, fd)
        os.set_blocking(private, False)
        yield private
    finally:
        # Other processes share the mode: a shell would find its terminal non-blocking.
        os.set_blocking(private, blocking)
        os.dup2(private, fd)
        os.close(private)


@contextmanager
def _stopped_by_signals(wire: Wire) -> Generator[None]:
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGINT, signal.SIGTERM)
    for number in wanted:
        loop.add_signal_handler(number, wire.stop)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
