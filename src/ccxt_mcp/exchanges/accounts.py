"""Accounts: whose money a call is about. Nobody who names no account trades with real money."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property

from ccxt_mcp.envelope import Mode
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import EnvironmentSource, Source, source_of
from ccxt_mcp.exchanges.lazy import exchange_ids, unknown_exchange
from ccxt_mcp.settings import AccountSettings, LimitSettings, Settings
from ccxt_mcp.text import clean_text

SIMULATOR = "simulator"
PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Account:
    """Money at one exchange, real or not.

    Attributes:
        name: its name.
        exchange: the exchange's id.
        mode: live, testnet, paper or simulated.
        source: where its credentials are; None on paper, and for a simulator's own account, whose key is built in.
        limits: limits that go before the general ones.
        balances: what it starts with, if it is on paper, by currency.
    """

    name: str
    exchange: str
    mode: Mode
    source: Source | None = None
    limits: LimitSettings = field(default_factory=LimitSettings)
    balances: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])


class Accounts:
    """The accounts of all exchanges: configured ones, those that variables make, simulators' own, and paper everywhere.

    Args:
        settings: which accounts are configured, and which variables there are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def modes(self) -> Mapping[str, Mode]:
        """The mode of each exchange's public data, by exchange; the simulators come first."""
        simulated = [SIMULATOR, *(name for name, settings in self._settings.exchanges.items() if settings.simulator)]
        return {
            name: "simulated" if name in simulated else self._settings.exchange(name).mode
            for name in dict.fromkeys([*simulated, *exchange_ids()])
        }

    def resolve(self, exchange: str, account: str | None = None) -> Account:
        """Return an account by its name, or the exchange's default account.

        The account that is named like its exchange is there even if its variables are not set.

        Raises:
            Failure: UNKNOWN_EXCHANGE with the nearest names, or INVALID_ARGUMENT with the exchange's accounts.
        """
        if exchange not in self.modes:
            raise unknown_exchange(exchange, tuple(self.modes))
        name = self._default(exchange) if account is None else account
        accounts = {one.name: one for one in self.of(exchange)}
        if name in accounts:
            return accounts[name]
        if name == exchange:  # the name that variables would give it; which of them are missing is told when needed
            return Account(name, exchange, self.modes[exchange], EnvironmentSource(self._settings.environment, name))
        place = "account" if account is not None else f"Configuration: exchanges.{exchange}.account"
        raise Failure(
            Code.INVALID_ARGUMENT,
            f"{place} is {clean_text(name, 40)!r}, unknown for {exchange}.",
            hint=f"Accounts of {exchange}: {', '.join(accounts)}.",
            details={"accounts": list(accounts)},
        )

    def of(self, exchange: str) -> list[Account]:
        """Return all accounts of an exchange, the default one first."""
        found = {account.name: account for account in self._own(exchange)}
        found.setdefault(PAPER, self._paper(exchange))
        default = self._default(exchange)
        return sorted(found.values(), key=lambda account: account.name != default)

    def all(self) -> list[Account]:
        """Return every account that has a name of its own; a paper account that is not configured is not listed."""
        exchanges = {owner.exchange for owner in self._settings.accounts.values()} | set(self._from_variables())
        return [
            account for exchange, mode in self.modes.items() if exchange in exchanges or mode == "simulated"
            for account in self._own(exchange)
        ]  # fmt: skip

    def named(self, name: str) -> Account:
        """Return the account of a name that a person typed, whatever its exchange is.

        Raises:
            Failure: INVALID_ARGUMENT with the nearest name.
        """
        accounts = {account.name: account for account in self.all()}
        if name in accounts:
            return accounts[name]
        near = get_close_matches(name, accounts, 1)
        raise Failure(
            Code.INVALID_ARGUMENT,
            f"There is no account {clean_text(name, 40)!r}.",
            hint=f"Did you mean {near[0]}?" if near else "Add it to the configuration file as [accounts.NAME].",
        )

    def _default(self, exchange: str) -> str:
        chosen = self._settings.exchange(exchange).account
        return chosen or (exchange if self.modes[exchange] == "simulated" else PAPER)

    def _own(self, exchange: str) -> Iterator[Account]:
        """Yield an exchange's accounts but for the paper account that every exchange has."""
        configured = [name for name, owner in self._settings.accounts.items() if owner.exchange == exchange]
        for name in configured:
            yield self._configured(name, self._settings.accounts[name])
        mode = self.modes[exchange]
        if exchange in configured:
            return
        if mode == "simulated":
            yield Account(exchange, exchange, mode)
        elif (source := EnvironmentSource(self._settings.environment, exchange)).found():
            yield Account(exchange, exchange, mode, source)

    def _configured(self, name: str, owner: AccountSettings) -> Account:
        public = self.modes[owner.exchange]
        mode = owner.mode or public
        environment = self._settings.environment
        built_in = mode == "simulated" and owner.credentials == "env"
        return Account(
            name,
            owner.exchange,
            mode,
            None
            if built_in or mode == "paper"
            else source_of(name, owner.credentials, exchange=owner.exchange, environment=environment),
            owner.limits,
            self._balances(owner) if mode == "paper" else {},
        )

    def _paper(self, exchange: str) -> Account:
        return Account(PAPER, exchange, "paper", balances=self._settings.paper_balances)

    def _balances(self, owner: AccountSettings) -> Mapping[str, Decimal]:
        return self._settings.paper_balances if owner.balances is None else owner.balances

    def _from_variables(self) -> Iterator[str]:
        """Yield the exchanges that variables name."""
        environment = self._settings.environment
        firsts = {name.partition("_")[0].lower() for name in environment.names()}
        for exchange in firsts & set(self.modes):
            if EnvironmentSource(environment, exchange).found():
                yield exchange


def check_names(settings: Settings) -> None:
    """Refuse settings whose names lead nowhere: a mistyped exchange would otherwise be configured in vain.

    The name of a simulator is free, but not that of an exchange, whose prices its own would then seem to be; and the
    name of an account says no more than it is.

    Raises:
        Failure: INVALID_ARGUMENT with the nearest names.
    """
    if not settings.exchanges and not settings.accounts:
        return  # the usual case, which need not know ccxt's exchanges yet
    simulators = {SIMULATOR, *(name for name, own in settings.exchanges.items() if own.simulator)}
    for name in simulators:
        if name.lower() in exchange_ids():
            raise _wrong(f"exchanges.{name} is an exchange and cannot be a simulator", "Give it another name.")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
            raise _wrong(
                f"exchanges.{clean_text(name, 40)} is no name for a simulator", "Use letters, digits, _ and -."
            )
    known = (*simulators, *exchange_ids())
    places = {f"exchanges.{name}": name for name in settings.exchanges}
    places |= {f"accounts.{name}.exchange": account.exchange for name, account in settings.accounts.items()}
    for place, name in places.items():
        if name not in known:
            nearest = unknown_exchange(name, known).hint
            raise _wrong(f"{clean_text(place, 80)} names {clean_text(name, 40)!r}, which is unknown", nearest)
    for name, owner in settings.accounts.items():
        _check_account(name, owner, known, simulated=owner.exchange in simulators)
    for exchange, own in settings.exchanges.items():
        _check_default(exchange, own.account, settings)


def _check_account(name: str, owner: AccountSettings, known: Iterable[str], *, simulated: bool) -> None:
    if name in known and name != owner.exchange:
        hint = "Give it another name, so that nobody takes the one for the other."
        raise _wrong(f"accounts.{name} has the name of another exchange than its own, {owner.exchange}", hint)
    if name == PAPER and owner.mode != "paper":
        hint = 'Set mode = "paper", or give the account another name.'
        raise _wrong("accounts.paper is not on paper, as every account of this name is", hint)
    if owner.balances is not None and owner.mode != "paper":
        raise _wrong(f"accounts.{name}.balances is only for paper accounts", 'Set mode = "paper", or leave it out.')
    if (owner.mode == "simulated") > simulated:
        hint = "Use the exchange simulator, or an exchange with simulator = URL."
        raise _wrong(f"accounts.{name}.mode is simulated, but {owner.exchange} is no simulator", hint)
    if simulated and owner.mode in {"live", "testnet"}:
        hint = 'Set mode = "simulated" or "paper", or leave it out.'
        raise _wrong(f"accounts.{name}.mode is {owner.mode}, but {owner.exchange} is a simulator", hint)


def _check_default(exchange: str, account: str | None, settings: Settings) -> None:
    """Refuse a default that no variable could make an account either."""
    names = [name for name, owner in settings.accounts.items() if owner.exchange == exchange]
    names += [exchange, PAPER]
    if account is not None and account not in names:
        what = f"exchanges.{exchange}.account names {clean_text(account, 40)!r}, which is no account of {exchange}"
        raise _wrong(what, f"Accounts of {exchange}: {', '.join(dict.fromkeys(names))}.")


def _wrong(what: str, hint: str) -> Failure:
    return Failure(Code.INVALID_ARGUMENT, f"Configuration: {what}.", hint=hint)
