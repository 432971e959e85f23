"""The exchange's markets as the engine needs them, each made of ccxt's when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.paper.engine import Market
from ccxt_mcp.paper.feed import number_of
from ccxt_mcp.text import clean_text

_DECIMAL_PLACES = 2  # ccxt's precisionMode; 4 counts in steps, and 3 in significant digits, which fit no grid
_TICK_SIZE = 4
_USUAL_FEE = Decimal("0.001")
_USUAL_LEVERAGE = Decimal(20)
_MAINTENANCE = Decimal("0.005")
_FINE = Decimal("0.000001")


class PaperMarkets:
    """Markets by symbol: spot, and perpetual linear contracts; others are not among them.

    Args:
        markets: ccxt's markets by symbol, as they are loaded now.
        precision_mode: ccxt's `precisionMode` of the exchange.
    """

    def __init__(self, markets: Callable[[], Mapping[str, Mapping[str, Any]]], precision_mode: int) -> None:
        self._markets = markets
        self._mode = precision_mode
        self._made: dict[str, tuple[Mapping[str, Any], Market]] = {}

    @property
    def loaded(self) -> bool:
        """Whether the exchange's markets are there."""
        return bool(self._markets())

    def get(self, symbol: str, /) -> Market | None:
        """Return a market; None for what is not listed, or cannot be traded on paper."""
        market = self._markets().get(symbol)
        if market is None or _unsuited(market):
            return None
        made = self._made.get(symbol)
        if made is None or made[0] is not market:
            made = self._made[symbol] = market, self._make(market)
        return made[1]

    def require(self, symbol: str) -> Market:
        """Return a market that can be traded on paper.

        Raises:
            Failure: UNKNOWN_SYMBOL, or METHOD_NOT_SUPPORTED for what is neither spot nor a perpetual linear contract.
        """
        if (market := self.get(symbol)) is not None:
            return market
        if (listed := self._markets().get(symbol)) is None:
            raise Failure(Code.UNKNOWN_SYMBOL, f"There is no market {clean_text(str(symbol), 60)!r} here.")
        raise Failure(
            Code.METHOD_NOT_SUPPORTED,
            f"{symbol} is {_unsuited(listed)}; paper accounts trade spot and perpetual linear contracts.",
            hint="Take a spot market or a linear perpetual, such as BTC/USDT or BTC/USDT:USDT.",
        )

    def require_active(self, symbol: str) -> Market:
        """Return a market in which orders can be placed now.

        Raises:
            Failure: as `require`, or MARKET_INACTIVE.
        """
        market = self.require(symbol)
        if self._markets()[market.symbol].get("active") is False:
            raise Failure(Code.MARKET_INACTIVE, f"{symbol} does not trade now.")
        return market

    def currencies(self) -> set[str]:
        """Return the currencies that the markets are traded and settled in."""
        return {
            str(market[part]) for market in self._markets().values() for part in ("base", "quote") if market.get(part)
        }

    def _make(self, market: Mapping[str, Any]) -> Market:
        limits, precision = market.get("limits") or {}, market.get("precision") or {}
        amount, cost, leverage = (limits.get(name) or {} for name in ("amount", "cost", "leverage"))
        contract = market.get("contract") is True
        most = max(Decimal(1), number_of(leverage.get("max")) or _USUAL_LEVERAGE)
        return Market(
            symbol=str(market["symbol"]),
            base=str(market["base"]),
            quote=str(market["quote"]),
            settle=str(market["settle"]) if contract else None,
            contract_size=(_positive(market.get("contractSize")) or Decimal(1)) if contract else Decimal(1),
            price_step=self._step(precision.get("price")),
            amount_step=self._step(precision.get("amount")),
            min_amount=_positive(amount.get("min")),
            max_amount=_positive(amount.get("max")),
            min_cost=_positive(cost.get("min")),
            maker=_fee(market.get("maker")),
            taker=_fee(market.get("taker")),
            max_leverage=most,
            # Half of the margin at the highest leverage, as exchanges have it.
            maintenance=min(_MAINTENANCE, (1 / (2 * most)).quantize(_FINE)),
        )

    def _step(self, precision: Any) -> Decimal | None:
        number = number_of(precision)
        if number is None or self._mode not in {_DECIMAL_PLACES, _TICK_SIZE}:
            return None
        if self._mode == _DECIMAL_PLACES:
            return Decimal(1).scaleb(-int(number))
        return number if number > 0 else None


def _unsuited(market: Mapping[str, Any]) -> str:
    """Return what a market is that cannot be traded on paper; nothing for one that can."""
    if market.get("option"):
        return "an option"
    if market.get("future"):
        return "a dated future"
    if market.get("contract") and market.get("linear") is not True:
        return "an inverse contract"
    return "" if market.get("contract") or market.get("spot") else "no market for trading"


def _positive(value: Any) -> Decimal | None:
    number = number_of(value)
    return number if number is not None and number > 0 else None


def _fee(rate: Any) -> Decimal:
    number = number_of(rate)
    return _USUAL_FEE if number is None else number
