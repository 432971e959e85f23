"""No secret survives redaction in any form, and ordinary text is left alone."""

from __future__ import annotations

import base64
import json
import pickle
import re
import threading
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.guards.redaction import MASK, Redactor

KEY = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n-----END EC PRIVATE KEY-----"

secrets = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="[]"), min_size=6, max_size=60),
    st.text(alphabet="abcXYZ019+/=_-%&?\"'\\ \n", min_size=6, max_size=80),
    st.binary(min_size=16, max_size=64).map(lambda data: base64.b64encode(data).decode()),
    st.binary(min_size=8, max_size=32).map(bytes.hex),
)
noise = st.text(alphabet="abc 019:=&\"'\\{},/?%\n", max_size=20)


def pem_line(secret: str) -> str:
    return secret.splitlines()[1]


FORMS = {
    "plain": lambda secret: secret,
    "json": json.dumps,
    "json, unicode": lambda secret: json.dumps(secret, ensure_ascii=False),
    "json in json": lambda secret: json.dumps(json.dumps({"x": secret})),
    "json with escaped slashes": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "repr": repr,
    "repr in json": lambda secret: json.dumps(repr({"x": secret})),
    "repr of json": lambda secret: repr({"body": json.dumps({"x": secret})}),
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower case": lambda secret: re.sub("%..", lambda escape: escape[0].lower(), quote(secret, safe="")),
    "percent, path": quote,
    "percent, form": quote_plus,
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "form body": lambda secret: urlencode({"nonce": 1, "x": secret, "z": 2}),
    "query": lambda secret: f"GET https://api.example.com/v5/x?{urlencode({'a': 1, 'x': secret})} 403 Forbidden",
    "hex": lambda secret: secret.encode().hex(),
    "upper hex": lambda secret: secret.encode().hex().upper(),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@given(secret=secrets, before=noise, after=noise)
def test_a_known_secret_survives_in_no_form(form: str, secret: str, before: str, after: str) -> None:
    written = FORMS[form](secret)
    scrubbed = Redactor([secret]).scrub(f"{before} {written} {after}")
    assert MASK in scrubbed or "?…" in scrubbed
    assert secret not in scrubbed
    if form in ("json", "repr", "percent", "hex", "upper hex"):
        assert written.strip("\"'") not in scrubbed


@given(secret=secrets, user=st.text(alphabet="abcdefg", max_size=8), rest=st.text(alphabet="xyz", max_size=8))
def test_a_known_secret_inside_base64_is_found_wherever_it_begins(secret: str, user: str, rest: str) -> None:
    joined = base64.b64encode(f"{user}:{secret}:{rest}".encode()).decode()
    scrubbed = Redactor([secret]).scrub(f"payload {joined} end")
    assert MASK in scrubbed
    assert len(scrubbed) < len(joined) + 30
    alone = base64.b64encode(secret.encode()).decode().rstrip("=")
    assert alone not in scrubbed


@given(secrets, st.lists(secrets, max_size=3), noise)
def test_redaction_of_redacted_text_changes_nothing(secret: str, others: list[str], text: str) -> None:
    redactor = Redactor([secret, *others])
    once = redactor.scrub(f"{text} apiKey={secret} {text}")
    assert redactor.scrub(once) == once


def test_a_key_in_many_lines_is_found_line_by_line_and_escaped() -> None:
    redactor = Redactor([PEM])
    for text in (PEM, repr(PEM), json.dumps({"k": PEM}), f"at {pem_line(PEM)}", PEM.replace("\n", "\\n")):
        assert pem_line(PEM) not in redactor.scrub(text)


def test_a_key_block_that_nobody_told_us_is_found_even_when_cut_off() -> None:
    for text in (PEM, repr(PEM), PEM[:-20]):
        scrubbed = Redactor().scrub(f"using {text}")
        assert pem_line(PEM) not in scrubbed
        assert scrubbed.startswith("using ")


NAMES = [
    "apiKey", "api_key", "API-Key", "APIKEY", "secret", "client_secret", "passphrase", "password", "signature",
    "X-BAPI-SIGN", "X-BAPI-API-KEY", "OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-PASSPHRASE", "KC-API-KEY",
    "KC-API-SIGN", "KC-API-PASSPHRASE", "KC-API-PARTNER-SIGN", "X-MBX-APIKEY", "API-Sign", "ACCESS-SIGN",
    "CB-ACCESS-KEY", "listenKey", "privateKey", "AccessKeyId", "APCA-API-SECRET-KEY", "POLYMARKET-SECRET",
    "xt-validate-appkey", "X-PCK", "TAPI-MAC", "X-LA-DIGEST", "request-sign", "x-phemex-request-signature",
    "Authorization", "authorization",
]  # fmt: skip
AMBIGUOUS = [
    "sign", "SIGN", "KEY", "key", "token", "access_token", "APToken", "x-phemex-access-token", "orderly-key",
    "X-AGGR-KEY", "BX-PUBLIC-KEY", "X-GEMINI-PAYLOAD", "sig",
]  # fmt: skip
PLACES = {
    "query string": "amount=1&{name}={value}&symbol=BTCUSDT",
    "header line": "Host: x\r\n{name}: {value}\r\nAccept: */*",
    "json": '{{"symbol": "BTC/USDT", "{name}": "{value}", "price": 1.5}}',
    "compact json": '{{"{name}":"{value}","price":1.5}}',
    "json in json": '{{"body": "{{\\"{name}\\": \\"{value}\\", \\"price\\": 1}}"}}',
    "dict": "headers {{'{name}': '{value}', 'X': 1}}",
    "keyword": "bybit({name}='{value}', timeout=1)",
    "raw headers": "((b'Host', b'x'), (b'{name}', b'{value}'))",
    "cut off": '{{"{name}": "{value}',
}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *((name, place) for name in NAMES for place in PLACES),
        *((name, place) for name in AMBIGUOUS for place in PLACES if place != "raw headers"),  # any pair of strings
    ],
)
def test_unknown_secrets_are_found_by_the_name_before_them(name: str, place: str) -> None:
    scrubbed = Redactor().scrub(PLACES[place].format(name=name, value=HEX))
    assert HEX not in scrubbed
    assert f"{name}" in scrubbed
    for rest in ("symbol=BTCUSDT", "Accept: */*", "'X': 1", "timeout=1"):
        assert (rest in scrubbed) is (rest in PLACES[place])


@pytest.mark.parametrize("name", NAMES)
def test_a_telling_name_hides_even_a_short_secret(name: str) -> None:
    assert "pw7" not in Redactor().scrub(f'{{"{name}": "pw7"}}')


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"GET https://api.bybit.com/v5/x?a=1&sign={HEX} 403", "GET https://api.bybit.com/v5/x?… 403"),
        ("via http://user:pa:ss@proxy:8080/ now", f"via http://{MASK}@proxy:8080/ now"),
        ("socks5h://user@proxy:1080", f"socks5h://{MASK}@proxy:1080"),
        ("http://proxy/https://api.x.com/y?z=1", "http://proxy/https://api.x.com/y?…"),
        (f"wss://stream.binance.com/ws/{HEX}", f"wss://stream.binance.com/ws/{MASK}"),
        ("see https://docs.example.com/errors#token=abc", "see https://docs.example.com/errors"),
        (f"Authorization: Bearer {HEX}", f"Authorization: {MASK}"),
        (f"Authorization: HMAC-SHA256 Credential={HEX[:20]}, Signed=x\r\nHost: y", f"Authorization: {MASK}\r\nHost: y"),
        (f"sent Bearer {HEX} there", f"sent Bearer {MASK} there"),
        ("Cookie: session=abc; id=def", f"Cookie: {MASK}"),
        ("a eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln b", f"a {MASK} b"),
        (f"error sign! origin_string[1658{HEX[:18]}5000a=[1]]", f"error sign! origin_string{MASK}"),
    ],
)  # fmt: skip
def test_places_where_secrets_stand_are_emptied(text: str, scrubbed: str) -> None:
    assert Redactor().scrub(text) == scrubbed


ORDINARY = """
BTC/USDT
BTC/USDT:USDT-251226-100000-C
1000SHIB/USDT:USDT
SIGN/USDT
KEY/BTC
TOKEN: 1.5
SIGN: 0.05
"KEY": 12.5
'SIGN': '0.0512'
token=USDC
X-MBX-USED-WEIGHT-1M: 12
X-Bapi-Limit-Status: 9
https://api.kraken.com/0/public/Ticker
http://127.0.0.1:8080
2026-01-31T12:00:00.000Z
request_id=9f86d081884c
Signature for this request is not valid.
requires "apiKey" credential
{'apiKey': True, 'secret': False}
secret: None
design: good
EAPI:Invalid key
monkey: banana
exchange=kraken method=fetchTicker
904837e3-3b76-47ec-b432-046db621571b
insignia = 3
user@example.com
""".strip().splitlines()
words = st.one_of(
    st.sampled_from(ORDINARY),
    st.floats(allow_nan=False).map(str),
    st.integers().map(str),
    st.from_regex(r"[A-Z]{2,6}/[A-Z]{3,4}", fullmatch=True),
)


@given(st.lists(words, max_size=12).map(" ".join))
def test_prices_symbols_and_ordinary_words_stay_as_they_are(text: str) -> None:
    assert Redactor([KEY, PEM]).scrub(text) == text


def test_data_is_scrubbed_by_name_and_by_content_and_keeps_its_shape() -> None:
    redactor = Redactor([KEY, "12345678"])
    data: dict[str, Any] = {
        "apiKey": "abc",
        "password": 1234,
        "uid": 12345678,
        "headers": {"SIGN": HEX, "KEY": "short", "Authorization": "Foo bar"},
        "rows": [("price", 1.5), {KEY: KEY}, None, True],
        "requires": {"secret": True, "uid": False},
        "error": ValueError(f"bad {KEY}"),
        "token": "USDC",
    }
    assert redactor.scrub_value(data) == {
        "apiKey": MASK,
        "password": MASK,
        "uid": MASK,
        "headers": {"SIGN": MASK, "KEY": "short", "Authorization": MASK},
        "rows": [["price", 1.5], {MASK: MASK}, None, True],
        "requires": {"secret": True, "uid": False},
        "error": f"ValueError('bad {MASK}')",
        "token": "USDC",
    }


def test_data_that_contains_itself_ends() -> None:
    loop: list[Any] = [KEY]
    loop.append(loop)
    assert KEY not in str(Redactor([KEY]).scrub_value(loop))


def test_nothing_that_shows_the_redactor_shows_a_secret() -> None:
    redactor = Redactor([KEY, PEM])
    assert repr(redactor) == str(redactor) == "<Redactor of 2 secrets>"


def test_a_secret_of_two_accounts_stays_known_until_both_are_gone() -> None:
    redactor = Redactor()
    redactor.add(KEY)
    redactor.add(KEY)
    redactor.discard(KEY)
    assert redactor.scrub(f"x {KEY} y") == f"x {MASK} y"
    redactor.discard(KEY)
    assert redactor.scrub(f"x {KEY} y") == f"x {KEY} y"
    redactor.discard(KEY)
    redactor.add(KEY)
    assert KEY not in redactor.scrub(KEY)


def test_secrets_that_somebody_else_keeps_are_known_while_they_are_there() -> None:
    kept = [KEY, PEM, "abcde"]
    redactor = Redactor(["own secret"])
    redactor.follow(lambda: list(kept))
    text = f"own secret, {KEY}, {quote(KEY, safe='')}, {pem_line(PEM)}, abcde"
    assert redactor.scrub(text) == f"{MASK}, {MASK}, {MASK}, {MASK}, abcde"
    assert redactor.scrub_value({"rows": [KEY, 5]}) == {"rows": [MASK, 5]}
    kept.clear()
    assert redactor.scrub(text) == text.replace("own secret", MASK)


def test_what_the_redactor_knows_is_sealed_in_its_memory() -> None:
    redactor = Redactor([KEY, PEM])
    redactor.follow(lambda: iter([HEX]))
    assert redactor.scrub(f"{KEY} {HEX}") == f"{MASK} {MASK}"
    everything = str(vars(redactor)) + str(
        [vars(inner) for inner in vars(redactor).values() if hasattr(inner, "__dict__")]
    )
    assert not any(secret in everything for secret in (KEY, HEX, pem_line(PEM), KEY.encode().hex()))
    with pytest.raises(TypeError, match=r"cannot (be copied|pickle)"):
        pickle.dumps(redactor)


@pytest.mark.parametrize("secret", ["", "a", "abcde"])
def test_secrets_too_short_to_be_told_from_words_are_not_searched_for(secret: str) -> None:
    assert Redactor([secret]).scrub("a sentence about abcde") == "a sentence about abcde"


def test_secrets_may_come_and_go_in_other_threads_while_text_is_scrubbed() -> None:
    redactor = Redactor([KEY])
    others = [f"other-secret-{number}" for number in range(50)]

    def come_and_go() -> None:
        for other in others:
            redactor.add(other)
            redactor.discard(other)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert KEY not in redactor.scrub(f"log {KEY} line")
    assert repr(redactor) == "<Redactor of 1 secrets>"


@pytest.mark.parametrize(
    "piece", ["a", "secret", "api_key=", "\\", "key-", '"apiKey":"\\"', "://", "-----BEGIN A-----", "a:", "cookie: "]
)
def test_hostile_text_is_scrubbed_as_a_whole(piece: str) -> None:
    scrubbed = Redactor([KEY]).scrub(piece * 5_000 + f" {KEY}")
    assert KEY not in scrubbed
