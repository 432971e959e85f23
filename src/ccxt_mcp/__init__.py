"""An MCP server that reads 100+ crypto exchanges through CCXT."""

__version__ = "0.1.0"
