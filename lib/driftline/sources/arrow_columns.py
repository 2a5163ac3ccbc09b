"""Columns that come with a type of their own → what ``cast`` takes for a field, or JSON.

A value is what its text would be (see ``cast``), so that a file may change from CSV to Parquet and
mean the same; what is plain enough to give the same without the text does without. Texts are: of
an integer its digits, of a float the shortest decimal without ``.0``, of a decimal its digits with
its scale, ``true`` and ``false``, a date ``2010-12-01``, a time ``2010-12-01 08:26:00.000000`` in
UTC (one without zone is UTC; what is finer than a microsecond is cut off), of lists, structs and
maps JSON. So NaN and infinity are no numbers here either. A time at midnight in UTC is a date; a
field's ``format`` is for numbers and texts.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kind

from driftline.sources import times
from driftline.sources.cast import EXACT
from driftline.sources.layout import ARROW_TYPES, EPOCHS, Field
from driftline.sources.records import Flags
from driftline.sources.source import quote

_MICROS = pa.timestamp("us")
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MOST_DAYS = 10**8
_BYTES = (
    *(kind.is_string, kind.is_large_string, kind.is_string_view, kind.is_fixed_size_binary),
    *(kind.is_binary, kind.is_large_binary, kind.is_binary_view),
)


def for_cast(column: pa.Array, field: Field) -> tuple[pa.Array, Flags]:
    """A column (n,) as ``cast`` takes it for a field, and which values are bad already (n,)."""
    column, bad = _simple(column, "strict")
    type_, wanted = column.type, ARROW_TYPES[field.type]
    if field.type in ("timestamp", "date"):
        if kind.is_timestamp(type_) or kind.is_date32(type_):
            return _moments(column, field.type == "date"), bad
        if kind.is_int64(type_) and field.format in EPOCHS:
            return column, bad
    elif field.type == "double" and kind.is_int64(type_):
        return column.cast(pa.float64(), safe=False), bad
    elif field.type == "double" and kind.is_float64(type_) and _all(pc.is_finite(column)):
        return pc.add(column, 0.0), bad  # -0 + 0 is 0
    elif field.type == "long" and kind.is_float64(type_) and _whole(column):
        return column.cast(pa.int64()), bad
    elif type_ == wanted and field.type != "double":
        return column, bad
    return _texts(column), bad


def as_json(column: pa.Array) -> tuple[pa.Array, bool]:
    """A column (n,) as ``source.json_objects`` takes it; whether it is JSON already.

    Bytes that are no text are said with backslashes (``\\\\xff``).
    """
    nested = kind.is_nested(column.type)
    column, _ = _simple(column, "backslashreplace")
    if kind.is_float64(column.type):
        texts = [None if value is None else _dump(value) for value in column.to_pylist()]
        return pa.array(texts, pa.string()), True
    if kind.is_int64(column.type) or kind.is_boolean(column.type):
        return column, False
    return _texts(column), nested or kind.is_decimal(column.type)


def _simple(column: pa.Array, errors: str) -> tuple[pa.Array, Flags]:
    """A column as one of few types, and which of its values could not be had.

    string, int64, float64, bool, decimal, timestamp[us], date32 or such as are but texts.
    """
    good = np.zeros(len(column), np.bool_)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if kind.is_dictionary(column.type):
        column = column.dictionary_decode()
    type_ = column.type
    if any(is_bytes(type_) for is_bytes in _BYTES):
        return _decoded(column, errors)
    if kind.is_nested(type_):
        return _nested(column)
    if kind.is_null(type_):
        column = pa.nulls(len(column), pa.string())
    elif kind.is_uint64(type_):
        column = column.cast(pa.decimal128(20))
    elif kind.is_integer(type_):
        column = column.cast(pa.int64())
    elif kind.is_floating(type_):
        column = column.cast(pa.float64())
    elif kind.is_timestamp(type_):
        column = _micros(column.cast(pa.int64()), _PER_SECOND[type_.unit])
    elif kind.is_date64(type_):
        days = pc.floor(pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), 864e5))
        column = days.cast(pa.int32()).cast(pa.date32())
    return column, good


def _decoded(column: pa.Array, errors: str) -> tuple[pa.Array, Flags]:
    """Bytes as text. Arrow's reader does not look whether what a file calls text is UTF-8."""
    bad = np.zeros(len(column), np.bool_)
    column = column.cast(pa.binary())
    try:
        return column.cast(pa.string()), bad
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for index, value in enumerate(column.to_pylist()):
            try:
                texts.append(None if value is None else value.decode(errors=errors))
            except UnicodeDecodeError:
                texts.append(None)
                bad[index] = True
        return pa.array(texts, pa.string()), bad


def _nested(column: pa.Array) -> tuple[pa.Array, Flags]:
    """Lists, structs and maps as JSON; bad is what Python has no values for."""
    bad = np.zeros(len(column), np.bool_)
    texts: list[str | None] = []
    for index, scalar in enumerate(column):
        try:
            value = scalar.as_py()
            texts.append(None if value is None else _dump(value))
        except (ValueError, OverflowError, pa.ArrowException):
            texts.append(quote("unreadable"))
            bad[index] = True
    return pa.array(texts, pa.string()), bad


def _micros(ticks: pa.Array, per_second: int) -> pa.Array:
    """Times in microseconds without a zone; those beyond int64 become the last one there is."""
    values = ticks.fill_null(0).to_numpy()
    if per_second > 1_000_000:
        values = values // (per_second // 1_000_000)
    else:
        unit = 1_000_000 // per_second
        most = (2**63 - 1) // unit
        values = np.clip(values, -most, most) * unit
    return pa.array(values, pa.int64(), mask=_null(ticks)).cast(_MICROS)


def _moments(column: pa.Array, dates: bool) -> pa.Array:
    """Times or dates as the other or the same; as texts, if one does not fit, and that as none."""
    if kind.is_date32(column.type):
        days = np.clip(column.cast(pa.int32()).fill_null(0).to_numpy(), -_MOST_DAYS, _MOST_DAYS)
        micros = days.astype(np.int64) * times.DAY
    else:
        micros = column.cast(pa.int64()).fill_null(0).to_numpy()
    fits = (micros >= times.FIRST) & (micros <= times.LAST)
    if dates:
        fits &= micros % times.DAY == 0
    null = _null(column)
    moments = pa.array(micros, pa.int64(), mask=null | ~fits).cast(ARROW_TYPES["timestamp"])
    found = moments.cast(pa.date32()) if dates else moments
    if (fits | null).all():
        return found
    plain = found if dates else found.cast(_MICROS)
    return pc.if_else(pa.array(fits | null), plain.cast(pa.string()), "out of range")


def _null(column: pa.Array) -> Flags:
    return np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_)


def _all(flags: pa.Array) -> bool:
    return pc.all(flags).as_py() is not False


def _whole(column: pa.Array) -> bool:
    return _all(pc.and_(pc.less(pc.abs(column), EXACT), pc.equal(pc.floor(column), column)))


def _texts(column: pa.Array) -> pa.Array:
    if kind.is_float64(column.type):
        kinds = column.dictionary_encode()
        texts = [_number(value) for value in kinds.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(kinds.indices)
    if kind.is_timestamp(column.type) or kind.is_date32(column.type):
        # Beyond the years that have four digits a time has no text of its own.
        moments = _moments(column, kind.is_date32(column.type))
        if kind.is_string(moments.type):
            number = pa.int64() if kind.is_timestamp(column.type) else pa.int32()
            odd = pc.equal(moments, "out of range")
            numbers = column.cast(number).cast(pa.string())
            told = pc.binary_join_element_wise("out of range", numbers, " ")
            return pc.if_else(odd, told, moments)
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < EXACT and value.is_integer() else repr(value)


def _dump(value: Any) -> str:
    if type(value) is float:
        text = _number(value)
        return text if text[-1].isdigit() else quote(text)
    try:
        return json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_other
        )
    except ValueError:  # NaN or infinity within
        return quote(str(value))


def _other(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
