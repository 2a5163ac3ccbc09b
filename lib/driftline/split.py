"""Which labelled rows train a model, which choose, which judge it; and the folds.

By time, the newest mature as-ofs judge, and an as-of trains only if its label was known at the
first as-of that chooses or judges (the gap that purges overlapping horizons). At random, entities
are drawn, so that none is on two sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.errors import Refused
from driftline.sections import RandomSplit, TimeSplit

PARTS = ("train", "validation", "test")


def by_time(
    as_ofs: Sequence[datetime], split: TimeSplit, *, horizon: int
) -> Mapping[str, tuple[datetime, ...]]:
    """The as-ofs of each part; :class:`Refused` when too few are mature."""
    ordered = sorted(as_ofs)
    held_back = split.test + split.validation
    test = tuple(ordered[len(ordered) - split.test :])
    validation = tuple(ordered[max(0, len(ordered) - held_back) : len(ordered) - split.test])
    first = min((*validation, *test), default=None)
    train = tuple(
        each
        for each in ordered[: max(0, len(ordered) - held_back)]
        if first is not None and each + timedelta(days=horizon) <= first
    )
    if not train or len(test) < split.test or len(validation) < split.validation:
        raise Refused(
            f"too few as-ofs with a known label to split by time: {len(ordered)}",
            where=f"split: test {split.test}, validation {split.validation}",
            hint="start cutoffs.first earlier, or wait until more labels are mature",
        )
    return {"train": train, "validation": validation, "test": test}


def part(
    parts: Mapping[str, Sequence[datetime]] | RandomSplit, *, entity: str, seed: int
) -> Column:
    """The part a labelled row belongs to; null for a row that is purged."""
    if isinstance(parts, RandomSplit):
        place = _uniform(entity, seed)
        return (
            F.when(place < parts.test, "test")
            .when(place < parts.test + parts.validation, "validation")
            .otherwise("train")
        )
    column = F.lit(None).cast("string")
    for name, as_ofs in parts.items():
        if as_ofs:
            column = F.when(F.col("as_of").isin(list(as_ofs)), name).otherwise(column)
    return column


def with_folds(rows: DataFrame, *, folds: int, entity: str, seed: int) -> DataFrame:
    """Add ``fold`` from 0 to folds − 1: an entity is in one fold, the same in every run."""
    fold = F.floor(_uniform(entity, seed + 1) * folds).cast("int")
    return rows.withColumn("fold", fold)


def _uniform(entity: str, seed: int) -> Column:
    """A number in [0, 1) that depends on the entity and the seed alone."""
    hashed = F.xxhash64(F.lit(seed), F.col(entity).cast("string"))
    return F.pmod(hashed, F.lit(1 << 40)) / F.lit(float(1 << 40))
