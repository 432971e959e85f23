"""The `ccxt-mcp` command: serves at once when that is all that is asked, and leaves the rest to `cli`.

An MCP client waits for every millisecond between start and tool list, so the way to a served session imports nothing
that only people need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_VALUED = {"--toolsets": "toolsets", "--allow": "allow", "--log-level": "log_level", "--config": "config"}
_NOT_OF_SERVE = {"--help", "-h", "--version"}


def main() -> None:
    """Run the command line of this process and exit with its code."""
    words = sys.argv[1:]
    if not words or (words[0].startswith("-") and words[0] not in _NOT_OF_SERVE):
        words = ["serve", *words]
    try:
        sys.exit(_run(words))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(words: Sequence[str]) -> int:
    options = _plain_options(words[1:]) if words[0] == "serve" else None
    if options is None:
        from ccxt_mcp.cli.commands import run_cli  # noqa: PLC0415 - for people only

        return run_cli(words)
    from ccxt_mcp.serve import serve  # noqa: PLC0415 - half a second, which the other commands save

    return serve(**options)


def _plain_options(words: Sequence[str]) -> dict[str, str] | None:
    """Return the options of `serve`, or None when they hold a question or a mistake, which `cli` answers."""
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _VALUED:
            given = value if equals else next(rest, "")
            if not given or given.startswith("-"):
                return None
            options[_VALUED[name]] = given
        elif word == "--read-only":
            options["read_only"] = "true"
        else:
            return None
    return options


if __name__ == "__main__":
    main()
