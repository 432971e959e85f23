"""Markets on disk: slim, versioned by ccxt's version and written atomically, so that a restart starts warm."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ccxt_mcp.exchanges.quirks import READS_MARKET_INFO, lineage
from ccxt_mcp.text import clean_text

_FORMAT = 1
_LONGEST_SYMBOL = 100
_KEEP_OLD_VERSIONS = 30 * 86_400  # seconds; two servers may run different versions of ccxt side by side


@dataclass(frozen=True, slots=True)
class MarketSet:
    """The markets of one exchange in one environment, shared by all its instances.

    Attributes:
        saved_at: when they were downloaded, in seconds since the epoch.
        markets: ccxt's markets by unified symbol, without what nobody reads.
        currencies: ccxt's currencies by code.
        options: what ccxt learnt while loading and keeps in `exchange.options`.
    """

    saved_at: float
    markets: dict[str, dict[str, Any]]
    currencies: dict[str, dict[str, Any]]
    options: dict[str, Any]

    @classmethod
    def taken_from(cls, exchange: Any, *, options_before: dict[str, Any], now: float) -> MarketSet:
        """Return the slim markets of an instance that has just loaded them.

        A symbol with hidden characters, or longer than any that is real, is none that anybody could ask for: it is
        left out, so that no name which an exchange lets others choose reaches a reader as an instruction.
        """
        learnt = {
            name: value
            for name, value in exchange.options.items()
            if name not in options_before or options_before[name] != value
        }
        slim = _slimmer(type(exchange))
        return cls(
            saved_at=now,
            markets={
                symbol: slim(market)
                for symbol, market in exchange.markets.items()
                if symbol == clean_text(symbol, _LONGEST_SYMBOL)
            },
            currencies={code: currency | {"info": {}} for code, currency in (exchange.currencies or {}).items()},
            options=learnt,
        )

    def install(self, exchange: Any) -> None:
        """Give the markets to an instance, as ccxt's `set_markets` would: spot first where ids collide."""
        by_id: dict[str, list[dict[str, Any]]] = {}
        for market in sorted(self.markets.values(), key=lambda market: not market.get("spot")):
            by_id.setdefault(market["id"], []).append(market)
        exchange.markets, exchange.markets_by_id = self.markets, by_id
        exchange.symbols, exchange.ids = sorted(self.markets), sorted(by_id)
        exchange.currencies = self.currencies
        exchange.currencies_by_id = {c["id"]: c for c in self.currencies.values() if c.get("id") is not None}
        exchange.codes = sorted(self.currencies)
        exchange.baseCurrencies = exchange.quoteCurrencies = {}
        exchange.options.update(self.options)


class MarketStore:
    """A folder of market files: `markets/<ccxt version>/<exchange>-<mode>.json`."""

    def __init__(self, folder: Path, *, ccxt_version: str) -> None:
        self._root = folder / "markets"
        self._folder = self._root / ccxt_version

    def read(self, name: str) -> MarketSet | None:
        """Return what was saved under the name; None when there is nothing usable."""
        try:
            document = orjson.loads(self._path(name).read_bytes())
        except (OSError, ValueError):
            return None  # missing or cut short: the exchange is asked again
        if not _is_whole(document):
            return None
        return MarketSet(**{field: document[field] for field in MarketSet.__dataclass_fields__})

    def write(self, name: str, markets: MarketSet) -> None:
        """Save atomically: a reader sees the old file or the new one, never a part.

        Raises:
            OSError: when the folder cannot be written.
            TypeError: when ccxt put something into the markets that is no JSON.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        document = {field: getattr(markets, field) for field in MarketSet.__dataclass_fields__} | {"format": _FORMAT}
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=f"{name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS))
            Path(temporary).replace(self._path(name))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        self._forget_old_versions(markets.saved_at)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _forget_old_versions(self, now: float) -> None:
        for folder in self._root.iterdir():
            if folder != self._folder and folder.stat().st_mtime < now - _KEEP_OLD_VERSIONS:
                shutil.rmtree(folder, ignore_errors=True)


def _is_whole(document: Any) -> bool:
    """Whether a document has the shape that `write` gives it, so that its markets can be installed."""
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        return False
    markets, currencies = document.get("markets"), document.get("currencies")
    if not isinstance(markets, dict) or not isinstance(currencies, dict):
        return False
    return (
        type(document.get("saved_at")) in (int, float)
        and isinstance(document.get("options"), dict)
        and bool(markets)
        and all(_is_market(market, symbol) for symbol, market in markets.items())
        and all(isinstance(currency, dict) for currency in currencies.values())
    )


def _is_market(market: Any, symbol: str) -> bool:
    return isinstance(market, dict) and isinstance(market.get("id"), str) and market.get("symbol") == symbol


def _without_info(market: dict[str, Any]) -> dict[str, Any]:
    return market | {"info": {}}


def _slimmer(exchange_class: type[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    readers = lineage(exchange_class) & READS_MARKET_INFO.keys()
    if not readers:
        return _without_info
    limits = [READS_MARKET_INFO[reader] for reader in readers]
    if None in limits:
        return dict
    limit = max(filter(None, limits))

    def slim(market: dict[str, Any]) -> dict[str, Any]:
        info: Any = market.get("info")
        if not isinstance(info, dict):
            return _without_info(market)
        kept = {k: v for k, v in info.items() if not isinstance(v, dict | list) or len(str(v)) <= limit}
        return market | {"info": kept}

    return slim
