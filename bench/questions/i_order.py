"""(i) What does an order cost that no accident can lose?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, cycle, product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from bench.child import configured
from bench.direct import Direct
from bench.disk import Disk
from bench.exchanges import Exchanges
from bench.local import Local
from bench.measure import Answer, Finding, at_most, compared, difference, in_turn, measured
from bench.orders import CONTRACT, LIMITLESS, UNPACED, Order, cancel_all, far_orders
from bench.session import Session
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs

_FAR, _NEAR, _COUNTED = ("far1", "far2"), ("near1", "near2", "near3", "near4"), "counted"
"""Under which names the server knows the simulators: every name has its own cache, so that no price is at hand."""

_LATE = tuple(f"late{n}" for n in range(12))
"""More names of the far one, of which the open orders were not looked at for a while."""

_ROUNDS = {"far": 30, "near": 60}
_COMMITS = 3  # of an order: before it is sent, after its answer, after the look at its status
_RESTING = 40  # orders of one subject that may rest before all are cancelled
_PRICE_EXPIRED = 1.05
"""Seconds after which a price is no longer served from the cache."""
_COUNT_EXPIRED = 5.05
"""Seconds after which the number of open orders is asked anew."""


def ask() -> Answer:
    """Place one order after the other: by raw ccxt, through the server, and through a Desk in this process."""
    configure_logs("warning", redactor=Redactor(()))  # a Desk runs in this process, and would log on its screen
    with TemporaryDirectory() as folder, Exchanges(20, 0) as exchanges:
        far, near = exchanges.urls
        venues = dict.fromkeys((*_FAR, *_LATE), far) | dict.fromkeys((*_NEAR, _COUNTED), near)

        def environment(name: str) -> dict[str, str]:
            return configured(Path(folder) / name, venues, of_each=UNPACED, of_all=LIMITLESS)

        with Session(environment=environment("server")) as server:
            with Direct(far, limiter=False) as direct:
                usual, late = _far_away(server, exchanges, direct)
            with (
                Direct(near, limiter=False) as direct,
                Local(environment("desk")) as on_disk,
                Local(environment("memory"), in_memory=True) as in_memory,
                Disk(Path(folder) / "disk.sqlite3") as disk,
            ):
                nearby = _nearby(server, direct, on_disk, in_memory, disk)
                requests = _requests(server, exchanges, direct)
    return Answer(
        "A limit order that rests, its price not at hand: checked, journalled, sent, looked at",
        [*usual, *late[:1], *nearby, *requests, *late[1:]],
        baseline="raw ccxt's create_order, its limiter off",
        notes=[
            "Raw ccxt sends the order and learns its id. The server asks the price first and the status afterwards.",
            f"The journal is SQLite with full sync, {_COMMITS} commits for an order. No limit stops the run.",
            "Open orders are counted by three requests, at most once in five seconds.",
        ],
    )


class _Race:
    """Places the same orders in each of the ways, each at its own pace, and cancels them now and then.

    Args:
        direct: raw ccxt on the simulator.
        venues: the names of the simulator.
    """

    def __init__(self, direct: Direct, venues: Sequence[str]) -> None:
        self._direct = direct
        self._orders = far_orders(direct)
        self._venues = venues
        self._numbers = count(1)
        self._bare = cycle(self._orders)
        self._turns: dict[int, Iterator[tuple[Order, str]]] = {}
        self.warm_up = 2 * len(venues)

    def raw(self) -> float:
        """Return the seconds of an order by raw ccxt."""
        if next(self._numbers) % _RESTING == 0:
            cancel_all(self._direct)
        return self._direct.time("create_order", *next(self._bare).raw)

    def looking(self) -> float:
        """Return the seconds of an order by raw ccxt that asks what the server asks."""
        order = next(self._bare)
        started = perf_counter()
        self._direct.call("fetch_ticker", order.symbol)
        placed = self._direct.call("create_order", *order.raw)
        self._direct.call("fetch_order", placed["id"], order.symbol, {"acknowledged": True})
        return perf_counter() - started

    def through(self, server: Session) -> float:
        """Return the seconds of an order through the server."""
        order, venue = self._next(server)
        return server.time(order.at(venue))

    def inside(self, desk: Local) -> float:
        """Return the seconds of an order through a Desk in this process."""
        order, venue = self._next(desk)
        return desk.time(venue, order)

    def _next(self, subject: object) -> tuple[Order, str]:
        return next(self._turns.setdefault(id(subject), cycle(product(self._orders, self._venues))))


def _far_away(server: Session, exchanges: Exchanges, direct: Direct) -> tuple[list[Finding], list[Finding]]:
    """Return what is found 20 ms away, and of accounts whose open orders nobody counted for a while."""
    race, late = _Race(direct, _FAR), _Race(direct, _LATE)
    for _ in _LATE:
        late.through(server)
    opened = perf_counter()
    usual = in_turn(
        {"raw": race.raw, "looking": race.looking, "server": lambda: race.through(server)},
        rounds=_ROUNDS["far"],
        warm_up=race.warm_up,
    )
    cancel_all(direct)
    sleep(max(_PRICE_EXPIRED, _COUNT_EXPIRED - (perf_counter() - opened)))
    before = exchanges.requests()
    counting = in_turn({"raw": late.raw, "server": lambda: late.through(server)}, rounds=len(_LATE), warm_up=0)
    sent = (exchanges.requests() - before).total() - len(_LATE)  # raw ccxt sends one for each
    return (
        [
            compared("20 ms away: the server", usual["server"], usual["raw"], target=at_most(4)),
            compared("20 ms away: raw ccxt that asks price and status too", usual["looking"], usual["raw"]),
        ],
        [
            compared("20 ms away: the server, open orders counted anew", counting["server"], counting["raw"]),
            _count("requests, open orders counted anew", sent / len(_LATE)),
        ],
    )


def _nearby(server: Session, direct: Direct, on_disk: Local, in_memory: Local, disk: Disk) -> list[Finding]:
    """Return what is found without latency, where nothing hides what we do ourselves."""
    race = _Race(direct, _NEAR)
    figures = in_turn(
        {
            "raw": race.raw,
            "server": lambda: race.through(server),
            "desk": lambda: race.inside(on_disk),
            "memory": lambda: race.inside(in_memory),
            "commits": lambda: disk.time(_COMMITS),
        },
        rounds=_ROUNDS["near"],
        warm_up=race.warm_up,
    )
    journal = difference(figures["desk"], figures["memory"])
    return [
        compared("without latency: the server", figures["server"], figures["raw"]),
        compared("without latency: the Desk in process", figures["desk"], figures["raw"]),
        compared("without latency: the same, its journal in memory", figures["memory"], figures["raw"]),
        Finding("time that the journal adds (p50)", journal * 1000, "ms"),
        measured(f"{_COMMITS} commits by SQLite alone, full sync", figures["commits"]),
    ]


def _requests(server: Session, exchanges: Exchanges, direct: Direct) -> list[Finding]:
    """Return how many requests an order is, once the look at the open orders is done that serves five seconds."""
    orders, contracts = far_orders(direct), far_orders(direct, (CONTRACT,))

    def counted(what: str, placed: Sequence[Order]) -> Finding:
        before = exchanges.requests()
        server.flood([order.at(_COUNTED) for order in placed])
        return _count(what, (exchanges.requests() - before).total() / len(placed))

    server.flood([order.at(_COUNTED) for order in (*orders, *contracts)])
    sleep(_PRICE_EXPIRED)
    return [
        counted("requests", orders),
        counted("requests, price in the cache", orders),
        counted("requests, a contract", contracts),
    ]


def _count(what: str, requests: float) -> Finding:
    return Finding(what, requests, "requests", 1, requests)
