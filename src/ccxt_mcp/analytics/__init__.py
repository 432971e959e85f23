"""Pure functions over ccxt's unified data: no clock, no network, no exchange."""
