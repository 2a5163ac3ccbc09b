"""Columns of text → columns of the layout's types, and which values are none.

Every type has a rule for one text (the functions ``long``, ``double``, ...). What is plain enough
to give the same by a vectorised way takes that; the rest goes through the rule, each distinct
text once.

Spaces and tabs around a value other than a string do not count. A number is decimal: digits with
an optional sign, point and exponent; no hexadecimal, no underscores, no NaN, no infinity, nothing
that overflows; zero has no sign. A long may be written with a point or exponent (``17850.0``): its
float64 must then be integral and below 2^53. A boolean is true, t, yes, y, 1 or false, f, no, n, 0
in any case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.sources import times
from driftline.sources.layout import ARROW_TYPES, EPOCHS, Field
from driftline.sources.records import Flags

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN_LONG = r"^-?[0-9]{1,18}$"
_PLAIN_DOUBLE = r"^-?[0-9]+(\.[0-9]+)?$"
_BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0"), False
)
EXACT = 2.0**53
"""Below this a float64 tells integers apart."""

_FLOOR = Context(prec=60, rounding=ROUND_FLOOR)


def long(text: str) -> int | None:
    """The int64 that a text says, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():
        digits = text.lstrip("+-").lstrip("0") or "0"
        whole = int(digits) * (-1 if text[0] == "-" else 1) if len(digits) < 20 else 2**63
        return whole if -(2**63) <= whole < 2**63 else None
    value = float(text)
    return int(value) if abs(value) < EXACT and value.is_integer() else None


def double(text: str) -> float | None:
    """The nearest finite float64 to the number that a text says, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text) + 0.0  # -0 + 0 is 0
    return value if math.isfinite(value) else None


def boolean(text: str) -> bool | None:
    """The truth value that a text says, or None."""
    return _BOOLEANS.get(text.lower()) if text.isascii() else None


def timestamp(text: str, format: str | None) -> int | None:
    """Microseconds since 1970 in UTC that a text says in a field's format, or None."""
    if format is None:
        return times.read_iso(text)
    if format not in EPOCHS:
        return times.read_pattern(text, format)
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:  # an exponent of more than eighteen digits
        return None
    if not value:  # with an exponent it may be a zero of a million digits
        return 0
    if value.adjusted() > 18:
        return None
    micros = int(_FLOOR.multiply(value, Decimal(EPOCHS[format])).to_integral_value(ROUND_FLOOR))
    return micros if times.FIRST <= micros <= times.LAST else None


def date(text: str, format: str | None) -> int | None:
    """Days since 1970 that a text says in a field's format, or None: ISO-8601 has no time part."""
    if format is None and len(text) != 10:
        return None
    micros = timestamp(text, format)
    return None if micros is None else micros // times.DAY


def cast(values: pa.Array, field: Field, *, blank_is_null: bool) -> tuple[pa.Array, Flags]:
    """A column in the type of its field (n,), and which of its values do not cast (n,).

    ``values`` holds strings, or what is of the type already, or int64 for an epoch time. A null
    stays null. A blank text is null for ``blank_is_null``, otherwise bad; a string column keeps
    it. The entries of bad values are of no meaning.
    """
    if not len(values):
        return pa.array([], ARROW_TYPES[field.type]), np.zeros(0, np.bool_)
    if field.type == "string":
        return values, np.zeros(len(values), np.bool_)
    if not pa.types.is_string(values.type):
        return _numbers(values, field)
    fast, one = _rules(field)
    plain = fast(values)
    left = np.flatnonzero(_flags(pc.and_(pc.is_valid(values), pc.is_null(plain))))
    bad = np.zeros(len(values), np.bool_)
    if not len(left):
        return plain, bad
    kinds = values.take(pa.array(left)).dictionary_encode()
    results: list[Any] = []
    wrong: list[bool] = []
    for text in kinds.dictionary.to_pylist():
        stripped = text.strip(" \t")
        results.append(one(stripped) if stripped else None)
        wrong.append(results[-1] is None and not (blank_is_null and not stripped))
    codes = kinds.indices.to_numpy()
    bad[left] = np.array(wrong, np.bool_)[codes]
    slow = pa.array(results, _storage(field)).cast(ARROW_TYPES[field.type]).take(pa.array(codes))
    spread = np.zeros(len(values), np.int64)
    spread[left] = np.arange(len(left))
    missing = np.ones(len(values), np.bool_)
    missing[left] = False
    whole = slow.take(pa.array(spread, mask=missing))
    return pc.coalesce(plain, whole), bad


def _storage(field: Field) -> pa.DataType:
    return {"timestamp": pa.int64(), "date": pa.int32()}.get(field.type, ARROW_TYPES[field.type])


Fast = Callable[[pa.StringArray], pa.Array]
One = Callable[[str], Any]


def _rules(field: Field) -> tuple[Fast, One]:
    format = field.format
    if field.type == "long":
        return _fast_long, long
    if field.type == "double":
        return _fast_double, double
    if field.type == "boolean":
        return _fast_boolean, boolean
    if field.type == "date":
        return lambda values: _fast_date(values, format), lambda text: date(text, format)
    return lambda values: _fast_timestamp(values, format), lambda text: timestamp(text, format)


def _numbers(values: pa.Array, field: Field) -> tuple[pa.Array, Flags]:
    if values.type == ARROW_TYPES[field.type]:
        return values, np.zeros(len(values), np.bool_)
    if field.type not in ("timestamp", "date") or values.type != pa.int64():
        raise TypeError(f"column {field.name!r} came as {values.type}")
    unit = EPOCHS[field.format or "epoch_us"]
    bad = _outside(values, times.FIRST, times.LAST, unit)
    kept = pc.if_else(pa.array(~bad), values, pa.scalar(None, pa.int64()))
    micros = pc.multiply(kept, unit).cast(pa.timestamp("us", tz="UTC"))
    return (micros if field.type == "timestamp" else _days(micros)), bad


def _outside(values: pa.Array, first: int, last: int, unit: int) -> Flags:
    low, high = first // unit, last // unit
    return _flags(pc.or_(pc.less(values, low), pc.greater(values, high)))


def _flags(values: pa.Array) -> Flags:
    filled = pc.fill_null(values, False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.bool_)


def _days(micros: pa.Array) -> pa.Array:
    return micros.cast(pa.date32())


def _raw(values: pa.StringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets (n + 1,) of the texts in their bytes, and the bytes."""
    _, offsets, data = values.buffers()
    at = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return at.astype(np.int64), np.frombuffer(data or b"", np.uint8)


def _keep(values: pa.StringArray, pattern: str) -> pa.StringArray:
    return pc.if_else(pc.match_substring_regex(values, pattern), values, None)


def _fast_long(values: pa.StringArray) -> pa.Array:
    at, data = _raw(values)
    used = data[at[0] : at[-1]]
    sizes = np.diff(at)
    filled = sizes > 0
    plain = bool(((used - np.uint8(48)) < 10).all()) and int(sizes.max()) <= 18
    if plain and int(filled.sum()) == len(values) - values.null_count:
        return values.cast(pa.int64())
    return _keep(values, _PLAIN_LONG).cast(pa.int64())


def _fast_double(values: pa.StringArray) -> pa.Array:
    found = _keep(values, _PLAIN_DOUBLE).cast(pa.float64())
    return pc.if_else(pc.is_finite(found), pc.add(found, 0.0), None)


def _fast_boolean(values: pa.StringArray) -> pa.Array:
    return pa.nulls(len(values), pa.bool_())


def _fast_date(values: pa.StringArray, format: str | None) -> pa.Array:
    if format is None:
        values = pc.if_else(pc.equal(pc.binary_length(values), 10), values, None)
    return _days(_fast_timestamp(values, format))


def _fast_timestamp(values: pa.StringArray, format: str | None) -> pa.Array:
    if format in EPOCHS:
        whole = _fast_long(values)
        micros, bad = _numbers(whole, Field("epoch", "timestamp", format=format))
        return pc.if_else(pa.array(~bad), micros, None)
    found = times.form(format) if format else None
    forms = times.ISO_FORMS if format is None else (found,) if found else ()
    at, data = _raw(values)
    sizes = np.diff(at)
    micros = np.zeros(len(values), np.int64)
    done = np.zeros(len(values), np.bool_)
    null = _flags(pc.is_null(values))  # there may be text behind a null
    for each in forms:
        chosen = np.flatnonzero((sizes == each.width) & ~done & ~null)
        if not len(chosen):
            continue
        if len(chosen) == len(values):
            rows = data[at[0] : at[-1]].reshape(-1, each.width)
        else:
            rows = data[at[chosen][:, None] + np.arange(each.width)]
        micros[chosen], done[chosen] = times.read_form(rows, each)
    return pa.array(micros, mask=~done).cast(pa.timestamp("us", tz="UTC"))
