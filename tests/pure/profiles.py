"""Profiles of data in memory, as Spark makes them of files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt

from driftline import delta_files, profile, scan
from driftline.attribution import Cause
from driftline.delta_files import Commit, DataFile, Schema
from driftline.drift import Statistic
from driftline.jobs import causes, drift
from driftline.jobs.sides import Pair, Side
from driftline.profile import Cell, Field, FileProfile, Profile
from driftline.sections import Drift
from driftline.sketches import Counts

Values = Sequence[float] | npt.NDArray[np.float64]

RULE = Drift(tables=("gold.features",), psi=0.2, ks=0.15, js=0.1, null_rate=0.05, categories=0.05)


def drifted(statistics: Mapping[str, Statistic]) -> list[str]:
    """The statistics that are drift."""
    return [name for name, each in statistics.items() if each.drifted]


def numeric(
    values: Values, *, nulls: int = 0, name: str = "x", type: str = "double", files: int = 1
) -> Profile:
    """A numeric column, sketched as Spark does it; in several files, merged.

    Each file has half of what the ones before it left, and values of its own, so that one which is
    weighed wrongly tells.
    """
    data = np.asarray(values, dtype=np.float64)
    if files > 1:
        parts = [numeric(part, name=name, type=type) for part in halved(np.sort(data), files)]
        return profile.merge([*parts, numeric([], nulls=nulls, name=name, type=type)])
    full = len(data) > 0
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(((data - data.mean()) ** 2).sum()) if full else math.nan
    finite = math.isfinite(spread)
    sketch = datasketches.kll_doubles_sketch(scan.K)
    sketch.update(data)
    return Profile(
        name,
        type,
        "numeric",
        rows=len(data) + nulls,
        nulls=nulls,
        min=float(data.min()) if full else None,
        max=float(data.max()) if full else None,
        mean=float(data.mean()) if finite else None,
        spread=spread if finite else None,
        sketch=sketch.serialize() if full else None,
        counts=listed(Counter(map(repr, data.tolist()))),
        registers=registers(map(repr, data.tolist())),
    )


def halved(rows: npt.NDArray[Any], files: int) -> list[npt.NDArray[Any]]:
    """Rows in so many files, each with half of what the ones before it left."""
    return np.split(rows, [len(rows) - (len(rows) >> place) for place in range(1, files)])


def words(
    counts: Mapping[str, int], *, nulls: int = 0, name: str = "w", type: str = "string"
) -> Profile:
    """A column of words, by the rows of each."""
    rows = sum(counts.values())
    return Profile(
        name,
        type,
        "categorical",
        rows=rows + nulls,
        nulls=nulls,
        counts=listed(counts),
        registers=registers(counts) if counts else None,
    )


def listed(counts: Mapping[str, int]) -> Counts:
    """What is kept of the counts."""
    if len(counts) <= scan.TOP:
        return Counts(dict(counts))
    limit = -(-sum(counts.values()) // 1000)
    most = sorted(counts.items(), key=lambda pair: -pair[1])[: scan.TOP + 1]
    return Counts(dict(pair for pair in most if pair[1] >= limit), max(most[-1][1], limit))


def registers(values) -> bytes:
    sketch = datasketches.hll_sketch(12, datasketches.tgt_hll_type.HLL_8)
    for value in values:
        sketch.update(value)
    return bytes(sketch.serialize_compact())


def file_of(cells: Sequence[tuple[Cell, Sequence[Profile]]]) -> FileProfile:
    """What is kept of a file whose rows are in these cells, each with a profile a column."""
    made = []
    for cell, columns in cells:
        counted = Profile("*", "", "skipped", rows=columns[0].rows, nulls=0)
        made.append((cell, {(each.column, each.part): each for each in [counted, *columns]}))
    return FileProfile(made)


def lengths(counts: Mapping[str, int], *, nulls: int = 0, name: str = "w") -> Profile:
    """The part of a column of words that is how long each is."""
    long = [len(word) for word, rows in counts.items() for _ in range(rows)]
    return replace(numeric(long, nulls=nulls, name=name, type="string"), part="length")


def compared(
    before: Sequence[FileProfile],
    commits: Sequence[Sequence[FileProfile]],
    rule: Drift,
    *,
    segments: Sequence[str] = (),
    names: Sequence[Mapping[str, str]] = ({}, {}),
    removed: Mapping[int, Sequence[str]] = {},
    moving: Sequence[int] = (),
    keys: Sequence[str] = (),
) -> tuple[list[Statistic], list[Cause]]:
    """What the job says of a table that had some files, to which commits added others.

    A file is called by its commit, from 1, and place in it: ``1-0``. ``names`` are what columns are
    called before and after, of those that are not called as in the files; ``removed`` the files
    that commits removed; ``moving`` those commits that changed no rows; ``keys`` the columns of
    which only nulls are compared.
    """
    known: dict[tuple[str, int, str], FileProfile] = {}
    types: dict[str, str] = {}
    told = []
    for number, files in enumerate([before, *commits]):
        added = []
        for place, each in enumerate(files):
            added.append(DataFile(f"/t/{number}-{place}", 1, "", {}, {}))
            known[added[-1].key] = each
            for _, parts in each.cells:
                types |= {key: one.type for (key, _), one in parts.items() if key != "*"}
        told.append((number, tuple(added)))
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    schemas = [
        Schema(tuple(Field(called.get(key, key), types[key], key) for key in types), None)
        for called in names
    ]
    log = tuple(
        Commit(
            number,
            at,
            "WRITE",
            added,
            tuple((f"/t/{name}", 0, "") for name in removed.get(number, ())),
            schemas[number > 0],
            number not in moving,
        )
        for number, added in told
    )
    old, new = (delta_files.version(log, number) for number in (0, len(commits)))
    grew = {file.key for file in old.files} < {file.key for file in new.files}
    added = tuple(file for file in new.files if file not in old.files)
    sides = []
    for version, said, files in (
        (old, "whole", old.files),
        (new, "added since 0", added) if grew else (new, "whole", new.files),
    ):
        schema, told_by = version.schema, frozenset(keys)
        one = Side("t", version.number, at, said, files, schema.fields, schema, keys=told_by)
        sides.append(one)
    pair = Pair(sides[0], sides[1], log)
    landed = SimpleNamespace(exists=lambda name: False)
    line: Any = SimpleNamespace(problem=SimpleNamespace(drift=rule), tables=landed)
    statistics, found = drift.compared(line, pair, known, segments)
    moved = causes.causes(line, pair, known, statistics, found[pair.reference])
    return statistics, moved
