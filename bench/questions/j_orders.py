"""(j) How many orders go through in a second, 50 of them in flight?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import configured
from bench.direct import Direct
from bench.exchanges import Exchanges
from bench.local import Local
from bench.measure import Answer, compared, in_turn
from bench.orders import LIMITLESS, UNPACED, cancel_all, far_orders
from bench.session import Session
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs

_IN_FLIGHT = 50
_ORDERS = 100
_ROUNDS = 4
_VENUE = "shop"


def ask() -> Answer:
    """Place a hundred orders on one account in each of the ways, then cancel them all."""
    configure_logs("warning", redactor=Redactor(()))  # a Desk runs in this process, and would log on its screen
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(Exchanges(0)).urls[0]

        def environment(name: str) -> dict[str, str]:
            return configured(folder / name, {_VENUE: url}, of_each=UNPACED, of_all=LIMITLESS)

        server = stack.enter_context(Session(environment=environment("server")))
        on_disk = stack.enter_context(Local(environment("desk")))
        in_memory = stack.enter_context(Local(environment("memory"), in_memory=True))
        direct = stack.enter_context(Direct(url, limiter=False))
        orders = list(islice(cycle(far_orders(direct)), _ORDERS))

        def rate(flood: Callable[..., float]) -> float:
            cancel_all(direct)
            return _ORDERS / flood(in_flight=_IN_FLIGHT)

        def through_the_server(*, in_flight: int) -> float:
            return server.flood([order.at(_VENUE) for order in orders], in_flight=in_flight)[0]

        figures = in_turn(
            {
                "ccxt": partial(rate, partial(direct.flood, "create_order", [order.raw for order in orders])),
                "server": partial(rate, through_the_server),
                "desk": partial(rate, partial(on_disk.flood, _VENUE, orders)),
                "memory": partial(rate, partial(in_memory.flood, _VENUE, orders)),
            },
            rounds=_ROUNDS,
        )
    in_a_second = partial(compared, baseline=figures["ccxt"], unit="orders/s", scale=1)
    return Answer(
        f"Orders on one account, {_IN_FLIGHT} in flight, exchange without latency",
        [
            in_a_second("server over stdio", figures["server"]),
            in_a_second("Desk in process", figures["desk"]),
            in_a_second("the same with its journal in memory", figures["memory"]),
        ],
        baseline="raw ccxt's create_order, as many in flight, its limiter off",
        notes=[f"Each round places {_ORDERS} limit orders that rest; prices are cached for a second."],
    )
