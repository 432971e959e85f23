"""(e) What happens to fifty requests at once?"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from bench.child import configured
from bench.direct import Direct
from bench.exchanges import MOST, SYMBOLS, WINDOW, Exchanges
from bench.measure import Answer, Finding, at_most, compared, in_turn
from bench.session import Call, Session, require_uncached, ticker

_LATENCY_MS = 20
_ROUNDS = 7
_VENUES = ("many1", "many2", "many3")
_TICKERS = [ticker(venue, symbol) for venue, symbol in product(_VENUES, SYMBOLS)][:50]
_LISTS = [
    Call("market_trades", {"exchange": "strict", "symbol": symbol, "limit": limit})
    for limit, symbol in product((5, 10, 20), SYMBOLS)
]
_EXPIRED = 1.05
"""Seconds after which a ticker is no longer served from the cache."""


def ask() -> Answer:
    """Send fifty tickers at once, which may be batched, and more trade lists at once than a window allows."""
    names = (*_VENUES, "one", "strict", "queue")
    with TemporaryDirectory() as folder, Exchanges(*[_LATENCY_MS] * len(names), most=MOST) as exchanges:
        venues: dict[str, str] = dict(zip(names, exchanges.urls, strict=True))
        with Session(environment=configured(Path(folder), venues)) as server:
            for venue in venues:
                server.call(Call("exchange_init", {"exchange": venue}))
            figures = in_turn(
                {"one": lambda: _burst(server, [ticker("one", "BTC/USDT")]), "fifty": lambda: _burst(server, _TICKERS)},
                rounds=_ROUNDS,
            )
            paced = server.flood(_LISTS, in_flight=len(_LISTS))[0]
        with Direct(venues["queue"], limiter=True) as direct:
            queued = sum(direct.time("fetch_trades", "BTC/USDT", None, 10) for _ in _LISTS[:10]) / 10 * len(_LISTS)
        refused = exchanges.refused()
    allowed = (len(_LISTS) - 1) // MOST * WINDOW + _LATENCY_MS / 1000
    return Answer(
        "Many requests in flight, 20 ms latency",
        [
            compared(f"{len(_TICKERS)} different tickers at once", figures["fifty"], figures["one"], target=at_most(3)),
            compared(
                f"{len(_LISTS)} trade lists at once, which are never batched", [paced], [allowed], target=at_most(1.05)
            ),
            Finding(f"raw ccxt with its limiter on, {len(_LISTS)} of them (from 10)", queued * 1000, "ms"),
            Finding("requests that the exchange refused", refused, "requests", target=at_most(0)),
        ],
        baseline="first line: one ticker; second: the least that the exchange's limit allows",
        notes=[
            f"The simulator has {len(SYMBOLS)} trading symbols, so the tickers are those of {len(_VENUES)} exchanges.",
            f"Each refuses more than {MOST} requests in {WINDOW:g} s, which is what ccxt's costs for Bybit come to.",
        ],
    )


def _burst(server: Session, calls: list[Call]) -> float:
    sleep(_EXPIRED)
    elapsed, results = server.flood(calls, in_flight=len(calls))
    require_uncached(results)
    return elapsed
