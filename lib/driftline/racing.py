"""Which candidates deserve all rows and folds: a race on parts of the entities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import models
from driftline.metrics import SMALLER_IS_BETTER
from driftline.models import Candidate
from driftline.problem import Problem
from driftline.training import How, search, settled

_RUNGS = (9, 3)
"""A race is run on a ninth of the entities, then on a third."""

_FINALISTS = 2


def race(
    rows: DataFrame,
    problem: Problem,
    columns: Sequence[tuple[str, str]],
    how: How,
) -> list[Candidate]:
    """The candidates that deserve all rows and folds: successive halving, by thirds.

    Each rung measures those that are left on the first fold of a part of the entities, and keeps
    the better third (Jamieson & Talwalkar 2016); two at least are never compared by a part alone.
    Candidates that the budget left unmeasured stay.
    """
    left = models.candidates(problem.train.candidates)
    smaller = problem.train.metric in SMALLER_IS_BETTER
    for part in _RUNGS:
        if len(left) <= _FINALISTS:
            break
        place = F.xxhash64(F.lit(problem.train.seed + 2), F.col(problem.entity).cast("string"))
        some = settled(rows.where(F.pmod(place, F.lit(part)) == 0))
        first = replace(how, sides=how.sides[:1])
        trials = search(some, problem, columns, first, wanted=left)
        some.unpersist()
        if len(trials) < len(left):
            return left
        fair = [trial for trial in trials if math.isfinite(trial.mean)]
        fair.sort(key=lambda trial: trial.mean if smaller else -trial.mean)
        keep = {each.candidate for each in fair[: max(_FINALISTS, math.ceil(len(left) / 3))]}
        left = [each for each in left if each in keep] or left
    return left
