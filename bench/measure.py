"""The measuring core: every subject has its turn in every round, and medians decide.

A shared machine changes its speed from one second to the next. What was measured in one round was measured side by
side, so ratios and differences are taken within rounds, and the median of those is the result. It need not be the
quotient of the two medians that stand next to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
Subject = Callable[[], float]
"""Does something once and returns the figure: mostly the seconds that it took."""


def in_turn(subjects: Mapping[K, Subject], *, rounds: int, warm_up: int = 1) -> dict[K, list[float]]:
    """Measure the subjects A B A B …, and return each one's figures, round by round.

    Args:
        subjects: what is compared, by name.
        rounds: rounds that count.
        warm_up: rounds before those, which do not.
    """
    figures: dict[K, list[float]] = {name: [] for name in subjects}
    for number in range(warm_up + rounds):
        for name, subject in subjects.items():
            figure = subject()
            if number >= warm_up:
                figures[name].append(figure)
    return figures


def ratio(figures: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median of the ratios, round by round."""
    return median(map(operator.truediv, *_paired(figures, baseline)))


def difference(figures: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median of the differences, round by round."""
    return median(map(operator.sub, *_paired(figures, baseline)))


def _paired(figures: Sequence[float], baseline: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    if len(figures) != len(baseline) or not figures:
        raise ValueError(f"{len(figures)} figures and {len(baseline)} of the baseline are no rounds.")
    return figures, baseline


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a finding is to keep."""

    bound: float
    least: bool = False

    def met(self, figure: float) -> bool:
        """Whether the figure keeps the bound."""
        return figure >= self.bound if self.least else figure <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def at_most(bound: float) -> Target:
    """Return the target that a figure does not exceed the bound."""
    return Target(bound)


def at_least(bound: float) -> Target:
    """Return the target that a figure reaches the bound."""
    return Target(bound, least=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an answer.

    Attributes:
        what: what was measured.
        figure: the median, in the unit.
        unit: such as "ms" or "bytes".
        baseline: the median of what it is compared with, in the same unit.
        ratio: how many times the baseline it is.
        target: what is promised of the ratio, or of the figure itself where there is no ratio.
    """

    what: str
    figure: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None where nothing is promised."""
        if self.target is None:
            return None
        return self.target.met(self.figure if self.ratio is None else self.ratio)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question found.

    Attributes:
        question: the question.
        findings: the lines of its table.
        baseline: what the baseline of those lines is.
        notes: what a reader has to know to trust the figures.
    """

    question: str
    findings: Sequence[Finding]
    baseline: str = ""
    notes: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether no target is missed."""
        return all(finding.passed is not False for finding in self.findings)


def compared(
    what: str,
    figures: Sequence[float],
    baseline: Sequence[float],
    *,
    unit: str = "ms",
    scale: float = 1000.0,
    target: Target | None = None,
) -> Finding:
    """Return the finding that compares a subject with its baseline.

    Args:
        what: what was measured.
        figures: the subject's figures, round by round.
        baseline: the baseline's figures of the same rounds.
        unit: the unit to show.
        scale: how many of that unit one of the figures is; figures are mostly seconds.
        target: what is promised of the ratio.
    """
    return Finding(what, median(figures) * scale, unit, median(baseline) * scale, ratio(figures, baseline), target)


def measured(what: str, figures: Sequence[float], *, unit: str = "ms", scale: float = 1000.0) -> Finding:
    """Return the finding of a subject that is compared with nothing."""
    return Finding(what, median(figures) * scale, unit)
