"""What a suite asks of the rows, told by workers that read a table's files themselves.

As ``measures.py`` has it for Spark's rows, by the same names, for rules that Arrow tells
(``arrow_rules.py``): Spark would take each row apart and compile a plan of hundreds of columns
first. Each worker counts its part of the files; sums, spreads and extremes of parts are merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from driftline import arrow_files, arrow_rules, quality
from driftline.arrow_files import Files, Part
from driftline.expectation_results import Numbers
from driftline.suite_files import Rule

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class _Asked:
    files: Files
    rules: Sequence[Rule]
    newest: tuple[str, ...]
    """Columns of times or dates whose last is asked for."""


@dataclass
class Moments:
    """Of the values of a column of numbers that are there."""

    count: int = 0
    sum: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""
    least: Any = None
    most: Any = None
    nans: int = 0

    def merged(self, other: Moments) -> Moments:
        """Of both parts (Chan, Golub and LeVeque 1979, *Updating formulae and a pairwise algorithm
        for computing sample variances*).
        """
        if not self.count or not other.count:
            return other if other.count else self
        count = self.count + other.count
        apart = other.mean - self.mean
        return Moments(
            count,
            self.sum + other.sum,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart * apart * self.count * other.count / count,
            _of(min, self.least, other.least),
            _of(max, self.most, other.most),
            self.nans + other.nans,
        )


@dataclass
class Told:
    """What was counted, of some of the rows or of all."""

    rows: int = 0
    values: dict[str, int] = field(default_factory=dict)
    """How many a column has."""
    looked: dict[int, int] = field(default_factory=dict)
    """How many rows a rule about several columns looks at, by its place; not there: at all."""
    broken: dict[int, int] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    newest: dict[str, Any] = field(default_factory=dict)

    def merged(self, other: Told) -> Told:
        """What both tell together."""
        none = Moments()
        return Told(
            self.rows + other.rows,
            _added(self.values, other.values),
            _added(self.looked, other.looked),
            _added(self.broken, other.broken),
            {
                name: self.moments.get(name, none).merged(other.moments.get(name, none))
                for name in self.moments.keys() | other.moments.keys()
            },
            {
                name: _of(max, self.newest.get(name), other.newest.get(name))
                for name in self.newest.keys() | other.newest.keys()
            },
        )


def _added(one: Mapping[_Key, int], other: Mapping[_Key, int]) -> dict[_Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}


def _of(which: Any, one: Any, other: Any) -> Any:
    there = [each for each in (one, other) if each is not None]
    return which(there) if there else None


def scan(
    spark: SparkSession, files: Files, rules: Sequence[Rule], newest: tuple[str, ...] = ()
) -> Told:
    """What rows tell about some rules, how many values each column has, and the last ones of
    columns of times.
    """
    asked = _Asked(files, rules, newest)
    none = pa.RecordBatch.from_pylist([], schema=files.schema)
    each = arrow_files.over(spark, files, partial(_told_of, asked))
    return reduce(Told.merged, each, _told(asked, none))


def numbers(place: int, rule: Rule, told: Told) -> Numbers:
    """What the rule in a place of those asked needs, by the names of ``measures.numbers_asked``."""
    found: dict[str, Any] = {}
    if rule.type in quality.SCHEMA:
        return found
    if rule.type in quality.AGGREGATES:
        name = quality.AGGREGATES[rule.type][0]
        found[name] = _aggregate(name, rule, told)
        if name == quality.ROW_COUNT:
            return found
    found[quality.ROW_COUNT] = told.rows
    if rule.column is not None:
        found[quality.NULL_COUNT] = told.rows - told.values[rule.column]
    else:
        found[quality.FILTERED] = told.looked.get(place, told.rows)
    if rule.type in quality.ROWS:
        found[quality.UNEXPECTED] = told.broken[place]
    return found


def _aggregate(name: str, rule: Rule, told: Told) -> Any:
    """As Spark has it: null of no value, NaN greater than all, no spread of a single value."""
    if name == quality.ROW_COUNT:
        return told.rows
    column = str(rule.column)
    if name == "column.non_null_proportion":
        return told.values[column] / told.rows if told.rows else 0.0
    found = told.moments.get(column, Moments())
    if not found.count:
        return None
    if name == "column.max":
        return math.nan if found.nans else found.most
    if name == "column.min":
        return math.nan if found.nans == found.count else found.least
    if name == "column.standard_deviation":
        return math.sqrt(found.squares / (found.count - 1)) if found.count > 1 else None
    return found.sum / found.count if name == "column.mean" else found.sum


def _told_of(asked: _Asked, parts: Iterable[Part]) -> Iterator[Told]:
    for part in parts:
        found = (_told(asked, rows) for rows in arrow_files.read(asked.files, part))
        yield reduce(Told.merged, found, Told())


def _told(asked: _Asked, rows: pa.RecordBatch) -> Told:
    told = Told(len(rows))
    for name in rows.schema.names:
        told.values[name] = len(rows) - rows.column(name).null_count
    for place, rule in enumerate(asked.rules):
        looked = arrow_rules.looked_at(rule, rows) if rule.column is None else None
        if looked is not None:
            told.looked[place] = _count(looked)
        if rule.type in quality.ROWS:
            told.broken[place] = _count(arrow_rules.breaks(rule, rows))
    for name in {str(rule.column) for rule in asked.rules if rule.type in quality.AGGREGATES}:
        if name in rows.schema.names and rows.column(name).type in arrow_rules.NUMBERS:
            told.moments[name] = _moments(rows.column(name))
    told.newest = {name: _last(rows.column(name)) for name in asked.newest}
    return told


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _last(column: pa.Array) -> Any:
    """The last of some times, or the beginning of the last day."""
    return pc.max(pc.cast(column, arrow_files.TIME)).as_py()


def _moments(column: pa.Array) -> Moments:
    values = column.drop_null()
    nans = _count(pc.is_nan(values)) if pa.types.is_floating(values.type) else 0
    ends = pc.min_max(values).as_py()  # leaves NaN out
    floats = pc.cast(values, pa.float64(), safe=False).to_numpy()
    if not len(floats):
        return Moments()
    with np.errstate(all="ignore"):  # infinities are as Spark has them
        mean = float(floats.mean())
        squares = float(np.square(floats - mean).sum())
        sum_ = float(floats.sum())
    least, most = (None, None) if nans == len(floats) else (ends["min"], ends["max"])
    return Moments(len(floats), sum_, mean, squares, least, most, nans)
