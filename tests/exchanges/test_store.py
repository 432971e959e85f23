"""Files on disk: whatever is in them, they are read whole or made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from ccxt_mcp.exchanges.catalogue import Catalogue
from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids
from ccxt_mcp.exchanges.store import MarketSet, MarketStore

MARKETS = MarketSet(
    saved_at=1_000_000.0,
    markets={"BTC/USDT": {"id": "BTCUSDT", "symbol": "BTC/USDT", "spot": True}},
    currencies={"BTC": {"id": "BTC", "code": "BTC"}},
    options={"learnt": 1},
)
WRONG: list[dict[str, Any]] = [
    {"format": 0},
    {"saved_at": "1000000"},
    {"saved_at": None},
    {"saved_at": True},
    {"markets": [1]},
    {"markets": {}},
    {"markets": {"BTC/USDT": 1}},
    {"markets": {"BTC/USDT": {"id": 1, "symbol": "BTC/USDT"}}},
    {"markets": {"BTC/USDT": {"id": "BTCUSDT", "symbol": "ETH/USDT"}}},
    {"markets": {"BTC/USDT": {"symbol": "BTC/USDT"}}},
    {"currencies": None},
    {"currencies": ["BTC"]},
    {"currencies": {"BTC": "BTC"}},
    {"options": []},
]


@pytest.fixture
def store(tmp_path: Path) -> MarketStore:
    store = MarketStore(tmp_path, ccxt_version="1")
    store.write("kraken-live", MARKETS)
    return store


@pytest.fixture
def saved(store: MarketStore, tmp_path: Path) -> Path:
    return tmp_path / "markets/1/kraken-live.json"


def test_what_was_written_is_read_again(store: MarketStore) -> None:
    assert store.read("kraken-live") == MARKETS
    assert store.read("kraken-testnet") is None


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_file_of_another_shape_is_a_miss_and_is_written_over(
    wrong: dict[str, Any], store: MarketStore, saved: Path
) -> None:
    saved.write_bytes(orjson.dumps(orjson.loads(saved.read_bytes()) | wrong))
    assert store.read("kraken-live") is None
    store.write("kraken-live", MARKETS)
    assert store.read("kraken-live") == MARKETS


@pytest.mark.parametrize("field", ["format", "saved_at", "markets", "currencies", "options"])
def test_a_file_that_lacks_a_field_is_a_miss(field: str, store: MarketStore, saved: Path) -> None:
    document = orjson.loads(saved.read_bytes())
    del document[field]
    saved.write_bytes(orjson.dumps(document))
    assert store.read("kraken-live") is None


@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b"3", b"{}", b"\xff", b'{"format":1'])
def test_a_file_that_is_no_document_is_a_miss(content: bytes, store: MarketStore, saved: Path) -> None:
    saved.write_bytes(content)
    assert store.read("kraken-live") is None


async def test_a_catalogue_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue._path.write_bytes(b"null")
    rows = await catalogue.rows()
    assert {row["exchange"] for row in rows} == set(exchange_ids())
    assert Catalogue(tmp_path)._saved() == rows


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[1]", b"[]", b"{}", b'[{"exchange":"kraken"}]', b'[{"exchange":1,"has":null}]']
)
def test_what_is_no_catalogue_is_not_taken_for_one(content: bytes, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue._path.write_bytes(content)
    assert catalogue._saved() is None


def test_a_market_whose_name_hides_something_is_left_out() -> None:
    exchange: Any = exchange_class("kraken")()
    exchange.markets = {
        symbol: {"id": symbol, "symbol": symbol, "info": {}}
        for symbol in ("BTC/USD", "EVIL\u202e\x1b[31m/USD", "X" * 300 + "/USD")
    }
    markets = MarketSet.taken_from(exchange, options_before=dict(exchange.options), now=0.0)
    assert list(markets.markets) == ["BTC/USD"]
