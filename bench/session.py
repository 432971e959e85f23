"""A raw client of a stdio server: it writes lines and reads lines, so that only the server is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Literal, NamedTuple

import orjson

from bench.child import SERVER, Child

Era = Literal["legacy", "modern"]

ERAS: Mapping[Era, str] = {"legacy": "2025-11-25", "modern": "2026-07-28"}
"""The protocol's revision of each era: with a handshake, and without."""

_CLIENT = {"name": "bench", "version": "1"}
_PREFIX = "io.modelcontextprotocol/"
_META = {
    f"{_PREFIX}protocolVersion": ERAS["modern"],
    f"{_PREFIX}clientInfo": _CLIENT,
    f"{_PREFIX}clientCapabilities": {},
}


class Call(NamedTuple):
    """A tool and its arguments."""

    tool: str
    arguments: Mapping[str, Any]


class Session:
    """One client's session with a server in a process of its own.

    Args:
        command: what follows `python`.
        environment: variables besides those that are inherited.
        era: how the client speaks.
    """

    def __init__(
        self,
        command: Sequence[str] = SERVER,
        *,
        environment: Mapping[str, str] | None = None,
        era: Era = "legacy",
    ) -> None:
        self._era = era
        self._number = 0
        self.child = Child(*command, environment=environment)
        if era == "legacy":
            hello = {"protocolVersion": ERAS[era], "capabilities": {}, "clientInfo": _CLIENT}
            self._ask("initialize", hello)
            self.child.write(_line({"method": "notifications/initialized"}))

    def tools(self) -> list[dict[str, Any]]:
        """Return the server's tools."""
        return self._ask("tools/list", {})["tools"]

    def call(self, call: Call) -> dict[str, Any]:
        """Return the result of a tool.

        Raises:
            RuntimeError: it is a failure.
        """
        return self.flood([call])[1][0]

    def time(self, call: Call) -> float:
        """Return the seconds of a call that must not come out of the server's cache.

        Raises:
            RuntimeError: it did, or failed.
        """
        elapsed, results = self.flood([call])
        require_uncached(results)
        return elapsed

    def flood(self, calls: Sequence[Call], *, in_flight: int = 1) -> tuple[float, list[dict[str, Any]]]:
        """Make many calls, so many of them at the same time; return the seconds and the results as they came.

        Raises:
            RuntimeError: one of them failed.
        """
        lines = [self._request("tools/call", {"name": call.tool, "arguments": dict(call.arguments)}) for call in calls]
        answers: list[bytes] = []
        started = perf_counter()
        self.child.write(*lines[:in_flight])
        for line in lines[in_flight:]:
            answers.append(self.child.read())
            self.child.write(line)
        while len(answers) < len(lines):
            answers.append(self.child.read())
        elapsed = perf_counter() - started
        return elapsed, [_result(answer) for answer in answers]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.__exit__()

    def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.child.write(self._request(method, params))
        return _result(self.child.read())

    def _request(self, method: str, params: Mapping[str, Any]) -> bytes:
        self._number += 1
        meta = {"_meta": _META} if self._era == "modern" else {}
        return _line({"id": self._number, "method": method, "params": {**params, **meta}})


def require_uncached(results: Sequence[Mapping[str, Any]]) -> None:
    """Raise RuntimeError if one of the results came out of the server's cache."""
    if any(result["structuredContent"]["metadata"].get("cached") for result in results):
        raise RuntimeError("a call that was to reach the exchange was answered by the cache")


def ticker(exchange: str, symbol: str) -> Call:
    """Return the call for one ticker."""
    return Call("market_ticker", {"exchange": exchange, "symbol": symbol})


def _line(message: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n"


def _result(answer: bytes) -> dict[str, Any]:
    message = orjson.loads(answer)
    result = message.get("result")
    if result is None or result.get("isError"):
        raise RuntimeError(f"the server failed: {answer[:500].decode(errors='replace')}")
    return result
