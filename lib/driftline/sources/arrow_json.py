"""Lines of JSON objects, many at once by Arrow's reader, where that gives what one by one would.

Arrow's reader knows neither lines nor mixed kinds of values, takes NaN, and rounds. So it is given
the kinds to expect from a sample, none of them nested, and refuses everything else: it never goes
deeper than one level. What it may have rounded is left out: callers read the lines that are not in
a part one by one (see ``ndjson``).
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from driftline.sources.cast import EXACT
from driftline.sources.layout import EPOCHS, FieldType, Layout
from driftline.sources.records import Flags, Positions, Records
from driftline.sources.source import Part, json_objects

SAMPLE = 100
"""Lines of a block that are looked at to tell the kinds of its values."""

WIDEST = 500
"""Keys of a block up to which a column for each is cheaper than its lines one by one."""

CHUNK = 1_000
"""Lines that are read at once where the whole block cannot be."""


def read_at_once(records: Records, rows: Positions, layout: Layout) -> list[Part]:
    """Parts with as many as possible of some records, each of which begins with { and ends with }.

    Two lines of that form never make one object together, and each has at least one: as many
    objects as lines are one in each.
    """
    schema = _schema(records.take(rows), layout)
    if schema is None:
        return []
    whole = _read(records, rows, schema, layout)
    return [whole] if whole else _in_chunks(records, rows, schema, layout)


def _schema(records: Records, layout: Layout) -> pa.Schema | None:
    """Types under which Arrow reads most lines to the same effect as line by line; None if there
    are none. What differs from the sample makes the reader fail, never give something else.
    """
    kinds: dict[str, Counter[type]] = {field.source: Counter() for field in layout.fields}
    for index in range(0, len(records), max(1, len(records) // SAMPLE)):
        try:
            members = json.loads(records.text(index))
        except (ValueError, RecursionError):
            continue
        if type(members) is dict:
            for key, value in members.items():
                kinds.setdefault(key, Counter())[type(value)] += value is not None
        if len(kinds) > WIDEST:
            return None
    columns = []
    for key, counts in kinds.items():
        # A few values of another kind shall not send the whole block down the slow way.
        usual = {kind for kind, count in counts.items() if count * 20 > counts.total()}
        type_ = _arrow_type(usual, {f.type for f in layout.fields if f.source == key})
        if type_ is None or not _is_text(key):
            return None
        columns.append(pa.field(key, type_))
    return pa.schema(columns)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _arrow_type(kinds: set[type], types: set[FieldType]) -> pa.DataType | None:
    if not kinds:
        return pa.string() if types else pa.null()
    if kinds == {str}:
        return pa.string()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and types != {"double"}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else None


def _in_chunks(records: Records, rows: Positions, schema: pa.Schema, layout: Layout) -> list[Part]:
    parts = []
    failed = 0
    for at in range(0, len(rows), CHUNK):
        part = _read(records, rows[at : at + CHUNK], schema, layout)
        if part:
            parts.append(part)
        else:
            failed += 1
        if failed > 4 and failed > len(parts):
            break  # trying costs more than it saves
    return parts


def _read(records: Records, rows: Positions, schema: pa.Schema, layout: Layout) -> Part | None:
    """The rows read at once, without those that only look right; None if Arrow refuses them."""
    start, end = records.start[rows], records.end[rows]
    if (start[1:] - end[:-1] <= 2).all():
        text = memoryview(records.data)[start[0] : end[-1]]
    else:
        text = memoryview(
            b"\n".join(records.data[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True))
        )
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(pa.py_buffer(text)),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="error"
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(rows):
        return None
    found = {name: _whole(table[name]) for name in schema.names}
    good = np.ones(len(rows), np.bool_)
    columns = []
    for field in layout.fields:
        columns.append(_fitted(found[field.source], field.type, field.format in EPOCHS, good))
    known = {field.source for field in layout.fields}
    others = sorted(name for name in found.keys() - known if found[name].type != pa.null())
    rescued = None
    if others:
        values = [_fitted(found[name], None, False, good) for name in others]
        numbers = [pa.types.is_floating(found[name].type) for name in others]
        rescued = json_objects(others, values, numbers)
    if good.all():
        return Part(rows, columns, rescued)
    mask = pa.array(good)
    columns = [column.filter(mask) for column in columns]
    return Part(rows[good], columns, None if rescued is None else rescued.filter(mask))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _fitted(column: pa.Array, type_: str | None, epoch: bool, good: Flags) -> pa.Array:
    """A column of Arrow's as ``cast`` takes it for a field, or as JSON for none.

    Unsets ``good`` where the value might be another one read line by line.
    """
    if pa.types.is_floating(column.type):
        # Beyond 2^53 an integer was perhaps rounded; NaN and infinity are not JSON.
        finite = pc.is_finite(column)
        small = finite if type_ == "double" else pc.less(pc.abs(column), EXACT)
        good &= pc.fill_null(small, True).to_numpy(zero_copy_only=False)
        if type_ == "double":
            return pc.add(column, 0.0)
        column = pc.if_else(small, column, None)
        if type_ == "long" and pc.all(pc.equal(pc.floor(column), column)).as_py() is not False:
            return column.cast(pa.int64())
        kinds = column.dictionary_encode()
        texts = [_text(value) for value in kinds.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(kinds.indices)
    if pa.types.is_integer(column.type):
        if type_ == "double":
            return column.cast(pa.float64(), safe=False)
        return column if type_ in (None, "long") or epoch else column.cast(pa.string())
    if pa.types.is_boolean(column.type) and type_ not in (None, "boolean"):
        return column.cast(pa.string())
    return column


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
