"""Text that others wrote, made safe to show: one line, only visible characters, a bounded length."""

from __future__ import annotations

# Printable by Unicode's word, yet invisible: joiners, fillers and variation selectors can carry hidden instructions.
_INVISIBLE = dict.fromkeys(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
)


def clean_text(text: str, limit: int = 200) -> str:
    """Return text written by an exchange or a caller as one visible line of at most `limit` characters.

    Control characters, bidirectional overrides and isolates, zero-width and other format characters, lone surrogates
    and private-use characters are dropped; each run of white space becomes one space; what is cut ends with "…".
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(_visible(char) for char in text.translate(_INVISIBLE))
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else ""
