"""Brokers: the paper accounts that are in use, each watching its market until the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ccxt_mcp.exchanges.accounts import Account
from ccxt_mcp.exchanges.venue import Broker, Venue
from ccxt_mcp.feed import GatewayFeed
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.journal.opener import LatePaper, Opener

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
        self._brokers: dict[tuple[str, str], Broker] = {}
        self._watching: set[asyncio.Task[None]] = set()

    def of(self, account: Account, venue: Venue) -> Broker:
        """Return the broker of a paper account.

        Args:
            account: whose it is.
            venue: the account's venue, with the exchange's markets.
        """
        from ccxt_mcp.paper.broker import PaperBroker  # noqa: PLC0415 - for who trades on paper

        known = self._brokers.get((account.exchange, account.name))
        if known is not None:
            return known
        gateway = self._gateway()
        broker = PaperBroker(
            account.exchange,
            account.name,
            markets=lambda: venue.markets,
            feed=GatewayFeed(gateway, account.exchange),
            store=self._store,
            balances=account.balances,
            clock_ms=gateway.now_ms,
            precision_mode=venue.exchange.precisionMode,
        )
        self._brokers[account.exchange, account.name] = broker
        self._watching.add(asyncio.create_task(broker.run(_LOOK_EVERY), name=f"paper {account.exchange}"))
        return broker

    async def close(self) -> None:
        """Stop watching; what happens to open orders meanwhile is made up for at the next start."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        self._brokers.clear()
