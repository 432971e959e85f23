"""Redaction: secrets leave no text that others read, neither those we were told nor those that betray their place.

Known secrets are found in every form that a request, a log or a body gives them. Unknown ones are found by what stands
before them: the query of a URL, a header, a parameter or a field of a telling name. The names are those that ccxt's
exchanges use in `sign()`. The redactor itself keeps what it knows sealed.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus

from ccxt_mcp.seal import Seal

MASK = "[redacted]"

_SHORTEST = 6  # shorter secrets are too much like ordinary words; only their place gives them away
_SHORTEST_LINE = 16  # of a key in several lines
_DEEPEST = 8

_STRONG = (
    r"api[-_]?key|app[-_]?key|access[-_]?key|listen[-_]?key|private[-_]?key|secret|passphrase|passw(?:or)?d|signature"
    r"|credential|authent|[-_](?:sign|sig|mac|digest|pck)(?![\w-])"
)
_WEAK = r"(?:[\w-]{0,30}(?:token|[-_]key|[-_]auth|payload)|sign|sig|key|auth|signer|pin|otp|twofa)"
_PLAIN = r"None|null|[Tt]rue|[Ff]alse|undefined"
_IS_STRONG = re.compile(_STRONG, re.IGNORECASE)
_IS_WEAK = re.compile(_WEAK, re.IGNORECASE)
_IS_HEADER_LINE = re.compile(r"(?:proxy-)?authorization|(?:set-)?cookie", re.IGNORECASE)
_KEY_LIKE = re.compile(r"[\w+/=.%~-]{16,}")

_PEM = re.compile(r"-----BEGIN [A-Z ]{1,40}-----.*?(?:-----END [A-Z ]{1,40}-----|\Z)", re.DOTALL)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,15}://)([^\s\"'<>\\]*)", re.IGNORECASE)
_PATH_TOKEN = re.compile(r"(?<=/)(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{32,}")  # wss://host/ws/<listenKey>
_ORIGIN_STRING = re.compile(r"origin_string\[[^\r\n]*")  # bybit puts the key and the request into error 10004
_HEADER_LINE = re.compile(
    r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(\s*:\s*)(?!\s)[^\"'\\\r\n][^\"'\\\r\n}]*", re.IGNORECASE
)
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest)(\s+)[\w+/=.~-]{16,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")
_VALUE = r"""(?P<value>b?\\+"(?:(?!\\+").)*\\+"|b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?|[^\s,;&(){}\[\]"'\\]+)"""
_SEPARATOR = r"""(?P<separator>\\*["']?\s*(?:[:=]|%3D)\s*)"""
_QUOTES = re.compile(r"""(b?\\*["']|)(.*?)(\\*["']|)""", re.DOTALL)


class Redactor:
    """Takes secrets out of text: those it was told, and whatever stands where secrets stand. Safe in all threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._seal = Seal()
        self._salt = os.urandom(32)
        self._known: Counter[bytes] = Counter()
        self._prepared: dict[bytes, bytes] = {}
        self._followed: tuple[Callable[[], Iterable[str]], ...] = ()
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._known)} secrets>"

    def add(self, secret: str) -> None:
        """Know a secret, until it was discarded as often as it was added. Fewer than 6 characters are not known."""
        self._change(secret, 1)

    def discard(self, secret: str) -> None:
        """Forget a secret that was added once."""
        self._change(secret, -1)

    def follow(self, present: Callable[[], Iterable[str]]) -> None:
        """Know also the secrets that somebody else keeps: they are asked for anew with each text.

        Args:
            present: yields them in plain text; called in any thread.
        """
        with self._lock:
            self._followed = (*self._followed, present)

    def _change(self, secret: str, by: int) -> None:
        if len(secret) < _SHORTEST:
            return
        mark = self._prepare(secret)
        with self._lock:
            self._known[mark] += by
            if self._known[mark] <= 0:
                del self._known[mark]

    def _prepare(self, secret: str) -> bytes:
        """Seal the forms of a secret, which take long to make; return the mark under which they are kept."""
        mark = hmac.digest(self._salt, secret.encode("utf-8", "surrogatepass"), "sha256")
        if mark not in self._prepared:
            sealed = self._seal.close(json.dumps(list(_forms(secret))))
            with self._lock:
                self._prepared[mark] = sealed
        return mark

    def _forms_now(self) -> tuple[str, ...]:
        """Return all forms of all secrets in plain text, the longest first; for as long as one text is scrubbed."""
        followed = {self._prepare(secret) for ask in self._followed for secret in ask() if len(secret) >= _SHORTEST}
        with self._lock:
            sealed = [self._prepared[mark] for mark in {*self._known, *followed}]
        forms = {form for one in sealed for form in json.loads(self._seal.open(one))}
        return tuple(sorted(forms, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """Return the text without secrets: `[redacted]` stands for them, and "?…" for the queries of URLs."""
        return _scrubbed(text, self._forms_now())

    def scrub_value(self, value: Any, name: str = "", *, depth: int = _DEEPEST) -> Any:
        """Return data of the same shape without secrets, for logs: only JSON's types are left in it.

        Args:
            value: anything; what JSON does not know becomes its scrubbed repr.
            name: the name under which the value stands; a telling one is enough.
            depth: how many levels are looked into; what lies deeper becomes its scrubbed repr.
        """
        return _scrubbed_value(value, name, self._forms_now(), depth)


def _scrubbed(text: str, forms: tuple[str, ...]) -> str:
    text = _without(forms, text)
    text = _PEM.sub(MASK, text)
    text = _URL.sub(_bare_url, text)
    text = _ORIGIN_STRING.sub(f"origin_string{MASK}", text)
    text = _HEADER_LINE.sub(rf"\1\2{MASK}", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _JWT.sub(MASK, text)
    for pairs in _pairs():
        text = pairs.sub(_masked_value, text)
    return text


def _scrubbed_value(value: Any, name: str, forms: tuple[str, ...], depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case int() | float():
            text = str(value)
            return MASK if _IS_STRONG.search(name) or _without(forms, text) != text else value
        case str():
            return MASK if _betrays(name, value) else _scrubbed(value, forms)
        case Mapping() if depth:
            return {
                _scrubbed(str(key), forms): _scrubbed_value(item, str(key), forms, depth - 1)
                for key, item in value.items()
            }
        case list() | tuple() | Set() if depth:
            return [_scrubbed_value(item, name, forms, depth - 1) for item in value]
        case _:
            text = repr(value)
            return MASK if _betrays(name, text) else _scrubbed(text, forms)


def _without(forms: tuple[str, ...], text: str) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, MASK)
    return text


@cache
def _pairs() -> tuple[re.Pattern[str], ...]:
    """Compile the patterns of name and value; not at import, for a quiet server never needs them."""
    named = rf"(?P<name>(?:{_STRONG}|authorization|cookie)[\w-]{{0,40}}+)"
    strong = rf"{named}{_SEPARATOR}(?!(?:{_PLAIN})\b){_VALUE}"
    weak = rf"""(?<![\w-])(?P<name>{_WEAK}){_SEPARATOR}(?P<value>b?\\*["']?[\w+/=.%~-]{{16,}}\\*["']?)"""
    quoted = rf"""(?P<name>\(b?["'][\w-]{{0,40}}(?:{_STRONG}|authorization|cookie)[\w-]{{0,40}}["'])"""
    in_tuple = rf"""{quoted}(?P<separator>\s*,\s*)(?P<value>b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?)"""
    # in_tuple is for raw headers: (b'X-MBX-APIKEY', b'...')
    return tuple(re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in (strong, in_tuple, weak))


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret may be written: as it is, quoted, escaped, encoded, line by line."""
    yield from _escaped(secret)
    data = secret.encode("utf-8", "surrogatepass")
    yield data.hex()
    yield data.hex().upper()
    for encoded in _base64_forms(data):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
        yield quote(encoded, safe="")
    lines = [line.strip() for line in secret.replace("\\n", "\n").splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield from _escaped(line)


def _escaped(text: str) -> Iterator[str]:
    for once in {text, *_in_quotes(text)}:
        yield once
        yield from _in_quotes(once)
    data = text.encode("utf-8", "surrogatepass")
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield encoded
        yield re.sub(r"%..", lambda escape: escape[0].lower(), encoded)
        yield quote(encoded, safe="")


def _in_quotes(text: str) -> Iterator[str]:
    """Yield how JSON and Python write the text inside a quoted string; Python's quotes depend on their neighbours."""
    yield json.dumps(text)[1:-1]
    yield json.dumps(text).replace("/", "\\/")[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield repr(f'"{text}')[2:-1]


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of the data at each of the three places in which it can begin in a longer text."""
    for offset, shared_before in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(offset) + data).decode()
        shared_after = (0, 3, 2)[(offset + len(data)) % 3]
        form = encoded[shared_before : len(encoded) - shared_after]
        if len(form) >= _SHORTEST:
            yield form


def _bare_url(url: re.Match[str]) -> str:
    place, _, query = url[2].partition("?")
    place = place.partition("#")[0]
    host, slash, path = place.partition("/")
    userinfo, at, host = host.rpartition("@")
    path = _PATH_TOKEN.sub(MASK, f"{slash}{path}")
    return f"{url[1]}{MASK if userinfo else ''}{at}{host}{path}{'?…' if query else ''}"


def _masked_value(pair: re.Match[str]) -> str:
    quotes = _QUOTES.fullmatch(pair["value"])
    before, after = (quotes[1], quotes[3]) if quotes else ("", "")
    return f"{pair['name']}{pair['separator']}{before}{MASK}{after}"


def _betrays(name: str, value: str) -> bool:
    """Whether a value is a secret by the name under which it stands; ambiguous names need a key-like value."""
    if not value or not name:
        return False
    if _IS_STRONG.search(name) or _IS_HEADER_LINE.fullmatch(name):
        return True
    return _IS_WEAK.fullmatch(name) is not None and _KEY_LIKE.fullmatch(value) is not None
