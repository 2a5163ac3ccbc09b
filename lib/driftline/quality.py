"""The quality gate: what each expectation asks of the rows, as columns of one Spark plan.

A rule is one small function from an expectation's arguments to a column:

* :data:`ROWS`: true where a row is as expected. As in Great Expectations a null breaks only rules
  about nulls, and rows that a rule is told to ignore break nothing.
* :data:`AGGREGATES`: one number of all rows, under Great Expectations' name of it.
* :data:`GROUPS`: one number of the distinct values, which costs a shuffle of their own.
* :data:`SCHEMA`: what the columns alone decide.

Adding one is one entry there. ``measures.py`` asks everything that one pass over the rows can
answer (``arrow_scan.py`` the common ones, of files as they are); the verdicts on its numbers are
Great Expectations' own code (``suites.py``). A type in none of the tables runs through it itself.
"""

from __future__ import annotations

import functools
import operator
import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from driftline.conditions import in_sql
from driftline.suite_files import ABOUT_NULLS, Arguments, Rule

Rows = Callable[[Arguments], Column]

ROW_COUNT, NULL_COUNT = "table.row_count", "column_values.nonnull.unexpected_count"
UNEXPECTED, FILTERED = "unexpected_count", "filtered_row_count"
"""Names of counts; the latter two follow the name of the expectation's own metric."""


# ---- single rows ---------------------------------------------------------------------------------


def column_of(arguments: Arguments) -> Column:
    """The one column a rule speaks of."""
    return F.col(f"`{arguments['column']}`")


def _pair(arguments: Arguments) -> tuple[Column, Column]:
    return F.col(f"`{arguments['column_A']}`"), F.col(f"`{arguments['column_B']}`")


def _listed(arguments: Arguments) -> list[Column]:
    return [F.col(f"`{name}`") for name in arguments["column_list"]]


def every(columns: Iterable[Column]) -> Column:
    """True where all are; of none, true."""
    return functools.reduce(operator.and_, columns, F.lit(True))


def _any(columns: Iterable[Column]) -> Column:
    return functools.reduce(operator.or_, columns, F.lit(False))


def _between(value: Column, arguments: Arguments) -> Column:
    kept = F.lit(True)
    low, high = _bound(arguments.get("min_value")), _bound(arguments.get("max_value"))
    if low is not None:
        kept = kept & (value > low if arguments.get("strict_min") else value >= low)
    if high is not None:
        kept = kept & (value < high if arguments.get("strict_max") else value <= high)
    return kept


def _bound(value: Any) -> Column | None:
    """A bound that is written as text is a time, also for Great Expectations."""
    if value is None:
        return None
    return F.lit(value).cast("timestamp") if isinstance(value, str) else _number(value)


def _number(value: Any) -> Column:
    """One beyond 64 bits is what Great Expectations makes of every bound: floating point."""
    return F.lit(value if is_64_bits(value) else float(value))


def is_64_bits(value: Any) -> bool:
    """Whether a value is none, or one that Spark's widest whole number can hold."""
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _matches_list(arguments: Arguments) -> Column:
    regexes = arguments["regex_list"]
    if arguments.get("match_on", "any") == "any":
        return column_of(arguments).rlike("|".join(regexes))
    return every(column_of(arguments).rlike(regex) for regex in regexes)


def _greater(arguments: Arguments) -> Column:
    a, b = _pair(arguments)
    return (a >= b) | a.eqNullSafe(b) if arguments.get("or_equal") else a > b


def _pair_in_set(arguments: Arguments) -> Column:
    a, b = _pair(arguments)
    allowed = arguments["value_pairs_set"]
    return _any(a.eqNullSafe(F.lit(x)) & b.eqNullSafe(F.lit(y)) for x, y in allowed)


def _sum_is(arguments: Arguments) -> Column:
    """A sum that does not fit the columns' type is made of decimals; one that does not fit those
    is null: it equals nothing.
    """
    addends = [F.coalesce(each, F.lit(0)) for each in _listed(arguments)]
    narrow = functools.reduce(F.try_add, addends)
    wide = functools.reduce(F.try_add, addends, F.lit(0).cast("decimal(20,0)"))
    wanted = _number(arguments["sum_total"])
    return F.coalesce(narrow == wanted, wide == wanted, F.lit(False))


def _differ(arguments: Arguments) -> Column:
    columns = _listed(arguments)
    pairs = [(a, b) for place, a in enumerate(columns) for b in columns[place + 1 :]]
    return ~_any(a.eqNullSafe(b) for a, b in pairs)


def _are_equal(arguments: Arguments) -> Column:
    first, *others = _listed(arguments)
    return every(first.eqNullSafe(each) for each in others)


def filled(query: str, batch: str) -> str:
    """A query as Great Expectations runs it: ``{batch}`` filled in, doubled braces halved.

    Raises ValueError for any other brace: Great Expectations cannot run the query.
    """
    parts = []
    for text, name, format_, conversion in string.Formatter().parse(query):
        parts.append(text)
        if name is not None:
            if (name, format_, conversion) != ("batch", "", None):
                raise ValueError(f"{{{name}}}")
            parts.append(batch)
    return "".join(parts)


_ROWS = "\0"
"""Stands for the batch where a query is looked at; in no SQL is it a name."""

_SELECT = re.compile(rf"\s*select\s+\*\s+from\s+{_ROWS}\s+where\s+([^{_ROWS}]+?)[;\s]*", re.I)
_BEYOND = re.compile(r"\s(?:order\s+by\s[^'\"`]+|limit\s+(?:\d+|all)(?:\s+offset\s+\d+)?)$", re.I)
"""What may follow a condition. No condition ends so: the words would be within quotes there."""


def sql_condition(query: str) -> str | None:
    """The condition of ``SELECT * FROM {batch} WHERE …``; None for any other query."""
    try:
        found = _SELECT.fullmatch(filled(query, _ROWS))
    except ValueError:
        return None
    return found[1] if found and not _BEYOND.search(found[1]) else None


def bracketed(condition: str) -> Column:
    """A condition in SQL; a comment at its end ends before the bracket."""
    return F.expr(f"({condition}\n)")


def _not_selected(arguments: Arguments) -> Column:
    return ~bracketed(str(sql_condition(arguments["unexpected_rows_query"])))


ROWS: Mapping[str, Rows] = {
    "expect_column_values_to_not_be_null": lambda a: column_of(a).isNotNull(),
    "expect_column_values_to_be_null": lambda a: column_of(a).isNull(),
    "expect_column_values_to_be_between": lambda a: _between(column_of(a), a),
    "expect_column_value_lengths_to_be_between": lambda a: _between(F.length(column_of(a)), a),
    "expect_column_value_lengths_to_equal": lambda a: F.length(column_of(a)) == a["value"],
    "expect_column_values_to_be_in_set": lambda a: column_of(a).isin(list(a["value_set"])),
    "expect_column_values_to_not_be_in_set": lambda a: ~column_of(a).isin(list(a["value_set"])),
    "expect_column_values_to_match_regex": lambda a: column_of(a).rlike(
        a.get("regex", "(?s).*")  # Great Expectations' default
    ),
    "expect_column_values_to_not_match_regex": lambda a: ~column_of(a).rlike(a["regex"]),
    "expect_column_values_to_match_regex_list": _matches_list,
    "expect_column_values_to_not_match_regex_list": lambda a: every(
        ~column_of(a).rlike(regex) for regex in a["regex_list"]
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": lambda a: _pair(a)[0].eqNullSafe(_pair(a)[1]),
    "expect_column_pair_values_to_be_in_set": _pair_in_set,
    "expect_multicolumn_sum_to_equal": _sum_is,
    "expect_multicolumn_values_to_be_equal": _are_equal,
    "expect_select_column_values_to_be_unique_within_record": _differ,
    "unexpected_rows_expectation": _not_selected,
}
"""Expectations about single rows: arguments → true where the row is as expected."""


IGNORING: Mapping[str, Mapping[str, Callable[[Column, Column], Column] | None]] = {
    "column_A": {
        "both_values_are_missing": operator.and_,
        "either_value_is_missing": operator.or_,
        "neither": None,
    },
    "column_list": {
        "all_values_are_missing": operator.and_,
        "any_value_is_missing": operator.or_,
        "never": None,
    },
}
"""Which rows a rule ignores, by how it names its columns: ``ignore_row_if`` → what joins the nulls
of the columns. The first is what holds if the rule does not say.
"""


def looked_at(rule: Rule) -> Column | None:
    """Where a rule looks, beside its condition; None: everywhere."""
    arguments = rule.arguments
    if "column" in arguments:
        return None if rule.type in ABOUT_NULLS else column_of(arguments).isNotNull()
    for argument, allowed in IGNORING.items():
        if argument in arguments:
            joined = allowed[arguments.get("ignore_row_if", next(iter(allowed)))]
            columns = _pair(arguments) if argument == "column_A" else _listed(arguments)
            nulls = (each.isNull() for each in columns)
            return None if joined is None else ~functools.reduce(joined, nulls)
    return None


def spark_condition(rule: Rule) -> str | None:
    """The rule's condition on rows in Spark's SQL, if it is a text of that, or what Great
    Expectations makes one of.
    """
    condition = rule.arguments.get("row_condition")
    if isinstance(condition, dict):
        passed = condition.get("type") == "pass_through"
        return str(condition.get("pass_through_filter")) if passed else in_sql(condition)
    own = str(rule.arguments.get("condition_parser")).startswith("great_expectations")
    return None if own or not isinstance(condition, str) else condition


def condition_of(rule: Rule) -> Column | None:
    """The rule's own condition on rows, if it has one."""
    condition = spark_condition(rule)
    return None if condition is None else F.coalesce(bracketed(condition), F.lit(False))


def breaks(rule: Rule) -> Column:
    """True where a row breaks a rule of :data:`ROWS`, else false, never null."""
    wanted = [each for each in (condition_of(rule), looked_at(rule)) if each is not None]
    return F.coalesce(every([*wanted, ~ROWS[rule.type](rule.arguments)]), F.lit(False))


# ---- all rows ------------------------------------------------------------------------------------

Aggregate = Callable[[Callable[[Column], Column], Arguments], Column]
"""(what keeps a value only where the rule looks, arguments) → the number."""


def _share_of_values(kept: Callable[[Column], Column], arguments: Arguments) -> Column:
    rows, values = F.count(kept(F.lit(1))), F.count(kept(column_of(arguments)))
    return F.when(rows > 0, values / rows).otherwise(F.lit(0.0))


AGGREGATES: Mapping[str, tuple[str, Aggregate]] = {
    "expect_table_row_count_to_be_between": (ROW_COUNT, lambda kept, _: F.count(kept(F.lit(1)))),
    "expect_table_row_count_to_equal": (ROW_COUNT, lambda kept, _: F.count(kept(F.lit(1)))),
    "expect_column_max_to_be_between": ("column.max", lambda kept, a: F.max(kept(column_of(a)))),
    "expect_column_min_to_be_between": ("column.min", lambda kept, a: F.min(kept(column_of(a)))),
    "expect_column_mean_to_be_between": ("column.mean", lambda kept, a: F.mean(kept(column_of(a)))),
    "expect_column_stdev_to_be_between": (
        "column.standard_deviation",
        lambda kept, a: F.stddev_samp(kept(column_of(a))),
    ),
    "expect_column_sum_to_be_between": (
        "column.sum",
        lambda kept, a: F.sum(kept(column_of(a).cast("double"))),  # whole numbers may not fit
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": (
        "column.non_null_proportion",
        _share_of_values,
    ),
}
"""Expectations about one number of all rows: type → its name there, and how it is made."""


# ---- distinct values -----------------------------------------------------------------------------


def _strangers(arguments: Arguments) -> Column:
    return F.count_if(~F.col("_value_0").isin(list(arguments["value_set"])))


def _absent(arguments: Arguments) -> Column:
    allowed = list(arguments["value_set"])
    return F.lit(len(allowed)) - F.count_if(F.col("_value_0").isin(allowed))


def _repeated(_: Arguments) -> Column:
    return F.coalesce(F.sum(F.when(F.col("_size") > 1, F.col("_size"))), F.lit(0))


_NOT_IN_SET = "column.distinct_values.not_in_set.count"
_MISSING = "column.distinct_values.missing_from_column.count"

GROUPS: Mapping[str, Mapping[str, Callable[[Arguments], Column]]] = {
    "expect_column_values_to_be_unique": {UNEXPECTED: _repeated},
    "expect_compound_columns_to_be_unique": {UNEXPECTED: _repeated},
    "expect_column_unique_value_count_to_be_between": {
        "column.distinct_values.count": lambda _: F.count("*")
    },
    "expect_column_proportion_of_unique_values_to_be_between": {
        "column.unique_proportion": lambda _: F.coalesce(F.count("*") / F.sum("_size"), F.lit(0.0))
    },
    "expect_column_distinct_values_to_be_in_set": {_NOT_IN_SET: _strangers},
    "expect_column_distinct_values_to_contain_set": {_MISSING: _absent},
    "expect_column_distinct_values_to_equal_set": {_NOT_IN_SET: _strangers, _MISSING: _absent},
}
"""Expectations about distinct values: numbers over one row a value, with its ``_size``."""


# ---- the columns themselves ----------------------------------------------------------------------

SCHEMA = (
    "expect_column_to_exist",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_set",
    "expect_table_columns_to_match_ordered_list",
)
"""Expectations that no row is needed for. Columns of driftline's own (``_…``) do not count."""


def compiled(rule: Rule) -> bool:
    """Whether the rule is part of the plan; if not, Great Expectations runs it."""
    others = {name: each for name, each in rule.arguments.items() if name != "row_condition"}
    if rule.arguments.get("row_condition") is not None and spark_condition(rule) is None:
        return False  # a text in Great Expectations' own language
    allowed = rule.arguments.get("value_set", [])
    if any(isinstance(each, dict) for each in others.values()) or not isinstance(allowed, list):
        return False  # a parameter of the suite
    if rule.type == "unexpected_rows_expectation":
        return sql_condition(str(rule.arguments.get("unexpected_rows_query", ""))) is not None
    return rule.type in {*ROWS, *AGGREGATES, *GROUPS, *SCHEMA}


def by_row(rule: Rule) -> bool:
    """Whether the rule tells which rows break it, so that those can be kept out."""
    return rule.type in ROWS and compiled(rule)
