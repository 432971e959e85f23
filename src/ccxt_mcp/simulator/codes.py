"""Bybit's codes for what the engine refuses: others on spot than on contracts, and each of a class that ccxt knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ccxt_mcp.paper.engine import Reason, Refused

from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Generator

    from .markets import Category


class _Code(NamedTuple):
    """A code and, where Bybit's words are short and always the same, those; else the engine's say more."""

    number: int
    words: str = ""


_GONE = "Order does not exist."
_CODES: dict[Reason, tuple[_Code, _Code]] = {
    # what the engine says: (on spot, on contracts)
    Reason.UNKNOWN_SYMBOL: (_Code(10001, "Not supported symbols"), _Code(10001, "Not supported symbols")),
    Reason.ORDER_NOT_FOUND: (_Code(170213, _GONE), _Code(110001, "order not exists or too late to cancel")),
    Reason.INSUFFICIENT_BALANCE: (_Code(170131, "Insufficient balance."), _Code(110007, "ab not enough for new order")),
    Reason.DUPLICATE_CLIENT_ORDER_ID: (
        _Code(170141, "Duplicate clientOrderId."),
        _Code(110072, "OrderLinkedID is duplicate"),
    ),
    Reason.INVALID_ORDER: (_Code(170210), _Code(110032)),
    Reason.INVALID_AMOUNT: (_Code(170136), _Code(110032)),
    Reason.AMOUNT_STEP: (_Code(170137), _Code(12137)),
    Reason.AMOUNT_TOO_SMALL: (_Code(170136), _Code(110094)),
    Reason.AMOUNT_TOO_LARGE: (_Code(170135), _Code(130006)),
    Reason.COST_TOO_SMALL: (_Code(170140), _Code(110094)),
    Reason.INVALID_PRICE: (_Code(170133), _Code(110003)),
    Reason.PRICE_STEP: (_Code(170134), _Code(110003)),
    Reason.INVALID_TRIGGER: (_Code(170210), _Code(110092)),
    Reason.NO_LIQUIDITY: (_Code(170210), _Code(110032)),
    Reason.POST_ONLY_WOULD_TAKE: (_Code(170218), _Code(110003)),  # of a change; a new order is accepted, and ends
    Reason.REDUCE_ONLY_REJECTED: (_Code(170210), _Code(110017)),
    Reason.LEVERAGE_REJECTED: (_Code(110013), _Code(110013)),
    Reason.NOT_AMENDABLE: (_Code(170210), _Code(110032)),
}


@contextmanager
def granted(category: Category) -> Generator[None]:
    """What the engine refuses inside becomes a Refusal with Bybit's code."""
    try:
        yield
    except Refused as refused:
        raise refusal(category, refused.reason, refused.message) from None


def refusal(category: Category, reason: Reason, message: str = "") -> Refusal:
    """The refusal of a reason; `message` is what the engine says about it."""
    code = _CODES[reason][category == "linear"]
    return Refusal(code.number, code.words or message)
