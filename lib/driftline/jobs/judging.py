"""A model on rows it never saw, beside its baselines: scores, and rows for ``ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from driftline import baselines, calibration, card, evaluation, losses, prepare, schemas, scoring
from driftline.calibration import Calibration
from driftline.errors import Refused
from driftline.evaluation import Interval, Slice
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.metrics import Floats, Integers
from driftline.problem import Problem
from driftline.resampling import codes
from driftline.serving.model import Portable
from driftline.split_section import GivenSplit

_BASELINE_ROWS = 200_000
"""Training rows the one-feature baseline is chosen on; a larger table is sampled."""


@dataclass(frozen=True)
class Judged:
    """One part of the data with labels, the model's scores and the baselines'."""

    label: Floats
    entity: Integers
    """Whose each row is, see :func:`driftline.resampling.codes`."""
    scores: Mapping[str, Floats]
    features: Mapping[str, Any]
    """What slices are cut by, as arrays (n,): words, and numbers as float64."""
    rows: pa.Table
    """The features themselves."""


def parts(rows: DataFrame) -> dict[str, Row]:
    """Of each part how many ``rows``, the first and last as-of, the least and the most label."""
    found = rows.groupBy("part").agg(
        F.count("*").alias("rows"),
        F.min("as_of").alias("first"),
        F.max("as_of").alias("last"),
        F.min("label").alias("least"),
        F.max("label").alias("most"),
    )
    return {row.part: row for row in found.collect()}


def check_parts(problem: Problem, parts: Mapping[str, Row]) -> None:
    """Refuse rows of which a part is missing that is needed once the search is over, or whose
    validation part has one label only and is to be chosen by.
    """
    train = problem.train
    chosen = train.decide is not None or train.calibrate != "none"
    needed = ("train", "test", *(["validation"] if chosen else []))
    missing = [part for part in needed if part not in parts]
    if missing:
        raise Refused(
            f"no row with a label is in the part {' or '.join(missing)}",
            where="gold.features",
            hint="look at split in the problem: a share of few entities may be nobody, and by "
            "attribute test is the value as the rows have it",
        )
    if chosen and parts["validation"].least == parts["validation"].most:
        raise Refused(
            f"the {parts['validation'].rows:,} validation rows do not have both labels to choose "
            "by",
            where="gold.features, part validation",
            hint="keep more validation rows (split.validation), or remove train.decide and "
            "train.calibrate",
        )


def nobody(score: Floats, at_least: float) -> str:
    """What is said where a threshold calls no row 1, as where more share the highest score than
    there is capacity for.
    """
    if (score >= at_least).any():
        return ""
    highest = float(score.max())
    share = np.count_nonzero(score >= highest - evaluation.ALIKE * abs(highest))
    return f"; it calls none of {len(score):,} validation rows 1, {share:,} have the highest score"


def calibrated(rows: DataFrame, model: PipelineModel, method: str) -> Calibration | None:
    """The calibration by ``train.calibrate``, learnt from the validation rows alone."""
    if method == "none":
        return None
    known = scoring.to_calibrate(rows.where(F.col("part") == "validation"), model).toArrow()
    label, score, odds = (column.to_numpy() for column in known.columns)
    if len(np.unique(label)) < 2:
        raise Refused(
            f"the {len(label):,} validation rows do not have both labels to calibrate on",
            where="gold.features, part validation",
            hint="keep more validation rows (split.validation), or remove train.calibrate",
        )
    if method == "platt":
        return calibration.fit("platt", label, odds)
    return calibration.fit("isotonic", label, score)


UNCALIBRATED = "uncalibrated"
"""The model's own scores, where they were calibrated: beside the others, and no baseline."""


def judged(
    line: Line,
    rows: DataFrame,
    model: PipelineModel,
    counts: Mapping[str, int],
    champion: Portable | None,
    calibration: Calibration | None = None,
) -> tuple[dict[str, Judged], str]:
    """Scores of the model and the baselines on validation and test, and which feature was best.

    A champion that can be scored (see :func:`gating.unlike`) is a baseline, too.
    """
    problem, task = line.problem, line.problem.task
    plain, attributes = _plain(line), _sliced(line)
    train = rows.where(F.col("part") == "train")
    if counts["train"] > _BASELINE_ROWS:
        share = _BASELINE_ROWS / counts["train"]
        train = train.sample(fraction=share, seed=problem.train.seed)
    known: Any = train.select(problem.entity, "label", *plain.values()).toPandas()
    label = known["label"].to_numpy()
    constant = float(np.mean(label))
    best = baselines.best_feature(
        label,
        {name: known[name].to_numpy() for name in plain},
        entity=codes(known[problem.entity]),
        task=task,
    )
    three = list(problem.rfm)
    by_three = baselines.fit_three(label, known[three].to_numpy(), task=task) if three else None
    unseen = rows.where(F.col("part") != "train")
    if calibration is not None:
        raw = scoring.scored(unseen, model, task=task)
        unseen = raw.withColumnRenamed("score", UNCALIBRATED).drop("prediction")
    found = scoring.scored(unseen, model, task=task, calibration=calibration)
    # Models are asked about the features as they are; what is beside them has names of its own.
    features = [name for name, _ in feature_columns(line)]
    also = {f"_plain_{name}": plain[name] for name in {*three, *([best.column] if best else [])}}
    also |= {f"_sliced_{name}": each for name, each in attributes.items()}
    uncalibrated = [UNCALIBRATED] if calibration is not None else []
    arrived: Any = found.select(
        *(problem.entity, "label", "score", "part", *uncalibrated, *features),
        *(each.alias(name) for name, each in also.items()),
    ).toArrow()
    held_out = arrived.drop_columns(features).to_pandas()
    if champion:
        held_out["_champion"] = champion.score(*champion.inputs(arrived))
    judged = {}
    for part, part_rows in held_out.groupby("part"):
        there = {name: part_rows[name].to_numpy() for name in part_rows.columns}
        scores = {"model": there["score"], "constant": np.full(len(part_rows), constant)}
        scores["best_feature"] = (
            best.scores(there[f"_plain_{best.column}"]) if best else scores["constant"]
        )
        if by_three is not None:
            scores["rfm"] = by_three(np.column_stack([there[f"_plain_{name}"] for name in three]))
        if UNCALIBRATED in there:
            scores[UNCALIBRATED] = there[UNCALIBRATED]
        if "_champion" in there:
            scores["champion"] = there["_champion"]
        judged[str(part)] = Judged(
            there["label"],
            codes(there[problem.entity]),
            scores,
            {name: there[f"_sliced_{name}"] for name in attributes},
            arrived.filter(pc.field("part") == part).select(features),
        )
    return judged, best.column if best else ""


def _plain(line: Line) -> dict[str, Column]:
    """Every feature as a baseline takes it: a word, or a finite number (a truth value is one)."""
    plain = {}
    for name, type_ in feature_columns(line):
        if type_ == "string":
            plain[name] = F.col(name)
        elif type_ in prepare.NUMBERS:
            plain[name] = prepare.finite(name).alias(name)
    return plain


def _sliced(line: Line) -> dict[str, Column]:
    """What slices are cut by: the profile's attributes, a truth value by its word.

    Not what happened in windows, which models are made of: whoever is alike in that is hard to tell
    apart for any model.
    """
    profile, types = line.problem.profile, dict(feature_columns(line))
    sliced = {}
    for name, each in _plain(line).items():
        if profile and name in profile.attributes:
            sliced[name] = F.col(name).cast("string") if types[name] == "boolean" else each
    return sliced


def beaten(line: Line, test: Judged) -> dict[str, Interval]:
    """By how much the model beats each baseline on the same test rows."""
    train = line.problem.train
    return {
        name: evaluation.difference(
            test.label,
            test.scores["model"],
            test.scores[name],
            train.metric,
            entity=test.entity,
            task=line.problem.task,
            seed=train.seed,
        )
        for name in test.scores
        if name not in ("model", UNCALIBRATED)
    }


def papers(line: Line, test: Judged, known: card.Known) -> dict[str, bytes]:
    """What is kept beside a model to be read by people: its card, and scikit-learn's report."""
    sections = card.sections(line.problem, known)
    made = {"card.md": card.markdown(sections), "card.html": card.html(sections)}
    if line.problem.task == "classification":
        made["classification_report.txt"] = evaluation.report(test.label, test.scores["model"])
    return {name: text.encode() for name, text in made.items()}


def write_evaluations(
    line: Line,
    ledger: Run,
    measured: Mapping[tuple[str, str], Mapping[str, Interval]],
    beaten: Mapping[str, Interval],
    judged: Mapping[str, Judged],
    details: Mapping[str, str],
    version: int,
) -> None:
    """Rows of ``ops.evaluations``: every metric, and by how much the model beats the baselines."""
    now = datetime.now(timezone.utc)
    rows = [
        (version, part, who, name, each.value, each.low, each.high, len(judged[part].label))
        + (details.get(who), ledger.run_id, now)
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


def slices(line: Line, test: Judged) -> list[Slice]:
    """On which values of which features the model is weakest."""
    train = line.problem.train
    return evaluation.slices(
        test.label,
        test.scores["model"],
        test.features,
        train.metric,
        entity=test.entity,
        task=line.problem.task,
        seed=train.seed,
    )


_SLICES = 30
"""Slices that are kept in ``ops.slices``, the worst; the gate looks at all of them."""


def write_slices(line: Line, ledger: Run, found: Sequence[Slice], version: int) -> None:
    """Rows of ``ops.slices``."""
    now = datetime.now(timezone.utc)
    metric = line.problem.train.metric
    rows = [
        (version, each.column, each.value, each.rows, metric, each.metric.value)
        + (each.metric.low, each.metric.high, each.worse, ledger.run_id, now)
        for each in found[:_SLICES]
    ]
    if rows:
        ledger.wrote(line.tables.append_values(rows, schemas.SLICES, key=f"slices:{version}"))


def permuted(line: Line, test: Judged, model: Portable) -> dict[str, float]:
    """What each feature is worth to the model, on the test rows."""
    train = line.problem.train
    return evaluation.permuted(
        test.label,
        test.rows,
        [each.name for each in model.facts.columns],
        lambda rows: model.score(*model.inputs(rows)),
        train.metric,
        task=line.problem.task,
        seed=train.seed,
    )


def write_curves(
    line: Line,
    ledger: Run,
    test: Judged,
    importance: Mapping[str, float],
    permutation: Mapping[str, float],
    version: int,
) -> None:
    """Rows of ``ops.curves``: the test set's pictures and the features' importance.

    Scores that are no numbers have no pictures; the gate refuses them.
    """
    points, scores = [], test.scores["model"]
    if np.isfinite(scores).all():
        points += evaluation.curves(test.label, scores, task=line.problem.task)
        if line.problem.task == "regression":
            points += losses.points(test.label, scores)
    rows = [
        (version, each.curve, each.name, each.x, each.y, each.rows, ledger.run_id)
        for each in points
    ]
    rows += [
        (version, "importance", name, float(place), share, None, ledger.run_id)
        for place, (name, share) in enumerate(importance.items())
    ]
    rows += [
        (version, "permutation", name, float(place), loss, len(test.label), ledger.run_id)
        for place, (name, loss) in enumerate(permutation.items())
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.CURVES, key=f"curves:{version}"))


def feature_columns(line: Line) -> list[tuple[str, str]]:
    """(name, Spark SQL type) of the columns of ``gold.features`` a model may see."""
    table = schemas.features(line.problem)
    apart = {line.problem.entity, "as_of", "label"}
    if isinstance(line.problem.split, GivenSplit):
        apart.add(line.problem.split.attribute)
    return [(each.name, each.type) for each in table.columns if each.name not in apart]
