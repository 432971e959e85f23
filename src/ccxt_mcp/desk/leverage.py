"""Leverage: how many times its margin a position may be worth, within the account's limit."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ccxt_mcp.call import Call, Sent
from ccxt_mcp.desk.approvals import Wish
from ccxt_mcp.desk.confirmation import Approver, question_line
from ccxt_mcp.desk.desk import Desk
from ccxt_mcp.desk.exits import Target
from ccxt_mcp.envelope import Envelope, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.venue import Venue
from ccxt_mcp.journal import Intent, NewIntent
from ccxt_mcp.orders.limits import Limits, check_leverage
from ccxt_mcp.orders.market import MarketRules
from ccxt_mcp.orders.rules import check_leverage as in_bounds

if TYPE_CHECKING:
    from ccxt_mcp.journal.journal import Journal

_ATTEMPTS = 2  # setting the same thing twice does no more than setting it once


class Leverage:
    """Sets leverage and margin mode of one market.

    Args:
        desk: whose journal, limits and confirmation are used.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._gateway = desk.gateway

    async def set(self, target: Target, leverage: Decimal, margin_mode: str | None, approver: Approver) -> Envelope:
        """Set it, and return what is set.

        Args:
            target: exchange, account and symbol.
            leverage: times the margin.
            margin_mode: cross or isolated; None leaves it as it is.
            approver: the way to the human, who is asked where money is real.

        Raises:
            Failure: out of the market's or the account's bounds, not agreed to, refused, or OUTCOME_UNKNOWN.
        """
        venue = await self._gateway.account_venue(target.exchange, target.account, method="setLeverage")
        venue.require("setLeverage")
        symbol = venue.resolve(target.symbol or "")
        account = venue.key.account or ""
        leverage = in_bounds(
            leverage, MarketRules.of(venue.markets[symbol], precision_mode=venue.exchange.precisionMode)
        )
        check_leverage(Limits.of(venue.key.mode, *self._gateway.settings.limits_of(account)), leverage)
        journal = await self._desk.journal()
        facts = {"symbol": symbol, "leverage": str(leverage), "marginMode": margin_mode}
        fingerprint = f"leverage {target.exchange} {account} {symbol} {leverage.normalize()} {margin_mode}"
        ticket = None
        if venue.key.mode == "live":
            line = question_line("Set this leverage", target.exchange, account, venue.key.mode, facts)
            wish = Wish(fingerprint, target.exchange, account, target.who, line, facts)
            ticket = await self._desk.approvals.approved(journal, wish, approver)
        reserved = await journal.reserve(
            _intent(venue, facts, fingerprint, target), check=lambda _: None, ticket=ticket
        )
        return await asyncio.shield(self._desk.own(self._carry_out(journal, venue, reserved.intent, symbol, facts)))

    async def _carry_out(
        self, journal: Journal, venue: Venue, intent: Intent, symbol: str, facts: dict[str, Any]
    ) -> Envelope:
        steps: list[tuple[str, dict[str, Any]]] = [("setLeverage", {"leverage": float(facts["leverage"])})]
        if facts["marginMode"] is not None:
            steps.insert(0, ("setMarginMode", {"marginMode": facts["marginMode"]}))
        sent: Sent | None = None
        for method, arguments in steps:
            sent = await self._send(Call(method, intent.exchange, symbol, arguments=arguments, account=intent.account))
            if sent.failure is not None and not await self._is_so(venue, method, symbol, facts, sent.failure):
                failure = sent.failure if sent.fate != "unknown" else _doubt(method, sent.failure)
                if method == "setLeverage" and facts["marginMode"] is not None:
                    told = f"The margin mode is {facts['marginMode']}. {failure.message}"
                    failure = Failure(failure.code, told, hint=failure.hint, retry_after=failure.retry_after)
                await journal.settle(intent.id, "rejected", error=error_dict(failure))
                raise failure
        await journal.settle(intent.id, "accepted", order=facts)
        told = {name: item for name, item in facts.items() if item is not None}
        metadata = self._gateway.metadata(exchange=intent.exchange, mode=venue.key.mode, account=intent.account)
        return Envelope(metadata, data=told | {"leverage": float(facts["leverage"])})

    async def _is_so(self, venue: Venue, method: str, symbol: str, facts: dict[str, Any], failure: Failure) -> bool:
        """Whether what was asked for is set all the same: some exchanges refuse to set what is set already."""
        if failure.code is Code.UNCHANGED:
            return True
        return method == "setLeverage" and await self._desk.standing.leverage(venue, symbol) == Decimal(
            facts["leverage"]
        )

    async def _send(self, call: Call) -> Sent:
        sent = await self._gateway.send(call)
        for _ in range(_ATTEMPTS - 1):
            if sent.fate != "unknown" or self._gateway.time_left() <= 0:
                break
            sent = await self._gateway.send(call)
        return sent


def _doubt(method: str, failure: Failure) -> Failure:
    """Return that nobody knows whether it is set; it holds no order back, since it may simply be set again."""
    return Failure(
        Code.OUTCOME_UNKNOWN,
        f"Whether {method} arrived is not known: {failure.message}",
        hint="It may be repeated: call again.",
    )


def _intent(venue: Venue, facts: dict[str, Any], fingerprint: str, target: Target) -> NewIntent:
    own_id = f"leverage-{uuid4().hex}"
    return NewIntent(
        exchange=venue.key.exchange,
        account=venue.key.account or "",
        mode=venue.key.mode,
        kind="leverage",
        client_order_id=own_id,
        sent_id=own_id,
        fingerprint=fingerprint,
        request=facts,
        notional_usd=Decimal(0),
        raises_risk=True,
        who=target.who,
        tool=target.tool,
    )
