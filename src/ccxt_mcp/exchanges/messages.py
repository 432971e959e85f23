"""What an exchange said, out of the text of a ccxt error: a short, harmless quotation, or nothing.

ccxt puts the whole request and reply into its texts: `kraken GET https://… 403 Forbidden <html>…`,
`bybit {"retCode":10001,"retMsg":"params error",…}`, `binance fetchFoo() is not supported yet`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TEXT = 20_000
_LONGEST_MESSAGE = 1_000  # before anything is taken out of it
_MESSAGE_NAMES = (
    "message", "msg", "retmsg", "ret_msg", "errormessage", "error_message", "error_description", "errmsg", "err_msg",
    "err-msg", "smsg", "detail", "details", "description", "reason", "response", "error", "errors", "status", "data",
    "result", "__all__",
)  # fmt: skip
_CONTAINERS = frozenset({"status", "data", "result"})  # here plain text is a state, not a message
_CODE_NAMES = ("retcode", "ret_code", "code", "errorcode", "error_code", "err-code", "errcode", "scode", "label")
_NO_CODE = frozenset({"0", "1"})  # "well" and "see the rows"
_DEPTH = 3

_REQUEST = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD) \S+(?: \d{3})?")
_HTML = re.compile(r"<[a-zA-Z!/?]")
_NOISE = (
    re.compile(r"does not have market symbol (.+)"),
    re.compile(r"(.+) is not supported yet"),
    re.compile(r'requires "(\w+)" credential'),
)
_UNSHOWN = (
    re.compile(r"\S*://\S*"),
    re.compile(r"\S*\?\S+=\S*"),
    re.compile(r"origin_string\[.*"),
    re.compile(
        r"(?i)[\w-]*(?:key|secret|sign|signature|token|pass|passphrase|password|auth)[\"']?\s*[=:]\s*(?=\S*\d)[^\s,;]{6,}"
    ),
)
_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_SYMBOL_LIKE = re.compile(r"[A-Z0-9]{1,10}(?:[-_/][A-Z0-9]{1,10})*")
_NUMBER_AND_LETTER = re.compile(r"(?=.*\d)(?=.*[A-Za-z])")


def exchange_words(text: str) -> str | None:
    """Return the exchange's own message from the text of a ccxt error, in quotation marks and with its code.

    None where there is no message: a bare request, a page, a broken body. URLs, key-like tokens and invisible
    characters are taken out, and at most 200 characters are left.
    """
    text = text[:_LONGEST_TEXT]
    head, _, rest = text.partition(" ")
    body = rest.lstrip() if head in exchange_ids() else text
    if request := _REQUEST.match(body):
        start = re.search(r"[{\[]", body[request.end() :])
        return _from_json(body[request.end() + start.start() :]) if start else None
    start = re.search(r'[{\[]\s*["{\[]', body)
    if start is None:
        return None if body.startswith(("{", "[")) else _quoted(body)
    return _from_json(body[start.start() :]) or _quoted(body[: start.start()].rstrip(" :"))


def _from_json(text: str) -> str | None:
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    words = _quoted(_message_in(value, _DEPTH) or "")
    code = _code_in(value, _DEPTH)
    if words and code:
        return f"{words} ({code})"
    return words or (f"code {code}" if code else None)


def _message_in(value: Any, depth: int) -> str | None:
    """Return the first text under a name that exchanges use for messages; lists give their last text."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        found = [text for item in value[:5] if depth and (text := _message_in(item, depth - 1))]
        return found[-1] if found else None
    if not isinstance(value, dict) or not depth:
        return None
    lower = _lower(value)
    for name in _MESSAGE_NAMES:
        inner = lower.get(name)
        if inner and not (name in _CONTAINERS and _is_text(inner)) and (text := _message_in(inner, depth - 1)):
            return text
    return None


def _code_in(value: Any, depth: int) -> str | None:
    if isinstance(value, list) and value and depth:
        return _code_in(value[0], depth - 1)
    if not isinstance(value, dict) or not depth:
        return None
    lower = _lower(value)
    for name in _CODE_NAMES:
        code = lower.get(name)
        if isinstance(code, int | str) and re.fullmatch(r"-?[\w.:-]{1,40}", str(code)) and str(code) not in _NO_CODE:
            return _harmless(str(code))
    return next((code for name in ("error", "data", "result") if (code := _code_in(lower.get(name), depth - 1))), None)


def _lower(value: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).lower(): inner for name, inner in value.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _quoted(text: str) -> str | None:
    if _HTML.search(text):
        return None
    text = clean_text(text, _LONGEST_MESSAGE)
    for pattern in _NOISE:
        if noisy := pattern.fullmatch(text):
            text = noisy[1]
    text = clean_text(_harmless(text), 198).rstrip(" .").replace('"', "'")
    return f'"{text}"' if re.search(r"\w", text) else None


def _harmless(text: str) -> str:
    for pattern in _UNSHOWN:
        text = pattern.sub("…", text)
    return _TOKEN.sub(lambda token: token[0] if _is_word(token[0]) else "…", text)


def _is_word(token: str) -> bool:
    """Whether a long run of characters is a name or a symbol, and not a key, a signature or an id."""
    return _NUMBER_AND_LETTER.match(token) is None or _SYMBOL_LIKE.fullmatch(token) is not None
