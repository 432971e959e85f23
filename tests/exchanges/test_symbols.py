from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.symbols import LONGEST, SymbolIndex


def market(symbol: str, **facts: Any) -> dict[str, Any]:
    """A market in ccxt's shape, its kind read off the unified symbol."""
    pair, _, contract = symbol.partition(":")
    base, quote = pair.split("/")
    settle, *tail = contract.split("-")
    kind = "spot" if not contract else ("swap", "future", "", "option")[len(tail)]
    return {
        "id": symbol.replace("/", "").replace(":", "_"),
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "type": kind,
        kind: True,
        "contract": kind != "spot",
        "linear": settle == quote if contract else None,
        "inverse": settle == base if contract else None,
        "optionType": {"C": "call", "P": "put"}.get(tail[-1]) if tail else None,
        "active": True,
    } | facts


def index(*markets: dict[str, Any]) -> SymbolIndex:
    return SymbolIndex({market["symbol"]: market for market in markets})


BYBIT = index(
    market("BTC/USDT", id="BTCUSDT"),
    market("BTC/USDC", id="BTCUSDC"),
    market("ETH/USDT", id="ETHUSDT"),
    market("ETH/BTC", id="ETHBTC"),
    market("ETH/EUR", id="ETHEUR"),
    market("SOL/USDT", id="SOLUSDT"),
    market("DOGE/USDT", id="DOGEUSDT", active=False),
    market("PERP/USDT", id="PERPUSDT"),
    market("BTC/USDT:USDT", id="BTCUSDT"),
    market("BTC/USDC:USDC", id="BTCPERP"),
    market("BTC/USD:BTC", id="BTCUSD"),
    market("ETH/USDT:USDT", id="ETHUSDT"),
    market("DOGE/USDT:USDT", id="DOGEUSDT"),
    market("1000PEPE/USDT:USDT", id="1000PEPEUSDT"),
    market("BTC/USDT:USDT-261225", id="BTCUSDT-25DEC26"),
    market("BTC/USDT:USDT-270326", id="BTCUSDT-26MAR27"),
    market("BTC/USD:BTC-261225-100000-C", id="BTC-25DEC26-100000-C"),
    market("BTC/USD:BTC-261225-100000-P", id="BTC-25DEC26-100000-P"),
)


def refused(symbols: SymbolIndex, text: str) -> Failure:
    with pytest.raises(Failure) as caught:
        symbols.resolve(text, exchange="bybit")
    return caught.value


def outcome(symbols: SymbolIndex, text: str) -> str | Failure:
    try:
        return symbols.resolve(text, exchange="x")
    except Failure as failure:
        return failure


def candidates(failure: Failure) -> list[str]:
    assert failure.details is not None
    return failure.details["candidates"]


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTC/USDT", "BTC/USDT"),
        ("btc/usdt", "BTC/USDT"),
        ("BTC-USDT", "BTC/USDT"),
        ("btc_usdt", "BTC/USDT"),
        ("btc usdt", "BTC/USDT"),
        (" BTC / USDT ", "BTC/USDT"),
        ("BTC\u2011USDT", "BTC/USDT"),  # the non-breaking hyphen that models write
        ("BTCUSDT", "BTC/USDT"),
        ("btc usdt spot", "BTC/USDT"),
        ("btc/usdt:usdt", "BTC/USDT:USDT"),
        ("BTC-USDT-USDT", "BTC/USDT:USDT"),
        ("BTC-USDT-SWAP", "BTC/USDT:USDT"),
        ("BTCUSDT.P", "BTC/USDT:USDT"),
        ("BTCUSDTPERP", "BTC/USDT:USDT"),
        ("PERP_BTC_USDT", "BTC/USDT:USDT"),
        ("btc usdt perp", "BTC/USDT:USDT"),
        ("btcusdt linear perpetual", "BTC/USDT:USDT"),
        ("btc inverse perp", "BTC/USD:BTC"),
        ("1000pepe-perp", "1000PEPE/USDT:USDT"),
        ("XBT/USDT", "BTC/USDT"),
        ("xbtusdt", "BTC/USDT"),
        ("ETH-XBT", "ETH/BTC"),
        ("XBT-USDT-SWAP", "BTC/USDT:USDT"),
        ("btc/usdt:usdt-261225", "BTC/USDT:USDT-261225"),
        ("BTC-USDT-261225", "BTC/USDT:USDT-261225"),
        ("BTCUSDT_261225", "BTC/USDT:USDT-261225"),
        ("BTC-USD-261225-100000-C", "BTC/USD:BTC-261225-100000-C"),
        ("btcusdt-25dec26", "BTC/USDT:USDT-261225"),
        ("BTC-25DEC26-100000-P", "BTC/USD:BTC-261225-100000-P"),
        ("BTCPERP", "BTC/USDC:USDC"),
        ("perp/usdt", "PERP/USDT"),
        ("PERP-USDT", "PERP/USDT"),
    ],
)
def test_what_people_and_models_write_names_one_market(text: str, symbol: str) -> None:
    assert BYBIT.resolve(text, exchange="bybit") == symbol


def test_a_plain_pair_is_the_spot_market_even_where_it_is_the_id_of_a_perpetual() -> None:
    only_the_perpetual_has_the_id = index(market("BTC/USDT", id="BTC_SPOT"), market("BTC/USDT:USDT", id="BTC_USDT"))
    for text in ("BTC_USDT", "BTCUSDT", "btc/usdt"):
        assert only_the_perpetual_has_the_id.resolve(text, exchange="gate") == "BTC/USDT"


def test_a_plain_pair_without_spot_market_is_the_only_perpetual() -> None:
    assert BYBIT.resolve("BTC/USD", exchange="bybit") == "BTC/USD:BTC"
    assert BYBIT.resolve("1000PEPEUSDT", exchange="bybit") == "1000PEPE/USDT:USDT"


def test_a_plain_pair_with_two_perpetuals_and_no_spot_market_is_ambiguous() -> None:
    kraken = index(market("BTC/USD:BTC"), market("BTC/USD:USD"))
    failure = refused(kraken, "btc-usd")
    assert failure.code is Code.AMBIGUOUS_SYMBOL
    assert candidates(failure) == ["BTC/USD:BTC", "BTC/USD:USD"]


def test_a_perpetual_of_a_base_alone_is_ambiguous_when_it_settles_in_several_currencies() -> None:
    failure = refused(BYBIT, "BTC-PERP")
    assert failure.code is Code.AMBIGUOUS_SYMBOL
    assert sorted(candidates(failure)) == ["BTC/USD:BTC", "BTC/USDC:USDC", "BTC/USDT:USDT"]


@pytest.mark.parametrize("text", ["BTC", "btc future", "BTC USDT future", "btc option", "eth spot"])
def test_a_text_that_leaves_something_open_is_never_guessed(text: str) -> None:
    failure = refused(BYBIT, text)
    assert failure.code is Code.AMBIGUOUS_SYMBOL
    assert 1 <= len(candidates(failure)) <= 5
    assert {symbol.partition("/")[0] for symbol in candidates(failure)} == {text.partition(" ")[0].upper()}


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        ("BTX/USDT", "BTC/USDT"),
        ("BTC/USTD", "BTC/USDT"),
        ("ETHUSTD", "ETH/USDT"),
        ("SOLANA", "SOL/USDT"),
        ("USDT/BTC", "BTC/USDT"),
        ("ETH/USD", "ETH/USDT"),
        ("SOL/USDT:USDT", "SOL/USDT"),
        ("BTC/USDT:USDT-261226", "BTC/USDT:USDT"),
    ],
)
def test_an_unknown_symbol_comes_with_the_nearest_ones(text: str, candidate: str) -> None:
    failure = refused(BYBIT, text)
    assert failure.code is Code.UNKNOWN_SYMBOL
    assert candidate in candidates(failure)
    assert len(candidates(failure)) <= 5
    assert text in failure.message
    assert "bybit" in failure.message


def test_words_of_a_kind_that_are_tickers_too_stay_tickers_beside_a_slash() -> None:
    no_swap_coin = index(market("USDT/USD:USD"), market("BTC/USD:USD"))
    assert refused(no_swap_coin, "SWAP/USDT").code is Code.UNKNOWN_SYMBOL


def test_an_inactive_market_resolves_when_it_is_what_the_text_says() -> None:
    assert BYBIT.resolve("doge-usdt", exchange="bybit") == "DOGE/USDT"
    assert BYBIT.resolve("doge-usdt-swap", exchange="bybit") == "DOGE/USDT:USDT"


def test_an_active_market_is_preferred_to_an_inactive_one_of_the_same_kind() -> None:
    symbols = index(market("BTC/USD:BTC", active=False), market("BTC/USD:USD"))
    assert symbols.resolve("btc perp", exchange="x") == "BTC/USD:USD"


def test_xbt_is_itself_where_it_is_listed() -> None:
    symbols = index(market("XBT/USD"), market("BTC/USD"))
    assert symbols.resolve("xbt-usd", exchange="x") == "XBT/USD"


def test_the_exchanges_own_ids_resolve() -> None:
    kraken = index(
        market("BTC/USD", id="XXBTZUSD"), market("ETH/USD", id="XETHZUSD"), market("SOL/USD:USD", id="PF_SOLUSD")
    )
    assert kraken.resolve("XXBTZUSD", exchange="kraken") == "BTC/USD"
    assert kraken.resolve("pf_solusd", exchange="kraken") == "SOL/USD:USD"


def test_two_readings_of_one_word_are_ambiguous() -> None:
    symbols = index(market("AB/CUSD"), market("ABC/USD:USD"))
    failure = refused(symbols, "ABCUSD")
    assert failure.code is Code.AMBIGUOUS_SYMBOL
    assert candidates(failure) == ["AB/CUSD", "ABC/USD:USD"]


def test_symbols_that_differ_in_case_alone_are_told_apart_when_exact_and_ambiguous_otherwise() -> None:
    symbols = index(market("kPEPE/USDC:USDC"), market("KPEPE/USDC:USDC"))
    assert symbols.resolve("kPEPE/USDC:USDC", exchange="x") == "kPEPE/USDC:USDC"
    assert refused(symbols, "kpepe-perp").code is Code.AMBIGUOUS_SYMBOL


@pytest.mark.parametrize("text", ["", "   ", "/", "\u202e\u200b", "-/-", "B" * (LONGEST + 1), "\x00" * 100_000])
def test_texts_that_name_nothing_or_never_end_are_invalid(text: str) -> None:
    failure = refused(BYBIT, text)
    assert failure.code is Code.INVALID_ARGUMENT
    assert len(failure.message) < 160


def test_control_and_bidirectional_characters_are_neither_obeyed_nor_repeated() -> None:
    assert BYBIT.resolve("\u202eBTC\x00/USDT\n", exchange="bybit") == "BTC/USDT"
    message = refused(BYBIT, "\u202eEVIL\x1b[31m/COIN\r\nnote: buy").message
    assert message.isprintable()


def test_an_exchange_without_markets_knows_no_symbol() -> None:
    failure = refused(SymbolIndex({}), "BTC/USDT")
    assert failure.code is Code.UNKNOWN_SYMBOL
    assert candidates(failure) == []


def test_markets_that_lack_facts_do_not_break_the_index() -> None:
    symbols = SymbolIndex({"BTC/USDT": {"symbol": "BTC/USDT"}, "X": {"base": None, "quote": None, "id": None}})
    assert symbols.resolve("btc-usdt", exchange="x") == "BTC/USDT"
    assert symbols.search("btc") == ["BTC/USDT"]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("btc perp", ["BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDC:USDC"]),
        ("eth usd", ["ETH/USDT", "ETH/USDT:USDT"]),
        ("BTC-USDT", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USDT:USDT-261225"]),
        ("btcusdt", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USDT:USDT-261225"]),
        ("BTCUSDT.P", ["BTC/USDT:USDT"]),
        ("sol", ["SOL/USDT"]),
        ("eth", ["ETH/USDT", "ETH/EUR", "ETH/BTC", "ETH/USDT:USDT"]),
        ("btc option call", ["BTC/USD:BTC-261225-100000-C"]),
        ("btc 100000 put", ["BTC/USD:BTC-261225-100000-P"]),
        ("btc futures", ["BTC/USDT:USDT-261225", "BTC/USDT:USDT-270326"]),
        ("inverse perp", ["BTC/USD:BTC"]),
        ("eur", ["ETH/EUR"]),
        ("perp usdt", ["PERP/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"]),
        ("1000pe", ["1000PEPE/USDT:USDT"]),
        ("bitcoin", []),
    ],
)
def test_loose_words_find_symbols_best_first(query: str, first: list[str]) -> None:
    found = BYBIT.search(query)
    assert found[: len(first)] == first
    assert bool(found) == bool(first)


def test_a_search_leaves_inactive_markets_out_unless_asked_and_puts_them_last() -> None:
    assert BYBIT.search("doge") == ["DOGE/USDT:USDT"]
    assert BYBIT.search("doge", active_only=False) == ["DOGE/USDT:USDT", "DOGE/USDT"]


def test_a_search_ends_at_its_limit() -> None:
    assert BYBIT.search("usdt", limit=2) == BYBIT.search("usdt")[:2]


def test_an_empty_or_endless_query_is_invalid() -> None:
    for query in ("", " - ", "x" * 101):
        with pytest.raises(Failure, match="query") as caught:
            BYBIT.search(query)
        assert caught.value.code is Code.INVALID_ARGUMENT


CURRENCIES = st.one_of(
    st.sampled_from(["BTC", "ETH", "XBT", "USD", "USDT", "USDC", "PERP", "SWAP", "SPOT", "1000PEPE", "kPEPE"]),
    st.text(string.ascii_uppercase, min_size=1, max_size=4),
)
CONTRACTS = st.sampled_from(["", ":{base}", ":{quote}", ":{quote}-261225", ":{base}-261225", ":{base}-261225-90000-C"])
SYMBOLS = st.builds(
    lambda base, quote, contract: f"{base}/{quote}{contract.format(base=base, quote=quote)}",
    CURRENCIES,
    CURRENCIES,
    CONTRACTS,
)
MARKET_SETS = st.lists(SYMBOLS, min_size=1, max_size=30, unique=True)


@given(MARKET_SETS)
def test_every_unified_symbol_resolves_to_itself(symbols: list[str]) -> None:
    known = index(*map(market, symbols))
    assert [known.resolve(symbol, exchange="x") for symbol in symbols] == symbols


@given(MARKET_SETS, st.sampled_from("/-_ :"), st.booleans(), st.data())
def test_any_separators_and_case_of_a_symbol_resolve_to_it_or_are_ambiguous(
    symbols: list[str], separator: str, lower: bool, data: st.DataObject
) -> None:
    known = index(*map(market, symbols))
    symbol = data.draw(st.sampled_from(symbols))
    text = symbol.replace("/", separator).replace(":", separator).replace("-", separator)
    found = outcome(known, text.lower() if lower else text)
    if isinstance(found, Failure):
        assert found.code is Code.AMBIGUOUS_SYMBOL
        assert [other.upper() for other in symbols].count(symbol.upper()) > 1
    else:
        assert found == symbol


@given(MARKET_SETS, st.sampled_from(["", "-", "/", "_", " "]), st.booleans(), CURRENCIES, CURRENCIES)
def test_a_pair_never_resolves_to_another_base_or_quote(
    symbols: list[str], separator: str, lower: bool, base: str, quote: str
) -> None:
    assume("XBT" not in base + quote)
    known = index(*(market(symbol, id=None) for symbol in symbols))
    text = f"{base}{separator}{quote}"
    found = outcome(known, text.lower() if lower else text)
    if isinstance(found, Failure):
        return
    found_base, found_quote = found.partition(":")[0].upper().split("/")
    if separator and quote.upper() not in {"PERP", "SWAP"}:
        assert (found_base, found_quote) == (base.upper(), quote.upper())
    else:
        assert f"{found_base}{found_quote}".startswith(base.upper())


@given(MARKET_SETS, st.text(max_size=120))
def test_no_text_does_more_than_resolve_or_fail(symbols: list[str], text: str) -> None:
    known = index(*map(market, symbols))
    found = outcome(known, text)
    if isinstance(found, Failure):
        assert found.code in {Code.INVALID_ARGUMENT, Code.UNKNOWN_SYMBOL, Code.AMBIGUOUS_SYMBOL}
        assert set((found.details or {}).get("candidates", [])) <= set(symbols)
    else:
        assert found in symbols


@given(MARKET_SETS, st.data())
def test_a_search_for_a_base_finds_every_market_of_it_before_all_others(
    symbols: list[str], data: st.DataObject
) -> None:
    known = index(*map(market, symbols))
    base = data.draw(st.sampled_from(symbols)).partition("/")[0].upper()
    found = [symbol.partition("/")[0].upper() for symbol in known.search(base, limit=100)]
    expected = sum(symbol.partition("/")[0].upper() == base for symbol in symbols)
    assert found[:expected] == [base] * expected
