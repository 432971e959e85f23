"""An exchange simulator on loopback that speaks Bybit v5 REST and public WebSocket."""

from .config import ccxt_config
from .faults import Fault, FaultKind, Faults
from .limits import API_KEY, API_SECRET
from .run import run
from .simulator import Simulator

__all__ = ["API_KEY", "API_SECRET", "Fault", "FaultKind", "Faults", "Simulator", "ccxt_config", "run"]
