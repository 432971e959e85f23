"""Documents: facts as JSON text, always in the same words for the same facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SHOWN = 200  # characters of a document that cannot be read


def written(facts: Mapping[str, Any]) -> str:
    """Return the text of a document: sorted names, no white space, what JSON does not know as its own text."""
    return _sound(json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str))


def read(text: str) -> dict[str, Any]:
    """Return a document from its text; of one that somebody damaged, what there is."""
    try:
        document = json.loads(_sound(text))
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"unreadable": _sound(text[:_SHOWN])}


def read_if_any(text: str | None) -> dict[str, Any] | None:
    """Return a document that may not be there."""
    return None if text is None else read(text)


def _sound(text: str) -> str:
    """Return a text without halves of character pairs, which neither databases nor other programs take."""
    return text.encode("utf-8", "replace").decode()
