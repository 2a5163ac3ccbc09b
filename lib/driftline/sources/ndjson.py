r"""One JSON object a line.

A missing key and a JSON null are null. In a string column, a number is its text: an integer its
digits, another the shortest decimal that reads back as the same float64, without ``.0``; true and
false are ``true`` and ``false``, an object or array is JSON without spaces. A string where
something else is expected has to be a text of that type (``"12.5"``); a blank one is none. Of a
key that stands twice the last value counts. The keys that the layout does not know are in
``_rescued`` in the order of their names, without nulls; a number beyond float64, or an integer of
more than 4,300 digits, is a string there.

Malformed: what is no object; NaN and Infinity; half a surrogate pair; nesting beyond the layout's
``max_depth``. nginx writes such lines with ``log_format … escape=json``; its ``escape=default``
writes ``\xHH``, which JSON does not have: those lines are malformed, too, as nothing says in which
encoding the byte is meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.sources.arrow_json import read_at_once
from driftline.sources.cast import EXACT
from driftline.sources.layout import Layout
from driftline.sources.records import Positions, Records
from driftline.sources.source import Part, Read


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


def line(
    text: str, wanted: Sequence[str], max_depth: int
) -> tuple[list[str | None], str | None] | None:
    """The texts of one line's wanted members and a JSON object of its others; None if malformed."""
    try:
        members = _decode(text, max_depth)
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


def _decode(text: str, max_depth: int) -> Any:
    try:
        value = _DECODE(text)
    except ValueError:
        value = _DECODE_LONG(text)
    if text.count("{") + text.count("[") > max_depth and _depth(value) > max_depth:
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
    data, last = records.bytes, len(records.data) - 1
    framed = data[np.minimum(records.start, last)] == ord("{")
    framed &= data[records.end - 1] == ord("}")
    rows = np.flatnonzero(framed)
    parts = read_at_once(records, rows, layout) if len(rows) else []
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
        found = line(records.text(index), wanted, layout.max_depth)
        if found is None:
            refused[index] = "malformed"
        else:
            kept.append(index)
            values.append(found[0])
            rescued.append(found[1])
    turned = zip(*values, strict=True) if values else [[] for _ in wanted]
    columns = [pa.array(column, pa.string()) for column in turned]
    return Part(np.array(kept, np.int64), columns, pa.array(rescued, pa.string()))
