"""Testnets: an instance is pointed at its exchange's testnet wholly, or not at all."""

from __future__ import annotations

import copy
from typing import Any

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.quirks import DEMO_TESTNETS, HEADER_TESTNETS, TESTNETS_SHARING_DATA, lineage


def enter_testnet(exchange: Any) -> None:
    """Point an instance at its exchange's testnet, or refuse; never leave it on production by accident.

    ccxt's `set_sandbox_mode` leaves production URLs in place where an exchange has no testnet.

    Raises:
        Failure: TESTNET_NOT_SUPPORTED.
    """
    production = copy.deepcopy(exchange.urls["api"])
    ids = lineage(type(exchange))
    by_header = bool(ids & HEADER_TESTNETS)
    if exchange.urls.get("demo") and ids & DEMO_TESTNETS:
        exchange.enable_demo_trading(True)
    elif exchange.urls.get("test") or by_header:
        exchange.set_sandbox_mode(True)
    else:
        raise Failure(Code.TESTNET_NOT_SUPPORTED, f"{exchange.id} has no testnet.")
    shares_data = by_header or ids & TESTNETS_SHARING_DATA
    if not shares_data and _hosts(exchange.urls["api"]) & _hosts(production):
        raise Failure(Code.TESTNET_NOT_SUPPORTED, f"{exchange.id} keeps production addresses in its testnet.")


def _hosts(urls: Any) -> set[str]:
    if isinstance(urls, dict):
        return set().union(*(_hosts(value) for value in urls.values()))
    return {urls} if isinstance(urls, str) else set()
