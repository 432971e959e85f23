"""Another process on a journal: reserves an intent for each line that it reads, and tells whether it was the first."""

from __future__ import annotations

import asyncio
import json
import sys

from ccxt_mcp.journal import Journal
from journal.orders import new_intent, no_limit


async def contend(url: str) -> None:
    async with Journal(url) as journal:
        say("ready")
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            reserved = await journal.reserve(new_intent(name), check=no_limit)
            if reserved.is_new and not name.startswith("left"):
                await journal.settle(reserved.intent.id, "accepted", order={"id": name})
            say(json.dumps({"id": reserved.intent.id, "new": reserved.is_new}))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(contend(sys.argv[1]))
