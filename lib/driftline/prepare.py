"""Features → one vector: fill, clip, scale, one-hot, with numbers learnt from training rows only.

What was learnt is a handful of numbers and words (:class:`Preparation`), applied as one SQL
projection. It is saved with the model as Spark's own ``SQLTransformer``: nothing to unpickle, and
nothing that only Spark could compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.sections import Prepare

_CATEGORIES = 30
"""At most this many categories of a column get a place of their own; the others share none."""


@dataclass(frozen=True)
class Numeric:
    """A number column: (clip(fill(x)) − center) / scale. Null and NaN are filled."""

    column: str
    fill: float
    low: float | None
    high: float | None
    center: float
    scale: float


@dataclass(frozen=True)
class Categorical:
    """A text column: one 0/1 place a category; an unseen or missing one is all zeros."""

    column: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Preparation:
    """What was learnt from training rows."""

    numeric: tuple[Numeric, ...]
    categorical: tuple[Categorical, ...]

    @property
    def names(self) -> list[str]:
        """What each place of the vector is."""
        names = [each.column for each in self.numeric]
        for each in self.categorical:
            names += [f"{each.column}={category}" for category in each.categories]
        return names

    def transformer(self) -> PipelineModel:
        """Two Spark stages: a projection and an assembler; output column ``features``."""
        expressions = [_filled_and_scaled(each) for each in self.numeric]
        for each in self.categorical:
            expressions += [
                f"CASE WHEN `{each.column}` = {_text(category)} THEN 1D ELSE 0D END"
                for category in each.categories
            ]
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
    """Learn from ``rows``; ``columns`` are (name, Spark SQL type). Three Spark jobs at most."""
    numbers = [name for name, type_ in columns if type_ in ("double", "bigint", "boolean")]
    words = [name for name, type_ in columns if type_ == "string"]
    value = {name: _finite(F.col(name).cast("double")) for name in numbers}
    low, high = rule.clip or (0.0, 1.0)
    aggregates = []
    for name in numbers:
        wanted = F.array(F.lit(low), F.lit(0.5), F.lit(high))
        aggregates.append(
            F.percentile_approx(value[name], wanted, F.lit(10_000)).alias(f"q_{name}")
        )
        aggregates.append(F.avg(value[name]).alias(f"m_{name}"))
    seen = rows.agg(*aggregates).first()
    assert seen is not None
    learnt = {}
    for name in numbers:
        quantiles = seen[f"q_{name}"] or (0.0, 0.0, 0.0)
        fill = {"median": quantiles[1], "mean": seen[f"m_{name}"] or 0.0, "zero": 0.0}[rule.impute]
        least, most = (quantiles[0], quantiles[2]) if rule.clip else (None, None)
        learnt[name] = Numeric(name, float(fill), least, most, center=0.0, scale=1.0)
    moments = rows.agg(
        *(
            function(F.expr(_filled_and_scaled(learnt[name]))).alias(f"{letter}_{name}")
            for name in numbers
            for letter, function in _MOMENTS
        )
    ).first()
    assert moments is not None
    numeric = []
    for name in numbers:
        center, scale = {
            "standard": (moments[f"a_{name}"], moments[f"s_{name}"]),
            "minmax": (moments[f"l_{name}"], moments[f"h_{name}"] - moments[f"l_{name}"]),
            "none": (0.0, 1.0),
        }[rule.scale]
        # A column without spread says nothing; 1 keeps it at 0 instead of dividing by 0.
        each = learnt[name]
        numeric.append(Numeric(name, each.fill, each.low, each.high, center, scale or 1.0))
    categorical = [Categorical(name, _frequent(rows, name)) for name in words]
    return Preparation(tuple(numeric), tuple(categorical))


_MOMENTS = (("a", F.avg), ("s", F.stddev_samp), ("l", F.min), ("h", F.max))


def _frequent(rows: DataFrame, column: str) -> tuple[str, ...]:
    counts = rows.where(F.col(column).isNotNull()).groupBy(column).count()
    most = counts.orderBy(F.desc("count"), column).limit(_CATEGORIES).collect()
    return tuple(sorted(row[0] for row in most))


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


def _finite(value: Column) -> Column:
    """NaN (which Spark orders above infinity) and infinities as null."""
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def _number(value: float) -> str:
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def _text(value: str) -> str:
    """A string literal of Spark SQL that no content can leave, nor have substituted in it."""
    escaped = "".join(
        each if each.isalnum() or ord(each) > 0xFFFF else f"\\u{ord(each):04x}" for each in value
    )
    return f"'{escaped}'"
