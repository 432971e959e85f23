"""Budget: what may be requested in a window, so that no exchange ever sees its limit exceeded.

An exchange counts a request at the moment of its arrival, which lies somewhere between sending and reply. A budget
therefore holds a request's cost from before it is sent until one window after its reply: whatever the latency, no
window at the exchange then holds more than the capacity. So that a request which hangs does not stop an exchange that
allows few at a time, it counts as arrived when its transit has taken as long as a transit may take.

Some exchanges (OKX, Hyperliquid) refuse bursts altogether; ccxt marks them with a rolling window of 0. Their requests
are spaced instead: the next one leaves `cost * unit` seconds after the one before, and idle time gives no credit.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import count
from math import ceil, inf
from operator import itemgetter
from types import TracebackType
from typing import Self

from ccxt_mcp.envelope import RateLimit
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.guards.usage import Usage

_EPSILON = 1e-6  # of a cost unit: sums of costs such as 0.2 are not exact
_LATE = 1e-6  # seconds: a timer rings a moment after its time, so that the time has come when it does
_total = itemgetter(1)
_numbers = count()


class _Claim:
    """One request's claim on one budget: waiting, then taken, then settled."""

    __slots__ = ("charge", "cost", "deadline", "sent", "urgent")

    def __init__(self, cost: float, *, urgent: bool = False) -> None:
        self.cost = cost
        self.urgent = urgent
        self.charge = 0.0  # what it adds to the queue, later what it takes of the capacity
        self.sent = inf
        self.deadline = inf


class Budget:
    """What one scope, such as an IP address at an exchange, may spend in any window.

    Waiting is first come, first served, but for urgent requests, which stand before all others. A request that costs
    more than the whole capacity goes when nothing else is in the window, and holds the budget for as long as its cost
    is worth.

    Args:
        window: seconds over which the exchange counts; 0 spaces the requests.
        unit: seconds that one unit of cost is worth (ccxt's `rateLimit` / 1000).
        transit: seconds after which a request has arrived for certain, even if it is not answered.
        clock: seconds from any origin, monotonic.
    """

    def __init__(
        self, *, window: float, unit: float, transit: float = inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if window < 0 or unit <= 0:
            raise ValueError(f"window is {window} s and unit is {unit} s; they must be at least 0 and above 0.")
        self.number = next(_numbers)
        self._window = window
        self._unit = unit
        self._transit = transit
        self._clock = clock
        self._in_flight: OrderedDict[_Claim, None] = OrderedDict()  # in the order in which they were sent
        self._taken = 0.0  # by those in flight
        # (when it is free again, sum of all that settled up to and including it): both only grow.
        self._settled: deque[tuple[float, float]] = deque()
        self._freed = 0.0
        self._waiters: OrderedDict[_Claim, asyncio.Future[bool]] = OrderedDict()  # a dict's front is slow to delete
        self._queued = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._blocked_until = -inf
        self._allowance = inf
        self._allowance_until = -inf

    @property
    def capacity(self) -> float:
        """Cost units that one window holds, at least 1."""
        return max(1.0, self._window / self._unit)

    def admit(self, cost: float, *, max_wait: float, urgent: bool = False) -> Admission:
        """Return the context manager inside which a request of this cost is sent and answered.

        Args:
            cost: units of the exchange's budget, as ccxt computes them.
            max_wait: seconds that entering may take.
            urgent: whether it goes before all that are not, such as a cancel before reads.

        Raises:
            Failure: RATE_LIMITED on entering, at once when the wait is known to be longer than `max_wait`.
        """
        return Admission((self,), cost, max_wait, urgent=urgent)

    def wait(self, cost: float, *, urgent: bool = False) -> float:
        """Return the seconds that a new request would wait: exact, or the least if replies are outstanding."""
        return self._wait(cost, self._now(), urgent=urgent)

    def block(self, seconds: float) -> None:
        """Admit nothing for some seconds, because the exchange said so (429 or 418 with Retry-After)."""
        self._blocked_until = max(self._blocked_until, self._now() + seconds)
        for claim in [claim for claim in self._waiters if claim.deadline < self._blocked_until]:
            self._dismiss(claim)
        self._pump()

    def correct(self, usage: Usage) -> None:
        """Spend no more than the exchange says is left, until its count starts anew.

        The exchange's window and unit may differ from ours: its fraction is taken of our capacity, or of what our
        rate yields until the reset if that is more. Requests in flight may not be in its count yet and come off.
        """
        now = self._now()
        whole = max(self.capacity, usage.reset_in / self._unit)
        self._allowance = max(0.0, usage.remaining_fraction * whole - self._taken)
        self._allowance_until = now + usage.reset_in
        self._pump()

    def tighten(self, *, window: float, unit: float) -> None:
        """Adopt another opinion of the same limit where it is the stricter one."""
        self._window = min(self._window, window)
        self._unit = max(self._unit, unit)

    @property
    def remaining(self) -> float:
        """Cost units that a request may spend right now without waiting."""
        now = self._now()
        if self._waiters or now < self._blocked_until:
            return 0.0
        return max(0.0, min(self.capacity - self._used, self._allowance))

    def reset_at(self, wall_ms: float) -> int:
        """Return when the whole budget is free again if nothing more is spent, in milliseconds since the epoch.

        Args:
            wall_ms: the present, in milliseconds since the epoch; requests in flight count as answered now.
        """
        now = self._now()
        free = max(now, self._blocked_until)
        if self._settled:
            free = max(free, self._settled[-1][0])
        if self._in_flight:
            free = max(free, now + self._window)
        if self._allowance < self.capacity:
            free = max(free, self._allowance_until)
        return ceil(wall_ms + (free - now) * 1000)

    def snapshot(self, wall_ms: float) -> RateLimit:
        """Return the state of this budget as an answer shows it."""
        return RateLimit(remaining=round(self.remaining, 3), reset=self.reset_at(wall_ms))

    async def enter(self, cost: float, max_wait: float, *, urgent: bool = False) -> _Claim:
        """Wait for a request's turn and return its claim. `admit` is the safe way to use it."""
        claim = _Claim(cost, urgent=urgent)
        now = self._now()
        if not self._waiters and self._ready_at(cost, now) <= now:
            self._take(claim)
            return claim
        if (wait := self._wait(cost, now, urgent=urgent)) > max_wait:
            raise _refusal(cost, wait, max_wait)
        if not await self._turn(claim, now, max_wait):
            raise _refusal(cost, self.wait(cost, urgent=urgent), max_wait)
        return claim

    def sent(self, claim: _Claim) -> None:
        """Take note that a request leaves now."""
        claim.sent = self._now()
        if self._window:
            self._in_flight.move_to_end(claim)
        else:
            self._settle(claim, claim.sent)
        self._pump()

    def answered(self, claim: _Claim) -> None:
        """Start the window of a request whose reply has arrived."""
        now = self._now()
        if claim in self._in_flight:
            self._settle(claim, now)
            self._pump()

    def recall(self, claim: _Claim) -> None:
        """Take back a claim whose request turned out never to have left; spacing is kept as it was."""
        if claim in self._in_flight:
            self.refund(claim)

    def refund(self, claim: _Claim) -> None:
        """Take back a claim whose request was never sent."""
        self._land(claim)
        self._allowance += claim.cost
        self._pump()

    @property
    def _used(self) -> float:
        return self._taken + (self._settled[-1][1] - self._freed if self._settled else 0.0)

    def _now(self) -> float:
        """Return the time, having settled and freed what is due."""
        now = self._clock()
        while self._in_flight and (arrived := next(iter(self._in_flight)).sent + self._transit) <= now:
            self._settle(next(iter(self._in_flight)), arrived)
        settled = self._settled
        while settled and settled[0][0] <= now:
            self._freed = settled.popleft()[1]
        if self._allowance_until <= now:
            self._allowance = inf
        return now

    def _charge(self, cost: float) -> float:
        return min(cost, self.capacity) if self._window else self.capacity

    def _ready_at(self, cost: float, now: float) -> float:
        """Return when the head of the queue may go at the latest: now, later, or inf where only a reply can tell."""
        need = self._used + self._charge(cost) - self.capacity
        freed = self._freed_at(need, now)
        ready = max(self._blocked_until, self._landed_at(need) if freed == inf else freed)
        if min(cost, self.capacity) > self._allowance + _EPSILON:
            ready = max(ready, self._allowance_until)
        return ready

    def _freed_at(self, need: float, now: float) -> float:
        if need <= _EPSILON:
            return now
        at = bisect_left(self._settled, self._freed + need - _EPSILON, key=_total)
        return self._settled[at][0] if at < len(self._settled) else inf

    def _landed_at(self, need: float) -> float:
        need -= self._used - self._taken
        for claim in self._in_flight:
            need -= claim.charge
            if need <= _EPSILON:
                return claim.sent + self._transit + self._hold(claim)
        return inf

    def _hold(self, claim: _Claim) -> float:
        return max(self._window, claim.cost * self._unit)

    def _wait(self, cost: float, now: float, *, urgent: bool = False) -> float:
        """Return the least wait of a request that queues behind all the others, or behind the urgent ones only."""
        capacity = self.capacity
        queued = sum(claim.charge for claim in self._urgent()) if urgent else self._queued
        if self._window:
            ahead = queued + self._charge(cost)
            turns = max(0, ceil(ahead / capacity - _EPSILON) - 1)
            need, pause = self._used + ahead - (turns + 1) * capacity, turns * self._window
        else:
            need, pause = self._used, queued * self._unit
        ready = self._freed_at(need, now)
        ready = max(self._blocked_until, now + self._window if ready == inf else ready) + pause
        if min(queued + cost, capacity) > self._allowance + _EPSILON:
            ready = max(ready, self._allowance_until)
        return max(0.0, ready - now)

    def _take(self, claim: _Claim) -> None:
        claim.charge = self._charge(claim.cost)
        self._allowance -= claim.cost
        self._taken += claim.charge
        self._in_flight[claim] = None

    def _land(self, claim: _Claim) -> None:
        del self._in_flight[claim]
        self._taken = self._taken - claim.charge if self._in_flight else 0.0

    def _settle(self, claim: _Claim, arrived: float) -> None:
        self._land(claim)
        if not self._settled:
            self._freed = 0.0
        last_free, total = self._settled[-1] if self._settled else (-inf, 0.0)
        self._settled.append((max(arrived + self._hold(claim), last_free), total + claim.charge))

    async def _turn(self, claim: _Claim, now: float, max_wait: float) -> bool:
        """Wait in the queue; return whether the claim was taken in time."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        claim.deadline = now + max_wait
        self._waiters[claim] = turn
        if claim.urgent:
            for waiting in reversed(self._urgent()):  # to the front, in the order of their coming
                self._waiters.move_to_end(waiting, last=False)
        claim.charge = min(claim.cost, self.capacity) if self._window else claim.cost
        self._queued += claim.charge
        self._pump()
        overdue = loop.call_later(max_wait, self._expire, claim) if max_wait < inf else None
        taken = False
        try:
            taken = await turn
        finally:
            if overdue is not None:
                overdue.cancel()
            if not taken:
                self._withdraw(claim, turn)
        return taken

    def _urgent(self) -> list[_Claim]:
        return [claim for claim in self._waiters if claim.urgent]

    def _withdraw(self, claim: _Claim, turn: asyncio.Future[bool]) -> None:
        if claim in self._waiters:
            self._leave(claim)
            self._pump()
        elif turn.done() and not turn.cancelled() and turn.result():
            self.refund(claim)  # cancelled between its turn and its waking

    def _leave(self, claim: _Claim) -> None:
        del self._waiters[claim]
        self._queued = self._queued - claim.charge if self._waiters else 0.0

    def _dismiss(self, claim: _Claim) -> None:
        turn = self._waiters[claim]
        self._leave(claim)
        if not turn.done():
            turn.set_result(False)

    def _expire(self, claim: _Claim) -> None:
        self._pump()
        if claim in self._waiters:
            self._dismiss(claim)
            self._pump()

    def _pump(self) -> None:
        """Let all go whose turn has come, and set the timer for the next."""
        while self._waiters:
            claim, turn = next(iter(self._waiters.items()))
            now = self._now()
            wake_at = self._ready_at(claim.cost, now)
            if wake_at > now and not turn.done():
                break
            self._leave(claim)
            if not turn.done():  # a cancelled one is dropped as it comes to the front
                self._take(claim)
                turn.set_result(True)
        else:
            wake_at = inf
        self._wake(wake_at)

    def _wake(self, at: float) -> None:
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at < inf:
            self._timer = asyncio.get_running_loop().call_later(at - self._clock() + _LATE, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._timer_at = inf
        self._pump()


class Admission:
    """A request's place in one or several budgets: entered before it is sent, left when it is answered.

    Leaving counts the request even if it failed, since it may have reached the exchange, unless `unsent` was called.
    """

    __slots__ = ("_budgets", "_claims", "_cost", "_left", "_max_wait", "_urgent")

    def __init__(self, budgets: tuple[Budget, ...], cost: float, max_wait: float, *, urgent: bool = False) -> None:
        self._budgets = budgets
        self._cost = max(0.0, cost)
        self._max_wait = max_wait
        self._urgent = urgent
        self._claims: list[_Claim] = []
        self._left = True

    def unsent(self) -> None:
        """Tell that the request never left, as no connection was made: it costs nothing."""
        self._left = False

    async def __aenter__(self) -> Self:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._max_wait
        if len(self._budgets) > 1:
            wait = max(budget.wait(self._cost, urgent=self._urgent) for budget in self._budgets)
            if wait > self._max_wait:
                raise _refusal(self._cost, wait, self._max_wait)
        try:
            for budget in self._budgets:
                self._claims.append(await budget.enter(self._cost, deadline - clock(), urgent=self._urgent))
            for budget, claim in zip(self._budgets, self._claims, strict=True):
                budget.sent(claim)
        finally:
            if len(self._claims) < len(self._budgets):
                for budget, claim in zip(self._budgets, self._claims, strict=False):
                    budget.refund(claim)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for budget, claim in zip(self._budgets, self._claims, strict=True):
            if self._left:
                budget.answered(claim)
            else:
                budget.recall(claim)


def _refusal(cost: float, wait: float, max_wait: float) -> Failure:
    return Failure(
        Code.RATE_LIMITED,
        f"The rate limit is used up: cost {cost:g} would wait {wait:.1f} s, and may wait {max(0.0, max_wait):.1f} s.",
        retry_after=wait,
    )
