"""Parts → typed rows and rejects, for every kind of input alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.sources.cast import cast
from driftline.sources.layout import ARROW_TYPES, REJECTS, Layout
from driftline.sources.records import Positions
from driftline.sources.source import Part

Objects = npt.NDArray[Any]


def typed(
    part: Part, layout: Layout, *, blank_is_null: bool, time_format: str | None = None
) -> tuple[Part, dict[str, Positions]]:
    """The rows of a part whose values all cast, typed; the others by the first column that does
    not. ``time_format`` is that of times whose field has none.
    """
    good = np.ones(len(part.rows), np.bool_)
    wrong: dict[str, Positions] = {}
    columns = []
    for field, column in zip(layout.fields, part.columns, strict=True):
        if field.type in ("timestamp", "date") and field.format is None:
            field = replace(field, format=time_format)
        values, bad = cast(column, field, blank_is_null=blank_is_null)
        columns.append(values)
        bad &= good
        if bad.any():
            wrong[field.name] = part.rows[bad]
            good &= ~bad
    columns.append(pa.nulls(len(good), pa.string()) if part.rescued is None else part.rescued)
    if wrong:
        mask = pa.array(good)
        columns = [column.filter(mask) for column in columns]
    return Part(part.rows[good], columns), wrong


def rows(parts: Sequence[Part], layout: Layout, offsets: Positions) -> pa.RecordBatch:
    """Typed parts as one batch in the order of the file; ``offsets`` by row."""
    parts = [part for part in parts if len(part.rows)]
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=layout.schema)
    index = np.concatenate([part.rows for part in parts])
    columns = parts[0].columns
    if len(parts) > 1:
        order = np.argsort(index, kind="stable")
        index, taken = index[order], pa.array(order)
        together = zip(*(part.columns for part in parts), strict=True)
        columns = [pa.concat_arrays(column).take(taken) for column in together]
    *columns, rescued = columns
    for field, value in layout.constants:
        kind = ARROW_TYPES[field.type]
        columns.append(pa.repeat(pa.scalar(value, ARROW_TYPES["timestamp"]).cast(kind), len(index)))
    every = [*columns, rescued, pa.array(offsets[index])]
    return pa.RecordBatch.from_arrays(every, schema=layout.schema)


def rejects(
    offsets: Positions, lengths: Positions, reasons: Objects, columns: Objects, raw: list[bytes]
) -> pa.RecordBatch:
    """Rejects of REJECTS' schema."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array(offsets, pa.int64()),
            pa.array(lengths, pa.int64()),
            pa.array(reasons.tolist(), pa.string()),
            pa.array(columns.tolist(), pa.string()),
            pa.array(raw, pa.binary()),
        ],
        schema=REJECTS,
    )


def together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of some of the same schema, at least one."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batches[0]
