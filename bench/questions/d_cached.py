"""(d) How many cached answers does the server give in a second?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from bench.child import BARE, configured
from bench.exchanges import Exchanges
from bench.measure import Answer, Finding, at_least, compared, in_turn
from bench.session import ERAS, Era, Session, ticker

_ROUNDS = 40
_CALLS = 100  # few, so that both have their turn while the machine keeps its speed
_IN_FLIGHT = (1, 50)


def ask() -> Answer:
    """Ask for the same ticker over and over; the baseline has the server's very answer at hand."""
    with TemporaryDirectory() as name, Exchanges(0) as exchanges:
        folder = Path(name)
        environment = configured(folder, {"shop": exchanges.urls[0]})
        findings = [finding for era in ERAS for finding in _race(folder, environment, era)]
    return Answer(
        "Cached tickers over stdio",
        findings,
        baseline="a bare MCPServer whose tool has the same content at hand, on the SDK's own stdio",
        notes=["A ticker is cached for a second, so now and then a call still goes to the exchange."],
    )


def _race(folder: Path, environment: dict[str, str], era: Era) -> list[Finding]:
    call = ticker("shop", "BTC/USDT")
    copy = folder / "answer.json"
    with Session(environment=environment, era=era) as server:
        answer = [server.call(call) for _ in range(2)][-1]  # the second says that it is cached, as all later ones do
        copy.write_bytes(orjson.dumps({key: answer[key] for key in ("content", "structuredContent")}))
        with Session((*BARE, str(copy)), era=era) as bare:
            if bare.call(call)["structuredContent"] != answer["structuredContent"]:
                raise RuntimeError("the baseline does not give the same answer")

            def rate(session: Session, in_flight: int) -> float:
                return _CALLS / session.flood([call] * _CALLS, in_flight=in_flight)[0]

            figures = in_turn(
                {
                    (session, in_flight): partial(rate, session, in_flight)
                    for in_flight in _IN_FLIGHT
                    for session in (server, bare)
                },
                rounds=_ROUNDS,
            )
        return [
            compared(
                f"{era} era, {in_flight} in flight",
                figures[server, in_flight],
                figures[bare, in_flight],
                unit="calls/s",
                scale=1,
                target=at_least(2),
            )
            for in_flight in _IN_FLIGHT
        ]
