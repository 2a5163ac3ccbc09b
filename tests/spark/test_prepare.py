"""Features → a vector: each number by hand, and no content of a column can break the projection."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
from pyspark.ml import PipelineModel

from driftline import prepare
from driftline.prepare import Categorical, Numeric, Preparation
from driftline.sections import Prepare

NAN, INF = float("nan"), float("inf")
X = [("x", "double")]


def column(spark, values: list, type_: str = "double"):
    return spark.createDataFrame([(value,) for value in values], f"x {type_}")


def vectors(rows, preparation: Preparation) -> list[list[float]]:
    found = preparation.transformer().transform(rows)
    assert found.columns[: len(rows.columns)] == rows.columns
    return [[float(x) for x in row.features.toArray()] for row in found.collect()]


def numbers(spark, training: list, given: list, **rule) -> list[float]:
    fitted = prepare.fit(column(spark, training), X, Prepare(**{"clip": None, **rule}))
    return [x for (x,) in vectors(column(spark, given), fitted)]


def test_fill(spark) -> None:
    training = [1.0, 2.0, 9.0, None, NAN]
    plain = {"scale": "none"}
    given = [None, NAN, 5.0]
    assert numbers(spark, training, given, impute="median", **plain) == [2, 2, 5]
    assert numbers(spark, training, given, impute="mean", **plain) == [4, 4, 5]
    assert numbers(spark, training, given, impute="zero", **plain) == [0, 0, 5]


def test_clip_at_quantiles_of_the_training_rows(spark) -> None:
    training = [float(value) for value in range(101)]
    given = [-5.0, 10.0, 50.0, 90.0, 90.5, INF, -INF]
    found = numbers(spark, training, given, clip=(0.1, 0.9), scale="none")
    assert found == [10, 10, 50, 90, 90, 90, 10]


@pytest.mark.parametrize("clip", [(0.01, 0.99), "iqr"])
def test_what_is_seldom_there_is_no_outlier(spark, clip) -> None:
    """One in two hundred, below the quantiles that clip: as a flag and as a count."""
    made = [(n % 200 == 0, 3 * (n % 200 == 0), float(n % 200)) for n in range(400)]
    rows = spark.createDataFrame([*made, (None, None, None)], "b boolean, n bigint, x double")
    columns = [("b", "boolean"), ("n", "bigint"), ("x", "double")]
    fitted = prepare.fit(rows, columns, Prepare(clip=clip, scale="none"))
    given = [(True, 3, 5.0), (False, 0, 5.0), (None, 9, 5e9)]
    found = vectors(spark.createDataFrame(given, "b boolean, n bigint, x double"), fitted)
    assert found[:2] == [[1, 3, 5], [0, 0, 5]]
    assert found[2][:2] == [0, 3] and 190 < found[2][2] < 400  # beyond all that was seen


def test_scale_by_what_training_rows_look_like_after_fill_and_clip(spark) -> None:
    training = [0.0, 1.0, 2.0, 3.0, 100.0, None]
    clipped = [0.0, 1.0, 2.0, 3.0, 3.0, 2.0]
    rule = {"impute": "median", "clip": (0.0, 0.8)}
    mean, spread = sum(clipped) / 6, stdev(clipped)
    found = numbers(spark, training, [3.0, 100.0, None], scale="standard", **rule)
    assert found == pytest.approx([(3 - mean) / spread, (3 - mean) / spread, (2 - mean) / spread])
    found = numbers(spark, training, [0.0, 1.5, 100.0], scale="minmax", **rule)
    assert found == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_columns_that_say_nothing_are_finite(spark, scale) -> None:
    """Constant, all null, all NaN: no division by 0, no null in the vector."""
    ddl = "constant double, nulls double, nans double"
    training = spark.createDataFrame([(7.0, None, NAN), (7.0, None, NAN)], ddl)
    columns = [(name, "double") for name in ("constant", "nulls", "nans")]
    given = spark.createDataFrame([(7.0, None, NAN), (None, 1.0, 2.0), (9.0, NAN, None)], ddl)
    expected = [[0, 0, 0], [0, 1, 2], [2, 0, 0]]  # scale 1 where there is no spread
    fitted = prepare.fit(training, columns, Prepare(clip=None, scale=scale))
    assert vectors(given, fitted) == expected
    alone = prepare.fit(training.limit(1), columns, Prepare(clip=None, scale=scale))
    assert vectors(given, alone) == expected


@pytest.mark.parametrize(
    "rule", [{"clip": None}, {"clip": (0.01, 0.99), "impute": "mean"}], ids=str
)
def test_one_infinite_value_spoils_no_vector(spark, rule) -> None:
    training = [1.0, 2.0, 3.0, INF]
    assert all(math.isfinite(x) for x in numbers(spark, training, [*training, -INF, None], **rule))


def test_whole_numbers_and_truth_values_are_numbers(spark) -> None:
    rows = spark.createDataFrame([(1, True), (3, False), (None, None)], "n bigint, b boolean")
    fitted = prepare.fit(
        rows, [("n", "bigint"), ("b", "boolean")], Prepare(clip=None, scale="none")
    )
    assert fitted.names == ["n", "b"]
    assert vectors(rows, fitted)[:2] == [[1, 1], [3, 0]]


def words(spark, training: list[str | None]) -> Preparation:
    """Learnt from a column of words, beside a constant number."""
    rows = column(spark, training, "string").selectExpr("x", "1L AS n")
    return prepare.fit(rows, [("n", "bigint"), ("x", "string")], Prepare())


def test_categories_are_places_and_what_is_unseen_is_none_of_them(spark) -> None:
    fitted = words(spark, ["b", "a", "b", None, ""])
    assert fitted.names == ["n", "x=", "x=a", "x=b"]
    given = column(spark, ["a", "b", "", "new", None, "A", "a "], "string").selectExpr("x", "1L n")
    nothing = [0, 0, 0, 0]
    found = vectors(given, fitted)
    assert found == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], *[nothing] * 4]


def test_the_most_frequent_categories_have_places(spark) -> None:
    fitted = words(spark, [f"w{n:02d}" for n in range(40) for _ in range(40 - n)])
    assert fitted.categorical[0].categories == tuple(f"w{n:02d}" for n in range(30))


HOSTILE = [
    "a'; DROP TABLE customers; --",
    "back\\slash",
    "\\",
    "\\'",
    "'",
    "''",
    '"',
    "`",
    "%_*",
    "new\nline",
    "\\n",
    "tab\t",
    "nul\0",
    "\\u0041",
    "größe",
    "😀",
    "{x}",
    "--",
    "/* */",
    " ",
]


def one_hot(spark, words: list[str]) -> list[list[float]]:
    fitted = Preparation((), (Categorical("x", tuple(words)),))
    return vectors(column(spark, words, "string"), fitted)


def test_no_category_leaves_its_literal(spark) -> None:
    count = len(HOSTILE)
    identity = [[float(row == place) for place in range(count)] for row in range(count)]
    assert one_hot(spark, HOSTILE) == identity


@pytest.mark.parametrize("word", ["__THIS__", "${spark.app.name}", "${env:PATH}"])
def test_no_category_is_a_placeholder(spark, word) -> None:
    assert one_hot(spark, [word, "other"]) == [[1, 0], [0, 1]]


def test_a_saved_transformer_gives_the_same_vectors(spark, tmp_path) -> None:
    ddl = "x double, n bigint, w string"
    training = spark.createDataFrame(
        [(1.0, 5, "a"), (2.5, None, "it's"), (None, 7, "\\"), (NAN, 9, None)], ddl
    )
    columns = [("x", "double"), ("n", "bigint"), ("w", "string")]
    fitted = prepare.fit(training, columns, Prepare())
    fitted.transformer().write().save(str(tmp_path / "prepared"))
    loaded = PipelineModel.load(str(tmp_path / "prepared"))
    rows = [list(row.features) for row in loaded.transform(training).collect()]
    assert rows == vectors(training, fitted)
    assert len({tuple(row) for row in rows}) == 4


def test_odd_numbers_survive_the_projection(spark) -> None:
    """Scale and centre are written as text: no digit may be lost, no exponent misread."""
    odd = Numeric("x", fill=0.1 + 0.2, low=None, high=None, center=1e-300, scale=5e-324)
    tiny = Numeric("x", fill=-1.7976931348623157e308, low=None, high=None, center=0.0, scale=1.0)
    found = vectors(column(spark, [None]), Preparation((odd, tiny), ()))
    assert found[0][1] == -1.7976931348623157e308
    exact = Numeric("x", fill=0.1 + 0.2, low=None, high=None, center=0.0, scale=1.0)
    assert vectors(column(spark, [None]), Preparation((exact,), ())) == [[0.30000000000000004]]


def test_what_was_missing_is_flagged_where_anything_was(spark) -> None:
    ddl = "x double, y double"
    training = spark.createDataFrame([(1.0, 1.0), (None, 2.0), (3.0, 3.0)], ddl)
    given = spark.createDataFrame([(NAN, None), (None, 2.0), (5.0, 2.0)], ddl)
    columns = [("x", "double"), ("y", "double")]
    for clip in (None, (0.0, 1.0)):
        rule = Prepare(missing_flags=True, clip=clip, scale="none", impute="zero")
        fitted = prepare.fit(training, columns, rule)
        assert fitted.names == ["x", "y", "x missing"]
        fill = 0 if clip is None else 1  # a fill outside the quantiles is clipped as well
        x = 5 if clip is None else 3
        y = [0, 2, 2] if clip is None else [1, 2, 2]
        expected = [[fill, y[0], 1], [fill, y[1], 1], [x, y[2], 0]]
        assert vectors(given, fitted) == expected


def test_interquartile_fences_and_robust_scale(spark) -> None:
    training = [float(value) for value in (*range(1, 100), 10_000)]
    given = [-1_000.0, 50.0, 1e9]
    found = numbers(spark, training, given, clip="iqr", scale="none")
    # Quartiles 25, 50, 75; fences at 25 − 75 and 75 + 75.
    assert found == [-50, 50, 150]
    found = numbers(spark, training, [50.0, 75.0, 1e9], clip="iqr", scale="robust")
    assert found == [0, 0.5, 2]
    assert numbers(spark, [7.0] * 5, [7.0, 9.0], scale="robust") == [0, 2]


WORDS = [*["a"] * 60, *["b"] * 38, "c", None]


def test_rare_and_unseen_words_are_one(spark) -> None:
    training = column(spark, WORDS, "string")
    fitted = prepare.fit(training, [("x", "string")], Prepare(rare=0.02))
    assert fitted.names == ["x=a", "x=b", "x other"]
    given = column(spark, ["a", "b", "c", "unseen", None], "string")
    assert vectors(given, fitted) == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    none = prepare.fit(training, [("x", "string")], Prepare(rare=0.7))
    assert vectors(given, none) == [[1], [1], [1], [1], [0]]


@pytest.mark.parametrize("name", ["x", "rows", "total"])
def test_mean_labels_of_words_shrunk_and_blind_to_a_rows_own_fold(spark, name) -> None:
    rows = [(word, float(place % 2), place % 3) for place, word in enumerate(WORDS)]
    training = spark.createDataFrame(rows, f"{name} string, label double, fold int")
    fitted = prepare.fit(training, [(name, "string")], Prepare(encode="target"))
    assert fitted.names == [f"mean label by {name}"]
    given = column(spark, ["a", "c", "unseen", None], "string").withColumnRenamed("x", name)
    c = rows[98][1]
    expected = [[(30 + 20 * 0.5) / 80], [(c + 20 * 0.5) / 21], [0.5], [0.5]]
    assert vectors(given, fitted) == [[pytest.approx(each)] for (each,) in expected]
    # While a model is fitted, by the rows of the other folds alone.
    blind = prepare.to_fit(training, fitted).collect()
    for row in blind:
        others = [label for _, label, fold in rows if fold != row.fold]
        default = sum(others) / len(others)
        mine = [label for word, label, fold in rows if fold != row.fold and word == row[0]]
        mean = (sum(mine) + 20 * default) / (len(mine) + 20) if row[0] else default
        assert row.features[0] == pytest.approx(mean, rel=1e-12)
    assert len(blind) == len(rows)
