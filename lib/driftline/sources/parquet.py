"""Parquet: rows with types of their own, read a few at a time.

Fields are found by the names of the columns of the file (those of the fields within a struct are
out of reach); a column that the file does not have is null, one that the layout does not know is
in ``_rescued``. How a value of another type than its field's is taken says ``arrow_columns``. The
``_offset`` of a row is its number in the file, from 0.

Row groups are taken to be of one size: a split reads those that would then begin within its bytes.
Where they really begin Arrow does not say without the risk of aborting over a damaged footer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.sources import results
from driftline.sources.arrow_columns import as_json, for_cast
from driftline.sources.columns import unique
from driftline.sources.compression import FREE, MIB
from driftline.sources.faults import Fault
from driftline.sources.files import Split, ranges
from driftline.sources.layout import Layout, Parsed
from driftline.sources.records import Positions
from driftline.sources.source import Part, json_objects

_MOST = 100_000
"""Rows read at a time, however small they are."""


class Parquet:
    """Files of Parquet, a ``source.Source``."""

    def check(self, layout: Layout) -> None:
        """Nothing to ask of a layout beyond what it asks of itself."""

    def splits(self, path: str, size: int, target: int) -> list[Split]:
        """Byte ranges; an empty file, which is no Parquet, has one to be at fault in."""
        return ranges(path, size, target) or [Split(path, 0, 0)]

    def read(self, split: Split, layout: Layout, block_size: int) -> Iterator[Parsed]:
        """See ``source.Source``."""
        with _faults(split.path), pa.OSFile(split.path) as opened:
            # Small reads on demand: a row group may be as large as the file.
            file = pq.ParquetFile(
                opened,
                buffer_size=MIB,
                pre_buffer=False,
                coerce_int96_timestamp_unit="us",
                page_checksum_verification=True,
            )
            names = unique(file.schema_arrow.names)
            _judge(file, names, layout, split.path, opened.size())
            row, groups = 0, file.num_row_groups
            for group in range(groups):
                place = group * opened.size() // groups
                if split.start <= place < split.start + split.length:
                    yield from _group(file, group, names, layout, row, block_size)
                row += file.metadata.row_group(group).num_rows


@contextmanager
def _faults(path: str) -> Iterator[None]:
    """Whatever Arrow says about a file's content is a Fault; what the disk says is not."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        told = "it is no Parquet file, or damaged or cut off"
        raise Fault(path, "corrupt", told) from None


def _judge(file: pq.ParquetFile, names: list[str], layout: Layout, path: str, size: int) -> None:
    if not any(field.source in names for field in layout.fields):
        raise Fault(path, "header", "the file has none of the layout's fields")
    groups = range(file.num_row_groups)
    content = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    most = max(FREE, layout.max_expansion * size)
    if content > most:
        raise Fault(path, "expansion", f"decompresses to more than {most:.0f} bytes")


def _group(
    file: pq.ParquetFile, group: int, names: list[str], layout: Layout, row: int, block_size: int
) -> Iterator[Parsed]:
    found = file.metadata.row_group(group)
    width = max(1, found.total_byte_size // max(1, found.num_rows))
    size = max(1, min(_MOST, block_size // width))
    left = found.num_rows
    for batch in file.iter_batches(size, row_groups=[group], use_threads=False):
        yield _parse(batch, names, layout, row + found.num_rows - left)
        left -= batch.num_rows
    if left:
        raise pa.ArrowInvalid("a row group has not the rows it says")


def _parse(batch: pa.RecordBatch, names: list[str], layout: Layout, row: int) -> Parsed:
    """Rows and rejects of some rows, of which the first is number ``row`` of the file."""
    count = batch.num_rows
    at = {name: place for place, name in enumerate(names)}
    columns = []
    # The first column of each row that has no value of its type.
    first = np.full(count, len(layout.fields))
    for number, field in enumerate(layout.fields):
        if field.source not in at:
            columns.append(pa.nulls(count, pa.string()))
            continue
        column, bad = for_cast(batch.column(at[field.source]), field)
        first[bad] = np.minimum(first[bad], number)
        columns.append(column)
    known = {field.source for field in layout.fields}
    rescued = _objects(batch, {name: at[name] for name in names if name not in known})
    part, wrong = results.typed(
        Part(np.arange(count), columns, rescued), layout, blank_is_null=False
    )
    for number, field in enumerate(layout.fields):
        if field.name in wrong:
            rows = wrong[field.name]
            first[rows] = np.minimum(first[rows], number)
    good = first[part.rows] == len(layout.fields)
    if not good.all():
        part = Part(part.rows[good], [column.filter(pa.array(good)) for column in part.columns])
    offsets = np.arange(row, row + count)
    return Parsed(
        results.rows([part], layout, offsets), _rejects(batch, at, layout, first, offsets), count
    )


def _rejects(
    batch: pa.RecordBatch,
    at: dict[str, int],
    layout: Layout,
    first: Positions,
    offsets: Positions,
) -> pa.RecordBatch:
    refused = np.flatnonzero(first < len(layout.fields))
    objects = _objects(batch.take(pa.array(refused)), at)
    raw = [text.encode() for text in objects.to_pylist()] if objects else []
    columns = np.array([layout.fields[number].name for number in first[refused]], object)
    reasons = np.full(len(refused), "bad_value", object)
    lengths = np.array([len(each) for each in raw], np.int64)
    return results.rejects(offsets[refused], lengths, reasons, columns, raw)


def _objects(batch: pa.RecordBatch, at: dict[str, int]) -> pa.Array | None:
    """A JSON object a row of the columns at some places, nulls left out; None for no columns."""
    if not at:
        return None
    columns, ready = zip(*(as_json(batch.column(place)) for place in at.values()), strict=True)
    return json_objects(list(at), columns, ready)
