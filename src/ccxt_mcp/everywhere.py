"""Everywhere: a question about an account, asked in as many ways as its exchange needs to answer it in full.

Some exchanges keep spot and contracts apart, and many keep orders that wait for a price apart from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope, combined
from ccxt_mcp.exchanges.listing import Listing
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.gateway import Gateway

NOT_ALL = "There may be more than the exchange tells at once; ask for one symbol, or since another time."
"""What is said of a list that is not whole."""

_EVER = 1  # a `since` that leaves nothing out; ccxt turns no pages without one
_PAGED = {"paginate": True, "maxRetries": 0}


async def ask_everywhere(gateway: Gateway, call: Call, *, waiting: bool = True) -> Envelope:
    """Return the rows of all kinds of markets and orders; the first failure where one kind does not answer.

    Args:
        gateway: the way to the exchanges.
        call: a private read that gives a list; of one market where it names a symbol.
        waiting: whether orders that wait for a price are asked for too, where they are listed apart.
    """
    answers = await asyncio.gather(*(gateway.call(one) for one in await each_kind(gateway, call, waiting=waiting)))
    if failed := next((answer for answer in answers if not answer.success), None):
        return failed
    if len(answers) == 1:
        return answers[0]
    rows = {_identity(row): row for answer in answers for row in answer.data}
    return Envelope(combined(answers), data=list(rows.values()))


async def each_kind(gateway: Gateway, call: Call, *, waiting: bool = True) -> list[Call]:
    """Return the calls that together concern all markets, or the one that is named, and all orders in them."""
    venue = await gateway.account_venue(call.exchange, call.account)
    named = call.symbol is not None or call.symbols is not None
    calls: list[Call] = []
    for kind in [{}] if named else venue.kinds(call.method):
        listing = listing_of(venue, call.method, call.symbol, kind)
        calls.append(_fitted(call, listing, kind))
        if waiting and listing.apart:
            calls.append(_fitted(call, listing, {**kind, "trigger": True}))
    return calls


def listing_of(venue: Venue, method: str, symbol: str | None = None, kind: Mapping[str, Any] | None = None) -> Listing:
    """Return how an account's exchange lists; a broker of ours lists everything at once.

    Args:
        venue: the account's exchange.
        method: ccxt's unified name.
        symbol: of one market only.
        kind: of one kind of market only, as `Venue.kinds` tells it.
    """
    if venue.brokered(method):
        return Listing(most=None, apart=False, pages=False)
    market: Mapping[str, Any] | None = None
    if symbol is not None:
        market = venue.markets[venue.resolve(symbol)]
    elif kind:
        market = {"type": kind["type"], "linear": kind.get("subType") != "inverse"}
    return Listing.of(venue.exchange, method, market)


def is_whole(venue: Venue, call: Call, rows: Sequence[Any]) -> bool:
    """Return whether a list has fewer rows than a page of it could have had, so that none are on another page."""
    listing = listing_of(venue, call.method, call.symbol)
    bounds = (listing.most, None if listing.pages else call.arguments.get("limit"))
    return len(rows) < min((bound for bound in bounds if bound is not None), default=inf)


def _fitted(call: Call, listing: Listing, params: Mapping[str, Any]) -> Call:
    """Return a call in one of its forms, for as many rows as the exchange gives at once."""
    arguments: dict[str, Any] = dict(call.arguments)
    given: Mapping[str, Any] = arguments.get("params") or {}
    if call.method.startswith("fetch") and listing.pages:
        arguments = {**arguments, "since": arguments.get("since") or _EVER, "limit": None}
        given = {**given, **_PAGED}
    elif call.method.startswith("fetch") and listing.most is not None:
        arguments["limit"] = min(arguments.get("limit") or listing.most, listing.most)
    whole = {**given, **params}
    return replace(call, arguments={**arguments, "params": whole} if whole else arguments)


def _identity(row: dict[str, Any]) -> Any:
    return row.get("id") or (row.get("symbol"), row.get("side"))
