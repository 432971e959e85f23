"""The doctor's look at money: whose keys are there, what they may do, and what the journal says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ccxt_mcp.cli.finding import Finding
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.accounts import Account
from ccxt_mcp.journal.opener import Opener
from ccxt_mcp.methods import ALLOWED, Tier, needed
from ccxt_mcp.server import House, build_house
from ccxt_mcp.settings import Settings


async def account_findings(settings: Settings, *, deadline: float) -> AsyncGenerator[Finding]:
    """Yield one finding for each account that has a name of its own, then those about the journal.

    Args:
        settings: the server's settings.
        deadline: seconds that each exchange has to tell what a key may do.
    """
    house = build_house(settings)
    try:
        for account in house.gateway.pool.accounts.all():
            yield await _account(house, account, deadline)
        yield await _journal(house.journal, settings)
    finally:
        await house.close()


async def _account(house: House, account: Account, deadline: float) -> Finding:
    about = f"{account.name} on {account.exchange} ({account.mode})"
    if account.source is None:
        return Finding("ok", "account", f"{about}: needs no keys")
    try:
        found = account.source.found()
    except Failure as failure:
        return Finding("fail", "account", f"{about}: {failure.message}", failure.hint)
    if not found:
        return Finding("warn", "account", f"{about}: no credentials", account.source.advice(()))
    orders = _orders(house.gateway.settings, account)
    return await _key(house, account, f"{about}: {', '.join(found)} from {account.source}; {orders}", deadline)


async def _key(house: House, account: Account, about: str, deadline: float) -> Finding:
    """Ask what the key may do; a key that can withdraw is a failure, for nothing here ever needs that."""
    try:
        async with asyncio.timeout(deadline):
            permissions = await house.gateway.key_permissions(account.exchange, account.name)
    except TimeoutError:
        return Finding("warn", "account", f"{about}; the key was not checked: no answer within {deadline:g} s")
    except Failure as failure:
        wrong = failure.code in {Code.CREDENTIALS_REJECTED, Code.CREDENTIALS_MISSING, Code.PERMISSION_DENIED}
        state = "fail" if wrong else "warn"
        return Finding(state, "account", f"{about}; the key was not checked: {failure.message}", failure.hint)
    if permissions is None:
        return Finding("ok", "account", f"{about}; {account.exchange} does not tell what the key may do")
    if permissions.warning is not None:
        return Finding("fail", "account", f"{about}; {permissions.warning}", "Make a new key without withdrawals.")
    may = [word for word in ("read", "trade") if getattr(permissions, word)]
    return Finding("ok", "account", f"{about}; the key may {' and '.join(may) or 'do nothing'}, and not withdraw")


def _orders(settings: Settings, account: Account) -> str:
    wanted = needed(Tier.TRADE, account.mode)
    allowed = ALLOWED.index(wanted) <= ALLOWED.index(settings.allow)
    return "orders are allowed" if allowed else f"no orders without --allow {wanted}"


async def _journal(journal: Opener, settings: Settings) -> Finding:
    if not journal.is_there:
        return Finding("ok", "journal", f"none yet; the first order makes it in {settings.data_dir}")
    try:
        opened = await journal()
        verified, unresolved, halts = await asyncio.gather(opened.verify(), opened.unresolved(), opened.halts())
    except Failure as failure:
        return Finding("fail", "journal", failure.message, failure.hint)
    if verified.first_bad is not None:
        advice = "Restore it from a backup, and find out who wrote to it."
        return Finding("fail", "journal", f"{opened.place}: row {verified.first_bad} {verified.why}", advice)
    told = f"{opened.place}: {verified.rows} rows, all sound"
    if unresolved:
        advice = "Start the server: it finds out what became of them. ccxt-mcp journal tells more."
        return Finding("warn", "journal", f"{told}; {len(unresolved)} orders with unknown outcome", advice)
    if halts:
        scopes = ", ".join(halt.scope for halt in halts)
        return Finding("warn", "journal", f"{told}; trading is halted: {scopes}", "ccxt-mcp resume ends it.")
    return Finding("ok", "journal", told)
