"""API keys: what each may do, and what the account behind it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

API_KEY = "simulator-key"
API_SECRET = "simulator-secret"  # noqa: S105 - opens nothing but the simulator

BALANCES: Mapping[str, Decimal] = {
    "USDT": Decimal(100_000),
    "USDC": Decimal(100_000),
    "EUR": Decimal(100_000),
    "BTC": Decimal(2),
    "ETH": Decimal(20),
    "SOL": Decimal(200),
    "XRP": Decimal(20_000),
    "DOGE": Decimal(200_000),
}
"""What an account owns before its first order."""

PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "ContractTrade": ("Order", "Position"),
    "Spot": ("SpotTrade",),
    "Wallet": (),
}
"""Bybit's names for the right to trade contracts and spot, and to move no money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What stands behind an API key. Each key has an account of its own.

    Attributes:
        secret: signs its requests.
        read_only: whether everything that would change something is refused.
        permissions: what it may do, as /v5/user/query-api tells it.
        balances: what its account begins with, by coin.
    """

    secret: str = field(repr=False)
    read_only: bool = False
    permissions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PERMISSIONS)
    balances: Mapping[str, Decimal] = field(default_factory=lambda: BALANCES)


KEYS: Mapping[str, Key] = {
    API_KEY: Key(secret=API_SECRET),
    "simulator-reader": Key(secret="simulator-reader-secret", read_only=True),  # noqa: S106 - as above
    "simulator-withdrawer": Key(
        secret="simulator-withdrawer-secret",  # noqa: S106 - as above
        permissions={**PERMISSIONS, "Wallet": ("AccountTransfer", "Withdraw")},
    ),
}
"""The keys that a simulator accepts unless told otherwise, by name."""
