"""Symbols as people and models write them, resolved to ccxt's unified ones."""

from __future__ import annotations

import difflib
import heapq
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

Markets = Mapping[str, Mapping[str, Any]]
"""ccxt's unified symbol -> its market."""

LONGEST = 100
"""Characters of the longest text that is looked at; the longest symbols of ccxt have about 60."""

_CANDIDATES = 5
_NEAR_BASES = 120  # bases compared letter by letter for one unknown symbol: about a millisecond
_SEPARATORS = re.compile(r"[\s/:_\-\u2010-\u2015\u2212]+")  # with the hyphens and dashes that models like to write
_KINDS: Mapping[str, str] = {
    word: kind
    for kind, words in {
        "spot": "SPOT",
        "swap": "SWAP SWAPS PERP PERPS PERPETUAL PERPETUALS",
        "future": "FUTURE FUTURES",
        "option": "OPTION OPTIONS",
        "linear": "LINEAR",
        "inverse": "INVERSE",
        "call": "CALL CALLS",
        "put": "PUT PUTS",
    }.items()
    for word in words.split()
}
_TYPE_ORDER: Mapping[str, int] = {"spot": 0, "swap": 1, "future": 2, "option": 3}
_QUOTE_ORDER: Mapping[str, int] = {"USDT": 0, "USD": 1, "USDC": 2, "EUR": 3, "BTC": 4}

_Words = tuple[str, ...]
_Kinds = frozenset[str]


class _Entry(NamedTuple):
    """What a lookup knows of one market; all words in upper case."""

    symbol: str
    base: str
    quote: str
    words: _Words
    traits: _Kinds
    active: bool
    rank: int

    @property
    def pair(self) -> str:
        """Base and quote as one word."""
        return self.base + self.quote

    def fits(self, word: str) -> bool:
        """Return whether the word may be meant to describe this market."""
        return (
            word in self.words
            or _KINDS.get(word) in self.traits
            or self.pair.startswith(word)
            or self.quote.startswith(word)
        )

    def exactly(self, names: Sequence[str]) -> bool:
        """Return whether each name is a whole name of this market, and not more is named than it has."""
        return len(names) <= len(self.words) and all(name in self.words or name == self.pair for name in names)

    def distance(self, names: frozenset[str]) -> tuple[bool, bool, bool, int]:
        """Return the sort key of a search: whole base, whole quote, active, then rank."""
        whole = self.pair in names
        return (
            not whole and self.base not in names,
            not whole and self.quote not in names,
            not self.active,
            self.rank,
        )


class SymbolIndex:
    """All the ways to write the symbols of one exchange.

    Built once per loaded market set. An exact unified symbol costs one dict lookup; the rest of the index is
    built by the first text that is not one.

    How a loose text is read, first match wins:

    1. The unified symbol in any case and with any separators, with or without its settle currency:
       `btc/usdt:usdt`, `BTC-USDT`, `btc usdt`, `BTCUSDT`, `BTC-USDT-261225`.
    2. The same beside words for the kind of market: `BTC-USDT-SWAP`, `BTCUSDT.P`, `btc usdt perp`.
    3. Both again with XBT read as BTC.
    4. The exchange's own id, where the text is no pair: `XXBTZUSD`, `PF_XBTUSD`, `BTC-25DEC26`.
    5. A base and a word for a perpetual: `BTC-PERP`, `btcperp`; then the same with XBT read as BTC.

    A pair without any sign of a derivative is the spot market on every exchange, even where its text is also the
    id of a perpetual there; without a spot market it is the perpetual, if there is just one. A dated contract must
    be named by its date. Active markets go before inactive ones of the same kind.
    """

    def __init__(self, markets: Markets) -> None:
        self._markets = markets

    def resolve(self, text: str, *, exchange: str) -> str:
        """Return the one unified symbol that the text names.

        Args:
            text: what was written; foreign and hostile text is expected.
            exchange: the exchange's id, for the message.

        Raises:
            Failure: INVALID_ARGUMENT for an empty or too long text, UNKNOWN_SYMBOL when no market fits and
                AMBIGUOUS_SYMBOL when several do; the last two carry up to five `candidates` in their details.
        """
        if text in self._markets:
            return text
        cleaned = _cleaned(text)
        if cleaned in self._markets:
            return cleaned
        best = _preferred(next(self._fits(cleaned), []))
        if not best:
            raise self._unresolved(cleaned, exchange)
        if len(best) > 1:
            raise _failure(Code.AMBIGUOUS_SYMBOL, cleaned, exchange, best)
        return best[0].symbol

    def search(self, query: str, *, limit: int = 20, active_only: bool = True) -> list[str]:
        """Return the unified symbols that fit all words of the query, best first.

        A word fits as a base, quote or settle currency, date or strike, as a kind of market ("perp", "call",
        "inverse"), or as the beginning of a pair or quote. Order: markets of exactly that base, of exactly that
        quote, spot before swap before future before option, big quote currencies, shorter symbols, and then as
        the exchange lists them.

        Args:
            query: loose words such as "btc perp", "eth usd" or "BTC-USDT".
            limit: at most so many symbols.
            active_only: whether to leave markets out that the exchange has switched off.

        Raises:
            Failure: INVALID_ARGUMENT for an empty or too long query.
        """
        words = _words(_cleaned(query, name="query"))
        return [entry.symbol for entry in self._found(words, limit, active_only=active_only)]

    @cached_property
    def _entries(self) -> list[_Entry]:
        """All markets, best first."""
        ranked = sorted(self._markets, key=lambda symbol: _rank(symbol, self._markets[symbol]))
        return [_entry(symbol, self._markets[symbol], rank) for rank, symbol in enumerate(ranked)]

    @cached_property
    def _spellings(self) -> dict[str, list[_Entry]]:
        """The words of each market, joined by a slash: with settle currency, without, and with the pair as one."""
        spellings: dict[str, list[_Entry]] = defaultdict(list)
        for entry in self._entries:
            _, _, contract = entry.symbol.partition(":")
            tail = "".join(f"/{part.upper()}" for part in contract.split("-")[1:])
            pair = f"{_key(entry.base)}/{_key(entry.quote)}"
            for spelling in {_key(entry.symbol.upper()), pair + tail, entry.pair + tail}:
                spellings[spelling].append(entry)
        return dict(spellings)

    @cached_property
    def _ids(self) -> dict[str, list[_Entry]]:
        ids: dict[str, list[_Entry]] = defaultdict(list)
        for entry in self._entries:
            if market_id := self._markets[entry.symbol].get("id"):
                ids[str(market_id).upper()].append(entry)
        return dict(ids)

    @cached_property
    def _bases(self) -> dict[str, list[_Entry]]:
        bases: dict[str, list[_Entry]] = defaultdict(list)
        for entry in self._entries:
            bases[entry.base].append(entry)
        return dict(bases)

    @cached_property
    def _ranks(self) -> dict[str, list[int]]:
        """The positions in the list of entries of all that have the word as a name."""
        ranks: dict[str, list[int]] = defaultdict(list)
        for entry in self._entries:
            for word in entry.words:
                ranks[word].append(entry.rank)
        return dict(ranks)

    def _fits(self, text: str) -> Iterator[list[_Entry]]:
        """Yield the markets that fit the text, reading by reading, as the class describes it."""
        words = _words(text)
        least = 2 if "/" in text else 1  # a slash says that both its sides are currencies, even in PERP/USDT
        spelled = [words, aliased] if (aliased := _without_xbt(words)) != words else [words]
        for written in spelled:
            for names, kinds in _readings(written, least):
                if fits := _of_kind(self._spellings.get("/".join(names), ()), kinds):
                    yield fits
        if fits := self._ids.get(text.upper()):
            yield fits
        for written in spelled:
            name, kinds = _perpetual(written, least)
            if kinds and (fits := _of_kind(self._bases.get(name, ()), kinds)):
                yield fits

    def _unresolved(self, text: str, exchange: str) -> Failure:
        """Return the failure for a text that no reading fits, with what may have been meant."""
        words = _words(text)
        names = words if "/" in text else _names(words)
        hits = self._found(words, _CANDIDATES, active_only=False)
        if hits and names[0] in {hits[0].base, hits[0].pair} and hits[0].exactly(names):
            same = [hit for hit in hits if hit.base == hits[0].base]
            return _failure(Code.AMBIGUOUS_SYMBOL, text, exchange, same)
        return _failure(Code.UNKNOWN_SYMBOL, text, exchange, hits or self._near(names))

    def _found(self, words: _Words, limit: int, *, active_only: bool) -> list[_Entry]:
        names = frozenset(_names(words))
        found = (
            entry
            for entry in self._pool(words)
            if (entry.active or not active_only) and all(entry.fits(word) for word in words)
        )
        return heapq.nsmallest(limit, found, key=lambda entry: entry.distance(names))

    def _pool(self, words: _Words) -> Iterable[_Entry]:
        """Return the markets that may fit the rarest of the names, so that a search need not look at all."""
        if not (names := [word for word in words if word not in _KINDS]):
            return self._entries
        pools = [
            [ranks for known, ranks in self._ranks.items() if known.startswith(name) or name.startswith(known)]
            for name in names
        ]
        rarest = min(pools, key=lambda pool: sum(map(len, pool)))
        return [self._entries[rank] for rank in sorted(set(chain.from_iterable(rarest)))]

    def _near(self, names: Sequence[str]) -> list[_Entry]:
        """Return the markets with the most similar bases, those of the same quote first."""
        typed, quote = self._split(names)
        near = [base for base in self._bases if abs(len(base) - len(typed)) <= 2 and base[:1] == typed[:1]]
        near += [base for base in self._bases if len(base) == len(typed) and base[:1] != typed[:1]]
        begun = max((base for base in self._bases if len(base) > 2 and typed.startswith(base)), key=len, default=None)
        close = [begun] if begun else difflib.get_close_matches(typed, near[:_NEAR_BASES], cutoff=0.5)
        found = [entry for base in close for entry in self._bases[base]]
        return heapq.nsmallest(_CANDIDATES, found, key=lambda entry: (entry.quote != quote, not entry.active))

    def _split(self, names: Sequence[str]) -> tuple[str, str | None]:
        """Return the base and the quote that were written, as far as they can be told apart."""
        if len(names) > 1:
            return names[0], names[1]
        quotes = {entry.quote for entry in self._entries}
        quote = max((quote for quote in quotes if names[0].endswith(quote)), key=len, default="")
        return names[0].removesuffix(quote), quote or None


def _cleaned(text: str, *, name: str = "symbol") -> str:
    if len(text) > LONGEST:
        shown = clean_text(text, 20)
        raise Failure(Code.INVALID_ARGUMENT, f"{name} is {shown!r} with {len(text)} characters; at most {LONGEST} fit.")
    cleaned = clean_text(text, LONGEST).strip()
    if not _words(cleaned):
        raise Failure(Code.INVALID_ARGUMENT, f"{name} is {cleaned!r}, which names nothing; write it like BTC/USDT.")
    return cleaned


def _words(text: str) -> _Words:
    """Return the words of a text in upper case; the charting sites' ending ".P" is a perpetual."""
    spelled = text.upper()
    if spelled.endswith(".P"):
        spelled = f"{spelled[:-2]} PERP"
    return tuple(filter(None, _SEPARATORS.split(spelled)))


def _key(text: str) -> str:
    return text if text.isalnum() else "/".join(filter(None, _SEPARATORS.split(text)))


def _names(words: _Words) -> _Words:
    """Return the words that are no kind of market, or all where every word is one."""
    return tuple(word for word in words if word not in _KINDS) or words


def _without_xbt(words: _Words) -> _Words:
    return tuple(re.sub("^XBT|XBT$", "BTC", word) for word in words)


def _readings(words: _Words, least: int) -> Iterator[tuple[_Words, _Kinds]]:
    """Yield the words as names and kinds: all names, then kinds split off the end, then off both ends.

    Kinds are also tickers of currencies (PERP, SWAP), so that at least so many names must remain.
    """
    yield words, frozenset()
    end = len(words)
    while end > least and words[end - 1] in _KINDS:
        end -= 1
        yield words[:end], _kinds(words[end:])
    start = 0
    while end - start > least and words[start] in _KINDS:
        start += 1
        yield words[start:end], _kinds(words[:start] + words[end:])
    if len(words) == 1 and words[0].endswith("PERP"):
        yield (words[0].removesuffix("PERP"),), _kinds(["PERP"])


def _perpetual(words: _Words, least: int) -> tuple[str, _Kinds]:
    """Return the base and the kinds of a text such as BTC-PERP, or no kinds when it is none."""
    for names, kinds in _readings(words, least):
        if len(names) == 1 and "swap" in kinds and words[0].startswith(names[0]):
            return names[0], kinds
    return "", frozenset()


def _kinds(words: Iterable[str]) -> _Kinds:
    return frozenset(_KINDS[word] for word in words)


def _of_kind(entries: Iterable[_Entry], kinds: _Kinds) -> list[_Entry]:
    return [entry for entry in entries if kinds <= entry.traits]


def _preferred(fits: list[_Entry]) -> list[_Entry]:
    """Return those that are meant when nothing else is said: spot, else perpetuals; active ones first.

    Markets of different currencies are never chosen between.
    """
    if len({(fit.base, fit.quote) for fit in fits}) > 1:
        return fits
    for kind in ("spot", "swap"):
        if group := [fit for fit in fits if kind in fit.traits]:
            fits = group
            break
    return [fit for fit in fits if fit.active] or fits


def _rank(symbol: str, market: Mapping[str, Any]) -> tuple[int, int, int]:
    kind, quote = market.get("type"), str(market.get("quote") or "").upper()
    return _TYPE_ORDER.get(str(kind), len(_TYPE_ORDER)), _QUOTE_ORDER.get(quote, len(_QUOTE_ORDER)), len(symbol)


def _entry(symbol: str, market: Mapping[str, Any], rank: int) -> _Entry:
    flags = (kind for kind in ("linear", "inverse") if market.get(kind))
    return _Entry(
        symbol=symbol,
        base=str(market.get("base") or "").upper(),
        quote=str(market.get("quote") or "").upper(),
        words=tuple(_SEPARATORS.split(symbol.upper())),
        traits=frozenset((str(market.get("type")), str(market.get("optionType")), *flags)),
        active=market.get("active") is not False,
        rank=rank,
    )


def _failure(code: Code, text: str, exchange: str, candidates: Sequence[_Entry]) -> Failure:
    what = "does not say which market" if code is Code.AMBIGUOUS_SYMBOL else "is no market"
    symbols = [entry.symbol for entry in candidates[:_CANDIDATES]]
    return Failure(
        code,
        f"{clean_text(text, 40)!r} {what} of {exchange}.",
        hint="Use one of the candidates as it is written, or find the symbol with market_symbols." if symbols else None,
        details={"candidates": symbols},
    )
