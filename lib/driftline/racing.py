"""Which candidates deserve all rows and folds: a race on parts of the entities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import models
from driftline.models import Candidate
from driftline.prepare import TooFew
from driftline.problem import Problem
from driftline.training import How, search, settled
from driftline.trials import Trial, ranked

_ROUNDS = (9, 3)
"""A race is run on a ninth of the entities, then on a third."""

_FINALISTS = 2


@dataclass(frozen=True)
class Round:
    """What a round measured, and on one in how many of the entities."""

    part: int
    trials: Sequence[Trial]


def race(
    rows: DataFrame,
    problem: Problem,
    columns: Sequence[tuple[str, str]],
    how: How,
    *,
    known: Callable[[int], Sequence[Trial]] = lambda _: (),
    on_trial: Callable[[int, Trial], None] = lambda *_: None,
) -> tuple[list[Candidate], Round | None]:
    """The candidates that deserve all rows and folds: successive halving, by thirds.

    Each round measures those that are left on the first fold of a part of the entities, and keeps
    the better third (Jamieson & Talwalkar 2016); two at least are never compared by a part alone.
    Candidates that the budget left unmeasured stay, and so do those without a metric that is a
    number: they may have failed for want of rows. A part too small for the fold is passed over.
    ``known`` trials of a part are not repeated, and ``on_trial`` is told of each. With them comes
    the last round that says who leads, see :func:`further`.
    """
    left = models.candidates(problem.train.candidates)
    last: Round | None = None
    for part in _ROUNDS:
        if len(left) <= _FINALISTS:
            break
        place = F.xxhash64(F.lit(problem.train.seed + 2), F.col(problem.entity).cast("string"))
        some = settled(rows.where(F.pmod(place, F.lit(part)) == 0))
        first = replace(how, sides=how.sides[:1])
        told = partial(on_trial, part)
        try:
            trials = search(
                some, problem, columns, first, on_trial=told, known=known(part), wanted=left
            )
        except TooFew:  # in a larger part there may be enough
            continue
        finally:
            some.unpersist()
        last = further(last, Round(part, trials))
        if len(trials) < len(left):
            break
        kept = max(_FINALISTS, math.ceil(len(left) / 3))
        weak = {each.candidate for each in ranked(trials)[kept:]}
        left = [each for each in left if each not in weak]
    return left, last


def further(before: Round | None, after: Round) -> Round | None:
    """The later of two rounds, unless its budget ended before it measured who led the earlier one:
    what it measured is any of those that were left then, and its best may be the weakest of them.
    """
    if before is None:
        return after if after.trials else None
    led = ranked(before.trials)[:1]
    there = {trial.candidate for trial in ranked(after.trials)}
    return after if there and all(trial.candidate in there for trial in led) else before
