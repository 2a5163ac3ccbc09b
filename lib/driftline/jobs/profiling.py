"""Data files → ``ops.profiles``, each once, ever; from there, the profile of any set of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import delta_files, profile, scan, schemas
from driftline.delta_files import DataFile, Key, Schema, Version
from driftline.digests import digest
from driftline.errors import Missing, Refused
from driftline.jobs import profile_store
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.profile import Cell, Field, FileProfile, Profile

_OURS = frozenset(column.name for column in schemas.LANDING)
"""What driftline adds to a delivery says nothing of the data, and is not profiled."""

DELIVERY = "_delivery"
"""A column of landed records that cuts their files unasked, for drift to be traced to it."""

_FEW = 32
"""A file of more deliveries than these is not cut by them: profiles must not grow with it. Nor is
one that they, and the segments, would cut into more than :data:`_CELLS`."""

_CELLS = 1000
"""A file is not cut by columns into more cells than these, each a profile of all columns."""


class TooMany(Refused):
    """Segments have about so many ``values``, too many to keep a profile of each in a file."""

    def __init__(self, wanted: Wanted, names: str, values: int, *, where: str) -> None:
        self.values = values
        self.counted = f"a file has about {values:,} different values of {names}"
        said = f"each of which would have a profile of all columns; at most {_CELLS:,}"
        hint = "compare by columns of few values: --by, and drift.segments in the problem file"
        super().__init__(f"{wanted.table}: {self.counted}, {said}", where=where, hint=hint)


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

    ``segments`` are columns by their keys, or :data:`scan.NEWEST`. Files vacuumed away before they
    were profiled have no profile. Raises :class:`TooMany` where segments have too many values to
    tell apart. Needs the lock of ``ops.profiles``.
    """
    asked = _asked(line, wanted, segments)
    told = profile_store.told(line, asked, whole=True)
    if _make(line, ledger, wanted, segments, known=told.scans.keys()):
        told = profile_store.told(line, asked, whole=True)
    return profile_store.profiles(line, asked, told)


def known(
    line: Line, ledger: Run, wanted: Sequence[Wanted], *, segments: tuple[str, ...] = ()
) -> Set[Key]:
    """The wanted files that have a profile, after the others were profiled: see :func:`profiles`,
    which brings the profiles themselves, too.
    """
    asked = _asked(line, wanted, segments)
    told = profile_store.told(line, asked)
    if _make(line, ledger, wanted, segments, known=told.scans.keys()):
        told = profile_store.told(line, asked)
    return told.scans.keys()


def _make(
    line: Line,
    ledger: Run,
    wanted: Sequence[Wanted],
    segments: tuple[str, ...],
    *,
    known: Set[Key],
) -> bool:
    """Profile the files that are not known, as far as they are still there; whether any were."""
    books = schemas.PROFILES.full_name
    version = line.tables.version(books) if line.tables.exists(books) else None
    fields = _fields(wanted, segments)
    lacking = [_without(each, known) for each in wanted]
    lacking = [each for each in _there(line, lacking) if each.files]
    if not lacking:
        return False
    files = sum(len(each.files) for each in lacking)
    ledger.progress(f"profiling {files:,} files of {lacking[0].table}")
    scans = (_scan(line, *part) for each in lacking for part in _cut(line, each, segments, fields))
    made = reduce(DataFrame.unionByName, scans)
    rows = made.withColumn("run_id", F.lit(ledger.run_id))
    # Of two at once where no lock keeps one away, both lack the same files of the same version.
    keys = sorted(file.key for each in lacking for file in each.files)
    key = f"profiles:{digest([keys, segments, version])[:16]}"
    ledger.wrote(line.tables.append(rows, schemas.PROFILES, key=key))
    return True


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


def _fields(wanted: Sequence[Wanted], keys: Iterable[str]) -> dict[str, Field]:
    """The columns of these keys, as a version that has them has them."""
    all_ = {field.key: field for each in wanted for field in each.schema.fields}
    return {key: all_[key] for key in keys if key in all_}


def _asked(
    line: Line, wanted: Sequence[Wanted], segments: tuple[str, ...]
) -> dict[Key, profile_store.Asked]:
    """What is asked of each file. Raises :class:`Missing` for a segment without values to name."""
    for one in wanted:
        for field in one.schema.fields:
            if field.key in segments and profile.kind_of(field.type) == "skipped":
                raise Missing(
                    f"{field.name} of {one.table} is {field.type}: rows cannot be told apart by it",
                    where=line.tables.path(one.table),
                    hint="compare by columns of texts, numbers, times or truth values: --by, and "
                    "drift.segments in the problem file",
                )
    files = {each.key: each for one in wanted for each in one.files}
    fields: dict[Key, set[Field]] = {key: set() for key in files}
    cut: dict[Key, set[str]] = {key: set() for key in files}
    same: dict[Key, dict[str, str | None]] = {key: {} for key in files}
    for one in wanted:
        keys = _names(one).keys() & {*_cut_by(one, segments)}
        told = set(one.fields)
        for file in one.files:
            fields[file.key] |= told
            cut[file.key] |= keys
            same[file.key] |= _partition(one, file)
    return {
        key: profile_store.Asked(
            *(file, frozenset(fields[key]), frozenset(cut[key]), same[key]),
            frozenset(segments) - cut[key],
        )
        for key, file in files.items()
    }


def _partition(wanted: Wanted, file: DataFile) -> dict[str, str | None]:
    """The values that all rows of a file have, by the columns' keys: a cell as it is."""
    keys = {each.key for each in wanted.schema.fields}
    return {key: value for key, value in file.partition.items() if key in keys}


def _without(wanted: Wanted, known: Set[Key]) -> Wanted:
    return replace(wanted, files=tuple(each for each in wanted.files if each.key not in known))


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
            if not file.paths <= present or (before and _read_all(before, each.fields)):
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
    """Whether scans of a file by some versions tell of all fields together."""
    ids = [scan.schema.largest_id for scan in scans]
    return profile.tells(
        fields,
        columns={field.key for scan in scans for field in scan.fields},
        largest_id=None if None in ids else min(each for each in ids if each is not None),
    )


def _cut_by(wanted: Wanted, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose values cut the files: those asked for, and where records came from."""
    landed = DELIVERY in (each.key for each in wanted.schema.fields)
    return tuple(dict.fromkeys((*segments, DELIVERY) if landed else segments))


def _names(wanted: Wanted) -> dict[str, str]:
    """What can cut files, by key, as it is called in their rows."""
    return {scan.NEWEST: scan.NEWEST, **{each.key: each.name for each in wanted.schema.fields}}


def _cut(
    line: Line, wanted: Wanted, segments: tuple[str, ...], fields: Mapping[str, Field]
) -> list[tuple[Wanted, dict[str, str | None]]]:
    """Files with the columns that cut them, by key; those of many deliveries apart, as one piece.

    Partitions cut without a scan. Segments are counted first: a profile is kept for ever. By a
    column (of ``fields``) that the version had, and has no more, its files are not cut: nobody can
    tell what rows have there.
    """
    names = _names(wanted)
    same = {key for file in wanted.files[:1] for key in _partition(wanted, file)}
    by = {
        key: names.get(key)
        for key in _cut_by(wanted, segments)
        if key not in same
        and (key in names or profile.is_younger(fields[key], wanted.schema.largest_id))
    }
    counted = {key: name for key, name in by.items() if name and key != scan.NEWEST}
    if not counted:
        return [(wanted, by)]
    rows = line.tables.read_files(wanted.table, wanted.files, version=wanted.version)
    asked = [scan.called(name) for key, name in counted.items() if key in segments]
    landed = counted.get(DELIVERY)
    delivered = [scan.called(landed)] if landed else []
    deliveries = F.count_distinct(*delivered) if delivered else F.lit(0)
    told = (
        rows.groupBy(delta_files.file_of(rows).alias("file"))
        .agg(
            deliveries.alias("deliveries"),
            F.approx_count_distinct(F.struct(F.lit(0), *asked)).alias("cells"),
            F.approx_count_distinct(F.struct(F.lit(0), *asked, *delivered)).alias("pieces"),
        )
        .select(delta_files.path_of(F.col("file")).alias("file"), "deliveries", "cells", "pieces")
        .collect()
    )
    most = max((row.cells for row in told), default=0)
    if most > _CELLS:
        said = ", ".join(name for key, name in counted.items() if key in segments)
        raise TooMany(wanted, said, most, where=line.tables.path(wanted.table))
    many = {row.file for row in told if row.deliveries > _FEW or row.pieces > _CELLS}
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
    path = delta_files.file_of(rows)
    if by.get(scan.NEWEST):
        rows, path = scan.with_newest(rows, path)
    found = scan.scan(rows, keys, path=path, segments=by)
    found = found.withColumn("file", delta_files.path_of(F.col("file")))
    files = line.spark.createDataFrame(
        [(each.path, each.size, each.deleted, each.modified) for each in wanted.files],
        "file string, bytes bigint, deleted string, modified bigint",
    )
    # A file without rows, all of them deleted, is profiled too.
    none = {"column": F.lit("*"), "part": F.lit(""), "type": F.lit(""), "kind": F.lit("skipped")}
    none |= {"rows": F.lit(0), "nulls": F.lit(0), "cell": F.map_from_arrays(F.array(), F.array())}
    made = files.join(found, "file", "full")
    # And a path that is spelt in two ways must not be one file without rows and one that is lost.
    unknown = F.concat(F.lit("not a file that was to be profiled: "), F.col("file"))
    size = F.coalesce("bytes", F.raise_error(unknown).cast("bigint"))
    filled = {
        name: F.coalesce(name, value.cast(made.schema[name].dataType))
        for name, value in none.items()
    }
    return made.withColumns(
        {
            **filled,
            "bytes": size,
            "table": F.lit(wanted.table),
            "version": F.lit(wanted.version).cast("bigint"),
            "segments": F.lit(json.dumps(list(by))),
            "largest_id": F.lit(wanted.schema.largest_id).cast("int"),
        }
    )
