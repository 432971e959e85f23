"""Notices: tells that something changed, at a pace that nobody drowns in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

import structlog

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.streams.hub import Hub, Topic
from ccxt_mcp.text import clean_text

log = structlog.get_logger(__name__)

_AGAIN = 15.0  # seconds after which a stream that ended or could not be opened is tried anew

Publish = Callable[[str], Awaitable[None]]
"""Tells all who listen that what is at a URI has changed."""


@dataclass(slots=True)
class _Notice:
    task: asyncio.Task[None]
    listeners: int = 0


class Notices:
    """Follows the stream behind each URI that somebody listens to, once for all of them.

    Args:
        hub: where the streams are.
        publish: tells of a change.
        pace: seconds between two notices of one URI, at least; what changes meanwhile is told by one notice after it.
    """

    def __init__(self, hub: Hub, publish: Publish, *, pace: float) -> None:
        self._hub = hub
        self._publish = publish
        self._pace = pace
        self._notices: dict[str, _Notice] = {}

    def listen(self, uri: str, topic: Topic) -> None:
        """Begin to tell of a URI, for one listener more."""
        notice = self._notices.get(uri)
        if notice is None:
            task = asyncio.create_task(self._follow(uri, topic), name="notices", context=Context())
            notice = self._notices[uri] = _Notice(task)
        notice.listeners += 1

    def leave(self, uri: str) -> None:
        """Take one listener of a URI away; with the last one the following ends."""
        notice = self._notices[uri]
        notice.listeners -= 1
        if notice.listeners == 0:
            del self._notices[uri]
            notice.task.cancel()

    async def close(self) -> None:
        """Tell nothing more."""
        tasks = [notice.task for notice in self._notices.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _follow(self, uri: str, topic: Topic) -> None:
        while True:
            try:
                subscription = await self._hub.subscribe(topic)
            except Failure as failure:
                log.info("nothing to tell of a resource", uri=clean_text(uri, 100), reason=failure.code.value.reason)
                if not failure.code.retryable and failure.code is not Code.LIMIT_EXCEEDED:
                    return
            else:
                try:
                    while await subscription.next() is not None:
                        while subscription.take() is not None:
                            pass  # one notice tells of all that is there
                        await self._publish(uri)
                        await asyncio.sleep(self._pace)
                finally:
                    subscription.close()
            await asyncio.sleep(_AGAIN)
