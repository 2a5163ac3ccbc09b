"""Profiles: one pass, exact counts, quantiles within the sketch's bound."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from driftline import distances, profile, scan, usage
from driftline.drift import compare
from driftline.profile import Profile
from driftline.sections import Drift

NAN, INF = float("nan"), float("inf")


def profiles(rows, *, segments=None) -> list[Profile]:
    """Every column, and part of one, of rows that are all of one file."""
    keys = {name: name for name in rows.columns}
    found = scan.scan(rows, keys, path=F.lit("file"), segments=segments)
    return [profile.from_row(row) for row in found.collect() if row.column != "*"]


def columns(rows) -> dict[str, Profile]:
    return {each.name: each for each in profiles(rows)}


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
    found = columns(small)
    assert {name: (each.kind, each.rows, each.nulls) for name, each in found.items()} == {
        "x": ("numeric", 5, 2),
        "n": ("numeric", 5, 1),
        "w": ("categorical", 5, 1),
        "w:length": ("numeric", 5, 1),
        "b": ("categorical", 5, 1),
        "d": ("numeric", 5, 3),
        "d:weekday": ("categorical", 5, 3),
        "t": ("numeric", 5, 3),
        "t:weekday": ("categorical", 5, 3),
        "t:hour": ("categorical", 5, 3),
        "nested": ("skipped", 5, 2),
    }
    x = found["x"]
    assert (x.min, x.max, x.mean, x.spread, x.distinct, x.null_rate) == (1, 3, 2, 2, 3, 0.4)
    assert x.distribution.quantiles([0.0, 0.5, 1.0]) == [1, 2, 3]
    assert x.distribution.ranks([0.5, 1, 2, 3]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert x.distribution.between([1, 2]) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert (found["d"].min, found["d"].max) == (0, 86_400)
    assert (found["t"].min, found["t"].max) == (0, 1)
    assert found["b"].counts.values == {"true": 3, "false": 1}
    assert found["w"].counts.values == {"a": 1, "b": 2, "": 1}  # an empty text is one like others
    assert found["w:length"].counts.values == {"0.0": 1, "1.0": 3}
    assert found["d:weekday"].counts.values == {"3": 1, "4": 1}  # a Thursday and a Friday
    assert found["t:hour"].counts.values == {"0": 2}
    assert found["w"].distinct == 3
    assert (found["nested"].sketch, found["nested"].counts) == (None, None)


def test_cells_are_counted_apart(small) -> None:
    keys = {"x": "key of x"}
    rows = scan.scan(small, keys, path=F.lit("file"), segments={"w": "w", "b": "b"}).collect()
    assert {row.column for row in rows} == {"*", "key of x"}
    counted = {(r.cell["w"], r.cell["b"]): r.rows for r in rows if r.column == "*"}
    assert counted == {
        ("a", "true"): 1,
        ("b", "true"): 1,
        ("b", "false"): 1,
        (None, None): 1,
        ("", "true"): 1,
    }


def test_columns_without_values_and_tables_without_rows(small) -> None:
    nothing = small.select(
        F.lit(None).cast("double").alias("x"), F.lit(None).cast("string").alias("w")
    )
    assert profiles(nothing.where("false")) == []
    for each in profiles(nothing):
        assert (each.rows, each.nulls, each.is_empty, each.mean) == (5, 5, True, None)
        assert (each.sketch, each.registers, each.counts.values) == (None, None, {})
        assert each.null_rate == 1.0


def test_ranks_are_within_the_bound_of_the_sketch(spark) -> None:
    """A hundred thousand values in a scrambled order, many partitions; the truth is known."""
    count = 100_000
    rows = spark.range(0, count, 1, 8).select(
        ((F.col("id") * 48_271) % count).cast("double").alias("x")
    )
    [x] = profiles(rows)
    points = [count * share / 100 for share in (0.5, 1, 5, 25, 50, 75, 95, 99, 99.5)]
    for point, rank in zip(points, x.distribution.ranks(points), strict=True):
        assert rank == pytest.approx((point + 1) / count, abs=x.distribution.error)
    assert 0 < x.distribution.error < 0.007
    assert (x.min, x.max) == (0, count - 1)
    shares = [0.1, 0.5, 0.9]
    assert [value / count for value in x.distribution.quantiles(shares)] == pytest.approx(
        shares, abs=0.0075
    )
    assert x.distinct == pytest.approx(count, rel=0.05)
    edges = profile.edges(x.distribution)
    assert len(edges) == 9
    assert x.distribution.between(edges) == pytest.approx([0.1] * 10, abs=0.015)


def test_the_most_frequent_of_many_categories(spark) -> None:
    """1,202 words; those that matter are kept with counts that are right."""
    rows = spark.range(20_000).select(
        F.when(F.col("id") % 2 == 0, F.lit("half"))
        .when(F.col("id") % 5 == 0, F.lit("tenth"))
        .otherwise(F.concat(F.lit("w"), (F.col("id") % 3000).cast("string")))
        .alias("w")
    )
    words = columns(rows)["w"]
    assert words.counts.values == {"half": 10_000, "tenth": 2_000}
    # each of the others has 6 or 7 rows, less than a thousandth of all
    assert (words.counts.unlisted, words.counts.excess, words.counts.complete) == (20, 0, False)
    rare = rows.where("w NOT IN ('half', 'tenth')")
    assert columns(rare)["w"].counts.unlisted == 8
    assert columns(rare.limit(2000))["w"].counts.values


def test_a_million_categories_are_bounded(spark) -> None:
    """More than the sketch can hold: what it lists is right within what it says."""
    rows = spark.range(0, 1_000_000, 1, 2).select(
        F.when(F.col("id") % 4 == 0, F.lit("often"))
        .otherwise(F.col("id").cast("string"))
        .alias("w")
    )
    words = columns(rows)["w"]
    assert set(words.counts.values) == {"often"}
    assert 0 < words.counts.excess <= 1_000_000 * 3.5 / 8192 + 1
    assert words.counts.values["often"] == pytest.approx(250_000, abs=words.counts.excess)
    assert words.distinct == pytest.approx(750_001, rel=0.05)


def several(spark, x: Sequence[str], y: Sequence[str], files: int) -> dict[str, Profile]:
    """Two columns of words, each merged from the profiles of files of unequal size."""
    table = pd.concat(
        pd.DataFrame({"file": f"{side}{place}", "w": part})
        for side, words in (("x", x), ("y", y))
        for place, part in enumerate(
            np.split(words, [len(words) >> back for back in range(files - 1, 0, -1)])
        )
    )
    rows = spark.createDataFrame(pa.Table.from_pandas(table, preserve_index=False))
    found: dict[str, list[Profile]] = {"x": [], "y": []}
    for row in scan.scan(rows, {"w": "w"}, path=F.col("file")).collect():
        if (row.column, row.part) == ("w", ""):
            one = profile.from_row(row)
            found[row.file[0]].append(one)
            exact = Counter(table.loc[table["file"] == row.file, "w"])
            for word, count in one.counts.values.items():
                assert count - one.counts.excess <= exact[word] <= count
    return {side: profile.merge(parts) for side, parts in found.items()}


def unbounded(spark, seed: int, rows: tuple[int, int]) -> list[str]:
    """What two columns of heavy-tailed words are further from than the sketches of them allow.

    Shares are over the values that either side lists and the rest; what is new is all that the
    other side has not, or has too rarely (:func:`categories.unseen`).
    """
    random = np.random.default_rng(seed)
    often, tail = random.uniform(1.6, 2.2), random.uniform(0.3, 0.4)

    def drawn(size: int) -> np.ndarray:
        rare = random.random(size) < tail
        words = np.where(rare, random.integers(10**6, size=size), random.zipf(often, size=size))
        return np.char.add("w", words.astype(str))

    x, y = (drawn(size) for size in random.integers(*rows, size=2))
    if seed % 2:  # a fifth of one side are words of its own
        y = np.where(random.random(len(y)) < 0.2, np.char.add("y", y), y)
    files = int(random.integers(2, 6))
    sides = several(spark, x, y, files)
    exact = {"x": Counter(x.tolist()), "y": Counter(y.tolist())}
    misses = []
    for side, words in exact.items():
        counts = sides[side].counts
        assert counts.excess > 0
        for word, count in words.items():
            least = counts.values.get(word, 0) - counts.excess
            if not least <= count <= counts.values.get(word, 0) + counts.unlisted:
                misses.append(f"{seed} {side} {word}: {count} of {counts}")
    names = sorted(exact["x"] | exact["y"])
    p, q = ([words[name] / words.total() for name in names] for words in exact.values())
    truth = {each.__name__: each(p, q) for each in (distances.psi, distances.js)}
    truth["total_variation"] = distances.total_variation(p, q)
    truth["cramers_v"] = distances.cramers_v(p, q, (1, 1))
    for name, seen, now in (("new", "x", "y"), ("lost", "y", "x")):
        counts = sides[seen].counts
        most = 10 * (counts.unlisted + counts.excess) / exact[seen].total()
        truth[name] = sum(
            count / exact[now].total()
            for word, count in exact[now].items()
            if word not in counts.values
            and (word not in exact[seen] or count / exact[now].total() > most)
        )
    said = compare({"w": sides["x"]}, {"w": sides["y"]}, Drift(tables=()))
    found = {each.statistic: each for each in said}
    for name, value in truth.items():
        if abs(found[name].value - value) > found[name].bound + 1e-9:
            misses.append(f"{seed} {name}: {found[name].value} ± {found[name].bound}, {value}")
    return misses


def test_what_sketches_leave_open_is_within_their_bounds(spark) -> None:
    assert unbounded(spark, 1, (40_000, 50_000)) == []


@pytest.mark.slow
def test_what_sketches_leave_open_of_many_tables_is_within_their_bounds(spark) -> None:
    assert [miss for seed in range(6) for miss in unbounded(spark, seed, (60_000, 120_000))] == []


def test_long_values_are_kept_short(spark) -> None:
    rows = spark.createDataFrame([("x" * 1000 + "a",), ("x" * 1000 + "b",)], "w string")
    words = columns(rows)["w"]
    assert words.distinct == 2
    assert {len(value) for value in words.counts.values} == {200}


def test_more_columns_start_no_more_jobs(spark, small) -> None:
    """One aggregation, however many columns."""
    stored = small.persist()
    stored.count()

    def jobs(rows) -> int:
        before = usage.jobs_so_far(spark)
        profiles(rows)
        return usage.jobs_so_far(spark) - before

    assert jobs(stored) == jobs(stored.select("x")) <= 2
    stored.unpersist()


def test_columns_with_awkward_names(spark) -> None:
    rows = spark.createDataFrame([(1.0, "a", 2)], "`a.b` double, `c d` string, `e``f` int")
    assert list(columns(rows)) == ["a.b", "c d", "c d:length", "e`f"]


def test_infinite_values_are_values(spark) -> None:
    rows = spark.createDataFrame([(1.0,), (INF,), (-INF,)], "x double")
    [x] = profiles(rows)
    assert (x.nulls, x.min, x.max, x.mean) == (0, -INF, INF, None)
    assert x.distribution.ranks([0.0, 1.0]) == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize("far", [1e200, 1.7e308])
def test_values_whose_squares_no_double_holds_leave_no_moments(spark, far) -> None:
    rows = spark.createDataFrame([(far,), (far,), (-far,), (1.0,)], "x double")
    [x] = profiles(rows)
    assert (x.min, x.max, x.mean, x.spread, x.deviation) == (-far, far, None, None, None)
    assert x.distribution.ranks([0.0, 1.0]).tolist() == [0.25, 0.5]


def test_whole_numbers_that_are_one_double_are_not_one_value(spark) -> None:
    """2⁵³ and the next are the same double; their hashes tell how many there are, about."""
    far = 2**53
    drawn = [(far, -far), (far + 1, -far - 1), (far, 0)]
    rows = spark.createDataFrame(drawn, "a bigint, b bigint")
    found = columns(rows)
    assert (found["a"].distinct, found["b"].distinct) == (2, 3)
    assert [len(found[name].counts.values) for name in "ab"] == [1, 2]
    changed = compare({"a": found["a"]}, {"a": found["a"]}, Drift(tables=()))
    [cardinality] = [each for each in changed if each.statistic == "cardinality"]
    assert cardinality.bound > 0
    near = spark.createDataFrame([(far - 1,), (far - 2,)], "a bigint")
    assert columns(near)["a"].enumerated


def test_bins_to_draw_are_finite(spark) -> None:
    rows = spark.createDataFrame([(1.0,), (2.0,), (INF,), (-INF,)], "x double")
    edges = profile.even_edges(profiles(rows))
    assert edges == sorted(set(edges))
    assert all(math.isfinite(edge) for edge in edges)
