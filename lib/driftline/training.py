"""Cross-validation without refitting the preparation: once a fold, shared by all candidates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from statistics import fmean, pstdev
from typing import Any

from pyspark import inheritable_thread_target
from pyspark.ml import Estimator, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    Evaluator,
    RegressionEvaluator,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import models, prepare
from driftline.errors import Refused
from driftline.metrics import SMALLER_IS_BETTER
from driftline.models import Candidate
from driftline.prepare import Preparation
from driftline.problem import Problem
from driftline.split import Sides


@dataclass(frozen=True)
class Trial:
    """One candidate with its metric on every fold it was not fitted on."""

    candidate: Candidate
    metric: str
    folds: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return fmean(self.folds)

    @property
    def std(self) -> float:
        """Standard deviation over the folds (of the population: all folds are there)."""
        return pstdev(self.folds)


def search(
    rows: DataFrame,
    problem: Problem,
    columns: Sequence[tuple[str, str]],
    *,
    sides: Sequence[Sides],
    parallelism: int,
    on_trial: Callable[[Candidate], None],
) -> list[Trial]:
    """Measure every candidate on every fold: fitted on one side of it, measured on the other.

    ``rows`` have ``label`` and what the conditions of ``sides`` look at.
    """
    wanted = models.candidates(problem.train.candidates)
    measured: dict[Candidate, list[tuple[float, float]]] = {each: [] for each in wanted}
    for side in sides:
        fitting, held_out = _prepared(rows, side, problem, columns)

        def measure(
            candidate: Candidate, fitting: DataFrame = fitting, held_out: DataFrame = held_out
        ) -> tuple[float, float]:
            on_trial(candidate)
            started = time.monotonic()
            scored = _estimator(candidate, problem).fit(fitting).transform(held_out)
            value = evaluator(problem.train.metric).evaluate(scored)
            return value, time.monotonic() - started

        with ThreadPool(parallelism) as pool:
            results = pool.map(inheritable_thread_target(rows.sparkSession)(measure), wanted)
        for candidate, result in zip(wanted, results, strict=True):
            measured[candidate].append(result)
        fitting.unpersist()
        held_out.unpersist()
    return [
        Trial(
            candidate,
            problem.train.metric,
            tuple(value for value, _ in results),
            sum(seconds for _, seconds in results),
        )
        for candidate, results in measured.items()
    ]


def _prepared(
    rows: DataFrame, sides: Sides, problem: Problem, columns: Sequence[tuple[str, str]]
) -> tuple[DataFrame, DataFrame]:
    inside = rows.where(sides.fitting)
    learnt = prepare.fit(inside, columns, problem.prepare)
    fitting = _weighted(prepare.to_fit(inside, learnt), problem).persist()
    held_out = learnt.transformer().transform(rows.where(sides.held_out))
    return fitting, held_out.select("features", "label").persist()


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


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the best mean; of equals, the first. A mean that is no number never wins."""
    measured = [trial for trial in trials if math.isfinite(trial.mean)]
    if not measured:
        raise Refused(
            f"no candidate has a {trials[0].metric} that is a number",
            where=", ".join(str(trial.candidate) for trial in trials),
            hint="look for a fold with one class only, or features that are not finite",
        )
    smaller = trials[0].metric in SMALLER_IS_BETTER
    return min(measured, key=lambda trial: trial.mean if smaller else -trial.mean)


def refit(
    rows: DataFrame, candidate: Candidate, problem: Problem, columns: Sequence[tuple[str, str]]
) -> tuple[PipelineModel, Preparation]:
    """Fit preparation and model on all training rows; returns both, and the preparation alone."""
    preparation = prepare.fit(rows, columns, problem.prepare)
    fitting = _weighted(prepare.to_fit(rows, preparation), problem).persist()
    model: Any = _estimator(candidate, problem).fit(fitting)
    fitting.unpersist()
    return PipelineModel([*preparation.transformer().stages, model]), preparation


def _estimator(candidate: Candidate, problem: Problem) -> Estimator[Any]:
    weighted = problem.train.class_weights != "none"
    seed = problem.train.seed
    return models.estimator(candidate, task=problem.task, seed=seed, weighted=weighted)


def importances(model: PipelineModel, names: Sequence[str]) -> dict[str, float]:
    """How much each feature moves the model: impurity importance of trees, else |coefficient|.

    ``names`` says what each place of the vector is. Scaled features make coefficients comparable.
    Shares, summing to 1.
    """
    last: Any = model.stages[-1]
    if hasattr(last, "featureImportances"):
        raw = [float(value) for value in last.featureImportances.toArray()]
    else:
        raw = [abs(float(value)) for value in last.coefficients.toArray()]
    total = sum(raw) or 1.0
    return {name: value / total for name, value in zip(names, raw, strict=True)}


def evaluator(metric: str) -> Evaluator:
    """MLlib's evaluator of a metric, exact (no binning of the scores)."""
    if metric == "roc_auc":
        return BinaryClassificationEvaluator(metricName="areaUnderROC", numBins=0)
    if metric == "pr_auc":
        return BinaryClassificationEvaluator(metricName="areaUnderPR", numBins=0)
    return RegressionEvaluator(metricName="rmse" if metric == "rmse" else "mae")
