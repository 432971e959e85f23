"""Faults that can be switched on while the simulator runs, to show what its clients make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any, Literal, cast, get_args

import orjson

FaultKind = Literal[
    "latency",  # answer, but `seconds` later
    "429",  # 429 with Bybit's body 10006, and Retry-After when `retry_after` is set
    "403",  # 403 with the HTML page of an IP ban
    "418",  # 418, HTML
    "500",  # 500, HTML
    "503",  # 503, HTML
    "524",  # 524, HTML
    "html",  # 200 with an HTML page
    "empty",  # 200 without a body
    "object",  # 200 with {}
    "array",  # 200 with []
    "cut_json",  # 200 with half of the JSON, declared as such
    "cut_transfer",  # 200 with half of the declared length, then the connection ends
    "hang",  # no answer for as long as the client waits
    "drop",  # the connection ends without an answer
    "lose_reply",  # the request is executed, then the connection ends without an answer
    "execute_then_500",  # the request is executed, then 500, HTML
    "execute_then_hang",  # the request is executed, then no answer for as long as the client waits
    "execute_late",  # the request is executed `seconds` later, whether or not the client still waits
    "blank_ticker",  # REST tickers without any price; other paths are left alone
    "clock_skew",  # the server's clock is `skew_ms` off
    # The others strike the messages of WebSockets, never a request or a handshake.
    "close",  # the WebSocket is closed with `code` instead of the message
    "silence",  # the message is not sent; the connection stays
    "delay",  # the message is sent `seconds` later, and what follows it not before
    "duplicate",  # the message is sent twice
    "skip",  # an increment (a delta, trades, news of an account) is not sent; what stands for itself is
    "garbage",  # instead of the message half of its JSON is sent, the next time JSON of the wrong shape
]

_OF_MESSAGES = {"close", "silence", "delay", "duplicate", "skip", "garbage"}
_OF_BOTH = {"latency", "hang", "drop"}
_DELAYS = {"latency", "delay"}
_STREAMS = ("/v5/public/spot/", "/v5/public/linear/", "/v5/private/")
"""What the paths of messages begin with; no request has such a path."""

_TYPES = {"kind": str, "path": str, "code": int}
_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, limited to paths that contain `path`, to the next `times` requests, and to a `probability`.

    Messages of WebSockets have the path of their stream and topic, such as '/v5/public/spot/tickers.BTCUSDT', and
    faults of their own; `latency`, `hang` and `drop` strike them where `path` begins with that of a stream and a
    slash. Answers on a WebSocket, such as '/v5/private/auth', are struck only where `path` is just that. A clock skew
    holds until it is cleared; it ignores the three limits. `code` is that of a `close`.
    """

    kind: FaultKind
    path: str = ""
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    retry_after: float | None = None
    skew_ms: int = 0
    code: int = 1012

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(get_args(FaultKind))}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: {self.probability!r} is not between 0 and 1")
        if self.code not in _CLOSE_CODES:
            raise ValueError(f"code: {self.code!r} is none that a WebSocket can be closed with, such as 1012 or 4000")

    @classmethod
    def parse(cls, document: object) -> Fault:
        """A fault from decoded JSON with the fields' names. Raises ValueError on an unknown field or a wrong value."""
        if not isinstance(document, Mapping) or "kind" not in document:
            raise ValueError("a fault is an object with a kind")
        known = {field.name for field in fields(cls)}
        for name, value in cast("Mapping[str, object]", document).items():
            if name not in known:
                raise ValueError(f"{name}: a fault has only {', '.join(sorted(known))}")
            wanted = _TYPES.get(name, int | float | None)
            if not isinstance(value, wanted):
                raise ValueError(f"{name}: {value!r} has the wrong type")  # noqa: TRY004 - bad data, not a bad call
        return cls(**document)


class Faults:
    """The faults in force. Every matching latency or delay adds up; of the others, the first that matches strikes."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed).random
        self._active: list[Fault] = []
        self._garbage = 0

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults in force, with the times that are left."""
        return tuple(self._active)

    @property
    def skew_ms(self) -> int:
        """How far the server's clock is off, in milliseconds."""
        return sum(fault.skew_ms for fault in self._active if fault.kind == "clock_skew")

    def set(self, *faults: Fault) -> None:
        """Put these faults in force instead of the present ones."""
        self._active = list(faults)

    def clear(self) -> None:
        """Put everything right."""
        self._active.clear()

    def strike(self, path: str) -> tuple[float, Fault | None]:
        """What a request to this path suffers: a delay in seconds, and a fault. Uses up one of their times."""
        return self._strike(path, lambda fault: fault.kind not in _OF_MESSAGES)

    def strike_message(self, path: str, *, increment: bool) -> tuple[float, Fault | None]:
        """What a message of a WebSocket suffers, as `strike`; a skip strikes only an `increment`."""

        def fit(fault: Fault) -> bool:
            if fault.kind == "skip":
                return increment
            return fault.kind in _OF_MESSAGES or (fault.kind in _OF_BOTH and fault.path.startswith(_STREAMS))

        return self._strike(path, fit)

    def strike_answer(self, path: str) -> tuple[float, Fault | None]:
        """What an answer on a WebSocket suffers, as `strike`; only faults with exactly this path strike it."""
        return self._strike(path, lambda fault: fault.kind in _OF_MESSAGES | _OF_BOTH and fault.path == path)

    def garbage(self, topic: str, text: bytes) -> bytes:
        """What is sent instead of a message: in turns half of it, which is no JSON, and JSON of the wrong shape."""
        self._garbage += 1
        return text[: len(text) // 2] if self._garbage % 2 else orjson.dumps({"topic": topic, "data": "garbage"})

    def documents(self) -> list[dict[str, Any]]:
        """The faults in force, for JSON."""
        return [asdict(fault) for fault in self._active]

    def _strike(self, path: str, fit: Callable[[Fault], bool]) -> tuple[float, Fault | None]:
        delay, struck = 0.0, None
        for fault in self.active:
            if not (_concerns(fault, path) and fit(fault)) or (struck and fault.kind not in _DELAYS):
                continue
            if fault.probability < 1 and self._draw() >= fault.probability:
                continue
            self._use(fault)
            if fault.kind in _DELAYS:
                delay += fault.seconds
            else:
                struck = fault
        return delay, struck

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        place = next(i for i, one in enumerate(self._active) if one is fault)
        if fault.times > 1:
            self._active[place] = replace(fault, times=fault.times - 1)
        else:
            del self._active[place]


def _concerns(fault: Fault, path: str) -> bool:
    if fault.kind == "clock_skew":
        return False
    return fault.path in path and (fault.kind != "blank_ticker" or path.endswith("/tickers"))
