"""One JSON object a line.

A missing key and a JSON null are null. A number in a string column is its text as it was written
(but -0 is 0); true and false are ``true`` and ``false`` there, an object or array is its JSON text
without spaces. A string where something else is expected has to be a text of that type
(``"12.5"``); a blank one is none. Of a key that stands twice the last value counts. The keys that
the layout does not know are in ``_rescued`` in the order of their names, without nulls.

Malformed: what is no object; NaN and Infinity; half a surrogate pair; nesting beyond 200 levels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from driftline.sources.cast import EXACT
from driftline.sources.layout import EPOCHS, Field, Layout
from driftline.sources.records import Flags, Positions, Records
from driftline.sources.source import Part, Read, json_objects, quote

DEPTH = 200
"""Levels of objects and arrays in a value that is kept as text."""

SAMPLE = 100
"""Lines of a block that are looked at to tell the kinds of its values."""

CHUNK = 1_000
"""Lines that are read at once where the whole block cannot be."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _refuse(token: str) -> Any:
    raise ValueError(token)


_DECODE = json.JSONDecoder(parse_float=_Number, parse_constant=_refuse).decode
# Integers of more than 4,300 digits are refused by int, and so by the decoder above.
_DECODE_LONG = json.JSONDecoder(
    parse_float=_Number, parse_int=_Number, parse_constant=_refuse
).decode


def check(layout: Layout) -> None:
    """Nothing to ask of a layout beyond what it asks of itself."""


def json_text(value: Any, depth: int = 0) -> str:
    """A decoded value as JSON. Raises ValueError for one nested too deeply."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if depth >= DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return "[" + ",".join([json_text(each, depth + 1) for each in value]) + "]"
    members = [f"{quote(key)}:{json_text(each, depth + 1)}" for key, each in value.items()]
    return "{" + ",".join(members) + "}"


def line(text: str, wanted: Sequence[str]) -> tuple[list[str | None], str | None] | None:
    """The texts of one line's wanted members and a JSON object of its others; None if malformed."""
    try:
        members = _decode(text)
        if type(members) is not dict:
            return None
        found = []
        for key in wanted:
            value = members.get(key)
            found.append(value if value is None or type(value) is str else json_text(value))
        rescued = None
        if members.keys() - wanted:
            others = sorted(members.keys() - wanted)
            kept = {key: members[key] for key in others if members[key] is not None}
            rescued = json_text(kept, -1) if kept else None
        if "\\u" in text:  # the one way to write half a surrogate pair, which is no text
            "".join(filter(None, (rescued, *found))).encode()
    except (ValueError, RecursionError):
        return None
    return found, rescued


def _decode(text: str) -> Any:
    try:
        return _DECODE(text)
    except ValueError:
        return _DECODE_LONG(text)


def read(records: Records, layout: Layout, header: bytes | None = None) -> Read:
    """Tell the members of lines' objects apart: by Arrow's reader where it gives the same."""
    left = np.ones(len(records), np.bool_)
    parts = []
    data, last = records.bytes, len(records.data) - 1
    # Two lines of this form never make one object together, and each has at least one: as many
    # objects as lines are one in each.
    framed = data[np.minimum(records.start, last)] == ord("{")
    framed &= data[records.end - 1] == ord("}")
    rows = np.flatnonzero(framed)
    schema = _schema(records.take(rows), layout) if len(rows) else None
    if schema is not None:
        whole = _by_arrow(records, rows, schema, layout)
        parts = [whole] if whole else _in_chunks(records, rows, schema, layout)
        for part in parts:
            left[part.rows] = False
    refused: dict[int, str] = {}
    slow = _line_by_line(records, np.flatnonzero(left), layout, refused)
    return Read([*parts, slow], refused)


def _line_by_line(
    records: Records, rows: Positions, layout: Layout, refused: dict[int, str]
) -> Part:
    wanted = [field.source for field in layout.fields]
    kept: list[int] = []
    values: list[list[str | None]] = []
    rescued: list[str | None] = []
    for index in rows.tolist():
        found = line(records.text(index), wanted)
        if found is None:
            refused[index] = "malformed"
        else:
            kept.append(index)
            values.append(found[0])
            rescued.append(found[1])
    turned = zip(*values, strict=True) if values else [[] for _ in wanted]
    columns = [pa.array(column, pa.string()) for column in turned]
    return Part(np.array(kept, np.int64), columns, pa.array(rescued, pa.string()))


def _schema(records: Records, layout: Layout) -> pa.Schema | None:
    """Types under which Arrow reads a block's values to the same effect as line by line.

    None if there are none: a value is an object or array, or its text would be lost. What differs
    from the sample makes the reader fail, never give something else.
    """
    kinds: dict[str, set[type]] = {field.source: set() for field in layout.fields}
    step = max(1, len(records) // SAMPLE)
    for index in range(0, len(records), step):
        try:
            members = _decode(records.text(index))
        except (ValueError, RecursionError):
            continue
        if type(members) is dict:
            for key, value in members.items():
                if value is not None:
                    kinds.setdefault(key, set()).add(type(value))
                else:
                    kinds.setdefault(key, set())
    columns = []
    for key, found in kinds.items():
        fields = [field for field in layout.fields if field.source == key]
        type_ = _arrow_type(found, fields)
        try:
            key.encode()
        except UnicodeError:
            type_ = None
        if type_ is None:
            return None
        columns.append(pa.field(key, type_))
    return pa.schema(columns)


def _arrow_type(kinds: set[type], fields: Sequence[Field]) -> pa.DataType | None:
    types = {field.type for field in fields}
    if not kinds:
        return pa.string() if types else pa.null()
    if kinds == {str}:
        return pa.string()
    if kinds == {bool} and types <= {"string", "boolean"}:
        return pa.bool_()
    if kinds <= {int, _Number} and types and types <= {"double", "long"}:
        return pa.int64() if kinds == {int} and "long" in types else pa.float64()
    return pa.int64() if kinds == {int} else None


def _in_chunks(records: Records, rows: Positions, schema: pa.Schema, layout: Layout) -> list[Part]:
    parts = []
    failed = 0
    for at in range(0, len(rows), CHUNK):
        part = _by_arrow(records, rows[at : at + CHUNK], schema, layout)
        if part:
            parts.append(part)
        else:
            failed += 1
        if failed > 4 and failed > len(parts):
            break  # trying costs more than it saves
    return parts


def _by_arrow(records: Records, rows: Positions, schema: pa.Schema, layout: Layout) -> Part | None:
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
        column, same = _fitted(found[field.source], field)
        columns.append(column)
        if same is not None:
            good &= same
    known = {field.source for field in layout.fields}
    others = sorted(name for name in found if name not in known)
    others = [name for name in others if found[name].type != pa.null()]
    rescued = json_objects(others, [found[name] for name in others]) if others else None
    if good.all():
        return Part(rows, columns, rescued)
    mask = pa.array(good)
    columns = [column.filter(mask) for column in columns]
    return Part(rows[good], columns, None if rescued is None else rescued.filter(mask))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _fitted(column: pa.Array, field: Field) -> tuple[pa.Array, Flags | None]:
    """A column as ``cast`` takes it for a field, and, if not all are, which values are as they
    would be line by line."""
    if pa.types.is_floating(column.type):
        finite = pc.is_finite(column)
        if field.type == "double":
            return pc.add(column, 0.0), _flags(finite)
        whole = pc.and_(finite, pc.less(pc.abs(column), EXACT))
        whole = pc.and_(whole, pc.equal(pc.floor(column), column))
        kept = pc.if_else(whole, column, None)
        return kept.cast(pa.int64()), _flags(whole)
    if pa.types.is_integer(column.type):
        if field.type == "double":
            return column.cast(pa.float64(), safe=False), None
        if field.type == "long" or field.format in EPOCHS:
            return column, None
        return column.cast(pa.string()), None
    if pa.types.is_boolean(column.type) and field.type != "boolean":
        return column.cast(pa.string()), None
    return column, None


def _flags(values: pa.Array) -> Flags:
    """Flags (n,), true for null."""
    return np.asarray(pc.fill_null(values, True).to_numpy(zero_copy_only=False), np.bool_)
