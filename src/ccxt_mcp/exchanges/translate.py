"""The one place where foreign errors become ours: by what the wire did, by HTTP status, and by ccxt's class.

ccxt's classes alone do not tell enough: a page instead of data may be no error at all, every unknown status is a
network error, and a reply that ends too early is an exchange's error. So the wire and the status are asked first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.messages import exchange_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Shape = Literal["json", "empty", "text", "none"]

_CCXT = {
    "BaseError": Code.EXCHANGE_ERROR,
    "ExchangeError": Code.EXCHANGE_ERROR,
    "AuthenticationError": Code.CREDENTIALS_REJECTED,
    "PermissionDenied": Code.PERMISSION_DENIED,
    "AccountSuspended": Code.PERMISSION_DENIED,
    "ManualInteractionNeeded": Code.PERMISSION_DENIED,
    "RestrictedLocation": Code.ACCESS_BLOCKED,
    "ArgumentsRequired": Code.INVALID_ARGUMENT,
    "BadRequest": Code.REFUSED,
    "BadSymbol": Code.UNKNOWN_SYMBOL,
    "OperationRejected": Code.REFUSED,
    "NoChange": Code.UNCHANGED,
    "MarketClosed": Code.MARKET_INACTIVE,
    "ContractUnavailable": Code.MARKET_INACTIVE,
    "InsufficientFunds": Code.INSUFFICIENT_BALANCE,
    "InvalidAddress": Code.REFUSED,
    "InvalidOrder": Code.INVALID_ORDER,
    "OrderNotFound": Code.ORDER_NOT_FOUND,
    "OrderNotCached": Code.ORDER_NOT_FOUND,
    "NotSupported": Code.METHOD_NOT_SUPPORTED,
    "InvalidProxySettings": Code.PROXY,
    "ExchangeClosedByUser": Code.NETWORK,  # we closed it under a call; the next one opens it again
    "OperationFailed": Code.NETWORK,
    "NetworkError": Code.NETWORK,
    "DDoSProtection": Code.RATE_LIMITED,
    "RateLimitExceeded": Code.RATE_LIMITED,
    "ExchangeNotAvailable": Code.MAINTENANCE,  # the exchange's own word; ccxt's other uses are told by wire and status
    "InvalidNonce": Code.CLOCK_SKEW,
    "ChecksumError": Code.BAD_REPLY,
    "RequestTimeout": Code.TIMEOUT,
    "BadResponse": Code.BAD_REPLY,
    "NullResponse": Code.EMPTY_REPLY,  # a good reply without the thing asked for; a bad one is told by its shape
    "CancelPending": Code.REFUSED,
    "UnsubscribeError": Code.INTERNAL,  # only we unsubscribe, so nobody should still be waiting
}
"""Classes of ccxt.base.errors; those that are missing share their parent's line."""

_PROXIES = {"ProxyTimeoutError": Code.TIMEOUT, "ProxyConnectionError": Code.PROXY, "ProxyError": Code.PROXY}
_WIRE = {
    "builtins": {"TimeoutError": Code.TIMEOUT, "OSError": Code.NETWORK},
    "aiohttp": {
        "ServerTimeoutError": Code.TIMEOUT,
        "ClientProxyConnectionError": Code.PROXY,
        "ClientHttpProxyError": Code.PROXY,
        "ClientPayloadError": Code.BAD_REPLY,
        "ClientResponseError": Code.BAD_REPLY,
        "ClientError": Code.NETWORK,
    },
    "python_socks": _PROXIES,
    "aiohttp_socks": _PROXIES,
}
"""What the transport raises, raw or as the cause of ccxt's error, by top-level package and class name."""

_STATUS = {
    401: Code.CREDENTIALS_REJECTED,
    403: Code.ACCESS_BLOCKED,
    408: Code.TIMEOUT,
    502: Code.NETWORK,
    503: Code.MAINTENANCE,
    504: Code.TIMEOUT,
    520: Code.NETWORK,
    521: Code.NETWORK,
    522: Code.TIMEOUT,
    523: Code.NETWORK,
    524: Code.TIMEOUT,
    525: Code.NETWORK,
    526: Code.NETWORK,
    527: Code.NETWORK,
    530: Code.MAINTENANCE,
}
"""What a status means when the body says nothing; other 4xx are REFUSED, other 5xx BAD_REPLY."""

_LONGEST_WAIT = 3600.0  # seconds; who asks for more is asked again after an hour all the same

_WHATEVER_THE_BODY = {
    407: Code.PROXY,
    418: Code.RATE_LIMITED,
    429: Code.RATE_LIMITED,
    451: Code.ACCESS_BLOCKED,
}

_NOT_ABOUT_A_REPLY = frozenset({
    Code.METHOD_NOT_SUPPORTED,
    Code.INVALID_ARGUMENT,
    Code.INVALID_ORDER,
    Code.ORDER_NOT_FOUND,
    Code.MARKET_INACTIVE,
    Code.PROXY,
})  # fmt: skip
"""What ccxt finds out by itself, so that the last reply's emptiness says nothing against it."""

_BY_STATUS = re.compile(r"\S+ (?:GET|POST|PUT|PATCH|DELETE|HEAD) \S+ (\d{3}) ")  # ccxt's handle_http_status_code
_BY_TEXT = (
    ("DDoSProtection", re.compile(r'"code":\s*-2015\b'), Code.CREDENTIALS_REJECTED),  # binance, after a first success
    ("AuthenticationError", re.compile(r'requires "\w+" credential'), Code.CREDENTIALS_MISSING),
    ("ExchangeError", re.compile(r"does not have currency code "), Code.INVALID_ARGUMENT),
)

_WHAT = {
    Code.CREDENTIALS_MISSING: "needs credentials for this",
    Code.CREDENTIALS_REJECTED: "rejects the credentials",
    Code.RATE_LIMITED: "allows no more requests for now",
    Code.CLOCK_SKEW: "rejects the time or the nonce of the request",
    Code.INSUFFICIENT_BALANCE: "finds the balance too low",
    Code.INVALID_ARGUMENT: "cannot be asked with these arguments",
    Code.INVALID_ORDER: "does not accept the order",
    Code.REFUSED: "refuses the request",
    Code.UNCHANGED: "has it so already",
    Code.METHOD_NOT_SUPPORTED: "does not offer this",
    Code.MARKET_INACTIVE: "does not trade this market now",
    Code.MAINTENANCE: "is not available now",
    Code.TIMEOUT: "did not answer in time",
    Code.NETWORK: "could not be reached, or the connection broke",
    Code.BAD_REPLY: "sent a reply that cannot be read",
    Code.EMPTY_REPLY: "sent a reply without the data asked for",
    Code.EXCHANGE_ERROR: "reports an error",
    Code.PROXY: "could not be reached through the proxy",
    Code.ORDER_NOT_FOUND: "does not know the order",
    Code.PERMISSION_DENIED: "does not permit this",
    Code.ACCESS_BLOCKED: "blocks access from here",
    Code.UNKNOWN_SYMBOL: "does not know the symbol",
    Code.INTERNAL: "was asked, and an unexpected fault came up here",
}
"""What happened, after the exchange's name."""

_WORDLESS = frozenset({Code.BAD_REPLY, Code.PROXY, Code.INTERNAL})
"""Codes whose error text is not the exchange's, or not to be trusted."""


Fate = Literal["unsent", "rejected", "unknown"]
"""What became of a write that failed: it never left, the exchange surely did not do it, or nobody knows."""

_SURELY_NOT_DONE = frozenset({
    Code.CREDENTIALS_MISSING,
    Code.CREDENTIALS_REJECTED,
    Code.RATE_LIMITED,
    Code.CLOCK_SKEW,
    Code.INSUFFICIENT_BALANCE,
    Code.INVALID_ARGUMENT,
    Code.INVALID_ORDER,
    Code.REFUSED,
    Code.UNCHANGED,
    Code.METHOD_NOT_SUPPORTED,
    Code.MARKET_INACTIVE,
    Code.PROXY,
    Code.ORDER_NOT_FOUND,
    Code.PERMISSION_DENIED,
    Code.ACCESS_BLOCKED,
    Code.UNKNOWN_SYMBOL,
})  # fmt: skip
"""Refusals that are about the request itself. A plain exchange error is none: thousands of native codes end there."""


@dataclass(slots=True)
class Reply:
    """What the HTTP layer saw of the reply that belongs to an error.

    Attributes:
        status: the HTTP status; None when no reply arrived.
        headers: its headers, names in lower case.
        blank: whether the body was nothing, {} or null, which is no answer to any question.
        shape: "json" for data with content, "empty" for nothing, {} or [], "text" for what is no JSON, "none" when no
            reply arrived.
        retry_after: seconds to wait, as the exchange asks.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    shape: Shape = "none"
    retry_after: float | None = None
    blank: bool = False

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """Take down a reply whose body is still unread, with its Retry-After understood."""
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.shape = "empty"
        self.retry_after = _retry_after(self.headers)


def never_sent(error: BaseException) -> bool:
    """Whether the request never left: no connection was made, so that the exchange cannot have counted it."""
    cause = error.__cause__ or error
    return any(cls.__name__ == "ClientConnectorError" for cls in type(cause).__mro__)


def fate_of(error: BaseException, failure: Failure, *, sent: int, acknowledged: int) -> Fate:
    """Return what became of a write that ended with an error; "unknown" wherever there is a doubt.

    Args:
        error: what was raised.
        failure: what it means, by `translate` or as it was raised.
        sent: how many requests left for it.
        acknowledged: how many of them may have changed something and were answered well. ccxt makes several requests
            of some calls, and what fails after the order was taken says nothing against the order.
    """
    if not sent:
        return "unsent"
    if acknowledged:
        return "unknown"
    if never_sent(error):
        return "unsent"
    classes = {cls.__name__ for cls in type(error).__mro__}
    if "DuplicateOrderId" in classes:
        return "unknown"  # an order with our id is there; it may be this one
    return "rejected" if failure.code in _SURELY_NOT_DONE or "OnMaintenance" in classes else "unknown"


def translate(error: BaseException, *, exchange: str, reply: Reply | None = None) -> Failure:
    """Return the failure that an error means.

    Args:
        error: what ccxt, the transport or a parser raised; a Failure is returned as it is.
        exchange: the exchange's name, for the message.
        reply: what is known of the last request's reply, which may be that none arrived; without it, the error's text
            is asked, and an error that is neither ccxt's nor the wire's counts as the exchange's fault.
    """
    if isinstance(error, Failure):
        return error
    text = str(error)
    known = _reply_to(text, reply)
    code = _code(error, text, known)
    if code is None:  # neither ccxt's nor the wire's: a parser stumbled over a reply, or we did without one
        code = Code.INTERNAL if reply is not None and reply.status is None else Code.BAD_REPLY
    return Failure(
        code,
        _message(code, text, exchange, known),
        retry_after=known.retry_after if code.retryable else None,
        details=None if known.status is None else {"httpStatus": known.status},
    )


def _code(error: BaseException, text: str, reply: Reply) -> Code | None:
    names = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "ccxt.base.errors"]
    named = next((_CCXT[name] for name in names if name in _CCXT), None)
    code = _of_wire(error) or _of_text(names, text) or _of_status(named, text, reply) or named
    if code is Code.EXCHANGE_ERROR and reply.shape != "json" and exchange_words(text) is None:
        return Code.BAD_REPLY
    return code


def _of_wire(error: BaseException) -> Code | None:
    for cause in _with_causes(error):
        for cls in type(cause).__mro__:
            if code := _WIRE.get(cls.__module__.partition(".")[0], {}).get(cls.__name__):
                return code
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        current = current.__cause__


def _of_text(names: list[str], text: str) -> Code | None:
    return next((code for name, pattern, code in _BY_TEXT if name in names and pattern.search(text)), None)


def _of_status(named: Code | None, text: str, reply: Reply) -> Code | None:
    status = reply.status
    if status is None:
        return None
    if always := _WHATEVER_THE_BODY.get(status):
        return always
    if named in _NOT_ABOUT_A_REPLY or (reply.shape == "json" and not _BY_STATUS.match(text)):
        return None
    if status < 400:
        return Code.BAD_REPLY
    return _STATUS.get(status, Code.REFUSED if status < 500 else Code.BAD_REPLY)


def _message(code: Code, text: str, exchange: str, reply: Reply) -> str:
    message = f"{exchange} {_WHAT[code]}"
    about_reply = code not in _NOT_ABOUT_A_REPLY
    wordless = code in _WORDLESS or (reply.shape in ("text", "empty") and about_reply)
    words = None if wordless else exchange_words(text)
    if words:
        return f"{message}: {words}."
    if reply.status is not None and reply.status >= 400 and about_reply:
        return f"{message} (HTTP {reply.status})."
    return f"{message}."


def _reply_to(text: str, noted: Reply | None) -> Reply:
    """Return what is known of the error's own reply; requests that ccxt makes side by side note each other's."""
    if (match := _BY_STATUS.match(text)) and (noted is None or noted.status != int(match[1])):
        return Reply(int(match[1]), shape="json" if exchange_words(text) else "text")
    if noted is not None:
        return noted
    return Reply(shape="json" if "{" in text and exchange_words(text) else "none")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, an hour at most; a date counts from the reply's Date (RFC 9110)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):  # no date, or only one of the two has a time zone
        return None
    return min(max(0.0, wait.total_seconds()), _LONGEST_WAIT)
