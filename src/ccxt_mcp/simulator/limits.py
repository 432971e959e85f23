"""Who may ask, and how often: Bybit's limit per address, its limit per key, and its signatures.

Source: https://bybit-exchange.github.io/docs/v5/rate-limit and https://bybit-exchange.github.io/docs/v5/guide.
"""

from __future__ import annotations

import hmac
from collections import Counter, deque
from hashlib import sha256
from typing import TYPE_CHECKING

from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

API_KEY = "simulator-key"
API_SECRET = "simulator-secret"  # noqa: S105 - opens nothing but the simulator
KEYS: Mapping[str, str] = {API_KEY: API_SECRET}
"""The keys a simulator accepts unless told otherwise: secrets by API key."""

_LATEST_MS = 1_000


class Requests:
    """Counts what was asked: all requests, those of each path, and those refused for asking too often."""

    def __init__(self) -> None:
        self.total = 0
        self.rejected = 0
        self.by_path: Counter[str] = Counter()

    def count(self, path: str) -> None:
        """Count one request."""
        self.total += 1
        self.by_path[path] += 1

    def reset(self) -> None:
        """Start again at zero."""
        self.total = self.rejected = 0
        self.by_path.clear()


class AddressLimit:
    """At most `most` requests in any `window` seconds; Bybit allows 600 in five."""

    def __init__(self, most: int, window: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._admitted: deque[float] = deque()

    def admit(self) -> bool:
        """Whether one more request may pass now. A refused request does not count."""
        now = self._clock()
        while self._admitted and self._admitted[0] <= now - self._window:
            self._admitted.popleft()
        if len(self._admitted) >= self._most:
            return False
        self._admitted.append(now)
        return True


class KeyLimit:
    """At most `most` requests a second for each key and path, counted from the first; times in milliseconds."""

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._windows: dict[tuple[str, str], tuple[int, int]] = {}

    def admit(self, key: str, path: str, now: int) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers that tell what is left and when it resets."""
        start, used = self._windows.get((key, path), (now, 0))
        if not start <= now < start + 1000:
            start, used = now, 0
        admitted = used < self._most
        if admitted:
            used += 1
            self._windows[key, path] = (start, used)
        return admitted, {
            "X-Bapi-Limit": str(self._most),
            "X-Bapi-Limit-Status": str(self._most - used),
            "X-Bapi-Limit-Reset-Timestamp": str(start + 1000),
        }


class Signatures:
    """Checks signed requests: HMAC-SHA256 of timestamp, key, receive window and payload, in hex."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def check(self, headers: Mapping[str, str], payload: str, now: int) -> str:
        """The API key of a well-signed request.

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
        secret = self._keys.get(key)
        if secret is None:
            raise Refusal(10003, "API key is invalid.")
        if not now - int(window) <= int(stamp) < now + _LATEST_MS:
            raise Refusal(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]",
            )
        origin = stamp + key + window + payload
        if not hmac.compare_digest(hmac.new(secret.encode(), origin.encode(), sha256).hexdigest(), sign):
            raise Refusal(10004, f"error sign! origin_string[{origin}]")
        return key
