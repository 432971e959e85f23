"""What a reply must hold to count as an answer; a lying or empty exchange never becomes a success."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from ccxt_mcp.errors import Code, Failure

Arguments = Mapping[str, Any]
_PRICES = ("last", "close", "bid", "ask", "markPrice")


def has_price(ticker: Any) -> bool:
    """Whether a ticker names any price; some exchanges answer an outage with tickers full of nothing."""
    return isinstance(ticker, dict) and any(_is_price(ticker.get(name)) for name in _PRICES)


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value) and value != 0  # spreads of futures may be negative


def _ticker(ticker: Any, arguments: Arguments) -> None:
    if not has_price(ticker):
        raise Failure(Code.BAD_REPLY, f"The ticker of {arguments['symbol']} came without any price.")
    if ticker.get("symbol") not in (None, arguments["symbol"]):
        raise Failure(Code.BAD_REPLY, f"Asked for {arguments['symbol']}, the exchange sent another market's ticker.")


def _tickers(tickers: Any, _arguments: Arguments) -> None:
    if not isinstance(tickers, dict) or not any(has_price(ticker) for ticker in tickers.values()):
        raise Failure(Code.BAD_REPLY, "The tickers came without any price.")


def _order_book(book: Any, arguments: Arguments) -> None:
    if not isinstance(book, dict):
        raise Failure(Code.BAD_REPLY, f"The order book of {arguments['symbol']} is no order book.")
    if not book.get("bids") and not book.get("asks"):
        raise Failure(Code.EMPTY_REPLY, f"The order book of {arguments['symbol']} came without any level.")


def _rows(what: str) -> Callable[[Any, Arguments], None]:
    def check(rows: Any, arguments: Arguments) -> None:
        if not isinstance(rows, list):
            raise Failure(Code.BAD_REPLY, f"The {what} of {arguments['symbol']} came as no list.")
        if not rows and arguments.get("since") is None:  # a window may be empty, the newest rows may not
            raise Failure(Code.EMPTY_REPLY, f"The exchange sent no {what} of {arguments['symbol']}.")

    return check


def _an_object(what: str) -> Callable[[Any, Arguments], None]:
    def check(value: Any, _arguments: Arguments) -> None:
        if not isinstance(value, dict):
            raise Failure(Code.BAD_REPLY, f"The {what} came as no object.")

    return check


def _funding_rate(rate: Any, arguments: Arguments) -> None:
    if not isinstance(rate, dict) or rate.get("fundingRate") is None:
        raise Failure(Code.BAD_REPLY, f"The funding rate of {arguments['symbol']} came without a rate.")


def _time(value: Any, _arguments: Arguments) -> None:
    if not isinstance(value, int | float) or value <= 0:
        raise Failure(Code.BAD_REPLY, "The exchange's time is no time.")


CHECKS: Mapping[str, Callable[[Any, Arguments], None]] = {
    "fetchStatus": _an_object("status"),
    "fetchTime": _time,
    "fetchTicker": _ticker,
    "fetchTickers": _tickers,
    "fetchOrderBook": _order_book,
    "fetchTrades": _rows("trades"),
    "fetchOHLCV": _rows("candles"),
    "fetchFundingRate": _funding_rate,
    "fetchFundingRateHistory": _rows("funding rates"),
    "fetchOpenInterest": _an_object("open interest"),
}
"""One check per method of METHODS that answers with exchange data; a test holds the two together."""


def require_content(method: str, value: Any, arguments: Arguments) -> None:
    """Raise BAD_REPLY or EMPTY_REPLY unless the value is what the method promises."""
    if check := CHECKS.get(method):
        check(value, arguments)


def without_info(value: Any) -> Any:
    """Return unified data without the raw reply that ccxt attaches to every object as `info`."""
    if isinstance(value, dict):
        return {name: without_info(item) for name, item in value.items() if name != "info"}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [without_info(item) for item in value]
    return value
