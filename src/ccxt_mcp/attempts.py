"""Attempts: a request tried once, or a read as often as its time and the exchange's patience allow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import structlog

from ccxt_mcp import rates
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.translate import Reply, fate_of, translate
from ccxt_mcp.exchanges.venue import Trace, VenueKey
from ccxt_mcp.guards.breaker import Breakers
from ccxt_mcp.guards.meters import Meters
from ccxt_mcp.methods import METHODS, Method
from ccxt_mcp.rates import Rates
from ccxt_mcp.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

_ATTEMPTS = 3
_FIRST_BACKOFF = 0.1
_MOST_BACKOFF = 1.0
_REFUSED_PAUSE = 1.0  # seconds without requests after a 429 that does not say how long
_NOT_REPEATED = frozenset({Code.CIRCUIT_OPEN, Code.EMPTY_REPLY, Code.CLOCK_SKEW})


class Attempts:
    """Runs operations that ask an exchange; their errors become failures, and breaker and meters learn of them.

    Args:
        settings: the server's settings.
        breakers: by exchange.
        budgets: what each exchange may still be asked.
        meters: how exchanges answer.
        clock: monotonic seconds.
        jitter: a number between 0 and 1 for each back-off.
    """

    def __init__(
        self,
        settings: Settings,
        breakers: Breakers,
        budgets: Rates,
        meters: Meters,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._breakers = breakers
        self._rates = budgets
        self._meters = meters
        self._clock = clock
        self._jitter = jitter

    async def repeated(
        self,
        key: VenueKey,
        method: str,
        operation: Callable[[Trace], Awaitable[T]],
        *,
        resync: Callable[[], Awaitable[bool]] | None = None,
    ) -> T:
        """Run an operation behind the breaker, repeating reads with jittered back-off while time remains.

        The breaker hears one verdict per call, not per attempt, so that retries alone never open it.

        `resync` corrects our clock after the exchange found it wrong; then the operation runs once more.

        Raises:
            Failure: the last one that the exchange gave cause for; our own budget's only if nothing was ever sent.
        """
        patience = self._clock() + self._settings.deadline / 2
        failure: Failure | None = None
        attempt = 1
        with self._breakers.of(key.exchange).admit() as admission:
            while True:
                trace = Trace()
                try:
                    return await self.once(key, method, operation, trace)
                except Failure as told:
                    if failure is None and not trace.sent:
                        admission.abandoned()  # the exchange was never asked, so it is not to blame
                        raise
                    failure = told if trace.sent else failure or told
                if failure.code is Code.CLOCK_SKEW and resync is not None and await resync():
                    resync = None
                    continue
                pause = self._pause_before_retry(METHODS[method], failure, attempt, patience)
                if failure.code is Code.RATE_LIMITED and pause is None:
                    failure.retry_after = failure.retry_after or _REFUSED_PAUSE
                if pause is None or self._rates.wait(key, trace.cost) > max(_MOST_BACKOFF, pause):
                    raise failure  # a tight budget is kept for calls, not spent on repeating one
                await asyncio.sleep(pause)
                attempt += 1

    async def once(self, key: VenueKey, method: str, operation: Callable[[Trace], Awaitable[T]], trace: Trace) -> T:
        """Run an operation once, until the present call's deadline; `trace.fate` tells what became of a write.

        Raises:
            Failure: whatever went wrong.
        """
        started = self._clock()
        failure: Failure | None = None
        try:
            async with asyncio.timeout_at(self._attempt_ends(method)):
                return await operation(trace)
        except Failure as told:
            failure = told
            trace.fate = fate_of(told, told, sent=trace.sent, acknowledged=trace.acknowledged)
            if told.code is Code.RATE_LIMITED and trace.ended < trace.sent:  # refused while waiting for the others
                failure = Failure(Code.TIMEOUT, f"{key.exchange} did not answer in time.")
            raise failure from None
        except Exception as error:
            failure = translate(error, exchange=key.exchange, reply=trace.reply if trace.sent else Reply())
            trace.fate = fate_of(error, failure, sent=trace.sent, acknowledged=trace.acknowledged)
            if failure.code is Code.INTERNAL:
                log.exception("a call crashed before it was sent", exchange=key.exchange, method=method)
            if failure.code is Code.RATE_LIMITED:
                self._rates.block(key, failure.retry_after or _REFUSED_PAUSE)
            raise failure from None
        finally:
            if trace.sent:
                code = failure.code if failure else None
                self._meters.record(key.exchange, method, seconds=self._clock() - started, failure=code)

    def _attempt_ends(self, method: str) -> float | None:
        """Return when an attempt is given up, on the loop's clock. Markets load on for callers to come."""
        if method == "loadMarkets":
            return self._clock() + 3 * self._settings.deadline
        return None if rates.deadline() == inf else rates.deadline()

    def _pause_before_retry(self, row: Method, failure: Failure, attempt: int, patience: float) -> float | None:
        """Return the seconds until the next attempt; None where another one is useless, impolite or too late."""
        if not row.retryable or not failure.code.retryable or failure.code in _NOT_REPEATED or attempt >= _ATTEMPTS:
            return None
        if failure.code is Code.RATE_LIMITED and failure.retry_after is None:
            return None  # who does not say how long to wait is not asked again at once
        backoff = min(_MOST_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1)) * (0.5 + self._jitter())
        pause = max(backoff, failure.retry_after or 0.0)
        return pause if self._clock() + pause < min(patience, rates.deadline()) else None
