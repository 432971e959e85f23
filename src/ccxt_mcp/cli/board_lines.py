"""The board as lines for a pipe or a file: time, kind, price, and facts as key=value; numbers without commas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from ccxt_mcp.analytics.decimals import exact
from ccxt_mcp.cli.board import Board, Told
from ccxt_mcp.cli.figures import grouped
from ccxt_mcp.streams import Channel
from ccxt_mcp.times import iso


def lines(board: Board, told: Sequence[Told]) -> list[str]:
    """Return what was told since the last time: each gap and note, the newest ticker and book, the trades together."""
    return [line for _, line in sorted(_lines(board, told), key=_moment)]


def _lines(board: Board, told: Sequence[Told]) -> Iterator[tuple[int, str]]:
    newest = {item.channel: item for item in told if item.kind == "data"}
    for item in told:
        if item.kind != "data":
            yield item.at_ms, _line(item.at_ms, item.kind, None, f"{item.channel}: {item.text}")
    if (ticker := newest.get(Channel.TICKER)) is not None:
        bid, ask = board.touch
        facts = {
            "bid": bid,
            "ask": ask,
            "spread_bps": board.spread_bps,
            "change_percent": ticker.data.get("percentage"),
        }
        yield ticker.at_ms, _line(ticker.at_ms, "ticker", board.last, _facts(**facts))
    if (book := newest.get(Channel.BOOK)) is not None:
        yield book.at_ms, _line(book.at_ms, "book", *_book(board))
    if (trades := newest.get(Channel.TRADES)) is not None:
        rows = [row for item in told if item.kind == "data" and item.channel is Channel.TRADES for row in item.data]
        sums = {name: _sum(rows, side) for name, side in (("amount", None), ("bought", "buy"), ("sold", "sell"))}
        yield trades.at_ms, _line(trades.at_ms, "trades", rows[-1].get("price"), _facts(count=len(rows), **sums))


def _moment(item: tuple[int, str]) -> int:
    return item[0]


def _line(at_ms: int, kind: str, price: float | None, rest: str) -> str:
    seconds, rest_ms = divmod(at_ms, 1000)
    moment = f"{(iso(seconds * 1000) or '-').removesuffix('Z')}.{rest_ms:03d}Z"
    return f"{moment}  {kind:<6}  {_plain(price):>12}  {rest}"


def _book(board: Board) -> tuple[float | None, str]:
    """Return the middle, and what stands best on both sides."""
    bids, asks = board.book["bids"], board.book["asks"]
    (bid, bid_amount), (ask, ask_amount) = (side[0] if side else (None, None) for side in (bids, asks))
    middle = None if bid is None or ask is None else (bid + ask) / 2
    facts = {"bid": bid, "bid_amount": bid_amount, "ask": ask, "ask_amount": ask_amount}
    return middle, _facts(**facts, spread_bps=board.spread_bps)


def _sum(rows: Sequence[dict[str, Any]], side: str | None) -> float:
    """Return what was traded, or what takers bought or sold of it."""
    amounts = (exact(row.get("amount")) for row in rows if side in (None, row.get("side")))
    return float(sum((amount for amount in amounts if amount is not None), Decimal(0)))


def _facts(**facts: float | None) -> str:
    return " ".join(f"{name}={_plain(value)}" for name, value in facts.items())


def _plain(value: float | None) -> str:
    return "-" if value is None else grouped(value).replace(",", "")
