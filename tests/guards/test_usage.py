from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccxt_mcp.guards.usage import ROWS, Row, Usage, usage_from_headers

NOW = 1_767_225_610.25  # 2026-01-01T00:00:10.25Z

SEEN: dict[str, tuple[dict[str, str], str, Usage]] = {
    "x-mbx-used-weight-1m": ({"X-MBX-USED-WEIGHT-1M": "1500"}, "api.binance.com", Usage(0.75, 49.75)),
    "x-bapi-limit-status": (
        {
            "X-Bapi-Limit": "50",
            "X-Bapi-Limit-Status": "20",
            "X-Bapi-Limit-Reset-Timestamp": "1767225612250",
        },
        "api.bybit.com",
        Usage(0.4, 2.0),
    ),
    "gw-ratelimit-remaining": (
        {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "500", "gw-ratelimit-reset": "15500"},
        "api.kucoin.com",
        Usage(0.25, 15.5),
    ),
    "x-gate-ratelimit-requests-remain": (
        {
            "X-Gate-RateLimit-Limit": "200",
            "X-Gate-RateLimit-Requests-Remain": "199",
            "X-Gate-Ratelimit-Reset-Timestamp": "1767225618",
        },
        "api.gateio.ws",
        Usage(0.995, 7.75),
    ),
    "bitvavo-ratelimit-remaining": (
        {
            "bitvavo-ratelimit-limit": "1000",
            "bitvavo-ratelimit-remaining": "0",
            "bitvavo-ratelimit-resetat": "1767225660250",
        },
        "api.bitvavo.com",
        Usage(0.0, 50.0),
    ),
    "x-mbx-used-remain-limit": ({"x-mbx-used-remain-limit": "5"}, "api.bitget.com", Usage(0.25, 0.75)),
    "ratelimit-remaining": (
        {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "80", "RateLimit-Reset": "12"},
        "api.example.com",
        Usage(0.8, 12.0),
    ),
    "x-ratelimit-remaining": (
        {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1767225611"},
        "api.example.com",
        Usage(0.1, 0.75),
    ),
}


def close(usage: Usage | None) -> object:
    assert usage is not None
    return pytest.approx((usage.remaining_fraction, usage.reset_in), abs=1e-3)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
@pytest.mark.parametrize("case", [str.lower, str.upper, str], ids=["lower", "upper", "as_seen"])
def test_each_convention_is_read_in_any_case(row: Row, case):
    headers, host, expected = SEEN[row.number]
    usage = usage_from_headers({case(name): value for name, value in headers.items()}, NOW, host)
    assert (expected.remaining_fraction, expected.reset_in) == close(usage)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
@pytest.mark.parametrize("wrong", ["", "many", "-1", "nan", "inf", "1e3", "1_0", "٣", "0x10", "9" * 400, "1 2"])
def test_a_malformed_number_tells_nothing(row: Row, wrong: str):
    headers, host, _ = SEEN[row.number]
    for name in headers:
        assert usage_from_headers(headers | {name: wrong}, NOW, host) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.reset is not None], ids=lambda row: row.number)
def test_a_missing_header_tells_nothing(row: Row):
    headers, host, _ = SEEN[row.number]
    for missing in headers:
        assert (
            usage_from_headers({name: value for name, value in headers.items() if name != missing}, NOW, host) is None
        )


@pytest.mark.parametrize(
    ("host", "fraction"),
    [
        ("api.binance.com", 0.8),
        ("https://api1.binance.com/api/v3/ticker?symbol=BTCUSDT", 0.8),
        ("http://proxy.local:8080/https://fapi.binance.com:443/fapi/v1/time", 0.5),
        ("https://DAPI.binance.com", 0.5),
        ("api.binance.us", None),
        ("", None),
    ],
)
def test_the_weight_of_binance_means_something_only_on_hosts_whose_limit_is_known(host: str, fraction: float | None):
    usage = usage_from_headers({"x-mbx-used-weight-1m": "1200"}, NOW, host)
    assert (usage and usage.remaining_fraction) == fraction


def test_more_used_than_allowed_leaves_nothing_and_more_left_than_the_limit_all():
    assert usage_from_headers({"x-mbx-used-weight-1m": "7000"}, NOW, "api.binance.com") == Usage(0.0, 49.75)
    assert usage_from_headers({"x-mbx-used-remain-limit": "30"}, NOW) == Usage(1.0, 0.75)


def test_a_limit_of_zero_tells_nothing():
    assert usage_from_headers({"ratelimit-limit": "0", "ratelimit-remaining": "0", "ratelimit-reset": "1"}, NOW) is None


@pytest.mark.parametrize(
    ("reset", "seconds"), [("30", 30), ("1767225640.25", 30), ("1767225640250", 30), ("99999", 3600)]
)
def test_a_reset_is_a_duration_or_a_moment_as_it_looks(reset: str, seconds: float):
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "5", "x-ratelimit-reset": reset}
    assert close(usage_from_headers(headers, NOW)) == (0.5, seconds)


def test_a_reset_in_the_past_is_now():
    headers = {"x-bapi-limit": "10", "x-bapi-limit-status": "9", "x-bapi-limit-reset-timestamp": "1767225600000"}
    assert usage_from_headers(headers, NOW) == Usage(0.9, 0.0, of_key=True)


def test_headers_without_any_count_tell_nothing():
    assert usage_from_headers({"Content-Type": "application/json", "Retry-After": "5"}, NOW) is None


names = st.sampled_from(
    sorted({*(name for headers, _, _ in SEEN.values() for name in headers)} | {"X-RateLimit-Reset"})
)


@settings(deadline=None)
@given(st.dictionaries(names, st.text(max_size=40) | st.integers().map(str) | st.floats().map(str)), st.floats(0, 4e9))
def test_no_headers_ever_raise_and_what_is_told_is_within_reason(headers: dict[str, str], now: float):
    usage = usage_from_headers(headers, now, "api.binance.com")
    if usage is not None:
        assert 0 <= usage.remaining_fraction <= 1
        assert 0 <= usage.reset_in <= 3600


def test_the_host_is_found_behind_a_proxy_url_even_when_it_is_encoded():
    target = "https%3A%2F%2Fapi.binance.com%2Fapi%2Fv3%2Fticker%2F24hr%3Fsymbol%3DBTCUSDT"
    usage = usage_from_headers({"X-MBX-USED-WEIGHT-1M": "5990"}, NOW, f"http://127.0.0.1:8080/{target}")
    assert usage is not None
    assert usage.remaining_fraction < 0.01


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_only_what_bybit_counts_is_counted_by_key(row: Row):
    headers, host, _ = SEEN[row.number]
    usage = usage_from_headers(headers, NOW, host)
    assert usage is not None
    assert usage.of_key is row.of_key is (row.number == "x-bapi-limit-status")
