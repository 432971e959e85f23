"""An exchange simulator on loopback that speaks Bybit v5 REST and WebSocket."""

from .config import ccxt_config
from .connection import StreamCount
from .faults import Fault, FaultKind, Faults
from .keys import API_KEY, API_SECRET, BALANCES, KEYS, PERMISSIONS, Key
from .run import run
from .simulator import Simulator

__all__ = [
    "API_KEY",
    "API_SECRET",
    "BALANCES",
    "KEYS",
    "PERMISSIONS",
    "Fault",
    "FaultKind",
    "Faults",
    "Key",
    "Simulator",
    "StreamCount",
    "ccxt_config",
    "run",
]
