"""Child processes as users have them: with bytecode on disk, and with nothing of this machine's configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

_ROOT = Path(__file__).parents[1]
_WHERE_PYTHON_IS = frozenset({"PYTHONPATH", "PYTHONHOME"})
_LAST_WORDS = 2_000
_ENDS_WITHIN = 5.0  # seconds after the end of its input


class Child:
    """A Python process that is spoken to line by line, and that never outlives its time.

    Args:
        command: what follows `python`.
        environment: variables besides those that are inherited.
        lifetime: seconds after which it is killed, so that nothing ever waits for it for good.
    """

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None, lifetime: float = 120.0) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_inherited() | dict(environment or {}),
            cwd=_ROOT,
        )
        self._last_resort = threading.Timer(lifetime, self.process.kill)
        self._last_resort.daemon = True
        self._last_resort.start()

    def write(self, *lines: bytes) -> None:
        """Send lines at once."""
        stdin = _open(self.process.stdin)
        stdin.write(b"".join(lines))
        stdin.flush()

    def read(self) -> bytes:
        """Return the next line.

        Raises:
            RuntimeError: the process has ended; tells its last words.
        """
        if line := _open(self.process.stdout).readline():
            return line
        self.close()
        raise RuntimeError(f"{self.process.args!r} ended with {self.process.returncode}: {self._last_words}")

    def close(self) -> None:
        """End the input, and the process if that does not."""
        self._last_resort.cancel()
        _open(self.process.stdin).close()
        try:
            self.process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _open(self.process.stdout).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._errors.close()

    @property
    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-_LAST_WORDS:]


def resident_mib(process: Child) -> float:
    """Return the memory that a child holds now (RSS), in MiB."""
    return resident_mib_of(process.process.pid)


def resident_mib_of(pid: int) -> float:
    """Return the memory that a process holds now (RSS), in MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        kib = status.partition("VmRSS:")[2].split()[0]
    except FileNotFoundError:  # not Linux
        kib = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True).stdout
    return int(kib) / 1024


def configured(folder: Path, urls: Mapping[str, str], *, of_each: str = "", of_all: str = "") -> dict[str, str]:
    """Write a configuration that names simulated exchanges; return the environment of a server that uses it.

    Args:
        folder: where the configuration and the server's files go, the journal among them.
        urls: simulators by the names under which the server knows them.
        of_each: more lines of TOML for each exchange.
        of_all: more lines of TOML at the end.
    """
    folder.mkdir(exist_ok=True)
    config = folder / "config.toml"
    exchanges = (f'[exchanges.{name}]\nsimulator = "{url}"\n{of_each}\n' for name, url in urls.items())
    config.write_text("".join(exchanges) + of_all)
    return {
        "CCXT_MCP_CONFIG": str(config),
        "CCXT_MCP_CACHE_DIR": str(folder / "cache"),
        "CCXT_MCP_DATA_DIR": str(folder / "data"),
    }


def _inherited() -> dict[str, str]:
    """Return this process's environment without what changes how Python or the server runs.

    PYTHONDONTWRITEBYTECODE above all: without bytecode, every start compiles for seconds.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _WHERE_PYTHON_IS or not name.startswith(("PYTHON", "CCXT_MCP_", "LOG_LEVEL", "JOURNAL_URL"))
    }


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process has no pipe")
    return pipe


SERVER: Sequence[str] = ("-m", "ccxt_mcp")
"""The server over stdio."""

BARE: Sequence[str] = ("-m", "bench.bare")
"""The baseline: the SDK's own server with one tool, over the SDK's own stdio."""
