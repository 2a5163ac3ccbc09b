"""The newest comparison of every table, column by column; older ones are history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from driftline.profile import column_of
from driftline.report.facts import Facts, Row, newest, rows
from driftline.report.importance import by_feature

FEATURES = "gold.features"

WHOLE_TABLE = "*"
"""Stands in place of a column for what is said of the table."""


@dataclass(frozen=True)
class Shift:
    """One column in one comparison; ``severity`` 1 is the threshold."""

    column: str
    statistics: dict[str, Row]
    importance: float | None = None
    """Of a feature: its share of what all are worth to the model; None where that is unknown."""

    @property
    def drifted(self) -> bool:
        """Whether any statistic of the column drifted."""
        return any(row["drifted"] for row in self.statistics.values())

    @property
    def severity(self) -> float:
        """How far the worst statistic is beyond its threshold."""
        return max(severity(row) for row in self.statistics.values())

    @property
    def worst(self) -> Row:
        """The statistic that says most."""
        return max(self.statistics.values(), key=lambda row: (bool(row["drifted"]), severity(row)))

    @property
    def rank(self) -> tuple[float, float]:
        """Where it stands among those that drifted: by what it is worth, then by how far."""
        return -(self.importance or 0.0), -self.severity


@dataclass(frozen=True)
class Comparison:
    """The newest comparison of a table, or of a segment: first the columns that drifted, features
    by what they are worth to the model; then by how far each is from its threshold.

    ``reference`` and ``slice`` are which rows of the versions ``before`` and ``after`` it is of.
    """

    table: str
    reference: str
    slice: str
    before: int
    after: int
    shifts: list[Shift]
    place: int = 0
    """Which of the page's comparisons it is."""

    @property
    def title(self) -> str:
        """Which table and versions were compared."""
        which = "" if self.slice in ("", "whole") else f" ({self.slice})"
        return f"{self.table}{which}, version {self.before} → {self.after}"

    @property
    def segment(self) -> str:
        """Which rows of the slice, where it is not of all; as ``ops.drift`` has it."""
        return self.slice.partition(", ")[2]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that were compared, whichever parts of them."""
        return frozenset(column_of(each.column) for each in self.shifts) - {WHOLE_TABLE}

    @property
    def drifted(self) -> list[Shift]:
        """Columns and parts of them; what is said of the table as a whole is apart."""
        return [each for each in self.shifts if each.drifted and each.column != WHOLE_TABLE]

    @property
    def changed(self) -> Shift | None:
        """The table as a whole, if its schema or its rows moved beyond a threshold."""
        found = [each for each in self.shifts if each.drifted and each.column == WHOLE_TABLE]
        return found[0] if found else None


def severity(row: Row) -> float:
    """The statistic in units of its threshold; without one only the verdict speaks."""
    value, threshold = row["value"], row["threshold"]
    if value is None or not threshold or not math.isfinite(value):
        return 1.0 if row["drifted"] else 0.0
    return abs(float(value)) / float(threshold)


def comparisons(facts: Facts) -> list[Comparison]:
    """The newest comparison of every table and its segments; the ones with most drift first."""
    found, weights = rows(facts.drift), by_feature(facts)
    made = []
    for last in newest(found, "table"):
        slices: dict[str, list[Row]] = {}
        for row in found:
            # All rows of a comparison are written at one time.
            if (row["table"], row["at"]) == (last["table"], last["at"]):
                slices.setdefault(str(row["slice"] or ""), []).append(row)
        worth = weights if last["table"] == FEATURES else {}
        made += [_comparison(slice_, mine, worth) for slice_, mine in slices.items()]
    made.sort(key=lambda each: -len(each.drifted))
    return [replace(each, place=place) for place, each in enumerate(made)]


def _comparison(slice_: str, mine: Sequence[Row], worth: Mapping[str, float]) -> Comparison:
    columns: dict[str, dict[str, Row]] = {}
    for row in mine:
        columns.setdefault(str(row["column"]), {})[str(row["statistic"])] = row
    # What a part of a column says (its length, its hour) is weighed as the column.
    shifts = [
        Shift(column, statistics, worth.get(column_of(column)))
        for column, statistics in columns.items()
    ]
    shifts.sort(key=lambda each: (0, *each.rank) if each.drifted else (1, -each.severity))
    return Comparison(
        str(mine[0]["table"]),
        str(mine[0]["from_slice"] or ""),
        slice_,
        int(mine[0]["from_version"]),
        int(mine[0]["to_version"]),
        shifts,
    )
