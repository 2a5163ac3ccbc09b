"""Rows of a table, read by workers as the Parquet files that they are in: without Spark, which
would take each row apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

_ROWS = 131_072
"""Rows that are looked at at once: they fit a processor's cache better than a whole file."""

_ALONE = 32 * 1024 * 1024
"""Bytes of files that one worker reads before another could have begun."""

TIME = pa.timestamp("us", "UTC")
Made = TypeVar("Made")


class OtherColumns(Exception):
    """A file has a column in another type than its table."""


class Part(NamedTuple):
    """A row group of a file."""

    path: str
    group: int
    size: int
    """Its bytes, unpacked."""


@dataclass(frozen=True)
class Files:
    """Rows, as the Parquet files that they are in."""

    parts: tuple[Part, ...]
    schema: pa.Schema
    """The columns as their table declares them; a file may lack some, which are null there."""
    only: tuple[str, str]
    """A column, and the value in it of the rows that are meant: files may have others, too."""

    @property
    def size(self) -> int:
        """Bytes that are read."""
        return sum(each.size for each in self.parts)


def found(paths: Iterable[str], schema: pa.Schema, only: tuple[str, str]) -> Files:
    """Files by what their footers say. Raises OtherColumns."""
    parts: list[Part] = []
    declared = {each.name: each.type for each in schema}
    for path in paths:
        footer = pq.read_metadata(path)
        leaves = [footer.schema.column(place) for place in range(footer.num_columns)]
        as_spark = {each.path for each in leaves if each.physical_type == "INT96"}
        for each in footer.schema.to_arrow_schema():
            type_ = TIME if each.name in as_spark else each.type
            if declared.get(each.name, type_) != type_:
                raise OtherColumns(f"{path} has {each.name} as {type_}")
        groups = [footer.row_group(place) for place in range(footer.num_row_groups)]
        parts += [Part(path, place, each.total_byte_size) for place, each in enumerate(groups)]
    return Files(tuple(parts), schema, only)


def over(
    spark: SparkSession, files: Files, work: Callable[[Iterable[Part]], Iterable[Made]]
) -> list[Made]:
    """What some work makes of the parts of files: of few bytes here, of more in the tasks of one
    Spark job, as many as they are worth.
    """
    tasks = min(len(files.parts), files.size // _ALONE)
    if tasks <= 1:
        return list(work(files.parts))
    return list(spark.sparkContext.parallelize(files.parts, tasks).mapPartitions(work).collect())


def read(files: Files, part: Part) -> Iterator[pa.RecordBatch]:
    """The rows of a part that are meant, in the columns of their table."""
    column, value = files.only
    with pq.ParquetFile(part.path, coerce_int96_timestamp_unit="us") as file:
        mixed = not _is_only(file.metadata.row_group(part.group), column, value)
        wanted = {*files.schema.names, *([column] if mixed else [])}
        names = [each for each in file.schema_arrow.names if each in wanted]
        for batch in file.iter_batches(_ROWS, [part.group], names, use_threads=False):
            rows = batch.filter(pc.equal(batch.column(column), value)) if mixed else batch
            yield _as_declared(rows, files.schema)


def _is_only(group: pq.RowGroupMetaData, column: str, value: str) -> bool:
    """Whether a column has nothing but one value, as far as the file's footer says."""
    for place in range(group.num_columns):
        chunk = group.column(place)
        if chunk.path_in_schema == column and chunk.is_stats_set:
            said = chunk.statistics
            ends = {said.min, said.max} if said.has_min_max else set()
            return said.null_count == 0 and ends == {value}
    return False


def _as_declared(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    there = set(batch.schema.names)
    columns = [
        # A cast is of the times that Spark writes, which do not say that they are in UTC.
        batch.column(each.name).cast(each.type)
        if each.name in there
        else pa.nulls(len(batch), each.type)
        for each in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
