"""Permissions: what an API key may do, asked of the exchanges that tell. A key that can withdraw is worth a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ccxt_mcp.exchanges.quirks import lineage
from ccxt_mcp.exchanges.venue import Trace, Venue


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do; None where the exchange does not say.

    Attributes:
        read: whether it may see balances and orders.
        trade: whether it may place orders.
        withdraw: whether it may send money away.
        ip_restricted: whether it works from some addresses only.
    """

    read: bool | None = None
    trade: bool | None = None
    withdraw: bool | None = None
    ip_restricted: bool | None = None

    @property
    def warning(self) -> str | None:
        """What a human must know about the key at once; None if there is nothing."""
        if not self.withdraw:
            return None
        exposed = ", from any address" if self.ip_restricted is False else ""
        return (
            f"THIS KEY CAN WITHDRAW YOUR MONEY{exposed}. This server never needs that: "
            "make a key without the right to withdraw, use it instead, and delete this one."
        )

    def to_dict(self) -> dict[str, bool | None]:
        """Return the JSON object."""
        return {"read": self.read, "trade": self.trade, "withdraw": self.withdraw, "ipRestricted": self.ip_restricted}


async def key_permissions(venue: Venue, *, trace: Trace) -> Permissions | None:
    """Ask the exchange what the account's key may do.

    Args:
        venue: the exchange as the account sees it.
        trace: notes the request.

    Returns:
        None where the exchange has no way to tell, or the account has no key.

    Raises:
        Failure: credentials are missing. Errors of ccxt pass through, without secrets.
    """
    known = sorted(lineage(type(venue.exchange)) & _ASK.keys())
    if venue.held is None or not known:
        return None
    method, read = _ASK[known[0]]
    return read(await venue.call(method, trace=trace))


def _bybit(reply: Any) -> Permissions:
    """Read /v5/user/query-api: bybit-exchange.github.io/docs/v5/user/apikey-info."""
    key = _object(_object(reply).get("result"))
    granted = _object(key.get("permissions"))
    wallet = granted.get("Wallet")
    trades = any(granted.get(name) for name in ("ContractTrade", "Spot", "Options", "Derivatives"))
    read_only = _flag(key.get("readOnly"))
    writes = None if read_only is None else not read_only
    return Permissions(
        read=True,
        trade=writes and trades,
        withdraw=(writes and "Withdraw" in wallet) if isinstance(wallet, list) else None,
        ip_restricted=_restricted(key.get("ips")),
    )


def _binance(reply: Any) -> Permissions:
    """Read /sapi/v1/account/apiRestrictions: developers.binance.com, "Get API Key Permission"."""
    key = _object(reply)
    trades = [
        _flag(key.get(name))
        for name in ("enableSpotAndMarginTrading", "enableFutures", "enableMargin", "enableVanillaOptions")
    ]
    return Permissions(
        read=_flag(key.get("enableReading")),
        trade=_any(trades),
        withdraw=_flag(key.get("enableWithdrawals")),
        ip_restricted=_flag(key.get("ipRestrict")),
    )


def _okx(reply: Any) -> Permissions:
    """Read /api/v5/account/config: okx.com/docs-v5, "Get account configuration"."""
    rows = _object(reply).get("data")
    key = _object(rows[0]) if isinstance(rows, list) and rows else {}
    words = _words(key.get("perm"))
    return Permissions(
        read=None if words is None else True,
        trade=_in(words, "trade"),
        withdraw=_in(words, "withdraw"),
        ip_restricted=bool(key["ip"]) if isinstance(key.get("ip"), str) else None,
    )


def _bitget(reply: Any) -> Permissions:
    """Read /api/v2/spot/account/info: bitget.com/api-doc/spot/account/Get-Account-Info."""
    key = _object(_object(reply).get("data"))
    words = _words(key.get("authorities"))
    return Permissions(
        read=None if words is None else True,
        trade=_any([_in(words, word) for word in ("trade", "stow", "coow", "smow")]),
        withdraw=_any([_in(words, word) for word in ("withdraw", "wwow")]),
        ip_restricted=bool(key["ips"]) if isinstance(key.get("ips"), str) else None,
    )


def _kucoin(reply: Any) -> Permissions:
    """Read /api/v1/user/api-key, whose words include "Transfer" for moving money out on older keys."""
    key = _object(_object(reply).get("data"))
    words = _words(key.get("permission"))
    return Permissions(
        read=_in(words, "general"),
        trade=_any([_in(words, word) for word in ("spot", "futures", "margin", "trade")]),
        withdraw=_any([_in(words, word) for word in ("withdrawal", "withdraw", "transfer")]),
        ip_restricted=bool(key["ipWhitelist"]) if isinstance(key.get("ipWhitelist"), str) else None,
    )


def _kraken(reply: Any) -> Permissions:
    """Read /0/private/GetApiKeyInfo: docs.kraken.com, "Get API Key Info"."""
    key = _object(_object(reply).get("result"))
    words = _words(key.get("permissions"))
    return Permissions(
        read=_any_part(words, "query"),
        trade=_any_part(words, "order", "trade"),
        withdraw=_any_part(words, "withdraw"),
        ip_restricted=_restricted(key.get("ip_allowlist")),
    )


def _coinbase(reply: Any) -> Permissions:
    """Read /api/v3/brokerage/key_permissions, whose transfers go to any wallet."""
    key = _object(reply)
    return Permissions(
        read=_flag(key.get("can_view")), trade=_flag(key.get("can_trade")), withdraw=_flag(key.get("can_transfer"))
    )


def _bitfinex(reply: Any) -> Permissions:
    """Read /v2/auth/r/permissions, rows of scope, read and write: docs.bitfinex.com/reference/key-permissions."""
    rows = {str(row[0]): row[1:3] for row in reply if isinstance(row, list) and len(row) >= 3}
    return Permissions(
        read=_flag(rows["wallets"][0]) if "wallets" in rows else None,
        trade=_flag(rows["orders"][1]) if "orders" in rows else None,
        withdraw=_flag(rows["withdraw"][1]) if "withdraw" in rows else None,
    )


_ASK: Mapping[str, tuple[str, Callable[[Any], Permissions]]] = {
    "binance": ("sapiGetAccountApiRestrictions", _binance),
    "bitfinex": ("privatePostAuthRPermissions", _bitfinex),
    "bitget": ("privateSpotGetV2SpotAccountInfo", _bitget),
    "bybit": ("privateGetV5UserQueryApi", _bybit),
    "coinbase": ("v3PrivateGetBrokerageKeyPermissions", _coinbase),
    "kraken": ("privatePostGetApiKeyInfo", _kraken),
    "kucoin": ("privateGetUserApiKey", _kucoin),
    "okx": ("privateGetAccountConfig", _okx),
}
"""The exchanges that tell, the method of ccxt that asks, and what reads the reply."""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _flag(value: Any) -> bool | None:
    """Read what exchanges write for yes and no; anything else says nothing."""
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())


def _words(value: Any) -> list[str] | None:
    if isinstance(value, str):
        value = value.split(",")
    return [str(word).strip().lower() for word in value] if isinstance(value, list) else None


def _in(words: list[str] | None, word: str) -> bool | None:
    return None if words is None else word in words


def _any_part(words: list[str] | None, *parts: str) -> bool | None:
    """Whether a part is in any of the words but those that only ask."""
    if words is None:
        return None
    return any(part in word for word in words for part in parts if part == "query" or "query" not in word)


def _any(flags: Iterable[bool | None]) -> bool | None:
    """Return whether one of them is true; None if none is and not all are known."""
    known = list(flags)
    return True if True in known else None if None in known else False


def _restricted(addresses: Any) -> bool | None:
    """Whether a list of addresses, in which "*" stands for all, leaves any out."""
    return bool(addresses) and "*" not in addresses if isinstance(addresses, list) else None
