"""Features + model → one prediction a row: by Spark's own model, or by the portable one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pyspark.ml import Transformer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StringType, StructField, StructType

from driftline.calibration import Calibration, Platt
from driftline.errors import Missing
from driftline.serving.facts import Facts


def scored(
    rows: DataFrame, model: Transformer, *, task: str, calibration: Calibration | None = None
) -> DataFrame:
    """Add ``score`` (probability of label 1, or predicted value) and ``prediction``.

    Of a model without probabilities, a linear SVC, the score is 1 / (1 + exp(−margin)): it ranks
    and decides as the margin does, and is no probability before it is calibrated.
    """
    found = model.transform(rows)
    if task == "classification":
        score, odds = _said(found, model)
        if calibration is not None:
            score = _calibrated(score, odds, calibration)
        decision = (score >= 0.5).cast("double")
    else:
        score = F.col("prediction")
        decision = score
    return found.select(*rows.columns, score.alias("score"), decision.alias("prediction"))


def to_calibrate(rows: DataFrame, model: Transformer) -> DataFrame:
    """``label``, ``score`` and ``odds``: what a calibration is learnt from."""
    found = model.transform(rows)
    score, odds = _said(found, model)
    return found.select("label", score.alias("score"), odds.alias("odds"))


def probable(model: Transformer, calibration: Calibration | None) -> bool:
    """Whether a classifier's scores are meant as probabilities: those of a margin, by whatever
    class it was fitted, are not before they are calibrated.
    """
    return calibration is not None or not _of_margin(_last(model))


def _of_margin(last: Any) -> bool:
    kind = type(last).__name__
    return kind == "LinearSVCModel" or (kind == "Numbers" and last.of_margin)


def _last(model: Transformer) -> Any:
    return getattr(model, "stages", [model])[-1]


def _said(found: DataFrame, model: Transformer) -> tuple[Column, Column]:
    """A classifier's score, and what it is the logistic of: the score itself where it is none."""
    last = _last(model)
    kind = type(last).__name__
    if kind == "Numbers":
        total = F.col("rawPrediction")
        return (_logistic(total) if last.logistic else total), total
    zero, one = (vector_to_array(F.col("rawPrediction")).getItem(place) for place in (0, 1))
    if kind == "LinearSVCModel":
        return _logistic(one), one
    score = vector_to_array(F.col("probability")).getItem(1)
    if kind in ("DecisionTreeClassificationModel", "RandomForestClassificationModel"):
        return score, score
    return score, one if kind == "LogisticRegressionModel" else one - zero


def _logistic(odds: Column) -> Column:
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-odds))


def _calibrated(score: Column, odds: Column, calibration: Calibration) -> Column:
    """:mod:`driftline.calibration` in Spark."""
    if isinstance(calibration, Platt):
        return _logistic(F.lit(calibration.slope) * odds + F.lit(calibration.intercept))
    parts = asdict(calibration)
    names = ("start", "width", "rise")
    segments = F.arrays_zip(
        *(F.array(*(F.lit(each) for each in parts[name])).alias(name) for name in names)
    )

    def add(total: Column, segment: Column) -> Column:
        share = (score - segment["start"]) / segment["width"]
        return total + segment["rise"] * F.least(F.greatest(share, F.lit(0.0)), F.lit(1.0))

    # Spark's NaN is the largest number: score − score keeps it one.
    start = F.lit(calibration.base) + (score - score)
    return F.aggregate(segments, start, add) if calibration.start else start


def predicted(
    rows: DataFrame, content: bytes, reasons: bytes, facts: Facts, *, keep: Sequence[str]
) -> DataFrame:
    """``keep`` of ``rows``, ``score``, ``prediction`` and ``reasons``, by a portable model's files.

    A batch of rows is one call. A missing column is refused by name; columns the model does not
    know are left alone.
    """
    absent = [column.name for column in facts.columns if column.name not in rows.columns]
    if absent:
        raise Missing(
            f"the rows to score lack {', '.join(absent)}",
            where=f"model {facts.name}",
            hint="the champion was trained on other features: train again, or bring them back",
        )
    wanted = [column.name for column in facts.columns]
    kept = [rows.schema[name] for name in keep]
    number = [StructField(name, DoubleType()) for name in ("score", "prediction")]
    words = StructField("reasons", ArrayType(StringType()))
    asked = rows.select(*dict.fromkeys([*keep, *wanted]))
    scorer = _scorer(content, reasons, list(keep))
    return asked.mapInArrow(scorer, StructType([*kept, *number, words]))


def _scorer(
    content: bytes, reasons: bytes, keep: list[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # On the executor: the driver's copy of the model does not travel, its files do.
        from driftline.serving.model import Portable, Reasons

        model, why = Portable(content), Reasons(reasons)
        for batch in batches:
            numbers, words = model.inputs(batch)
            found = model.score(numbers, words)
            decision = model.decide(found)
            columns = [batch.column(name) for name in keep]
            columns += [pa.array(found), pa.array(decision), why.top(numbers, words, decision)]
            names = [*keep, "score", "prediction", "reasons"]
            yield pa.RecordBatch.from_arrays(columns, names)

    return score
