"""Breaker: spares an exchange that does not answer, and its callers the wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

from ccxt_mcp.errors import Code, Failure

State = Literal["closed", "open", "half_open"]

# Only the exchange itself can say these, so that they prove it alive. Of the other failures that do not trip the
# breaker, some are found by us or by ccxt before anything is sent: they prove nothing, either way.
_ANSWERS = frozenset(
    {
        Code.CREDENTIALS_REJECTED,
        Code.CLOCK_SKEW,
        Code.INSUFFICIENT_BALANCE,
        Code.EXCHANGE_ERROR,
        Code.ORDER_NOT_FOUND,
        Code.PERMISSION_DENIED,
    }
)
_PROBE_WAIT = 1.0  # seconds after which to ask again while a probe is in flight


class Attempt:
    """One admitted request. Exactly one verdict counts: the first.

    As a context manager it finds the verdict itself where none was given: success, the failure's code, or nothing
    for anything else, such as a cancellation.
    """

    __slots__ = ("_breaker", "_generation", "_judged")

    def __init__(self, breaker: Breaker, generation: int) -> None:
        self._breaker = breaker
        self._generation = generation
        self._judged = False

    def succeeded(self) -> None:
        """The exchange answered, be it with a refusal of this very request."""
        self._judge(self._breaker.on_answer)

    def failed(self, code: Code) -> None:
        """The request failed; its code tells whether the exchange is to blame."""
        if code.trips_breaker:
            self._judge(self._breaker.on_failure)
        elif code in _ANSWERS:
            self._judge(self._breaker.on_answer)
        else:
            self.abandoned()

    def abandoned(self) -> None:
        """Nothing was learnt: cancelled, or stopped by our own limiter or the caller's mistake."""
        self._judge(self._breaker.on_nothing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.succeeded()
        elif isinstance(error, Failure):
            self.failed(error.code)
        else:
            self.abandoned()

    def _judge(self, verdict: Callable[[int], None]) -> None:
        if not self._judged:
            self._judged = True
            verdict(self._generation)


class Breaker:
    """Closed, it counts failures in a row; open, it refuses at once; half open, it lets one probe through.

    Args:
        exchange: the exchange that it guards, for the message.
        failures: failures in a row that open it.
        window: seconds within which they must fall.
        cooldown: seconds for which it stays open; doubled each time the probe fails too.
        max_cooldown: the most that doubling leads to.
        clock: seconds from any origin, monotonic.
    """

    def __init__(
        self,
        exchange: str,
        *,
        failures: int = 5,
        window: float = 30.0,
        cooldown: float = 10.0,
        max_cooldown: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._window = window
        self._first_cooldown = self._cooldown = cooldown
        self._max_cooldown = max_cooldown
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=failures)
        self._in_a_row = 0
        self._since = 0.0
        self._open_until: float | None = None
        self._probing = False
        # Changes with every opening and closing, so that a verdict on an attempt from before is known as late.
        self._generation = 0

    @property
    def state(self) -> State:
        """What it does with the next request."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half_open"

    @property
    def retry_after(self) -> float:
        """Seconds until a request may be let through; 0 if one may be now."""
        if self._open_until is None:
            return 0.0
        wait = self._open_until - self._clock()
        return wait if wait > 0 else _PROBE_WAIT * self._probing

    def admit(self) -> Attempt:
        """Let a request through and return the attempt to be judged.

        Raises:
            Failure: CIRCUIT_OPEN while open, or while a probe is in flight.
        """
        if self._open_until is not None:
            if (wait := self.retry_after) > 0:
                raise Failure(Code.CIRCUIT_OPEN, self._complaint(), retry_after=wait)
            self._probing = True
        return Attempt(self, self._generation)

    def on_answer(self, generation: int) -> None:
        """Take note that an attempt of this generation was answered."""
        if generation != self._generation:
            return
        self._recent.clear()
        self._in_a_row = 0
        if self._open_until is not None:
            self._open_until = None
            self._probing = False
            self._cooldown = self._first_cooldown
            self._generation += 1

    def on_failure(self, generation: int) -> None:
        """Take note that an attempt of this generation failed by the exchange's fault."""
        if generation != self._generation:
            return
        now = self._clock()
        self._recent.append(now)
        self._since = self._since if self._in_a_row else now
        self._in_a_row += 1
        if self._open_until is not None:
            self._cooldown = min(self._cooldown * 2, self._max_cooldown)
        elif len(self._recent) != self._recent.maxlen or now - self._recent[0] > self._window:
            return
        self._open_until = now + self._cooldown
        self._probing = False
        self._generation += 1

    def on_nothing(self, generation: int) -> None:
        """Take note that an attempt of this generation proved nothing; if it was the probe, another may go."""
        if generation == self._generation:
            self._probing = False

    def _complaint(self) -> str:
        ago = self._clock() - self._since
        return f"{self._exchange} is not answering: {self._in_a_row} failures in a row, the first {ago:.0f} s ago."


class BreakerSettings(TypedDict, total=False):
    """The arguments of a `Breaker` besides its exchange."""

    failures: int
    window: float
    cooldown: float
    max_cooldown: float
    clock: Callable[[], float]


class Breakers:
    """The breakers of all exchanges, each made when it is first asked for and all with the same settings."""

    def __init__(self, **settings: Unpack[BreakerSettings]) -> None:
        self._settings = settings
        self._breakers: dict[str, Breaker] = {}

    def of(self, exchange: str) -> Breaker:
        """Return the breaker of an exchange."""
        breaker = self._breakers.get(exchange)
        if breaker is None:
            breaker = self._breakers[exchange] = Breaker(exchange, **self._settings)
        return breaker
