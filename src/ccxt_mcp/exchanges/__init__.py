"""The only room that knows ccxt: loading its classes, opening exchanges, their symbols and their errors."""
