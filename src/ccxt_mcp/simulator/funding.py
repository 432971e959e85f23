"""What contracts have beyond price: index, mark, funding and open interest. Every figure is a pure function of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .noise import noise_key, unit
from .prices import SESSION_MS, Prices

if TYPE_CHECKING:
    from .markets import Market
    from .tape import Tape

OPEN_INTEREST_MS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}

_INTEREST = 0.0001
_DAMPER = 0.0005


@dataclass(frozen=True, slots=True)
class Contract:
    """One perpetual contract. `spot` is the tape of the spot market that is its index, on the same price grid."""

    market: Market
    prices: Prices
    spot: Tape
    seed: int

    def index(self, now: int) -> int:
        """The index price in ticks: the last price of the spot market."""
        return self.spot.last(now).price

    def mark(self, now: int) -> int:
        """The mark price in ticks: the index and the premium, which moves evenly from one funding to the next."""
        session, passed = divmod(now, SESSION_MS)
        start, end = (self.prices.premium(self.market, boundary) for boundary in (session, session + 1))
        return round(self.index(now) * (1 + start + (end - start) * passed / SESSION_MS))

    def funding_rate(self, session: int) -> float:
        """The rate paid at the end of a session, known from its start.

        Bybit: F = P + clamp(I - P, -0.05 %, 0.05 %), I = 0.01 % for eight hours; P here is the premium at the
        session's start.
        """
        premium = self.prices.premium(self.market, session)
        return premium + min(max(_INTEREST - premium, -_DAMPER), _DAMPER)

    def open_interest(self, now: int) -> int:
        """Open interest in lots, which changes every five minutes."""
        step = now // OPEN_INTEREST_MS["5min"]
        key = noise_key(self.seed, self.market.symbol, "open interest")
        day, rest = divmod(step, 288)
        slow = unit(key, day) + (unit(key, day + 1) - unit(key, day)) * rest / 288
        return int(self.market.daily_lots * (0.35 + 0.1 * slow + 0.002 * unit(key, -step)))
