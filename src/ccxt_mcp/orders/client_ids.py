"""Client order ids: the name that we give an order before it is sent, in a form that its exchange accepts.

By that name an order is found again when its answer was lost. What ccxt does with it differs by exchange; the tables
say how, and a test drives ccxt with them. Lengths and alphabets are those of ccxt's own comments, checks and error
tables where it has any, else of the exchanges' documents; where neither says anything, 32 lower-case hex digits are
used, which every known form of free text accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

RANDOM_BITS = 128
_WORD = "A-Za-z0-9_-"


@dataclass(frozen=True, slots=True)
class Form:
    """What a client order id looks like.

    Attributes:
        pattern: what the whole id must match.
        make: makes an id of 128 random bits.
        least: the smallest number, where ids are numbers.
        most: the largest.
    """

    pattern: str
    make: Callable[[int], str]
    least: int = 0
    most: int | None = None

    def fits(self, text: str) -> bool:
        """Return whether an id has this form."""
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            return False
        return self.most is None or self.least <= int(text) <= self.most


def _text(longest: int, alphabet: str = _WORD, prefix: str = "") -> Form:
    digits = min(longest - len(prefix), 32)
    return Form(
        pattern=f"{prefix}[{alphabet}]{{1,{longest - len(prefix)}}}",
        make=lambda bits: prefix + f"{bits:032x}"[:digits],
    )


def _number(most: int, least: int = 1) -> Form:
    return Form(
        pattern="[1-9][0-9]{0,19}",
        make=lambda bits: str(least + bits % (most - least + 1)),
        least=least,
        most=most,
    )


_UUID = Form(
    pattern="[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    make=lambda bits: str(UUID(int=bits, version=4)),
)
_HEX128 = Form(pattern="0x[0-9a-f]{32}", make=lambda bits: f"0x{bits:032x}")
_HEX32 = Form(pattern="[0-9a-f]{32}", make=lambda bits: f"{bits:032x}")
_KRAKEN = Form(
    pattern=f"[{_WORD}]{{1,18}}|[0-9a-f]{{32}}|{_UUID.pattern}",
    make=_HEX32.make,
)
_ANY = _text(32)
_BINANCE = _text(36, ".A-Z:/a-z0-9_-")
_LETTERS = _text(32, "A-Za-z0-9")
_WORD36 = _text(36)
_INT53, _INT63 = _number(2**53 - 1), _number(2**63 - 1)

FORMS: Mapping[str, Form] = {
    **dict.fromkeys(("aster", "binance", "binancecoinm", "binanceus", "binanceusdm", "tokocrypto"), _BINANCE),
    **dict.fromkeys(("bigone", "bithumb", "bybit", "bybiteu", "bybitid", "cryptocom", "indodax"), _WORD36),
    **dict.fromkeys(("modetrade", "woofipro"), _WORD36),
    **dict.fromkeys(("blofin", "deepcoin", "myokx", "okx", "okxus", "xt"), _LETTERS),
    **dict.fromkeys(("kucoin", "kucoinfutures", "phemex", "weex"), _text(40)),
    **dict.fromkeys(("gate", "gateeu"), _text(28, "A-Za-z0-9._-", prefix="t-")),
    **dict.fromkeys(
        ("btcturk", "cex", "coinbase", "coinbaseexchange", "extended", "krakenfutures", "latoken", "onetrading",
         "pacifica", "revolutx", "zebpay"), _UUID,
    ),
    "backpack": _number(2**32 - 1),
    "bingx": _text(40, "A-Za-z0-9_"),
    "bitfinex": _number(2**45 - 1),
    "bitget": _text(50),
    "blockchaincom": _text(20),
    "bullish": _INT63,
    "coinmate": _INT53,
    "dydx": _number(2**32 - 1),
    "gemini": _text(99, "A-Za-z0-9:_.#-"),
    "grvt": _number(2**64 - 1, least=2**63),
    "htx": _INT63,  # its contracts take numbers only
    "hyperliquid": _HEX128,
    "kraken": _KRAKEN,
    "lighter": _number(2**31 - 1),
    "ndax": _INT53,
    "poloniex": _number(10**17 - 1),  # its error table speaks of 17 digits
    "polymarket": _HEX32,
    "woo": _INT53,
}  # fmt: skip
"""The form per exchange; those that are missing take `_ANY`."""

NO_CLIENT_ID = frozenset({
    "bit2c", "bitbank", "bitbns", "bitflyer", "bitopro", "bitso", "bitteam", "bitvavo", "btcbox", "coincheck",
    "coinone", "coinspot", "deribit", "digifinex", "hibachi", "hollaex", "independentreserve", "luno", "mercado",
    "mudrex", "nado", "p2b", "paymium", "zaif",
})  # fmt: skip
"""Exchanges whose orders do not show an id of ours through ccxt, whether or not they would take one."""

_CREATE: Mapping[str, str] = {
    **dict.fromkeys(("bequant", "fmfwio", "hitbtc", "coinbase", "indodax"), "client_order_id"),
    **dict.fromkeys(("btcturk", "coinsph", "toobit"), "newClientOrderId"),
    "bitfinex": "cid",
    "cryptocom": "client_oid",
}
"""The parameter of createOrder, where ccxt does not translate its own `clientOrderId`."""

_NUMBERS = frozenset({"bitfinex"})
"""Exchanges to which ccxt passes the id on as it is, and that want a number, not text."""

_UNIFIED = "clientOrderId"

_LOOKUPS: Mapping[str, Mapping[str, str]] = {
    "fetchOrder": {
        **dict.fromkeys(
            ("apex", "aster", "binance", "binancecoinm", "binanceus", "binanceusdm", "bitget", "bithumb", "bitstamp",
             "coinbaseexchange", "coinsph", "delta", "extended", "gate", "gateeu", "grvt", "hashkey", "htx",
             "hyperliquid", "kucoin", "kucoinfutures", "mexc", "modetrade", "myokx", "okx", "okxus", "paradex",
             "phemex", "weex", "woo", "woofipro"),
            _UNIFIED,
        ),
        **dict.fromkeys(("bequant", "fmfwio", "hitbtc"), "client_order_id"),
    },
    "cancelOrder": {
        **dict.fromkeys(
            ("apex", "aster", "binance", "binancecoinm", "binanceus", "binanceusdm", "bingx", "bitget", "bithumb",
             "bitrue", "blofin", "btse", "coinbaseexchange", "coinsph", "derive", "extended", "grvt", "hashkey", "htx",
             "hyperliquid", "kraken", "kucoin", "kucoinfutures", "mexc", "modetrade", "myokx", "ndax", "okx", "okxus",
             "onetrading", "paradex", "phemex", "toobit", "weex", "woo", "woofipro"),
            _UNIFIED,
        ),
        **dict.fromkeys(("bybit", "bybiteu", "bybitid"), "orderLinkId"),
        **dict.fromkeys(("bequant", "fmfwio", "hitbtc"), "client_order_id"),
    },
}  # fmt: skip
"""The parameter by which ccxt's method finds an order without the exchange's id.

Missing are exchanges where ccxt sends the missing id along, and kraken's fetchOrder, where it takes our id for another.
"""

_SPOT_ONLY: Mapping[str, frozenset[str]] = {
    "fetchOrder": frozenset({"hashkey", "mexc", "weex"}),
    "cancelOrder": frozenset({"mexc"}),
}
"""Exchanges of `_LOOKUPS` where that works on spot markets alone."""


def form(exchange: str) -> Form:
    """Return the form of an exchange's client order ids."""
    return FORMS.get(exchange, _ANY)


def takes_client_id(exchange: str) -> bool:
    """Return whether an order can be found again by an id of ours; else only by what it is and when it was placed."""
    return exchange not in NO_CLIENT_ID


def new_client_id(exchange: str, randbits: Callable[[int], int]) -> str:
    """Return an id that the exchange accepts and that was never used.

    Args:
        exchange: the exchange.
        randbits: returns so many random bits, such as `secrets.randbits`.
    """
    return form(exchange).make(randbits(RANDOM_BITS))


def fits(exchange: str, text: str) -> bool:
    """Return whether an exchange accepts a text as a client order id."""
    return form(exchange).fits(text)


def create_params(exchange: str, client_id: str) -> dict[str, Any]:
    """Return the `params` by which ccxt's createOrder gives an order our id; none where the exchange takes none."""
    if not takes_client_id(exchange):
        return {}
    value = int(client_id) if exchange in _NUMBERS else client_id
    return {_CREATE.get(exchange, _UNIFIED): value}


def lookup_params(
    exchange: str,
    method: Literal["fetchOrder", "cancelOrder"],
    client_id: str | None,
    *,
    contract: bool | None = None,
) -> dict[str, Any]:
    """Return the `params` by which a ccxt method finds an order by our id; none where it cannot.

    Args:
        exchange: the exchange.
        method: ccxt's method.
        client_id: our id.
        contract: whether the order's market is a contract; None where that is not known.
    """
    name = _LOOKUPS[method].get(exchange)
    if client_id is None or name is None or (contract is not False and exchange in _SPOT_ONLY[method]):
        return {}
    return {name: client_id}
