"""A real server process on stdio that ends itself with SIGKILL at a chosen step of an order's way.

Its steps are those of the server's own code, wrapped here and nowhere else. KILL_STEP names the step, KILL_TURN says
how often it is reached until then, and KILL_SECONDS how long after the first order a moment comes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.lookup import Lookup
from ccxt_mcp.desk.reconciler import Reconciler
from ccxt_mcp.exchanges.venue import Guarded, Venue
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal import intents, reservation
from ccxt_mcp.journal.journal import Journal
from ccxt_mcp.serve import serve

IN_FLIGHT = 0.03  # seconds: the request has left by then, and the exchange may have executed it

Strike = Callable[[], None]


def before(owner: Any, name: str, strike: Strike) -> None:
    """End the process when a coroutine function is called."""
    original = getattr(owner, name)

    @wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        strike()
        return await original(*arguments, **named)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, strike: Strike) -> None:
    """End the process when a coroutine function has its result."""
    original = getattr(owner, name)

    @wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named)
        strike()
        return result

    setattr(owner, name, wrapped)


def within(owner: Any, name: str, strike: Strike) -> None:
    """End the process when a function has done its work in a transaction, which is not committed then."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        strike()
        return result

    setattr(owner, name, wrapped)


def in_flight(strike: Strike) -> None:
    """End the process when an order is on its way to the exchange, or its answer on the way back."""
    owner: Any = Venue
    original = owner.call

    @wraps(original)
    async def wrapped(venue: Venue, method: str, *arguments: Any, trace: Any) -> Any:
        if method == "createOrder":
            asyncio.get_running_loop().call_later(IN_FLIGHT, strike)
        return await original(venue, method, *arguments, trace=trace)

    owner.call = wrapped


def at_the_reply(strike: Strike) -> None:
    """End the process when the reply to an order has arrived and nobody has read it yet."""
    owner: Any = Guarded
    original = owner.on_rest_response

    @wraps(original)
    def wrapped(exchange: Any, code: int, reason: str, url: str, *rest: Any) -> str:
        if "/order/create" in url:
            strike()
        return original(exchange, code, reason, url, *rest)

    owner.on_rest_response = wrapped


def at_a_moment(strike: Strike) -> None:
    """End the process some time after the first order came in, whatever it does then."""
    owner: Any = Desk
    original = owner.place
    timer = threading.Timer(float(os.environ["KILL_SECONDS"]), strike)
    timer.daemon = True
    started: list[threading.Timer] = []

    @wraps(original)
    async def wrapped(desk: Desk, *arguments: Any) -> Any:
        if not started:
            started.append(timer)
            timer.start()
        return await original(desk, *arguments)

    owner.place = wrapped


STEPS: dict[str, Callable[[Strike], None]] = {
    "before the journal": partial(before, Journal, "reserve"),
    "within the journal": partial(within, reservation, "reserve"),
    "after the journal": partial(after, Journal, "reserve"),
    "before the send": partial(before, Gateway, "send"),
    "in flight": in_flight,
    "at the reply": at_the_reply,
    "before the outcome": partial(before, Journal, "settle"),
    "within the outcome": partial(within, intents, "settle"),
    "after the outcome": partial(after, Journal, "settle"),
    "before the answer": partial(after, Desk, "place"),
    "a moment": at_a_moment,
    "before a look": partial(before, Reconciler, "look"),
    "after a claim": partial(after, Journal, "claim"),
    "before a lookup": partial(before, Lookup, "find"),
    "after a lookup": partial(after, Lookup, "find"),
    "before the resolution": partial(before, Journal, "resolve"),
    "after the resolution": partial(after, Journal, "resolve"),
}


def countdown(step: str, turns: int) -> Strike:
    """Return what ends this process when it is called for the last of so many times."""
    left = turns

    def strike() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.write(2, f"killed {step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return strike


if __name__ == "__main__":
    if step := os.environ.get("KILL_STEP"):
        STEPS[step](countdown(step, int(os.environ.get("KILL_TURN", "1"))))
    sys.exit(serve())
