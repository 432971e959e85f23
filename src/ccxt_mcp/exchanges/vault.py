"""The vault: credentials in memory, sealed, until nobody used them for a while."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import Source
from ccxt_mcp.seal import Seal

MASK = "[redacted]"
_SHORTEST = 6  # shorter ones are too much like ordinary words


class Sealed:
    """A text that is sealed, in the place of that text."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Held:
    """The credentials of one account: read on first use, sealed at once, forgotten when they were idle.

    Args:
        account: the account's name, for messages.
        exchange: the exchange's id, for messages.
        source: where they are.
        seal: keeps them.
        clock: monotonic seconds.
    """

    def __init__(
        self, account: str, exchange: str, source: Source, *, seal: Seal, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.account = account
        self.exchange = exchange
        self.source = source
        self._seal = seal
        self._clock = clock
        self._values: dict[str, bytes] | None = None
        self._session: dict[str, Any] = {}
        self._uses = 0
        self._used_at = clock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.exchange}/{self.account} from {self.source}>"

    def __reduce__(self) -> str:
        raise TypeError("credentials cannot be copied or saved")

    @property
    def loaded(self) -> bool:
        """Whether they are in memory now."""
        return self._values is not None

    async def load(self, required: Iterable[str]) -> None:
        """Read them from their source if they are not in memory.

        Args:
            required: ccxt's names of those that the exchange cannot do without.

        Raises:
            Failure: CREDENTIALS_MISSING that names what is missing and how to set it, or what is wrong with the source.
        """
        self._used_at = self._clock()
        if self._values is None:
            values = await asyncio.to_thread(self.source.read)
            self._values = {name: self._seal.close(value) for name, value in values.items()}
        if missing := self.missing(required):
            self.forget()  # what a human adds counts from the next call on
            raise self.refusal(missing)

    def missing(self, required: Iterable[str]) -> list[str]:
        """Return which of these are not there."""
        values = self._values or {}
        missing = [name for name in required if name not in values]
        # On exchanges that know a wallet by its address, the address alone is enough for reading.
        return [] if missing == ["privateKey"] and "walletAddress" in values else missing

    def refusal(self, missing: Iterable[str]) -> Failure:
        """Return the failure for credentials that are not there."""
        names = list(missing)
        return Failure(
            Code.CREDENTIALS_MISSING,
            f"{self.exchange}: account {self.account} lacks {', '.join(names)} ({self.source}).",
            hint=self.source.advice(names),
            details={"missing": names},
        )

    def reveal(self, name: str) -> str | None:
        """Return one of them in plain text, for the moment in which a request is signed."""
        sealed = self._session.get(name) or (self._values or {}).get(name)
        return None if sealed is None else self._seal.open(sealed)

    def keep(self, name: str, value: str) -> None:
        """Seal what an exchange gave instead of a credential, such as a session's token."""
        self._session[name] = self._seal.close(value)

    def secrets(self) -> Iterator[str]:
        """Yield those that are in memory, in plain text, one after the other."""
        for sealed in list((self._values or {}).values()):
            yield self._seal.open(sealed)

    def scrub(self, text: str) -> str:
        """Return the text without them, in each form that a request gives them."""
        for secret in self.secrets():
            if len(secret) >= _SHORTEST:
                for form in _forms(secret):
                    text = text.replace(form, MASK)
        return text

    # -- while a call runs ---------------------------------------------------------------------------------------------

    def enter(self, options: dict[str, Any]) -> None:
        """Begin a call: give ccxt's options back what was derived from the credentials."""
        self._uses += 1
        if self._uses == 1:
            stowed = self._session.pop("options", None) or {}
            options.update({name: self._opened(value) for name, value in stowed.items()})

    def leave(self, options: dict[str, Any], derived: Iterable[str]) -> None:
        """End a call: seal what ccxt derived from the credentials, and take it out of its options."""
        self._uses -= 1
        self._used_at = self._clock()
        if self._uses == 0 and (found := {name: options.pop(name) for name in derived if name in options}):
            self._session["options"] = {name: self._closed(value) for name, value in found.items()}

    def forget_if_idle(self, since: float) -> None:
        """Forget them if nobody used them since then."""
        if self._uses == 0 and self._used_at < since:
            self.forget()

    def forget(self) -> None:
        """Take them out of memory; the next call reads them from their source again."""
        self._values = None
        self._session.clear()

    def _closed(self, value: Any) -> Any:
        match value:
            case str():
                return Sealed(self._seal.close(value))
            case dict():
                return {name: self._closed(item) for name, item in value.items()}
            case list():
                return [self._closed(item) for item in value]
            case _:
                return value

    def _opened(self, value: Any) -> Any:
        match value:
            case Sealed(content=content):
                return self._seal.open(content)
            case dict():
                return {name: self._opened(item) for name, item in value.items()}
            case list():
                return [self._opened(item) for item in value]
            case _:
                return value


class Vault:
    """The credentials of all accounts.

    Args:
        idle: seconds without use after which an account's are forgotten.
        clock: monotonic seconds.
    """

    def __init__(self, *, idle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._clock = clock
        self._seal = Seal()
        self._held: dict[tuple[str, str], Held] = {}

    def of(self, exchange: str, account: str, source: Source) -> Held:
        """Return what is held of an account, which is nothing before its first use."""
        key = exchange, account
        if key not in self._held:
            self._held[key] = Held(account, exchange, source, seal=self._seal, clock=self._clock)
        return self._held[key]

    def present(self) -> Iterator[str]:
        """Yield all secrets that are in memory, in plain text, one after the other: for who takes them out of logs."""
        for held in list(self._held.values()):
            yield from held.secrets()

    def scrub(self, text: str) -> str:
        """Return the text without any secret that is in memory."""
        for held in list(self._held.values()):
            text = held.scrub(text)
        return text

    def forget_idle(self) -> None:
        """Forget the credentials that nobody used for the configured time."""
        since = self._clock() - self._idle
        for held in self._held.values():
            held.forget_if_idle(since)

    def close(self) -> None:
        """Forget all of them."""
        for held in self._held.values():
            held.forget()


def _forms(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode()
    once = (secret, json.dumps(secret)[1:-1], encoded)
    return tuple(dict.fromkeys((*once, *(quote(form, safe="") for form in once), quote_plus(secret))))
