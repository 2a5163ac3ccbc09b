"""Profiles: one pass, exact counts, quantiles within the sketch's bound."""

from __future__ import annotations

import dataclasses
import math
from datetime import date, datetime

import pytest
from pyspark.sql import functions as F

from driftline import ledger, profile, schemas
from driftline.jobs.profiles import from_row

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def small(spark):
    rows = [
        (1.0, 5, "a", True, date(1970, 1, 2), datetime(1970, 1, 1, 0, 0, 1), [1]),
        (3.0, None, "b", True, date(1970, 1, 1), datetime(1970, 1, 1), None),
        (NAN, 7, "b", False, None, None, [2, 3]),
        (None, 7, None, None, None, None, []),
        (2.0, 7, "", True, None, None, None),
    ]
    ddl = "x double, n bigint, w string, b boolean, d date, t timestamp, nested array<int>"
    return spark.createDataFrame(rows, ddl)


def test_every_column_by_hand(small) -> None:
    found = {each.column: each for each in profile.profiles(small)}
    assert list(found) == ["x", "n", "w", "b", "d", "t", "nested"]
    assert {name: (each.kind, each.rows, each.nulls) for name, each in found.items()} == {
        "x": ("numeric", 5, 2),
        "n": ("numeric", 5, 1),
        "w": ("categorical", 5, 1),
        "b": ("categorical", 5, 1),
        "d": ("numeric", 5, 3),
        "t": ("numeric", 5, 3),
        "nested": ("skipped", 5, 2),
    }
    x = found["x"]
    assert (x.min, x.max, x.mean, x.distinct, x.null_rate) == (1, 3, 2, 3, 0.4)
    assert x.quantiles([0.0, 0.5, 1.0]) == [1, 2, 3]
    assert x.ranks([0.5, 1, 2, 3]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert x.shares([1, 2]) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert (found["d"].min, found["d"].max) == (0, 86_400)
    assert (found["t"].min, found["t"].max) == (0, 1)
    assert found["b"].categories == {"true": 3, "false": 1}
    assert found["w"].distinct == 3
    assert (found["nested"].sketch, found["nested"].categories) == (None, None)


def test_an_empty_text_is_a_category_like_any_other(small) -> None:
    [words] = profile.profiles(small.select("w"))
    assert words.categories == {"a": 1, "b": 2, "": 1}


def test_columns_without_values_and_tables_without_rows(small) -> None:
    nothing = small.select(
        F.lit(None).cast("double").alias("x"), F.lit(None).cast("string").alias("w")
    )
    for rows, count in ((nothing, 5), (nothing.where("false"), 0)):
        x, w = profile.profiles(rows)
        assert (x.rows, x.nulls, x.is_empty, x.mean) == (count, count, True, None)
        assert (w.rows, w.nulls, w.is_empty, w.categories) == (count, count, True, {})
        assert profile.edges(x) == []
        assert x.null_rate == (1.0 if count else 0.0)


def test_ranks_are_within_the_bound_of_the_sketch(spark) -> None:
    """A hundred thousand values in a scrambled order, many partitions; the truth is known."""
    count = 100_000
    rows = spark.range(0, count, 1, 8).select(
        ((F.col("id") * 48_271) % count).cast("double").alias("x")
    )
    [x] = profile.profiles(rows)
    points = [count * share / 100 for share in (0.5, 1, 5, 25, 50, 75, 95, 99, 99.5)]
    for point, rank in zip(points, x.ranks(points), strict=True):
        assert rank == pytest.approx((point + 1) / count, abs=0.0075)
    assert (x.min, x.max) == (0, count - 1)
    shares = [0.1, 0.5, 0.9]
    assert [value / count for value in x.quantiles(shares)] == pytest.approx(shares, abs=0.0075)
    assert x.distinct == pytest.approx(count, rel=0.15)
    edges = profile.edges(x)
    assert len(edges) == 9
    assert x.shares(edges) == pytest.approx([0.1] * 10, abs=0.015)


def test_the_most_frequent_of_many_categories(spark) -> None:
    """500 words; those that matter are kept with counts that are right."""
    rows = spark.range(20_000).select(
        F.when(F.col("id") % 2 == 0, F.lit("half"))
        .when(F.col("id") % 5 == 0, F.lit("tenth"))
        .otherwise(F.concat(F.lit("w"), (F.col("id") % 500).cast("string")))
        .alias("w")
    )
    [words] = profile.profiles(rows)
    assert (words.categories["half"], words.categories["tenth"]) == (10_000, 2_000)
    assert len(words.categories) == profile.TOP


def test_more_columns_start_no_more_jobs(spark, small) -> None:
    """One aggregation, however many columns."""
    stored = small.persist()
    stored.count()

    def jobs(rows) -> int:
        before = ledger._jobs(spark)
        profile.profiles(rows)
        return ledger._jobs(spark) - before

    assert jobs(stored) == jobs(stored.select("x")) <= 2
    stored.unpersist()


def test_a_profile_says_the_same_after_it_was_stored(small, tables) -> None:
    """Through ops.profiles and back: the next run compares with what this one saw."""
    found = profile.profiles(small)
    names = [field.name for field in dataclasses.fields(profile.Profile)]
    rows = [
        ("silver.x", 1, "whole", *(getattr(each, name) for name in names), "run") for each in found
    ]
    tables.append_values(rows, schemas.PROFILES, key=None)
    stored = tables.read("ops.profiles").collect()
    again = {row.column: from_row(row) for row in stored}
    assert again == {each.column: each for each in found}
    assert again["x"].quantiles([0.5]) == [2]


def test_columns_with_awkward_names(spark) -> None:
    rows = spark.createDataFrame([(1.0, "a")], "`a.b` double, `c d` string")
    assert [(each.column, each.nulls) for each in profile.profiles(rows)] == [
        ("a.b", 0),
        ("c d", 0),
    ]


def test_infinite_values_are_values(spark) -> None:
    rows = spark.createDataFrame([(1.0,), (INF,), (-INF,)], "x double")
    [x] = profile.profiles(rows)
    assert (x.nulls, x.min, x.max) == (0, -INF, INF)
    assert x.ranks([0.0, 1.0]) == pytest.approx([1 / 3, 2 / 3])


def test_bins_to_draw_are_finite(spark) -> None:
    rows = spark.createDataFrame([(1.0,), (2.0,), (INF,), (-INF,)], "x double")
    edges = profile.even_edges(profile.profiles(rows))
    assert edges == sorted(set(edges))
    assert all(math.isfinite(edge) for edge in edges)
