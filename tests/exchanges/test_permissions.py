"""Permissions: what each exchange says of a key, and what it must not be taken for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccxt_mcp.exchanges import permissions
from ccxt_mcp.exchanges.credentials import BuiltIn
from ccxt_mcp.exchanges.lazy import exchange_class
from ccxt_mcp.exchanges.permissions import Permissions, key_permissions
from ccxt_mcp.exchanges.vault import Vault
from ccxt_mcp.exchanges.venue import Trace, Venue, VenueKey, guarded

ASKED = permissions._ASK
YES = Permissions(read=True, trade=True, withdraw=True, ip_restricted=False)
NO = Permissions(read=True, trade=False, withdraw=False, ip_restricted=True)

REPLIES: list[tuple[str, Any, Permissions]] = [
    (
        "bybit",
        {"result": {"readOnly": 0, "permissions": {"Spot": ["SpotTrade"], "Wallet": ["Withdraw"]}, "ips": ["*"]}},
        YES,
    ),
    (
        "bybit",
        {"result": {"readOnly": 1, "permissions": {"Spot": ["SpotTrade"], "Wallet": ["Withdraw"]}, "ips": ["1.2.3.4"]}},
        NO,
    ),
    (
        "binance",
        {
            "enableReading": True,
            "enableWithdrawals": True,
            "ipRestrict": False,
            "enableFutures": True,
            "enableSpotAndMarginTrading": False,
        },
        YES,
    ),
    (
        "binance",
        {
            "enableReading": True,
            "enableWithdrawals": False,
            "ipRestrict": True,
            "enableFutures": False,
            "enableSpotAndMarginTrading": False,
            "enableMargin": False,
            "enableVanillaOptions": False,
        },
        NO,
    ),
    ("okx", {"data": [{"perm": "read_only,withdraw,trade", "ip": ""}]}, YES),
    ("okx", {"data": [{"perm": "read_only", "ip": "1.2.3.4"}]}, NO),
    ("bitget", {"data": {"authorities": ["stow", "wwow"], "ips": ""}}, YES),
    ("bitget", {"data": {"authorities": ["stor", "coor"], "ips": "1.2.3.4"}}, NO),
    ("kucoin", {"data": {"permission": "General,Spot,Withdrawal", "ipWhitelist": ""}}, YES),
    ("kucoin", {"data": {"permission": "General", "ipWhitelist": "1.2.3.4"}}, NO),
    (
        "kraken",
        {"result": {"permissions": ["query-funds", "modify-orders", "withdraw-funds"], "ip_allowlist": []}},
        YES,
    ),
    ("kraken", {"result": {"permissions": ["query-funds", "query-open-orders"], "ip_allowlist": ["1.2.3.4"]}}, NO),
    ("coinbase", {"can_view": True, "can_trade": True, "can_transfer": True}, Permissions(True, True, True)),
    ("coinbase", {"can_view": True, "can_trade": False, "can_transfer": False}, Permissions(True, False, False)),
    ("bitfinex", [["wallets", 1, 0], ["orders", 1, 1], ["withdraw", 0, 1]], Permissions(True, True, True)),
    ("bitfinex", [["wallets", 1, 0], ["orders", 1, 0], ["withdraw", 0, 0]], Permissions(True, False, False)),
]


@pytest.mark.parametrize(("exchange", "reply", "told"), REPLIES)
def test_what_an_exchange_tells_is_read(exchange: str, reply: Any, told: Permissions) -> None:
    assert ASKED[exchange][1](reply) == told


@pytest.mark.parametrize("exchange", ASKED)
def test_the_method_that_asks_is_ccxts_and_reads(exchange: str) -> None:
    method, _ = ASKED[exchange]
    assert callable(getattr(exchange_class(exchange)(), method))
    assert {name for name, _, _ in REPLIES} >= ASKED.keys()


@pytest.mark.parametrize("exchange", ASKED)
@given(
    reply=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["result", "data", "permissions", "ips", "Wallet"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_an_unknown_reply_is_never_taken_for_a_harmless_key_nor_for_a_defect(exchange: str, reply: Any) -> None:
    told = ASKED[exchange][1](reply if exchange != "bitfinex" or isinstance(reply, list) else [])
    assert all(value in {None, True, False} for value in told.to_dict().values())
    if reply in ({}, [], {"result": {}}, {"data": []}):
        assert told.withdraw is None


def test_a_key_that_can_withdraw_is_warned_of_loudly_and_no_other() -> None:
    assert "CAN WITHDRAW YOUR MONEY, from any address." in str(YES.warning)
    assert "CAN WITHDRAW YOUR MONEY." in str(Permissions(withdraw=True, ip_restricted=True).warning)
    assert NO.warning is None
    assert Permissions().warning is None


async def test_an_exchange_that_does_not_tell_and_an_account_without_a_key_are_not_asked() -> None:
    silent = guarded(exchange_class("bitstamp"))({})
    silent.held = Vault(idle=60).of("bitstamp", "main", BuiltIn({}))
    keyless = guarded(exchange_class("kraken"))({})
    for exchange in (silent, keyless):
        assert await key_permissions(Venue(VenueKey(exchange.id, "live", "main"), exchange), trace=Trace()) is None
