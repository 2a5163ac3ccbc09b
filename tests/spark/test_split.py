"""Parts and folds: what is purged, and that nobody is on two sides."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from pyspark.sql import functions as F

from driftline import split
from driftline.errors import Refused
from driftline.split_section import EntitySplit, GivenSplit, RandomSplit, TimeSplit

DAYS = [datetime(2024, month, 1, tzinfo=timezone.utc) for month in range(1, 8)]


def test_an_as_of_whose_label_overlaps_the_judging_ones_is_purged(spark) -> None:
    rows = spark.createDataFrame(
        [(each, 1.0, 7) for each in DAYS], "as_of timestamp, label double, who int"
    )
    rule = TimeSplit(by="time", test=1, validation=2)
    found = split.with_parts(
        rows, rule, DAYS[::-1], horizon=45, entity="who", task="classification", seed=1
    )
    # 1 June + 45 days reaches past 1 July, which judges; 1 March + 45 past 1 April, which chooses.
    assert {row.as_of.month: row.part for row in found.collect()} == {
        **{1: "train", 2: "train"},
        **{4: "validation", 5: "validation", 7: "test"},
    }
    newest = split.with_parts(
        rows,
        rule.model_copy(update={"recent": 6}),
        DAYS[::-1],
        horizon=45,
        entity="who",
        task="classification",
        seed=1,
    )
    assert sorted(row.as_of.month for row in newest.collect()) == [2, 4, 5, 7]


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


def parted(people, rule, *, seed: int = 3, task: str = "classification"):
    """Everybody's label is 1 for every tenth, who has it at one as-of of three."""
    tenth = (F.col("who") % 10 == 0) & (F.col("n") == 1)
    rows = people.withColumn("label", F.when(tenth, 1.0).otherwise(0.0))
    return split.with_parts(rows, rule, [], horizon=30, entity="who", task=task, seed=seed)


def test_by_entity_a_person_is_in_one_part_whoever_else_is_there(people) -> None:
    rule = EntitySplit(by="entity", test=0.2, validation=0.1)
    parts = sides(parted(people, rule), "part")
    assert all(len(each) == 1 for each in parts.values())
    counts = Counter(each for (each,) in parts.values())
    # Three standard deviations of a binomial with 5,000 draws.
    assert counts["test"] == pytest.approx(1_000, abs=85)
    assert counts["validation"] == pytest.approx(500, abs=64)
    assert counts.keys() == {"train", "validation", "test"}
    some = sides(parted(people.where("who < 2500"), rule), "part")
    assert some == {who: part for who, part in parts.items() if who < 2_500}
    assert parts != sides(parted(people, rule, seed=4), "part")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_at_random_each_part_has_its_share_of_every_label(people, task) -> None:
    rule = RandomSplit(by="random", test=0.2, validation=0.1)
    rows = parted(people, rule, task=task)
    labels = rows.groupBy("who", "part").agg(F.max("label").alias("label"))
    found = {
        (row.part, row.label): row["count"]
        for row in labels.groupBy("part", "label").count().collect()
    }
    shares = {"test": 0.2, "validation": 0.1, "train": 0.7}
    # The tenths of a regression cut through the people without a label, not through the others.
    assert found == {
        (part, label): pytest.approx(share * number, abs=0.5 if task == "classification" else 1)
        for part, share in shares.items()
        for label, number in ((1.0, 500), (0.0, 4_500))
    }
    again = sides(parted(people.repartition(3), rule, task=task), "part")
    assert again == sides(rows, "part")
    assert again != sides(parted(people, rule, seed=4, task=task), "part")


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
    rows = parted(people, EntitySplit(by="entity", test=0.4, validation=0.1))
    folded = split.with_folds(rows.where("part = 'train'"), folds=4, entity="who", seed=3)
    counts = [row["count"] for row in folded.groupBy("fold").count().collect()]
    assert len(counts) == 4
    assert min(counts) > 0.8 * max(counts)


def test_a_given_split_is_as_the_attribute_says(people) -> None:
    """What says nothing trains or validates; a share of the others validates, by entity."""
    side = F.when(F.col("who") % 4 == 0, "held").when(F.col("who") % 4 == 1, "other")
    told = people.withColumn("side", side)
    rule = GivenSplit(by="attribute", attribute="side", test="held", validation=0.25)
    parts = sides(parted(told, rule), "part")
    assert {who for who, part in parts.items() if part == ("test",)} == set(range(0, 5_000, 4))
    rest = Counter(part for each in parts.values() for part in each if part != "test")
    assert rest["validation"] == pytest.approx(3_750 / 4, abs=80)
    assert rest["train"] == 3_750 - rest["validation"]
