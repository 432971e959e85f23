"""Resources, prompts and completion: what a client may read or offer besides the tools."""

from functools import partial
from typing import Any

import orjson
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from ccxt_mcp.envelope import Envelope
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.tools.answer import answer
from ccxt_mcp.tools.exchange import exchange_list, exchange_markets
from ccxt_mcp.tools.system import system_health

JSON = "application/json"
_COMPLETIONS = 100  # the protocol's most


_MISSING = frozenset({Code.UNKNOWN_EXCHANGE, Code.UNKNOWN_SYMBOL, Code.AMBIGUOUS_SYMBOL, Code.INVALID_ARGUMENT})


def content_of(envelope: Envelope, *, cap: int) -> str:
    """Return an answer as the content of a resource.

    Args:
        envelope: the answer.
        cap: bytes that the content does not exceed.

    Raises:
        ResourceError: the answer is a failure; ResourceNotFoundError where there is no such thing.
    """
    if envelope.failure is not None:
        raise failed(envelope.failure)
    return orjson.dumps(answer(envelope, cap=cap).structured_content).decode()


def failed(failure: Failure) -> ResourceError:
    """Return the error of a resource that could not be read."""
    return (ResourceNotFoundError if failure.code in _MISSING else ResourceError)(failure.message)


def add_resources(server: MCPServer[Any], gateway: Gateway) -> None:
    """Offer the exchanges, the markets of each and the server's health as resources."""
    content = partial(content_of, cap=gateway.settings.answer_cap)

    @server.resource("ccxt://exchanges", title="Exchanges", mime_type=JSON)
    async def exchanges() -> str:  # pyright: ignore[reportUnusedFunction]
        """Every exchange that can be asked."""
        return content(await exchange_list(gateway, limit=1000))

    @server.resource("ccxt://health", title="Health", mime_type=JSON)
    async def health() -> str:  # pyright: ignore[reportUnusedFunction]
        """How the server and the opened exchanges are doing."""
        return content(await system_health(gateway))

    @server.resource("ccxt://{exchange}/markets", title="Markets of an exchange", mime_type=JSON)
    async def markets(exchange: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """The active markets of an exchange."""
        return content(await exchange_markets(gateway, exchange, limit=1000))


def add_prompts(server: MCPServer[Any]) -> None:
    """Offer two questions that a trader asks every day."""

    @server.prompt(title="Market brief")
    def market_brief(exchange: str, symbol: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """Trend, liquidity and funding of one market, from its own data."""
        return (
            f"Brief me on {symbol} at {exchange}. Use market_ticker, market_orderbook, market_ohlcv (1d and 1h, closed "
            "candles) and, for a perpetual, market_funding. Say what the price did, where it trades in its range, "
            "how deep the book is within 1 %, what funding says, how old each figure is, and what is missing. "
            "Give no advice that the figures do not carry."
        )

    @server.prompt(title="Where to trade")
    def best_venue(symbol: str, exchanges: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """Compare venues for one symbol by price, spread and depth."""
        return (
            f"Find the best of these exchanges to trade {symbol}: {exchanges}. Use analytics_compare_prices, then "
            "market_orderbook on the three best. Rank them by spread and depth within 0.5 %, name the age of each "
            "quote and who failed and why, and remind me that fees and withdrawals are not included."
        )


def add_completion(server: MCPServer[Any], gateway: Gateway) -> None:
    """Complete exchange ids, and symbols of an exchange that is open."""

    @server.completion()
    async def complete(  # pyright: ignore[reportUnusedFunction]
        reference: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        typed = argument.value.lower()
        found: list[str] = []
        if argument.name == "exchange":
            found = [exchange for exchange in gateway.pool.known() if exchange.startswith(typed)]
        elif argument.name == "symbol":
            chosen = ((context.arguments if context else None) or {}).get("exchange")
            for venue in gateway.pool.opened():
                if chosen in (None, venue.key.exchange):
                    found += [symbol for symbol in venue.markets if symbol.lower().startswith(typed)]
            found = sorted(set(found))
        return Completion(values=found[:_COMPLETIONS], total=len(found), has_more=len(found) > _COMPLETIONS)
