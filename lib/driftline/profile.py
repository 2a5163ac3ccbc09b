"""What columns look like, file by file, as mergeable sketches: one scan for any number of columns.

Spark builds the sketches natively while it reads the files (:func:`scan`); what it found is stored
once, and any set of files is :func:`merge` of what was found in each, without Spark and without
reading a row again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline import sketches
from driftline.sketches import Counts, Distribution

K = 800
"""Size of the quantile sketch: see :attr:`sketches.Distribution.error`, 0.67 % of rank."""

TOP = 256
"""Values listed a column and file."""

_TRACKED = 4096
_MAP = 8192
"""Spark rounds 4096 / 0.75 up to this; until three quarters are full every count is exact, then
each is too high by at most 3.5 / 8192 of the rows (DataSketches' ItemsSketch)."""
_EXACT = 5000
"""So many different values, as estimated, leave three quarters of the map surely unfilled."""
_RARE = 1000
"""Where not all values fit, those with less than a thousandth of the rows are not kept."""
_LONG = 200
"""Characters of a value that are kept; a longer one is its beginning and a digest."""

Kind = Literal["numeric", "categorical", "skipped"]
PartName = Literal["", "length", "hour", "weekday"]

_WHOLE = ("bigint", "int", "smallint", "tinyint")
_TIMES = ("timestamp", "timestamp_ntz", "date")
_NUMERIC = ("double", "float", *_WHOLE, *_TIMES)
_FOUND = """column string, part string, type string, kind string, rows bigint, nulls bigint,
 min double, max double, mean double, spread double, sketch binary,
 values map<string,bigint>, unlisted bigint, excess bigint, distinct binary"""


@dataclass(frozen=True)
class Profile:
    """One column, or part of it, over some rows. ``nulls`` counts NaN too; times are Unix seconds.

    Merged from the files' profiles or as one file has it. A part is what a text's length, or the
    hour or weekday of a time, is distributed like.
    """

    column: str
    type: str
    kind: Kind
    rows: int
    nulls: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    spread: float | None = None
    """Sum of squared deviations from the mean."""
    sketch: bytes | None = None
    counts: Counts | None = None
    registers: bytes | None = None
    """HyperLogLog sketch of the different values."""
    part: PartName = ""

    @property
    def name(self) -> str:
        """The column, and which part of it."""
        return f"{self.column}:{self.part}" if self.part else self.column

    @property
    def null_rate(self) -> float:
        """Share of rows without a value; 0 when there are no rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def is_empty(self) -> bool:
        """Whether there is no value at all."""
        return self.rows == self.nulls

    @property
    def deviation(self) -> float | None:
        """Standard deviation, the population's."""
        return None if self.spread is None else math.sqrt(self.spread / self.filled)

    @cached_property
    def distinct(self) -> int | None:
        """How many different values, exact when all are listed."""
        if self.counts is not None and self.counts.complete:
            return len(self.counts.values)
        return None if self.registers is None else sketches.distinct(self.registers)

    @cached_property
    def distribution(self) -> Distribution:
        """Of a numeric column that has values: exact while every value is listed."""
        if self.counts is not None and self.counts.complete and self.counts.values:
            values = self.counts.values
            return Distribution.of([float(value) for value in values], values.values())
        assert self.sketch is not None
        return sketches.quantiles(self.sketch)


Cell = Mapping[str, str | None]
"""One combination of the segments' values, as text."""


@dataclass(frozen=True)
class Field:
    """A column as a version of a table has it; ``key`` is its name in the files, never changed.

    ``id`` is Delta's number of the column where columns are mapped; later ones have higher ones.
    """

    name: str
    type: str
    key: str
    id: int | None = None


@dataclass(frozen=True)
class FileProfile:
    """What was found in one file: a profile a cell, column key and part; ``*`` counts the rows."""

    segments: tuple[str, ...]
    largest_id: int | None
    """The highest number a column of the table had then, where columns are numbered."""
    cells: Sequence[tuple[Cell, Mapping[tuple[str, str], Profile]]]

    def tells(self, fields: Iterable[Field]) -> bool:
        """Whether it says what these columns hold: profiled, or younger than the file."""
        return all(
            (each.key, "") in parts
            or each.id is None
            or self.largest_id is None
            or each.id > self.largest_id
            for _, parts in self.cells
            for each in fields
        )


def kind_of(type_: str) -> Kind:
    """How a column of a Spark SQL type is profiled."""
    if type_ in _NUMERIC or type_.startswith("decimal"):
        return "numeric"
    text = type_.startswith(("string", "varchar", "char"))
    return "categorical" if text or type_ == "boolean" else "skipped"


def scan(
    rows: DataFrame, keys: Mapping[str, str], *, path: Column, segments: Sequence[str] = ()
) -> DataFrame:
    """Profile the columns of ``rows`` a ``path`` and cell (combination of segments' values).

    ``keys`` says which columns, and names each as it is stored. One row a path, cell, column and
    part; column ``*`` counts the rows. Nested types are ``skipped``, their nulls counted.
    """
    types = {name: type_ for name, type_ in rows.dtypes if name in keys}
    named = {f"_s{place}": F.col(f"`{name}`") for place, name in enumerate(segments)}
    aggregates = [F.count(F.lit(1)).alias("rows")]
    found = [_found("*", "", "", "skipped", {"nulls": F.lit(0)})]
    for place, (name, type_) in enumerate(types.items()):
        for part, value in _parts(name, type_).items():
            label = f"{place}{part}"
            aggregates += [each.alias(f"{what}{label}") for what, each in value.items()]
            kind = kind_of(type_) if part in ("", "length") else "categorical"
            kind = "numeric" if part == "length" else kind
            got = {what: F.col(f"{what}{label}") for what in value}
            found.append(_found(keys[name], part, type_, kind, _finished(got)))
    texts = {alias: column.cast("string") for alias, column in named.items()}
    grouped = rows.select("*", path.alias("_path"), *(c.alias(a) for a, c in texts.items()))
    cells = [F.lit(name) for name in segments]
    pairs = [each for name, alias in zip(cells, named, strict=True) for each in (name, alias)]
    cell = F.create_map(*pairs) if pairs else F.map_from_arrays(F.array(), F.array())
    return (
        grouped.groupBy("_path", *named)
        .agg(*aggregates)
        .select(
            F.col("_path").alias("file"),
            cell.cast("map<string,string>").alias("cell"),
            F.explode(F.array(*found)).alias("found"),
        )
        .select("file", "cell", "found.*")
    )


def from_row(row: Any) -> Profile:
    """A row that :func:`scan` made, as it is or stored."""
    return Profile(
        row["column"],
        row["type"],
        row["kind"],
        row["rows"],
        row["nulls"],
        row["min"],
        row["max"],
        row["mean"],
        row["spread"],
        None if row["sketch"] is None else bytes(row["sketch"]),
        None
        if row["values"] is None
        else Counts(dict(row["values"]), row["unlisted"], row["excess"]),
        None if row["distinct"] is None else bytes(row["distinct"]),
        row["part"],
    )


def _parts(name: str, type_: str) -> dict[PartName, dict[str, Column]]:
    column = F.col(f"`{name}`")
    kind = kind_of(type_)
    if kind == "skipped":
        return {"": {"n": F.count(column)}}
    if kind == "categorical":
        text = column.cast("string")
        digest = F.concat(F.left(text, F.lit(_LONG - 32)), F.md5(text))
        short = F.when(F.length(text) > _LONG, digest).otherwise(text)
        parts: dict[PartName, dict[str, Column]] = {"": _words(short, F.xxhash64(text))}
        if type_ != "boolean":
            parts["length"] = _numbers(F.length(text).cast("double"), F.xxhash64(F.length(text)))
        return parts
    value = as_double(name, type_)
    whole = column.cast("bigint") if type_ in _WHOLE else value
    parts = {"": _numbers(value, F.xxhash64(whole))}
    if type_ in _TIMES:
        parts["weekday"] = _words(F.weekday(column).cast("string"), None)
        if type_ != "date":
            parts["hour"] = _words(F.hour(column).cast("string"), None)
    return parts


def _numbers(value: Column, digest: Column) -> dict[str, Column]:
    return {
        **_words(value, digest),
        "l": F.min(value),
        "h": F.max(value),
        "m": F.avg(value),
        "v": F.var_pop(value),
        "s": F.kll_sketch_agg_double(value, F.lit(K)),
    }


def _words(value: Column, digest: Column | None) -> dict[str, Column]:
    listed = F.call_function("approx_top_k", value, F.lit(TOP + 1), F.lit(_TRACKED))
    seen = {"n": F.count(value), "t": listed}
    if digest is not None:
        seen["d"] = F.hll_sketch_agg(F.when(value.isNotNull(), digest))
    return seen


def as_double(name: str, type_: str) -> Column:
    """A numeric column as a double, NaN as null; a time in seconds since 1970."""
    column = F.col(f"`{name}`")
    if type_ == "date":
        return F.unix_date(column).cast("double") * 86_400.0
    if type_ in _TIMES:
        return F.unix_micros(column.cast("timestamp")) / 1e6
    # Adding 0 makes −0 and 0 one value.
    return F.nanvl(column.cast("double"), F.lit(None)) + 0.0


def _finished(got: Mapping[str, Column]) -> dict[str, Column]:
    """What is stored of the aggregates of a part."""
    filled = got["n"]
    stored = {"nulls": F.col("rows") - filled}
    if "l" in got:
        # An infinite value leaves no mean; the sketch keeps it.
        finite = (F.abs(got["l"]) < math.inf) & (F.abs(got["h"]) < math.inf)
        stored |= {"min": got["l"], "max": got["h"], "mean": F.when(finite, got["m"])}
        stored["spread"] = F.when(finite, got["v"] * filled)
        stored["sketch"] = F.when(filled > 0, got["s"])
    if "t" in got:
        stored |= _listed(got, filled)
    if "d" in got:
        stored["distinct"] = F.when(filled > 0, got["d"])
    return stored


def _listed(got: Mapping[str, Column], filled: Column) -> dict[str, Column]:
    """The values that are kept, and what is then known of the others."""
    most = F.ceil(filled * 3.5 / _MAP)
    many = F.hll_sketch_estimate(got["d"]) > _EXACT if "d" in got else F.lit(False)
    excess = F.when(many, most).otherwise(F.lit(0))
    listed = F.filter(got["t"], lambda each: each["item"].isNotNull())
    counts = F.transform(listed, lambda each: each["count"])
    complete = (F.aggregate(counts, F.lit(0).cast("bigint"), lambda a, b: a + b) == filled) & (
        excess == 0
    )
    full = F.when(F.size(listed) >= TOP, F.array_min(counts)).otherwise(F.lit(0))
    limit = F.greatest(F.ceil(filled / _RARE), 2 * excess)
    kept = F.filter(listed, lambda each: complete | (each["count"] >= limit))
    pairs = F.transform(
        kept,
        lambda each: F.struct(each["item"].cast("string").alias("key"), each["count"].alias("v")),
    )
    return {
        "values": F.map_from_entries(pairs),
        "unlisted": F.when(complete, F.lit(0)).otherwise(F.greatest(full, limit)),
        "excess": excess,
    }


def _found(column: str, part: str, type_: str, kind: str, stored: Mapping[str, Column]) -> Column:
    known = {
        "column": F.lit(column),
        "part": F.lit(part),
        "type": F.lit(type_),
        "kind": F.lit(kind),
        "rows": F.col("rows"),
        **stored,
    }
    fields = [each.strip().split(" ") for each in _FOUND.replace("\n", " ").split(", ")]
    return F.struct(
        *(known.get(name, F.lit(None)).cast(type_).alias(name) for name, type_ in fields)
    )


def parts_of(type_: str) -> tuple[PartName, ...]:
    """The parts a column of a type is profiled in; empty stands for its values."""
    if type_ in _TIMES:
        return ("", "weekday") if type_ == "date" else ("", "weekday", "hour")
    return ("", "length") if kind_of(type_) == "categorical" and type_ != "boolean" else ("",)


def together(
    files: Sequence[FileProfile], fields: Sequence[Field], *, where: Cell | None = None
) -> dict[str, Profile]:
    """The profile of all rows of some files, or of those in the cells that match ``where``.

    By the name of the column and part. A column that is younger than a file is null there.
    """
    cells = [
        parts
        for each in files
        for cell, parts in each.cells
        if all(cell.get(name) == value for name, value in (where or {}).items())
    ]
    found: dict[str, Profile] = {}
    for field in fields:
        for part in parts_of(field.type):
            empty = Profile(field.name, field.type, kind_of(field.type), 0, 0, part=part)
            if part:
                empty = replace(empty, kind="numeric" if part == "length" else "categorical")
            if empty.kind != "skipped":
                empty = replace(empty, counts=Counts({}))
            known = []
            for parts in cells:
                rows = parts["*", ""].rows
                mine = parts.get((field.key, part)) or replace(empty, rows=rows, nulls=rows)
                known.append(mine)
            merged = merge([empty, *known])
            found[merged.name] = merged
    return found


def merge(parts: Sequence[Profile]) -> Profile:
    """One profile for the rows of all of them, which are of one column and part."""
    first = parts[0]
    if len(parts) == 1:
        return first
    full = [each for each in parts if not each.is_empty]
    counted = [each.counts for each in full if each.counts is not None]
    mean, spread = _moments(full)
    return replace(
        first,
        rows=sum(each.rows for each in parts),
        nulls=sum(each.nulls for each in parts),
        min=min((each.min for each in full if each.min is not None), default=None),
        max=max((each.max for each in full if each.max is not None), default=None),
        mean=mean,
        spread=spread,
        sketch=sketches.merge_quantiles([each.sketch for each in full if each.sketch is not None]),
        counts=sketches.merge_counts(counted) if len(counted) == len(full) else None,
        registers=sketches.merge_distinct(
            [each.registers for each in full if each.registers is not None]
        ),
    )


def _moments(full: Sequence[Profile]) -> tuple[float | None, float | None]:
    """Mean and sum of squared deviations of all together (Chan, Golub & LeVeque 1979)."""
    if not full or any(each.mean is None or each.spread is None for each in full):
        return None, None
    rows = sum(each.filled for each in full)
    mean = math.fsum(float(each.mean or 0) * each.filled for each in full) / rows
    spread = math.fsum(
        float(each.spread or 0) + each.filled * (float(each.mean or 0) - mean) ** 2 for each in full
    )
    return mean, spread


def edges(reference: Distribution, *, bins: int = 10) -> list[float]:
    """Inner edges of bins that hold equal shares of the reference; repeated ones once."""
    return sorted(set(reference.quantiles([place / bins for place in range(1, bins)])))


def even_edges(profiles: Sequence[Profile], *, bins: int = 20) -> list[float]:
    """Outer and inner edges of bins of equal width over what all of the profiles hold, to draw.

    The outermost 1 % on each side goes into the outer bins, so that one far value does not
    flatten the picture.
    """
    full = [each for each in profiles if not each.is_empty]
    ends = [end for each in full for end in each.distribution.quantiles([0.01, 0.99])]
    ends = [end for end in ends if math.isfinite(end)]
    if not ends:
        return []
    low, high = min(ends), max(ends)
    if low == high:
        return [low - 0.5, low + 0.5]
    return [low + (high - low) * place / bins for place in range(bins + 1)]
