"""A refusal: Bybit's answer to a request that it understands and does not grant."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - a refusal is a normal answer of the exchange, not an error of ours
    """Carries Bybit's `retCode` and `retMsg`; sent with HTTP status 200, as Bybit does."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
