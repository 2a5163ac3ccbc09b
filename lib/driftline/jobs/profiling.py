"""Data files → ``ops.profiles``, each once, ever; from there, the profile of any set of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import delta_files, profile, scan, schemas
from driftline.delta_files import DataFile, Key, Schema, Version
from driftline.digests import digest
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.profile import Cell, Field, FileProfile, Profile

_OURS = frozenset(column.name for column in schemas.LANDING)
"""What driftline adds to a delivery says nothing of the data, and is not profiled."""

DELIVERY = "_delivery"
"""A column of landed records that cuts their files unasked, for drift to be traced to it."""

_FEW = 32
"""A file of more deliveries than these is not cut by them: profiles must not grow with it."""


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

    Files vacuumed away before they were profiled have none. Needs the lock of ``ops.profiles``.
    """
    found = _known(line, wanted, segments)
    lacking = [_without(each, found) for each in wanted]
    lacking = [each for each in _there(line, lacking) if each.files]
    if not lacking:
        return found
    files = sum(len(each.files) for each in lacking)
    ledger.progress(f"profiling {files:,} files of {lacking[0].table}")
    scans = (_scan(line, *part, segments) for each in lacking for part in _by_delivery(line, each))
    made = reduce(DataFrame.unionByName, scans)
    rows = made.withColumn("run_id", F.lit(ledger.run_id))
    told = [(sorted(str(f.key) for f in e.files), [f.key for f in e.fields]) for e in lacking]
    key = digest([told, list(segments)])
    ledger.wrote(line.tables.append(rows, schemas.PROFILES, key=f"profiles:{key[:16]}"))
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
    gone = [each for each in files if each.key not in known]
    if gone:
        raise Missing(
            f"{len(gone)} of {len(files)} files were removed before they were profiled",
            where=table,
            hint="compare other versions; `driftline profile --history` profiles them in time",
        )
    return profile.together([known[each.key] for each in files], fields, where=where)


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
    known: dict[Key, FileProfile] = {}
    for unit, cells in parts.items():
        key = unit[:3]
        if key not in files:
            continue
        one, file = files[key]
        same = _partition(one, file)
        cut = (*filter(None, unit[3].split(",")), *same)
        made = FileProfile(
            cut, ids[unit], [({**dict(cell), **same}, each) for cell, each in cells.items()]
        )
        if set(_cut_by(one, segments)) <= set(cut) and made.tells(one.fields):
            known[key] = made
    return known


def _partition(wanted: Wanted, file: DataFile) -> dict[str, str | None]:
    """The values that all rows of a file have, by the columns' names: a cell as it is."""
    names = {each.key: each.name for each in wanted.schema.fields}
    return {names[key]: value for key, value in file.partition.items() if key in names}


def _without(wanted: Wanted, found: Mapping[Key, FileProfile]) -> Wanted:
    files = tuple(each for each in wanted.files if each.key not in found)
    return Wanted(wanted.table, wanted.version, wanted.schema, files)


def _there(line: Line, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each file once, without those that are gone; a path at most once in each, for one scan can
    read it with one deletion vector only. Versions of the same columns are one.
    """
    present = line.tables.present(file for each in wanted for file in each.files)
    seen: set[Key] = set()
    layers: dict[tuple[str, Schema], list[dict[str, DataFile]]] = {}
    newest: dict[tuple[str, Schema], int] = {}
    for each in wanted:
        same = each.table, each.schema
        newest[same] = max(each.version, newest.get(same, 0))
        mine = layers.setdefault(same, [])
        for file in each.files:
            if file.key in seen or file.path not in present:
                continue
            seen.add(file.key)
            free = next((layer for layer in mine if file.path not in layer), None)
            if free is None:
                mine.append(free := {})
            free[file.path] = file
    return [
        Wanted(*same[:1], newest[same], same[1], tuple(layer.values()))
        for same, mine in layers.items()
        for layer in mine
    ]


def _cut_by(wanted: Wanted, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose values cut the files: those asked for, and where records came from."""
    landed = DELIVERY in (each.name for each in wanted.schema.fields)
    return tuple(dict.fromkeys((*segments, DELIVERY) if landed else segments))


def _by_delivery(line: Line, wanted: Wanted) -> list[tuple[Wanted, bool]]:
    """The files in two: of few enough deliveries to be cut by them, or of too many, or of none."""
    if DELIVERY not in _cut_by(wanted, ()):
        return [(wanted, False)]
    rows = line.tables.read_files(wanted.table, wanted.files, version=wanted.version)
    path = F.col(delta_files.FILE).alias("file")
    counted = rows.groupBy(path).agg(F.count_distinct(DELIVERY).alias("deliveries"))
    told = counted.select(delta_files.path_of(F.col("file")).alias("file"), "deliveries").collect()
    many = {row.file for row in told if row.deliveries > _FEW}
    parts = [
        (replace(wanted, files=tuple(f for f in wanted.files if (f.path in many) != few)), few)
        for few in (True, False)
    ]
    return [each for each in parts if each[0].files]


def _scan(line: Line, wanted: Wanted, by_delivery: bool, segments: tuple[str, ...]) -> DataFrame:
    rows = line.tables.read_files(wanted.table, wanted.files, version=wanted.version)
    cut = {name for file in wanted.files[:1] for name in _partition(wanted, file)}
    segments = tuple(name for name in _cut_by(wanted, segments) if name not in cut)
    if DELIVERY in segments and not by_delivery:
        rows = rows.drop(DELIVERY)  # one cell then, whose delivery is null
    keys = {each.name: each.key for each in wanted.fields}
    found = scan.scan(rows, keys, path=F.col(delta_files.FILE), segments=segments)
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
            "segments": F.lit(",".join(segments)),
            "largest_id": F.lit(wanted.schema.largest_id).cast("int"),
        }
    )
