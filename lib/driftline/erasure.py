"""Which tables can hold a person, by which column, and what is left of a text without their words.

A person is told by the entity. Their words are the entity's names, and in every column of text the
values that nobody else's rows have: an address, a session, a device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import reduce
from operator import or_
from urllib.parse import quote

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.problem import Problem
from driftline.scan import LISTED

ERASED = "(erased)"
"""Stands in a text where a word was."""

DESCRIBING = {
    "ops.profiles": ("values", "cell"),
    "ops.drift": ("detail", "slice"),
    "ops.skew": ("detail",),
    "ops.causes": ("name", "slice"),
    "ops.histograms": ("category",),
    "ops.quality": ("observed",),
    "ops.slices": ("value",),
    "ops.exploration": ("detail",),
    "ops.curves": ("name",),
}
"""Tables whose rows describe a ``column``, and where such a row may tell values: of that column;
``cell`` and ``slice`` of segments, and a cause's ``name`` of the column that is its ``kind``, too.
What is drawn of a model's place for one value has the column in its ``name``, as column=value.
"""

ALONE = {"ops.profiles": f"exists(map_values(cell), each -> each <=> '{ERASED}')"}
"""Which rows, in SQL, described nobody else's: cells of their own, once :func:`changes` is made."""

NUMBERING = ("ops.exploration", "ops.histograms")
"""Tables that tell a column's values as numbers: its smallest, its largest, where bins end."""

QUOTING = {
    "ops.drift": "detail",
    "ops.skew": "detail",
    "ops.causes": "name",
    "ops.quality": "observed",
    "ops.slices": "value",
}
"""Tables that quote numbers of a column in a text, and in which."""

_OF_COUNTS = ("null_rate", "cardinality", "skipped")
"""Statistics whose detail has counts alone: the others' has values, of one row perhaps."""

_OBSERVED = r'("observed_value":\s*)(\{[^{}]*\}|\[[^\[\]]*\]|"(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+)'
"""What a validation of Great Expectations, as JSON, says that an expectation met."""


def sources(problem: Problem) -> list[str]:
    """The sources whose rows are somebody's."""
    return [name for name, source in problem.sources.items() if problem.entity in source.columns]


def personal(problem: Problem, tables: Iterable[str]) -> dict[str, str]:
    """Table → the column that says whose a row is, in the order in which rows are to go.

    Bronze comes last: as long as it has the rows, an erasure that was killed can tell their words.
    """
    mine = sources(problem)
    order = [
        *(("gold.features", problem.entity), ("gold.predictions", "entity")),
        ("gold.shadow", "entity"),
        *((f"gold.tiles_{name}", problem.entity) for name in mine),
        *((f"silver.{name}", problem.entity) for name in mine),
        *((f"bronze.{name}", problem.entity) for name in mine),
    ]
    there = set(tables)
    return {table: column for table, column in order if table in there}


def unique(rows: DataFrame, theirs: Column, columns: Iterable[str]) -> dict[str, DataFrame]:
    """Column → the values (``value``) that only rows have which are ``theirs``."""
    found = {}
    for name in columns:
        value = F.col(f"`{name}`").alias("value")
        said = rows.where(theirs).select(value).where("value IS NOT NULL").distinct()
        others = rows.where(~F.coalesce(theirs, F.lit(False))).select(value)
        found[name] = said.join(others, on="value", how="left_anti")
    return found


def pattern(words: Iterable[str]) -> str:
    """A regular expression for any of the words where it is not a part of a longer one.

    Also as JSON writes them, and of a long word for its beginning with a digest, as profiles keep
    it (driftline.scan).
    """
    known = _written(words)
    longest_first = sorted(known, key=lambda word: (-len(word), word))
    told = [re.escape(word) for word in longest_first]
    told += [rf"{re.escape(word[:LISTED])}\w*" for word in longest_first if len(word) > LISTED]
    return rf"{_BEGINS}(?:{'|'.join(told)})(?!\w)"


_BEGINS = r"(?:(?<!\w)|(?<=\\[nrtbfv])|(?<=\\u[0-9a-fA-F]{4}))"
"""Before a word; a letter by which JSON writes a line's end or a tab is none of a word."""


def _written(words: Iterable[str]) -> set[str]:
    """The words, and what JSON and addresses make of them."""
    plain = set(words)
    ways = (True, False)
    told = {json.dumps(each, ensure_ascii=way)[1:-1] for each in plain for way in ways}
    return plain | told | {quote(each, safe="") for each in plain}


def in_bytes(raw: Column, words: Collection[str], encodings: Iterable[str]) -> Column:
    """Whether bytes hold any of the words, as text in UTF-8 or in one of the other encodings.

    Of these bytes are compared, so that in UTF-16 the end of a longer word is a word, too.
    """
    held = raw.cast("string").rlike(pattern(words))
    for encoding in sorted(set(encodings) - {"utf-8"}):
        spelled = [found for each in _written(words) if (found := _spelled(each, encoding))]
        if spelled:
            held |= F.decode(raw, "ISO-8859-1").rlike(pattern(spelled))
    return held


def rejected(problem: Problem, words: Collection[str]) -> Column:
    """Whether a rejected record (``raw``) holds a word, in an encoding that deliveries have."""
    encodings = {source.encoding for source in problem.sources.values()}
    return in_bytes(F.col("raw"), words, encodings)


def _spelled(word: str, encoding: str) -> str | None:
    """A character for each of its bytes; None for what the encoding has no bytes for."""
    try:
        return word.encode(encoding).decode("latin-1")
    except UnicodeEncodeError:
        return None


def describes(table: str, columns: Iterable[str]) -> Column:
    """Which rows of a table that describes columns may tell values of these."""
    told = F.lit(False)
    for column in columns:
        told |= _of(table, column)
        if table == "ops.profiles":
            told |= F.map_contains_key("cell", F.lit(column))
        elif table in ("ops.drift", "ops.causes"):
            told |= F.contains("slice", F.lit(f", {column}="))
    return told


def described(columns: Iterable[str]) -> Column:
    """Which rows of a table that describes columns describe one of these, or a part of it."""
    return F.split("column", ":")[0].isin(*columns)


def _of(table: str, column: str) -> Column:
    """Which rows describe a column or, of causes, what moved others by its values."""
    if table == "ops.curves":
        return F.startswith("name", F.lit(f"{column}="))
    told = described([column])
    return told | (F.col("kind") == column) if table == "ops.causes" else told


def changes(table: str, words: Mapping[str, Iterable[str]]) -> dict[str, Column]:
    """The fields of a table that describes columns, without the words of the columns told of.

    ``words`` are those of each column. In a text :data:`ERASED` takes their place; a value that was
    listed with its count is one of those that are not listed.
    """
    changed: dict[str, Column] = {}
    for field in DESCRIBING[table]:
        for column, said in words.items():
            here = _of(table, column)
            kept = changed.get(field, F.col(f"`{field}`"))
            if field == "cell":
                changed[field] = F.transform_values(kept, _unless(column, said))
                continue
            if field == "slice":  # which ends with the segment, its value as a whole
                segment = rf"(?<=, {re.escape(column)}=){pattern(said)}$"
                changed[field] = F.regexp_replace(kept, segment, ERASED)
                continue
            if field == "values":
                listed = F.map_filter("values", _one_of(said))
                rest = changed.get("unlisted", F.col("unlisted"))
                most = F.coalesce(F.array_max(F.map_values(listed)), F.lit(0))
                changed["unlisted"] = F.when(here, F.greatest(rest, most)).otherwise(rest)
                less = F.map_filter("values", _one_of(said, False))
            else:
                less = F.regexp_replace(kept, pattern(said), ERASED)
            changed[field] = F.when(here, less).otherwise(kept)
    return changed


def uncounted(columns: Iterable[str]) -> tuple[Column, dict[str, Column]]:
    """Which rows of ``ops.profiles`` tell columns' numbers, and their fields without any: a sketch
    of numbers, unlike a text, has nothing that could be taken out.
    """
    told = described(columns) & (F.col("kind") != "skipped")
    fields = ("min", "max", "mean", "spread", "sketch", "values", "unlisted", "excess", "distinct")
    return told, {"kind": F.lit("skipped"), **{name: F.lit(None) for name in fields}}


def cut(columns: Iterable[str]) -> Column:
    """Which rows of ``ops.profiles`` are of the rows with one value of one of these columns."""
    return reduce(or_, (F.map_contains_key("cell", F.lit(each)) for each in columns))


def unquoted(table: str, columns: Iterable[str]) -> tuple[Column, dict[str, Column]]:
    """Which rows of a table of :data:`QUOTING` tell values of columns of numbers, and their fields
    without them.
    """
    known = list(columns)
    told = F.col("column").isin(*known)
    if table in ("ops.drift", "ops.skew"):
        told &= ~F.col("statistic").isin(*_OF_COUNTS)
    elif table == "ops.causes":
        told = F.col("kind").isin(*known)
    changes = {QUOTING[table]: F.when(told, ERASED).otherwise(F.col(QUOTING[table]))}
    if table in ("ops.drift", "ops.causes"):
        of_one = rf"(?<=, (?:{'|'.join(map(re.escape, known))})=)(?s:.*)$"
        changes["slice"] = F.regexp_replace("slice", of_one, ERASED)
        for each in known:
            told |= F.contains("slice", F.lit(f", {each}="))
    return told, changes


def unobserved(columns: Iterable[str]) -> tuple[Column, dict[str, Column]]:
    """Which rows of ``ops.validations`` are about columns of numbers, and their fields without any
    value that was met: by the text alone it is not told of which column one is.
    """
    about = rf'"column":\s*"(?:{"|".join(map(re.escape, columns))})"'
    return F.col("result").rlike(about), {"result": F.regexp_replace("result", _OBSERVED, "$1null")}


def _unless(segment: str, words: Iterable[str]) -> Callable[[Column, Column], Column]:
    """The value of a cell, if it is no word of this segment."""
    said = list(words)
    return lambda name, value: F.when((name == segment) & value.isin(said), ERASED).otherwise(value)


def _one_of(words: Iterable[str], yes: bool = True) -> Callable[[Column, Column], Column]:
    """Whether a listed value is a word, or the beginning of a long one (see driftline.scan)."""
    said = [word[:LISTED] for word in words]
    return lambda key, _: F.substring(key, 1, LISTED).isin(said) == F.lit(yes)
