"""Conditions on a market or an account that somebody waits for: read, checked, stored, put into words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Self, cast

from ccxt_mcp.analytics.decimals import positive
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

Kind = Literal[
    "price_above", "price_below", "price_crosses", "spread_below", "change_over", "order_filled", "liquidation_within"
]
Side = Literal["above", "below"]

_PRICES = ("trades", "ticker")


class _Rule(NamedTuple):
    """What a kind of condition needs, what is to be looked at, the sides it may have, and its words."""

    needs: tuple[str, ...]
    channels: tuple[str, ...]
    sides: tuple[Side, ...]
    words: str


_RULES: Mapping[str, _Rule] = {
    "price_above": _Rule(("value",), _PRICES, ("above",), "{symbol} trades above {value}"),
    "price_below": _Rule(("value",), _PRICES, ("below",), "{symbol} trades below {value}"),
    "price_crosses": _Rule(("value",), _PRICES, ("above", "below"), "{symbol} crosses {value}"),
    "spread_below": _Rule(("value",), ("book",), ("below",), "{symbol}'s spread is at most {value} bps of the mid"),
    "change_over": _Rule(("value", "window"), _PRICES, (), "{symbol} moves by {value}% or more within {window} s"),
    "order_filled": _Rule(("order_id",), ("orders",), (), "order {order_id} on {symbol} is filled"),
    "liquidation_within": _Rule(
        ("value",), ("positions", "ticker"), ("below",), "{symbol} is within {value}% of the position's liquidation"
    ),
}
_LONGEST_S = 86_400


@dataclass(frozen=True, slots=True)
class Condition:
    """What somebody waits for. Make it with `read` or `from_dict`, which check it.

    Attributes:
        kind: what is compared. A price is "above" from `value` on upwards, "below" from `value` on downwards.
        value: a price; a spread in basis points of the mid; percent for change_over and liquidation_within.
        window: seconds in which the price must change, for change_over only.
        order_id: the exchange's id or the client order id, for order_filled only.
        side: price_crosses: where the price was last, None: where the first price is. Other comparisons with `value`:
            the side on which they have fired, and which must be left before they fire again; None: they can fire.
    """

    kind: Kind
    value: float | None = None
    window: float | None = None
    order_id: str | None = None
    side: Side | None = None

    @classmethod
    def read(
        cls, kind: str, *, value: float | None = None, window: float | None = None, order_id: str | None = None
    ) -> Self:
        """Return the condition that somebody wrote.

        Raises:
            Failure: INVALID_ARGUMENT for an unknown kind, and when something is missing, not needed, or out of range.
        """
        if (rule := _RULES.get(kind)) is None:
            hint = f"Choose from: {', '.join(_RULES)}."
            raise Failure(Code.INVALID_ARGUMENT, f"kind is {clean_text(kind, 40)!r}, which is none.", hint=hint)
        for name, argument in (("value", value), ("window", window), ("order_id", order_id)):
            if argument is None and name in rule.needs:
                raise Failure(Code.INVALID_ARGUMENT, f"{name} is missing, which {kind} needs.")
            if argument is not None and name not in rule.needs:
                raise Failure(Code.INVALID_ARGUMENT, f"{name} is not needed for {kind}; leave it out.")
        return cls(
            kind=cast("Kind", kind),
            value=None if value is None else _above_zero("value", value),
            window=None if window is None else _seconds(window),
            order_id=None if order_id is None else _id(order_id),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the condition that `to_dict` wrote.

        Raises:
            Failure: INVALID_ARGUMENT when it makes no sense.
        """
        if unknown := data.keys() - {"kind", "value", "window", "orderId", "side"}:
            names = clean_text(", ".join(sorted(unknown)), 80)
            raise Failure(Code.INVALID_ARGUMENT, f"condition has {names}, which it does not take.")
        kind, side = str(data.get("kind")), data.get("side")
        condition = cls.read(kind, value=data.get("value"), window=data.get("window"), order_id=data.get("orderId"))
        if side is not None and side not in _RULES[kind].sides:
            raise Failure(Code.INVALID_ARGUMENT, f"side is {clean_text(str(side), 40)!r}, which {kind} cannot have.")
        return replace(condition, side=side)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; what it does not have is left out."""
        fields = {
            "kind": self.kind, "value": self.value, "window": self.window, "orderId": self.order_id, "side": self.side,
        }  # fmt: skip
        return {name: value for name, value in fields.items() if value is not None}

    def words(self, symbol: str) -> str:
        """Return the condition on a symbol as one clause for a human."""
        return _RULES[self.kind].words.format(
            symbol=symbol,
            value=_plain(self.value),
            window=_plain(self.window),
            order_id=clean_text(self.order_id or "", 100),
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """The streams that it is seen on, the best first."""
        return _RULES[self.kind].channels

    @property
    def private(self) -> bool:
        """Whether it needs an account's streams."""
        return not {"orders", "positions"}.isdisjoint(self.channels)


def _above_zero(name: str, given: Any) -> float:
    amount = positive(given) if isinstance(given, (int, float)) else None
    if amount is None or not 0 < float(amount) < math.inf:
        raise Failure(Code.INVALID_ARGUMENT, f"{name} is {clean_text(str(given), 40)}; it must be a number above 0.")
    return float(amount)


def _seconds(given: Any) -> float:
    seconds = _above_zero("window", given)
    if not 1 <= seconds <= _LONGEST_S:
        raise Failure(Code.INVALID_ARGUMENT, f"window is {_plain(seconds)}; it must be 1 to {_LONGEST_S} seconds.")
    return seconds


def _id(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise Failure(Code.INVALID_ARGUMENT, "order_id is empty; it must be an order's id or client order id.")
    return given.strip()


def _plain(value: float | None) -> str:
    """Return a number without exponent and trailing zeros."""
    return "" if value is None else f"{Decimal(str(value)).normalize():f}"
