"""One JSON object a line.

A missing key and a JSON null are null. In a string column, a number is its text: an integer its
digits, another the shortest decimal that reads back as the same float64, without ``.0``; true and
false are ``true`` and ``false``, an object or array is JSON without spaces. A string where
something else is expected has to be a text of that type (``"12.5"``); a blank one is none. Of a
key that stands twice the last value counts. The keys that the layout does not know are in
``_rescued`` in the order of their names, without nulls; a number beyond float64, or an integer of
more than 4,300 digits, is a string there.

Malformed: what is no object; NaN and Infinity; half a surrogate pair; nesting beyond 200 levels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from driftline.sources.cast import EXACT
from driftline.sources.layout import EPOCHS, Field, Layout
from driftline.sources.records import Flags, Positions, Records
from driftline.sources.source import Part, Read, json_objects

DEPTH = 200
"""Levels of objects and arrays in a line, its own object being the first."""

SAMPLE = 100
"""Lines of a block that are looked at to tell the kinds of its values."""

CHUNK = 1_000
"""Lines that are read at once where the whole block cannot be."""


class _TooBig(str):
    """A JSON number that Python has no number for, as it was written."""

    __slots__ = ()


def _number(text: str) -> Any:
    value = float(text)
    if abs(value) < EXACT and value.is_integer():
        return int(value)
    return value if math.isfinite(value) else _TooBig(text)


def _long_integer(text: str) -> Any:
    try:
        return int(text)
    except ValueError:  # Python refuses more than 4,300 digits
        return _TooBig(text)


def _refuse(token: str) -> Any:
    raise ValueError(token)


_DECODE = json.JSONDecoder(parse_float=_number, parse_constant=_refuse).decode
_DECODE_LONG = json.JSONDecoder(
    parse_float=_number, parse_int=_long_integer, parse_constant=_refuse
).decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def check(layout: Layout) -> None:
    """Nothing to ask of a layout beyond what it asks of itself."""


_TEXTS: dict[type, Callable[[Any], str | None]] = {
    type(None): lambda value: None,
    bool: {True: "true", False: "false"}.__getitem__,
    int: int.__repr__,
    float: float.__repr__,
    _TooBig: str,
    dict: _ENCODE,
    list: _ENCODE,
}


def line(text: str, wanted: Sequence[str]) -> tuple[list[str | None], str | None] | None:
    """The texts of one line's wanted members and a JSON object of its others; None if malformed."""
    try:
        members = _decode(text)
        if type(members) is not dict:
            return None
        found = []
        for key in wanted:
            value = members.get(key)
            found.append(value if type(value) is str else _TEXTS[type(value)](value))
        others = members.keys() - wanted
        kept = {key: members[key] for key in sorted(others) if members[key] is not None}
        rescued = _ENCODE(kept) if kept else None
        if "\\u" in text:  # the one way to write half a surrogate pair, which is no text
            "".join(filter(None, (rescued, *found))).encode()
    except (ValueError, RecursionError):
        return None
    return found, rescued


def _decode(text: str) -> Any:
    try:
        value = _DECODE(text)
    except ValueError:
        value = _DECODE_LONG(text)
    if text.count("{") + text.count("[") > DEPTH and _depth(value) > DEPTH:
        raise ValueError("nested too deeply")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        inner: list[Any] = []
        for each in level:
            inner.extend(each.values() if isinstance(each, dict) else each)
        level = inner
    return depth


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
            members = json.loads(records.text(index))
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
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and types != {"double"}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else None


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
        texts = [_ENCODE(_whole_number(value)) for value in kinds.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(kinds.indices)
    if pa.types.is_integer(column.type):
        if type_ == "double":
            return column.cast(pa.float64(), safe=False)
        return column if type_ in (None, "long") or epoch else column.cast(pa.string())
    if pa.types.is_boolean(column.type) and type_ not in (None, "boolean"):
        return column.cast(pa.string())
    return column


def _whole_number(value: float) -> float | int:
    return int(value) if value.is_integer() else value
