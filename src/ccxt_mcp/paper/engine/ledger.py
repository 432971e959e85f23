"""What an account owns: free to use, or held for its open orders and positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .money import ZERO, exact, text
from .refusal import Reason, Refused


@dataclass(frozen=True, slots=True)
class Balance:
    """One currency: what may be used, and what open orders and positions hold."""

    free: Decimal = ZERO
    used: Decimal = ZERO

    @property
    @exact
    def total(self) -> Decimal:
        """Everything owned; unrealised profit is not owned yet."""
        return self.free + self.used


class Ledger:
    """Balances by currency. Neither part of a balance is ever negative."""

    def __init__(self, balances: Mapping[str, Balance] | None = None) -> None:
        self._balances: dict[str, Balance] = dict(balances or {})

    def __getitem__(self, currency: str) -> Balance:
        return self._balances.get(currency, Balance())

    def balances(self) -> dict[str, Balance]:
        """All currencies that were ever owned, by name."""
        return dict(self._balances)

    def receive(self, currency: str, amount: Decimal) -> None:
        """Add to what is free."""
        self._change(currency, amount, ZERO)

    def pay(self, currency: str, amount: Decimal) -> None:
        """Take from what is free."""
        self.require(currency, amount)
        self._change(currency, -amount, ZERO)

    def hold(self, currency: str, amount: Decimal) -> None:
        """Set aside what is free."""
        self.require(currency, amount)
        self._change(currency, -amount, amount)

    def release(self, currency: str, amount: Decimal) -> None:
        """Free what was held."""
        self._change(currency, amount, -amount)

    def lose(self, currency: str, amount: Decimal) -> None:
        """Take from what is held."""
        self._change(currency, ZERO, -amount)

    def require(self, currency: str, amount: Decimal) -> None:
        """Raise Refused unless an amount is free."""
        free = self[currency].free
        if amount > free:
            raise Refused(
                Reason.INSUFFICIENT_BALANCE,
                f"This needs {text(amount)} {currency}, and {text(free)} {currency} are free.",
            )

    def _change(self, currency: str, free: Decimal, used: Decimal) -> None:
        before = self[currency]
        after = Balance(before.free + free, before.used + used)
        if after.free < 0 or after.used < 0:
            raise ArithmeticError(f"{currency} would be {text(after.free)} free and {text(after.used)} used")
        self._balances[currency] = after
