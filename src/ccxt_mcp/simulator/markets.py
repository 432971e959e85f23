"""The markets of the simulated exchange: what can be traded, on which price and size grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["spot", "linear"]

LAUNCH = 1_577_836_800_000
"""Start of all history: 2020-01-01T00:00Z, in milliseconds."""


def scaled(units: int, decimals: int) -> str:
    """Write an integer count of 10**-decimals as a decimal string: 1234 with 2 decimals is '12.34'."""
    if decimals == 0:
        return str(units)
    digits = str(units).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin: its central price in USDT, its own daily volatility, and how far it follows the market."""

    name: str
    usd: float
    volatility: float
    beta: float = 0.0


ASSETS = {
    asset.name: asset
    for asset in (
        Asset("USDT", 1.0, 0.0),
        Asset("USDC", 1.0, 0.0001),
        Asset("EUR", 1.15, 0.002),
        Asset("BTC", 95_000.0, 0.010, 1.0),
        Asset("ETH", 3_300.0, 0.018, 1.2),
        Asset("SOL", 150.0, 0.025, 1.4),
        Asset("XRP", 2.2, 0.025, 1.1),
        Asset("DOGE", 0.16, 0.030, 1.4),
        Asset("ADA", 0.55, 0.025, 1.3),
        Asset("LTC", 92.0, 0.022, 0.9),
        Asset("LINK", 15.0, 0.025, 1.3),
        Asset("AVAX", 17.0, 0.028, 1.4),
        Asset("DOT", 2.9, 0.026, 1.3),
        Asset("EOS", 0.5, 0.030, 1.2),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One market. A price is a whole number of ticks of 10**-price_decimals, a size of lots of 10**-lot_decimals."""

    symbol: str
    category: Category
    base: str
    quote: str
    price_decimals: int
    lot_decimals: int
    daily_usd: float
    """Usual turnover of a day, in USDT."""
    pace: int
    """Most trades in one minute; at least half as many happen."""
    min_lots: int
    max_leverage: int = 0
    status: str = "Trading"

    @property
    def trading(self) -> bool:
        """Whether it trades; a market that does not is listed, and nothing else."""
        return self.status == "Trading"

    @property
    def tick(self) -> float:
        """The tick size as a number."""
        return 10.0**-self.price_decimals

    @property
    def daily_lots(self) -> int:
        """Usual volume of a day, in lots."""
        return int(self.daily_usd / ASSETS[self.base].usd * 10**self.lot_decimals)

    def price(self, ticks: int) -> str:
        """A price as the wire writes it."""
        return scaled(ticks, self.price_decimals)

    def size(self, lots: int) -> str:
        """A size as the wire writes it."""
        return scaled(lots, self.lot_decimals)

    def value(self, ticks_lots: int) -> str:
        """A turnover (sum of ticks times lots) as the wire writes it."""
        return scaled(ticks_lots, self.price_decimals + self.lot_decimals)


def _spot(
    base: str, quote: str, *, price: int, lot: int, millions: float, pace: int, least: int, status: str = "Trading"
) -> Market:
    return Market(
        symbol=base + quote,
        category="spot",
        base=base,
        quote=quote,
        price_decimals=price,
        lot_decimals=lot,
        daily_usd=millions * 1e6,
        pace=pace,
        min_lots=least,
        status=status,
    )


def _linear(base: str, quote: str, *, price: int, lot: int, millions: float, pace: int, leverage: int) -> Market:
    return Market(
        # Bybit names contracts that settle in USDC after the base alone: BTCPERP.
        symbol=base + ("PERP" if quote == "USDC" else quote),
        category="linear",
        base=base,
        quote=quote,
        price_decimals=price,
        lot_decimals=lot,
        daily_usd=millions * 1e6,
        pace=pace,
        min_lots=1,
        max_leverage=leverage,
    )


MARKETS: tuple[Market, ...] = (
    _spot("BTC", "USDT", price=1, lot=6, millions=600, pace=40, least=11),
    _spot("ETH", "USDT", price=2, lot=5, millions=400, pace=36, least=24),
    _spot("SOL", "USDT", price=2, lot=4, millions=200, pace=30, least=65),
    _spot("XRP", "USDT", price=4, lot=2, millions=150, pace=28, least=46),
    _spot("DOGE", "USDT", price=5, lot=1, millions=80, pace=24, least=62),
    _spot("ADA", "USDT", price=4, lot=2, millions=40, pace=20, least=182),
    _spot("LTC", "USDT", price=2, lot=5, millions=20, pace=18, least=1_087),
    _spot("LINK", "USDT", price=3, lot=3, millions=25, pace=18, least=67),
    _spot("AVAX", "USDT", price=3, lot=3, millions=20, pace=18, least=59),
    _spot("DOT", "USDT", price=4, lot=2, millions=15, pace=16, least=35),
    _spot("USDC", "USDT", price=4, lot=2, millions=90, pace=16, least=100),
    _spot("BTC", "USDC", price=1, lot=6, millions=60, pace=20, least=11),
    _spot("ETH", "USDC", price=2, lot=5, millions=40, pace=20, least=30),
    _spot("ETH", "BTC", price=6, lot=5, millions=15, pace=16, least=30),
    _spot("SOL", "BTC", price=7, lot=3, millions=5, pace=14, least=10),
    _spot("BTC", "EUR", price=1, lot=6, millions=30, pace=18, least=11),
    _spot("ETH", "EUR", price=2, lot=5, millions=15, pace=16, least=30),
    _spot("EOS", "USDT", price=4, lot=2, millions=1, pace=12, least=200, status="Closed"),
    _linear("BTC", "USDT", price=1, lot=3, millions=6_000, pace=60, leverage=100),
    _linear("ETH", "USDT", price=2, lot=2, millions=3_000, pace=50, leverage=100),
    _linear("SOL", "USDT", price=2, lot=1, millions=900, pace=40, leverage=100),
    _linear("XRP", "USDT", price=4, lot=1, millions=500, pace=36, leverage=75),
    _linear("DOGE", "USDT", price=5, lot=0, millions=300, pace=32, leverage=75),
    _linear("ADA", "USDT", price=4, lot=0, millions=120, pace=24, leverage=75),
    _linear("BTC", "USDC", price=1, lot=3, millions=250, pace=20, leverage=100),
)
