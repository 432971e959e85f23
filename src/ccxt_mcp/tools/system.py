"""The server itself: is it well, which exchanges are, and what was done through it?"""

from typing import Annotated, Any

import orjson
from pydantic import Field

from ccxt_mcp.desk.trading import Trading
from ccxt_mcp.envelope import Envelope, Table
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.health import server_health
from ccxt_mcp.methods import Tier
from ccxt_mcp.text import clean_text
from ccxt_mcp.times import parse_moment
from ccxt_mcp.tools import tool
from ccxt_mcp.tools.parameters import AccountOrAll, Cursor, ExchangeOrAll, Limit, Moment

_ROW = ("seq", "time_ms", "event", "who", "tool", "exchange", "account", "client_order_id")


@tool("Health", open_world=False)
async def system_health(gateway: Gateway) -> Envelope:
    """Uptime; for each opened exchange: state, latency, error and cache rates, budget."""
    return Envelope(gateway.metadata(), data=server_health(gateway))


@tool("Audit", tier=Tier.ACCOUNT, open_world=False, default=False)
async def system_audit(
    trading: Trading,
    exchange: ExchangeOrAll = "",
    account: AccountOrAll = None,
    client_order_id: Annotated[str | None, Field(description="Only this order.", max_length=64)] = None,
    since: Moment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Envelope:
    """Audit of writes, newest first: attempts, refusals, confirmations, outcomes."""
    journal = await trading.desk.journal()
    page = await journal.read(
        exchange=exchange or None,
        account=account,
        client_order_id=client_order_id,
        since=None if since is None else parse_moment(since, now_ms=trading.gateway.now_ms()),
        limit=limit,
        cursor=_row(cursor),
    )
    rows = [[getattr(row, name) for name in _ROW] + [_brief(row.facts)] for row in page.rows]
    columns = ("seq", "time", "event", "who", "tool", "exchange", "account", "clientOrderId", "facts")
    following = None if page.next is None else str(page.next)
    return Envelope(trading.gateway.metadata(), data={"audit": Table(columns, rows, next=following)})


def _row(cursor: str | None) -> int | None:
    if cursor is None or (cursor.isascii() and cursor.isdecimal() and len(cursor) < 16):
        return None if cursor is None else int(cursor)
    raise Failure(Code.INVALID_ARGUMENT, "cursor is no page.", hint="Pass next of the page before.")


def _brief(facts: dict[str, Any]) -> str:
    """Return a row's facts as short JSON."""
    return clean_text(orjson.dumps(facts).decode(), 400)
