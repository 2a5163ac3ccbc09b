"""What ``ops.profiles`` has of data files: which of them it tells of, and their profiles.

Two questions, for a sketch takes twenty kilobytes a column, file and cell, and of most files it is
enough to know that they have a profile. Profiles that are too many for the driver's memory lie in a
file of its disk, and each is read where it is merged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import profile, schemas
from driftline.delta_files import DataFile, Key
from driftline.jobs.line import Line
from driftline.profile import Cell, Field, FileProfile, Profile

_FEW = 16 * 2**20
"""Where all that ``ops.profiles`` has are so many bytes at most, one query brings what is asked of
it as a whole: more of them cost more than they spare."""

_SCAN = ("file", "bytes", "deleted", "modified", "segments", "run_id", "version")
"""What is the same in all rows that one scan made of one file, and of no other."""

_ROW = (
    *("column", "type", "kind", "rows", "nulls", "min", "max", "mean", "spread"),
    *("sketch", "values", "unlisted", "excess", "distinct", "part"),
)
"""What a profile is made of, see ``profile.from_row``."""


@dataclass(frozen=True)
class Asked:
    """What is asked of one file."""

    file: DataFile
    fields: frozenset[Field]
    """The columns that versions with the file have."""
    cut: frozenset[str]
    """The keys of columns that the file has to be cut by."""
    same: Cell
    """Columns that all of its rows have one value of."""
    absent: frozenset[str]
    """Columns that others are cut by, and no version with the file has."""


@dataclass(frozen=True)
class Scan:
    """One file as it was scanned once."""

    name: tuple[Any, ...]
    """See :data:`_SCAN`."""
    largest_id: int | None
    columns: frozenset[str]
    cells: Any
    """The cells it was cut into, with how many rows each has: two scans have the same, or not."""
    rows: int

    @property
    def file(self) -> tuple[str, int, str]:
        """The path, size and deletion vector."""
        return self.name[:3]

    @property
    def modified(self) -> int | None:
        """When the file was written; not known of what older versions of driftline profiled."""
        found: int | None = self.name[3]
        return found

    @property
    def segments(self) -> tuple[str, ...]:
        """The keys of the columns that it was cut by."""
        return tuple(json.loads(self.name[4]))


@dataclass(frozen=True)
class Told:
    """The scans that tell all that is asked of a file: mostly one, or several, each of some of the
    columns; of files that are not here something is not known.
    """

    scans: Mapping[Key, tuple[Scan, ...]]
    rows: Sequence[Mapping[str, Any]] | None = None
    """All rows of ``ops.profiles`` that were asked for, where these are few."""


def told(line: Line, asked: Mapping[Key, Asked], *, whole: bool = False) -> Told:
    """Of which files all that is asked is known; no sketch is read. If the files are to be looked
    at as a ``whole``, those that are few are brought at once.
    """
    name = schemas.PROFILES.full_name
    if not line.tables.exists(name):
        return Told({}, [])
    line.tables.ensure(schemas.PROFILES)  # one of an older version lacks columns
    rows = _asked_for(line, asked)
    size = line.tables.size(name)
    if whole and size is not None and size <= _FEW:
        found = rows.toArrow().to_pylist()
        return Told(_chosen(asked, _scans(found)), found)
    scans = [
        Scan(tuple(row[:7]), row.largest_id, frozenset(row.columns), row.cells, row.rows)
        for row in _light(rows).collect()
    ]
    return Told(_chosen(asked, scans))


def profiles(line: Line, asked: Mapping[Key, Asked], told: Told) -> dict[Key, FileProfile]:
    """The profiles of the files that are told of."""
    serves: dict[tuple[Any, ...], list[Key]] = {}
    for key, scans in told.scans.items():
        for scan in scans:
            serves.setdefault(scan.name, []).append(key)
    cells: dict[Key, dict[frozenset[tuple[str, str | None]], Any]] = {}
    disk: _Disk | None = None
    rows: Iterable[Any]
    if told.rows is None:
        disk = _Disk()
        rows = _asked_for(line, {key: asked[key] for key in told.scans}).toLocalIterator()
    else:
        rows = told.rows
    for row in rows:
        for key in serves.get(tuple(row[each] for each in _SCAN), ()):
            cell = frozenset(dict(row["cell"]).items())
            parts = cells.setdefault(key, {}).setdefault(cell, {} if disk is None else _Parts(disk))
            parts[row["column"], row["part"]] = profile.from_row(row)
    return {
        key: FileProfile(
            [
                ({**dict(cell), **dict.fromkeys(asked[key].absent), **asked[key].same}, parts)
                for cell, parts in cells[key].items()
            ]
        )
        for key in told.scans
    }


def _asked_for(line: Line, asked: Mapping[Key, Asked]) -> DataFrame:
    paths = sorted({each.file.path for each in asked.values()})
    columns = sorted({"*"} | {field.key for each in asked.values() for field in each.fields})
    rows = line.tables.read(schemas.PROFILES.full_name)
    return rows.where(F.col("file").isin(paths) & F.col("column").isin(columns))


def _light(rows: DataFrame) -> DataFrame:
    """The scans that rows of ``ops.profiles`` are of."""
    counts = F.col("column") == "*"
    cell = F.to_json(F.struct(F.array_sort(F.map_entries("cell")), "rows"))
    cells = F.array_sort(F.collect_list(F.when(counts, cell)))
    return (
        rows.where(F.col("part") == "")
        .groupBy(*_SCAN)
        .agg(
            F.first("largest_id").alias("largest_id"),
            F.collect_set("column").alias("columns"),
            F.md5(F.array_join(cells, "\n")).alias("cells"),
            F.sum(F.when(counts, F.col("rows"))).alias("rows"),
        )
    )


def _scans(rows: Sequence[Mapping[str, Any]]) -> list[Scan]:
    """The same of rows that the driver has."""
    ids: dict[tuple[Any, ...], int | None] = {}
    columns: dict[tuple[Any, ...], set[str]] = {}
    cells: dict[tuple[Any, ...], set[tuple[Any, int]]] = {}
    for row in rows:
        name = tuple(row[each] for each in _SCAN)
        ids[name] = row["largest_id"]
        if not row["part"]:
            columns.setdefault(name, set()).add(row["column"])
        if row["column"] == "*":
            cells.setdefault(name, set()).add((frozenset(row["cell"]), row["rows"]))
    return [
        Scan(
            *(name, largest_id, frozenset(columns[name]), frozenset(cells[name])),
            sum(rows for _, rows in cells[name]),
        )
        for name, largest_id in ids.items()
    ]


def _chosen(asked: Mapping[Key, Asked], scans: Sequence[Scan]) -> dict[Key, tuple[Scan, ...]]:
    """Which scans to take of each file: the one that tells all of it, of those the least cut; or
    several that tell it together, if they have the same cells, for no row may be counted twice.
    """
    of: dict[tuple[str, int, str], list[Scan]] = {}
    for scan in sorted(scans, key=lambda each: (len(each.segments), str(each.name))):
        of.setdefault(scan.file, []).append(scan)
    found: dict[Key, tuple[Scan, ...]] = {}
    for key, each in asked.items():
        alike: dict[Any, list[Scan]] = {}
        for scan in of.get(key[:3], ()):
            if scan.modified in (None, key[3]) and each.cut <= {*scan.segments, *each.same}:
                alike.setdefault((scan.segments, scan.cells), []).append(scan)
        sets: list[tuple[Scan, ...]] = [(scan,) for same in alike.values() for scan in same]
        sets += [tuple(same) for same in alike.values() if len(same) > 1]
        chosen = next((one for one in sets if _tell(one, each.fields)), None)
        if chosen is not None:
            found[key] = chosen
    return found


def _tell(scans: Sequence[Scan], fields: Iterable[Field]) -> bool:
    columns = frozenset().union(*(each.columns for each in scans))
    empty = not any(each.rows for each in scans)
    return empty or profile.tells(fields, columns=columns, largest_id=_largest_id(scans))


def _largest_id(scans: Sequence[Scan]) -> int | None:
    """What was younger than the file once is so for ever."""
    ids = [each.largest_id for each in scans]
    return None if None in ids else min(each for each in ids if each is not None)


class _Disk:
    """Profiles in a file that the system takes away with this object, or with the process."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("")  # SQLite's name of a file of its own, without one
        self._file.row_factory = sqlite3.Row
        self._file.execute("PRAGMA journal_mode = OFF")
        columns = ", ".join(f'"{name}"' for name in _ROW)
        self._file.execute(f"CREATE TABLE profiles (place INTEGER PRIMARY KEY, {columns})")
        places = ", ".join("?" for _ in _ROW)
        self._put = f"INSERT INTO profiles ({columns}) VALUES ({places})"
        self._get = f"SELECT {columns} FROM profiles WHERE place = ?"

    def put(self, found: Profile) -> int:
        """Where it is from now on."""
        counts = found.counts
        values = None if counts is None else json.dumps(dict(counts.values))
        bounds = (None, None) if counts is None else (counts.unlisted, counts.excess)
        numbers = (found.rows, found.nulls, found.min, found.max, found.mean, found.spread)
        head = (found.column, found.type, found.kind)
        tail = (found.sketch, values, *bounds, found.registers, found.part)
        place = self._file.execute(self._put, (*head, *numbers, *tail)).lastrowid
        assert place is not None
        return place

    def get(self, place: int) -> Profile:
        """What was put there."""
        row = dict(self._file.execute(self._get, (place,)).fetchone())
        values = row["values"]
        return profile.from_row({**row, "values": None if values is None else json.loads(values)})


class _Parts(Mapping[tuple[str, str], Profile]):
    """What was found in a cell: its rows are counted here, all else is on the disk."""

    def __init__(self, disk: _Disk) -> None:
        self._disk = disk
        self._places: dict[tuple[str, str], int | Profile] = {}

    def __setitem__(self, part: tuple[str, str], found: Profile) -> None:
        self._places[part] = found if part[0] == "*" else self._disk.put(found)

    def __getitem__(self, part: tuple[str, str]) -> Profile:
        found = self._places[part]
        return found if isinstance(found, Profile) else self._disk.get(found)

    def __contains__(self, part: object) -> bool:
        return part in self._places

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
