"""Credentials: where an account's are, how they are read, and what to do when they are missing."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.settings import Environment
from ccxt_mcp.text import clean_text

CREDENTIALS: Mapping[str, str] = {
    "apiKey": "API_KEY",
    "secret": "SECRET",
    "password": "PASSWORD",
    "uid": "UID",
    "privateKey": "PRIVATE_KEY",
    "walletAddress": "WALLET_ADDRESS",
    "login": "LOGIN",
    "accountId": "ACCOUNT_ID",
    "token": "TOKEN",
    "twofa": "TWOFA",
}
"""All that ccxt's `requiredCredentials` can ask for, with the end of its variable's name."""

SERVICE = "ccxt-mcp"
"""The name of the service in the system's keyring."""

_ENDS = frozenset(f"{end}{kind}" for end in CREDENTIALS.values() for kind in ("", "_FILE"))
_SECRET_VARIABLE = re.compile(rf".+_(?:{'|'.join(_ENDS)})|(?:CCXT_MCP_)?JOURNAL_URL|CCXT_MCP_\w*PROXY(?:_URL)?")
_LONGEST = 65_536  # bytes of a credential file; the largest PEM key has about 13,000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Source(Protocol):
    """Where an account's credentials are."""

    def __str__(self) -> str:
        """Return the place, for people."""
        ...

    def found(self) -> dict[str, str]:
        """Return where each credential is that is set, by ccxt's name; never a value.

        Raises:
            Failure: the place cannot be looked at.
        """
        ...

    def read(self) -> dict[str, str]:
        """Return the credentials that are set, by ccxt's name.

        Raises:
            Failure: a file is not to be trusted or cannot be read, or there is no keyring.
        """
        ...

    def advice(self, missing: Iterable[str]) -> str:
        """Return how a human sets these credentials."""
        ...


class Writable(Source, Protocol):
    """A place into which `ccxt-mcp keys` may write."""

    def write(self, name: str, value: str) -> None:
        """Keep a credential under ccxt's name.

        Raises:
            Failure: it cannot be kept there.
        """
        ...

    def delete(self, name: str) -> None:
        """Forget a credential that is kept.

        Raises:
            Failure: it cannot be taken from there.
        """
        ...


def source_of(account: str, credentials: str, *, exchange: str, environment: Environment) -> Source:
    """Return the source that an account's setting names.

    Args:
        account: the account's name.
        credentials: env, env:PREFIX, keyring or file:PATH.
        exchange: whose variables `env` means.
        environment: the variables.
    """
    kind, _, rest = credentials.partition(":")
    match kind:
        case "keyring":
            return KeyringSource(account)
        case "file":
            return FileSource(Path(rest.strip()).expanduser(), account)
        case _:
            return EnvironmentSource(environment, rest or exchange)


def credential_name(text: str) -> str:
    """Return ccxt's name of a credential, however its words are put together: apiKey, api_key, API-KEY.

    Raises:
        Failure: INVALID_ARGUMENT with the nearest name.
    """
    plain = re.sub(r"[_-]", "", text).lower()
    names = {name.lower(): name for name in CREDENTIALS}
    if plain in names:
        return names[plain]
    near = [names[match] for match in get_close_matches(plain, names, 1)] or [", ".join(CREDENTIALS)]
    raise Failure(
        Code.INVALID_ARGUMENT,
        f"{clean_text(text, 40)!r} is no credential of ccxt.",
        hint=f"Did you mean {near[0]}?" if len(near[0]) < 20 else f"There are {near[0]}.",
    )


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment a child process may have that signs nothing: all but keys and passwords."""
    return {name: value for name, value in environment.items() if not _SECRET_VARIABLE.fullmatch(name)}


class BuiltIn:
    """The key of a simulator, which is no secret.

    Args:
        values: the credentials by ccxt's name.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __str__(self) -> str:
        return "built in"

    def found(self) -> dict[str, str]:
        """Return that they are built in."""
        return dict.fromkeys(self._values, "built in")

    def read(self) -> dict[str, str]:
        """Return the credentials."""
        return dict(self._values)

    def advice(self, missing: Iterable[str]) -> str:
        """Return that the simulator gives no key."""
        return "Start the simulator of this version."


class EnvironmentSource:
    """Variables such as KRAKEN_API_KEY; of each also the form KRAKEN_API_KEY_FILE, which names a file instead.

    Args:
        environment: the variables.
        prefix: what their names begin with, in any case.
    """

    def __init__(self, environment: Environment, prefix: str) -> None:
        self._environment = environment
        self._prefix = prefix.upper()

    def __str__(self) -> str:
        return f"variables {self._prefix}_…"

    def found(self) -> dict[str, str]:
        """Return the variable of each credential that is set."""
        return dict(self._set())

    def read(self) -> dict[str, str]:
        """Return the credentials that are set, from the variables as they are now."""
        values: dict[str, str] = {}
        for name, variable in self._set():
            value = self._environment.get(variable) or ""
            if name in values:
                raise Failure(
                    Code.CREDENTIALS_MISSING,
                    f"{variable.removesuffix('_FILE')} and {variable} are both set, and only one counts.",
                    hint="Unset one of them and restart the server.",
                )
            if variable.endswith("_FILE"):
                value = _file_text(Path(value).expanduser(), named_by=variable)
            values[name] = _tidied(value)
        return {name: value for name, value in values.items() if value}

    def advice(self, missing: Iterable[str]) -> str:
        """Return which variables to set."""
        names = " and ".join(f"{self._prefix}_{CREDENTIALS[name]}" for name in missing)
        return f"A human sets {names} (or the same with _FILE, naming a file of mode 600) and restarts the server."

    def _set(self) -> Iterator[tuple[str, str]]:
        for name, end in CREDENTIALS.items():
            for variable in (f"{self._prefix}_{end}", f"{self._prefix}_{end}_FILE"):
                if self._environment.get(variable):
                    yield name, variable


class FileSource:
    """A TOML file of credentials that nobody but its owner may read.

    Args:
        path: the file; a link is followed.
        account: whose credentials it holds.
    """

    def __init__(self, path: Path, account: str) -> None:
        self._path = path
        self._account = account

    def __str__(self) -> str:
        return f"file {self._path}"

    def found(self) -> dict[str, str]:
        """Return the file for each credential in it."""
        return dict.fromkeys(self.read(), str(self._path))

    def read(self) -> dict[str, str]:
        """Return the credentials in the file, which must not be readable by others."""
        text = _file_text(self._path, named_by=f"accounts.{self._account}.credentials")
        try:
            table: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"\(at [^)]*\)", str(error))  # the rest of the text might quote a secret
            where = f" {place[0]}" if place else ""
            raise Failure(Code.CREDENTIALS_MISSING, f"{self._path} is no TOML{where}.", hint=self.advice(())) from None
        if wrong := [name for name, value in table.items() if not isinstance(value, str)]:
            message = f"{self._path}: {clean_text(wrong[0], 40)} is no text."
            raise Failure(Code.CREDENTIALS_MISSING, message, hint="Put the value in quotation marks.")
        values = {credential_name(name): _tidied(value) for name, value in table.items()}
        return {name: value for name, value in values.items() if value}

    def advice(self, missing: Iterable[str]) -> str:
        """Return what to write into the file."""
        names = " and ".join(CREDENTIALS[name].lower() for name in missing) or "its credentials"
        return f"A human writes {names} into {self._path}, or runs ccxt-mcp keys set {self._account}."

    def write(self, name: str, value: str) -> None:
        """Put a credential into the file; a new file is the owner's alone."""
        begun = self._path.exists() and self._path.stat().st_size > 0
        self._replace((self.read() if begun else {}) | {name: value})

    def delete(self, name: str) -> None:
        """Take a credential out of the file, which goes with its last one."""
        if rest := {kept: value for kept, value in self.read().items() if kept != name}:
            self._replace(rest)
        else:
            self._path.unlink()

    def _replace(self, values: Mapping[str, str]) -> None:
        path = self._path.resolve()
        part = path.with_name(f".{path.name}.part")
        lines = [f"{CREDENTIALS[name].lower()} = {_toml_text(value)}\n" for name, value in values.items()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise Failure(Code.INVALID_ARGUMENT, f"{self._path} cannot be written: {error.strerror}.") from None


class KeyringSource:
    """The system's keyring: macOS Keychain, Windows Credential Locker, the Secret Service of Linux desktops.

    Args:
        account: the account's name; the entries are ACCOUNT/apiKey and so on.
    """

    def __init__(self, account: str) -> None:
        self._account = account

    def __str__(self) -> str:
        return "keyring"

    def found(self) -> dict[str, str]:
        """Return the keyring's entry for each credential that is set."""
        return {name: self._entry(name) for name in self.read()}

    def read(self) -> dict[str, str]:
        """Return the credentials in the keyring. The system may ask its user to unlock it."""
        with _keyring() as keyring:
            values = {name: keyring.get_password(SERVICE, self._entry(name)) for name in CREDENTIALS}
        return {name: _tidied(value) for name, value in values.items() if value}

    def advice(self, missing: Iterable[str]) -> str:
        """Return the commands that set them."""
        commands = " and ".join(f"ccxt-mcp keys set {self._account} {name}" for name in missing)
        return f"A human runs {commands}."

    def write(self, name: str, value: str) -> None:
        """Keep a credential in the keyring."""
        with _keyring() as keyring:
            keyring.set_password(SERVICE, self._entry(name), value)

    def delete(self, name: str) -> None:
        """Take a credential out of the keyring."""
        with _keyring() as keyring:
            keyring.delete_password(SERVICE, self._entry(name))

    def _entry(self, name: str) -> str:
        return f"{self._account}/{name}"


@contextmanager
def _keyring() -> Generator[Any]:
    """Give the keyring package for a moment, and tell what is wrong with it in our words."""
    try:
        import keyring  # noqa: PLC0415 - an optional extra
        import keyring.errors  # noqa: PLC0415
    except ImportError:
        raise Failure(
            Code.CREDENTIALS_MISSING,
            "The keyring package is not installed.",
            hint='A human runs pip install "ccxt-mcp-server[keyring]", or keeps the keys in variables or a file.',
        ) from None
    try:
        yield keyring
    except keyring.errors.NoKeyringError:
        raise Failure(
            Code.CREDENTIALS_MISSING,
            "This system has no keyring that can be used.",
            hint='A human keeps the credentials in variables or in a file: credentials = "file:PATH".',
        ) from None
    except keyring.errors.KeyringLocked:
        message, hint = "The keyring is locked.", "A human unlocks the system's keyring and tries again."
        raise Failure(Code.CREDENTIALS_MISSING, message, hint=hint) from None
    except keyring.errors.KeyringError as error:
        message = f"The keyring refused: {type(error).__name__}."
        hint = "A human looks at the system's keyring, or keeps the credentials in variables or a file."
        raise Failure(Code.CREDENTIALS_MISSING, message, hint=hint) from None


def _file_text(path: Path, *, named_by: str) -> str:
    """Return the text of a credential file, if nobody but its owner may read it.

    Raises:
        Failure: CREDENTIALS_MISSING that names the file, what is wrong, and what to do.
    """

    def refusal(what: str, hint: str | None = None) -> Failure:
        return Failure(Code.CREDENTIALS_MISSING, f"{path}, named by {named_by}, {what}.", hint=hint)

    try:
        with open(path, "rb", opener=_opened) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise refusal("is not a file", f"Let {named_by} name a file.")
            if os.name == "posix" and status.st_mode & _OTHERS:
                hint = f"Run chmod 600 {path}, and rotate the key if others could read it."
                raise refusal(f"may be read by others (mode {stat.S_IMODE(status.st_mode):o})", hint)
            content = file.read(_LONGEST + 1)
        text = content.decode()
    except OSError as error:
        raise refusal(f"cannot be read: {error.strerror}", f"Correct {named_by}, or make the file.") from None
    except UnicodeDecodeError:
        raise refusal("holds no text", f"Let {named_by} name a text file.") from None
    if len(content) > _LONGEST:
        raise refusal(f"is larger than {_LONGEST} bytes", f"Let {named_by} name the right file.")
    if not text.strip():
        raise refusal("is empty", "Write the credential into it.")
    return text


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would wait for one


def _tidied(value: str) -> str:
    """Return a value without the white space around it; a PEM key that had to be written in one line has its lines."""
    value = value.strip()
    if value.startswith("-----BEGIN"):
        value = value.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
    return value


def _toml_text(value: str) -> str:
    escaped = "".join(_ESCAPES.get(char, char) for char in value)
    if any(ord(char) < 0x20 or char == "\x7f" for char in escaped):
        raise Failure(Code.INVALID_ARGUMENT, "The value holds control characters.", hint="Paste it once more.")
    return f'"{escaped}"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
