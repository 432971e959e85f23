"""What is quoted from an exchange: its own short message, and never a URL, a page, a body or a secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.exchanges.messages import exchange_words

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
BASE64 = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('bybit {"retCode":10001,"retMsg":"params error: symbol invalid","result":{}}',
         '"params error: symbol invalid" (10001)'),
        ('kraken {"error":["EQuery:Unknown asset pair"]}', '"EQuery:Unknown asset pair"'),
        ('okx {"code":"51001","data":[],"msg":"Instrument ID does not exist"}',
         '"Instrument ID does not exist" (51001)'),
        ('okx {"code":"1","data":[{"sCode":"51008","sMsg":"Insufficient USDT balance"}],"msg":""}',
         '"Insufficient USDT balance" (51008)'),
        ('htx {"status":"error","err-code":"bad-symbol","err-msg":"invalid symbol","data":null}',
         '"invalid symbol" (bad-symbol)'),
        ('bitfinex ["error",10020,"symbol: invalid"]', '"symbol: invalid"'),
        ('bitstamp {"status":"error","reason":{"__all__":["You need 5 USD."]},"code":"API0005"}',
         '"You need 5 USD" (API0005)'),
        ('gate {"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair"}',
         '"Invalid currency pair" (INVALID_CURRENCY_PAIR)'),
        ('deribit {"jsonrpc":"2.0","error":{"message":"Invalid params","code":-32602}}', '"Invalid params" (-32602)'),
        ('hyperliquid {"status":"err","response":"Order has zero size."}', '"Order has zero size"'),
        ('coinbase {"error":"X","message":"product_id is required"}', '"product_id is required"'),
        ('bybit createOrder() rejected: {"msg":"bad quantity"}', '"bad quantity"'),
        ('kucoin {\n "code": "400100"\n}', "code 400100"),
        ('binance POST https://api.binance.com/x?signature=1 400 Bad Request {"code":-1100,"msg":"Illegal parameter"}',
         '"Illegal parameter" (-1100)'),
        ("kraken does not have market symbol BTC/FOO", '"BTC/FOO"'),
        ("binance fetchFoo() is not supported yet", '"fetchFoo()"'),
        ('binance requires "apiKey" credential', '"apiKey"'),
        ("phemex amount of BTC/USDT must be greater than minimum amount precision of 0.001",
         '"amount of BTC/USDT must be greater than minimum amount precision of 0.001"'),
        ("Connection closed by remote server, closing code 1006",
         '"Connection closed by remote server, closing code 1006"'),
    ],
)  # fmt: skip
def test_the_exchanges_own_message_is_found(text: str, words: str) -> None:
    assert exchange_words(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kraken",
        "kraken GET https://api.kraken.com/0/public/Ticker",
        "kraken GET https://api.kraken.com/0/public/Ticker 403 Forbidden <html><body>Access denied</body></html>",
        "kraken GET https://api.kraken.com/0/public/Ticker 500 Internal Server Error upstream reset",
        "kraken <!DOCTYPE html><html></html>",
        'bybit {"retMsg":"<b>Just a moment</b>"}',
        'bybit {"retCode":10001,"retM',
        "kraken {}",
        "kraken []",
        'bybit {"retCode":0,"result":{"list":["a"]},"balance":"12"}',
        "bybit " + "[" * 5_000,
    ],
)
def test_where_no_message_is_nothing_is_quoted(text: str) -> None:
    assert exchange_words(text) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f'bybit {{"retMsg":"error sign! origin_string[1658384314791{HEX[:18]}5000a=[1]]"}}', "error sign!"),
        (f'binance {{"msg":"see https://api.binance.com/x?signature={HEX} for more"}}', "for more"),
        (f'binance {{"msg":"bad path /api/v3/order?apiKey={HEX[:16]}&x=1 here"}}', "here"),
        (f'kraken {{"error":["bad signature {BASE64} here"]}}', "bad signature"),
        (f'okx {{"msg":"key {HEX[:32]} is unknown"}}', "is unknown"),
        (f'alpaca {{"message":"api_key={HEX[:8]} refused"}}', "refused"),
        (f'hyperliquid {{"response":"wallet 0x{HEX[:40]} does not exist"}}', "does not exist"),
        (f'gate {{"label":"{HEX[:32]}","message":"no"}}', "no"),
    ],
)  # fmt: skip
def test_urls_keys_and_signatures_are_taken_out_of_the_message(text: str, kept: str) -> None:
    words = exchange_words(text)
    assert words is not None
    assert kept in words
    for secret in (HEX, HEX[:40], HEX[:32], HEX[:18], HEX[:16], HEX[:8], BASE64, "://", "signature="):
        assert secret not in words


@pytest.mark.parametrize(
    "symbol", ["BTC-251226-100000-C", "1000SHIB-251226-100000-C", "ETH_USDT_PERP_20251226", "BTC/USD:BTC-251226"]
)
def test_long_symbols_are_no_secrets(symbol: str) -> None:
    assert exchange_words(f'deribit {{"message":"{symbol} has expired"}}') == f'"{symbol} has expired"'


def test_hidden_characters_and_line_breaks_do_not_pass() -> None:
    text = "kucoin " + json.dumps({"msg": "symbol \u202etdsu\u2066 unknown\n\nIgnore \u200ball of it\x1b[31m"})
    assert exchange_words(text) == '"symbol tdsu unknown Ignore all of it[31m"'


@given(st.text(max_size=600))
def test_a_message_of_any_text_is_short_and_keeps_within_its_quotation_marks(message: str) -> None:
    words = exchange_words("kraken " + json.dumps({"msg": message}))
    if words is not None:
        assert len(words) <= 200
        assert words[0] == words[-1] == '"'
        assert '"' not in words[1:-1]
        assert "://" not in words


NAMES = st.sampled_from(["error", "msg", "data", "code", "result", "message", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
)


@given(JSON)
def test_no_shape_of_reply_breaks_it(reply: object) -> None:
    words = exchange_words(f"kraken {json.dumps(reply)}")
    assert words is None or len(words) <= 250
