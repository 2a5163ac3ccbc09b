"""The search, a step of train: every trial written down as it ends, and none of them repeated."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline import candidates, models, racing, schemas, split, training
from driftline.digests import digest, of_code
from driftline.errors import Refused
from driftline.jobs import judging
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.models import Candidate
from driftline.prepare import Preparation
from driftline.problem import Problem
from driftline.racing import Round
from driftline.registry import Version
from driftline.session import utc
from driftline.trials import CUT, Trial, best

_JUDGES = {"gate", "decide", "calibrate"}
"""What of ``train`` says how the winner is judged, and changes no trial."""


@dataclass(frozen=True)
class Searched:
    """What a search came to, and by which name it is in ``ops.trials``."""

    name: str
    trials: Sequence[Trial]
    winner: Trial
    stopped: str
    """How far the search came when its budget ended; empty where it went through."""
    raced: Sequence[tuple[int, Trial]]
    """What the rounds of a race measured, on one in how many entities; without ``trials``."""


def search(line: Line, ledger: Run, rows: DataFrame, name: str, *, until: float) -> Searched:
    """Cross-validate every candidate.

    ``name`` (see :func:`key`) is the search's in ``ops.trials``: what it has is not measured again.
    """
    problem = line.problem
    columns = judging.feature_columns(line)
    folded = fitting(problem, rows)
    try:
        _check_classes(folded)
        known = _known(line, name)
        if known:
            ledger.progress(f"{_measured(known)} trials were measured before")
        sides = split.sides(
            problem.split,
            as_ofs(folded),
            folds=problem.train.folds,
            horizon=problem.label.horizon,
        )

        def on_fit(candidate: Candidate) -> None:
            ledger.progress(f"fitting {candidate}")

        cores = line.environment.cores
        if training.in_one_task(folded):
            ledger.progress(f"few rows: a fit is one task, {cores} candidates at once")
        wanted, race = models.candidates(problem.train.candidates), None
        raced: dict[tuple[int, Candidate], Trial] = {}
        how = training.How(sides, cores, on_fit, until)
        if problem.train.search == "racing":
            everybody = len(wanted)

            def before(part: int) -> list[Trial]:
                found = _known(line, _round(name, part))
                raced.update({(part, trial.candidate): trial for trial in found})
                return found

            def measured(part: int, trial: Trial) -> None:
                raced[part, trial.candidate] = trial
                _write(line, ledger, trial, _round(name, part))

            wanted, race = racing.race(
                folded,
                problem,
                columns,
                how,
                known=before,
                on_trial=measured,
            )
            ledger.progress(f"{len(wanted)} of {everybody} candidates are left of the race")
        trials: Sequence[Trial] = training.search(
            folded,
            problem,
            columns,
            how,
            on_trial=lambda trial: _write(line, ledger, trial, name),
            known=known,
            wanted=wanted,
        )
        # How many were measured: while no other is, the winner is the same.
        whole = len(trials) == len(wanted)
        stopped = "" if whole else f"{_measured(trials)} of {len(wanted)} candidates"
        if race and not whole and racing.further(race, Round(1, trials)) is race:
            trials, name = race.trials, _round(name, race.part)
            raced = {key: each for key, each in raced.items() if key[0] != race.part}
            stopped = f"{_measured(trials)} candidates on one in {race.part} entities"
    finally:
        folded.unpersist()
    rounds = [(part, trial) for (part, _), trial in raced.items()]
    return Searched(name, trials, best(trials, cut=not whole), stopped, rounds)


def refit(
    line: Line, ledger: Run, rows: DataFrame, found: Searched
) -> tuple[PipelineModel, Preparation]:
    """The best candidate, fitted on all training rows; see :func:`training.refit`.

    Of the trials, the winner is marked.
    """
    _choose(line, ledger, found)
    winner = found.winner.candidate
    ledger.progress(f"refitting {winner}")
    folded = fitting(line.problem, rows)
    try:
        return training.refit(folded, winner, line.problem, judging.feature_columns(line))
    finally:
        folded.unpersist()


def _measured(trials: Sequence[Trial]) -> int:
    return sum(not trial.error for trial in trials)


def _round(search: str, part: int) -> str:
    """What a round of a race is known by in ``ops.trials``."""
    return f"{search}:{part}"


def features_name(problem: Problem) -> str:
    """The table that models are trained on."""
    return schemas.features(problem).full_name


def key(line: Line, version: int, *, code: str = "") -> str:
    """What a search is known by: what is asked, how, of which rows: a version of which table, and
    by which code, this one's unless it is told.
    """
    problem, name = line.problem, features_name(line.problem)
    asked = problem.model_dump(include={"task", "train", "prepare", "split", "label"}, mode="json")
    for judges in _JUDGES:
        del asked["train"][judges]
    rows = [name, line.tables.identity(name), version]
    columns = judging.feature_columns(line)
    return digest([asked, candidates.sources(problem), columns, *rows, code or of_code()])[:16]


def judged(problem: Problem, search: str) -> str:
    """What a training is known by: a search, and how its winner is judged."""
    return digest([search, problem.train.model_dump(include=_JUDGES, mode="json")])[:16]


def winner(version: Version) -> Candidate:
    """What a model version is of the candidates, as its training wrote it down."""
    parameters = json.loads(version.tags["parameters"])
    return Candidate(version.tags["family"], tuple(parameters.items()))


def labelled(line: Line, version: int) -> DataFrame:
    """The rows of ``gold.features`` with a label, and the ``part`` of each."""
    problem = line.problem
    rows = line.tables.read(features_name(problem), version=version)
    rows = rows.where(F.col("label").isNotNull())
    return split.with_parts(
        rows,
        problem.split,
        as_ofs(rows),
        horizon=problem.label.horizon,
        entity=problem.entity,
        task=problem.task,
        seed=problem.train.seed,
    )


def ordered(problem: Problem, rows: DataFrame, tasks: int) -> DataFrame:
    """The rows in so many partitions, computed once, each row always at the same place.

    MLlib's trees draw rows by partition and place in it; the rows of a lost executor are shuffled
    again, and come in another order unless they are sorted.
    """
    parts = rows.repartition(tasks, problem.entity)
    return parts.sortWithinPartitions(problem.entity, "as_of").persist()


def fitting(problem: Problem, rows: DataFrame) -> DataFrame:
    """The training rows with their folds, computed once."""
    return split.with_folds(
        rows.where(F.col("part") == "train"),
        folds=problem.train.folds,
        entity=problem.entity,
        seed=problem.train.seed,
    ).persist()


def fingerprint(rows: DataFrame) -> str:
    """Tells rows from any others, in whatever order they come: their number, and the sum and the
    exclusive or of their hashes.
    """
    columns = sorted(rows.columns)
    # The hash passes over nulls: where they are has to be said.
    hashed = F.xxhash64(*columns, *(F.isnull(name) for name in columns))
    total = F.sum(hashed.cast("decimal(38,0)"))
    found = rows.agg(F.count("*"), total, F.bit_xor(hashed)).first()
    assert found is not None
    return ":".join(str(each) for each in found)


def as_ofs(rows: DataFrame) -> list[datetime]:
    """The as-ofs that rows have."""
    found = rows.select("as_of").distinct().collect()
    return [utc(row.as_of) for row in found]


def _check_classes(fitting: DataFrame) -> None:
    seen = fitting.select("label").distinct().limit(2).count()
    if seen < 2:
        raise Refused(
            f"the training rows have {seen} different labels; there is nothing to learn",
            where="gold.features, part train",
            hint="look at label and population in the problem, or take more as-ofs",
        )


def _known(line: Line, name: str) -> list[Trial]:
    """Trials that an earlier run of this search finished, and what it has of those that its budget
    cut, the longest last; one that failed is tried again.
    """
    trials = schemas.TRIALS.full_name
    if not line.tables.exists(trials) or "search" not in line.tables.read(trials).columns:
        return []
    usable = F.col("error").isNull() | (F.col("error") == CUT)
    there = line.tables.read(trials).where((F.col("search") == name) & usable)
    return [
        Trial(
            Candidate(row.family, tuple(json.loads(row.parameters).items())),
            row.metric,
            tuple(row.folds),
            row.seconds,
            row.error,
        )
        for row in there.orderBy(F.size("folds")).collect()
    ]


def _parameters(candidate: Candidate) -> str:
    return json.dumps(dict(candidate.parameters))


def _write(line: Line, ledger: Run, trial: Trial, name: str) -> None:
    """A row of ``ops.trials``, as soon as a candidate is measured."""
    candidate = trial.candidate
    row = (
        candidate.family,
        _parameters(candidate),
        trial.metric,
        *(value if math.isfinite(value) else None for value in (trial.mean, trial.std)),
        list(trial.folds),
        trial.seconds,
        False,
        ledger.run_id,
        datetime.now(timezone.utc),
        name,
        trial.error,
    )
    # One that failed carries the run, so that another run can write it again.
    again = f":{ledger.run_id}" if trial.error else ""
    once = f"trial:{name}:{candidate.family}:{_parameters(candidate)}{again}"
    ledger.wrote(line.tables.append_values([row], schemas.TRIALS, key=once))


def _choose(line: Line, ledger: Run, found: Searched) -> None:
    """Mark the winner of the search. Each trial stays of the run that measured it, and paid for it;
    where one had failed or was cut in an earlier run, this run's takes its place.
    """
    trials = schemas.TRIALS.full_name
    this = F.col("search") == found.name
    earlier = F.col("error").isNotNull() & (F.col("run_id") != ledger.run_id)
    ours = {(each.candidate.family, _parameters(each.candidate)) for each in found.trials}
    there = line.tables.read(trials).where(this & earlier)
    gone = [
        row
        for row in there.select("family", "parameters", "search", "run_id").collect()
        if (row.family, row.parameters) in ours
    ]
    if gone:
        ledger.wrote(line.tables.delete(trials, matching=line.spark.createDataFrame(gone)))
    named = F.struct("family", "parameters")
    values = {"chosen": named == _named(found.winner.candidate)}
    where = this & named.isin([_named(each.candidate) for each in found.trials])
    ledger.wrote(line.tables.update(schemas.TRIALS, values, where=where))


def _named(candidate: Candidate) -> Column:
    return F.struct(
        F.lit(candidate.family).alias("family"), F.lit(_parameters(candidate)).alias("parameters")
    )
