"""A finding: one line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How it is, what was looked at, what was found, and what to do about it."""

    state: State
    check: str
    found: str
    advice: str | None = None
