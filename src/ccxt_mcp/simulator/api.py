"""The exchange behind its HTTP door: finds the endpoint, checks who asks, and wraps the result as Bybit does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .limits import KeyLimit, Signatures
from .refusal import Refusal
from .rest import Endpoint, Query, Rest
from .ticker import PRICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .world import World

_TICKERS = "/v5/market/tickers"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: `payload` is the raw query of a GET or the body of a POST."""

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    payload: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: Bybit's envelope and headers. Its HTTP status is 200 even when it refuses."""

    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])


class Api:
    """Answers requests. `now` is the world's time and `server` what the server's clock says, both in milliseconds."""

    def __init__(self, world: World, keys: Mapping[str, str]) -> None:
        self._signatures = Signatures(keys)
        self._key_limit = KeyLimit()
        self._public = Rest(world).endpoints
        self._signed: Mapping[str, Endpoint] = {"/v5/user/query-api": _query_api}

    def answer(self, ask: Ask, now: int, server: int) -> Answer | None:
        """Answer a request, or None when nothing is there."""
        headers: dict[str, str] = {}
        try:
            result = self._result(ask, now, server, headers)
        except Refusal as refusal:
            return Answer(envelope(refusal.code, refusal.message, {}, server), headers)
        return None if result is None else Answer(envelope(0, "OK", result, server), headers)

    def _result(self, ask: Ask, now: int, server: int, headers: dict[str, str]) -> dict[str, Any] | None:
        if ask.method != "GET":
            return None
        signed = self._signed.get(ask.path)
        # A request that shows a key is checked wherever it goes, so a wrong key never passes unseen.
        if signed is not None or "X-BAPI-API-KEY" in ask.headers:
            key = self._signatures.check(ask.headers, ask.payload, server)
            if signed is not None:
                admitted, told = self._key_limit.admit(key, ask.path, now)
                headers.update(told)
                if not admitted:
                    raise Refusal(10006, "Too many visits. Exceeded the API Rate Limit.")
                return signed({**ask.query, "apiKey": key}, now)
        if ask.path == "/v5/market/time":
            return {"timeSecond": str(server // 1000), "timeNano": str(server * 1_000_000)}
        endpoint = self._public.get(ask.path)
        return None if endpoint is None else endpoint(ask.query, now)


def envelope(code: int, message: str, result: dict[str, Any], server: int) -> dict[str, Any]:
    """Bybit's envelope around every answer."""
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": server}


def without_prices(ask: Ask, answer: Answer) -> Answer:
    """The same answer with every price of every ticker empty; other answers stay as they are."""
    result = answer.document["result"]
    if ask.path != _TICKERS or not result:
        return answer
    tickers = [{**one, **{name: "" for name in PRICES if name in one}} for one in result["list"]]
    return Answer({**answer.document, "result": {**result, "list": tickers}}, answer.headers)


def _query_api(query: Query, _now: int) -> dict[str, Any]:
    """What a key may do: here, read and trade."""
    return {
        "id": "1",
        "note": "simulator",
        "apiKey": query["apiKey"],
        "readOnly": 0,
        "secret": "",
        "permissions": {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": []},
        "ips": ["*"],
        "type": 1,
        "unified": 0,
        "uta": 1,
        "isMaster": True,
    }
