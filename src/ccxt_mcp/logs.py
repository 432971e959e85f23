"""Logs: one way to stderr for everybody, structured, and without secrets.

Our own events (structlog) and those of libraries (logging, warnings) meet in one handler on the root logger, and its
formatter redacts all of it after exceptions were rendered and before anything is written. stdout is never written: on a
stdio server it belongs to the protocol.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import BoundLogger, ExtraAdder, LoggerFactory, ProcessorFormatter

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from ccxt_mcp.guards.redaction import Redactor

_CCXT_CHATTER = "ccxt_mcp.wire"  # beside the logger "ccxt", whose own debug lines stay off
_LONGEST_CHATTER = 4_000
_STOPS = " \n\"',:&=?"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed: a terminal obeys some of them


def configure_logs(level: str, *, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send every log line through one redacting handler: JSON lines, or columns where the stream is a terminal.

    Call it before the MCP server is built, which would otherwise put a handler of its own on the root logger. Calling
    it again replaces the former configuration.

    Args:
        level: debug, info, warning or error. ccxt's own loggers stay at warning or above: their debug lines are whole
            signed requests.
        redactor: takes the secrets out; secrets that it learns later count from then on.
        stream: where lines go; stderr unless another is given.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(redactor, colors=handler.stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.getLogger("ccxt").setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_shared(),
            structlog.processors.StackInfoRenderer(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=BoundLogger,
        logger_factory=LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def ccxt_log(*said: object) -> None:
    """Take what ccxt prints when its `verbose` is on, as `exchange.log`: to our log at debug, shortened."""
    if logging.getLogger(_CCXT_CHATTER).isEnabledFor(logging.DEBUG):
        structlog.get_logger(_CCXT_CHATTER).debug("ccxt", said=_shortened(" ".join(map(str, said)).strip()))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; of a line that cannot be formatted or written it keeps the place only."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        # Python's own version prints the message and its arguments, past all redaction.
        with suppress(OSError, ValueError):
            self.stream.write(f"a log line of {record.name}, {record.filename}:{record.lineno}, was lost\n")


def _formatter(redactor: Redactor, *, colors: bool) -> ProcessorFormatter:
    def redacted(_logger: Any, _method: str, event: EventDict) -> EventDict:
        scrubbed = redactor.scrub_value(event)
        return {name: _CONTROL.sub("", value) if isinstance(value, str) else value for name, value in scrubbed.items()}

    renderer: Processor = (
        ConsoleRenderer(exception_formatter=plain_traceback) if colors else structlog.processors.JSONRenderer()
    )
    return ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars, *_shared(), ExtraAdder()],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redacted,
            renderer,
        ],
    )


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _shortened(text: str) -> str:
    """Cut a long text, and what would be half a word with it: half a secret is not recognised any more."""
    if len(text) <= _LONGEST_CHATTER:
        return text
    end = max(text.rfind(stop, 0, _LONGEST_CHATTER) for stop in _STOPS)
    return f"{text[: end + 1]}… ({len(text)} characters)"
