"""A real PostgreSQL server for tests, from the binaries that the wheel `pgserver` brings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def _binaries() -> Path:
    """Return the folder of the binaries; importing their package would already touch the system."""
    package = importlib.util.find_spec("pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


@contextmanager
def running_postgres() -> Generator[str]:
    """Run a server of one's own on a local socket, and yield the URL of its database.

    PostgreSQL refuses to run as root. For root it runs as nobody; pgserver's own way would add a user to the system.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *options: str) -> None:
        with (folder / f"{program}.out").open("wb") as output:
            subprocess.run(
                [_binaries() / program, "-D", "data", *options],
                cwd=folder,
                user=user,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    try:
        run("initdb", "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        run("pg_ctl", "start", "-w", "-s", "-l", "log", "-o", options)
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-s", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
