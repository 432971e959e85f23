"""(f) Does a comparison of twenty exchanges take longer than one of them?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import configured
from bench.exchanges import SYMBOLS, Exchanges
from bench.measure import Answer, at_most, compared, in_turn
from bench.session import Call, Session

_VENUES = [f"venue{n}" for n in range(20)]
_ALONE = "alone"
_LATENCY_MS = 100
_WARM_UP = 2


def ask() -> Answer:
    """Compare another symbol in each round, so that nothing is cached."""
    names = [_ALONE, *_VENUES]
    with TemporaryDirectory() as folder, Exchanges(*[_LATENCY_MS] * len(names)) as exchanges:
        venues = dict(zip(names, exchanges.urls, strict=True))
        with Session(environment=configured(Path(folder), venues)) as server:
            for venue in venues:
                server.call(Call("exchange_init", {"exchange": venue}))

            def compare(named: Sequence[str], symbols: list[str]) -> float:
                call = Call("analytics_compare_prices", {"symbol": symbols.pop(), "exchanges": named})
                return server.time(call)

            left = {"one": list(SYMBOLS), "twenty": list(SYMBOLS)}
            figures = in_turn(
                {
                    "one": lambda: compare([_ALONE], left["one"]),
                    "twenty": lambda: compare(_VENUES, left["twenty"]),
                },
                rounds=len(SYMBOLS) - _WARM_UP,
                warm_up=_WARM_UP,
            )
    return Answer(
        "analytics_compare_prices, 100 ms latency, warm, uncached",
        [compared("20 exchanges", figures["twenty"], figures["one"], target=at_most(1.5))],
        baseline="one exchange",
    )
