"""Brokers: the paper accounts that are in use, each watching its market until the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ccxt_mcp.exchanges.accounts import Account
from ccxt_mcp.exchanges.venue import Broker, Venue
from ccxt_mcp.feed import GatewayFeed
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal.opener import LatePaper, Opener

Owner = tuple[str, str]
Markets = Mapping[str, Mapping[str, Any]]

_LOOK_EVERY = 5.0  # seconds between two looks at the market of an account with open orders or positions


class Brokers:
    """Makes brokers of paper accounts; one that was made goes on, however often its exchange is closed and opened.

    Args:
        gateway: gives the way to the exchanges, which is made after this.
        journal: opens the journal, where the accounts are kept.
    """

    def __init__(self, gateway: Callable[[], Gateway], journal: Opener) -> None:
        self._gateway = gateway
        self._store = LatePaper(journal)
        self._brokers: dict[Owner, Broker] = {}
        self._venues: dict[Owner, Venue] = {}
        self._markets: dict[Owner, Markets] = {}
        self._watching: set[asyncio.Task[None]] = set()

    def of(self, account: Account, venue: Venue) -> Broker:
        """Return the broker of a paper account.

        Args:
            account: whose it is.
            venue: the account's venue, whose markets may not be loaded yet.
        """
        from ccxt_mcp.paper.broker import PaperBroker  # noqa: PLC0415 - for who trades on paper

        owner = account.exchange, account.name
        self._venues[owner] = venue
        if (known := self._brokers.get(owner)) is not None:
            return known
        gateway = self._gateway()
        broker = PaperBroker(
            account.exchange,
            account.name,
            markets=lambda: self._markets_of(owner),
            feed=GatewayFeed(gateway, account.exchange),
            store=self._store,
            balances=account.balances,
            clock_ms=gateway.now_ms,
            precision_mode=venue.exchange.precisionMode,
        )
        self._brokers[owner] = broker
        self._watching.add(asyncio.create_task(broker.run(_LOOK_EVERY), name=f"paper {account.exchange}"))
        return broker

    def _markets_of(self, owner: Owner) -> Markets:
        """Return the exchange's markets as they were last loaded; a venue that is being opened has none yet."""
        loaded = self._venues[owner].markets or self._markets.get(owner, {})
        self._markets[owner] = loaded
        return loaded

    async def close(self) -> None:
        """Stop watching; what happens to open orders meanwhile is made up for at the next start."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        self._brokers.clear()
        self._venues.clear()
        self._markets.clear()
