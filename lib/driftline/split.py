"""Which labelled rows train a model, which choose, which judge it; and the folds.

By time, the newest mature as-ofs judge, and an as-of is used only if its label was known at the
first as-of of the next part (the gap that purges overlapping horizons). By entity and at random,
whole entities are drawn, so that none is on two sides; at random each part also has its share of
every kind of label. A given split is the one that an attribute says.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from driftline.errors import Refused
from driftline.split_section import EntitySplit, GivenSplit, RandomSplit, Split, TimeSplit

_STRATA = 10
"""Kinds of labels of a regression: tenths of the entities, by their mean label."""

PARTS = ("train", "validation", "test")


def by_time(
    as_ofs: Sequence[datetime], split: TimeSplit, *, horizon: int
) -> Mapping[str, tuple[datetime, ...]]:
    """The as-ofs of each part; :class:`Refused` when too few are mature."""
    ordered = sorted(as_ofs)
    over = timedelta(days=horizon)
    rest, test = _newest(ordered, split.test)
    # Purged: what is not over when the next part begins.
    rest = [each for each in rest if test and each + over <= test[0]]
    rest, validation = _newest(rest, split.validation)
    train = [each for each in rest if not validation or each + over <= validation[0]]
    if not train or len(test) < split.test or len(validation) < split.validation:
        raise Refused(
            f"too few as-ofs with a known label to split by time: {len(ordered)}",
            where=f"split: test {split.test}, validation {split.validation}",
            hint="start cutoffs.first earlier, or wait until more labels are mature",
        )
    return {"train": tuple(train), "validation": tuple(validation), "test": tuple(test)}


def with_parts(
    rows: DataFrame,
    rule: Split,
    as_ofs: Sequence[datetime],
    *,
    horizon: int,
    entity: str,
    task: str,
    seed: int,
) -> DataFrame:
    """Add ``part`` to labelled rows at ``as_ofs``; rows that are purged are gone."""
    if rule.recent:
        as_ofs = sorted(as_ofs)[-rule.recent :]
        rows = rows.where(F.col("as_of").isin(list(as_ofs)))
    if isinstance(rule, TimeSplit):
        parts = by_time(as_ofs, rule, horizon=horizon)
        column = F.lit(None).cast("string")
        for name, times in parts.items():
            if times:
                column = F.when(F.col("as_of").isin(list(times)), name).otherwise(column)
        return rows.withColumn("part", column).where(F.col("part").isNotNull())
    if isinstance(rule, GivenSplit):
        given = F.col(rule.attribute).eqNullSafe(F.lit(rule.test))
        chosen = F.when(_uniform(entity, seed) < rule.validation, "validation").otherwise("train")
        return rows.withColumn("part", F.when(given, "test").otherwise(chosen))
    if isinstance(rule, EntitySplit):
        return rows.withColumn("part", _drawn(_uniform(entity, seed), rule))
    label = (F.max if task == "classification" else F.avg)("label").alias("_label")
    people = rows.groupBy(entity).agg(label)
    stratum = F.col("_label")
    if task == "regression":
        stratum = F.ntile(_STRATA).over(Window.orderBy("_label", entity))
    people = people.withColumn("_stratum", stratum)
    # By its place among those of its kind, in an order that only entity and seed decide.
    kind = Window.partitionBy("_stratum")
    place = F.row_number().over(kind.orderBy(_uniform(entity, seed), entity)) - F.lit(0.5)
    place = place / F.count("*").over(kind)
    drawn = people.select(entity, _drawn(place, rule).alias("part"))
    return rows.join(drawn, on=entity, how="inner")


def _drawn(place: Column, rule: EntitySplit | RandomSplit) -> Column:
    return (
        F.when(place < rule.test, "test")
        .when(place < rule.test + rule.validation, "validation")
        .otherwise("train")
    )


def _newest(ordered: Sequence[datetime], number: int) -> tuple[list[datetime], list[datetime]]:
    """All but the last ``number``, and those."""
    cut = max(0, len(ordered) - number)
    return list(ordered[:cut]), list(ordered[cut:])


@dataclass(frozen=True)
class Sides:
    """Conditions of the two sides of a fold."""

    fitting: Column
    held_out: Column


def with_folds(rows: DataFrame, *, folds: int, entity: str, seed: int) -> DataFrame:
    """Add ``fold`` from 0 to folds − 1: an entity is in one fold, the same in every run."""
    fold = F.floor(_uniform(entity, seed + 1) * folds).cast("int")
    return rows.withColumn("fold", fold)


def sides(
    rule: Split,
    as_ofs: Sequence[datetime],
    *,
    folds: int,
    horizon: int,
) -> list[Sides]:
    """The sides of each fold of rows with ``fold`` and ``as_of``."""
    if isinstance(rule, TimeSplit) and rule.folds == "forward":
        return [
            Sides(F.col("as_of").isin(fitting), F.col("as_of").isin(held_out))
            for fitting, held_out in forward(as_ofs, folds=folds, horizon=horizon)
        ]
    return [Sides(F.col("fold") != fold, F.col("fold") == fold) for fold in range(folds)]


def forward(
    as_ofs: Sequence[datetime], *, folds: int, horizon: int
) -> list[tuple[list[datetime], list[datetime]]]:
    """Forward chaining: each block of as-ofs is measured by what was known when it began."""
    ordered = sorted(as_ofs)
    edges = [round(len(ordered) * place / (folds + 1)) for place in range(folds + 2)]
    found = []
    for start, end in itertools.pairwise(edges[1:]):
        held_out = ordered[start:end]
        over = timedelta(days=horizon)
        fitting = [each for each in ordered[:start] if held_out and each + over <= held_out[0]]
        if not fitting:
            raise Refused(
                f"too few as-ofs to chain {folds} folds forward: {len(ordered)} that train",
                where=f"train.folds {folds}, label.horizon {horizon}d",
                hint="take fewer folds, start cutoffs.first earlier, or leave split.folds: entity",
            )
        found.append((fitting, held_out))
    return found


def _uniform(entity: str, seed: int) -> Column:
    """A number in [0, 1) that depends on the entity and the seed alone."""
    hashed = F.xxhash64(F.lit(seed), F.col(entity).cast("string"))
    return F.pmod(hashed, F.lit(1 << 40)) / F.lit(float(1 << 40))
