"""What columns look like: the profile of a file, and of any set of files.

:mod:`driftline.scan` makes a file's profile while it reads it, once. Any set of files is
:func:`merge` of what was found in each, without Spark and without reading a row again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, get_args

from driftline import sketches
from driftline.sketches import Counts, Distribution

WHOLE = ("bigint", "int", "smallint", "tinyint")
TIMES = ("timestamp", "timestamp_ntz", "date")
FIRST = -62_135_596_800.0
"""The first second of year 1; Spark has times before it, which no calendar here knows."""
LAST = 253_402_300_799.0
"""The last second of 9999, with which Spark's times end; rounded to a double, its microseconds are
those of 10000, which is beyond the calendar, too.
"""
_NUMERIC = ("double", "float", *WHOLE, *TIMES)

Kind = Literal["numeric", "categorical", "skipped"]
PartName = Literal["", "length", "hour", "weekday"]
_ENDS = tuple(f":{part}" for part in get_args(PartName) if part)


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
        """The column, and which part of it; a column in backticks that is called as if it was one
        of another.
        """
        column = self.column
        if column.startswith("`") or column.endswith(_ENDS):
            column = "`" + column.replace("`", "``") + "`"
        return f"{column}:{self.part}" if self.part else column

    @property
    def is_time(self) -> bool:
        """Whether its values are times; a part of a time is none."""
        return self.type in TIMES and not self.part

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

    @property
    def enumerated(self) -> bool:
        """Whether every different value is listed: as doubles, which do not tell whole numbers
        beyond 2⁵³ apart.
        """
        ends = [abs(each) for each in (self.min, self.max) if each is not None]
        apart = self.type != "bigint" or max(ends, default=0.0) < 2**53
        return self.counts is not None and self.counts.complete and apart

    @cached_property
    def distinct(self) -> int | None:
        """How many different values, exact when all are listed."""
        if self.counts is not None and self.enumerated:
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
"""One combination of the segments' values, as text, by the columns' keys."""


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

    cells: Sequence[tuple[Cell, Mapping[tuple[str, str], Profile]]]


def tells(fields: Iterable[Field], *, columns: Set[str], largest_id: int | None) -> bool:
    """Whether a scan of ``columns`` (keys) of a file says what these fields hold: it has them, or
    they are younger than the file.
    """
    return all(each.key in columns or is_younger(each, largest_id) for each in fields)


def is_younger(field: Field, largest_id: int | None) -> bool:
    """Whether a column that a version of a table lacks came later, and is null in all its files.

    ``largest_id`` is that version's. A table without numbers has lost no column; one that has them
    may have lost any that had none before.
    """
    return largest_id is None or (field.id is not None and field.id > largest_id)


def renamed(fields: Sequence[Field], current: Sequence[Field]) -> tuple[Field, ...]:
    """The columns of one version under the names they have in another.

    One that the other lacks keeps its name, or is left out where that is another column's by now.
    """
    names = {each.key: each.name for each in current}
    taken = set(names.values())
    return tuple(
        replace(each, name=names.get(each.key, each.name))
        for each in fields
        if each.key in names or each.name not in taken
    )


def kind_of(type_: str) -> Kind:
    """How a column of a Spark SQL type is profiled."""
    if type_ in _NUMERIC or type_.startswith("decimal"):
        return "numeric"
    text = type_.startswith(("string", "varchar", "char"))
    return "categorical" if text or type_ == "boolean" else "skipped"


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


def column_of(name: str) -> str:
    """The column of a :attr:`Profile.name`, whichever part of it that is."""
    column, _, part = name.rpartition(":")
    return column if f":{part}" in _ENDS else name


def parts_of(type_: str) -> tuple[PartName, ...]:
    """The parts a column of a type is profiled in; empty stands for its values."""
    if type_ in TIMES:
        return ("", "weekday") if type_ == "date" else ("", "weekday", "hour")
    return ("", "length") if kind_of(type_) == "categorical" and type_ != "boolean" else ("",)


def together(
    files: Sequence[FileProfile], fields: Sequence[Field], *, where: Cell | None = None
) -> dict[str, Profile]:
    """The profile of all rows of some files, or of those in the cells that match ``where``.

    By the name of the column and part. A column that is younger than a file is null there. One that
    was something else in some of the files is ``skipped``, its type all that it was; and so is one
    whose numbers were taken out of some (driftline.erasure).
    """
    cells = [
        parts
        for each in files
        for cell, parts in each.cells
        if all(cell.get(name) == value for name, value in (where or {}).items())
    ]
    found: dict[str, Profile] = {}
    for field in fields:
        there = [parts[field.key, ""] for parts in cells if (field.key, "") in parts]
        # A file has no value of a column that was added, and taken back, after it was written.
        said = [each for each in there if not each.is_empty]
        types = {field.type} | {each.type for each in said}
        kinds = {kind_of(field.type)} | {each.kind for each in said}
        if len({family(each) for each in types}) > 1 or len(kinds) > 1:
            changed = _changed(field, types, cells)
            found[changed.name] = changed
            continue
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


def family(type_: str) -> str:
    """What profiles can be merged within: numbers, times, texts, and what has no profile."""
    return "time" if type_ in TIMES else kind_of(type_)


def _changed(
    field: Field, types: Set[str], cells: Sequence[Mapping[tuple[str, str], Profile]]
) -> Profile:
    rows = sum(parts["*", ""].rows for parts in cells)
    return Profile(field.name, " and ".join(sorted(types)), "skipped", rows, 0)


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
    """Mean and sum of squared deviations of all together (Chan, Golub & LeVeque 1979); None where
    a double cannot hold them.
    """
    if not full or any(each.mean is None or each.spread is None for each in full):
        return None, None
    rows = sum(each.filled for each in full)
    try:
        mean = math.fsum(float(each.mean or 0) * each.filled for each in full) / rows
        spread = math.fsum(
            float(each.spread or 0) + each.filled * (float(each.mean or 0) - mean) ** 2
            for each in full
        )
    except OverflowError:
        return None, None
    return (mean, spread) if math.isfinite(spread) else (None, None)


def edges(reference: Distribution, *, bins: int = 10) -> list[float]:
    """Inner edges of bins that hold equal shares of the reference; repeated ones once."""
    return sorted(set(reference.quantiles([place / bins for place in range(1, bins)])))


def moment(seconds: float) -> str:
    """``2024-03-01 12:30`` or, at midnight, ``2024-03-01`` for a time in seconds since 1970; the
    ends of the calendar for times beyond it.
    """
    at = datetime(1970, 1, 1) + timedelta(seconds=min(max(seconds, FIRST), LAST))
    return at.isoformat(" ", "minutes").removesuffix(" 00:00")


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
    # Not low + a part of the difference, which no double may hold.
    return [low * (1 - place / bins) + high * (place / bins) for place in range(bins + 1)]
