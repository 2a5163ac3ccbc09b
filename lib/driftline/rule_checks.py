"""Whether every rule of a suite can be run on the columns at hand, before a row of them is read.

Under Spark's ANSI rules a comparison of the wrong types fails in the middle of a job, and prints
the value it failed on. So each rule is looked at first: its arguments against the column's type,
its regular expressions, and its SQL, which may look at the rows at hand and nothing else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import DataType

from driftline import measures, quality
from driftline.errors import ConfError
from driftline.rule_arguments import misfits
from driftline.suite_files import Rule, Suite

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
        for problem in (*misfits(rule, types), *_regexes(rows, rule), *_sql(rows, rule)):
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
