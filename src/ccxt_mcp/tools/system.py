"""The server itself: is it well, and which exchanges are?"""

from ccxt_mcp.envelope import Envelope
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.health import server_health
from ccxt_mcp.tools import tool


@tool("Health", open_world=False)
async def system_health(gateway: Gateway) -> Envelope:
    """Uptime, and for each opened exchange: breaker, latency p50 and p95, error rate, cache hit rate, budget left."""
    return Envelope(gateway.metadata(), data=server_health(gateway))
