"""The one exception of the house and the one table of error codes."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the error table.

    Attributes:
        taps: the TAPS code a client sees.
        reason: the stable, machine-readable cause within that code.
        retryable: whether the same call may succeed later without any change.
        trips_breaker: whether it says that the exchange itself is failing.
        advice: what to do next, in one sentence; a failure may carry a better one.
    """

    taps: str
    reason: str
    retryable: bool
    trips_breaker: bool
    advice: str


class Code(Enum):
    """Every way in which a call can fail; docs/errors.md shows the same table."""

    UNKNOWN_EXCHANGE = Row("TAPS001", "unknown_exchange", False, False, "List exchanges with exchange_list.")
    CREDENTIALS_MISSING = Row(
        "TAPS002", "credentials_missing", False, False, "A human sets the keys: ccxt-mcp keys set ACCOUNT."
    )
    CREDENTIALS_REJECTED = Row(
        "TAPS002", "credentials_rejected", False, False, "A human checks the API key, its secret and its passphrase."
    )
    RATE_LIMITED = Row("TAPS003", "rate_limited", True, False, "Wait for retryAfterMs, or ask for less at once.")
    CLOCK_SKEW = Row("TAPS003", "clock_skew", True, False, "A human synchronises this machine's clock (NTP).")
    INSUFFICIENT_BALANCE = Row("TAPS004", "insufficient_balance", False, False, "Lower the amount or fund the account.")
    INVALID_ARGUMENT = Row("TAPS005", "invalid_argument", False, False, "Correct the named argument and call again.")
    INVALID_ORDER = Row("TAPS005", "invalid_order", False, False, "Correct the order and call again.")
    CLIENT_ORDER_ID_USED = Row(
        "TAPS005", "client_order_id_used", False, False, "Take a new client_order_id for another order."
    )
    REFUSED = Row("TAPS005", "refused", False, False, "The exchange does not accept this request; change it.")
    UNCHANGED = Row("TAPS005", "unchanged", False, False, "It is so already; nothing needs to be done.")
    METHOD_NOT_SUPPORTED = Row(
        "TAPS006", "method_not_supported", False, False, "See what works here with exchange_capabilities."
    )
    MARKET_INACTIVE = Row("TAPS006", "market_inactive", False, False, "Find an active market with market_symbols.")
    TESTNET_NOT_SUPPORTED = Row(
        "TAPS006", "testnet_not_supported", False, False, "Use an exchange with a testnet, or the simulator."
    )
    MAINTENANCE = Row("TAPS007", "maintenance", True, True, "Ask another exchange, or try again in some minutes.")
    CIRCUIT_OPEN = Row("TAPS007", "circuit_open", True, False, "Ask another exchange, or wait for retryAfterMs.")
    TIMEOUT = Row("TAPS008", "timeout", True, True, "Try again, or ask another exchange.")
    NETWORK = Row("TAPS008", "network", True, True, "Try again; ccxt-mcp doctor shows what answers.")
    BAD_REPLY = Row("TAPS008", "bad_reply", True, True, "Try again later, or ask another exchange.")
    EMPTY_REPLY = Row("TAPS008", "empty_reply", True, False, "The market may be idle; try another symbol or exchange.")
    EXCHANGE_ERROR = Row("TAPS008", "exchange_error", False, False, "Read the exchange's message and change the call.")
    PROXY = Row("TAPS008", "proxy", False, False, "A human checks the proxy settings.")
    ORDER_NOT_FOUND = Row("TAPS009", "order_not_found", False, False, "Look the order up among open and closed orders.")
    PERMISSION_DENIED = Row(
        "TAPS010", "permission_denied", False, False, "A human checks what the key or the account may do."
    )
    ACCESS_BLOCKED = Row(
        "TAPS010", "access_blocked", False, False, "The exchange blocks this region or address; ask another exchange."
    )
    TIER_NOT_ALLOWED = Row("TAPS010", "tier_not_allowed", False, False, "A human restarts the server with --allow.")
    UNKNOWN_SYMBOL = Row("TAPS011", "unknown_symbol", False, False, "Find the symbol with market_symbols.")
    AMBIGUOUS_SYMBOL = Row("TAPS011", "ambiguous_symbol", False, False, "Use one of the candidates as it is written.")
    OUTCOME_UNKNOWN = Row(
        "TAPS101",
        "outcome_unknown",
        False,
        True,
        "Never place it again; account_orders_unknown shows what becomes of it, trade_fetch_order finds it.",
    )
    CONFIRMATION_REQUIRED = Row(
        "TAPS102",
        "confirmation_required",
        False,
        False,
        "A human approves it with ccxt-mcp approve; then make the same call again.",
    )
    CONFIRMATION_DECLINED = Row(
        "TAPS102", "confirmation_declined", False, False, "The human said no: do not place it again unasked."
    )
    LIMIT_EXCEEDED = Row("TAPS103", "limit_exceeded", False, False, "Stay within the named limit.")
    HALTED = Row(
        "TAPS103",
        "halted",
        False,
        False,
        "Only cancels and reduce-only orders go through; a human ends it with ccxt-mcp resume.",
    )
    UNRESOLVED_ORDER = Row(
        "TAPS103",
        "unresolved_order",
        True,
        False,
        "Wait until account_orders_unknown is empty; cancels and reduce-only orders go through.",
    )
    JOURNAL_UNAVAILABLE = Row(
        "TAPS999", "journal_unavailable", False, False, "Nothing was sent; a human looks after the journal's database."
    )
    INTERNAL = Row("TAPS999", "internal", False, False, "Report the request id; the log has the details.")

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return self.value.retryable

    @property
    def trips_breaker(self) -> bool:
        """Whether it says that the exchange itself is failing."""
        return self.value.trips_breaker


class Failure(Exception):  # noqa: N818 - the standard's word for it
    """A call that did not succeed, with all that its caller may know.

    Attributes:
        code: the row of the error table.
        message: one short sentence that names value and bound; free of secrets, URLs and bodies.
        hint: what to do next; the code's advice unless a better one is known.
        retry_after: seconds until a retry can succeed, where known.
        details: small structured facts for a program, such as candidate symbols.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint or code.value.advice
        self.retry_after = retry_after
        self.details = details
