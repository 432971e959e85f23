"""Settings: one frozen object from the configuration file and the environment. Unknown keys are errors."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_config_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ccxt_mcp.errors import Code, Failure

PREFIX = "CCXT_MCP_"
_FILE_ONLY = {"exchanges", "accounts"}
_CONFIG_VARIABLE = f"{PREFIX}CONFIG"


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _level(value: Any) -> Any:
    level = value.strip().lower() if isinstance(value, str) else value
    return "warning" if level == "warn" else level


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - unlike Path's, it leaves what it cannot expand


def _web_url(value: str) -> str:
    return _url(value, "http://", "https://")


def _socks_url(value: str) -> str:
    return _url(value, "socks5://", "socks5h://", "socks4://")


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
Folder = Annotated[Path, AfterValidator(_expanded)]


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
        simulator: the URL of a running simulator; makes this name one of its venues.
        rate_limit: milliseconds per cost unit, where ccxt's own pace is not the right one for this operator.
        default_type: ccxt's `defaultType` for symbols and methods that leave the market type open.
    """

    mode: Literal["live", "testnet"] = "live"
    simulator: WebUrl | None = None
    rate_limit: float | None = Field(default=None, gt=0)
    default_type: Literal["spot", "margin", "swap", "future", "option"] | None = None


class AccountSettings(_Frozen):
    """One named account: an exchange and the environment in which it is used."""

    exchange: str
    mode: Literal["live", "testnet"] = "live"


class Settings(Proxies):
    """All that can be configured; docs/configuration.md lists each with its environment name.

    Attributes:
        exchanges: settings per exchange id.
        accounts: named accounts.
        log_level: what is logged to stderr.
        deadline: seconds within which every call is answered; a method's own deadline may be shorter.
        answer_cap: bytes that no answer exceeds, in either channel.
        cache_bytes: memory that cached answers may take.
        cache_dir: folder of the market files.
        idle_minutes: minutes after which an unused exchange is closed; longer than any deadline.
        toolsets: groups of tools that clients see.
        read_only: whether tools that change anything are hidden.
    """

    exchanges: Mapping[str, ExchangeSettings] = Field(default_factory=dict)
    accounts: Mapping[str, AccountSettings] = Field(default_factory=dict)
    log_level: Level = "warning"
    deadline: float = Field(default=10.0, gt=0, le=120)
    answer_cap: int = Field(default=65_536, ge=4_096)
    cache_bytes: int = Field(default=64 * 2**20, ge=2**20)
    cache_dir: Folder = Field(default_factory=lambda: user_cache_path("ccxt-mcp"))
    idle_minutes: float = Field(default=30.0, ge=3)
    toolsets: Words = ("default",)
    read_only: bool = False

    def exchange(self, exchange: str) -> ExchangeSettings:
        """Return the settings of one exchange; its own proxy replaces the general one."""
        own = self.exchanges.get(exchange, ExchangeSettings())
        return own if own.chosen or own.simulator else own.model_copy(update=self.chosen)


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
        return Settings(**values)
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
    variables = {"log_level": "LOG_LEVEL"} if environment.get("LOG_LEVEL") else {}
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
        model = {"exchanges": ExchangeSettings, "accounts": AccountSettings}[path[0]] if len(path) > 1 else Settings
        return _unknown_setting(".".join(path), get_close_matches(path[-1], model.model_fields, 1))
    path[:1] = [variables.get(name, name) for name in path[:1]]
    place = f"{'.'.join(path)}: " if path else ""
    message = first["msg"].removeprefix("Value error, ")
    return Failure(
        Code.INVALID_ARGUMENT,
        f"Configuration: {place}{message}.",
        hint="docs/configuration.md lists all settings.",
    )


def _unknown_setting(name: str, near: list[str]) -> Failure:
    hint = f"Did you mean {near[0]}?" if near else "docs/configuration.md lists them all."
    return Failure(Code.INVALID_ARGUMENT, f"{name} is not a setting.", hint=hint)
