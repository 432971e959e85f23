"""Rates: what each exchange may still be asked, shared by all its instances, and the gate that requests pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

from ccxt_mcp.envelope import RateLimit
from ccxt_mcp.exchanges.quirks import rate_window
from ccxt_mcp.exchanges.translate import Reply
from ccxt_mcp.exchanges.venue import Gate, VenueKey
from ccxt_mcp.guards.budget import Admission, Budget
from ccxt_mcp.guards.limiter import Limiter, admit_all
from ccxt_mcp.guards.usage import usage_from_headers
from ccxt_mcp.settings import Settings

_deadline: ContextVar[float] = ContextVar("ccxt_mcp_deadline", default=inf)
_urgent: ContextVar[bool] = ContextVar("ccxt_mcp_urgent", default=False)


class Rates:
    """The request budgets of all exchanges: one for the address, one more for each account.

    Args:
        settings: through which proxy, if any, each exchange is asked: another address has another budget.
        clock: monotonic seconds.
        wall: seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._limiter = Limiter(clock=clock)
        self._budgets: dict[VenueKey, Budget] = {}
        self._clock = clock
        self._wall = wall

    def gate(self, key: VenueKey, exchange: Any) -> Gate:
        """Return the gate for the requests of an instance."""
        egress = next(iter(self._settings.exchange(key.exchange).chosen.values()), "direct")
        window, unit = rate_window(exchange), exchange.rateLimit / 1000
        budget = self._limiter.budget((key.exchange, key.public.mode, egress), window=window, unit=unit)
        self._budgets[key.public] = budget
        own = [self._limiter.budget(key, window=window, unit=unit)] if key.account else []
        return _RateGate(budget, own, clock=self._clock, wall=self._wall)

    def rate_limit(self, key: VenueKey) -> RateLimit | None:
        """Return what is left of the exchange's budget; None before its first use."""
        budget = self._budgets.get(key.public)
        return None if budget is None else budget.snapshot(self._wall() * 1000)

    def wait(self, key: VenueKey, cost: float) -> float:
        """Return the seconds that a request of this cost would wait now."""
        return self._budgets[key.public].wait(cost)

    def block(self, key: VenueKey, seconds: float) -> None:
        """Admit nothing for some seconds, because the exchange said so."""
        self._budgets[key.public].block(seconds)


@contextmanager
def until(deadline: float, *, urgent: bool = False) -> Generator[None]:
    """Let the requests made inside wait for their turn no longer than this, and before all others if urgent.

    Args:
        deadline: on the clock of the rates.
        urgent: whether they are a way out: a cancel, or an order that only reduces a position.
    """
    tokens = _deadline.set(deadline), _urgent.set(urgent or _urgent.get())
    try:
        yield
    finally:
        _deadline.reset(tokens[0])
        _urgent.reset(tokens[1])


def deadline() -> float:
    """Return until when the present call may wait, on the clock of the rates; infinity outside of calls."""
    return _deadline.get()


class _RateGate:
    """Charges an instance's requests to the budget that all instances of its exchange share."""

    def __init__(
        self, budget: Budget, own: list[Budget], *, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._budget = budget
        self._own = own
        self._clock = clock
        self._wall = wall

    def admit(self, cost: float, *, private: bool) -> Admission:
        """Wait for the address's budget, and for the key's own if the request is private; not past the deadline."""
        budgets = [self._budget, *self._own] if private else [self._budget]
        return admit_all(budgets, cost, max_wait=_deadline.get() - self._clock(), urgent=_urgent.get())

    def observe(self, reply: Reply, url: str) -> None:
        """Take the exchange's own numbers where it sends them."""
        if usage := usage_from_headers(reply.headers, self._wall(), host=url):
            for budget in self._own if usage.of_key else [self._budget]:
                budget.correct(usage)
