"""Arrow rows → Parquet data files of a Delta table, and the actions that add them to its log.

Whoever holds Arrow rows, a worker that has just read them or the driver, writes them straight to
Parquet: the way through the JVM, which takes them apart row by row, costs more than reading most
logs. No file written here is part of a table before :mod:`driftline.delta_log` has committed it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_ROW_GROUP = 64 * 1024 * 1024
"""Bytes of Arrow rows that are held until they become a row group: bounds a writer's memory."""

_LONGEST = 32
"""Characters of a text that Delta keeps as a range; longer ones would have to be cut."""


@dataclass(frozen=True)
class NewFile:
    """A data file in a table's folder."""

    name: str
    size: int
    rows: int
    statistics: Mapping[str, Any]
    """Delta's per-file statistics: numRecords, and of some columns minValues, maxValues,
    nullCount.
    """

    def action(self) -> dict[str, Any]:
        """Delta's action that adds the file to its table."""
        return {
            "add": {
                "path": self.name,
                "partitionValues": {},
                "size": self.size,
                "modificationTime": int(time.time() * 1000),
                "dataChange": True,
                "stats": json.dumps(self.statistics),
            }
        }


@dataclass(frozen=True)
class Target:
    """Where data files go, and what is in them."""

    folder: str
    schema: pa.Schema
    statistics: tuple[str, ...]
    """Columns (times, dates, short texts) whose range and nulls Delta shall know of a file."""
    constants: Mapping[str, Any]
    """Values of columns that are the same in all rows."""


class Writer:
    """Writes rows into one new file of a target, which is gone if that fails.

    No file comes to be without rows.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._path = Path(target.folder, new_name())
        self._ranges = {name: _Range() for name in target.statistics}
        self._held: list[pa.RecordBatch] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.RecordBatch, **constants: Any) -> None:
        """Take rows that have all the columns, save those that are the same in all of them."""
        fixed = {**self._target.constants, **constants}
        arrays = [
            pa.repeat(pa.scalar(fixed[field.name], field.type), rows.num_rows)
            if field.name in fixed
            else rows.column(field.name)
            for field in self._target.schema
        ]
        self._held.append(pa.RecordBatch.from_arrays(arrays, schema=self._target.schema))
        if sum(each.nbytes for each in self._held) >= _ROW_GROUP:
            self._flush()

    def finish(self) -> NewFile | None:
        """Close the file; None if no rows came."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        self._writer = None
        # What is in the file, not what we believe we gave it.
        rows = pq.read_metadata(self._path).num_rows
        ranges = self._ranges
        return NewFile(
            self._path.name, self._path.stat().st_size, rows, statistics_of(rows, ranges)
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:  # not finished
            self._writer.close()
            self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._held, self._target.schema)
        self._held = []
        if not table.num_rows:
            return
        if self._writer is None:
            schema = self._target.schema
            self._writer = pq.ParquetWriter(self._path, schema, compression="snappy")
        self._writer.write_table(table, row_group_size=table.num_rows)
        for name, range_ in self._ranges.items():
            range_.add(table.column(name))


def encoded(rows: Sequence[Iterable[Any]], schema: pa.Schema) -> tuple[bytes, NewFile]:
    """A few rows, as tuples in the order of ``schema``, as a file's content, and the file."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    content = sink.getvalue().to_pybytes()
    count = table.num_rows
    return content, NewFile(new_name(), len(content), count, statistics_of(count, {}))


def new_name() -> str:
    """A name that no other file has, in the form that Delta's own have."""
    return f"part-00000-{uuid.uuid4()}-c000.snappy.parquet"


class _Range:
    """The range of a column so far."""

    def __init__(self) -> None:
        self.nulls = 0
        self.least: Any = None
        self.most: Any = None

    def add(self, column: pa.ChunkedArray) -> None:
        self.nulls += column.null_count
        found = pc.min_max(column).as_py()
        if found["min"] is not None:
            self.least = found["min"] if self.least is None else min(self.least, found["min"])
            self.most = found["max"] if self.most is None else max(self.most, found["max"])


def statistics_of(rows: int, ranges: Mapping[str, _Range]) -> dict[str, Any]:
    """Delta's statistics of a file, as its protocol spells them."""
    kept = {
        name: range_
        for name, range_ in ranges.items()
        if range_.least is not None
        and not (
            isinstance(range_.most, str) and max(len(range_.least), len(range_.most)) > _LONGEST
        )
    }
    said: dict[str, Any] = {"numRecords": rows}
    if ranges:
        said["minValues"] = {name: _spelt(each.least) for name, each in kept.items()}
        said["maxValues"] = {name: _spelt(each.most, up=True) for name, each in kept.items()}
        said["nullCount"] = {name: each.nulls for name, each in ranges.items()}
    return said


def _spelt(value: Any, *, up: bool = False) -> str:
    """Texts as they are, dates and times in ISO-8601, times in the milliseconds that Delta has."""
    if isinstance(value, str):
        return value
    if not hasattr(value, "hour"):
        return str(value.isoformat())
    if up and value.microsecond % 1000:
        value += timedelta(milliseconds=1)
    return str(value.replace(tzinfo=None).isoformat(timespec="milliseconds")) + "Z"
