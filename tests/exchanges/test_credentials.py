"""Credentials: each source, what is refused, and that nothing of a value shows."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ccxt.async_support as ccxt_async
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.credentials import (
    CREDENTIALS,
    EnvironmentSource,
    FileSource,
    KeyringSource,
    credential_name,
    source_of,
    without_credentials,
)
from ccxt_mcp.settings import Environment
from keyring_backend import MemoryKeyring, chosen_keyring

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f\n-----END EC PRIVATE KEY-----\n"
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="files have modes there")


@pytest.fixture
def keyring() -> Iterator[MemoryKeyring]:
    backend = MemoryKeyring()
    with chosen_keyring(backend):
        yield backend


@pytest.fixture
def private(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def refusal(read: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as refused:
        read()
    assert SECRET not in refused.value.message + refused.value.hint
    return refused.value


def test_everything_that_ccxt_can_ask_for_has_a_variable() -> None:
    asked = {name for exchange in ccxt_async.exchanges for name in getattr(ccxt_async, exchange)().requiredCredentials}
    assert asked <= CREDENTIALS.keys()
    assert len(set(CREDENTIALS.values())) == len(CREDENTIALS)


# -- variables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CREDENTIALS)
def test_each_credential_is_read_from_its_variable_or_from_the_file_that_the_other_one_names(
    name: str, private: Callable[[str, str], Path]
) -> None:
    variable = f"KRAKEN_{CREDENTIALS[name]}"
    path = private("secret", f"{SECRET}\n")
    assert EnvironmentSource(Environment({variable: f" {SECRET}\n"}), "kraken").read() == {name: SECRET}
    from_file = EnvironmentSource(Environment({f"{variable}_FILE": str(path)}), "kraken")
    assert from_file.read() == {name: SECRET}
    assert from_file.found() == {name: f"{variable}_FILE"}


def test_an_empty_variable_counts_as_not_set_and_other_exchanges_are_not_looked_at() -> None:
    environment = Environment({"OKX_API_KEY": "", "OKX_SECRET": " ", "KRAKEN_API_KEY": "x", "OKXUS_UID": "y"})
    assert EnvironmentSource(environment, "okx").read() == {}
    assert EnvironmentSource(environment, "okx").found() == {"secret": "OKX_SECRET"}


def test_variables_are_read_as_they_are_when_they_are_needed() -> None:
    variables = {"OKX_UID": "one"}
    source = EnvironmentSource(Environment(variables), "okx")
    variables["OKX_UID"] = "two"
    assert source.read() == {"uid": "two"}


def test_a_variable_and_its_file_at_once_are_refused(private: Callable[[str, str], Path]) -> None:
    both = {"OKX_SECRET": SECRET, "OKX_SECRET_FILE": str(private("a", SECRET))}
    failure = refusal(EnvironmentSource(Environment(both), "okx").read)
    assert failure.message == "OKX_SECRET and OKX_SECRET_FILE are both set, and only one counts."


@pytest.mark.parametrize("written", [PEM, PEM.replace("\n", "\\n"), PEM.replace("\n", "\r\n"), f"  {PEM.strip()}"])
def test_a_pem_key_has_its_lines_however_it_had_to_be_written(written: str) -> None:
    assert EnvironmentSource(Environment({"COINBASE_SECRET": written}), "coinbase").read() == {"secret": PEM}


def test_the_advice_names_the_variables() -> None:
    source = source_of("sub", "env:OKX_SUB", exchange="okx", environment=Environment())
    assert "OKX_SUB_API_KEY and OKX_SUB_SECRET" in source.advice(["apiKey", "secret"])
    assert str(source_of("okx", "env", exchange="okx", environment=Environment())) == "variables OKX_…"


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_file_holds_credentials_under_any_spelling_of_their_names(private: Callable[[str, str], Path]) -> None:
    path = private("a.toml", f'api_key = "k"\nSECRET = "{SECRET}"\nwalletAddress = "0x1"\nuid = ""\n')
    source = FileSource(path, "main")
    assert source.read() == {"apiKey": "k", "secret": SECRET, "walletAddress": "0x1"}
    assert source.found() == dict.fromkeys(source.read(), str(path))


@needs_posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o777])
def test_a_file_that_others_may_read_or_write_is_refused_with_what_to_do(
    mode: int, private: Callable[[str, str], Path]
) -> None:
    path = private("a.toml", f'secret = "{SECRET}"')
    path.chmod(mode)
    failure = refusal(FileSource(path, "main").read)
    assert failure.code is Code.CREDENTIALS_MISSING
    assert f"may be read by others (mode {mode:o})" in failure.message
    assert failure.hint == f"Run chmod 600 {path}, and rotate the key if others could read it."


@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_taken_also_behind_a_link(
    mode: int, private: Callable[[str, str], Path], tmp_path: Path
) -> None:
    path = private("a.toml", f'secret = "{SECRET}"')
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    assert FileSource(tmp_path / "link", "main").read() == {"secret": SECRET}


@needs_posix
def test_a_link_does_not_hide_that_others_may_read_the_file(
    private: Callable[[str, str], Path], tmp_path: Path
) -> None:
    path = private("a.toml", f'secret = "{SECRET}"')
    path.chmod(0o644)
    (tmp_path / "link").symlink_to(path)
    assert "may be read by others" in refusal(FileSource(tmp_path / "link", "main").read).message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (f'secret = "{SECRET}', "is no TOML"),
        (SECRET, "is no TOML"),
        ("secret = 5", "secret is no text"),
        ('[keys]\nsecret = "x"', "keys is no text"),
        (f'secret = "{"x" * 70_000}"', "is larger than 65536 bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_showing_it(
    text: str, problem: str, private: Callable[[str, str], Path]
) -> None:
    assert problem in refusal(FileSource(private("a.toml", text), "main").read).message


def test_a_misspelt_name_in_a_file_gets_the_nearest_one(private: Callable[[str, str], Path]) -> None:
    failure = refusal(FileSource(private("a.toml", f'secrte = "{SECRET}"'), "main").read)
    assert failure.message == "'secrte' is no credential of ccxt."
    assert failure.hint == "Did you mean secret?"


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    assert "holds no text" in refusal(FileSource(tmp_path / "binary", "a").read).message
    assert "cannot be read" in refusal(FileSource(tmp_path / "missing", "a").read).message
    assert "cannot be read" in refusal(FileSource(tmp_path, "a").read).message


@needs_posix
def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    environment = Environment({"OKX_SECRET_FILE": str(tmp_path / "pipe")})
    failure = refusal(EnvironmentSource(environment, "okx").read)
    assert "named by OKX_SECRET_FILE, is not a file" in failure.message


@needs_posix
@pytest.mark.parametrize("value", [SECRET, PEM, 'quo"te \\ back', "tab\tbed", "ünï€"])
def test_what_is_written_into_a_file_is_read_again_and_is_its_owners_alone(value: str, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "new" / "a.toml", "main")
    source.write("apiKey", "first")
    source.write("secret", value)
    assert source.read() == {"apiKey": "first", "secret": value}
    assert (tmp_path / "new" / "a.toml").stat().st_mode & 0o777 == 0o600
    source.delete("apiKey")
    assert source.read() == {"secret": value}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.toml"]


def test_control_characters_are_not_written(tmp_path: Path) -> None:
    assert "control characters" in refusal(lambda: FileSource(tmp_path / "a", "m").write("uid", "a\x1bb")).message


# -- the keyring ---------------------------------------------------------------------------------------------------


def test_the_keyring_has_an_entry_for_each_credential_of_each_account(keyring: MemoryKeyring) -> None:
    source = KeyringSource("main")
    source.write("apiKey", "k")
    source.write("secret", SECRET)
    KeyringSource("other").write("secret", "another")
    assert keyring.entries["ccxt-mcp", "main/secret"] == SECRET
    assert source.read() == {"apiKey": "k", "secret": SECRET}
    assert source.found() == {"apiKey": "main/apiKey", "secret": "main/secret"}
    source.delete("secret")
    assert source.read() == {"apiKey": "k"}
    assert source.advice(["secret"]) == "A human runs ccxt-mcp keys set main secret."


class LockedKeyring(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("prompt dismissed")


@pytest.mark.parametrize(
    ("backend", "problem"),
    [(NoKeyring(), "no keyring that can be used"), (LockedKeyring(), "is locked")],
    ids=["none", "locked"],
)
def test_a_keyring_that_cannot_be_used_says_what_else_to_do(backend: KeyringBackend, problem: str) -> None:
    with chosen_keyring(backend):
        failure = refusal(KeyringSource("main").read)
    assert problem in failure.message
    assert failure.hint.startswith("A human ")


def test_deleting_what_the_keyring_does_not_have_is_refused(keyring: MemoryKeyring) -> None:
    assert "PasswordDeleteError" in refusal(lambda: KeyringSource("main").delete("uid")).message


def test_without_the_package_it_is_said_how_to_get_it() -> None:
    script = """
import sys
sys.modules["keyring"] = None
from ccxt_mcp.exchanges.credentials import KeyringSource
try: KeyringSource("main").read()
except Exception as failure: print(failure.hint)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert 'pip install "ccxt-mcp-server[keyring]"' in ended.stdout


# -- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["apiKey", "api_key", "API-KEY", "apikey"])
def test_a_name_is_understood_however_its_words_are_put_together(text: str) -> None:
    assert credential_name(text) == "apiKey"


def test_no_source_shows_or_saves_a_value(private: Callable[[str, str], Path], keyring: MemoryKeyring) -> None:
    path = private("a.toml", f'secret = "{SECRET}"')
    KeyringSource("main").write("secret", SECRET)
    environment = Environment({"OKX_SECRET": SECRET})
    for setting in ("env", "keyring", f"file:{path}"):
        source = source_of("main", setting, exchange="okx", environment=environment)
        assert source.read() == {"secret": SECRET}
        assert SECRET not in f"{source!s} {source!r} {vars(source)} {source.found()} {source.advice(['secret'])}"
        assert SECRET.encode() not in pickle.dumps(source)


def test_a_child_that_signs_nothing_gets_no_keys_and_no_passwords() -> None:
    kept = {"PATH": "/bin", "HOME": "/root", "CCXT_MCP_CACHE_DIR": "/c", "SSH_AUTH_SOCK": "/s"}
    dropped = {"KRAKEN_API_KEY", "OKX_SUB_PASSWORD", "A_PRIVATE_KEY_FILE", "JOURNAL_URL", "CCXT_MCP_HTTP_PROXY"}
    assert without_credentials(kept | dict.fromkeys(dropped, SECRET)) == kept
