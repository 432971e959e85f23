"""(l) How many tickers does the gateway give in a second, from a stream, from the cache, from the exchange?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.child import configured
from bench.exchanges import SYMBOLS, Exchanges
from bench.measure import Answer, at_least, compared
from bench.orders import UNPACED
from bench.streams import house
from ccxt_mcp.call import Call
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.guards.redaction import Redactor
from ccxt_mcp.logs import configure_logs
from ccxt_mcp.streams import Channel, Topic

_SYMBOL = "BTC/USDT:USDT"
_CALLS = 500
_ROUNDS = 20
_LIVE, _CACHED = "live", "cached"
_TICKERS = "/v5/market/tickers"


def ask() -> Answer:
    """Ask for the same ticker over and over; and for others, each once in each round, that nobody has at hand."""
    configure_logs("warning", redactor=Redactor(()))  # the gateway runs in this process, and would log on its screen
    with TemporaryDirectory() as folder, Exchanges(0) as exchanges:
        return asyncio.run(measure(exchanges, Path(folder)))


async def measure(exchanges: Exchanges, folder: Path, *, rounds: int = _ROUNDS, calls: int = _CALLS) -> Answer:
    """Measure all of it in this process; the exchange has its own."""
    fresh = [f"fresh{number}" for number in range(rounds)]  # each has a cache of its own
    environment = configured(folder, dict.fromkeys((_LIVE, _CACHED, *fresh), exchanges.urls[0]), of_each=UNPACED)
    inside = house(environment)
    gateway = inside.gateway
    rates: dict[str, list[float]] = {_LIVE: [], _CACHED: [], "asked": []}
    try:
        for name in (_LIVE, _CACHED, *fresh):
            await gateway.open(name)
        subscription = await inside.hub.subscribe(Topic(_LIVE, Channel.TICKER, _SYMBOL))
        await anext(subscription)
        for name in fresh:
            rates["asked"].append(await _rate(gateway, [Call("fetchTicker", name, symbol=one) for one in SYMBOLS]))
            await gateway.call(Call("fetchTicker", _CACHED, symbol=_SYMBOL))
            for kind in (_CACHED, _LIVE):
                asked = exchanges.requests()[_TICKERS]
                rates[kind].append(await _rate(gateway, [Call("fetchTicker", kind, symbol=_SYMBOL)] * calls))
                if kind == _LIVE and exchanges.requests()[_TICKERS] != asked:
                    raise RuntimeError("a ticker that the stream knows was asked for")
    finally:
        await inside.close()
    in_a_second = partial(compared, baseline=rates[_CACHED], unit="calls/s", scale=1)
    return Answer(
        "Tickers by the gateway, in this process",
        [
            in_a_second("from a stream", rates[_LIVE], target=at_least(0.5)),
            in_a_second("asked for, exchange without latency", rates["asked"]),
        ],
        baseline="the cache",
        notes=["No call that the stream answers reaches the exchange, or the run breaks."],
    )


async def _rate(gateway: Gateway, calls: Sequence[Call]) -> float:
    started = perf_counter()
    for call in calls:
        answer = await gateway.call(call)
        if answer.failure is not None:
            raise answer.failure
    return len(calls) / (perf_counter() - started)
