"""The live route: one stream for all who watch the same, told truly: what came, what is missing, what is too old."""

from ccxt_mcp.streams.channels import CHANNELS, Channel
from ccxt_mcp.streams.events import Event, Subscription
from ccxt_mcp.streams.hub import Hub, Topic

__all__ = ["CHANNELS", "Channel", "Event", "Hub", "Subscription", "Topic"]
