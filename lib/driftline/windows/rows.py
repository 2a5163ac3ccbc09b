"""Rows of tiles and what an as-of sees of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from driftline.windows.exact import BITS, LIMBS, Floats, Integers, as_float


class Rows:
    """Rows of one kind, sorted by ``code`` (the entity's place) and ``day``, as columns."""

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]], entities: int) -> None:
        self._columns = columns
        self._entities = entities
        self._sums: dict[str, Integers] = {}
        self._made: dict[str, Rows] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __len__(self) -> int:
        return len(self._columns["code"])

    @cached_property
    def _place(self) -> Integers:
        return _place(self["code"], self["day"])

    @cached_property
    def starts(self) -> Integers:
        """The first row of each entity."""
        return np.searchsorted(self["code"], np.arange(self._entities), side="left")

    def until(self, day: int) -> Integers:
        """For each entity the row after its last one up to ``day``."""
        return np.searchsorted(
            self._place, _place(np.arange(self._entities), day), side="right"
        ).astype(np.int64)

    def where(self, keep: npt.NDArray[np.bool_]) -> Rows:
        """Those rows that are to be kept."""
        return Rows({name: each[keep] for name, each in self._columns.items()}, self._entities)

    def known(self, day: int) -> Rows:
        """The rows known at ``day``; all of them where nothing came late."""
        if not self.late:
            return self
        return self.where(self["known"] <= day)

    @cached_property
    def late(self) -> bool:
        """Whether any row was known only after its day."""
        return bool((self["known"] > self["day"]).any())

    def total(self, name: str, start: Integers, end: Integers) -> Integers:
        """Sum of a column of whole numbers over the rows from ``start`` to before ``end``."""
        if name not in self._sums:
            # May wrap around; the difference of two sums is right all the same.
            self._sums[name] = _running(self._columns[name])
        sums = self._sums[name]
        return sums[end] - sums[start]

    def active(self, name: str) -> Rows:
        """The rows with such an event, and which of them begin a new calendar date."""
        if f"active {name}" not in self._made:
            rows = self.where(self[name] > 0)
            before = np.diff(rows["date"], prepend=0)
            same = np.diff(rows["code"], prepend=-1) == 0
            gap = np.where(same, before, 0)
            columns = {**rows._columns, "new": (~same | (before > 0)).astype(np.int64)}
            columns |= {"gap": gap, "gap_squared": gap * gap}
            self._made[f"active {name}"] = Rows(columns, self._entities)
        return self._made[f"active {name}"]

    def ordered(self, name: str) -> Rows:
        """The rows that have such a value, in the order of their events."""
        if name not in self._made:
            rows = self.where(~np.isnan(self[name]))
            order = np.lexsort((rows["known"], rows[f"{name}_at"], rows["code"]))
            columns = {key: each[order] for key, each in rows._columns.items()}
            self._made[name] = Rows(columns, self._entities)
        return self._made[name]

    def daily(self, name: str) -> tuple[Rows, tuple[int, ...]]:
        """An exact sum or a count of each row as ``limb_0`` …, with ``moment_0`` …: times its day.

        Limbs are brought below 2^36 first, so that their moments fit: a sum of moments that wraps
        around is right again in a difference, if that fits.
        """
        units = LIMBS.get(name.partition("_")[0], (0,))
        if name not in self._made:
            several = len(units) > 1
            limbs = [self[f"{name}_{k}"] if several else self[name] for k in range(len(units))]
            for place in range(len(units) - 1, 0, -1):
                carried = limbs[place] >> BITS
                limbs[place] = limbs[place] - (carried << BITS)
                limbs[place - 1] = limbs[place - 1] + carried
            columns = {f"limb_{place}": limb for place, limb in enumerate(limbs)}
            columns |= {f"moment_{k}": limb * self["day"] for k, limb in enumerate(limbs)}
            self._made[name] = Rows({**self._columns, **columns}, self._entities)
        return self._made[name], units

    def reduced(self, ufunc: np.ufunc, name: str, start: Integers, end: Integers) -> Floats:
        """``ufunc`` over the rows from ``start`` to before ``end``; NaN where there is none."""
        values = np.append(self._columns[name].astype(np.float64), np.nan)
        found = ufunc.reduceat(values, np.column_stack((start, end)).ravel())[::2]
        return np.where(start < end, found, np.nan)


@dataclass(frozen=True)
class View:
    """What one as-of sees: rows known by then, and counts of categories known by then."""

    rows: Rows
    categories: Mapping[str, Rows]
    as_of: int
    entities: int

    def window(self, days: int, rows: Rows | None = None) -> tuple[Integers, Integers]:
        """First row and row after the last of each entity, in (as-of − days, as-of]."""
        rows = rows or self.rows
        return rows.until(self.as_of - days), rows.until(self.as_of)

    def count(self, name: str, days: int) -> Integers:
        """Number of events."""
        return self.rows.total(name, *self.window(days))

    def limbs(self, name: str, days: int) -> list[Integers]:
        """An exact sum, as whole numbers of the units of its kind."""
        window = self.window(days)
        return [
            self.rows.total(f"{name}_{place}", *window)
            for place in range(len(LIMBS[name.partition("_")[0]]))
        ]

    def total(self, name: str, days: int) -> Floats:
        """Sum of a value, or number of events."""
        kind = name.partition("_")[0]
        if kind not in LIMBS:
            return self.count(name, days).astype(np.float64)
        return as_float(self.limbs(name, days), LIMBS[kind])

    def counts(self, name: str, days: int) -> tuple[Integers, Integers, Integers]:
        """Of each entity: different categories, events of the most frequent one, all events."""
        zero = np.zeros(self.entities, dtype=np.int64)
        rows = self.categories.get(name)
        if rows is None or not len(rows):
            return zero, zero, zero
        day = rows["day"]
        inside = (day > self.as_of - days) & (day <= self.as_of) & (rows["known"] <= self.as_of)
        runs = np.flatnonzero(rows["run"])
        events = np.add.reduceat(np.where(inside, rows["events"], 0), runs)
        code = rows["code"][runs]
        first = np.flatnonzero(np.diff(code, prepend=-1))
        found = []
        for ufunc, values in ((np.add, events > 0), (np.maximum, events), (np.add, events)):
            each = zero.copy()
            each[code[first]] = ufunc.reduceat(values.astype(np.int64), first)
            found.append(each)
        return found[0], found[1], found[2]


def _place(code: Integers, day: Integers | int) -> Integers:
    """Entity and day as one number that sorts like the two; calendars end before 2^31 days."""
    return code.astype(np.int64) * 2**32 + day + 2**31


def _running(values: npt.NDArray[Any]) -> Integers:
    """Sums of the values before each place, and of all."""
    return np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
