"""An account and its matching, pure and deterministic: it knows no network, no clock and nothing else of ours.

Money is `Decimal`, exact to the last digit. Times are milliseconds since the epoch and passed in. Whatever it does not
do is a `Refused`, after which nothing has changed.
"""

from .account import Events
from .book import Book, Level
from .engine import Engine
from .fill import Fill, Payment
from .ledger import Balance
from .market import Market, Markets
from .order import Order, OrderRequest, OrderType, Side, Status, TimeInForce
from .position import Position
from .refusal import Reason, Refused

__all__ = [
    "Balance",
    "Book",
    "Engine",
    "Events",
    "Fill",
    "Level",
    "Market",
    "Markets",
    "Order",
    "OrderRequest",
    "OrderType",
    "Payment",
    "Position",
    "Reason",
    "Refused",
    "Side",
    "Status",
    "TimeInForce",
]
