"""Poll: brings what a channel tells by asking for it, where the exchange sends no stream of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.methods import METHODS
from ccxt_mcp.streams.ledgers import Rest, Trades
from ccxt_mcp.streams.stream import Stream

SHARE = 0.2
"""Of an exchange's request budget that all polling together may take."""

_LONGEST_PAUSE = 60.0
_ENDS = frozenset({
    Code.CREDENTIALS_MISSING,
    Code.CREDENTIALS_REJECTED,
    Code.PERMISSION_DENIED,
    Code.TIER_NOT_ALLOWED,
    Code.METHOD_NOT_SUPPORTED,
    Code.UNKNOWN_SYMBOL,
    Code.INVALID_ARGUMENT,
})  # fmt: skip
"""Failures that asking again does not change."""


class Poll:
    """Asks again and again at a polite rate.

    Args:
        stream: to which it tells what changed.
        venue: the exchange.
        rest: asks.
        neighbours: how many streams of the same exchange are asked for now.
        jitter: a number between 0 and 1 for each pause.
    """

    def __init__(
        self,
        stream: Stream,
        venue: Venue,
        rest: Rest,
        *,
        neighbours: Callable[[], int],
        jitter: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._venue = venue
        self._rest = rest
        self._neighbours = neighbours
        self._jitter = jitter
        self._cost = 0.0

    async def run(self) -> None:
        """Ask until cancelled.

        Raises:
            Failure: one that asking again does not change.
        """
        stream, row = self._stream, self._stream.row
        method = row.poll
        if not self._venue.brokered(method):
            self._cost = await self._cost_of(method)
        begun, failures = False, 0
        while True:
            pause = self.every
            stream.note = f"asked every {pause:.3g} s"
            try:
                await self._ask(begun=begun)
                begun, failures = True, 0
            except Failure as failure:
                if failure.code in _ENDS:
                    raise
                stream.broke(failure)
                failures += 1
                pause = min(_LONGEST_PAUSE, max(pause * 2.0 ** min(failures, 6), failure.retry_after or 0.0))
            await asyncio.sleep(pause * (0.9 + self._jitter() / 5))

    @property
    def every(self) -> float:
        """Seconds between two requests: no less than the channel's, and such that all polls share the budget's part."""
        seconds_each = self._cost * self._venue.exchange.rateLimit / 1000
        return max(self._stream.row.every, seconds_each * self._neighbours() / SHARE)

    async def _ask(self, *, begun: bool) -> None:
        stream, ledger = self._stream, self._stream.ledger
        if isinstance(ledger, Trades):
            ledger.one_numbering = True
        data, complete = await ledger.fill(self._rest)
        if not complete and begun:
            stream.missed(0, Failure(Code.EMPTY_REPLY, "More happened between two requests than one of them tells."))
        if data is not None:
            stream.data(data, "poll", complete=complete)
        else:
            stream.up("poll")

    async def _cost_of(self, method: str) -> float:
        given = {"symbol": self._stream.key.symbol, "timeframe": self._stream.key.timeframe, "params": {}}
        once = await self._venue.cost_of(method, *(given.get(name) for name in METHODS[method].takes))
        return once * await self._rest.requests()
