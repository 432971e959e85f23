"""Analytics over several exchanges at once."""

import asyncio
from collections import Counter
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from pydantic import Field

from ccxt_mcp.analytics.prices import Quote, compare_prices
from ccxt_mcp.call import Call
from ccxt_mcp.envelope import Envelope, Table, combined, error_dict
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.text import clean_text
from ccxt_mcp.tools import tool
from ccxt_mcp.tools.parameters import Symbol

_FAILED = ("exchange", "code", "reason", "message")


@tool("Compare prices")
async def analytics_compare_prices(
    gateway: Gateway,
    context: Context[Any, Any],
    symbol: Symbol,
    exchanges: Annotated[
        list[str] | None, Field(description="Exchange ids, at most 40; default: those opened.", max_length=40)
    ] = None,
) -> Envelope:
    """One symbol on many exchanges at once: best bid, best ask, gap, deviation and age of each, who failed and why."""
    named = list(dict.fromkeys(exchanges or gateway.pool.loaded()))
    if not named:
        raise Failure(
            Code.INVALID_ARGUMENT, "exchanges is empty and none is opened.", hint="Name two or more exchanges."
        )
    done = 0

    async def ask(exchange: str) -> Envelope:
        nonlocal done
        answer = await gateway.call(Call("fetchTicker", exchange, symbol=symbol))
        done += 1
        await context.report_progress(
            done, len(named), f"{clean_text(exchange, 40)} {'answered' if answer.success else 'failed'}"
        )
        return answer

    shown = [clean_text(exchange, 40) for exchange in named]
    answers = dict(zip(shown, await asyncio.gather(*map(ask, named)), strict=True))
    good = {exchange: answer for exchange, answer in answers.items() if answer.success}
    if not good:
        return gateway.failed(_nobody_answered(symbol, answers))
    market = Counter(answer.data["symbol"] for answer in good.values()).most_common(1)[0][0]
    same = {exchange: answer for exchange, answer in good.items() if answer.data["symbol"] == market}
    quotes = [Quote.of(exchange, answer.data, age_ms=answer.metadata.age_ms) for exchange, answer in same.items()]
    left_out = Table(
        _FAILED, [row for exchange, answer in answers.items() if (row := _left_out(exchange, answer, market))]
    )
    oldest = combined(list(same.values()))
    metadata = gateway.metadata(cached=oldest.cached, age_ms=oldest.age_ms, stale=oldest.stale)
    data = {"symbol": market} | compare_prices(quotes) | ({"failed": left_out} if left_out.rows else {})
    return Envelope(metadata, data=data)


def _left_out(exchange: str, answer: Envelope, market: str) -> list[Any] | None:
    """Return the row of an exchange that is not compared: it failed, or it meant another market by the symbol."""
    if answer.failure is not None:
        error = error_dict(answer.failure)
        return [exchange, error["code"], error["reason"], error["message"]]
    if answer.data["symbol"] == market:
        return None
    row = Code.AMBIGUOUS_SYMBOL.value
    return [exchange, row.taps, row.reason, f"Here the symbol means {answer.data['symbol']}, not {market}."]


def _nobody_answered(symbol: str, answers: dict[str, Envelope]) -> Failure:
    failures = {exchange: answer.failure for exchange, answer in answers.items() if answer.failure}
    codes = {failure.code for failure in failures.values()}
    details = {exchange: failure.message for exchange, failure in failures.items()}
    code = codes.pop() if len(codes) == 1 else Code.NETWORK
    return Failure(code, f"None of {len(answers)} exchanges answered for {clean_text(symbol, 40)}.", details=details)
