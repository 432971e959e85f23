"""Another process that watches alerts: fires the one of each line that it reads, and tells whether it was the first."""

from __future__ import annotations

import asyncio
import json
import sys

from ccxt_mcp.journal import Journal
from journal.contender import say
from journal.orders import NOON_MS


async def watch(url: str) -> None:
    async with Journal(url) as journal:
        say("ready")
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            mine = await journal.alerts.fire(name, {"price": "1"}, NOON_MS, expected_count=0)
            say(json.dumps({"mine": mine}))


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1]))
