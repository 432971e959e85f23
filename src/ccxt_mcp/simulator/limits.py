"""How often one may ask: Bybit's limit per address, and its limits per key.

Source: https://bybit-exchange.github.io/docs/v5/rate-limit.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_LIMITS: Mapping[str, int] = {
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/position/list": 50,
    "/v5/execution/list": 50,
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/order/create": 20,
    "/v5/order/amend": 20,
    "/v5/order/cancel": 20,
}
"""Requests a second that a key may send to a path, where it is not the usual ten."""

_USUAL = 10


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
    """So many requests a second for each key and path, counted from the first; times in milliseconds.

    `limits` are the numbers by path, with the usual ten for any other; or one number for all; or None for no limit.
    """

    def __init__(self, limits: Mapping[str, int] | int | None) -> None:
        self._limits = limits
        self._windows: dict[tuple[str, str], tuple[int, int]] = {}

    def admit(self, key: str, path: str, now: int) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers that tell what is left and when it resets."""
        if self._limits is None:
            return True, {}
        most = self._limits if isinstance(self._limits, int) else self._limits.get(path, _USUAL)
        start, used = self._windows.get((key, path), (now, 0))
        if not start <= now < start + 1000:
            start, used = now, 0
        admitted = used < most
        if admitted:
            used += 1
            self._windows[key, path] = (start, used)
        return admitted, {
            "X-Bapi-Limit": str(most),
            "X-Bapi-Limit-Status": str(most - used),
            "X-Bapi-Limit-Reset-Timestamp": str(start + 1000),
        }
