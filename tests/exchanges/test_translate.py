"""Foreign errors become ours: every ccxt class, every status, and what a real wire does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import python_socks
from ccxt.base import errors

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.translate import Reply, Shape, fate_of, translate

EXPECTED = {
    "BaseError": Code.EXCHANGE_ERROR,
    "ExchangeError": Code.EXCHANGE_ERROR,
    "AuthenticationError": Code.CREDENTIALS_REJECTED,
    "PermissionDenied": Code.PERMISSION_DENIED,
    "AccountNotEnabled": Code.PERMISSION_DENIED,
    "AccountSuspended": Code.PERMISSION_DENIED,
    "ArgumentsRequired": Code.INVALID_ARGUMENT,
    "BadRequest": Code.REFUSED,
    "BadSymbol": Code.UNKNOWN_SYMBOL,
    "OperationRejected": Code.REFUSED,
    "NoChange": Code.UNCHANGED,
    "MarginModeAlreadySet": Code.UNCHANGED,
    "MarketClosed": Code.MARKET_INACTIVE,
    "ManualInteractionNeeded": Code.PERMISSION_DENIED,
    "RestrictedLocation": Code.ACCESS_BLOCKED,
    "InsufficientFunds": Code.INSUFFICIENT_BALANCE,
    "InvalidAddress": Code.REFUSED,
    "AddressPending": Code.REFUSED,
    "InvalidOrder": Code.INVALID_ORDER,
    "OrderNotFound": Code.ORDER_NOT_FOUND,
    "OrderNotCached": Code.ORDER_NOT_FOUND,
    "OrderImmediatelyFillable": Code.INVALID_ORDER,
    "OrderNotFillable": Code.INVALID_ORDER,
    "DuplicateOrderId": Code.INVALID_ORDER,
    "ContractUnavailable": Code.MARKET_INACTIVE,
    "NotSupported": Code.METHOD_NOT_SUPPORTED,
    "InvalidProxySettings": Code.PROXY,
    "ExchangeClosedByUser": Code.NETWORK,
    "OperationFailed": Code.NETWORK,
    "NetworkError": Code.NETWORK,
    "DDoSProtection": Code.RATE_LIMITED,
    "RateLimitExceeded": Code.RATE_LIMITED,
    "ExchangeNotAvailable": Code.MAINTENANCE,
    "OnMaintenance": Code.MAINTENANCE,
    "InvalidNonce": Code.CLOCK_SKEW,
    "ChecksumError": Code.BAD_REPLY,
    "RequestTimeout": Code.TIMEOUT,
    "BadResponse": Code.BAD_REPLY,
    "NullResponse": Code.EMPTY_REPLY,
    "CancelPending": Code.REFUSED,
    "UnsubscribeError": Code.INTERNAL,
}
SAID = 'kraken {"code":77,"msg":"no such luck"}'
PAGE = "<html><body>Attention Required! | Cloudflare</body></html>"


def hierarchy(tree: dict[str, Any]) -> Iterator[str]:
    for name, children in tree.items():
        yield name
        yield from hierarchy(children)


def of(status: int, shape: Shape, **headers: str) -> Reply:
    reply = Reply()
    reply.note(status, {name.replace("_", "-"): value for name, value in headers.items()})
    reply.shape = shape
    return reply


# -- ccxt's classes ------------------------------------------------------------------------------------------------


def test_the_expected_table_names_every_error_of_ccxt() -> None:
    assert set(hierarchy(errors.error_hierarchy)) == set(EXPECTED)
    assert set(errors.__all__) - {"error_hierarchy"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_ccxt_error_with_a_good_reply_becomes_its_own_code(name: str) -> None:
    failure = translate(getattr(errors, name)(SAID), exchange="kraken", reply=of(200, "json"))
    assert failure.code is EXPECTED[name]
    assert failure.details == {"httpStatus": 200}
    assert failure.message.startswith("kraken ")
    assert failure.message.endswith(".")


@pytest.mark.parametrize("name", EXPECTED)
def test_every_ccxt_error_is_told_apart_by_its_text_alone(name: str) -> None:
    assert translate(getattr(errors, name)(SAID), exchange="kraken").code is EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_class_that_ccxt_adds_later_is_its_parents_kind(name: str) -> None:
    newer = type("Newer", (getattr(errors, name),), {})
    assert translate(newer(SAID), exchange="kraken", reply=of(200, "json")).code is EXPECTED[name]


def test_a_failure_stays_itself() -> None:
    failure = Failure(Code.CIRCUIT_OPEN, "open", retry_after=3)
    assert translate(failure, exchange="kraken", reply=of(500, "text")) is failure


# -- what the status says when the body does not -------------------------------------------------------------------

BARE = {
    200: Code.BAD_REPLY,
    204: Code.BAD_REPLY,
    302: Code.BAD_REPLY,
    400: Code.REFUSED,
    401: Code.CREDENTIALS_REJECTED,
    403: Code.ACCESS_BLOCKED,
    404: Code.REFUSED,
    405: Code.REFUSED,
    407: Code.PROXY,
    408: Code.TIMEOUT,
    409: Code.REFUSED,
    410: Code.REFUSED,
    418: Code.RATE_LIMITED,
    422: Code.REFUSED,
    429: Code.RATE_LIMITED,
    444: Code.REFUSED,
    451: Code.ACCESS_BLOCKED,
    500: Code.BAD_REPLY,
    501: Code.BAD_REPLY,
    502: Code.NETWORK,
    503: Code.MAINTENANCE,
    504: Code.TIMEOUT,
    511: Code.BAD_REPLY,
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


def raised_by_ccxt(status: int, body: str) -> BaseException:
    """Return what ccxt itself raises for a status, or what our venue raises where ccxt raises nothing."""
    exchange = exchange_class("kraken")()
    url = "https://api.kraken.com/0/public/Ticker?pair=XBTUSD&signature=c0ffee"
    try:
        exchange.handle_http_status_code(status, "Some Reason", url, "GET", body)
    except errors.BaseError as error:
        return error
    return errors.BadResponse(f"kraken answered with HTTP {status}")


@pytest.mark.parametrize("shape", ["text", "empty"])
@pytest.mark.parametrize("status", BARE)
def test_a_bare_status_decides(status: int, shape: Shape) -> None:
    error = raised_by_ccxt(status, PAGE if shape == "text" else "")
    failure = translate(error, exchange="kraken", reply=of(status, shape))
    assert failure.code is BARE[status]
    assert failure.details == {"httpStatus": status}
    assert "Cloudflare" not in failure.message
    assert "http" not in failure.message
    assert (f"(HTTP {status})" in failure.message) is (status >= 400 and failure.code is not Code.PROXY)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 418, 422, 429, 451, 500, 502, 503, 504])
def test_ccxts_own_text_tells_the_same_status_where_no_reply_was_noted(status: int) -> None:
    assert translate(raised_by_ccxt(status, PAGE), exchange="kraken").code is BARE[status]


@pytest.mark.parametrize("noted", [Reply(), of(200, "json"), of(503, "text")], ids=["none", "200", "503"])
def test_a_reply_noted_by_a_request_beside_it_does_not_mislead(noted: Reply) -> None:
    failure = translate(raised_by_ccxt(429, PAGE), exchange="kraken", reply=noted)
    assert failure.code is Code.RATE_LIMITED
    assert failure.details == {"httpStatus": 429}


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_request_refused_in_json_that_ccxt_does_not_know_is_refused_with_the_exchanges_words(status: int) -> None:
    error = raised_by_ccxt(status, '{"code":77,"msg":"no such luck"}')
    failure = translate(error, exchange="kraken", reply=of(status, "json"))
    assert failure.code is Code.REFUSED
    assert failure.message == 'kraken refuses the request: "no such luck" (77).'


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
@pytest.mark.parametrize(
    "name", ["BadSymbol", "InsufficientFunds", "PermissionDenied", "InvalidNonce", "OnMaintenance"]
)
def test_an_error_that_the_exchange_names_in_json_outweighs_the_status(name: str, status: int) -> None:
    failure = translate(getattr(errors, name)(SAID), exchange="kraken", reply=of(status, "json"))
    assert failure.code is EXPECTED[name]


@pytest.mark.parametrize("shape", ["json", "text", "empty"])
@pytest.mark.parametrize("status", [418, 429])
def test_a_rate_limit_outweighs_every_body_and_carries_the_wait(status: int, shape: Shape) -> None:
    reply = of(status, shape, Retry_After="7")
    failure = translate(errors.ExchangeError(SAID), exchange="kraken", reply=reply)
    assert (failure.code, failure.retry_after) == (Code.RATE_LIMITED, 7.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12.0),
        ({"RETRY-AFTER": " 0.5 "}, 0.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_understood_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    reply = Reply()
    reply.note(429, headers)
    assert reply.retry_after == seconds


def test_a_failure_that_no_wait_can_cure_names_no_wait() -> None:
    failure = translate(errors.BadSymbol(SAID), exchange="kraken", reply=of(400, "json", Retry_After="7"))
    assert failure.retry_after is None


# -- an empty or foreign 200 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["text", "empty"])
@pytest.mark.parametrize(
    "error",
    [
        errors.BadResponse("kraken answered with something that is no data"),
        errors.ExchangeError("kraken markets not loaded"),
        errors.BadSymbol("kraken does not have market symbol BTC/USD"),
        errors.NullResponse("kraken fetchTicker() returned empty response"),
        errors.ExchangeNotAvailable(f"kraken {PAGE}"),
        KeyError("result"),
        TypeError("string indices must be integers"),
    ],
    ids=repr,
)
def test_whatever_follows_from_a_200_without_data_is_a_bad_reply(error: Exception, shape: Shape) -> None:
    failure = translate(error, exchange="kraken", reply=of(200, shape))
    assert failure.code is Code.BAD_REPLY
    assert failure.message == "kraken sent a reply that cannot be read."


@pytest.mark.parametrize("name", ["NotSupported", "ArgumentsRequired", "InvalidOrder", "OrderNotFound", "MarketClosed"])
def test_what_ccxt_finds_out_by_itself_is_not_blamed_on_an_empty_reply(name: str) -> None:
    failure = translate(getattr(errors, name)("kraken fetchOrder() says no"), exchange="kraken", reply=of(200, "empty"))
    assert failure.code is EXPECTED[name]


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), AttributeError("x"), ValueError("x"), IndexError()])
def test_a_parser_that_stumbles_over_a_reply_means_a_bad_reply(error: Exception) -> None:
    assert translate(error, exchange="kraken", reply=of(200, "json")).code is Code.BAD_REPLY
    assert translate(error, exchange="kraken").code is Code.BAD_REPLY


def test_code_that_stumbles_without_any_reply_is_our_own_fault_and_keeps_its_text_to_itself() -> None:
    failure = translate(AttributeError("object has no attribute 'fetch_foo'"), exchange="kraken", reply=Reply())
    assert failure.code is Code.INTERNAL
    assert "fetch_foo" not in failure.message


# -- quirks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DDoSProtection('binance {"code":-2015,"msg":"Invalid API-key, IP, or permissions."}'),
         Code.CREDENTIALS_REJECTED),
        (errors.DDoSProtection('binance {"code":-1003,"msg":"Too many requests, -2015 of them."}'), Code.RATE_LIMITED),
        (errors.AuthenticationError('binance requires "apiKey" credential'), Code.CREDENTIALS_MISSING),
        (errors.ExchangeError("kraken does not have currency code FOO"), Code.INVALID_ARGUMENT),
        (errors.ExchangeError("kraken GET https://api.kraken.com/0/public/Ticker"), Code.BAD_REPLY),
        (errors.ExchangeError("kraken fetchFoo() needs a leap year"), Code.EXCHANGE_ERROR),
        (errors.BaseError(""), Code.BAD_REPLY),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_texts_that_tell_more_than_the_class(error: Exception, code: Code) -> None:
    assert translate(error, exchange="binance").code is code
    assert translate(error, exchange="binance", reply=Reply()).code is code


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.BadSymbol("kraken does not have market symbol BTC/FOO"), 'kraken does not know the symbol: "BTC/FOO".'),
        (errors.NotSupported("kraken fetchFoo() is not supported yet"), 'kraken does not offer this: "fetchFoo()".'),
        (errors.InsufficientFunds('kraken {"error":["EOrder:Insufficient funds"]}'),
         'kraken finds the balance too low: "EOrder:Insufficient funds".'),
        (errors.RequestTimeout("kraken GET https://api.kraken.com/0/public/Ticker"), "kraken did not answer in time."),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_messages_name_the_exchange_what_happened_and_the_value(error: Exception, message: str) -> None:
    assert translate(error, exchange="kraken").message == message


def test_the_simulator_is_named_by_its_own_name_and_not_by_the_protocol_it_speaks() -> None:
    failure = translate(errors.BadSymbol("bybit does not have market symbol BTC/FOO"), exchange="simulator")
    assert failure.message == 'simulator does not know the symbol: "BTC/FOO".'


def test_a_plain_text_body_is_never_quoted() -> None:
    error = errors.ExchangeError("kraken error code: 1020 for 10.11.12.13")
    assert "1020" not in translate(error, exchange="kraken", reply=of(403, "text")).message


# -- the wire, for real --------------------------------------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


def answers(reply: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    return serve


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[str, None]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def unused() -> str:
    async with listening(hangs) as address:
        return address


async def failure_of(host: str, *, scheme: str = "http", **config: Any) -> Failure:
    """Return what becomes of a real ccxt request to a host."""
    urls = {"api": {"public": f"{scheme}://{host}"}}
    kraken = exchange_class("kraken")({"urls": urls, "timeout": 300, "timeout_on_exit": 0, **config})
    try:
        with pytest.raises(Exception) as raised:
            await kraken.fetch_time()
        return translate(raised.value, exchange="kraken")
    finally:
        await kraken.close()


@pytest.mark.parametrize(
    ("serve", "code", "status"),
    [
        (hangs, Code.TIMEOUT, None),
        (answers(b""), Code.NETWORK, None),
        (answers(b"\x00\xff\xfegarbage\r\n\r\n"), Code.BAD_REPLY, None),
        (answers(http("200 OK", '{"result":{"unixtime":1}}')[:-9]), Code.BAD_REPLY, None),
        (answers(http("403 Forbidden", PAGE)), Code.ACCESS_BLOCKED, 403),
        (answers(http("418 Teapot", PAGE)), Code.RATE_LIMITED, 418),
        (answers(http("429 Too Many Requests", "{}")), Code.RATE_LIMITED, 429),
        (answers(http("500 Oops", PAGE)), Code.BAD_REPLY, 500),
        (answers(http("503 Unavailable", "")), Code.MAINTENANCE, 503),
        (answers(http("504 Gateway Timeout", PAGE)), Code.TIMEOUT, 504),
        (answers(http("200 OK", '{"error":["EService:Unavailable"]}')), Code.MAINTENANCE, None),
    ],
    ids=["hang", "dropped", "garbage", "truncated", "403", "418", "429", "500", "503", "504", "named"],
)
async def test_what_a_real_exchange_instance_raises_becomes_the_right_code(
    serve: Serve, code: Code, status: int | None
) -> None:
    async with listening(serve) as host:
        failure = await failure_of(host)
    assert failure.code is code
    assert failure.details == (None if status is None else {"httpStatus": status})
    assert "127.0.0.1" not in failure.message


async def test_a_refused_connection_is_a_network_failure() -> None:
    assert (await failure_of(await unused())).code is Code.NETWORK


@pytest.mark.parametrize("setting", ["httpProxy", "socksProxy"])
async def test_a_proxy_that_refuses_connections_is_named_as_the_culprit(setting: str) -> None:
    scheme = "http" if setting == "httpProxy" else "socks5"
    failure = await failure_of("exchange.invalid", **{setting: f"{scheme}://user:s3cret@{await unused()}"})
    assert failure.code is Code.PROXY
    assert "s3cret" not in failure.message


async def test_a_proxy_that_speaks_no_socks_is_named_as_the_culprit() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http("400 Bad Request", PAGE))
        writer.close()

    async with listening(serve) as host:
        assert (await failure_of("exchange.invalid", socksProxy=f"socks5://{host}")).code is Code.PROXY


@pytest.mark.parametrize(("scheme", "setting"), [("http", "httpProxy"), ("https", "httpsProxy")])
async def test_a_proxy_that_wants_a_password_is_named_as_the_culprit(scheme: str, setting: str) -> None:
    async with listening(answers(http("407 Proxy Authentication Required", PAGE))) as host:
        failure = await failure_of("exchange.invalid", scheme=scheme, **{setting: f"http://{host}"})
    assert failure.code is Code.PROXY


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError(), Code.TIMEOUT),
        (aiohttp.ServerTimeoutError(), Code.TIMEOUT),
        (aiohttp.ServerDisconnectedError(), Code.NETWORK),
        (aiohttp.ClientPayloadError("Response payload is not completed"), Code.BAD_REPLY),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), Code.NETWORK),
        (ConnectionResetError(), Code.NETWORK),
        (python_socks.ProxyError("refused"), Code.PROXY),
        (python_socks.ProxyConnectionError(111, "refused"), Code.PROXY),
        (python_socks.ProxyTimeoutError("late"), Code.TIMEOUT),
    ],
    ids=repr,
)
def test_raw_transport_errors_are_understood_alone_and_as_causes(error: Exception, code: Code) -> None:
    assert translate(error, exchange="kraken", reply=Reply()).code is code
    wrapped = errors.ExchangeError("kraken GET https://api.kraken.com/0/public/Time")
    wrapped.__cause__ = error
    assert translate(wrapped, exchange="kraken", reply=Reply()).code is code


def test_causes_that_go_in_a_circle_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert translate(first, exchange="kraken").code is Code.BAD_REPLY


def test_no_message_ever_shows_the_request_or_the_body() -> None:
    body = json.dumps({"code": 1002, "msg": "nope", "apiKey": "k-123456", "list": ["secret-row"] * 100})
    url = "https://api.kraken.com/0/private/Balance?apiKey=k-123456&signature=c0ffee"
    for status in BARE:
        try:
            exchange_class("kraken")().handle_http_status_code(status, "R", url, "POST", body)
        except errors.BaseError as error:
            message = translate(error, exchange="kraken", reply=of(status, "json")).message
            assert not any(part in message for part in ("k-123456", "c0ffee", "kraken.com", "secret-row", "{"))
            assert len(message) < 300


# -- what became of a write --------------------------------------------------------------------------------------------

SURE = {
    "AuthenticationError", "PermissionDenied", "AccountNotEnabled", "AccountSuspended", "ArgumentsRequired",
    "BadRequest", "BadSymbol", "OperationRejected", "NoChange", "MarginModeAlreadySet", "MarketClosed",
    "ManualInteractionNeeded", "RestrictedLocation", "InsufficientFunds", "InvalidAddress", "AddressPending",
    "InvalidOrder", "OrderNotFound", "OrderNotCached", "OrderImmediatelyFillable", "OrderNotFillable",
    "ContractUnavailable", "NotSupported", "InvalidProxySettings", "DDoSProtection", "RateLimitExceeded",
    "InvalidNonce", "CancelPending", "OnMaintenance",
}  # fmt: skip
"""Classes by which an exchange says of a request itself that it was not done; every other one leaves a doubt."""


def fate(error: Exception, *, sent: int = 1, acknowledged: int = 0, reply: Reply | None = None) -> str:
    failure = translate(error, exchange="kraken", reply=reply)
    return fate_of(error, failure, sent=sent, acknowledged=acknowledged)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_write_is_rejected_only_where_its_exchange_said_so(name: str) -> None:
    error = getattr(errors, name)(f'kraken {{"code":1,"msg":"{name}"}}')
    wanted = "rejected" if name in SURE else "unknown"
    assert fate(error, reply=of(200, "json")) == wanted


@pytest.mark.parametrize("name", EXPECTED)
def test_what_never_left_is_unsent_whatever_was_raised(name: str) -> None:
    assert fate(getattr(errors, name)("kraken"), sent=0) == "unsent"


@pytest.mark.parametrize("name", EXPECTED)
def test_after_an_acknowledgement_nothing_speaks_against_the_write(name: str) -> None:
    assert fate(getattr(errors, name)("kraken"), sent=2, acknowledged=1) == "unknown"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (400, "rejected"), (401, "rejected"), (403, "rejected"), (404, "rejected"), (408, "unknown"),
        (418, "rejected"), (429, "rejected"), (451, "rejected"), (500, "unknown"), (502, "unknown"),
        (503, "unknown"), (504, "unknown"), (520, "unknown"), (524, "unknown"), (530, "unknown"), (200, "unknown"),
    ],
)  # fmt: skip
def test_a_status_alone_tells_the_fate(status: int, wanted: str) -> None:
    assert fate(errors.BadResponse("kraken answered"), reply=of(status, "text")) == wanted


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TimeoutError(), "unknown"),
        (aiohttp.ServerDisconnectedError(), "unknown"),
        (aiohttp.ClientPayloadError("cut"), "unknown"),
        (aiohttp.ClientConnectionResetError("closing"), "unknown"),
        (ConnectionResetError(), "unknown"),
        (KeyError("a parser crashed"), "unknown"),
        (python_socks.ProxyTimeoutError("late"), "unknown"),
        (python_socks.ProxyConnectionError(111, "refused"), "rejected"),
        (errors.DuplicateOrderId("kraken"), "unknown"),
        (Failure(Code.BAD_REPLY, "The order came without an id."), "unknown"),
        (Failure(Code.RATE_LIMITED, "our own budget is used up"), "rejected"),
    ],
    ids=repr,
)
def test_a_broken_wire_a_crash_and_a_doubt_leave_the_fate_unknown(error: Exception, wanted: str) -> None:
    assert fate(error, reply=Reply()) == wanted


async def test_a_refused_connection_means_that_nothing_left() -> None:
    exchange: Any = exchange_class("kraken")({"timeout": 2000})
    try:
        with pytest.raises(errors.NetworkError) as caught:
            await exchange.fetch(f"http://{await unused()}/0/private/AddOrder", "POST")
    finally:
        await exchange.close()
    assert fate(caught.value) == "unsent"
