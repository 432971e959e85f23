"""Settings: one frozen object from the configuration file and the environment. Unknown keys are errors.

Credentials are none of them: an account says where its credentials are, and they are read when they are needed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from ccxt_mcp.errors import Code, Failure

PREFIX = "CCXT_MCP_"
_FILE_ONLY = {"exchanges", "accounts", "limits", "paper_balances"}
_CONFIG_VARIABLE = f"{PREFIX}CONFIG"
_PLAIN_NAMES = {"log_level": "LOG_LEVEL", "journal_url": "JOURNAL_URL"}
"""Variables without our prefix that other software knows too; ours are the stronger ones."""


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _level(value: Any) -> Any:
    level = _lower(value)
    return "warning" if level == "warn" else level


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - unlike Path's, it leaves what it cannot expand


def _web_url(value: str) -> str:
    return _url(value, "http://", "https://")


def _socks_url(value: str) -> str:
    return _url(value, "socks5://", "socks5h://", "socks4://")


def _journal_url(value: str) -> str:
    if not re.match(r"[a-z][a-z0-9+]*://", value):
        raise ValueError("write a URL that begins with postgresql:// or sqlite://")
    return value


def _credentials(value: str) -> str:
    if value in {"env", "keyring"} or re.fullmatch(r"env:[A-Za-z][A-Za-z0-9_]*|file:\S.*", value):
        return value
    raise ValueError('write "env", "env:PREFIX", "keyring" or "file:PATH"; the credentials themselves stand elsewhere')


def _account_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", value):
        raise ValueError("name an account with letters, digits, _ and -")
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{1,20}", value):
        raise ValueError("write a currency in capital letters, such as USDT")
    return value


def _url(value: str, *schemes: str) -> str:
    if not value.startswith(schemes):
        raise ValueError(f"write a URL that begins with {', '.join(schemes[:-1])} or {schemes[-1]}")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may hold a part of a password
        usable = False
    if not usable:
        raise ValueError("write a URL with a host and, if any, a port from 1 to 65535")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]
SocksUrl = Annotated[str, AfterValidator(_socks_url)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Level = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_level)]
Allow = Annotated[Literal["public", "account", "paper", "trade", "funds"], BeforeValidator(_lower)]
Folder = Annotated[Path, AfterValidator(_expanded)]
JournalUrl = Annotated[str, AfterValidator(_journal_url)]
Credentials = Annotated[str, AfterValidator(_credentials)]
AccountName = Annotated[str, AfterValidator(_account_name)]
Balances = Mapping[Annotated[str, AfterValidator(_currency)], Annotated[Decimal, Field(ge=0)]]
Amount = Annotated[Decimal | None, Field(ge=0)]
Count = Annotated[int | None, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Proxies(_Frozen):
    """How requests leave this machine; at most one of the three. URLs may hold passwords, so repr hides them.

    Attributes:
        proxy_url: a prefix put before each request's URL (ccxt's `proxyUrl`).
        http_proxy: an HTTP CONNECT proxy.
        socks_proxy: a SOCKS proxy.
    """

    proxy_url: WebUrl | None = Field(default=None, repr=False)
    http_proxy: WebUrl | None = Field(default=None, repr=False)
    socks_proxy: SocksUrl | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if len(self.chosen) > 1:
            raise ValueError(f"choose one of {' and '.join(self.chosen)}")
        return self

    @property
    def chosen(self) -> dict[str, str]:
        """The proxy settings that are set, by name."""
        pairs = {"proxy_url": self.proxy_url, "http_proxy": self.http_proxy, "socks_proxy": self.socks_proxy}
        return {name: value for name, value in pairs.items() if value}


class ExchangeSettings(Proxies):
    """What an operator may set for one exchange; nothing else reaches ccxt.

    Attributes:
        mode: which environment public data comes from when no account is named.
        account: the account of calls that name none; where it is not set, `paper`, or a simulator's own.
        simulator: the URL of a running simulator; makes this name one of its venues.
        rate_limit: milliseconds per cost unit, where ccxt's own pace is not the right one for this operator.
        default_type: ccxt's `defaultType` for symbols and methods that leave the market type open.
    """

    mode: Literal["live", "testnet"] = "live"
    account: AccountName | None = None
    simulator: WebUrl | None = None
    rate_limit: float | None = Field(default=None, gt=0)
    default_type: Literal["spot", "margin", "swap", "future", "option"] | None = None


class LimitSettings(_Frozen):
    """Limits that an operator sets; what is not set is left to the default of the account's mode.

    Attributes:
        order_notional: value of one order, in US dollars.
        daily_notional: value of all orders of a day (UTC), in US dollars.
        open_orders: orders that rest at the same time.
        orders_per_minute: orders within any minute.
        price_collar: percent by which a price may be worse than the market.
        leverage: leverage that may be used.
        daily_loss: loss of a day (UTC), in US dollars, after which only reducing orders pass.
        confirm_above: value in US dollars above which a human is asked, whatever the money.
        allow_symbols: the only symbols that may be traded, if set.
        deny_symbols: symbols that may not be traded.
        allow_exchanges: the only exchanges that may be traded on, if set.
        deny_exchanges: exchanges that may not be traded on.
    """

    order_notional: Amount = None
    daily_notional: Amount = None
    open_orders: Count = None
    orders_per_minute: Count = None
    price_collar: Amount = None
    leverage: Amount = None
    daily_loss: Amount = None
    confirm_above: Amount = None
    allow_symbols: Words | None = None
    deny_symbols: Words | None = None
    allow_exchanges: Words | None = None
    deny_exchanges: Words | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class AccountSettings(_Frozen):
    """One named account.

    Attributes:
        exchange: the exchange's id.
        mode: its environment; that of the exchange's public data where it is not set.
        credentials: where its credentials are: the exchange's variables (env), variables of another prefix
            (env:PREFIX), the system's keyring, or a TOML file (file:PATH). They are read on first use.
        balances: what a paper account starts with, by currency.
        limits: limits that go before the general ones.
    """

    exchange: str
    mode: Literal["live", "testnet", "paper", "simulated"] | None = None
    credentials: Credentials = "env"
    balances: Balances | None = None
    limits: LimitSettings = Field(default_factory=LimitSettings)


class Environment:
    """The variables that settings were loaded with. It shows their names only, and is neither copied nor saved."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables: Mapping[str, str] = {} if variables is None else variables

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.names()) or 'nothing'}>"

    def __reduce__(self) -> tuple[type[Environment], tuple[()]]:
        return Environment, ()

    def __copy__(self) -> Environment:
        return self

    def __deepcopy__(self, _: Any) -> Environment:
        return self

    def names(self) -> list[str]:
        """Return the names of the variables that are set; an empty one is not."""
        return sorted(name for name, value in self._variables.items() if value)

    def get(self, name: str) -> str | None:
        """Return the present value of a variable; None if it is not set, or empty."""
        return self._variables.get(name) or None


class Settings(Proxies):
    """All that can be configured; docs/configuration.md lists each with its environment name.

    Attributes:
        exchanges: settings per exchange id.
        accounts: named accounts.
        limits: limits of all accounts.
        allow: the most that the server may do; each word includes those before it.
        log_level: what is logged to stderr.
        deadline: seconds within which every call is answered; a method's own deadline may be shorter.
        answer_cap: bytes that no answer exceeds, in either channel.
        cache_bytes: memory that cached answers may take.
        cache_dir: folder of the market files.
        data_dir: folder of the journal.
        journal_url: the journal's database, where it is not the file in `data_dir`; may hold a password.
        paper_balances: what paper accounts start with, by currency.
        idle_minutes: minutes after which an unused exchange is closed; longer than any deadline.
        credentials_idle_minutes: minutes without use after which credentials leave the memory.
        reconcile_seconds: how long after a lost reply the exchange may still carry out the order.
        ticket_minutes: how long a confirmation waits for a human.
        stream_limit: live streams that may be open at once.
        stream_pace: seconds between two notifications that a resource has changed, at least.
        toolsets: groups of tools that clients see.
        read_only: whether tools that change anything are hidden.
    """

    exchanges: Mapping[str, ExchangeSettings] = Field(default_factory=dict)
    accounts: Mapping[AccountName, AccountSettings] = Field(default_factory=dict)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    allow: Allow = "paper"
    log_level: Level = "warning"
    deadline: float = Field(default=10.0, gt=0, le=120)
    answer_cap: int = Field(default=65_536, ge=4_096)
    cache_bytes: int = Field(default=64 * 2**20, ge=2**20)
    cache_dir: Folder = Field(default_factory=lambda: user_cache_path("ccxt-mcp"))
    data_dir: Folder = Field(default_factory=lambda: user_data_path("ccxt-mcp"))
    journal_url: JournalUrl | None = Field(default=None, repr=False)
    paper_balances: Balances = Field(
        default_factory=lambda: {
            **dict.fromkeys(("USDT", "USD", "USDC", "EUR"), Decimal(100_000)),
            "BTC": Decimal(1),
            "ETH": Decimal(10),
        }
    )
    idle_minutes: float = Field(default=30.0, ge=3)
    credentials_idle_minutes: float = Field(default=15.0, ge=1)
    reconcile_seconds: float = Field(default=15.0, ge=1, le=600)
    ticket_minutes: float = Field(default=10.0, gt=0, le=1440)
    stream_limit: int = Field(default=500, ge=1, le=10_000)
    stream_pace: float = Field(default=1.0, ge=0.05, le=3600)
    toolsets: Words = ("default",)
    read_only: bool = False

    _environment: Environment = PrivateAttr(default_factory=Environment)

    def model_post_init(self, context: Any, /) -> None:
        """Keep the environment that the settings were loaded with; settings made by hand have none."""
        if context is not None:
            self._environment = context

    @property
    def environment(self) -> Environment:
        """The variables in which credentials may be."""
        return self._environment

    def exchange(self, exchange: str) -> ExchangeSettings:
        """Return the settings of one exchange; its own proxy replaces the general one."""
        own = self.exchanges.get(exchange, ExchangeSettings())
        return own if own.chosen or own.simulator else own.model_copy(update=self.chosen)

    def limits_of(self, account: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the limits that are set for an account: the general ones, then its own, which go before them."""
        own = self.accounts.get(account)
        return self.limits.given, own.limits.given if own else {}


def chosen_environment(config: str | None) -> Mapping[str, str]:
    """Return the process's environment, with the path of a configuration file that was named on the command line."""
    return os.environ if config is None else ChainMap({_CONFIG_VARIABLE: config}, os.environ)


def config_path(environment: Mapping[str, str]) -> Path:
    """Return where the configuration file is, whether or not it exists."""
    named = environment.get(_CONFIG_VARIABLE)
    return _expanded(named) if named else user_config_path("ccxt-mcp") / "config.toml"


def load_settings(environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Return the settings from, strongest first: overrides, environment, configuration file, defaults.

    Raises:
        Failure: INVALID_ARGUMENT that names the file, the variable or the key, and what is wrong with it.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    variables = _variables(environment)
    values = _from_file(config_path(environment), required=_CONFIG_VARIABLE in environment)
    values |= {name: environment[variable] for name, variable in variables.items()} | given
    try:
        return Settings.model_validate(values, context=Environment(environment))
    except ValidationError as error:
        raise _refusal(error, {name: variable for name, variable in variables.items() if name not in given}) from None


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise Failure(Code.INVALID_ARGUMENT, f"{_CONFIG_VARIABLE} names {path}, which does not exist.") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure(Code.INVALID_ARGUMENT, f"{path} cannot be read: {error}") from None


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that set something, by the name of the setting."""
    known = set(Settings.model_fields) - _FILE_ONLY
    variables = {name: variable for name, variable in _PLAIN_NAMES.items() if environment.get(variable)}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != _CONFIG_VARIABLE and value:
            name = variable.removeprefix(PREFIX).lower()
            if name not in known:
                near = [f"{PREFIX}{match.upper()}" for match in get_close_matches(name, known, 1)]
                raise _unknown_setting(variable, near)
            variables[name] = variable
    return variables


def _refusal(error: ValidationError, variables: Mapping[str, str]) -> Failure:
    """Return the failure for what pydantic found first, under the name by which a person set it."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    path = [str(step) for step in first["loc"]]
    if first["type"] == "extra_forbidden":
        return _unknown_setting(".".join(path), get_close_matches(path[-1], _table(path[:-1]).model_fields, 1))
    path[:1] = [variables.get(name, name) for name in path[:1]]
    place = f"{'.'.join(step for step in path if step != '[key]')}: " if path else ""
    message = first["msg"].removeprefix("Value error, ")
    return Failure(
        Code.INVALID_ARGUMENT,
        f"Configuration: {place}{message}.",
        hint="docs/configuration.md lists all settings.",
    )


def _table(path: Sequence[str]) -> type[BaseModel]:
    """Return what describes the table at a path of the file."""
    match path:
        case ["limits"] | ["accounts", _, "limits"]:
            return LimitSettings
        case ["accounts", _]:
            return AccountSettings
        case ["exchanges", _]:
            return ExchangeSettings
        case _:
            return Settings


def _unknown_setting(name: str, near: list[str]) -> Failure:
    hint = f"Did you mean {near[0]}?" if near else "docs/configuration.md lists them all."
    return Failure(Code.INVALID_ARGUMENT, f"{name} is not a setting.", hint=hint)
