"""Features → one vector: fill, clip, scale, one-hot, with numbers learnt from training rows only.

What was learnt is a handful of numbers and words (:class:`Preparation`), applied as one SQL
projection. It is saved with the model as Spark's own ``SQLTransformer``: nothing to unpickle, and
nothing that only Spark could compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.errors import Refused
from driftline.sections import Prepare

NUMBERS = ("double", "bigint", "boolean")
"""Types, in Spark SQL's words, of what is a number to a model."""

CATEGORIES = 30
"""At most this many categories of a column get a place of their own; the others share none."""

SHRINK = 20
"""A category's mean label counts as if so many rows with the overall mean were among its rows."""


class TooFew(Refused):
    """A side of a fold has no row."""

    def __init__(self, what: str, side: str) -> None:
        super().__init__(
            f"there is no row to {what}",
            where=f"the {side} side of a fold",
            hint="each fold needs some entities: take fewer folds, or more as-ofs or entities",
        )


@dataclass(frozen=True)
class Numeric:
    """A number column: (clip(fill(x)) − center) / scale. Null and NaN are filled.

    ``flag``: a place of its own says where there was nothing.
    """

    column: str
    fill: float
    low: float | None
    high: float | None
    center: float
    scale: float
    flag: bool = False


@dataclass(frozen=True)
class Categorical:
    """A text column: one 0/1 place a category; an unseen or missing one is all zeros.

    ``other``: one place more for what is there but none of the categories. With ``values`` the
    column is one place instead: the value of its category, ``default`` for unseen and missing.
    """

    column: str
    categories: tuple[str, ...]
    other: bool = False
    values: tuple[float, ...] | None = None
    default: float = 0.0

    @property
    def names(self) -> list[str]:
        """What each of its places is."""
        if self.values is not None:
            return [f"mean label by {self.column}"]
        other = [f"{self.column} other"] if self.other else []
        return [f"{self.column}={category}" for category in self.categories] + other


@dataclass(frozen=True)
class Preparation:
    """What was learnt from training rows."""

    numeric: tuple[Numeric, ...]
    categorical: tuple[Categorical, ...]

    @property
    def flagged(self) -> tuple[Numeric, ...]:
        """The number columns whose missing values have places of their own."""
        return tuple(each for each in self.numeric if each.flag)

    @property
    def names(self) -> list[str]:
        """What each place of the vector is."""
        names = [each.column for each in self.numeric]
        names += [f"{each.column} missing" for each in self.flagged]
        return names + [name for each in self.categorical for name in each.names]

    def transformer(self) -> PipelineModel:
        """Two Spark stages: a projection and an assembler; output column ``features``."""
        expressions = [_filled_and_scaled(each) for each in self.numeric]
        expressions += [f"CASE WHEN {_missing(each)} THEN 1D ELSE 0D END" for each in self.flagged]
        for each in self.categorical:
            expressions += _places(each)
        places = [f"_x{place}" for place in range(len(expressions))]
        projection = ", ".join(
            f"{expression} AS {place}"
            for expression, place in zip(expressions, places, strict=True)
        )
        return PipelineModel(
            [
                SQLTransformer(statement=f"SELECT *, {projection} FROM __THIS__"),
                # keep, not skip: no row may be dropped; the projection leaves no null anyway.
                VectorAssembler(inputCols=places, outputCol="features", handleInvalid="keep"),
            ]
        )


def fit(rows: DataFrame, columns: Sequence[tuple[str, str]], rule: Prepare) -> Preparation:
    """Learn from ``rows``; ``columns`` are (name, Spark SQL type). Two Spark jobs and one a word.

    Truth values are never clipped, and nothing is where that would leave one value of several: what
    is seldom there at all, as a flag or a count of failures, is no outlier.

    Rows need ``label`` where words are encoded by it.
    """
    numbers = [name for name, type_ in columns if type_ in NUMBERS]
    truths = {name for name, type_ in columns if type_ == "boolean"}
    words = [name for name, type_ in columns if type_ == "string"]
    value = {name: finite(name) for name in numbers}
    low, high = rule.clip if isinstance(rule.clip, tuple) else (0.0, 1.0)
    quantiles = F.array(*(F.lit(share) for share in (low, 0.25, 0.5, 0.75, high)))
    # Quantiles of many columns are most of the work: only where the rule asks for them.
    ranked = rule.clip is not None or rule.impute == "median"
    aggregates = [F.count("*").alias("rows")]
    for name in numbers:
        if ranked:
            aggregates.append(
                F.percentile_approx(value[name], quantiles, F.lit(10_000)).alias(f"q_{name}")
            )
            aggregates.append(F.min(value[name]).alias(f"l_{name}"))
            aggregates.append(F.max(value[name]).alias(f"h_{name}"))
        aggregates.append(F.avg(value[name]).alias(f"m_{name}"))
        aggregates.append(F.count(value[name]).alias(f"n_{name}"))
    seen = rows.agg(*aggregates).first()
    assert seen is not None
    if not seen["rows"]:
        raise TooFew("learn the preparation from", "training")
    learnt = {}
    for name in numbers:
        found = seen[f"q_{name}"] if ranked else None
        least, lower, median, upper, most = found or (0.0,) * 5
        fill = {"median": median, "mean": seen[f"m_{name}"] or 0.0, "zero": 0.0}[rule.impute]
        ends: tuple[float | None, float | None] = (None, None)
        if rule.clip is not None and name not in truths:
            ends = (least, most)
            if rule.clip == "iqr":  # Tukey's fences
                ends = (lower - 1.5 * (upper - lower), upper + 1.5 * (upper - lower))
            if ends[0] == ends[1] and found:
                ends = (seen[f"l_{name}"], seen[f"h_{name}"])
        flag = rule.missing_flags and seen[f"n_{name}"] < seen["rows"]
        learnt[name] = Numeric(name, float(fill), *ends, center=0.0, scale=1.0, flag=flag)
    letters = _STATISTICS[rule.scale]
    filled = rows.select(
        *(F.expr(_filled_and_scaled(learnt[name])).alias(name) for name in numbers)
    )
    wanted = [
        function(F.col(name)).alias(f"{letter}_{name}")
        for name in numbers
        for letter, function in letters
    ]
    moments = filled.agg(*wanted).first() if wanted else seen
    assert moments is not None
    numeric = []
    for name in numbers:
        if rule.scale == "robust":
            lower, median, upper = moments[f"q_{name}"] or (0.0,) * 3
            center, scale = median, upper - lower
        elif rule.scale == "standard":
            center, scale = moments[f"a_{name}"], moments[f"s_{name}"]
        elif rule.scale == "minmax":
            center, scale = moments[f"l_{name}"], moments[f"h_{name}"] - moments[f"l_{name}"]
        else:
            center, scale = 0.0, 1.0
        # A column without spread says nothing; 1 keeps it at 0 instead of dividing by 0.
        numeric.append(replace(learnt[name], center=center, scale=scale or 1.0))
    categorical = tuple(_learn(rows, name, rule, seen["rows"]) for name in words)
    return Preparation(tuple(numeric), categorical)


def to_fit(rows: DataFrame, learnt: Preparation) -> DataFrame:
    """Training rows with ``features`` to fit a model on; they have ``fold`` and ``label``.

    Where words are encoded by the label, a row is encoded by the rows of the other folds: by its
    own, a model would learn to trust a column that has merely seen the answer.
    """
    encoded = [each for each in learnt.categorical if each.values is not None]
    if not encoded:
        return learnt.transformer().transform(rows)
    total = (F.count("*").alias("rows"), F.sum("label").alias("total"))
    # By place: a word's column may be called rows or total itself.
    folds = {row[0]: (row[1], row[2]) for row in rows.groupBy("fold").agg(*total).collect()}
    by_fold = {
        each.column: {
            (row[0], row[1]): (row[2], row[3])
            for row in rows.where(F.col(each.column).isin(list(each.categories)))
            .groupBy(each.column, "fold")
            .agg(*total)
            .collect()
        }
        for each in encoded
    }
    found = []
    for fold in sorted(folds):
        outside = [each for key, each in folds.items() if key != fold] or [folds[fold]]
        default = sum(each[1] for each in outside) / sum(each[0] for each in outside)
        blind = []
        for each in learnt.categorical:
            counts = by_fold.get(each.column, {})
            values = []
            for category in each.categories:
                seen = [counts.get((category, key), (0, 0.0)) for key in folds if key != fold]
                number, sum_ = (sum(pair[place] for pair in seen) for place in (0, 1))
                values.append((sum_ + SHRINK * default) / (number + SHRINK))
            known = each.values is not None
            blind.append(replace(each, values=tuple(values), default=default) if known else each)
        transformer = replace(learnt, categorical=tuple(blind)).transformer()
        found.append(transformer.transform(rows.where(F.col("fold") == fold)))
    return reduce(DataFrame.unionByName, found)


def _quartiles(value: Column) -> Column:
    shares = F.array(F.lit(0.25), F.lit(0.5), F.lit(0.75))
    return F.percentile_approx(value, shares, F.lit(10_000))


_STATISTICS: Mapping[str, tuple[tuple[str, Callable[[Column], Column]], ...]] = {
    "standard": (("a", F.avg), ("s", F.stddev_samp)),
    "minmax": (("l", F.min), ("h", F.max)),
    "robust": (("q", _quartiles),),
    "none": (),
}
"""What a scale is made of, each under its letter."""


def _learn(rows: DataFrame, column: str, rule: Prepare, number: int) -> Categorical:
    """The most frequent categories, and the mean label of each where that is asked for."""
    target = rule.encode == "target"
    total = F.sum("label") if target else F.lit(0.0)
    # The label's mean over all rows is found beside the categories', of the null category too.
    counts = rows.groupBy(column).agg(F.count("*").alias("_rows"), total.alias("_total"))
    least = (rule.rare or 0.0) * number
    named = counts.where(F.col(column).isNotNull() & (F.col("_rows") >= least))
    most = named.orderBy(F.desc("_rows"), column).limit(CATEGORIES).collect()
    found = {row[0]: row for row in most}
    categories = tuple(sorted(found))
    if not target:
        return Categorical(column, categories, other=rule.rare is not None)
    mean = rows.agg(F.avg("label")).first()
    default = float(mean[0] or 0.0) if mean else 0.0
    values = tuple(
        (found[each]._total + SHRINK * default) / (found[each]._rows + SHRINK)
        for each in categories
    )
    return Categorical(column, categories, values=values, default=default)


def _places(rule: Categorical) -> list[str]:
    """The projections of one word column, in Spark SQL."""
    column = f"`{rule.column}`"
    words = [_text(category) for category in rule.categories]
    if rule.values is not None:
        cases = " ".join(
            f"WHEN {column} = {word} THEN {_number(value)}"
            for word, value in zip(words, rule.values, strict=True)
        )
        default = _number(rule.default)
        return [f"CASE {cases} ELSE {default} END" if cases else default]
    places = [f"CASE WHEN {column} = {word} THEN 1D ELSE 0D END" for word in words]
    if rule.other:
        known = f" OR {column} IN ({', '.join(words)})" if words else ""
        places.append(f"CASE WHEN {column} IS NULL{known} THEN 0D ELSE 1D END")
    return places


def _missing(rule: Numeric) -> str:
    """The condition that a number is filled, in Spark SQL."""
    number = f"CAST(`{rule.column}` AS DOUBLE)"
    if rule.low is not None and rule.high is not None:
        return f"nanvl({number}, NULL) IS NULL"
    return f"NOT coalesce(abs({number}) < {_INFINITY}, false)"


def _filled_and_scaled(rule: Numeric) -> str:
    """The projection of one number, in Spark SQL."""
    fill, center, scale = (_number(x) for x in (rule.fill, rule.center, rule.scale))
    number = f"CAST(`{rule.column}` AS DOUBLE)"
    if rule.low is not None and rule.high is not None:
        filled = f"coalesce(nanvl({number}, NULL), {fill})"
        value = f"least(greatest({filled}, {_number(rule.low)}), {_number(rule.high)})"
    else:  # nothing bounds an infinite value: it counts as missing
        value = f"CASE WHEN abs({number}) < {_INFINITY} THEN {number} ELSE {fill} END"
    return f"({value} - {center}) / {scale}"


_INFINITY = "CAST('Infinity' AS DOUBLE)"


def finite(column: str) -> Column:
    """A number or truth value as a double; NaN (which Spark orders above infinity) and infinities
    as null.
    """
    value = F.col(column).cast("double")
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def _number(value: float) -> str:
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def _text(value: str) -> str:
    """A string literal of Spark SQL that no content can leave, nor have substituted in it."""
    escaped = "".join(
        each if each.isalnum() or ord(each) > 0xFFFF else f"\\u{ord(each):04x}" for each in value
    )
    return f"'{escaped}'"
