"""Paper trading: one engine of account and matching, and a broker that answers ccxt's method names over live data."""
