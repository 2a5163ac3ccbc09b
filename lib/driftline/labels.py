"""What happened after the as-of: the label, once the data reaches far enough to know it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline.sections import Label


def mature(as_ofs: Sequence[datetime], label: Label, watermark: datetime) -> list[datetime]:
    """The as-ofs whose whole horizon lies before the newest event that is known."""
    return [each for each in as_ofs if each + timedelta(days=label.horizon) <= watermark]


def outcomes(
    events: DataFrame, as_ofs: Sequence[datetime], label: Label, *, entity: str, time: str
) -> DataFrame:
    """(entity, as_of, _outcome): events, or their sum, in (as-of, as-of + horizon]."""
    as_of = F.explode(F.array(*(F.lit(each) for each in as_ofs))).alias("as_of")
    narrowed = events.where(label.where) if label.where else events
    until = F.col("as_of") + F.make_dt_interval(F.lit(label.horizon))
    after = narrowed.select("*", as_of).where(
        (F.col(time) > F.col("as_of")) & (F.col(time) <= until)
    )
    amount = F.expr(label.value) if label.value else F.lit(1)
    return after.groupBy(entity, "as_of").agg(F.sum(amount).cast("double").alias("_outcome"))


def attach(
    rows: DataFrame, outcomes: DataFrame, as_ofs: Sequence[datetime], label: Label, *, entity: str
) -> DataFrame:
    """Add ``label``: null at as-ofs that are not among the mature ``as_ofs``."""
    joined = rows.join(outcomes, on=[entity, "as_of"], how="left")
    happened = F.col("_outcome").isNotNull()
    value = {
        "none": F.when(happened, 0.0).otherwise(1.0),
        "any": F.when(happened, 1.0).otherwise(0.0),
        "sum": F.coalesce(F.col("_outcome"), F.lit(0.0)),
    }[label.outcome]
    known = F.col("as_of").isin(list(as_ofs)) if as_ofs else F.lit(False)
    return joined.withColumn("label", F.when(known, value)).drop("_outcome")
