"""A refusal: what the engine does not do, after which nothing has changed."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something is refused, or why an order ended before it was filled."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    ORDER_NOT_FOUND = "order_not_found"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    INVALID_ORDER = "invalid_order"
    INVALID_AMOUNT = "invalid_amount"
    AMOUNT_STEP = "amount_step"
    AMOUNT_TOO_SMALL = "amount_too_small"
    AMOUNT_TOO_LARGE = "amount_too_large"
    COST_TOO_SMALL = "cost_too_small"
    INVALID_PRICE = "invalid_price"
    PRICE_STEP = "price_step"
    INVALID_TRIGGER = "invalid_trigger"
    NO_LIQUIDITY = "no_liquidity"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    REDUCE_ONLY_REJECTED = "reduce_only_rejected"
    LEVERAGE_REJECTED = "leverage_rejected"
    NOT_AMENDABLE = "not_amendable"
    BY_USER = "by_user"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"
    BOOK_TOO_THIN = "book_too_thin"
    POSITION_CLOSED = "position_closed"
    SIBLING_TRIGGERED = "sibling_triggered"
    LIQUIDATION = "liquidation"


class Refused(Exception):  # noqa: N818 - a refusal is a normal answer, not an error of ours
    """A request that the engine understands and does not grant.

    Attributes:
        reason: the machine-readable cause.
        message: one short sentence that names field, value and bound.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
