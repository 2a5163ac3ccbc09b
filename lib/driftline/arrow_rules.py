"""What each expectation asks of the rows, told by Arrow: as ``quality.py`` has it for Spark.

Arrow judges a column at once, and needs no plan compiled for it: fifty rules cost it less than
reading the rows does. A rule, or an argument, of which it is not certain that both say the same of
every value is not told here (:class:`Untold`); Spark is asked then.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from driftline import quality, re2
from driftline.suite_files import ABOUT_NULLS, Arguments, Rule

Rows = Callable[[pa.RecordBatch, Arguments], pa.Array]

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{3}|\.\d{6})?)?")


class Untold(Exception):
    """Arrow may have another idea of this rule than Spark."""


def tells(rule: Rule, schema: pa.Schema) -> bool:
    """Whether all that a compiled rule needs of one pass over rows like these is told here."""
    if rule.arguments.get("row_condition") is not None:
        return False
    none = pa.RecordBatch.from_pylist([], schema=schema)
    try:
        looked_at(rule, none)
        if rule.type in quality.AGGREGATES:
            return rule.column is None or _is_summed(rule, schema.field(rule.column).type)
        if rule.type in quality.ROWS:
            breaks(rule, none)
    except (Untold, pa.ArrowException, KeyError):
        return False
    return True


def breaks(rule: Rule, rows: pa.RecordBatch) -> pa.Array:
    """True where a row breaks a rule; false or null where it does not.

    Raises Untold.
    """
    if rule.type not in _ROWS:
        raise Untold(rule.type)
    broken = pc.invert(_ROWS[rule.type](rows, rule.arguments))
    looked = looked_at(rule, rows)
    return broken if looked is None else pc.and_kleene(looked, broken)


def looked_at(rule: Rule, rows: pa.RecordBatch) -> pa.Array | None:
    """Where a rule looks; None: everywhere."""
    arguments = rule.arguments
    if "column" in arguments:
        return None if rule.type in ABOUT_NULLS else pc.is_valid(rows.column(arguments["column"]))
    for argument, allowed in quality.IGNORING.items():
        if argument in arguments:
            joined = _JOINED[arguments.get("ignore_row_if", next(iter(allowed)))]
            nulls = (pc.is_null(rows.column(name)) for name in rule.columns)
            return None if joined is None else pc.invert(functools.reduce(joined, nulls))
    return None


_JOINED: Mapping[str, Callable[..., pa.Array] | None] = {
    "both_values_are_missing": pc.and_,
    "either_value_is_missing": pc.or_,
    "neither": None,
    "all_values_are_missing": pc.and_,
    "any_value_is_missing": pc.or_,
    "never": None,
}


def _is_summed(rule: Rule, type_: pa.DataType) -> bool:
    counts = rule.type == "expect_column_proportion_of_non_null_values_to_be_between"
    return counts or type_ in NUMBERS


# ---- single rows ---------------------------------------------------------------------------------


def _value(rows: pa.RecordBatch, arguments: Arguments, *types: pa.DataType) -> pa.Array:
    """The column a rule speaks of, of one of some types."""
    value = rows.column(arguments["column"])
    if value.type not in types:
        raise Untold(str(value.type))
    return value


def _is_nan(value: pa.Array) -> pa.Array:
    return pc.is_nan(value) if pa.types.is_floating(value.type) else pa.scalar(False)


def _exceeds(value: pa.Array, other: Any, *, or_is: bool) -> pa.Array:
    """Whether values are greater; Spark's NaN is greater than all else and equal to itself."""
    greater = (pc.greater_equal if or_is else pc.greater)(value, other)
    if not pa.types.is_floating(value.type):
        return greater
    nan = _is_nan(value)
    return pc.or_(greater, nan if or_is else pc.and_not(nan, _is_nan(other)))


def _bound(value: pa.Array, bound: Any) -> tuple[pa.Array, pa.Scalar]:
    """A column and a bound of its values, of one type."""
    if pa.types.is_timestamp(value.type):
        if not isinstance(bound, str) or not _TIME.fullmatch(bound):
            raise Untold("a bound that is no plain time")
        try:
            moment = datetime.fromisoformat(bound).replace(tzinfo=timezone.utc)
        except ValueError:
            raise Untold("no time") from None
        return value, pa.scalar(moment, value.type)
    if type(bound) not in (int, float) or not math.isfinite(bound):
        raise Untold("a bound that is no number")
    if value.type == pa.int64() and type(bound) is int and quality.is_64_bits(bound):
        return value, pa.scalar(bound, value.type)
    return pc.cast(value, pa.float64(), safe=False), pa.scalar(float(bound))


NUMBERS = (pa.int64(), pa.float64())
_TIMES = (pa.timestamp("us", "UTC"),)
_ORDERED = (*NUMBERS, *_TIMES)


def _between(value: pa.Array, arguments: Arguments) -> pa.Array:
    kept = pa.repeat(pa.scalar(True), len(value))
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None:
        column, bound = _bound(value, low)
        kept = _exceeds(column, bound, or_is=not arguments.get("strict_min"))
    if high is not None:
        column, bound = _bound(value, high)
        beyond = _exceeds(column, bound, or_is=bool(arguments.get("strict_max")))
        kept = pc.and_(kept, pc.invert(beyond))
    return kept


def _lengths(rows: pa.RecordBatch, arguments: Arguments) -> pa.Array:
    return pc.cast(pc.utf8_length(_value(rows, arguments, pa.string())), pa.int64())


def _in_set(rows: pa.RecordBatch, arguments: Arguments) -> pa.Array:
    value = _value(rows, arguments, pa.string(), pa.int64())
    wanted = str if value.type == pa.string() else int
    allowed = arguments["value_set"]
    if not allowed or not all(type(each) is wanted for each in allowed):
        raise Untold("values of another type")
    return pc.is_in(value, pa.array(allowed, value.type))


@functools.cache
def _spelt(regex: str) -> re2.Spelt | None:
    return re2.spelt(regex)


def _matches(rows: pa.RecordBatch, arguments: Arguments, regex: Any) -> pa.Array:
    value = _value(rows, arguments, pa.string())
    spelt = _spelt(regex) if isinstance(regex, str) else None
    if spelt is None:
        raise Untold("a regular expression")
    found = pc.match_substring_regex(value, spelt.pattern)
    if spelt.crlf != spelt.pattern:
        crlf = pc.ends_with(value, "\r\n")
        if pc.any(crlf).as_py() or not len(value):
            found = pc.if_else(crlf, pc.match_substring_regex(value, spelt.crlf), found)
    return found


def _matches_list(rows: pa.RecordBatch, arguments: Arguments) -> pa.Array:
    regexes = arguments["regex_list"]
    if not all(isinstance(each, str) for each in regexes) or not regexes:
        raise Untold("a list of regular expressions")
    if arguments.get("match_on", "any") == "any":
        return _matches(rows, arguments, "|".join(regexes))
    return _every([_matches(rows, arguments, each) for each in regexes])


def _every(masks: Sequence[pa.Array]) -> pa.Array:
    return functools.reduce(pc.and_, masks)


def _pair(
    rows: pa.RecordBatch, arguments: Arguments, *types: pa.DataType
) -> tuple[pa.Array, pa.Array]:
    a, b = (rows.column(arguments[name]) for name in ("column_A", "column_B"))
    if a.type not in types or b.type not in types:
        raise Untold(f"{a.type}, {b.type}")
    if a.type != b.type:
        if not {a.type, b.type} <= set(NUMBERS):
            raise Untold(f"{a.type}, {b.type}")
        a, b = (pc.cast(each, pa.float64(), safe=False) for each in (a, b))
    return a, b


def _greater(rows: pa.RecordBatch, arguments: Arguments) -> pa.Array:
    a, b = _pair(rows, arguments, *_ORDERED)
    or_is = bool(arguments.get("or_equal"))
    greater = _exceeds(a, b, or_is=or_is)
    return pc.or_kleene(greater, _same(a, b)) if or_is else greater


def _same(a: pa.Array, b: pa.Array) -> pa.Array:
    """Equal as Spark's ``<=>`` has it: also null to null and NaN to NaN; never null."""
    equal = pc.fill_null(pc.equal(a, b), False)
    if pa.types.is_floating(a.type):
        equal = pc.or_(equal, pc.fill_null(pc.and_(_is_nan(a), _is_nan(b)), False))
    return pc.or_(equal, pc.and_(pc.is_null(a), pc.is_null(b)))


_EQUAL = (*_ORDERED, pa.string(), pa.bool_(), pa.date32())

_ROWS: Mapping[str, Rows] = {
    "expect_column_values_to_not_be_null": lambda rows, a: pc.is_valid(rows.column(a["column"])),
    "expect_column_values_to_be_null": lambda rows, a: pc.is_null(rows.column(a["column"])),
    "expect_column_values_to_be_between": lambda rows, a: _between(_value(rows, a, *_ORDERED), a),
    "expect_column_value_lengths_to_be_between": lambda rows, a: _between(_lengths(rows, a), a),
    "expect_column_value_lengths_to_equal": lambda rows, a: _between(
        _lengths(rows, a), {"min_value": a["value"], "max_value": a["value"]}
    ),
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": lambda rows, a: pc.invert(_in_set(rows, a)),
    "expect_column_values_to_match_regex": lambda rows, a: _matches(rows, a, a.get("regex")),
    "expect_column_values_to_not_match_regex": lambda rows, a: pc.invert(
        _matches(rows, a, a.get("regex"))
    ),
    "expect_column_values_to_match_regex_list": _matches_list,
    "expect_column_values_to_not_match_regex_list": lambda rows, a: _every(
        [pc.invert(_matches(rows, a, regex)) for regex in a["regex_list"]]
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": lambda rows, a: _same(*_pair(rows, a, *_EQUAL)),
}
"""As ``quality.ROWS``: rows, arguments → true where the row is as expected. What a null gives does
not matter but for rules about nulls and pairs.
"""
