"""Profile the rows of data files by Spark's own sketches: one scan for any number of columns."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.profile import TIMES, WHOLE, PartName, kind_of

K = 800
"""Size of the quantile sketch: see :attr:`sketches.Distribution.error`, 0.67 % of rank."""

TOP = 1000
"""Values listed a column and file."""

NEWEST = "newest as-of"
"""What cuts a file of rows with as-ofs in two: its cell has this key, see :func:`with_newest`."""

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

_SEEN = {
    "n": ("count({v})", "bigint"),
    "l": ("min({v})", "double"),
    "h": ("max({v})", "double"),
    "m": ("avg({v})", "double"),
    "s": ("var_pop({v})", "double"),
    "q": (f"kll_sketch_agg_double({{v}}, {K})", "binary"),
    "t": (f"approx_top_k({{v}}, {TOP + 1}, {_TRACKED})", "array<struct<item:string,count:bigint>>"),
    "d": ("hll_sketch_agg({d})", "binary"),
}
"""What is aggregated of a part: of its value ``v``, and of ``d``, which tells values apart."""

_OF_KIND = {"skipped": "n", "categorical": "ntd", "numeric": "nlhmsqtd"}

_FINISHED = (
    # An infinite value leaves no mean, nor do values whose squares are; the sketch keeps them.
    "abs(m) < double('infinity') AND s * n < double('infinity') AS finite",
    "filter(t, each -> each.item IS NOT NULL) AS listed",
    f"IF(hll_sketch_estimate(d) > {_EXACT}, ceil(n * 3.5D / {_MAP}), 0L) AS high",
)
"""Of a part: may a count of a value be too high, and by how much?"""

_LISTED = (
    "aggregate(listed, 0L, (sum, each) -> sum + each.count) = n AND high = 0 AS complete",
    f"IF(size(listed) >= {TOP}, array_min(transform(listed, each -> each.count)), 0L) AS full",
    f"greatest(ceil(n / {_RARE}), 2 * high) AS limit",
)
"""Of a part: are these all of its values, and how many rows may one have that is not listed?"""

_STORED = (
    *("file", "cell", "column", "part", "type", "kind", "rows", "rows - n AS nulls"),
    *("l AS min", "h AS max", "IF(finite, m, NULL) AS mean", "IF(finite, s * n, NULL) AS spread"),
    "IF(n > 0, q, NULL) AS sketch",
    "map_from_entries(transform(filter(listed, each -> complete OR each.count >= limit), "
    "each -> (each.item, each.count))) AS values",
    "IF(t IS NULL, NULL, IF(complete, 0L, greatest(full, limit))) AS unlisted",
    "IF(t IS NULL, NULL, high) AS excess",
    "IF(n > 0, d, NULL) AS distinct",
)


def scan(
    rows: DataFrame,
    keys: Mapping[str, str],
    *,
    path: Column,
    segments: Mapping[str, str | None] | None = None,
) -> DataFrame:
    """Profile the columns of ``rows`` a ``path`` and cell (combination of segments' values).

    ``keys`` says which columns, and names each as it is stored; ``segments`` the column of each
    segment, as it is stored, None where it is null in all rows. One row a path, cell, column and
    part; column ``*`` counts the rows. Nested types are ``skipped``, their nulls counted.
    """
    types = {name: type_ for name, type_ in rows.dtypes if name in keys}
    named = {f"_s{place}": key for place, key in enumerate(segments or {})}
    # Sketches evaluate what they are given row by row, uncompiled: they are given columns.
    given = [path.alias("_path")]
    values = (F.lit(None) if name is None else called(name) for name in (segments or {}).values())
    given += [
        # A cell of bytes that are no text could not be read back; listed values are text already.
        F.make_valid_utf8(value.cast("string")).alias(alias)
        for alias, value in zip(named, values, strict=True)
    ]
    seen = [F.count(F.lit(1)).alias("rows"), F.expr(_seen("skipped", {"v": "1"})).alias("_")]
    found = [_found("*", "", "", "skipped", "_")]
    for place, (name, type_) in enumerate(types.items()):
        for part, (kind, asked) in _parts(name, type_).items():
            label = f"_{place}{part}"
            given += [each.alias(f"{label}_{what}") for what, each in asked.items()]
            aliases = {what: f"{label}_{what}" for what in asked}
            seen.append(F.expr(_seen(kind, aliases)).alias(label))
            found.append(_found(keys[name], part, type_, kind, label))
    pairs = [each for alias, key in named.items() for each in (F.lit(key), F.col(alias))]
    cell = F.create_map(*pairs) if pairs else F.map_from_arrays(F.array(), F.array())
    return (
        rows.select(*given)
        .groupBy("_path", *named)
        .agg(*seen)
        .select(
            F.col("_path").alias("file"),
            cell.cast("map<string,string>").alias("cell"),
            "rows",
            F.inline(F.array(*found)),
        )
        .select("*", "seen.*")
        .selectExpr("*", *_FINISHED)
        .selectExpr("*", *_LISTED)
        .selectExpr(*_STORED)
    )


def with_newest(rows: DataFrame, path: Column) -> tuple[DataFrame, Column]:
    """Rows with a column :data:`NEWEST`: their as-of, where it is the newest one of their ``path``
    (and, of predictions, of the model version that made them), else null. And a column of the path.

    What a file's newest one is stays so, whatever comes after it. And the newest rows of any set
    of files are those of the largest value: a file has them there, or has none of them.
    """
    file, last = f"file of the {NEWEST}", f"{NEWEST} of the file"
    found = rows.withColumn(file, path)
    within = [file, *(each for each in rows.columns if each == "model_version")]
    theirs = {each: f"{each} of the {NEWEST}" for each in within}
    newest = found.groupBy(*(called(each).alias(name) for each, name in theirs.items()))
    ends = F.broadcast(newest.agg(F.max("as_of").alias(last)))
    same = [called(each).eqNullSafe(called(name)) for each, name in theirs.items()]
    mine = F.when(called("as_of") == called(last), called("as_of"))
    marked = found.join(ends, same, "left").withColumn(NEWEST, mine)
    return marked, called(file)


def called(name: str) -> Column:
    """The column of that name, whatever characters it has."""
    return F.col("`" + name.replace("`", "``") + "`")


def _parts(name: str, type_: str) -> dict[PartName, tuple[str, dict[str, Column]]]:
    """The kind of each part of a column, and what :data:`_SEEN` asks of a row."""
    column = called(name)
    kind = kind_of(type_)
    if kind == "skipped":
        return {"": (kind, {"v": column})}
    if kind == "categorical":
        text = column.cast("string")
        if type_ == "boolean":
            return {"": (kind, {"v": text})}
        digest = F.concat(F.left(text, F.lit(LISTED)), F.md5(text))
        short = F.when(F.length(text) > LISTED + 32, digest).otherwise(text)
        length = F.length(text)
        return {
            "": (kind, {"v": short, "d": _apart(text, text)}),
            "length": ("numeric", {"v": length.cast("double"), "d": _apart(length, length)}),
        }
    value = as_double(name, type_)
    whole = column.cast("bigint") if type_ in WHOLE else value
    parts: dict[PartName, tuple[str, dict[str, Column]]] = {
        "": (kind, {"v": value, "d": _apart(whole, value)})
    }
    if type_ in TIMES:
        parts["weekday"] = ("categorical", {"v": F.weekday(column)})
        if type_ != "date":
            parts["hour"] = ("categorical", {"v": F.hour(column)})
    return parts


def _apart(value: Column, filled: Column) -> Column:
    return F.when(filled.isNotNull(), F.xxhash64(value))


def _seen(kind: str, given: Mapping[str, str]) -> str:
    """The aggregates of a part, of columns by name, as one struct; NULL those it does not have."""
    wanted = [each for each in _OF_KIND[kind] if each != "d" or "d" in given]
    fields = [
        f"'{each}', CAST({call.format(**given) if each in wanted else 'NULL'} AS {type_})"
        for each, (call, type_) in _SEEN.items()
    ]
    return f"named_struct({', '.join(fields)})"


def _found(column: str, part: str, type_: str, kind: str, seen: str) -> Column:
    said = {"column": column, "part": part, "type": type_, "kind": kind}
    words = [F.lit(each).alias(name) for name, each in said.items()]
    return F.struct(*words, F.col(seen).alias("seen"))


def as_double(name: str, type_: str) -> Column:
    """A numeric column as a double, NaN as null; a time in seconds since 1970."""
    column = called(name)
    if type_ == "date":
        return F.unix_date(column).cast("double") * 86_400.0
    if type_ in TIMES:
        return F.unix_micros(column.cast("timestamp")) / 1e6
    # Adding 0 makes −0 and 0 one value.
    return F.nanvl(column.cast("double"), F.lit(None)) + 0.0
