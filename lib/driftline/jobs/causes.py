"""What moved the columns that drifted: commits, deliveries, partitions, segments, files.

Also commits that took rows of the reference away: those are undone, instead of left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pyspark.sql import functions as F

from driftline import attribution, profile, scan, schemas, times
from driftline.attribution import Cause
from driftline.delta_files import DataFile, Key
from driftline.drift import Statistic
from driftline.jobs import commits, profiling
from driftline.jobs.line import Line
from driftline.jobs.sides import Pair
from driftline.profile import Cell, Field, FileProfile, Profile

_KEPT = 5
"""Causes of a kind that are kept a column."""

_MANY = "in files of many"
"""Stands for the deliveries of files that were not cut by them."""


def causes(
    line: Line,
    pair: Pair,
    known: Mapping[Key, FileProfile],
    statistics: Sequence[Statistic],
    before: Mapping[str, Profile],
    where: tuple[Cell, Cell] = ({}, {}),
) -> list[Cause]:
    """The causes of every column that drifted, by the statistic that is furthest beyond.

    Of a column that drifted in segments alone, the one is taken apart in which it did most.
    ``where`` are the rows that were compared of each side's files, ``before`` their profiles of the
    reference.
    """
    paths = _paths(line, pair, known)
    drifted = _worst(statistics)
    segments = sorted({each.segment for each in drifted})  # the whole, which has no name, first
    cells = _cells(pair, known, segments)
    found: list[Cause] = []
    for segment in segments:
        mine = [each for each in drifted if each.segment == segment]
        then, now = ({**each, **cells[segment]} for each in where)
        reference = _reference(pair, known, then) if segment else before
        moved = _moved(line, pair, known, mine, reference, now, paths)
        found += [replace(each, segment=segment) for each in moved]
    return found


def mainly(pair: Pair, moved: Sequence[Cause]) -> str:
    """The commits and deliveries that moved a column by half or more, the first one that has such.

    Of one step that it was this step's commit goes without saying.
    """
    old, new = pair.reference.version, pair.current.version
    step = ("commit", str(new)) if new == old + 1 else None
    main = [
        each
        for each in moved
        if each.kind in ("commit", "delivery")
        and each.share >= 0.5
        and (each.kind, each.name) != step
    ]
    if not main:
        return ""
    first = main[0]
    column = f"{first.column} ({first.segment})" if first.segment else first.column
    parts = [
        f"{each.share:.0%}{'' if place else f' of {column}'} from {each.kind} {each.name}"
        for place, each in enumerate(each for each in main if each.column == first.column)
    ]
    return ", ".join(parts)


def _reference(pair: Pair, known: Mapping[Key, FileProfile], where: Cell) -> dict[str, Profile]:
    """Profiles of some rows of the reference, by the names of now."""
    old = pair.reference
    fields = profile.renamed(old.fields, pair.current.fields)
    return profile.together([known[each.key] for each in old.files], fields, where=where)


def _moved(
    line: Line,
    pair: Pair,
    known: Mapping[Key, FileProfile],
    drifted: Sequence[Statistic],
    before: Mapping[str, Profile],
    where: Cell,
    paths: Mapping[str, str],
) -> list[Cause]:
    """What moved columns, each by one statistic, in those of the current rows."""
    fields = {each.name: each for each in pair.current.fields}
    groups = _groups(pair, known, where, paths)
    taken, rest = commits.taken(pair)
    rule, at = line.problem.drift, (pair.reference.at, pair.current.at)
    found: list[Cause] = []
    for worst in drifted:
        if worst.column not in before:
            continue
        reference, statistic = before[worst.column], worst.statistic
        field = fields[reference.column]
        gone = {
            name: (
                _part(now, known, field, where)[worst.column],
                _part(then, known, field, where)[worst.column],
            )
            for name, (now, then) in taken.items()
        }
        gone = {name: both for name, both in gone.items() if any(each.rows for each in both)}
        for kind, members in groups:
            parts = {
                name: _part(files, known, field, {**where, **cell})[worst.column]
                for name, (files, cell) in members.items()
            }
            parts = {name: each for name, each in parts.items() if each.rows}
            if len(parts) < 2 and (gone or not _came_with(pair, kind, parts)):
                continue
            moved = attribution.causes(
                reference, parts, statistic=statistic, kind=kind, rule=rule, at=at
            )
            found += moved[:_KEPT]
        if gone:
            others = _part(rest, known, field, where)[worst.column]
            moved = attribution.undone(
                reference, others, gone, statistic=statistic, kind="commit", rule=rule, at=at
            )
            found += moved[:_KEPT]
    return found


def _came_with(pair: Pair, kind: str, parts: Collection[str | None]) -> bool:
    """Whether one part alone says something: that all rows came with one commit or delivery.

    That all are of one value or file, nobody asked. And back from a version to an earlier one, the
    rows that are left are those that did nothing.
    """
    back = pair.current.slice == "whole" and pair.current.version < pair.reference.version
    return kind in ("commit", "delivery") and _MANY not in parts and not back


def called(segment: str, value: str | None) -> str:
    """What the rows are called of which a column has one value."""
    if not value:
        return f"{segment} is {'null' if value is None else 'empty'}"
    return f"{segment}={value}"


def _cells(
    pair: Pair, known: Mapping[Key, FileProfile], segments: Sequence[str]
) -> dict[str, Cell]:
    """Which rows of files segments are, by what those are called; the one without a name all."""
    names = {each.key: each.name for each in pair.current.schema.fields}
    parts = {
        part
        for file in pair.current.files
        for cell, _ in known[file.key].cells
        for part in cell.items()
    }
    found: dict[str, Cell] = {
        called(names.get(key, key), value): {key: value} for key, value in parts
    }
    return {each: found[each] if each else {} for each in segments}


def _worst(statistics: Sequence[Statistic]) -> list[Statistic]:
    """The drifted columns, each with the statistic that is furthest beyond its threshold; of a
    segment only where the column did not drift as a whole.
    """
    found: dict[str, Statistic] = {}
    for each in statistics:
        if not each.drifted or each.column == "*" or not each.threshold:
            continue
        if each.statistic == times.FRESHNESS:  # of rows that did not come there is no part
            continue
        last = found.get(each.column)
        if last is None or _rank(each) > _rank(last):
            found[each.column] = each
    return list(found.values())


def _rank(each: Statistic) -> tuple[bool, float]:
    return not each.segment, each.value / (each.threshold or 1)


def _part(
    files: Sequence[DataFile], known: Mapping[Key, FileProfile], field: Field, where: Cell
) -> dict[str, Profile]:
    return profile.together([known[each.key] for each in files], [field], where=where)


Members = dict[str | None, tuple[list[DataFile], Cell]]
"""The files that have rows of a part, by its name, and where in them those are."""


def _paths(line: Line, pair: Pair, known: Mapping[Key, FileProfile]) -> dict[str, str]:
    """Where each delivery of the current rows was found, as far as it was driftline's to land."""
    ids = {
        cell[profiling.DELIVERY]
        for file in pair.current.files
        for cell, _ in known[file.key].cells
        if cell.get(profiling.DELIVERY)
    }
    if not ids or not line.tables.exists(schemas.DELIVERIES.full_name):
        return {}
    rows = line.tables.read(schemas.DELIVERIES.full_name).where(F.col("delivery").isin(ids))
    found = rows.groupBy("delivery").agg(F.min("path").alias("path")).collect()
    alike = Counter(row.path for row in found)  # a file that was delivered again with other bytes
    return {
        row.delivery: row.path if alike[row.path] == 1 else f"{row.path} ({row.delivery[:8]})"
        for row in found
    }


def _groups(
    pair: Pair, known: Mapping[Key, FileProfile], where: Cell, paths: Mapping[str, str]
) -> list[tuple[str, Members]]:
    """The ways to take the current rows apart, few enough parts each."""
    files = pair.current.files
    came = commits.brought(pair.commits)
    cells = {
        file.key: [
            cell
            for cell, parts in known[file.key].cells
            if parts["*", ""].rows and where.items() <= cell.items()
        ]
        for file in files
    }
    # A file that was not cut by a column may have rows of any part.
    keys = [set(cell) for each in cells.values() for cell in each]
    segments: dict[str, Members] = {
        key: {}
        for key in sorted(set.intersection(*keys).difference(where) if keys else ())
        if key != scan.NEWEST  # what is not of a file's newest as-of is of any other
    }
    names = _files([file.path for file in files])
    by_commit: Members = {}
    by_file: Members = {}

    def put(members: Members, name: str | None, file: DataFile, cell: Cell) -> None:
        members.setdefault(name, ([], cell))[0].append(file)

    for file in filter(lambda file: cells[file.key], files):
        put(by_commit, came[file.path], file, {})
        put(by_file, names[file.path], file, {})
        for key, members in segments.items():
            for value in dict.fromkeys(cell[key] for cell in cells[file.key]):
                if key != profiling.DELIVERY:
                    put(members, value, file, {key: value})
                elif value is None:
                    put(members, _MANY, file, {key: value})
                else:
                    put(members, paths.get(value, value), file, {key: value})
    groups = [("commit", by_commit)]
    if len(by_file) > len(by_commit):  # else it says nothing more
        groups.append(("file", by_file))
    columns = {each.key: each.name for each in pair.current.schema.fields}
    return groups + [(_kind(key, columns), members) for key, members in segments.items()]


def _files(paths: Iterable[str]) -> dict[str, str]:
    """What files are called, by their paths: as little of the end as no other one ends with.

    Spark writes files of one name into the folders of many partitions; converted to Delta, they
    keep them.
    """
    found: dict[str, str] = {}
    left, depth = set(paths), 0
    while left:
        depth += 1
        ends = {path: "/".join(path.split("/")[-depth:]) for path in left}
        alike = Counter(ends.values())
        found |= {path: end for path, end in ends.items() if alike[end] == 1}
        left -= found.keys()
    return found


def _kind(key: str, names: Mapping[str, str]) -> str:
    if key == profiling.DELIVERY:
        return "delivery"
    name = names.get(key, key)
    return f"column {name}" if name in ("commit", "delivery", "file") else name
