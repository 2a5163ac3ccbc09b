"""What a search has measured of its candidates, and which of them is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from driftline.budgets import OverBudget
from driftline.errors import Refused
from driftline.metrics import SMALLER_IS_BETTER
from driftline.models import Candidate

CUT = "the budget ended"
"""The error of a trial of which only the first folds were measured in time."""


@dataclass(frozen=True)
class Trial:
    """One candidate with its metric on every fold it was not fitted on."""

    candidate: Candidate
    metric: str
    folds: tuple[float, ...]
    seconds: float
    error: str | None = None
    """The kind of error that a fold ended with; then ``folds`` are those that were measured."""

    @property
    def mean(self) -> float:
        """Mean over the folds; no number where one of them failed."""
        return fmean(self.folds) if self.folds and not self.error else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over the folds (of the population: all folds are there)."""
        return pstdev(self.folds) if self.folds and not self.error else math.nan


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a mean that is a number, the best first; equals as they come."""
    measured = [trial for trial in trials if math.isfinite(trial.mean)]
    sign = 1 if trials and trials[0].metric in SMALLER_IS_BETTER else -1
    return sorted(measured, key=lambda trial: sign * trial.mean)


def best(trials: Sequence[Trial], *, cut: bool) -> Trial:
    """The trial with the best mean; of equals, the first. A mean that is no number never wins.

    Raises :class:`OverBudget` where none has one and the budget ``cut`` the search, which says
    nothing of the candidates that are left; :class:`Refused` where all were tried.
    """
    if not (measured := ranked(trials)):
        if cut:
            raise OverBudget(
                "the budget ended before one candidate was measured on every fold",
                where="--budget, --budget-money",
                hint="the same command goes on with the folds that are left; or give it more",
            )
        raise Refused(
            f"no candidate has a {trials[0].metric} that is a number",
            where=", ".join(
                str(trial.candidate) + (f": {trial.error}" if trial.error else "")
                for trial in trials
            ),
            hint="look for a fold with one class only, or features that are not finite",
        )
    return measured[0]
