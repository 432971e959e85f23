from __future__ import annotations

from itertools import pairwise
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.replies import CHECKS, checked, has_price, is_ticker_of
from ccxt_mcp.methods import METHODS

SYMBOL = "BTC/USDT"
NOW = 1_795_486_104_000
HOUR = 3_600_000
TICKER: dict[str, Any] = {"symbol": SYMBOL, "timestamp": NOW, "datetime": "2026-11-24T02:08:24.000Z", "last": 100.0}
TRADE: dict[str, Any] = {"timestamp": NOW, "datetime": "2026-11-24T02:08:24.000Z", "price": 100.0, "amount": 1}
ROWS: dict[str, Any] = {
    "fetchTrades": TRADE,
    "fetchOHLCV": [NOW, 1, 2, 1, 2, 5],
    "fetchFundingRateHistory": {"timestamp": NOW, "fundingRate": 0.0001},
}


def serve(method: str, value: Any, *, blank: bool = False, **arguments: Any) -> Any:
    return checked(method, value, {"symbol": SYMBOL, **arguments}, blank=blank)


def refused(method: str, value: Any, *, blank: bool = False, **arguments: Any) -> Code:
    with pytest.raises(Failure) as caught:
        serve(method, value, blank=blank, **arguments)
    message = caught.value.message
    assert len(message) < 120
    public = not METHODS[method].private and method not in {"fetchTickers", "fetchStatus", "fetchTime"}
    assert SYMBOL in message or not public
    return caught.value.code


# -- blank bodies and idle markets -------------------------------------------------------------------------------------

EMPTY: dict[str, Any] = {
    "fetchTicker": {"symbol": SYMBOL, "last": None},
    "fetchTickers": {},
    "fetchOrderBook": {"bids": [], "asks": []},
    "fetchTrades": [],
    "fetchOHLCV": [],
    "fetchFundingRate": {"fundingRate": None},
    "fetchFundingRateHistory": [],
    "fetchOpenInterest": {"openInterestAmount": None},
}


@pytest.mark.parametrize("method", EMPTY)
def test_an_empty_market_is_not_the_exchange_s_fault_but_a_blank_body_is(method: str) -> None:
    assert refused(method, EMPTY[method]) is Code.EMPTY_REPLY
    assert refused(method, EMPTY[method], blank=True) is Code.BAD_REPLY


@pytest.mark.parametrize("method", ROWS)
def test_a_window_may_be_empty_unless_the_body_is_blank(method: str) -> None:
    assert serve(method, [], since=NOW) == []
    assert refused(method, [], since=NOW, blank=True) is Code.BAD_REPLY


@pytest.mark.parametrize("method", CHECKS)
@pytest.mark.parametrize("value", [None, "busy", nan, True])
def test_what_has_another_form_is_a_bad_reply(method: str, value: Any) -> None:
    assert refused(method, value) is Code.BAD_REPLY


@pytest.mark.parametrize("method", ROWS)
@pytest.mark.parametrize("malformed", [None, 7, "row", [], {}, [NOW, 1, 2], [NOW, 1, nan, 1, 2, 5], {"price": "1"}])
def test_malformed_rows_are_dropped_and_nothing_else_is_a_bad_reply(method: str, malformed: Any) -> None:
    assert serve(method, [malformed, ROWS[method], malformed]) == [ROWS[method]]
    assert refused(method, [malformed, malformed]) is Code.BAD_REPLY
    assert refused(method, [malformed], since=NOW) is Code.BAD_REPLY


def test_a_status_may_come_from_a_blank_reply_to_a_ping() -> None:
    assert serve("fetchStatus", {"status": "ok", "updated": NOW, "info": {}}, blank=True) == {
        "status": "ok",
        "updated": NOW,
    }


# -- accounts ----------------------------------------------------------------------------------------------------------

ORDER: dict[str, Any] = {"id": "7", "symbol": SYMBOL, "status": "open", "amount": 1.0}


@pytest.mark.parametrize("method", ["createOrder", "editOrder", "fetchOrder"])
@pytest.mark.parametrize("order", [{}, {"id": None, "amount": 1.0}, {"id": ""}])
def test_an_order_without_an_id_is_no_success(method: str, order: dict[str, Any]) -> None:
    assert refused(method, order) is Code.BAD_REPLY
    assert serve(method, {**ORDER, "id": 7, "info": {"secret": 1}}) == ORDER


@pytest.mark.parametrize("method", [name for name in CHECKS if name.endswith("Orders") and name.startswith("fetch")])
def test_a_list_of_orders_may_be_empty_but_not_blank_and_keeps_what_has_an_id(method: str) -> None:
    assert serve(method, []) == []
    assert serve(method, [ORDER, {"amount": 1.0}, None]) == [ORDER]
    assert refused(method, [], blank=True) is Code.BAD_REPLY
    assert refused(method, [None, 7]) is Code.BAD_REPLY


def test_a_balance_keeps_finite_amounts_by_part() -> None:
    value = {"free": {"BTC": 1.0}, "used": {"BTC": nan}, "total": {"BTC": 1.0, "X\u200b": 2.0}, "BTC": {"free": 1.0}}
    served = serve("fetchBalance", value)
    assert served == {"timestamp": None, "free": {"BTC": 1.0}, "used": {}, "total": {"BTC": 1.0, "X": 2.0}}
    assert refused("fetchBalance", value, blank=True) is Code.BAD_REPLY
    assert refused("fetchBalance", {"free": {}}) is Code.BAD_REPLY


def test_own_trades_need_price_and_amount_and_closed_positions_are_left_out() -> None:
    assert serve("fetchMyTrades", [TRADE, {"price": 1.0}]) == [TRADE]
    position = {"symbol": SYMBOL, "contracts": 2.0}
    assert serve("fetchPositions", [position, {"symbol": SYMBOL, "contracts": 0}, {"contracts": 1}]) == [position]


@pytest.mark.parametrize("method", ["cancelOrder", "cancelAllOrders", "setLeverage", "setMarginMode"])
def test_a_change_may_be_answered_with_anything_but_nothing(method: str) -> None:
    assert serve(method, {"result": "ok", "info": 1}) == {"result": "ok"}
    assert serve(method, [ORDER]) == [ORDER]
    assert refused(method, {}, blank=True) is Code.BAD_REPLY


def test_a_fee_needs_a_rate() -> None:
    assert serve("fetchTradingFee", {"symbol": SYMBOL, "maker": -0.0001}) == {"symbol": SYMBOL, "maker": -0.0001}
    assert refused("fetchTradingFee", {"symbol": SYMBOL}) is Code.BAD_REPLY
    assert serve("fetchTradingFees", {SYMBOL: {"maker": 0.1}, "x": None, "info": {}}) == {SYMBOL: {"maker": 0.1}}


# -- tickers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [None, 0, 0.0, nan, inf, True, "100", 10**400])
def test_what_is_no_price_does_not_make_a_ticker(price: Any) -> None:
    assert not has_price({"last": price, "bid": price})
    assert refused("fetchTicker", {**TICKER, "last": price}) is Code.EMPTY_REPLY


def test_another_market_s_ticker_is_a_bad_reply() -> None:
    assert refused("fetchTicker", {**TICKER, "symbol": "ETH/USDT"}) is Code.BAD_REPLY
    assert serve("fetchTicker", {**TICKER, "symbol": None})["last"] == 100.0


def test_a_ticker_belongs_to_its_symbol_or_names_none() -> None:
    assert is_ticker_of(TICKER, SYMBOL)
    assert is_ticker_of({"last": 1}, SYMBOL)
    assert not is_ticker_of(TICKER, "ETH/USDT")
    assert not is_ticker_of({"symbol": SYMBOL}, SYMBOL)
    assert not is_ticker_of(None, SYMBOL)


@pytest.mark.parametrize("time", [0, -1, NOW // 1000, NOW * 1000, NOW * 10**6, nan, inf, "soon", True, None])
def test_a_time_that_cannot_be_one_is_dropped_with_its_text(time: Any) -> None:
    served = serve("fetchTicker", {**TICKER, "timestamp": time})
    assert served == {"symbol": SYMBOL, "last": 100.0}
    assert serve("fetchTrades", [{**TRADE, "timestamp": time}]) == [{"price": 100.0, "amount": 1}]


def test_tickers_without_price_are_left_out() -> None:
    value = {SYMBOL: TICKER, "ETH/USDT": {"last": None}, "SOL/USDT": None, None: TICKER}
    assert serve("fetchTickers", value) == {SYMBOL: TICKER}
    assert refused("fetchTickers", {"ETH/USDT": {"last": None}}) is Code.EMPTY_REPLY


def test_raw_replies_hidden_characters_and_numbers_without_value_are_not_served() -> None:
    ticker = {**TICKER, "info": {"a": 1}, "high": inf, "note\u200b": "sell\u202e\n all", "long": "x" * 999}
    served = serve("fetchTicker", ticker)
    assert served == {**TICKER, "high": None, "note": "sell all", "long": f"{'x' * 199}…"}
    assert serve("fetchTickers", {f"{SYMBOL}\u200b": ticker}) == {SYMBOL: served}


# -- order books -------------------------------------------------------------------------------------------------------


def test_a_book_keeps_usable_levels_best_first() -> None:
    bids = [[98, 1], [99, 1, 1700], [101, 0], [102, -1], [103, nan], [0, 1], [nan, 1], [inf, 1], [1], None, {}, "xy"]
    asks = [[101, 2], [100, 2], [50, 0], [60, None], [70, True], ["80", 1]]
    served = serve("fetchOrderBook", {"symbol": SYMBOL, "bids": bids, "asks": asks, "nonce": 7, "timestamp": 0})
    assert served == {"symbol": SYMBOL, "bids": [[99, 1], [98, 1]], "asks": [[100, 2], [101, 2]], "nonce": 7}


def test_spreads_of_futures_may_have_negative_prices() -> None:
    served = serve("fetchOrderBook", {"bids": [[-3, 1], [-2, 1]], "asks": [[-1, 1]]})
    assert served == {"bids": [[-2, 1], [-3, 1]], "asks": [[-1, 1]]}


def test_a_book_with_one_side_is_served() -> None:
    assert serve("fetchOrderBook", {"bids": [[1, 1]], "asks": None}) == {"bids": [[1, 1]], "asks": []}


@pytest.mark.parametrize("side", [[[1, 0]], [None], {"1": 2}, "levels"])
def test_levels_of_which_none_is_usable_are_a_bad_reply(side: Any) -> None:
    assert refused("fetchOrderBook", {"bids": side, "asks": []}) is Code.BAD_REPLY


# -- candles -----------------------------------------------------------------------------------------------------------


def test_candles_come_in_order_and_once_each_and_the_last_one_sent_wins() -> None:
    first, second, corrected = [NOW, 1, 2, 1, 2, 5], [NOW + HOUR, 2, 3, 2, 3, 5], [float(NOW), 1, 4, 1, 4, 9]
    assert serve("fetchOHLCV", [second, first, second, corrected]) == [[NOW, 1, 4, 1, 4, 9], second]


@pytest.mark.parametrize("volume", [None, nan, inf, "5", True])
def test_a_candle_may_lack_its_volume(volume: Any) -> None:
    assert serve("fetchOHLCV", [[NOW, 1, 2, 1, 2, volume, "extra"]]) == [[NOW, 1, 2, 1, 2, None]]


@pytest.mark.parametrize("time", [0, -NOW, NOW // 1000, NOW * 1000, nan, inf, None, str(NOW), True])
def test_a_candle_without_a_possible_time_is_dropped(time: Any) -> None:
    assert refused("fetchOHLCV", [[time, 1, 2, 1, 2, 5]]) is Code.BAD_REPLY


# -- the rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [0, NOW // 1000, NOW * 1000, inf, "now"])
def test_the_exchange_s_time_is_milliseconds_of_this_century(time: Any) -> None:
    assert refused("fetchTime", time) is Code.BAD_REPLY
    assert serve("fetchTime", NOW) == NOW


@pytest.mark.parametrize("rate", [nan, inf, "0.1", False])
def test_a_funding_rate_is_a_number(rate: Any) -> None:
    assert refused("fetchFundingRate", {"fundingRate": rate}) is Code.EMPTY_REPLY
    assert serve("fetchFundingRate", {"fundingRate": 0}) == {"fundingRate": 0}


def test_open_interest_is_an_amount_or_a_value() -> None:
    assert serve("fetchOpenInterest", {"openInterestValue": 0.0}) == {"openInterestValue": 0.0}
    assert refused("fetchOpenInterest", {"openInterestAmount": nan, "openInterestValue": "1"}) is Code.EMPTY_REPLY


# -- anything at all ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["symbol", "timestamp", "datetime", "last", "bid", "bids", "asks", "price", "amount", "fundingRate", "info",
     "openInterestAmount", "openInterestValue", "status", "updated", SYMBOL]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.integers(NOW, NOW + 5), st.sampled_from([0, 1, 2.5, -1, NOW, 10**400, -(10**400)])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.just(SYMBOL))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=7),
        st.dictionaries(st.one_of(NAMES, st.text(max_size=3)), inner, max_size=6),
        st.lists(st.lists(NUMBERS, min_size=2, max_size=7), max_size=5),
    ),
    max_leaves=25,
)


def served_or_refused(method: str, value: Any, **arguments: Any) -> Any:
    try:
        return serve(method, value, **arguments)
    except Failure as failure:
        if failure.code in {Code.BAD_REPLY, Code.EMPTY_REPLY}:
            return None
        raise


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        assert "info" not in value
        return [number for item in value.values() for number in numbers_in(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_in(item)]
    return [value] if isinstance(value, int | float) else []


def assert_ordered(method: str, served: Any) -> None:
    if method == "fetchOrderBook":
        bids, asks = served["bids"], served["asks"]
        assert bids or asks
        assert all(price != 0 and amount > 0 for price, amount in [*bids, *asks])
        assert all(better[0] >= worse[0] for better, worse in pairwise(bids))
        assert all(better[0] <= worse[0] for better, worse in pairwise(asks))
    if method == "fetchOHLCV":
        assert all(earlier[0] < later[0] for earlier, later in pairwise(served))
        assert all(len(candle) == 6 and None not in candle[:5] for candle in served)
    if method == "fetchTrades":
        assert all(isfinite(trade["price"]) and isfinite(trade["amount"]) for trade in served)


@pytest.mark.parametrize("method", CHECKS)
@given(value=VALUES, blank=st.booleans(), since=st.none() | st.just(NOW))
def test_whatever_comes_is_refused_or_finite_and_in_order(method: str, value: Any, blank: bool, since: Any) -> None:
    served = served_or_refused(method, value, blank=blank, since=since)
    if served is not None:
        assert all(isfinite(number) for number in numbers_in(served))
        assert_ordered(method, served)
        assert serve(method, served, since=since) == served


@given(
    bids=st.lists(st.lists(NUMBERS, min_size=1, max_size=3)),
    asks=st.lists(st.lists(NUMBERS, min_size=1, max_size=3)),
    candles=st.lists(st.lists(NUMBERS, min_size=5, max_size=7) | VALUES),
    times=st.lists(st.integers(NOW, NOW + 3)),
)
def test_any_numbers_make_books_and_candles_in_order(bids: Any, asks: Any, candles: Any, times: list[int]) -> None:
    dated = [[time, *row[1:]] if isinstance(row, list) else row for time, row in zip(times, candles, strict=False)]
    for method, value in (("fetchOrderBook", {"bids": bids, "asks": asks}), ("fetchOHLCV", dated)):
        served = served_or_refused(method, value)
        if served is not None:
            assert_ordered(method, served)


@pytest.mark.parametrize("method", CHECKS)
def test_a_deep_nest_does_not_exhaust_the_stack(method: str) -> None:
    nest: Any = {}
    for _ in range(100_000):
        nest = {"a": [nest]}
    value = {**TICKER, "fundingRate": 1, "openInterestValue": 1, "bids": [[1, 1]], "nest": nest}
    served_or_refused(method, value)
    while nest:  # taken apart by hand: to free it at once would exhaust the stack too
        nest = nest.pop("a").pop()
