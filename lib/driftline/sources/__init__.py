"""Kinds of input: bytes → Arrow rows, and rejects with a reason.

``files`` cuts a file into splits and a split into blocks of whole records; ``parse`` turns one
block into typed rows and rejects. Every record of a block ends in exactly one of them. A further
kind of input is one module with a ``read`` and a ``check`` (see ``source.Source``), and one line
in FORMATS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.sources import access_log, csv, ndjson, times, whitespace
from driftline.sources.cast import cast
from driftline.sources.files import CorruptFile, Split, blocks, digest, header, splits
from driftline.sources.layout import (
    REASONS,
    REJECTS,
    BadHeader,
    Field,
    Layout,
    Parsed,
    newline,
)
from driftline.sources.records import Positions, after_break, bounds, decode
from driftline.sources.source import Part, Read, Source

Objects = npt.NDArray[Any]

__all__ = [
    "FORMATS",
    "REASONS",
    "REJECTS",
    "BadHeader",
    "CorruptFile",
    "Field",
    "Layout",
    "Parsed",
    "Source",
    "Split",
    "blocks",
    "check",
    "digest",
    "header",
    "parse",
    "splits",
]

FORMATS: dict[str, Source] = {
    "access_log": Source(
        access_log.read,
        access_log.check,
        has_header=False,
        blank_is_null=True,
        time_format=times.LOG,
    ),
    "csv": Source(csv.read, csv.check, has_header=True, blank_is_null=True),
    "ndjson": Source(ndjson.read, ndjson.check, has_header=False, blank_is_null=False),
    "whitespace": Source(whitespace.read, whitespace.check, has_header=True, blank_is_null=True),
}

KEPT = 4_096
"""Bytes kept of a record that is too long, or as many as it may have if that is less."""

BATCH = 100_000
"""Records parsed at a time: a block of millions of tiny ones must not become as many objects."""


def check(layout: Layout) -> Source:
    """The kind of input of a layout. Raises ValueError if there is none or it cannot serve it."""
    if layout.format not in FORMATS:
        raise ValueError(f"format {layout.format!r} is not one of {', '.join(sorted(FORMATS))}")
    source = FORMATS[layout.format]
    source.check(layout)
    return source


def parse(block: bytes, layout: Layout, *, offset: int, header: bytes | None = None) -> Parsed:
    """Rows and rejects of a block of whole records.

    ``offset`` is where the block begins in the decompressed file, in bytes. At 0, a byte order
    mark is passed over, and so is the first line of a file with a header. ``header`` is that line
    (see ``files.header``), needed for every block of such a file; others do without.

    Raises ValueError for a block of 2 GiB or more and for a layout that its format cannot serve,
    and BadHeader for a header line that is none. No record raises anything.
    """
    source = check(layout)
    if len(block) >= 2**31:
        raise ValueError("a block must have less than 2 GiB")
    with_header = source.has_header and layout.header
    if offset == 0:
        skipped, first = _preamble(block, layout, with_header)
        block, offset = block[skipped:], skipped
        header = first if header is None else header

    start, end = bounds(block, layout.encoding)
    pieces = []
    for at in range(0, len(start), BATCH) or [0]:
        some = slice(at, at + BATCH)
        left, right = (start[at], end[some][-1]) if len(start) > BATCH else (0, len(block))
        piece = block[left:right]
        pieces.append(
            _parse(piece, start[some] - left, end[some] - left, offset + left, layout, header)
        )
    rows = _together([piece[0] for piece in pieces])
    rejects = _together([piece[1] for piece in pieces])
    if rows.num_rows + rejects.num_rows != len(start):  # a bug of the format's module
        raise RuntimeError(f"{layout.format}: {len(start)} records, but not as many results")
    return Parsed(rows, rejects, len(start))


def _parse(
    block: bytes,
    start: Positions,
    end: Positions,
    offset: int,
    layout: Layout,
    header: bytes | None,
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    source = FORMATS[layout.format]
    reasons = np.full(len(start), "", object)
    columns = np.full(len(start), None, object)
    long = end - start > layout.max_line
    reasons[long] = "too_long"
    index = np.flatnonzero(~long)
    records, valid = decode(block, start[index], end[index], layout.encoding)
    reasons[index[~valid]] = "encoding"
    index = index[valid]

    read = source.read(records, layout, header) if len(index) else Read()
    for row, reason in read.refused.items():
        reasons[index[row]] = reason
    kept = []
    for part in read.parts:
        good, wrong = _cast(part, layout, source)
        for name, bad in wrong.items():
            reasons[index[bad]], columns[index[bad]] = "bad_value", name
        kept.append(replace(good, rows=index[good.rows]))

    end = np.where(long, start + min(layout.max_line, KEPT), end)
    rejects = _rejects(block, start, end, offset, reasons, columns)
    return _rows(kept, layout, start + offset), rejects


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batches[0]


def _preamble(block: bytes, layout: Layout, with_header: bool) -> tuple[int, bytes | None]:
    """Bytes at the beginning of a file that are no records, and its header line."""
    try:
        mark = "\ufeff".encode(layout.encoding)
    except UnicodeError:
        mark = b""
    at = len(mark) if mark and block.startswith(mark) else 0
    if not with_header:
        return at, None
    end = after_break(block, newline(layout.encoding), at) or len(block)
    return end, block[at:end]


def _cast(part: Part, layout: Layout, source: Source) -> tuple[Part, dict[str, Positions]]:
    """The rows of a part whose values all cast, typed; the others by the first column that does
    not.
    """
    good = np.ones(len(part.rows), np.bool_)
    wrong: dict[str, Positions] = {}
    typed = []
    for field, column in zip(layout.fields, part.columns, strict=True):
        if field.type in ("timestamp", "date") and field.format is None:
            field = replace(field, format=source.time_format)
        values, bad = cast(column, field, blank_is_null=source.blank_is_null)
        typed.append(values)
        bad &= good
        if bad.any():
            wrong[field.name] = part.rows[bad]
            good &= ~bad
    typed.append(pa.nulls(len(good), pa.string()) if part.rescued is None else part.rescued)
    if wrong:
        mask = pa.array(good)
        typed = [column.filter(mask) for column in typed]
    return Part(part.rows[good], typed), wrong


def _rows(parts: list[Part], layout: Layout, offsets: Positions) -> pa.RecordBatch:
    parts = [part for part in parts if len(part.rows)]
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=layout.schema)
    rows = np.concatenate([part.rows for part in parts])
    columns = parts[0].columns
    if len(parts) > 1:
        order = np.argsort(rows, kind="stable")
        rows, taken = rows[order], pa.array(order)
        together = zip(*(part.columns for part in parts), strict=True)
        columns = [pa.concat_arrays(column).take(taken) for column in together]
    return pa.RecordBatch.from_arrays([*columns, pa.array(offsets[rows])], schema=layout.schema)


def _rejects(
    block: bytes,
    start: Positions,
    end: Positions,
    offset: int,
    reasons: Objects,
    columns: Objects,
) -> pa.RecordBatch:
    chosen = np.flatnonzero(reasons != "")
    raw = [block[start[row] : end[row]] for row in chosen.tolist()]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(start[chosen] + offset, pa.int64()),
            pa.array(reasons[chosen].tolist(), pa.string()),
            pa.array(columns[chosen].tolist(), pa.string()),
            pa.array(raw, pa.binary()),
        ],
        schema=REJECTS,
    )
