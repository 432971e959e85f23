"""The catalogue: what every exchange of ccxt is and can do, without keeping a hundred classes in memory.

The facts come from ccxt itself: a child process imports all classes once, and the result is kept on disk under
ccxt's version.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import without_credentials
from ccxt_mcp.exchanges.lazy import ccxt_version
from ccxt_mcp.exchanges.quirks import HEADER_TESTNETS, lineage

MARKET_TYPES = ("spot", "margin", "swap", "future", "option")
_FIELDS = {
    "exchange": str,
    "name": str,
    "countries": list,
    "types": list,
    "testnet": bool,
    "certified": bool,
    "streams": bool,
    "has": list,
}


def describe(exchange: Any, *, pro: bool) -> dict[str, Any]:
    """Return the catalogue's facts of one ccxt instance."""
    return {
        "exchange": exchange.id,
        "name": exchange.name,
        "countries": list(exchange.countries or ()),
        "types": [kind for kind in MARKET_TYPES if exchange.has.get(kind) is True],
        "testnet": bool(exchange.urls.get("test")) or bool(lineage(type(exchange)) & HEADER_TESTNETS),
        "certified": bool(exchange.certified),
        "streams": pro,
        "has": sorted(name for name, flag in exchange.has.items() if flag is True or flag == "emulated"),
    }


class Catalogue:
    """Reads the catalogue, making it first where there is none for this version of ccxt."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"catalogue-{ccxt_version()}.json"
        self._rows: list[dict[str, Any]] | None = None
        self._making: asyncio.Task[list[dict[str, Any]]] | None = None

    async def rows(self) -> list[dict[str, Any]]:
        """Return the facts of every exchange, by id.

        Raises:
            Failure: INTERNAL when ccxt cannot be read.
        """
        if self._rows is not None:
            return self._rows
        making = self._making = self._making or asyncio.create_task(self._make(), name="exchange catalogue")
        try:
            rows = await asyncio.shield(making)
        finally:
            if making.done():
                self._making = None
        self._rows = rows
        return rows

    async def close(self) -> None:
        """Stop making the catalogue if it is being made."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
            self._making = None

    async def _make(self) -> list[dict[str, Any]]:
        if (saved := self._saved()) is not None:
            return saved
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=without_credentials(os.environ),
        )
        try:
            output, _ = await child.communicate()
        except asyncio.CancelledError:
            child.kill()
            await child.wait()
            raise
        if child.returncode != 0:
            raise Failure(Code.INTERNAL, "ccxt's exchanges could not be read.")
        rows: list[dict[str, Any]] = orjson.loads(output)
        await asyncio.to_thread(self._save, output)
        return rows

    def _saved(self) -> list[dict[str, Any]] | None:
        """Return the rows on disk, or None when they were not made for this version of ccxt, or were damaged since."""
        try:
            rows: Any = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        return rows if isinstance(rows, list) and rows and all(_is_row(row) for row in rows) else None

    def _save(self, content: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as file:
                file.write(content)
            Path(file.name).replace(self._path)
        except OSError:
            return  # a read-only folder costs a second at the next start, nothing else


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(field), kind) for field, kind in _FIELDS.items())


def _main() -> None:
    plain: Any = import_module("ccxt.async_support")  # only this child process loads everything
    streaming: Any = import_module("ccxt.pro")
    rows = [describe(getattr(plain, name)(), pro=name in streaming.exchanges) for name in plain.exchanges]
    sys.stdout.buffer.write(orjson.dumps(rows))


if __name__ == "__main__":
    _main()
