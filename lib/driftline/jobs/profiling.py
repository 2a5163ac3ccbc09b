"""Data files → ``ops.profiles``, each once, ever; from there, the profile of any set of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import delta_files, profile, scan, schemas
from driftline.delta_files import DataFile, Key, Schema, Version
from driftline.digests import digest
from driftline.errors import Missing, Refused
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.profile import Cell, Field, FileProfile, Profile

_OURS = frozenset(column.name for column in schemas.LANDING)
"""What driftline adds to a delivery says nothing of the data, and is not profiled."""

DELIVERY = "_delivery"
"""A column of landed records that cuts their files unasked, for drift to be traced to it."""

_FEW = 32
"""A file of more deliveries than these is not cut by them: profiles must not grow with it."""

_CELLS = 1000
"""A file is not cut into more cells than these, each a profile of all columns."""


@dataclass(frozen=True)
class Wanted:
    """Files to be profiled by the columns that a version of the table has."""

    table: str
    version: int
    schema: Schema
    files: tuple[DataFile, ...]

    @property
    def fields(self) -> list[Field]:
        """The columns that are profiled."""
        return profiled(self.schema)


def wanted(table: str, version: Version, files: Iterable[DataFile]) -> Wanted:
    """Some files of a version, by its columns."""
    return Wanted(table, version.number, version.schema, tuple(files))


def profiled(schema: Schema) -> list[Field]:
    """The columns that are profiled."""
    return [each for each in schema.fields if each.name not in _OURS]


def profiles(
    line: Line, ledger: Run, wanted: Sequence[Wanted], *, segments: tuple[str, ...] = ()
) -> dict[Key, FileProfile]:
    """The profile of every wanted file; those not there yet are made in one scan.

    ``segments`` are columns by their keys. Files vacuumed away before they were profiled have no
    profile. Raises :class:`Refused` where segments have too many values to tell apart. Needs the
    lock of ``ops.profiles``.
    """
    books = schemas.PROFILES.full_name
    version = line.tables.version(books) if line.tables.exists(books) else None
    found = _known(line, wanted, segments)
    lacking = [_without(each, found) for each in wanted]
    lacking = [each for each in _there(line, lacking) if each.files]
    if not lacking:
        return found
    files = sum(len(each.files) for each in lacking)
    ledger.progress(f"profiling {files:,} files of {lacking[0].table}")
    scans = (_scan(line, *part) for each in lacking for part in _cut(line, each, segments))
    made = reduce(DataFrame.unionByName, scans)
    rows = made.withColumn("run_id", F.lit(ledger.run_id))
    # Of two at once where no lock keeps one away, both lack the same files of the same version.
    keys = sorted(file.key for each in lacking for file in each.files)
    key = f"profiles:{digest([keys, segments, version])[:16]}"
    ledger.wrote(line.tables.append(rows, schemas.PROFILES, key=key))
    return _known(line, wanted, segments)


def of(
    files: Sequence[DataFile],
    fields: Sequence[Field],
    known: Mapping[Key, FileProfile],
    *,
    table: str,
    where: Cell | None = None,
) -> dict[str, Profile]:
    """The profile of a set of files, by name of column and part."""
    require(files, known, table=table)
    return profile.together([known[each.key] for each in files], fields, where=where)


def require(
    files: Sequence[DataFile],
    known: Mapping[Key, FileProfile],
    *,
    table: str,
    by: Sequence[str] = (),
) -> None:
    """Raise :class:`Missing` unless all files have a profile, cut by the columns of these names."""
    gone = [each for each in files if each.key not in known]
    if gone:
        hint = "compare other versions; `driftline profile --history` profiles files in time"
        raise Missing(
            f"{len(gone)} of {len(files)} files were removed before they were profiled{cut_by(by)}",
            where=table,
            hint=hint + (", by the columns of drift.segments in the problem file" if by else ""),
        )


def cut_by(names: Iterable[str]) -> str:
    """What to say of columns that files are cut by; nothing of none."""
    said = ", ".join(names)
    return f" by {said}" if said else ""


def _known(
    line: Line, wanted: Sequence[Wanted], segments: tuple[str, ...]
) -> dict[Key, FileProfile]:
    """What ``ops.profiles`` has of the wanted files, if it tells all that is asked."""
    if not line.tables.exists(schemas.PROFILES.full_name):
        return {}
    paths = sorted({each.path for one in wanted for each in one.files})
    rows = line.tables.read(schemas.PROFILES.full_name).where(F.col("file").isin(paths))
    parts: dict[tuple[Any, ...], dict[Any, dict[tuple[str, str], Profile]]] = {}
    ids: dict[tuple[Any, ...], int | None] = {}
    for row in rows.toArrow().to_pylist():
        unit = (row["file"], row["bytes"], row["deleted"], row["segments"])
        cell = frozenset(dict(row["cell"]).items())
        found = profile.from_row(row)
        parts.setdefault(unit, {}).setdefault(cell, {})[found.column, found.part] = found
        # What was younger than the file once is so for ever.
        last = ids.get(unit, row["largest_id"])
        ids[unit] = None if None in (last, row["largest_id"]) else min(last, row["largest_id"])
    files = {each.key: (one, each) for one in wanted for each in one.files}
    fields: dict[Key, set[Field]] = {}
    for one in wanted:
        for file in one.files:
            fields.setdefault(file.key, set()).update(one.fields)
    known: dict[Key, FileProfile] = {}
    for unit, cells in parts.items():
        key = unit[:3]
        if key not in files:
            continue
        one, file = files[key]
        same = _partition(one, file)
        cut = (*json.loads(unit[3]), *same)
        made = FileProfile(
            cut, ids[unit], [({**dict(cell), **same}, each) for cell, each in cells.items()]
        )
        if set(_cut_by(one, segments)) <= set(cut) and made.tells(fields[key]):
            known[key] = made
    return known


def _partition(wanted: Wanted, file: DataFile) -> dict[str, str | None]:
    """The values that all rows of a file have, by the columns' keys: a cell as it is."""
    keys = {each.key for each in wanted.schema.fields}
    return {key: value for key, value in file.partition.items() if key in keys}


def _without(wanted: Wanted, found: Mapping[Key, FileProfile]) -> Wanted:
    return replace(wanted, files=tuple(each for each in wanted.files if each.key not in found))


def _there(line: Line, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each file once, without those that are gone; a path at most once in each, for one scan can
    read it with one deletion vector only. Versions of the same columns are one.

    A file that versions of other columns share is read by that of the most, and by another one only
    for a column that it had and the first one had lost.
    """
    present = line.tables.present(file for each in wanted for file in each.files)
    read: dict[Key, list[Wanted]] = {}
    layers: dict[tuple[str, Schema], list[dict[str, DataFile]]] = {}
    newest: dict[tuple[str, Schema], int] = {}
    for each in sorted(wanted, key=lambda one: (-len(one.fields), one.version)):
        same = each.table, each.schema
        newest[same] = max(each.version, newest.get(same, 0))
        mine = layers.setdefault(same, [])
        for file in each.files:
            before = read.setdefault(file.key, [])
            if file.path not in present or (before and _read_all(before, each.fields)):
                continue
            before.append(each)
            free = next((layer for layer in mine if file.path not in layer), None)
            if free is None:
                mine.append(free := {})
            free[file.path] = file
    return [
        Wanted(*same[:1], newest[same], same[1], tuple(layer.values()))
        for same, mine in layers.items()
        for layer in mine
    ]


def _read_all(scans: Sequence[Wanted], fields: Sequence[Field]) -> bool:
    """Whether scans of a file by some versions tell of all fields, as ``FileProfile.tells``."""
    return all(
        any(
            each.key in (field.key for field in scan.fields)
            or each.id is None
            or scan.schema.largest_id is None
            or each.id > scan.schema.largest_id
            for scan in scans
        )
        for each in fields
    )


def _cut_by(wanted: Wanted, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose values cut the files: those asked for, and where records came from."""
    landed = DELIVERY in (each.key for each in wanted.schema.fields)
    return tuple(dict.fromkeys((*segments, DELIVERY) if landed else segments))


def _cut(
    line: Line, wanted: Wanted, segments: tuple[str, ...]
) -> list[tuple[Wanted, dict[str, str | None]]]:
    """Files with the columns that cut them, by key; those of many deliveries apart, as one piece.

    Partitions cut without a scan. Segments are counted first: a profile is kept for ever.
    """
    names = {each.key: each.name for each in wanted.schema.fields}
    same = {key for file in wanted.files[:1] for key in _partition(wanted, file)}
    by = {key: names.get(key) for key in _cut_by(wanted, segments) if key not in same}
    if not any(by.values()):
        return [(wanted, by)]
    rows = line.tables.read_files(wanted.table, wanted.files, version=wanted.version)
    asked = [scan.called(name) for key in segments if (name := by.get(key))]
    landed = by.get(DELIVERY)
    deliveries = F.count_distinct(scan.called(landed)) if landed else F.lit(0)
    told = (
        rows.groupBy(delta_files.file_of(rows).alias("file"))
        .agg(
            deliveries.alias("deliveries"),
            F.approx_count_distinct(F.struct(F.lit(0), *asked)).alias("cells"),
        )
        .select(delta_files.path_of(F.col("file")).alias("file"), "deliveries", "cells")
        .collect()
    )
    most = max((row.cells for row in told), default=0)
    if most > _CELLS:
        said = ", ".join(names[key] for key in segments if by.get(key))
        raise Refused(
            f"{wanted.table}: a file has about {most:,} different values of {said}, "
            f"each of which would have a profile of all columns; at most {_CELLS:,}",
            where=line.tables.path(wanted.table),
            hint="compare by columns of few values: --by, and drift.segments in the problem file",
        )
    many = {row.file for row in told if row.deliveries > _FEW}
    parts = [
        (replace(wanted, files=tuple(f for f in wanted.files if f.path not in many)), by),
        (
            replace(wanted, files=tuple(f for f in wanted.files if f.path in many)),
            {**by, DELIVERY: None},
        ),
    ]
    return [each for each in parts if each[0].files]


def _scan(line: Line, wanted: Wanted, by: Mapping[str, str | None]) -> DataFrame:
    rows = line.tables.read_files(wanted.table, wanted.files, version=wanted.version)
    keys = {each.name: each.key for each in wanted.fields}
    found = scan.scan(rows, keys, path=delta_files.file_of(rows), segments=by)
    found = found.withColumn("file", delta_files.path_of(F.col("file")))
    files = line.spark.createDataFrame(
        [(each.path, each.size, each.deleted) for each in wanted.files],
        "file string, bytes bigint, deleted string",
    )
    # A file without rows, all of them deleted, is profiled too.
    none = {"column": F.lit("*"), "part": F.lit(""), "type": F.lit(""), "kind": F.lit("skipped")}
    none |= {"rows": F.lit(0), "nulls": F.lit(0), "cell": F.map_from_arrays(F.array(), F.array())}
    made = F.broadcast(files).join(found, "file", "left")
    filled = {
        name: F.coalesce(name, value.cast(made.schema[name].dataType))
        for name, value in none.items()
    }
    return made.withColumns(
        {
            **filled,
            "table": F.lit(wanted.table),
            "segments": F.lit(json.dumps(list(by))),
            "largest_id": F.lit(wanted.schema.largest_id).cast("int"),
        }
    )
