"""Whether the arguments of a rule are such as the types of its columns can hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import types as spark_types
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from driftline import quality
from driftline.suite_files import Rule

_TIME = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,6})?)?)?"
    r"(?P<zone>Z|[+-]\d{2}:\d{2})?"
)
_ONLY_NUMBERS = (
    "expect_column_mean_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_quantile_values_to_be_between",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_multicolumn_sum_to_equal",
)
_BOUNDED = (
    "expect_column_values_to_be_between",
    "expect_column_max_to_be_between",
    "expect_column_min_to_be_between",
)
_EXTREMES = _BOUNDED[1:]


def misfits(rule: Rule, types: dict[str, DataType]) -> Iterator[tuple[str, str]]:
    """(what was found, what is allowed) for every argument that its column's type cannot hold."""
    for name in rule.columns:
        type_ = types.get(name)
        if type_ is None:
            continue
        shown = f"{name} is {type_.simpleString()}"
        if rule.type in _ONLY_NUMBERS and not isinstance(type_, NumericType):
            yield shown, "a column of numbers"
        if rule.type in _BOUNDED and isinstance(type_, StringType | BooleanType):
            yield shown, "a column of numbers or times"
        if _texts_only(rule) and not isinstance(type_, StringType):
            yield shown, "a column of text"
    for argument, words in quality.IGNORING.items():
        said = rule.arguments.get("ignore_row_if", next(iter(words)))
        if argument in rule.arguments and not isinstance(said, dict) and said not in words:
            yield f"ignore_row_if {said!r}", ", ".join(words)
    named = rule.arguments.get("type_list", rule.arguments.get("type_"))
    names = [named] if isinstance(named, str) else named
    if isinstance(names, list) and not any(map(_is_type, names)):
        # Great Expectations passes over those it does not know, while there is one that it does.
        theirs = type(types[rule.column]).__name__ if rule.column in types else "LongType"
        yield f"{named!r}, no type of Spark", f"its names, like {theirs}"
    if rule.arguments.get("value_pairs_set") == []:  # every row would break it; it cannot be run
        yield "value_pairs_set is empty", "at least one pair of values"
    for argument, value in _whole(rule):
        if not quality.is_64_bits(value):
            yield f"{argument} {value}", "a whole number that 64 bits can hold"
    low, high = rule.arguments.get("min_value"), rule.arguments.get("max_value")
    if _is_above(low, high):
        yield f"min_value {low!r}, max_value {high!r}", "a min_value that is not above max_value"
    allowed_values = rule.arguments.get("value_set")
    if isinstance(allowed_values, list) and None in allowed_values:
        # For SQL no value is told from a null: nothing would ever break the rule.
        yield "value_set holds a null", "values alone: nulls are not looked at, leave it out"
    for argument, name, value in _values(rule):
        type_ = types.get(name)
        if type_ is not None and value is not None and not _holds(type_, value):
            # Arguments are the suite's words, not a row's.
            yield f"{argument} {value!r}, {name} is {type_.simpleString()}", "a value of that type"
        elif rule.type in _EXTREMES and isinstance(value, str) and _has_zone(value):
            # Great Expectations compares it with the column's own, which has none.
            yield f"{argument} {value!r}", "a time in UTC, without a zone"


def is_as_written(written: Any, taken: Any) -> bool:
    """Whether Great Expectations takes an argument for what the suite's file says.

    It makes numbers and booleans of texts, and cuts numbers off, where its types ask for that; the
    plan has them as they are written, and would have another verdict. A time is a text in either.
    """
    if isinstance(written, list) and isinstance(taken, list | tuple):
        pairs = zip(written, taken, strict=False)
        return len(written) == len(taken) and all(is_as_written(*pair) for pair in pairs)
    plain = (str, bool, int, float)
    if not isinstance(written, plain) or not isinstance(taken, plain):
        return True  # times, and conditions on rows: it has objects of its own for them
    if isinstance(taken, float) and isinstance(written, int):
        return float(written) == taken
    return bool(written == taken)


def _is_type(name: Any) -> bool:
    found = getattr(spark_types, str(name), None)
    return isinstance(found, type) and issubclass(found, DataType)


def _texts_only(rule: Rule) -> bool:
    return "regex" in rule.type or "value_lengths" in rule.type or "strftime" in rule.type


def _whole(rule: Rule) -> Iterator[tuple[str, Any]]:
    """(argument, value) of what is compared as it is written, never as floating point."""
    for argument, value in rule.arguments.items():
        if argument in ("value_set", "value_pairs_set") and isinstance(value, list):
            for each in value:
                yield from (
                    (argument, part) for part in (each if isinstance(each, list) else [each])
                )
        elif "value_lengths" in rule.type:
            yield argument, value


def _values(rule: Rule) -> Iterator[tuple[str, str, Any]]:
    """(argument, column, value) of what the rule compares the column's values with."""
    arguments, column = rule.arguments, rule.column
    if column and rule.type in _BOUNDED:
        for argument in ("min_value", "max_value"):
            yield argument, column, arguments.get(argument)
    if column and isinstance(arguments.get("value_set"), list):
        for value in arguments["value_set"]:
            yield "value_set", column, value
    if isinstance(arguments.get("value_pairs_set"), list):
        for pair in arguments["value_pairs_set"]:
            for side, value in zip(("column_A", "column_B"), pair, strict=False):
                yield "value_pairs_set", arguments[side], value


_HOLDS: tuple[tuple[type[DataType], Callable[[Any], bool]], ...] = (
    (StringType, lambda value: isinstance(value, str)),
    (BooleanType, lambda value: isinstance(value, bool)),
    (NumericType, lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    (DateType, lambda value: _is_time(value)),
    (TimestampType, lambda value: _is_time(value)),
    (TimestampNTZType, lambda value: _is_time(value)),
)


def _holds(type_: DataType, value: Any) -> bool:
    for kind, holds in _HOLDS:
        if isinstance(type_, kind):
            return holds(value)
    return True


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value.strip()):
        return not isinstance(value, str | int | float)
    try:
        pd.Timestamp(value)
    except ValueError:
        return False
    return True


def _has_zone(time: str) -> bool:
    found = _TIME.fullmatch(time.strip())
    return found is not None and found["zone"] is not None


def _is_above(low: Any, high: Any) -> bool:
    """Whether bounds stand the wrong way round: nothing lies between them."""
    if isinstance(low, int | float) and isinstance(high, int | float):
        return low > high
    if not all(isinstance(each, str) and _is_time(each) for each in (low, high)):
        return False
    first, last = (
        moment.tz_localize("UTC") if moment.tzinfo is None else moment
        for moment in map(pd.Timestamp, (low, high))
    )
    return bool(first > last)
