"""The demo's trades: paper money, a human who is asked, and an answer that gets lost."""

from __future__ import annotations

from typing import Any

from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ccxt_mcp.cli.charts import QUIET, UP
from ccxt_mcp.cli.session import Session
from ccxt_mcp.cli.terminal import TableView, failure_view
from ccxt_mcp.simulator import Fault, Faults

_ORDER = ("symbol", "side", "type", "amount", "price", "status", "filled", "cost")
_PAPER = {"exchange": "simulator", "account": "paper"}


class Human:
    """The person whom the server asks; in the demo, one who agrees.

    Args:
        console: where the question is shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.asked = 0

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Show the question, and agree."""
        self.asked += 1
        grid = Grid.grid(padding=(0, 2))
        grid.add_row(Text("  the human is asked", style=QUIET), Text(params.message, style="bold"))
        grid.add_row(Text("  and answers", style=QUIET), Text("yes", style=UP))
        self._console.print(grid, Text())
        return ElicitResult(action="accept", content={"confirm": True})


async def trade(session: Session, human: Human, faults: Faults) -> list[bool]:
    """Show four trades; return whether each showed what it should.

    Args:
        session: the client and the terminal.
        human: who answers the server's questions.
        faults: the faults of simulator_b.
    """
    return [
        await _paper(session),
        await _asked(session, human),
        await _lost(session, faults),
        await _blocked(session),
        await _balance(session),
    ]


async def _paper(session: Session) -> bool:
    order = await session.data(
        "Buy some Bitcoin with paper money.",
        "trade_create_order",
        **_PAPER, symbol="BTC/USDT", side="buy", type="market", amount=0.05,
    )  # fmt: skip
    return _show(session, order) and order.get("status") == "closed"


async def _asked(session: Session, human: Human) -> bool:
    order = await session.data(
        "A large order: nothing happens before a human agrees.",
        "trade_create_order",
        exchange="simulator_b", symbol="BTC/USDT", side="sell", type="limit", amount=1.5, price=150_000,
    )  # fmt: skip
    return _show(session, order) and human.asked == 1


async def _lost(session: Session, faults: Faults) -> bool:
    """The exchange executes an order, and its answer never arrives."""
    faults.set(Fault("lose_reply", path="/v5/order/create", times=1))
    order = await session.data(
        "The exchange takes an order, and its answer gets lost. What now?",
        "trade_create_order",
        exchange="simulator_b", symbol="ETH/USDT", side="buy", type="market", amount=0.5, client_order_id="eth-1",
    )  # fmt: skip
    told = "It was never sent again: the journal's record of it was matched with the exchange's orders."
    session.show(Text(told, style=QUIET))
    return _show(session, order) and order.get("recorded") is True


async def _blocked(session: Session) -> bool:
    arguments = {"symbol": "BTC/USDT", "side": "buy", "type": "limit", "amount": 15, "price": 90_000}
    session.say("A model that spends too much.", "trade_create_order", **_PAPER, **arguments)
    error = (await session.call("trade_create_order", **_PAPER, **arguments)).get("error", {})
    session.show(failure_view({name: item for name, item in error.items() if name != "details"}))
    return error.get("code") == "TAPS103"


async def _balance(session: Session) -> bool:
    data = await session.data("What is there now?", "account_balance", **_PAPER)
    if "balances" not in data:
        return False
    session.show(TableView(data["balances"]))
    return True


def _show(session: Session, order: dict[str, Any]) -> bool:
    if "id" not in order:
        return False
    session.show(TableView({"columns": _ORDER, "rows": [[order.get(name) for name in _ORDER]]}))
    return True
