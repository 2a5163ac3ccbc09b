"""Profile the rows of data files by Spark's own sketches: one scan for any number of columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.profile import TIMES, WHOLE, PartName, kind_of

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
LISTED = 168
"""Characters of a value that are kept; if it has over 32 more, a digest of it stands for them."""

_FOUND = """column string, part string, type string, kind string, rows bigint, nulls bigint,
 min double, max double, mean double, spread double, sketch binary,
 values map<string,bigint>, unlisted bigint, excess bigint, distinct binary"""


def scan(
    rows: DataFrame, keys: Mapping[str, str], *, path: Column, segments: Sequence[str] = ()
) -> DataFrame:
    """Profile the columns of ``rows`` a ``path`` and cell (combination of segments' values).

    ``keys`` says which columns, and names each as it is stored. One row a path, cell, column and
    part; column ``*`` counts the rows. Nested types are ``skipped``, their nulls counted. A segment
    that is no column is null in all rows.
    """
    types = {name: type_ for name, type_ in rows.dtypes if name in keys}
    named = {
        f"_s{place}": F.col(f"`{name}`") if name in rows.columns else F.lit(None)
        for place, name in enumerate(segments)
    }
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


def _parts(name: str, type_: str) -> dict[PartName, dict[str, Column]]:
    column = F.col(f"`{name}`")
    kind = kind_of(type_)
    if kind == "skipped":
        return {"": {"n": F.count(column)}}
    if kind == "categorical":
        text = column.cast("string")
        digest = F.concat(F.left(text, F.lit(LISTED)), F.md5(text))
        short = F.when(F.length(text) > LISTED + 32, digest).otherwise(text)
        parts: dict[PartName, dict[str, Column]] = {"": _words(short, F.xxhash64(text))}
        if type_ != "boolean":
            parts["length"] = _numbers(F.length(text).cast("double"), F.xxhash64(F.length(text)))
        return parts
    value = as_double(name, type_)
    whole = column.cast("bigint") if type_ in WHOLE else value
    parts = {"": _numbers(value, F.xxhash64(whole))}
    if type_ in TIMES:
        parts["weekday"] = _words(F.weekday(column), None)
        if type_ != "date":
            parts["hour"] = _words(F.hour(column), None)
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
    if type_ in TIMES:
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
