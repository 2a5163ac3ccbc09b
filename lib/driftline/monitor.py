"""``gold.predictions`` and the labels that have come since → counts that performance is told from.

Point in time: as of a day, a label counts when its whole horizon is over by then, whatever the
table holds. Restated labels: the newest statement counts; a period whose predictions or labels
changed since it was measured is measured anew, and says how many labels differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from driftline.performance import BINS, LEAST

_HASHED = 1 << 64
"""Hashes are added up modulo this."""


def known(features: DataFrame, *, entity: str, horizon: int, as_of: datetime) -> DataFrame:
    """(entity, as_of, label, …) of ``gold.features``; labels not over by ``as_of`` are null."""
    over = F.col("as_of") + F.expr(f"INTERVAL {horizon} DAYS") <= F.lit(as_of)
    others = [name for name in features.columns if name not in (entity, "as_of", "label")]
    return features.where(F.col("as_of") <= F.lit(as_of)).select(
        F.col(entity).cast("string").alias("entity"),
        "as_of",
        F.when(over, F.col("label")).alias("label"),
        *others,
    )


def joined(predictions: DataFrame, labels: DataFrame, *, as_of: datetime) -> DataFrame:
    """Predictions up to ``as_of`` beside what is known of them; ``_matched`` where something is."""
    some = predictions.where(F.col("as_of") <= F.lit(as_of)).select(
        "entity", "as_of", "model_version", "score", "prediction"
    )
    there = labels.withColumn("_matched", F.lit(1))
    return some.join(there, on=["entity", "as_of"], how="left")


def counted(
    rows: DataFrame,
    *,
    task: str,
    slices: Sequence[str],
    edges: Mapping[int, Sequence[float]] | None = None,
) -> DataFrame:
    """Counts of :func:`joined` rows by cut-off, version, slice and score; one shuffle.

    ``slices`` are columns of words. Of a classification a row is a cell of scores
    (:class:`driftline.performance.Cells`); of a regression the sums of its errors, by how many of
    its version's ``edges`` are at most the score (:class:`driftline.losses.Losses`). ``content`` is
    the sum of the rows' hashes: it tells whether a prediction or a label has changed.
    """
    cut = F.array(
        F.lit(""),
        *(F.concat(F.lit(f"{name}="), F.coalesce(name, F.lit("missing"))) for name in slices),
    )
    label, score = F.col("label"), F.col("score")
    keys: list[Column] = [F.col("as_of").alias("cutoff"), F.col("model_version")]
    sums = {
        "rows": F.count("*"),
        "labelled": F.count("label"),
        "matched": F.count("_matched"),
        "content": F.sum(
            F.xxhash64("entity", "score", "prediction", "label").cast("decimal(38,0)")
        ),
    }
    cells = rows.withColumn("slice", F.explode(cut))
    if task == "classification":
        inside = F.least(F.greatest(score, F.lit(LEAST)), F.lit(1 - LEAST))
        keys += [F.col("slice"), F.floor(F.log(inside / (1 - inside)) * BINS).alias("bin")]
        keys += [F.col("prediction").alias("called")]
        sums |= {"scores": F.sum(score), "ones": F.coalesce(F.sum(label), F.lit(0.0))}
    else:
        keys += [F.col("slice"), _place(edges or {}).alias("bin")]
        error = score - label
        sums |= {"e": F.sum(error), "e1": F.sum(F.abs(error))}
        sums |= {"e2": F.sum(error**2), "e4": F.sum(error**4)}
    return cells.groupBy(*keys).agg(*(value.alias(name) for name, value in sums.items()))


def frequent(counts: DataFrame, *, at_least: int) -> DataFrame:
    """:func:`counted` without slices of fewer rows in their cut-off and version: an attribute may
    have as many values as there are rows.
    """
    slice_ = Window.partitionBy("cutoff", "model_version", "slice")
    enough = (F.col("slice") == "") | (F.col("_rows") >= at_least)
    return counts.withColumn("_rows", F.sum("rows").over(slice_)).where(enough).drop("_rows")


def _place(edges: Mapping[int, Sequence[float]]) -> Column:
    """How many edges of a row's version are at most its score; 0 where it has none."""
    found = F.lit(0)
    for version, each in edges.items():
        below = F.filter(F.array(*map(F.lit, each)), lambda edge: edge <= F.col("score"))
        found = F.when(F.col("model_version") == version, F.size(below)).otherwise(found)
    return found


def content(hashes: Sequence[int]) -> str:
    """The digest of rows from the sums of their hashes, however they were grouped."""
    return f"{sum(hashes) % _HASHED:016x}"


def restated(before: DataFrame, now: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """(cutoff, restated): labels that both know, and that differ between two statements."""
    there = F.col("as_of").isin(list(cutoffs)) & F.col("label").isNotNull()
    old = before.where(there).select("entity", "as_of", F.col("label").alias("_before"))
    both = now.where(there).join(old, on=["entity", "as_of"], how="inner")
    differ = F.count_if(F.col("label") != F.col("_before"))
    return both.groupBy(F.col("as_of").alias("cutoff")).agg(differ.alias("restated"))
