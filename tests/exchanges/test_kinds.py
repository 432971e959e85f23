"""Kinds and lists: a question about everything is asked in all ways that it takes, and no page passes for a whole."""

from __future__ import annotations

from typing import Any

import ccxt.async_support as ccxt
import pytest

from ccxt_mcp.exchanges.kinds import SPLITS, kinds_of
from ccxt_mcp.exchanges.lazy import exchange_ids
from ccxt_mcp.exchanges.listing import Listing
from ccxt_mcp.methods import METHODS

BYBIT, OKX, KRAKEN = frozenset({"bybit"}), frozenset({"okx"}), frozenset({"kraken"})


def market(kind: str, settle: str | None = None, *, inverse: bool = False, active: bool = True) -> dict[str, Any]:
    return {
        "type": kind, "contract": settle is not None, "inverse": inverse, "settle": settle,
        "settleId": settle, "active": active,
    }  # fmt: skip


MARKETS = {
    "BTC/USDT": market("spot"),
    "ETH/USDT": market("spot"),
    "BTC/USDT:USDT": market("swap", "USDT"),
    "BTC/USDC:USDC": market("swap", "USDC"),
    "BTC/USD:BTC": market("swap", "BTC", inverse=True),
    "OLD/USDT:USDT": market("future", "USDT", active=False),
}


def test_each_kind_of_market_is_asked_once() -> None:
    assert kinds_of("fetchOpenOrders", BYBIT, MARKETS) == [
        {"type": "spot"},
        {"type": "swap", "subType": "linear", "settleCoin": "USDT"},
        {"type": "swap", "subType": "linear", "settleCoin": "USDC"},
        {"type": "swap", "subType": "inverse", "settleCoin": "BTC"},
    ]


def test_where_settlement_makes_no_difference_it_is_not_told() -> None:
    assert kinds_of("fetchClosedOrders", OKX, MARKETS) == [
        {"type": "spot"},
        {"type": "swap", "subType": "linear"},
        {"type": "swap", "subType": "inverse"},
    ]


def test_positions_are_asked_of_contracts_only() -> None:
    assert {"type": "spot"} not in kinds_of("fetchPositions", BYBIT, MARKETS)
    assert kinds_of("fetchPositions", BYBIT, {"BTC/USDT": MARKETS["BTC/USDT"]}) == [{}]


def test_where_one_question_is_enough_one_is_asked() -> None:
    assert kinds_of("fetchOpenOrders", KRAKEN, MARKETS) == [{}]
    assert kinds_of("fetchBalance", BYBIT, MARKETS) == [{}]
    assert kinds_of("fetchOpenOrders", BYBIT, {}) == [{}]


def test_every_split_is_of_a_method_that_is_called_and_of_an_exchange_that_exists() -> None:
    assert SPLITS.keys() <= METHODS.keys()
    assert frozenset().union(*SPLITS.values()) <= set(exchange_ids())


@pytest.mark.parametrize(
    ("exchange", "method", "kind", "expected"),
    [
        ("bybit", "fetchOpenOrders", {"type": "spot"}, Listing(500, apart=False, pages=True)),
        ("bybit", "fetchClosedOrders", {"type": "spot"}, Listing(50, apart=False, pages=False)),
        ("bybit", "fetchCanceledAndClosedOrders", None, Listing(50, apart=False, pages=False)),
        ("bybit", "cancelAllOrders", {"type": "spot"}, Listing(50, apart=True, pages=False)),
        ("bybit", "cancelOrder", {"type": "spot"}, Listing(50, apart=True, pages=False)),
        ("okx", "fetchOpenOrders", {"type": "swap", "linear": True}, Listing(100, apart=True, pages=False)),
        ("okx", "fetchClosedOrders", None, Listing(100, apart=True, pages=False)),
        ("okx", "cancelOrder", {"type": "spot"}, Listing(100, apart=True, pages=False)),
        ("okx", "fetchMyTrades", {"type": "spot"}, Listing(100, apart=False, pages=False)),
        ("binance", "fetchOpenOrders", {"type": "spot"}, Listing(None, apart=False, pages=False)),
        ("binance", "fetchOpenOrders", {"type": "swap", "linear": True}, Listing(500, apart=True, pages=False)),
        ("kraken", "fetchOpenOrders", {"type": "spot"}, Listing(None, apart=False, pages=False)),
    ],
)
def test_how_an_exchange_lists_is_what_ccxt_declares(
    exchange: str, method: str, kind: dict[str, Any] | None, expected: Listing
) -> None:
    assert Listing.of(getattr(ccxt, exchange)(), method, kind) == expected


@pytest.mark.parametrize("exchange", exchange_ids())
def test_every_exchange_lists_somehow(exchange: str) -> None:
    instance = getattr(ccxt, exchange)()
    for method in ("fetchOpenOrders", "fetchOrders", "fetchClosedOrders", "fetchMyTrades", "cancelOrder"):
        listing = Listing.of(instance, method, None)
        assert listing.most is None or listing.most > 0
