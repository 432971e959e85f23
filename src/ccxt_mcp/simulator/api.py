"""The exchange behind its HTTP door: finds the endpoint, checks who asks, and wraps the result as Bybit does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .limits import KeyLimit
from .query import Query, decoded
from .refusal import Refusal
from .reports import Reports
from .rest import Rest
from .ticker import PRICES
from .trading import Trading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .account import Account
    from .floor import Floor
    from .signatures import Signatures
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

    def __init__(
        self, world: World, floor: Floor, accounts: Mapping[str, Account], signatures: Signatures, key_limit: KeyLimit
    ) -> None:
        self._accounts = accounts
        self._signatures = signatures
        self._key_limit = key_limit
        self._public = Rest(world).endpoints
        self._reads = Reports(floor).endpoints
        self._writes = Trading(floor).endpoints

    def answer(self, ask: Ask, now: int, server: int) -> Answer | None:
        """Answer a request, or None when nothing is there."""
        headers: dict[str, str] = {}
        try:
            result = self._result(ask, now, server, headers)
        except Refusal as refusal:
            return Answer(envelope(refusal.code, refusal.message, {}, server), headers)
        return None if result is None else Answer(envelope(0, "OK", result, server), headers)

    def _result(self, ask: Ask, now: int, server: int, headers: dict[str, str]) -> dict[str, Any] | None:
        signed = ask.path in (self._reads if ask.method == "GET" else self._writes)
        # A request that shows a key is checked wherever it goes, so a wrong key never passes unseen.
        if signed or (ask.method == "GET" and "X-BAPI-API-KEY" in ask.headers):
            key = self._signatures.check(ask.headers, ask.payload, server)
            if signed:
                admitted, told = self._key_limit.admit(key, ask.path, now)
                headers.update(told)
                if not admitted:
                    raise Refusal(10006, "Too many visits. Exceeded the API Rate Limit.")
                return self._private(ask, self._accounts[key], now)
        if ask.method != "GET":
            return None
        if ask.path == "/v5/market/time":
            return {"timeSecond": str(server // 1000), "timeNano": str(server * 1_000_000)}
        endpoint = self._public.get(ask.path)
        return None if endpoint is None else endpoint(ask.query, now)

    def _private(self, ask: Ask, account: Account, now: int) -> dict[str, Any]:
        account.advance(now)
        if ask.method == "GET":
            return self._reads[ask.path](account, ask.query, now)
        if account.key.read_only:
            raise Refusal(10005, "Permission denied, please check your API key permissions.")
        return self._writes[ask.path](account, decoded(ask.payload), now)


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
