"""Market rules: what an exchange says of a market, as exact numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from ccxt_mcp.orders.number import known, positive
from ccxt_mcp.orders.precision import UNTOLD, Precision


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most that is taken; None where there is no bound."""

    least: Decimal | None = None
    most: Decimal | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return ccxt's `{"min": …, "max": …}`; zero is no bound."""
        value = value or {}
        return cls(positive(value.get("min")), positive(value.get("max")))


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """A market as orders see it.

    Attributes:
        symbol: ccxt's unified symbol.
        kind: spot, margin, swap, future or option.
        base: the currency that is traded.
        quote: the currency that prices are in.
        settle: the currency that a contract settles in.
        contract: whether amounts are numbers of contracts.
        linear: a contract of `contract_size` base.
        inverse: a contract of `contract_size` quote.
        contract_size: see above; 1 on spot, None where the exchange does not tell.
        active: whether it trades; None where the exchange does not tell.
        amount: precision of amounts, in base or contracts.
        price: precision of prices.
        cost: precision of costs, in quote.
        amounts: bounds of an order's amount, in base or contracts.
        prices: bounds of its price.
        costs: bounds of amount times price, in quote.
        leverages: bounds of the leverage of a position.
        maker: fee rate of an order that rests, as a fraction; negative is a rebate.
        taker: fee rate of an order that takes.
    """

    symbol: str
    kind: str
    base: str
    quote: str
    settle: str | None = None
    contract: bool = False
    linear: bool = False
    inverse: bool = False
    contract_size: Decimal | None = Decimal(1)
    active: bool | None = None
    amount: Precision = UNTOLD
    price: Precision = UNTOLD
    cost: Precision = UNTOLD
    amounts: Bounds = Bounds()
    prices: Bounds = Bounds()
    costs: Bounds = Bounds()
    leverages: Bounds = Bounds()
    maker: Decimal | None = None
    taker: Decimal | None = None

    @classmethod
    def of(cls, market: Mapping[str, Any], *, precision_mode: int) -> Self:
        """Return the rules of one of ccxt's markets.

        Args:
            market: ccxt's unified market structure.
            precision_mode: the exchange's `precisionMode`.
        """
        precision, limits = market.get("precision") or {}, market.get("limits") or {}
        contract = bool(market.get("contract")) or market.get("type") in {"swap", "future", "option"}
        price = Precision.of(precision.get("price"), precision_mode)
        own_cost = Precision.of(precision.get("cost"), precision_mode)
        return cls(
            symbol=str(market["symbol"]),
            kind=str(market.get("type") or "spot"),
            base=str(market.get("base") or ""),
            quote=str(market.get("quote") or ""),
            settle=market.get("settle"),
            contract=contract,
            linear=contract and market.get("linear") is True,
            inverse=contract and market.get("inverse") is True and market.get("linear") is not True,
            contract_size=positive(market.get("contractSize")) if contract else Decimal(1),
            active=market.get("active"),
            amount=Precision.of(precision.get("amount"), precision_mode),
            price=price,
            cost=price if own_cost == UNTOLD else own_cost,
            amounts=Bounds.of(limits.get("amount")),
            prices=Bounds.of(limits.get("price")),
            costs=Bounds.of(limits.get("cost")),
            leverages=Bounds.of(limits.get("leverage")),
            maker=known(market.get("maker")),
            taker=known(market.get("taker")),
        )

    @property
    def valued(self) -> bool:
        """Whether amount and price alone tell what is at stake.

        Not so for options, whose price is not their risk, for quanto contracts, and where the contract size is unknown.
        """
        if not self.contract:
            return True
        return self.kind != "option" and (self.linear or self.inverse) and self.contract_size is not None

    @property
    def unit(self) -> str:
        """What the exchange counts amounts in, for messages."""
        return "contracts" if self.contract else self.base
