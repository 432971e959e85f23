"""Prices that money decisions are made with: the touch of a market, and what a currency is worth in dollars."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.orders.quote import Quote
from ccxt_mcp.orders.usd import Conversion, conversions, is_dollar

_BRIDGES = ("BTC", "ETH")  # through which a currency without a market in dollars is valued
_OLDEST_MS = 15_000  # a price that is older decides nothing


class Prices:
    """Fresh prices of an account's own environment; what is stale or missing is unknown, never guessed.

    Args:
        gateway: the way to the exchanges.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def quote(self, exchange: str, account: str, symbol: str) -> Quote:
        """Return the market's touch; unknown prices are None.

        Args:
            exchange: the exchange.
            account: the account in whose environment the order would be placed.
            symbol: ccxt's unified symbol.
        """
        ticker = await self._data(Call("fetchTicker", exchange, symbol=symbol, account=account))
        bid, ask = decimal_of(ticker.get("bid")), decimal_of(ticker.get("ask"))
        if bid is None or ask is None:
            bid, ask = await self._touch(exchange, account, symbol)
        return Quote(bid=bid, ask=ask, last=decimal_of(ticker.get("last")), mark=decimal_of(ticker.get("markPrice")))

    async def usd(self, exchange: str, account: str, currency: str) -> Decimal | None:
        """Return what one unit of a currency is worth in US dollars at the exchange; None where it has no such market.

        Dollar stablecoins count as one dollar each.
        """
        if is_dollar(currency):
            return Decimal(1)
        venue = await self._gateway.open(exchange, account)
        direct = await self._first(exchange, account, conversions(currency, venue.markets))
        if direct is not None:
            return direct
        for bridge in _BRIDGES:
            across = await self._first(exchange, account, _between(currency, bridge, venue.markets))
            dollars = (
                None if across is None else await self._first(exchange, account, conversions(bridge, venue.markets))
            )
            if across is not None and dollars is not None:
                return across * dollars
        return None

    async def _first(self, exchange: str, account: str, steps: Iterable[Conversion]) -> Decimal | None:
        for step in steps:
            quote = await self.quote(exchange, account, step.symbol)
            if quote.mid is not None:
                return 1 / quote.mid if step.inverted else quote.mid
        return None

    async def worth(self, exchange: str, account: str, amounts: Mapping[str, Decimal]) -> dict[str, Decimal | None]:
        """Return what each amount of a currency is worth in US dollars; None for those without a price."""
        rates = await asyncio.gather(*(self.usd(exchange, account, currency) for currency in amounts))
        return {
            currency: None if rate is None else amount * rate
            for (currency, amount), rate in zip(amounts.items(), rates, strict=True)
        }

    async def _touch(self, exchange: str, account: str, symbol: str) -> tuple[Decimal | None, Decimal | None]:
        book = await self._data(Call("fetchOrderBook", exchange, symbol=symbol, account=account))
        best = [(book.get(side) or [[None]])[0][0] for side in ("bids", "asks")]
        return decimal_of(best[0]), decimal_of(best[1])

    async def _data(self, call: Call) -> Mapping[str, Any]:
        answer = await self._gateway.call(call)
        fresh = answer.success and not answer.metadata.stale and answer.metadata.age_ms <= _OLDEST_MS
        return answer.data if fresh else {}


def has_market(currency: str, markets: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the markets of an exchange could tell what a currency is worth in dollars."""
    steps = (conversions(currency, markets), *(_between(currency, bridge, markets) for bridge in _BRIDGES))
    return is_dollar(currency) or any(next(iter(step), None) is not None for step in steps)


def _between(currency: str, bridge: str, markets: Mapping[str, Mapping[str, Any]]) -> Iterator[Conversion]:
    """Yield the spot markets that tell what a currency is worth in another one."""
    for symbol, inverted in ((f"{currency}/{bridge}", False), (f"{bridge}/{currency}", True)):
        if currency != bridge and symbol in markets and markets[symbol].get("active") is not False:
            yield Conversion(symbol, inverted)


def decimal_of(value: Any) -> Decimal | None:
    """Return a finite number as an exact decimal of the digits that it shows; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None
