"""Parts and folds: what is purged, and that nobody is on two sides."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from pyspark.sql import functions as F

from driftline import split
from driftline.errors import Refused
from driftline.sections import RandomSplit, TimeSplit

DAYS = [datetime(2024, month, 1, tzinfo=timezone.utc) for month in range(1, 8)]


def test_an_as_of_whose_label_overlaps_the_judging_ones_is_purged(spark) -> None:
    parts = split.by_time(DAYS[::-1], TimeSplit(by="time", test=1, validation=2), horizon=45)
    rows = spark.createDataFrame([(each,) for each in DAYS], "as_of timestamp")
    found = rows.select("as_of", split.part(parts, entity="who", seed=1).alias("part"))
    # 1 April + 45 days reaches past 1 May, the first as-of that chooses.
    assert [row.part for row in found.orderBy("as_of").collect()] == [
        *("train", "train", "train", None),
        *("validation", "validation", "test"),
    ]


def test_a_label_known_at_the_very_moment_is_known() -> None:
    two = [DAYS[0], DAYS[0] + timedelta(days=30)]
    rule = TimeSplit(by="time", test=1, validation=0)
    assert split.by_time(two, rule, horizon=30)["train"] == (two[0],)
    with pytest.raises(Refused):
        split.by_time(two, rule, horizon=31)


@pytest.fixture(scope="module")
def people(spark):
    """5,000 people, each with three rows in random partitions."""
    rows = spark.range(15_000).select(
        (F.col("id") % 5_000).alias("who"), (F.col("id") / 5_000).cast("int").alias("n")
    )
    return rows.repartition(5)


def sides(rows, column: str) -> dict:
    """Who → the set of sides that they are on."""
    found = rows.groupBy("who").agg(F.collect_set(column).alias("sides")).collect()
    return {row.who: tuple(row.sides) for row in found}


def test_at_random_a_person_is_in_one_part(people) -> None:
    rule = RandomSplit(by="random", test=0.2, validation=0.1)
    parts = sides(people.withColumn("part", split.part(rule, entity="who", seed=3)), "part")
    assert all(len(each) == 1 for each in parts.values())
    counts = Counter(each for (each,) in parts.values())
    # Three standard deviations of a binomial with 5,000 draws.
    assert counts["test"] == pytest.approx(1_000, abs=85)
    assert counts["validation"] == pytest.approx(500, abs=64)
    assert counts.keys() == {"train", "validation", "test"}
    again = sides(people.withColumn("part", split.part(rule, entity="who", seed=3)), "part")
    assert parts == again
    other = sides(people.withColumn("part", split.part(rule, entity="who", seed=4)), "part")
    assert parts != other


def test_folds(people) -> None:
    def folds(rows, seed: int = 3) -> dict:
        return sides(split.with_folds(rows, folds=4, entity="who", seed=seed), "fold")

    found = folds(people)
    assert all(len(each) == 1 for each in found.values())
    counts = Counter(each for (each,) in found.values())
    assert counts.keys() == {0, 1, 2, 3}
    assert all(count == pytest.approx(1_250, abs=93) for count in counts.values())
    # Nothing but the person and the seed decides: not the order, not who else is there.
    fewer = folds(people.where("who < 100").repartition(1))
    assert fewer == {who: found[who] for who in range(100)}
    assert folds(people, seed=9) != found


def test_folds_do_not_follow_the_parts(people) -> None:
    """Were both drawn by one number, the training part would lack whole folds."""
    rule = RandomSplit(by="random", test=0.4, validation=0.1)
    rows = people.withColumn("part", split.part(rule, entity="who", seed=3))
    folded = split.with_folds(rows.where("part = 'train'"), folds=4, entity="who", seed=3)
    counts = [row["count"] for row in folded.groupBy("fold").count().collect()]
    assert len(counts) == 4
    assert min(counts) > 0.8 * max(counts)
