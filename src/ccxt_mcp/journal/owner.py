"""Owner: the process that is at work on an intent, told apart from every other, on this host or elsewhere."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_UNTOLD = ""  # the start of a process where the system does not tell it


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, and one journal that is open in it.

    Attributes:
        host: the machine, this start of it, and the space of process ids; the same words mean that ids compare.
        pid: the process id.
        start: when the process began, in the system's own words; a later process with the same id has another.
        token: random; tells two journals of one process apart.
    """

    host: str
    pid: int
    start: str
    token: str

    @classmethod
    def here(cls, token: str) -> Owner:
        """Return this process as an owner."""
        return cls(_host(), os.getpid(), _start(os.getpid()) or _UNTOLD, token)

    @property
    def gone(self) -> bool:
        """Whether the process has certainly ended; of another host that is never certain."""
        return self.host == _host() and _start(self.pid) != self.start


@lru_cache(maxsize=1)
def _host() -> str:
    """Return the name of this host, of its present start and of the space of process ids.

    Containers may share a host's name, and their process ids mean different processes.
    """
    return "/".join([platform.node(), _read("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid")])


def _start(pid: int) -> str | None:
    """Return when a process began; None when there is none that runs, "" where the system does not tell."""
    if sys.platform == "linux":
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        # Fields 3 and 22 of the file: the state, where Z and X are ends, and the start in ticks since the host's.
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None
    if sys.platform == "win32":
        return _UNTOLD  # asking would end the process; the intent's own time tells
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return _UNTOLD
    return _UNTOLD


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
