"""Signatures of requests and of WebSocket connections.

Source: https://bybit-exchange.github.io/docs/v5/guide and https://bybit-exchange.github.io/docs/v5/ws/connect.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .keys import Key

_LATEST_MS = 1_000


class Signatures:
    """Checks who asks: HMAC-SHA256 in hex, with the secret of the key that is shown."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = keys

    def check(self, headers: Mapping[str, str], payload: str, now: int) -> str:
        """The API key of a well-signed request: timestamp, key, receive window and payload are signed.

        `payload` is the raw query of a GET or the body of a POST; `now` is the server's time in milliseconds.
        Raises Refusal with 10001 (unsigned), 10003 (unknown key), 10002 (stale or early) or 10004 (wrong signature).
        """
        key, stamp, window, sign = (
            headers.get(f"X-BAPI-{name}", "") for name in ("API-KEY", "TIMESTAMP", "RECV-WINDOW", "SIGN")
        )
        window = window or "5000"
        if not (key and stamp.isdecimal() and window.isdecimal() and sign):
            detail = f"empty value: apiTimestamp[{stamp}] apiKey[{key}] apiSignature[{sign}]"
            raise Refusal(10001, f"{detail}: openapi sign params error!")
        if key not in self._keys:
            raise Refusal(10003, "API key is invalid.")
        if not now - int(window) <= int(stamp) < now + _LATEST_MS:
            raise Refusal(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]",
            )
        origin = stamp + key + window + payload
        if not self._signed(key, origin, sign):
            raise Refusal(10004, f"error sign! origin_string[{origin}]")
        return key

    def check_stream(self, arguments: Sequence[str], now: int) -> str | None:
        """The API key of a well-signed `auth` of a WebSocket, None for any other.

        `arguments` are key, time of expiry and signature; `now` is the server's time in milliseconds.
        """
        if len(arguments) != 3:
            return None
        key, expires, sign = arguments
        if key not in self._keys or not expires.isdecimal() or int(expires) <= now:
            return None
        return key if self._signed(key, f"GET/realtime{expires}", sign) else None

    def _signed(self, key: str, text: str, sign: str) -> bool:
        wanted = hmac.new(self._keys[key].secret.encode(), text.encode(), sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), sign.encode())
