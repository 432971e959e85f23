"""A real exchange's class with real money's rules, in front of a server on loopback that answers as Kraken does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from mcp import Client

from ccxt_mcp.exchanges.lazy import ccxt_version
from ccxt_mcp.exchanges.store import MarketSet, MarketStore
from ccxt_mcp.server import build_server
from ccxt_mcp.settings import Environment, Settings
from ccxt_mcp.simulator import Simulator
from desk.house import House

EXCHANGE, ACCOUNT, SYMBOL = "kraken", "main", "BTC/USD"
PRICE = 60_000.5
_MARKET = {
    "id": "XXBTZUSD", "symbol": SYMBOL, "base": "BTC", "quote": "USD", "baseId": "XXBT", "quoteId": "ZUSD",
    "type": "spot", "spot": True, "active": True, "precision": {"amount": 1e-8, "price": 0.1}, "info": {},
    "limits": {}, "wsId": "XBT/USD", "altname": "XBTUSD",
}  # fmt: skip
_TICKER = {
    "a": ["60001.0", "1", "1.0"], "b": ["60000.0", "1", "1.0"], "c": ["60000.5", "0.1"], "v": ["10", "20"],
    "p": ["1", "1"], "t": [1, 2], "l": ["1", "1"], "h": ["1", "1"], "o": "1",
}  # fmt: skip


@dataclass
class Kraken:
    """What it was asked, and the orders that it took."""

    asked: Counter[str] = field(default_factory=Counter)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request by the last word of its path."""
        name = request.path.rsplit("/", 1)[-1].partition("?")[0].partition("%3F")[0]
        self.asked[name] += 1
        form = {key: values[0] for key, values in parse_qs(await request.text()).items()}
        results: dict[str, Any] = {
            "Ticker": {"XXBTZUSD": _TICKER},
            "Depth": {"XXBTZUSD": {"asks": [["60001.0", "10", "1"]], "bids": [["60000.0", "10", "1"]]}},
            "BalanceEx": {"ZUSD": {"balance": "500000.0", "hold_trade": "0.0"}},
            "OpenPositions": [],
            "OpenOrders": {"open": {key: one for key, one in self.orders.items() if one["status"] == "open"}},
            "ClosedOrders": {"closed": {key: one for key, one in self.orders.items() if one["status"] != "open"}},
            "QueryOrders": {key: one for key, one in self.orders.items() if key == form.get("txid")},
        }
        if name == "AddOrder":
            results[name] = self._add(form)
        if name == "CancelOrder":
            self.orders[form["txid"]]["status"] = "canceled"
            results[name] = {"count": 1}
        return web.json_response({"error": [], "result": results[name]})

    def _add(self, form: dict[str, str]) -> dict[str, Any]:
        key = f"O{len(self.orders):05}-AAAAA-AAAAAA"
        price = form.get("price", "0")
        words = {"pair": "XBTUSD", "type": form["type"], "ordertype": form["ordertype"], "price": price}
        told = f"{form['type']} {form['volume']} XBTUSD @ {form['ordertype']} {price}"
        self.orders[key] = {
            "status": "open", "opentm": time.time(), "descr": {**words, "order": told}, "vol": form["volume"],
            "vol_exec": "0.0", "cost": "0.0", "fee": "0.0", "price": "0.0", "cl_ord_id": form.get("cl_ord_id"),
            "misc": "", "oflags": "fciq",
        }  # fmt: skip
        return {"descr": {"order": told}, "txid": [key]}


@asynccontextmanager
async def live_house(folder: Path, era: str = "auto", **more: Any) -> AsyncGenerator[tuple[House, Kraken]]:
    """A house with a live account on Kraken, which is asked through a proxy and never reached."""
    kraken = Kraken()
    app = web.Application()
    app.router.add_route("*", "/{everything:.*}", kraken.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store = MarketStore(folder / "cache", ccxt_version=ccxt_version())
    options = {"marketsByAltname": {"XBTUSD": _MARKET}}
    store.write("kraken-live", MarketSet(time.time(), {SYMBOL: _MARKET}, {}, options))
    asked = more.pop("asked", None)
    values = {
        "cache_dir": folder / "cache", "data_dir": folder / "data", "toolsets": ("all",), "deadline": 3.0,
        "allow": "trade", "accounts": {ACCOUNT: {"exchange": EXCHANGE}}, **more,
        "exchanges": {EXCHANGE: {"proxy_url": f"http://127.0.0.1:{runner.addresses[0][1]}/", "rate_limit": 0.5}},
    }  # fmt: skip
    keys = Environment({"KRAKEN_API_KEY": "a-key-that-opens-nothing", "KRAKEN_SECRET": "bm90aGluZyBhdCBhbGw="})
    settings = Settings.model_validate(values, context=keys)
    try:
        async with Client(build_server(settings), mode=era, elicitation_callback=asked) as client:
            yield House(client, Simulator(), settings), kraken
    finally:
        await runner.cleanup()
