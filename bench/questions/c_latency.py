"""(c) What does the server add to a request that has to reach the exchange?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import configured
from bench.direct import Direct
from bench.exchanges import SYMBOLS, Exchanges
from bench.measure import Answer, Finding, at_most, compared, difference, in_turn, measured
from bench.session import Call, Session, ticker

_NAMES = {"far": 8, "near": 24}
"""Under how many names the server knows each simulator: every name has its own cache and its own budget."""
_WARM_UP = 40
_LIMITED = 10


def ask() -> Answer:
    """Fetch one ticker after the other, through the server and by raw ccxt in turn."""
    with TemporaryDirectory() as folder, Exchanges(20, 0) as exchanges:
        far, near = exchanges.urls
        venues = {f"{kind}{n}": url for kind, url in (("far", far), ("near", near)) for n in range(_NAMES[kind])}
        with Session(environment=configured(Path(folder), venues)) as server:
            for venue in venues:
                server.call(Call("exchange_init", {"exchange": venue}))
            at_20_ms = _side_by_side(server, "far", far)
            at_once = _side_by_side(server, "near", near)
        with Direct(far, limiter=True) as limited:
            queue = in_turn({"": lambda: limited.time("fetch_ticker", "BTC/USDT")}, rounds=_LIMITED)[""]
    added = difference(at_once["server"], at_once["ccxt"])
    return Answer(
        "A warm, uncached ticker through the server, its limiter on",
        [
            compared("exchange with 20 ms latency", at_20_ms["server"], at_20_ms["ccxt"], target=at_most(1.1)),
            compared("exchange without latency", at_once["server"], at_once["ccxt"]),
            Finding("time that the server adds (p50)", added * 1000, "ms", target=at_most(1)),
            measured("raw ccxt with its limiter on, 20 ms latency", queue),
        ],
        baseline="raw ccxt, its limiter off",
        notes=[
            f"Each call asks for another ticker: {len(SYMBOLS)} symbols under many names of one simulator, so that no",
            "answer is cached and no budget runs out.",
        ],
    )


def _side_by_side(server: Session, kind: str, url: str) -> dict[str, list[float]]:
    with Direct(url, limiter=False) as direct:
        through, raw = _tickers(kind), _tickers(kind)
        return in_turn(
            {
                "server": lambda: server.time(next(through)),
                "ccxt": lambda: direct.time("fetch_ticker", next(raw).arguments["symbol"]),
            },
            rounds=_NAMES[kind] * len(SYMBOLS) - _WARM_UP,
            warm_up=_WARM_UP,
        )


def _tickers(kind: str) -> Iterator[Call]:
    return (ticker(f"{kind}{n}", symbol) for n in range(_NAMES[kind]) for symbol in SYMBOLS)
