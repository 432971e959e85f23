"""Limiter: the request budgets of the whole process, and requests that count against several of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable

from ccxt_mcp.guards.budget import Admission, Budget

_LONGEST_TRANSIT = 1.0  # seconds: connect, TLS and the way itself, from anywhere on earth


def admit_all(budgets: Iterable[Budget], cost: float, max_wait: float, *, urgent: bool = False) -> Admission:
    """Return the context manager for a request that counts against several budgets.

    They are entered in one order by everybody, so that no two requests wait for each other; the newest, which is
    the narrowest, comes first, so that one account's queue holds nothing back from the others.
    """
    return Admission(tuple(sorted(set(budgets), key=lambda budget: -budget.number)), cost, max_wait, urgent=urgent)


class Limiter:
    """All budgets of the process, one for each scope.

    Args:
        transit: seconds after which a request has arrived for certain, even if it is not answered.
        clock: seconds from any origin, monotonic.
    """

    def __init__(self, *, transit: float = _LONGEST_TRANSIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._transit = transit
        self._clock = clock
        self._budgets: dict[Hashable, Budget] = {}

    def budget(self, scope: Hashable, *, window: float, unit: float) -> Budget:
        """Return the budget of a scope, made when it is first asked for; of differing limits the stricter holds.

        Args:
            scope: who is counted, such as (exchange, egress) or (exchange, API key).
            window: seconds over which the exchange counts; 0 spaces the requests.
            unit: seconds that one unit of cost is worth.
        """
        budget = self._budgets.get(scope)
        if budget is None:
            budget = self._budgets[scope] = Budget(window=window, unit=unit, transit=self._transit, clock=self._clock)
        else:
            budget.tighten(window=window, unit=unit)
        return budget
