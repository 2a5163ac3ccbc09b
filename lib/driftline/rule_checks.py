"""Whether every rule of a suite can be run on the columns at hand, before a row of them is read.

Under Spark's ANSI rules a comparison of the wrong types fails in the middle of a job, and prints
the value it failed on. So each rule is looked at first: its arguments against the column's type,
its regular expressions, and its SQL, which may look at the rows at hand and nothing else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from driftline import measures, quality
from driftline.errors import ConfError
from driftline.suite_files import Rule, Suite

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
_PLAIN_QUERY = (
    *("Project", "Filter", "Aggregate", "UnresolvedHaving", "Distinct", "Sort", "SubqueryAlias"),
    *("GlobalLimit", "LocalLimit", "Offset", "UnresolvedRelation"),
)
_RUNS_CODE = ("CallMethodViaReflection", "RaiseError", "PythonUDF", "ScalaUDF")
_TELLS_THE_TIME = ("CurrentDate", "CurrentTime", "CurrentTimestamp", "LocalTimestamp", "Now")
_MOVING_TIME = r"\s*(now|today|tomorrow|yesterday)\b"
_MOVING_LITERAL = re.compile(rf"\b(date|timestamp(_ltz|_ntz)?)\s*['\"]{_MOVING_TIME}", re.I)
"""The parser makes constants of these, which nothing after it can tell from others."""


def check(rows: DataFrame, suite: Suite) -> None:
    """Raise :class:`ConfError` for the first rule that cannot be run on rows like these.

    Nothing is read and no Spark job started.
    """
    types: dict[str, DataType] = {each.name: each.dataType for each in rows.schema}
    for rule in suite.rules:
        for problem in (*_misfits(rule, types), *_regexes(rows, rule), *_sql(rows, rule)):
            raise _wrong(suite, rule, *problem)
    if _analysed(rows, suite.rules) is None:
        return
    for rule in suite.rules:
        error = _analysed(rows, [rule])
        if error is not None:
            raise _wrong(suite, rule, error, "an expectation that fits the column's type")


def _analysed(rows: DataFrame, rules: Sequence[Rule]) -> str | None:
    """Why Spark cannot plan the rules; None if it can."""
    try:
        measures.scan(rows, rules)
        measures.groups(rows, rules)
    except AnalysisException as error:
        return _first_line(error)
    return None


def _wrong(suite: Suite, rule: Rule, found: str, allowed: str) -> ConfError:
    return ConfError(
        "an expectation cannot be run on this table",
        file=suite.file or suite.name,
        key=f"{rule.name} ({rule.type})",
        found=found,
        allowed=allowed,
        hint="mend the expectation's arguments, or the type of the column in the problem file",
    )


def _misfits(rule: Rule, types: dict[str, DataType]) -> Iterator[tuple[str, str]]:
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
    low, high = rule.arguments.get("min_value"), rule.arguments.get("max_value")
    if _is_above(low, high):
        yield f"min_value {low!r}, max_value {high!r}", "a min_value that is not above max_value"
    for argument, name, value in _values(rule):
        type_ = types.get(name)
        if type_ is not None and value is not None and not _holds(type_, value):
            # Arguments are the suite's words, not a row's.
            yield f"{argument} {value!r}, {name} is {type_.simpleString()}", "a value of that type"
        elif rule.type in _EXTREMES and isinstance(value, str) and _has_zone(value):
            # Great Expectations compares it with the column's own, which has none.
            yield f"{argument} {value!r}", "a time in UTC, without a zone"


def _texts_only(rule: Rule) -> bool:
    return "regex" in rule.type or "value_lengths" in rule.type or "strftime" in rule.type


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


def _regexes(rows: DataFrame, rule: Rule) -> Iterator[tuple[str, str]]:
    listed = rule.arguments.get("regex_list")
    for regex in (rule.arguments.get("regex"), *(listed if isinstance(listed, list) else [])):
        if isinstance(regex, str):
            jvm: Any = rows.sparkSession._jvm
            try:
                jvm.java.util.regex.Pattern.compile(regex)
            except (PySparkException, Py4JJavaError) as error:
                yield f"{regex} ({_first_line(error)})", "a regular expression of Java"


def _sql(rows: DataFrame, rule: Rule) -> Iterator[tuple[str, str]]:
    """What is wrong with the rule's SQL: it must look at the rows at hand and nothing else."""
    whole = quality.spark_condition(rule)
    texts = _passed_through(rule.arguments.get("row_condition")) if whole is None else [whole]
    for condition in texts:
        yield from _condition(rows, condition)
    query = rule.arguments.get("unexpected_rows_query")
    if isinstance(query, str):
        selected = quality.sql_condition(query)
        yield from _query(rows, query) if selected is None else _condition(rows, selected)


def _passed_through(condition: Any) -> Iterator[str]:
    """SQL within a condition in Great Expectations' own language, however deep."""
    if isinstance(condition, dict):
        if "pass_through_filter" in condition:
            yield str(condition["pass_through_filter"])
        for each in condition.get("conditions") or ():
            yield from _passed_through(each)


def _condition(rows: DataFrame, text: str) -> Iterator[tuple[str, str]]:
    allowed = "a condition on the columns of one row: no command, subquery, aggregate or chance"
    try:
        if _has_subquery(_parser(rows).parseExpression(text), rows):
            yield f"{text} (a subquery)", allowed
            return
        # Analysis alone; a filter may hold neither aggregates nor windows.
        beyond = _moving(text) or beyond_the_row(rows.where(quality.bracketed(text)))
    except (PySparkException, Py4JJavaError) as error:
        yield f"{text} ({_first_line(error)})", allowed
        return
    if beyond:
        yield f"{text} ({beyond})", allowed


def beyond_the_row(filtered: DataFrame) -> str | None:
    """What a filter looks at beside each row by itself; None if nothing. No job is started."""
    return _beyond(filtered._jdf.queryExecution().analyzed().condition(), filtered)


def _beyond(expression: Any, rows: DataFrame) -> str | None:
    """What an analysed expression looks at beside the rows; None if nothing."""
    nodes = list(_nodes(expression))
    kinds = {_kind(node) for node in nodes}
    if _has_subquery(expression, rows):
        return "a subquery"
    if kinds.intersection(_RUNS_CODE):
        return "what runs code"
    moves = kinds.intersection(_TELLS_THE_TIME) or any(map(_is_moving_cast, nodes))
    return _MOVES if moves or not expression.deterministic() else None


_MOVES = "what is not the same each time"


def _moving(text: str) -> str | None:
    return _MOVES if _MOVING_LITERAL.search(text) else None


def _is_moving_cast(node: Any) -> bool:
    """Whether a word like ``now`` becomes a time: Spark does so as late as when it optimizes."""
    if _kind(node) != "Cast" or _kind(node.child()) != "Literal":
        return False
    to_time = str(node.dataType().typeName()).startswith(("date", "timestamp"))
    return to_time and re.match(_MOVING_TIME, str(node.child().value()), re.I) is not None


def _query(rows: DataFrame, text: str) -> Iterator[tuple[str, str]]:
    allowed = "SELECT … FROM {batch} WHERE …, which reads nothing else"
    batch = f"batch_{uuid.uuid4().hex}"  # no query can name it
    try:
        query = quality.filled(text, batch)
    except ValueError as error:
        yield f"{text} ({error})", "no braces but those of {batch}; one that is meant, twice"
        return
    try:
        beyond = _not_plain(rows, query, batch) or _moving(query)
        if not beyond:
            rows.createTempView(batch)
            try:  # Analysis alone: what was found plain above is no command, and nothing runs yet.
                plan = rows.sparkSession.sql(query)._jdf.queryExecution().analyzed()
                told = [
                    _beyond(each, rows)
                    for node in _nodes(plan)
                    for each in _listed(node.expressions())
                ]
            finally:
                rows.sparkSession.catalog.dropTempView(batch)
            beyond = next(filter(None, told), None)
    except (PySparkException, Py4JJavaError) as error:
        beyond = _first_line(error)
    if beyond:
        yield f"{text} ({beyond.replace(batch, '{batch}')})", allowed


def _not_plain(rows: DataFrame, query: str, batch: str) -> str | None:
    """What a query does beside reading ``batch``; None if nothing."""
    for node in _nodes(_parser(rows).parsePlan(query)):
        kind = _kind(node)
        if kind not in _PLAIN_QUERY:
            return kind
        if kind == "UnresolvedRelation" and str(node.tableName()) != batch:
            return str(node.tableName())
        if any(_has_subquery(each, rows) for each in _listed(node.expressions())):
            return "a subquery"
    return None


def _parser(rows: DataFrame) -> Any:
    session: Any = rows.sparkSession._jsparkSession
    return session.sessionState().sqlParser()


def _has_subquery(expression: Any, rows: DataFrame) -> bool:
    jvm: Any = rows.sparkSession._jvm
    return bool(
        jvm.org.apache.spark.sql.catalyst.expressions.SubqueryExpression.hasSubquery(expression)
    )


def _kind(node: Any) -> str:
    return str(node.getClass().getSimpleName())


def _listed(sequence: Any) -> list[Any]:
    return [sequence.apply(place) for place in range(sequence.size())]


def _nodes(tree: Any) -> Iterator[Any]:
    yield tree
    for child in _listed(tree.children()):
        yield from _nodes(child)


def _first_line(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage() if java is not None else error)
    return text.strip().split("\n", 1)[0][:150]
