"""Every shipped expectation is killed by one row: a rule that nothing can break guards nothing."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from driftline import schemas
from driftline.jobs import gate
from driftline.problem import load_problem
from driftline.schemas import Table
from driftline.suite_files import Rule, Suite, Verdict, read_suite

PROJECT = Path(__file__).parents[2]
PROBLEMS = sorted(path.stem for path in (PROJECT / "conf").glob("*.yaml"))
VALUES = {
    "string": "x",
    "bigint": 1,
    "int": 1,
    "double": 1.0,
    "boolean": True,
    "date": date(2024, 1, 1),
    "timestamp": datetime(2024, 1, 1),
    "array<string>": ["x"],
}
MATCHES = {"^/": "/shop", "^[CA]?[0-9]{6}$": "536365"}

Row = dict[str, Any]


def typed(type_: str, value: Any) -> Any:
    if type_ == "timestamp":
        return datetime.fromisoformat(value)
    return float(value) if type_ == "double" else value


def beyond(type_: str, bound: Any, step: int) -> Any:
    """A value one step below or above a bound."""
    value = typed(type_, bound)
    return value.replace(year=value.year + step) if type_ == "timestamp" else value + step


def sound(suite: Suite, types: dict[str, str]) -> list[Row]:
    """Two rows that keep every rule of a suite, and differ where a rule wants them to."""
    first = {name: VALUES[type_] for name, type_ in types.items()}
    second = {
        name: beyond(type_, str(value), 1) if type_ == "timestamp" else value
        for (name, type_), value in zip(types.items(), first.values(), strict=True)
    }
    for rule in suite.rules:
        name, a = rule.column, rule.arguments
        if name is None:
            continue
        if "value_set" in a:
            first[name], second[name] = a["value_set"][0], a["value_set"][-1]
        elif "regex" in a:
            first[name] = second[name] = MATCHES[a["regex"]]
        elif rule.type.endswith("values_to_be_between"):
            first[name] = typed(types[name], a.get("min_value", a.get("max_value")))
            both = types[name] == "double" and {"min_value", "max_value"} <= a.keys()
            second[name] = (a["min_value"] + a["max_value"]) / 2 if both else first[name]
        elif rule.type == "expect_column_stdev_to_be_between" and first[name] == second[name]:
            second[name] = first[name] + 1
    return [first, second]


def breaking(rule: Rule, rows: list[Row], types: dict[str, str]) -> list[Row]:
    """Sound rows with one that breaks the rule; with none at all if it counts them."""
    (first, second), a, name = rows, rule.arguments, rule.column
    if rule.type == "expect_table_row_count_to_be_between":
        return []
    if "unique" in rule.type:
        return [first, first]
    assert name is not None, rule
    if "mean" in rule.type or "stdev" in rule.type:
        return [first, {**second, name: first[name]}]
    if rule.type == "expect_column_values_to_not_be_null":
        return [first, *[{**second, name: None}] * (1 if a.get("mostly", 1) > 0.5 else 2)]
    if "value_set" in a:
        strange = "strange" if types[name] == "string" else max(a["value_set"]) + 7
        return [first, {**second, name: strange}]
    if "regex" in a:
        return [first, {**second, name: "never this"}]
    if "min_value" in a:
        return [first, {**second, name: beyond(types[name], a["min_value"], -1)}]
    return [first, {**second, name: beyond(types[name], a["max_value"], 1)}]


def guarded(problem: str) -> list[tuple[Table, Suite]]:
    loaded = load_problem(PROJECT / "conf" / f"{problem}.yaml")
    tables = [schemas.silver(loaded, source) for source in loaded.sources]
    folder = PROJECT / "expectations" / problem
    return [
        (table, read_suite(folder / table.suite_file, table.column_names))
        for table in (*tables, schemas.features(loaded), schemas.PREDICTIONS)
    ]


@pytest.mark.parametrize(
    "problem",
    [pytest.param(each, marks=[] if each == "weblog" else pytest.mark.slow) for each in PROBLEMS],
)
def test_one_row_kills_every_expectation(spark, problem: str) -> None:
    alive = []
    for table, suite in guarded(problem):
        types = {column.name: column.type for column in table.columns}
        rows = sound(suite, types)

        def judged(rows: list[Row], table: Table = table, suite: Suite = suite) -> list[Verdict]:
            values = [tuple(row[name] for name in table.column_names) for row in rows]
            return gate.judge(spark.createDataFrame(values, table.ddl), suite, meta={}).verdicts

        assert [each.rule.name for each in judged(rows) if not each.success] == []
        for place, rule in enumerate(suite.rules):
            if judged(breaking(rule, rows, types))[place].success:
                alive.append((table.full_name, rule.name))
    assert alive == []
