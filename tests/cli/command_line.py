"""Runs the command line as a person does: as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ccxt_mcp

PATIENCE = 60.0  # seconds, far beyond what any command takes
COMMAND = (sys.executable, "-m", "ccxt_mcp")


def clean_environment(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment without our settings, with a configuration and a cache of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("CCXT_MCP_") and name != "LOG_LEVEL"
    }
    config = folder / "config.toml"
    config.touch()
    own = {
        "CCXT_MCP_CONFIG": str(config),
        "CCXT_MCP_CACHE_DIR": str(folder / "cache"),
        "CCXT_MCP_DATA_DIR": str(folder / "data"),
        "PYTHONPATH": str(Path(ccxt_mcp.__file__).parents[1]),
        "COLUMNS": "80",
    }
    return kept | own | more


def run(*words: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `ccxt-mcp` with these words, without a terminal and with an empty stdin."""
    return subprocess.run(
        [*COMMAND, *words],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
