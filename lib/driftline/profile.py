"""What a column looks like, as mergeable sketches: one scan for any number of columns.

Numbers go into a KLL quantile sketch (Karnin, Lang & Liberty 2016) that Spark builds natively and
Apache DataSketches reads back without Spark; words into their most frequent values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import datasketches
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

K = 800
"""Size of the quantile sketch: ranks are right within 0.5 % (99 % confidence)."""

TOP = 100
"""Categories kept a column."""

Kind = Literal["numeric", "categorical", "skipped"]

_NUMERIC = ("double", "float", "bigint", "int", "smallint", "tinyint", "timestamp", "date")
_CATEGORICAL = ("string", "boolean")


@dataclass(frozen=True)
class Profile:
    """One column of one slice of a table. ``nulls`` counts NaN too; times are Unix seconds."""

    column: str
    type: str
    kind: Kind
    rows: int
    nulls: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    sketch: bytes | None = None
    categories: Mapping[str, int] | None = None
    distinct: int | None = None

    @property
    def null_rate(self) -> float:
        """Share of rows without a value; 0 when there are no rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @cached_property
    def _sketch(self) -> Any:
        return datasketches.kll_doubles_sketch.deserialize(self.sketch)

    def quantiles(self, ranks: Sequence[float]) -> list[float]:
        """Values at the given ranks (0 to 1) of a numeric column that has values."""
        return [float(value) for value in self._sketch.get_quantiles(list(ranks), True)]

    def shares(self, edges: Sequence[float]) -> list[float]:
        """Share of the values in (−∞, e₁], (e₁, e₂], …, (eₙ, ∞); edges ascend."""
        return [float(share) for share in self._sketch.get_pmf(list(edges), True)]

    def ranks(self, points: Sequence[float]) -> list[float]:
        """Share of the values at or below each point."""
        return [float(self._sketch.get_rank(point, True)) for point in points]

    @property
    def is_empty(self) -> bool:
        """Whether there is no value at all."""
        return self.rows == self.nulls


def kind_of(type_: str) -> Kind:
    """How a column of a Spark SQL type is profiled."""
    if type_ in _NUMERIC or type_.startswith("decimal"):
        return "numeric"
    return "categorical" if type_ in _CATEGORICAL else "skipped"


def profiles(rows: DataFrame) -> list[Profile]:
    """Profile every column of ``rows`` in one aggregation; nested types are ``skipped`` by name."""
    types = dict(rows.dtypes)
    aggregates = [F.count(F.lit(1)).alias("rows")]
    for place, (name, type_) in enumerate(types.items()):
        aggregates += _aggregates(name, type_, place)
    found = rows.agg(*aggregates).first()
    assert found is not None
    return [
        _profile(found, name, type_, place) for place, (name, type_) in enumerate(types.items())
    ]


def _aggregates(name: str, type_: str, place: int) -> list[Column]:
    kind = kind_of(type_)
    if kind == "numeric":
        value = _as_double(name, type_)
        return [
            F.count(value).alias(f"n{place}"),
            F.min(value).alias(f"l{place}"),
            F.max(value).alias(f"h{place}"),
            F.avg(value).alias(f"m{place}"),
            F.approx_count_distinct(value).alias(f"d{place}"),
            F.kll_sketch_agg_double(value, F.lit(K)).alias(f"s{place}"),
        ]
    if kind == "categorical":
        text = F.col(f"`{name}`").cast("string")
        return [
            F.count(text).alias(f"n{place}"),
            F.approx_count_distinct(text).alias(f"d{place}"),
            F.call_function("approx_top_k", text, F.lit(TOP), F.lit(100 * TOP)).alias(f"t{place}"),
        ]
    return [F.count(F.col(f"`{name}`")).alias(f"n{place}")]


def _as_double(name: str, type_: str) -> Column:
    column = F.col(f"`{name}`")
    if type_ == "date":
        return F.unix_date(column).cast("double") * 86_400.0
    if type_ == "timestamp":
        return F.unix_micros(column) / 1e6
    return F.nanvl(column.cast("double"), F.lit(None))


def _profile(row: Any, name: str, type_: str, place: int) -> Profile:
    kind = kind_of(type_)
    counted = {"rows": row["rows"], "nulls": row["rows"] - row[f"n{place}"]}
    if kind == "numeric":
        return Profile(
            name,
            type_,
            kind,
            **counted,
            min=row[f"l{place}"],
            max=row[f"h{place}"],
            mean=row[f"m{place}"],
            sketch=bytes(row[f"s{place}"]) if row[f"s{place}"] is not None else None,
            distinct=row[f"d{place}"],
        )
    if kind == "categorical":
        found = row[f"t{place}"] or ()
        top = {each["item"]: each["count"] for each in found if each["item"] is not None}
        return Profile(name, type_, kind, **counted, categories=top, distinct=row[f"d{place}"])
    return Profile(name, type_, kind, **counted)


def edges(reference: Profile, *, bins: int = 10) -> list[float]:
    """Inner edges of bins that hold equal shares of the reference; repeated ones once."""
    if reference.is_empty:
        return []
    return sorted(set(reference.quantiles([place / bins for place in range(1, bins)])))


def even_edges(profiles: Sequence[Profile], *, bins: int = 20) -> list[float]:
    """Outer and inner edges of bins of equal width over what all of the profiles hold, to draw.

    The outermost 1 % on each side goes into the outer bins, so that one far value does not
    flatten the picture.
    """
    full = [each for each in profiles if not each.is_empty]
    if not full:
        return []
    ends = [end for each in full for end in each.quantiles([0.01, 0.99]) if math.isfinite(end)]
    if not ends:
        return []
    low, high = min(ends), max(ends)
    if low == high:
        return [low - 0.5, low + 0.5]
    return [low + (high - low) * place / bins for place in range(bins + 1)]
