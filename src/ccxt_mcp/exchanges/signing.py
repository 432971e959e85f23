"""Signing: what a ccxt instance knows of an account's secrets, and when: only while a call of that account runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from ccxt_mcp.exchanges.vault import Held

DERIVED: Mapping[str, frozenset[str]] = {
    "aster": frozenset({"cachedWalletAddress", "privateKeyHashForCachedWalletAddress"}),
    "bullish": frozenset({"authorizer", "tokenExpires"}),
    "coinbaseinternational": frozenset({"v2AccessToken", "v2TokenExpires"}),
    "dydx": frozenset({"dydxCredentials"}),
    "grvt": frozenset({"AuthCookieValue", "AuthAccountId", "signInExpiration"}),
    "lbank": frozenset({"pem"}),
    "lighter": frozenset({"auths"}),
    "ndax": frozenset({"sessionToken", "pending2faToken"}),
    "paradex": frozenset({"paradexAccount", "authToken", "expires"}),
    "polymarket": frozenset({"proxyCredentials"}),
}
"""Where ccxt keeps in `options` what it derived from credentials, and what tells how long that is good.

Between calls all of it is sealed. One thing cannot be: lighter's native library holds its signing key by itself.
"""

REQUIRED_BESIDES: Mapping[str, tuple[str, ...]] = {"dydx": ("privateKey", "walletAddress")}
"""What exchanges need although ccxt's `requiredCredentials` does not say so."""


class _Grant:
    """The leave to unseal an account's credentials, which ends with the call, even for tasks that outlive it."""

    __slots__ = ("held", "open")

    def __init__(self, held: Held) -> None:
        self.held = held
        self.open = True


_grant: ContextVar[_Grant | None] = ContextVar("ccxt_mcp_grant", default=None)


class _Credential:
    """An attribute of an instance that has its value while a call of its account runs, and is None otherwise."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        held = None if instance is None else instance.held
        grant = _grant.get()
        return held.reveal(self._name) if held and grant and grant.open and grant.held is held else None

    def __set__(self, instance: Any, value: Any) -> None:
        # ccxt's constructor sets None or ''; some exchanges keep a session's token here
        if value and instance.held is not None:
            instance.held.keep(self._name, str(value))


class _Nothing:
    """An attribute in which ccxt keeps the last request or reply, here without effect."""

    def __get__(self, instance: Any, owner: type) -> None:
        return None

    def __set__(self, instance: Any, value: Any) -> None:
        pass


class Signing:
    """Mixed in front of a ccxt class: its instances hold no credentials, requests or replies."""

    held: Held | None = None

    apiKey: Any = _Credential()  # noqa: N815 - ccxt's names
    secret: Any = _Credential()
    password: Any = _Credential()
    uid: Any = _Credential()
    privateKey: Any = _Credential()  # noqa: N815
    walletAddress: Any = _Credential()  # noqa: N815
    login: Any = _Credential()
    accountId: Any = _Credential()  # noqa: N815
    token: Any = _Credential()
    twofa: Any = _Credential()

    last_request_headers: Any = _Nothing()
    last_request_body: Any = _Nothing()
    last_request_url: Any = _Nothing()
    last_http_response: Any = _Nothing()
    last_json_response: Any = _Nothing()
    last_response_headers: Any = _Nothing()

    def check_required_credentials(self, error: bool = True) -> bool:
        """Refuse in our words, which say how to set what is missing; ccxt asks before it signs."""
        base, own = super(), self.held
        if own is None:
            return base.check_required_credentials(error)  # type: ignore[misc] - of the ccxt class behind this one
        required: Mapping[str, bool] = getattr(self, "requiredCredentials")  # noqa: B009 - ccxt's
        missing = [name for name, needed in required.items() if needed is True and not getattr(self, name)]
        if missing and error:
            raise own.refusal(missing)
        return not missing


def required_of(exchange: Any, ids: frozenset[str]) -> list[str]:
    """Return ccxt's names of the credentials that an exchange cannot do without.

    Args:
        exchange: ccxt's instance.
        ids: its id and those of the exchanges that it inherits from.
    """
    required = [name for name, needed in exchange.requiredCredentials.items() if needed is True]
    return required or [name for id_ in ids & REQUIRED_BESIDES.keys() for name in REQUIRED_BESIDES[id_]]


@contextmanager
def signing(exchange: Any, held: Held, ids: frozenset[str]) -> Generator[None]:
    """Let an instance sign for the requests made inside, and leave no secret behind, whatever happens.

    Args:
        exchange: ccxt's instance.
        held: the account's credentials, loaded.
        ids: its id and those of the exchanges that it inherits from.
    """
    grant = _Grant(held)
    token = _grant.set(grant)
    held.enter(exchange.options)
    try:
        yield
    except BaseException as error:
        disarm(error, held.scrub)
        raise
    finally:
        grant.open = False
        _grant.reset(token)
        held.leave(exchange.options, _derived(ids))


class Leave:
    """The leave to sign that an account's streams have together, from the first of them until all are closed.

    Args:
        exchange: ccxt's instance.
        held: the account's credentials, loaded.
        ids: its id and those of the exchanges that it inherits from.
    """

    def __init__(self, exchange: Any, held: Held, ids: frozenset[str]) -> None:
        self._exchange = exchange
        self._ids = ids
        self._grant = _Grant(held)
        held.enter(exchange.options)

    def enter(self) -> None:
        """Let the task that calls this, and those that it makes, sign."""
        _grant.set(self._grant)

    def end(self) -> None:
        """Take it from all of them, and leave no secret in the instance."""
        self._grant.open = False
        self._grant.held.leave(self._exchange.options, _derived(self._ids))


def _derived(ids: frozenset[str]) -> Iterator[str]:
    return (name for id_ in ids & DERIVED.keys() for name in DERIVED[id_])


def disarm(error: BaseException, scrub: Callable[[str], str]) -> None:
    """Take the secrets out of an error and of all that led to it: its text, its request, the variables on its way.

    Args:
        error: what a signed call raised.
        scrub: returns a text without secrets.
    """
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
        one.args = tuple(_harmless(argument, scrub) for argument in one.args)
        for name, value in list(vars(one).items()):
            if isinstance(value, str | bytes):
                setattr(one, name, _harmless(value, scrub))
        if getattr(one, "request_info", None) is not None:  # aiohttp's, with the headers that were sent
            _forget_request(one)


def _forget_request(error: Any) -> None:
    aiohttp, multidict = import_module("aiohttp"), import_module("multidict")
    url = error.request_info.real_url.with_query(None)
    none = multidict.CIMultiDictProxy(multidict.CIMultiDict())
    error.headers = None
    error.request_info = aiohttp.RequestInfo(url, error.request_info.method, none, url)
    error.history = ()
    error.args = (error.request_info, ())


def forget_urls() -> None:
    """Empty the cache in which yarl keeps the last URLs, after one that held a key."""
    urls: Any = import_module("yarl._url")
    urls.pre_encoded_url.cache_clear()


def _harmless(argument: Any, scrub: Callable[[str], str]) -> Any:
    if isinstance(argument, str):
        return scrub(argument)
    return argument if isinstance(argument, int | float | None) else scrub(repr(argument))


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
