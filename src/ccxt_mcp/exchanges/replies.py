"""What a reply must hold to count as an answer; a lying or empty exchange never becomes a success."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

Arguments = Mapping[str, Any]
Rule = Callable[[Any, Arguments, bool], Any]
"""(value, arguments, whether the reply's body was blank) -> what of the value is fit to serve."""

_PRICES = ("last", "close", "bid", "ask", "markPrice")
_LONGEST_TEXT = 200
_DEEPEST = 8  # ccxt's own structures nest three levels at most
_VAST = 1e300  # beyond any price or amount, and before an integer that no float can hold
_FIRST_MS = 1_230_768_000_000  # 2009, when trading of coins began
_END_MS = 4_102_444_800_000  # 2100; seconds are far below these bounds, microseconds and nanoseconds far above


def checked(method: str, value: Any, arguments: Arguments, *, blank: bool) -> Any:
    """Return what of a unified value is fit to serve: usable rows in order, clean texts, no raw `info`.

    Args:
        method: a method of CHECKS.
        value: what ccxt made of the reply.
        arguments: the call's arguments by ccxt's names.
        blank: whether the reply's body was empty, `{}` or `null`, which says nothing about a market.

    Raises:
        Failure: BAD_REPLY if the value is not what the method promises; EMPTY_REPLY if the market has nothing to show.
    """
    return CHECKS[method](value, arguments, blank)


def has_price(ticker: Any) -> bool:
    """Whether a ticker names any price; some exchanges answer an outage with tickers full of nothing."""
    return isinstance(ticker, dict) and any(_is_price(ticker.get(name)) for name in _PRICES)


def is_ticker_of(ticker: Any, symbol: str) -> bool:
    """Whether a ticker has a price and is of that symbol, or names none."""
    return has_price(ticker) and ticker.get("symbol") in (None, symbol, _text(symbol))


def _ticker(value: Any, arguments: Arguments, blank: bool) -> dict[str, Any]:
    symbol = arguments["symbol"]
    ticker = _object(value, f"ticker of {symbol}")
    if not has_price(ticker):
        raise _nothing(f"The ticker of {symbol} came without any price.", blank)
    if not is_ticker_of(ticker, symbol):
        raise Failure(Code.BAD_REPLY, f"Asked for {symbol}, the exchange sent another market's ticker.")
    return ticker


def _tickers(value: Any, _arguments: Arguments, blank: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Failure(Code.BAD_REPLY, "The tickers came as no object.")
    objects = {
        _text(symbol): _fit(ticker)
        for symbol, ticker in value.items()
        if isinstance(symbol, str) and isinstance(ticker, dict)  # ccxt files what it cannot name under None
    }
    tickers = {symbol: ticker for symbol, ticker in objects.items() if has_price(ticker)}
    if not tickers:
        raise _nothing("The tickers came without any price.", blank)
    return tickers


def _order_book(value: Any, arguments: Arguments, blank: bool) -> dict[str, Any]:
    symbol = arguments["symbol"]
    if not isinstance(value, dict):
        raise Failure(Code.BAD_REPLY, f"The order book of {symbol} came as no object.")
    given = {side: value.get(side) for side in ("bids", "asks")}
    levels = {side: _levels(raw, descending=side == "bids") for side, raw in given.items()}
    if not any(levels.values()):
        if any(given.values()):
            raise Failure(Code.BAD_REPLY, f"The order book of {symbol} came without any usable level.")
        raise _nothing(f"The order book of {symbol} came without any level.", blank)
    return _fit({name: item for name, item in value.items() if name not in levels}) | levels


def _levels(side: Any, *, descending: bool) -> list[list[Any]]:
    """Return the usable levels [price, amount] of a side, the best first."""
    levels = [[level[0], level[1]] for level in side if _is_level(level)] if isinstance(side, list) else []
    return sorted(levels, key=_first, reverse=descending)


def _is_level(level: Any) -> bool:
    return isinstance(level, list) and len(level) >= 2 and _is_price(level[0]) and _is_number(level[1]) and level[1] > 0


def _trades(value: Any, arguments: Arguments, blank: bool) -> list[Any]:
    return _rows("trades", _objects_with("price", "amount"), value, arguments, blank)


def _funding_rates(value: Any, arguments: Arguments, blank: bool) -> list[Any]:
    return _rows("funding rates", _objects_with("fundingRate"), value, arguments, blank)


def _candles(value: Any, arguments: Arguments, blank: bool) -> list[Any]:
    return _rows("candles", _usable_candles, value, arguments, blank)


def _rows(
    what: str, usable: Callable[[list[Any]], list[Any]], value: Any, arguments: Arguments, blank: bool
) -> list[Any]:
    """Return a list's usable rows. A window may be empty, the newest rows may not."""
    symbol = arguments["symbol"]
    if not isinstance(value, list):
        raise Failure(Code.BAD_REPLY, f"The {what} of {symbol} came as no list.")
    rows = usable(value)
    if value and not rows:
        raise Failure(Code.BAD_REPLY, f"None of the {what} of {symbol} that the exchange sent is usable.")
    if not rows and (blank or arguments.get("since") is None):
        raise _nothing(f"The exchange sent no {what} of {symbol}.", blank)
    return rows


def _objects_with(*numbers: str) -> Callable[[list[Any]], list[Any]]:
    def usable(rows: list[Any]) -> list[Any]:
        objects = [_fit(row) for row in rows if isinstance(row, dict)]
        return [row for row in objects if all(_is_number(row.get(name)) for name in numbers)]

    return usable


def _usable_candles(rows: list[Any]) -> list[Any]:
    """Return candles of six columns, oldest first; of several with the same open time the last one sent."""
    by_time = {int(row[0]): row for row in rows if _is_candle(row)}
    return [
        [time, *row[1:5], row[5] if _is_number(row[5]) else None]
        for time, row in sorted(by_time.items(), key=_first)
    ]  # fmt: skip


def _is_candle(row: Any) -> bool:
    return isinstance(row, list) and len(row) >= 6 and _is_moment(row[0]) and all(map(_is_number, row[1:5]))


def _status(value: Any, _arguments: Arguments, _blank: bool) -> dict[str, Any]:
    status = _object(value, "status")  # a blank body is a good one here: some exchanges answer a ping with {}
    return {name: item for name, item in status.items() if name not in ("updated", "eta") or _is_moment(item)}


def _time(value: Any, _arguments: Arguments, _blank: bool) -> Any:
    if not _is_moment(value):
        raise Failure(Code.BAD_REPLY, "The exchange's time is no time.")
    return value


def _funding_rate(value: Any, arguments: Arguments, blank: bool) -> dict[str, Any]:
    rate = _object(value, f"funding rate of {arguments['symbol']}")
    if not _is_number(rate.get("fundingRate")):
        raise _nothing(f"The funding rate of {arguments['symbol']} came without a rate.", blank)
    return rate


def _open_interest(value: Any, arguments: Arguments, blank: bool) -> dict[str, Any]:
    interest = _object(value, f"open interest of {arguments['symbol']}")
    if not any(_is_number(interest.get(name)) for name in ("openInterestAmount", "openInterestValue")):
        raise _nothing(f"The open interest of {arguments['symbol']} came without a number.", blank)
    return interest


def _balance(value: Any, _arguments: Arguments, blank: bool) -> dict[str, Any]:
    """Return what each currency has, as free, used and total; an account may own nothing at all."""
    if blank or not isinstance(value, dict) or not isinstance(value.get("total"), dict):
        raise Failure(Code.BAD_REPLY, "The balance came as no list of currencies.")
    return {"timestamp": value.get("timestamp")} | {
        part: {_text(code): amount for code, amount in (value.get(part) or {}).items() if _is_number(amount)}
        for part in ("free", "used", "total")
    }


def _order(value: Any, _arguments: Arguments, _blank: bool) -> dict[str, Any]:
    """Return an order; one without an id is none, and whether anything was done then is not known."""
    order = _object(value, "order")
    if not order.get("id"):
        raise Failure(Code.BAD_REPLY, "The order came without an id.")
    return order | {"id": str(order["id"])}


def _orders(value: Any, _arguments: Arguments, blank: bool) -> list[Any]:
    rows = _private_rows("orders", value, blank)
    return [row | {"id": str(row["id"])} for row in rows if row.get("id")]


def _own_trades(value: Any, _arguments: Arguments, blank: bool) -> list[Any]:
    rows = _private_rows("trades", value, blank)
    return [row for row in rows if _is_number(row.get("price")) and _is_number(row.get("amount"))]


def _positions(value: Any, _arguments: Arguments, blank: bool) -> list[Any]:
    rows = _private_rows("positions", value, blank)
    return [row for row in rows if row.get("symbol") and row.get("contracts") != 0]


def _private_rows(what: str, value: Any, blank: bool) -> list[dict[str, Any]]:
    """Return a private list's objects; it may be empty, but a blank body is no list."""
    if blank or not isinstance(value, list):
        raise Failure(Code.BAD_REPLY, f"The {what} came as no list.")
    rows = [_fit(row) for row in value if isinstance(row, dict)]
    if value and not rows:
        raise Failure(Code.BAD_REPLY, f"None of the {what} that the exchange sent is usable.")
    return rows


def _fee(value: Any, _arguments: Arguments, _blank: bool) -> dict[str, Any]:
    fee = _object(value, "trading fee")
    if not _is_number(fee.get("taker")) and not _is_number(fee.get("maker")):
        raise Failure(Code.BAD_REPLY, "The trading fee came without a rate.")
    return fee


def _fees(value: Any, _arguments: Arguments, blank: bool) -> dict[str, Any]:
    if blank or not isinstance(value, dict):
        raise Failure(Code.BAD_REPLY, "The trading fees came as no object.")
    fees = {_text(symbol): _fit(fee) for symbol, fee in value.items() if isinstance(fee, dict)}
    fees.pop("info", None)
    return fees


def _leverage(value: Any, _arguments: Arguments, _blank: bool) -> dict[str, Any]:
    return _object(value, "leverage")


def _done(value: Any, _arguments: Arguments, blank: bool) -> Any:
    """Return what an exchange says to a cancel or a setting: each says something else, but none says nothing."""
    if blank or not isinstance(value, dict | list):
        raise Failure(Code.BAD_REPLY, "The exchange answered with nothing.")
    if isinstance(value, list):
        return [_fit(row) for row in value if isinstance(row, dict)]
    return _fit(value)


CHECKS: Mapping[str, Rule] = {
    "fetchStatus": _status,
    "fetchTime": _time,
    "fetchTicker": _ticker,
    "fetchTickers": _tickers,
    "fetchOrderBook": _order_book,
    "fetchTrades": _trades,
    "fetchOHLCV": _candles,
    "fetchFundingRate": _funding_rate,
    "fetchFundingRateHistory": _funding_rates,
    "fetchOpenInterest": _open_interest,
    "fetchBalance": _balance,
    "fetchPositions": _positions,
    "fetchOrder": _order,
    "fetchOrders": _orders,
    "fetchOpenOrders": _orders,
    "fetchClosedOrders": _orders,
    "fetchCanceledOrders": _orders,
    "fetchCanceledAndClosedOrders": _orders,
    "fetchMyTrades": _own_trades,
    "fetchTradingFee": _fee,
    "fetchTradingFees": _fees,
    "fetchLeverage": _leverage,
    "createOrder": _order,
    "editOrder": _order,
    "cancelOrder": _done,
    "cancelAllOrders": _done,
    "setLeverage": _done,
    "setMarginMode": _done,
}
"""One rule per method of METHODS that answers with exchange data; a test holds the two together."""


# -- parts of all rules ------------------------------------------------------------------------------------------------


def _nothing(message: str, blank: bool) -> Failure:
    """Return the failure for an answer without content: the market's fault, or a blank body and the exchange's own."""
    return Failure(Code.BAD_REPLY, f"{message} The reply was blank.") if blank else Failure(Code.EMPTY_REPLY, message)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Failure(Code.BAD_REPLY, f"The {what} came as no object.")
    return _fit(value)


def _fit(value: dict[Any, Any]) -> dict[str, Any]:
    """Return an object with clean texts, without raw reply, and without a time that cannot be one."""
    item = _clean(value)
    if not _is_moment(item.get("timestamp")):
        item.pop("timestamp", None)
        item.pop("datetime", None)
    return item


_NAMES = frozenset({
    "symbol", "timestamp", "datetime", "high", "low", "bid", "bidVolume", "ask", "askVolume", "vwap", "open", "close",
    "last", "previousClose", "change", "percentage", "average", "baseVolume", "quoteVolume", "indexPrice", "markPrice",
    "id", "order", "type", "side", "takerOrMaker", "price", "amount", "cost", "fee", "fees", "currency", "rate",
})  # fmt: skip
"""Of tickers and trades, of which streams bring thousands a second: clean as they are."""


def _clean(value: Any, depth: int = _DEEPEST) -> Any:
    """Return a value that can be shown and rendered: no `info`, no NaN or infinity, no hidden characters."""
    if value is None or (type(value) is float and -_VAST < value < _VAST):
        return value  # most of them
    if isinstance(value, float | int):
        return value if value is True or value is False or _is_number(value) else None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {
            name if name in _NAMES else _text(name): item
            if item is None or (type(item) is float and -_VAST < item < _VAST)
            else _clean(item, depth - 1)
            for name, item in value.items()
            if depth and isinstance(name, str) and name != "info"
        }
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value if depth]
    return value


def _text(text: str) -> str:
    if len(text) <= _LONGEST_TEXT and text.isascii() and text.isprintable() and " " not in text:
        return text  # nearly all of them: thousands of field names, symbols and times in one reply
    return clean_text(text, _LONGEST_TEXT)


def _first(row: Any) -> Any:
    return row[0]


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number; a comparison with NaN is false, and a truth value is no number."""
    return type(value) in (int, float) and -_VAST < value < _VAST


def _is_price(value: Any) -> bool:
    return _is_number(value) and value != 0  # spreads of futures may be negative


def _is_moment(value: Any) -> bool:
    return type(value) in (int, float) and _FIRST_MS <= value < _END_MS
