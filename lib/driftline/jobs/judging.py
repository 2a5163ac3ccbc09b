"""A model on rows it never saw, beside its baselines: scores, rows for ``ops``, the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import evaluation, schemas, scoring
from driftline.evaluation import Interval
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.metrics import SMALLER_IS_BETTER, Floats

_BASELINE_ROWS = 200_000
"""Training rows the one-feature baseline is chosen on; a larger table is sampled."""


@dataclass(frozen=True)
class Judged:
    """One part of the data with labels, the model's scores and the baselines'."""

    label: Floats
    scores: Mapping[str, Floats]
    features: Mapping[str, Any]
    """What slices are cut by, as arrays (n,): words, and numbers of the profile as float64."""


def judged(
    line: Line, rows: DataFrame, model: PipelineModel, counts: Mapping[str, int]
) -> tuple[dict[str, Judged], str]:
    """Scores of the model and the baselines on validation and test, and which feature was best."""
    task = line.problem.task
    numbers = [name for name, type_ in feature_columns(line) if type_ in ("double", "bigint")]
    wanted = [F.col(name).cast("double").alias(name) for name in (*numbers, "label")]
    train = rows.where(F.col("part") == "train")
    if counts["train"] > _BASELINE_ROWS:
        share = _BASELINE_ROWS / counts["train"]
        train = train.sample(fraction=share, seed=line.problem.train.seed)
    words = [name for name, type_ in feature_columns(line) if type_ == "string"]
    # Not what the model is made of: whoever is alike in that is hard to tell apart for any model.
    profile = line.problem.profile
    attributes = [name for name in numbers if profile and name in profile.attributes]
    known: Any = train.select(*wanted).toPandas()
    label = known["label"].to_numpy()
    constant = float(np.mean(label))
    name, fill, slope, intercept = evaluation.best_feature(
        label, {column: known[column].to_numpy() for column in numbers}, task=task
    )
    found = scoring.scored(rows.where(F.col("part") != "train"), model, task=task)
    held_out: Any = found.select(*wanted, *words, "score", "part").toPandas()
    judged = {}
    for part, part_rows in held_out.groupby("part"):
        x = part_rows[name].to_numpy() if name else np.zeros(len(part_rows))
        judged[str(part)] = Judged(
            part_rows["label"].to_numpy(),
            {
                "model": part_rows["score"].to_numpy(),
                "constant": np.full(len(part_rows), constant),
                "best_feature": evaluation.predict_by_line(x, fill, slope, intercept, task),
            },
            {each: part_rows[each].to_numpy() for each in (*words, *attributes)},
        )
    return judged, name


def beaten(line: Line, test: Judged) -> dict[str, Interval]:
    """By how much the model beats each baseline on the same test rows."""
    train = line.problem.train
    return {
        name: evaluation.difference(
            test.label,
            test.scores["model"],
            test.scores[name],
            train.metric,
            task=line.problem.task,
            seed=train.seed,
        )
        for name in ("constant", "best_feature")
    }


def reasons(
    line: Line, metrics: Mapping[str, Interval], beaten: Mapping[str, Interval]
) -> list[str]:
    """Why the gate says no; empty when it says yes."""
    train = line.problem.train
    got, floor = metrics[train.metric].value, train.gate.floor
    reasons = []
    if not np.isfinite(got):
        reasons.append(f"{train.metric} is not a number")
    if floor is not None:
        smaller = train.metric in SMALLER_IS_BETTER
        if got > floor if smaller else got < floor:
            reasons.append(f"{train.metric} {got:.4f} does not reach the floor {floor}")
    for name in train.gate.beat:
        if not beaten[name].low > 0:
            reasons.append(
                f"does not beat {name}: better by {beaten[name].value:.4f} "
                f"[{beaten[name].low:.4f}, {beaten[name].high:.4f}]"
            )
    return reasons


def write_evaluations(
    line: Line,
    ledger: Run,
    measured: Mapping[tuple[str, str], Mapping[str, Interval]],
    beaten: Mapping[str, Interval],
    judged: Mapping[str, Judged],
    feature: str,
    version: int,
) -> None:
    """Rows of ``ops.evaluations``: every metric, and by how much the model beats the baselines."""
    now = datetime.now(timezone.utc)
    rows = [
        (version, part, who, name, each.value, each.low, each.high, len(judged[part].label))
        + (feature if who == "best_feature" else None, ledger.run_id, now)
        for (part, who), metrics in measured.items()
        for name, each in metrics.items()
    ]
    metric = line.problem.train.metric
    rows += [
        (version, "test", "model", f"{metric}_above_{name}", each.value, each.low, each.high)
        + (len(judged["test"].label), "paired bootstrap on the same rows", ledger.run_id, now)
        for name, each in beaten.items()
    ]
    key = f"evaluations:{version}"
    ledger.wrote(line.tables.append_values(rows, schemas.EVALUATIONS, key=key))


def write_slices(line: Line, ledger: Run, test: Judged, version: int) -> None:
    """Rows of ``ops.slices``: on which values of which features the model is weakest."""
    now = datetime.now(timezone.utc)
    train = line.problem.train
    found = evaluation.slices(
        test.label,
        test.scores["model"],
        test.features,
        train.metric,
        task=line.problem.task,
        seed=train.seed,
    )
    rows = [
        (version, each.column, each.value, each.rows, train.metric, each.metric.value)
        + (each.metric.low, each.metric.high, each.worse, ledger.run_id, now)
        for each in found
    ]
    if rows:
        ledger.wrote(line.tables.append_values(rows, schemas.SLICES, key=f"slices:{version}"))


def write_curves(
    line: Line, ledger: Run, test: Judged, importance: Mapping[str, float], version: int
) -> None:
    """Rows of ``ops.curves``: the test set's pictures and the features' importance."""
    points = evaluation.curves(test.label, test.scores["model"], task=line.problem.task)
    rows = [
        (version, each.curve, each.name, each.x, each.y, each.rows, ledger.run_id)
        for each in points
    ]
    rows += [
        (version, "importance", name, float(place), share, None, ledger.run_id)
        for place, (name, share) in enumerate(importance.items())
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.CURVES, key=f"curves:{version}"))


def feature_columns(line: Line) -> list[tuple[str, str]]:
    """(name, Spark SQL type) of the columns of ``gold.features`` a model may see."""
    table = schemas.features(line.problem)
    apart = (line.problem.entity, "as_of", "label")
    return [(each.name, each.type) for each in table.columns if each.name not in apart]
