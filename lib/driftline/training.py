"""Cross-validation without refitting the preparation: once a fold, shared by all candidates."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from pyspark.errors import PySparkException
from pyspark.ml import Estimator, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    Evaluator,
    RegressionEvaluator,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import models, prepare, scoring
from driftline.adapter import Adapted, alone
from driftline.errors import DriftlineError
from driftline.metrics import METRICS, Floats, gained, of_numbers
from driftline.models import Candidate
from driftline.prepare import Preparation
from driftline.problem import Problem
from driftline.split import Sides
from driftline.threads import call, inheriting
from driftline.trials import CUT, Trial


@dataclass(frozen=True)
class _Measured:
    """A candidate on one fold: its metric, or the kind of error; neither where time was up."""

    candidate: Candidate
    fold: int
    seconds: float = 0.0
    value: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class How:
    """How candidates are measured: the folds, how many at once, who is told, until when."""

    sides: Sequence[Sides]
    parallelism: int
    on_fit: Callable[[Candidate], None] = lambda _: None
    """Told of each fit, from several threads."""
    until: float = math.inf
    """Of ``time.monotonic``: no fit begins after it."""


def search(
    rows: DataFrame,
    problem: Problem,
    columns: Sequence[tuple[str, str]],
    how: How,
    *,
    on_trial: Callable[[Trial], None] = lambda _: None,
    known: Sequence[Trial] = (),
    wanted: Sequence[Candidate] | None = None,
) -> list[Trial]:
    """Measure every candidate on every fold: fitted on one side of it, measured on the other.

    ``rows`` have ``label`` and what the conditions of the sides look at. ``known`` trials are not
    repeated, nor are the folds of one that was :data:`CUT`. A candidate that fails has an error and
    the others go on; one that was not measured on every fold in time is left out. ``on_trial`` is
    told of each candidate that is finished, and of one that is cut. ``wanted``: these candidates of
    the problem's alone.
    """
    sides = how.sides
    done = {trial.candidate: trial for trial in known if not trial.error}
    begun = {trial.candidate: trial for trial in known if trial.error == CUT}
    found = {each: _measured(trial) for each, trial in begun.items()}
    wanted = models.candidates(problem.train.candidates) if wanted is None else wanted
    work = [
        (each, fold)
        for each in wanted
        if each not in done
        for fold in range(len(found.get(each, ())), len(sides))
    ]
    if work and time.monotonic() < how.until:
        spark = rows.sparkSession
        with ThreadPool(how.parallelism) as pool:
            whole = len(wanted) * len(sides) > 1 and in_one_task(rows)

            def prepare_fold(side: Sides) -> _Fold:
                return _fold(rows, side, problem, columns, whole=whole)

            prepared = pool.map(call, inheriting(spark, prepare_fold, sides))

            def measure(task: tuple[Candidate, int]) -> _Measured:
                candidate, fold = task
                if time.monotonic() >= how.until:
                    return _Measured(candidate, fold)
                how.on_fit(candidate)
                return _measure(candidate, fold, prepared[fold], problem)

            for result in pool.imap_unordered(call, inheriting(spark, measure, work)):
                found.setdefault(result.candidate, []).append(result)
                trial = _trial(found[result.candidate], problem.train.metric, len(sides))
                if trial is not None:
                    done[trial.candidate] = trial
                    on_trial(trial)
        for fold in prepared:
            fold.fitting.unpersist()
            fold.held_out.unpersist()
        for candidate in found.keys() - done.keys():
            cut = _cut(found[candidate], problem.train.metric)
            if len(cut.folds) > len(begun[candidate].folds if candidate in begun else ()):
                on_trial(cut)
    return [done[candidate] for candidate in wanted if candidate in done]


def _trial(found: Sequence[_Measured], metric: str, folds: int) -> Trial | None:
    """What the folds of a candidate come to, once all of them were tried."""
    if len(found) < folds or any(each.value is None and not each.error for each in found):
        return None
    ordered = sorted(found, key=lambda each: each.fold)
    return Trial(
        found[0].candidate,
        metric,
        tuple(each.value for each in ordered if each.value is not None),
        sum(each.seconds for each in ordered),
        next((each.error for each in ordered if each.error), None),
    )


def _cut(found: Sequence[_Measured], metric: str) -> Trial:
    """What was measured of a candidate before the budget ended: its first folds."""
    values = {each.fold: each.value for each in found if each.value is not None}
    first = itertools.takewhile(lambda fold: fold in values, itertools.count())
    folds = tuple(values[fold] for fold in first)
    return Trial(found[0].candidate, metric, folds, sum(each.seconds for each in found), CUT)


def _measured(cut: Trial) -> list[_Measured]:
    """The reverse of :func:`_cut`."""
    return [
        _Measured(cut.candidate, fold, 0.0 if fold else cut.seconds, value)
        for fold, value in enumerate(cut.folds)
    ]


@dataclass(frozen=True)
class _Fold:
    """The two sides of a fold, prepared by what was learnt from the first alone, and computed."""

    fitting: DataFrame
    held_out: DataFrame
    places: int
    small: bool
    """Whether the driver can hold the scores of the side that is held out."""


_SMALL = 2_000_000
"""Up to so many rows the scores come to the driver, where a metric is one sort in memory."""


_WHOLE = 200_000
"""Up to so many rows a fit is one task a job, and the cores are for the candidates: fewer tasks to
begin and end, of which a fit has dozens."""


def _fold(
    rows: DataFrame,
    sides: Sides,
    problem: Problem,
    columns: Sequence[tuple[str, str]],
    *,
    whole: bool,
) -> _Fold:
    """Prepare a fold; ``whole``: what is fitted on is one task."""
    inside = rows.where(sides.fitting)
    learnt = prepare.fit(inside, columns, problem.prepare)
    prepared = _weighted(prepare.to_fit(inside, learnt), problem)
    fitting = settled(alone(prepared) if whole else prepared)
    held_out = learnt.transformer().transform(rows.where(sides.held_out))
    held_out = settled(held_out.select("features", "label"))
    number = held_out.count()
    if not number:
        raise prepare.TooFew("measure candidates on", "held-out")
    return _Fold(fitting, held_out, len(learnt.names), number <= _SMALL)


def in_one_task(rows: DataFrame) -> bool:
    """Whether a fit on these rows is one task while other candidates have the other cores.

    What does not depend on the partitions, as a regression, is fitted alike; a forest draws its
    rows by partition, and is the one that MLlib fits on the same rows in one partition.
    """
    return rows.count() <= _WHOLE


def settled(rows: DataFrame) -> DataFrame:
    """Rows that are computed once, however often they are used.

    In one process their past is forgotten too: it would travel with every task of every iteration
    of every fit. On a cluster it stays, since a lost executor's rows are computed from it again.
    """
    if str(rows.sparkSession.conf.get("spark.master")).startswith("local"):
        return rows.localCheckpoint()
    return rows.persist()


def _measure(candidate: Candidate, number: int, fold: _Fold, problem: Problem) -> _Measured:
    started = time.monotonic()
    metric, task = problem.train.metric, problem.task
    try:
        model = _estimator(candidate, problem, fold.places).fit(fold.fitting)
        found = scoring.scored(fold.held_out, model, task=task).select("label", "score")
        if fold.small:
            label, score = (column.to_numpy() for column in found.toArrow().columns)
            value = _METRICS[metric](label, score)
        else:
            value = evaluator(metric).evaluate(found)
    except Exception as error:  # of whatever kind: the other candidates go on, and it is told
        return _Measured(candidate, number, time.monotonic() - started, error=kind(error))
    return _Measured(candidate, number, time.monotonic() - started, value)


def kind(error: Exception) -> str:
    """What is told of an error: its kind and condition; its text may quote a row, ours does not."""
    if isinstance(error, DriftlineError):
        return error.what
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    return type(error).__name__ + (f" {condition}" if condition else "")


def pr_area(label: Floats, score: Floats) -> float:
    """Area under the precision-recall curve by trapezoids, from recall 0 at the first precision.

    As Spark's ``BinaryClassificationMetrics.areaUnderPR``; not the average precision of ``pr_auc``.
    """
    taken, hits = gained(label, score)
    if not hits[-1]:
        return 0.0
    precision, recall = hits[1:] / taken[1:], np.r_[0.0, hits[1:] / hits[-1]]
    heights = np.r_[precision[0], precision]
    return float(np.sum(np.diff(recall) * (heights[1:] + heights[:-1])) / 2)


_METRICS = {
    "roc_auc": METRICS["classification"]["roc_auc"],
    "pr_auc": of_numbers(pr_area),
    "rmse": METRICS["regression"]["rmse"],
    "mae": METRICS["regression"]["mae"],
}
"""The evaluators' metrics (see :func:`evaluator`) of scores that the driver holds."""


def _weighted(rows: DataFrame, problem: Problem) -> DataFrame:
    """What a model is fitted on; balanced, either class weighs half of all rows."""
    if problem.train.class_weights == "none":
        return rows.select("features", "label")
    counts = {row.label: row["count"] for row in rows.groupBy("label").count().collect()}
    weight = F.lit(1.0)
    for label, number in counts.items():
        share = sum(counts.values()) / (len(counts) * number)
        weight = F.when(F.col("label") == label, share).otherwise(weight)
    return rows.select("features", "label", weight.alias(models.WEIGHT))


def refit(
    rows: DataFrame, candidate: Candidate, problem: Problem, columns: Sequence[tuple[str, str]]
) -> tuple[PipelineModel, Preparation]:
    """Fit preparation and model on all training rows; returns both, and the preparation alone."""
    preparation = prepare.fit(rows, columns, problem.prepare)
    fitting = settled(_weighted(prepare.to_fit(rows, preparation), problem))
    model: Any = _estimator(candidate, problem, len(preparation.names)).fit(fitting)
    fitting.unpersist()
    return PipelineModel([*preparation.transformer().stages, model]), preparation


def _estimator(candidate: Candidate, problem: Problem, places: int) -> Estimator[Any]:
    weighted = problem.train.class_weights != "none"
    seed = problem.train.seed
    parameters = dict(candidate.parameters)
    if models.CLASS in parameters:
        name = str(parameters.pop(models.CLASS))
        return Adapted(name, parameters, task=problem.task, seed=seed, weighted=weighted)
    return models.estimator(
        candidate, task=problem.task, seed=seed, weighted=weighted, places=places
    )


def importances(model: PipelineModel, names: Sequence[str]) -> dict[str, float]:
    """How much each feature moves the model: impurity importance of trees, else |coefficient|.

    ``names`` says what each place of the vector is. Scaled features make coefficients comparable.
    Shares, summing to 1; empty for a model that has neither.
    """
    last: Any = model.stages[-1]
    if hasattr(last, "featureImportances"):
        raw = [float(value) for value in last.featureImportances.toArray()]
    elif hasattr(last, "coefficients"):
        raw = [abs(float(value)) for value in last.coefficients.toArray()]
    else:
        return {}
    total = sum(raw) or 1.0
    return {name: value / total for name, value in zip(names, raw, strict=True)}


def evaluator(metric: str) -> Evaluator:
    """MLlib's evaluator of a metric of the column ``score``, exact (no binning of the scores).

    MLlib's own column of a classifier need not rank as its probability does: a tree's says how many
    rows of label 1 are in the leaf.
    """
    if metric in ("roc_auc", "pr_auc"):
        return BinaryClassificationEvaluator(
            rawPredictionCol="score",
            metricName="areaUnderROC" if metric == "roc_auc" else "areaUnderPR",
            numBins=0,
        )
    return RegressionEvaluator(
        predictionCol="score", metricName="rmse" if metric == "rmse" else "mae"
    )
