"""Expectation suites: the shipped ones fit their tables, broken ones are refused; the verdicts."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import Row
from pyspark.sql.types import (
    DataType,
    DateType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from driftline import schemas, suggest, suites
from driftline.conditions import in_sql
from driftline.errors import ConfError
from driftline.jobs import suggest as job
from driftline.problem import load_problem
from driftline.quality import by_row, compiled, spark_condition, sql_condition
from driftline.rule_arguments import misfits
from driftline.schemas import Table
from driftline.suggest import Proposal, _text, kept, proposals
from driftline.suite_files import Rule, Suite, Verdict, read_suite

PROJECT = Path(__file__).parents[2]


def guarded() -> dict[str, Table]:
    """Every table a suite must guard, by the suite's path in ``expectations/``."""
    found = {}
    for path in sorted((PROJECT / "conf").glob("*.yaml")):
        problem = load_problem(path)
        tables = [schemas.silver(problem, source) for source in problem.sources]
        tables += [schemas.features(problem), schemas.PREDICTIONS]
        for table in tables:
            found[f"{problem.name}/{table.layer}_{table.name}.json"] = table
    return found


GUARDED = guarded()


def test_every_guarded_table_has_a_suite_and_no_suite_is_left_over() -> None:
    folder = PROJECT / "expectations"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(GUARDED)
    assert len(GUARDED) >= 14


@pytest.mark.parametrize("name", GUARDED)
def test_shipped_suite_fits_its_table(name: str) -> None:
    path = PROJECT / "expectations" / name
    suite = read_suite(path, GUARDED[name].column_names)
    entries = json.loads(path.read_text())["expectations"]
    assert suite.name == name.removesuffix(".json").replace("/", ".")
    assert len(suite.rules) == len(entries) > 0
    suites.check(suite)
    for rule, entry in zip(suite.rules, entries, strict=True):
        assert rule.why == entry["meta"]["why"]
        assert rule.arguments == entry["kwargs"]
        assert rule.severity == entry["meta"].get("severity", "error")
    names = [rule.name for rule in suite.rules]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", GUARDED)
def test_shipped_suite_can_refuse_an_empty_batch(name: str) -> None:
    suite = read_suite(PROJECT / "expectations" / name, GUARDED[name].column_names)
    refusing = [rule for rule in suite.rules if rule.severity == "error" and by_row(rule)]
    assert refusing
    empty = [Verdict(rule, True, 0, 0, 0, None).refusal for rule in refusing]
    assert all(empty)


COLUMNS = ["order_id", "customer_id", "amount"]


def expectation(**changes: Any) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "order_id"},
        "meta": {"why": "Orders have numbers"},
    } | changes


def suite_of(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "silver_orders.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(path: Path) -> ConfError:
    with pytest.raises(ConfError) as caught:
        read_suite(path, iter(COLUMNS))
    assert caught.value.exit_code == 2
    assert caught.value.file == str(path)
    assert caught.value.allowed
    assert caught.value.hint
    return caught.value


def test_a_suite_is_read_as_it_is_written(tmp_path: Path) -> None:
    pair = {"column_A": "amount", "column_B": "order_id"}
    content = {
        "name": "churn.silver_orders",
        "expectations": [
            expectation(),
            expectation(
                type="expect_column_values_to_be_between",
                kwargs={"column": "amount", "min_value": 0},
                meta={"why": "Refunds are elsewhere", "severity": "warn"},
            ),
            expectation(type="expect_column_pair_values_a_to_be_greater_than_b", kwargs=pair),
            expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1}),
        ],
    }
    suite = read_suite(suite_of(tmp_path, content), iter(COLUMNS))
    why = "Orders have numbers"
    assert suite == Suite(
        "churn.silver_orders",
        (
            Rule(
                "order_id: values_to_not_be_null",
                "expect_column_values_to_not_be_null",
                {"column": "order_id"},
                why,
            ),
            Rule(
                "amount: values_to_be_between",
                "expect_column_values_to_be_between",
                {"column": "amount", "min_value": 0},
                "Refunds are elsewhere",
                "warn",
            ),
            Rule(
                "amount, order_id: pair_values_a_to_be_greater_than_b",
                "expect_column_pair_values_a_to_be_greater_than_b",
                pair,
                why,
            ),
            Rule(
                "table: table_row_count_to_be_between",
                "expect_table_row_count_to_be_between",
                {"min_value": 1},
                why,
            ),
        ),
        suite.digest,
        str(tmp_path / "silver_orders.json"),
    )
    assert [rule.column for rule in suite.rules] == ["order_id", "amount", None, None]


def test_the_digest_is_of_what_is_said(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return read_suite(suite_of(tmp_path, text), COLUMNS).digest

    content = {"name": "n", "expectations": [expectation()]}
    plain = digest(json.dumps(content))
    assert digest(json.dumps(content, indent=4)) == plain
    assert digest(json.dumps(dict(reversed(content.items())))) == plain
    assert digest(json.dumps({**content, "name": "m"})) != plain


def test_a_suite_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    for said in ({}, {"name": None}, {"name": ""}):
        path = suite_of(tmp_path, {"expectations": [expectation()], **said})
        assert read_suite(path, COLUMNS).name == "silver_orders"


def test_missing(tmp_path: Path) -> None:
    error = refused(tmp_path / "silver_orders.json")
    assert error.what == "the table has no expectation suite"
    assert f"--table bronze.orders --out {tmp_path}/silver_orders.json" in error.hint
    assert "suggest" not in refused(tmp_path / "gold_features.json").hint  # there is no such table


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"expectations": [1,]}', "Expecting value"),
        ("", "Expecting value"),
        (b'{"expectations": "\xff"}', "'utf-8' codec can't decode"),
    ],
)
def test_not_json(tmp_path: Path, content: str | bytes, found: str) -> None:
    error = refused(suite_of(tmp_path, content))
    assert error.what == "cannot read the suite"
    assert found in error.found


@pytest.mark.parametrize("content", [{}, [], "null", {"expectations": []}, [expectation()]])
def test_empty(tmp_path: Path, content: Any) -> None:
    error = refused(suite_of(tmp_path, content))
    assert (error.what, error.key) == ("the suite is empty", "expectations")


@pytest.mark.parametrize(
    "expectations",
    [
        ["a word"],
        [None],
        {"type": "x"},
        "words",
        [expectation(kwargs=[1])],
        [expectation(meta="a text")],
        [expectation(type=None, kwargs={"column_list": ["amount"]})],
    ],
)
def test_not_expectations(tmp_path: Path, expectations: Any) -> None:
    error = refused(suite_of(tmp_path, {"expectations": expectations}))
    assert error.key.startswith("expectations")


def test_a_suite_from_before_1_0_is_told_how_to_become_one_of_today(tmp_path: Path) -> None:
    old = {
        "expectation_suite_name": "taxi",
        "expectations": [
            {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}
        ],
    }
    error = refused(suite_of(tmp_path, old))
    assert error.what == "a suite of Great Expectations before 1.0"
    assert (error.key, error.found) == (
        "expectations.0.type",
        "expect_column_values_to_not_be_null",
    )
    assert "rename expectation_type to type" in error.hint
    for without in ({"kwargs": {}}, {"type": "", "kwargs": {}}):
        error = refused(suite_of(tmp_path, {"expectations": [expectation(), without]}))
        assert (error.what, error.key) == ("an expectation of no type", "expectations.1.type")


@pytest.mark.parametrize(
    ("more", "why", "severity"),
    [
        ({}, "Orders have numbers", "error"),
        ({"meta": {"why": "x", "severity": "warn"}, "severity": "critical"}, "x", "warn"),
        ({"meta": None, "description": "y", "severity": "warning"}, "y", "warn"),
        ({"meta": {}, "notes": ["z", "more"], "severity": "info"}, "z", "warn"),
        ({"meta": {"why": ""}, "notes": "z", "severity": "critical"}, "z", "error"),
        ({"meta": {}}, "it does not say why", "error"),
    ],
)
def test_suites_of_others_say_why_and_how_much_it_matters_in_their_way(
    tmp_path: Path, more: dict[str, Any], why: str, severity: str
) -> None:
    table = expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1})
    content = {"expectations": [expectation(**more), table]}
    rule = read_suite(suite_of(tmp_path, content), COLUMNS).rules[0]
    assert (rule.why, rule.severity) == (why, severity)


def test_names_are_unique_and_fingerprints_are_of_what_is_demanded(tmp_path: Path) -> None:
    between = "expect_column_values_to_be_between"
    low = expectation(type=between, kwargs={"column": "amount", "min_value": 0})
    high = expectation(type=between, kwargs={"max_value": 9, "column": "amount"})
    two = read_suite(suite_of(tmp_path, {"expectations": [low, high]}), COLUMNS).rules
    assert two[0].name == "amount: values_to_be_between"
    assert two[1].name == f"amount: values_to_be_between {two[1].fingerprint[:4]}"
    warn = {**high, "meta": {"severity": "warn"}, "kwargs": {"column": "amount", "max_value": 9}}
    again = read_suite(suite_of(tmp_path, {"expectations": [low, warn]}), COLUMNS).rules[1]
    assert again.fingerprint == two[1].fingerprint != two[0].fingerprint


def test_names_are_unique_where_fingerprints_begin_alike(tmp_path: Path) -> None:
    """All rules in SQL would be called the same."""
    query = "SELECT amount FROM {{batch}} GROUP BY amount HAVING COUNT(*) > {}"
    kinds = [
        expectation(
            type="unexpected_rows_expectation", kwargs={"unexpected_rows_query": query.format(k)}
        )
        for k in (5000, 52, 290)
    ]
    first, second, third = read_suite(suite_of(tmp_path, {"expectations": kinds}), COLUMNS).rules
    assert second.fingerprint[:4] == third.fingerprint[:4]
    assert first.name == "table: unexpected_rows_expectation"
    assert second.name == f"{first.name} {second.fingerprint[:4]}"
    assert third.name == f"{first.name} {third.fingerprint[:8]}"


BETWEEN = "expect_column_values_to_be_between"
LENGTHS = "expect_column_value_lengths_to_be_between"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
ROWS = "expect_table_row_count_to_be_between"


@pytest.mark.parametrize(
    ("type_", "arguments", "found"),
    [
        (BETWEEN, {"min_value": 0, "strict_min": "false"}, 'strict_min "false", taken for false'),
        (BETWEEN, {"min_value": 0, "mostly": "0.9"}, 'mostly "0.9", taken for 0.9'),
        (LENGTHS, {"min_value": 1.5}, "min_value 1.5, taken for 1"),
        (LENGTHS, {"max_value": 2.9, "strict_max": True}, "max_value 2.9, taken for 2"),
        (ROWS, {"min_value": "1"}, 'min_value "1", taken for 1'),
        (
            "expect_column_values_to_match_regex_list",
            {"regex_list": ["a", 5]},
            'regex_list ["a", 5], taken for ["a", "5"]',
        ),
        (
            GREATER,
            {"column_A": "a", "column_B": "b", "or_equal": "false"},
            'or_equal "false", taken for false',
        ),
    ],
)
def test_an_argument_that_great_expectations_takes_for_another_value_is_refused(
    type_: str, arguments: dict[str, Any], found: str
) -> None:
    """Its own verdict would be of that value, the plan's of what is written."""
    of = {} if type_ in (GREATER, ROWS) else {"column": "amount"}
    with pytest.raises(ConfError) as caught:
        suites.check(Suite("s", (Rule("r", type_, {**of, **arguments}, "why"),), "digest"))
    assert caught.value.what == "Great Expectations takes an argument for another value"
    assert caught.value.found == found
    assert caught.value.key == f"r ({type_})"
    assert caught.value.hint == f"write {found.rpartition(' taken for ')[2]}, or what was meant"


@pytest.mark.parametrize(
    ("type_", "arguments"),
    [
        (BETWEEN, {"min_value": 0, "max_value": 2.0, "strict_min": True, "mostly": 1}),
        (BETWEEN, {"min_value": 2**53 + 1, "max_value": 2**64 - 1}),
        (BETWEEN, {"min_value": "2024-01-01", "max_value": "2024-12-31 12:00:00"}),
        (BETWEEN, {"min_value": 0, "row_condition": "amount > 3", "condition_parser": "spark"}),
        (LENGTHS, {"min_value": 2.0}),
        ("expect_column_values_to_be_in_set", {"value_set": [1, 2.5, "3", True]}),
    ],
)
def test_an_argument_that_is_the_same_in_another_type_is_none(
    type_: str, arguments: dict[str, Any]
) -> None:
    rule = Rule("r", type_, {"column": "amount", **arguments}, "why")
    suites.check(Suite("s", (rule,), "digest"))


@pytest.mark.parametrize(
    ("type_", "arguments", "allowed"),
    [
        (ROWS, {"min_value": 1}, False),
        (ROWS, {"min_value": 0, "strict_min": True}, False),
        (ROWS, {"min_value": 0}, True),
        (ROWS, {"max_value": 9}, True),
        ("expect_table_row_count_to_equal", {"value": 3}, False),
        ("expect_table_row_count_to_equal", {"value": 0}, True),
        ("expect_table_row_count_to_equal_other_table", {"other_table_name": "t"}, True),
        ("expect_column_values_to_not_be_null", {"column": "amount"}, True),
    ],
)
def test_whether_a_suite_asks_for_rows_is_its_own_verdict_on_none(
    type_: str, arguments: dict[str, Any], allowed: bool
) -> None:
    rule = Rule("r", type_, arguments, "why")
    assert suites.allows_no_row(rule, Suite("s", (rule,), "digest")) is allowed


def test_a_suite_that_great_expectations_wrote_is_read_as_it_is(tmp_path: Path) -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    gx.get_context(mode="ephemeral")
    theirs = gx.ExpectationSuite(name="trips", notes="from elsewhere", meta={"owner": "others"})
    for each in (
        gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, mostly=0.9, notes="Fares"),
        gxe.ExpectColumnValuesToNotBeNull(column="order_id", severity="warning"),
        gxe.ExpectColumnValuesToBeInSet(
            column="order_id", value_set=["a", "b"], row_condition=Column("amount") > 3
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="amount", max_value=9, row_condition="amount > 3", condition_parser="spark"
        ),
        gxe.ExpectColumnMedianToBeBetween(column="amount", min_value=1),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="order_id",
            partition_object={"values": ["a"], "weights": [1.0]},
            threshold=1,
        ),
    ):
        theirs.add_expectation(each)
    written = theirs.to_json_dict()
    assert gx.ExpectationSuite(**written).name == "trips"
    suite = read_suite(suite_of(tmp_path, written), COLUMNS)
    suites.check(suite)
    assert [(rule.severity, rule.why) for rule in suite.rules[:2]] == [
        ("error", "Fares"),
        ("warn", "it does not say why"),
    ]
    assert [compiled(rule) for rule in suite.rules] == [True, True, True, True, False, False]
    assert spark_condition(suite.rules[2]) == "`amount` > 3"
    assert spark_condition(suite.rules[3]) == "amount > 3"


def test_conditions_on_columns_are_those_that_great_expectations_gives_spark() -> None:
    from great_expectations.execution_engine import SparkDFExecutionEngine
    from great_expectations.expectations.row_conditions import Column

    engine = object.__new__(SparkDFExecutionEngine)
    for condition in (
        Column("kind") == "it's",
        Column("a.b") != 3.5,
        (Column("kind") <= 3) & (Column("kind") > -1) & Column("x").is_not_null(),
        (Column("kind").is_in(["a", "b"]) & (Column("kind") < "z")) | Column("x").is_null(),
        Column("kind").is_not_in([1, 2]),
    ):
        theirs = engine.condition_to_filter_clause(condition)
        assert in_sql(json.loads(json.dumps(condition.dict()))) == theirs
    quoted = json.loads(json.dumps((Column("`kind`") == "a").dict()))
    text = {"type": "pass_through", "pass_through_filter": "a"}
    for other in (text, quoted, {"type": "x"}, {}, "a > 3"):
        assert in_sql(other) is None
        assert in_sql({"type": "and", "conditions": [other]}) is None


def test_only_warnings_refuse_nothing(tmp_path: Path) -> None:
    error = refused(suite_of(tmp_path, {"expectations": [expectation(severity="info", meta={})]}))
    assert error.what == "the suite can refuse nothing"


def test_columns_that_need_not_be_there(tmp_path: Path) -> None:
    exist = expectation(type="expect_column_to_exist", kwargs={"column": "zzz"})
    listed = expectation(
        type="expect_table_columns_to_match_ordered_list", kwargs={"column_list": ["zzz"]}
    )
    content = {"expectations": [exist, listed]}
    assert len(read_suite(suite_of(tmp_path, content), COLUMNS).rules) == 2
    unique = {"column_list": ["amount", "zzz"]}
    content["expectations"].append(
        expectation(type="expect_compound_columns_to_be_unique", kwargs=unique)
    )
    assert refused(suite_of(tmp_path, content)).key == "expectations.2.kwargs.column_list"


@pytest.mark.parametrize("severity", ["fatal", "Error", "", None, 1, ["error"]])
def test_bad_severity(tmp_path: Path, severity: Any) -> None:
    meta = {"why": "Because of this", "severity": severity}
    error = refused(suite_of(tmp_path, {"expectations": [expectation(meta=meta)]}))
    assert (error.what, error.key) == ("not a severity", "expectations.0.meta.severity")
    assert (error.found, error.allowed) == (str(severity), "error, warn")


@pytest.mark.parametrize(
    ("argument", "column", "hint"),
    [
        ("column", "ammount", "did you mean 'amount'?"),
        ("column_A", "customer", "did you mean 'customer_id'?"),
        ("column_B", "zzz", "see schemas.py for the columns"),
    ],
)
def test_unknown_column(tmp_path: Path, argument: str, column: str, hint: str) -> None:
    content = {"expectations": [expectation(kwargs={argument: column})]}
    error = refused(suite_of(tmp_path, content))
    assert error.what == "an expectation about a column the table does not have"
    assert error.key == f"expectations.0.kwargs.{argument}"
    assert (error.found, error.allowed, error.hint) == (
        column,
        "order_id, customer_id, amount",
        hint,
    )


@pytest.mark.parametrize(
    ("low", "high", "wrong"),
    [
        (5, 1, True),
        (0.5, 0, True),
        (1, 1, False),
        (None, 1, False),
        ("2024-03-01", "2024-02-29 23:59:59", True),
        ("2024-02-29", "2024-03-01 00:00:00", False),
        ("2024-03-01 00:00:00+02:00", "2024-02-29 23:00:00", False),
        ("0001-01-02", "0001-01-01", True),
        ({"$PARAMETER": "low"}, 1, False),
    ],
)
def test_bounds_the_wrong_way_round(low: Any, high: Any, wrong: bool) -> None:
    for type_ in ("expect_column_values_to_be_between", "expect_column_mean_to_be_between"):
        rule = Rule("r", type_, {"column": "c", "min_value": low, "max_value": high}, "why")
        allowed = "a min_value that is not above max_value"
        assert (allowed in [each for _, each in misfits(rule, {})]) is wrong


@pytest.mark.parametrize(
    "time", ["2024-12-31T00:00:00Z", "2024-12-31 00:00:00+01:00", "2024-12-31"]
)
def test_a_bound_of_the_newest_time_has_no_zone(time: str) -> None:
    for type_, refused in (
        ("expect_column_max_to_be_between", time != "2024-12-31"),
        ("expect_column_min_to_be_between", time != "2024-12-31"),
        ("expect_column_values_to_be_between", False),  # Spark compares, by the zone
    ):
        rule = Rule("r", type_, {"column": "c", "max_value": time}, "why")
        found = list(misfits(rule, {"c": TimestampType()}))
        zone = [(f"max_value {time!r}", "a time in UTC, without a zone")]
        assert found == (zone if refused else [])


@pytest.mark.parametrize(
    "type_",
    [
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_not_be_in_set",
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_distinct_values_to_contain_set",
        "expect_column_distinct_values_to_equal_set",
    ],
)
def test_a_set_of_values_holds_no_null(type_: str) -> None:
    """In SQL ``x IN ('web', NULL)`` is never false: no stranger would break the rule."""
    for values, refused in ((["web", None], True), (["web", ""], False), ([], False)):
        rule = Rule("r", type_, {"column": "c", "value_set": values}, "why")
        told = [found for found, _ in misfits(rule, {"c": StringType()})]
        assert told == ["value_set holds a null"] * refused


@pytest.mark.parametrize(
    ("type_", "arguments", "refused"),
    [
        ("expect_column_values_to_be_in_set", {"value_set": [1, 2**63]}, ["value_set", 2**63]),
        ("expect_column_values_to_be_in_set", {"value_set": [2**63 - 1, -(2**63), 2.0**64]}, []),
        (
            "expect_column_pair_values_to_be_in_set",
            {"column_A": "a", "column_B": "b", "value_pairs_set": [[1, -(2**63) - 1]]},
            ["value_pairs_set", -(2**63) - 1],
        ),
        (LENGTHS, {"max_value": 10**400}, ["max_value", 10**400]),
        (BETWEEN, {"max_value": 2**64}, []),  # a bound is floating point there, and then here
    ],
)
def test_what_is_compared_as_a_whole_number_has_64_bits(
    type_: str, arguments: dict[str, Any], refused: list[Any]
) -> None:
    rule = Rule("r", type_, arguments, "why")
    found = [f"{refused[0]} {refused[1]}"] if refused else []
    assert [said for said, allowed in misfits(rule, {}) if "64 bits" in allowed] == found


def test_a_set_of_pairs_is_not_empty() -> None:
    """Great Expectations cannot run it."""
    pair = {"column_A": "a", "column_B": "b"}
    for pairs, refused in (([], True), ([["x", "y"]], False)):
        arguments = {**pair, "value_pairs_set": pairs}
        rule = Rule("r", "expect_column_pair_values_to_be_in_set", arguments, "why")
        found = [said for said, _ in misfits(rule, {"a": StringType(), "b": StringType()})]
        assert found == ["value_pairs_set is empty"] * refused


def test_a_bound_that_is_beyond_every_number_is_refused() -> None:
    rule = Rule("r", BETWEEN, {"column": "amount", "max_value": 10**400}, "why")
    with pytest.raises(ConfError, match="not an expectation of Great Expectations"):
        suites.check(Suite("s", (rule,), "digest"))


@pytest.mark.parametrize(
    ("type_", "arguments", "refused"),
    [
        ("of_type", {"type_": "int64"}, True),  # pandas'
        ("of_type", {"type_": "LongType"}, False),
        ("of_type", {"type_": "DecimalType"}, False),
        ("of_type", {"type_": "Row"}, True),
        ("of_type", {"type_": None}, False),
        ("in_type_list", {"type_list": ["object", "str"]}, True),
        ("in_type_list", {"type_list": ["object", "StringType"]}, False),
        ("in_type_list", {"type_list": []}, True),
        ("in_type_list", {"type_list": None}, False),
    ],
)
def test_a_type_is_one_of_spark(type_: str, arguments: dict[str, Any], refused: bool) -> None:
    """Great Expectations cannot run a rule that names none it knows; the others it passes over."""
    rule = Rule("r", f"expect_column_values_to_be_{type_}", {"column": "c", **arguments}, "why")
    found = list(misfits(rule, {"c": TimestampType()}))
    assert [allowed for _, allowed in found] == ["its names, like TimestampType"] * refused
    assert all("no type of Spark" in said for said, _ in found)


# ---- verdicts --------------------------------------------------------------------------------


def verdict(
    success: bool,
    elements: int | None,
    unexpected: int | None = None,
    missing: int | None = None,
    observed: str | None = None,
    *,
    type: str = "expect_column_values_to_be_between",
    severity: str = "error",
) -> str | None:
    rule = Rule("amount: between", type, {"column": "amount"}, "Refunds are elsewhere", severity)
    return Verdict(rule, success, elements, unexpected, missing, observed).refusal


def test_a_kept_rule_lets_the_batch_pass() -> None:
    assert verdict(True, 10, 0, 0) is None
    assert verdict(True, 10, 1, 9) is None
    assert verdict(True, None, observed="10") is None


def test_a_broken_rule_says_how_often_and_why_it_is_there() -> None:
    assert verdict(False, 12_000, 1_500, 0) == (
        "amount: between: 1,500 of 12,000 rows break it (Refunds are elsewhere)"
    )


def test_a_broken_rule_about_the_table_says_what_was_seen() -> None:
    assert verdict(False, None, observed="3") == (
        "amount: between: observed 3 (Refunds are elsewhere)"
    )


@pytest.mark.parametrize("success", [True, False])
def test_no_row_cannot_be_judged(success: bool) -> None:
    assert verdict(success, 0, 0, 0) == "amount: between: there is no row to judge"


@pytest.mark.parametrize("success", [True, False])
def test_nothing_but_nulls_cannot_be_judged(success: bool) -> None:
    assert verdict(success, 10, 0, 10) == (
        "amount: between: every value is null, nothing could be judged"
    )


def test_rules_about_nulls_judge_nulls() -> None:
    null = "expect_column_values_to_be_null"
    not_null = "expect_column_values_to_not_be_null"
    assert verdict(True, 10, 0, 10, type=null) is None
    assert verdict(False, 10, 10, 10, type=not_null) == (
        "amount: between: 10 of 10 rows break it (Refunds are elsewhere)"
    )
    assert verdict(True, 0, 0, 0, type=not_null) == "amount: between: there is no row to judge"
    share = "expect_column_proportion_of_non_null_values_to_be_between"
    assert verdict(True, 10, None, 10, "0.0", type=share) is None


@pytest.mark.parametrize(
    ("elements", "unexpected", "missing"), [(10, 10, 0), (0, 0, 0), (10, 0, 10), (None, None, None)]
)
def test_a_warning_never_refuses(
    elements: int | None, unexpected: int | None, missing: int | None
) -> None:
    assert verdict(False, elements, unexpected, missing, "x", severity="warn") is None


# ---- SQL -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("SELECT * FROM {batch} WHERE word LIKE '%{{%'", "word LIKE '%{%'"),
        ("select *\nfrom {batch}\nwhere word RLIKE '^[0-9]{{3}}$' ;", "word RLIKE '^[0-9]{3}$'"),
        ("SELECT * FROM {batch} WHERE word RLIKE '^[0-9]{3}$'", None),
        ("SELECT * FROM {batch} WHERE word = '{word}'", None),
        ("SELECT * FROM {batch} WHERE word = '{'", None),
        ("SELECT * FROM {batch!r} WHERE n > 1", None),
        ("SELECT * FROM {batch.n} WHERE n > 1", None),
        ("SELECT * FROM {batch} WHERE n > (SELECT max(n) FROM {batch})", None),
        ("SELECT n FROM {batch} WHERE n > 1", None),
    ],
)
def test_braces_of_a_query_are_those_of_great_expectations(query: str, condition: str) -> None:
    assert sql_condition(query) == condition


# ---- proposals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "low", "high"),
    [
        (datetime(2024, 2, 29, 23, 59, 59, 1), "2024-02-29 23:59:59", "2024-03-01 00:00:00"),
        (datetime(2024, 2, 29), "2024-02-29 00:00:00", "2024-02-29 00:00:00"),
        (datetime(1, 1, 1), "0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        (datetime.max, "9999-12-31 23:59:59", "9999-12-31 23:59:59.999999"),
        (date(1, 2, 3), "0001-02-03", "0001-02-03"),
    ],
)
def test_a_proposed_bound_is_a_time_that_suites_can_hold(moment: date, low: str, high: str) -> None:
    assert (_text(moment), _text(moment, up=True)) == (low, high)


def proposed(type_: DataType, values: list[Any], **known: Any) -> dict[str, Rule]:
    """The rules proposed for one column of these values, by their types."""
    told = Row(
        rows=len(values),
        values0=len(values),
        distinct0=len(set(values)),
        min0=min(values),
        max0=max(values),
    )
    rows: Any = SimpleNamespace(schema=StructType([StructField("c", type_)]))
    return {each.type: each.rule for each in proposals(rows, told, **known)}


@pytest.mark.parametrize(
    ("type_", "values", "newest"),
    [
        (DateType(), [date(2024, 2, 28), date(2024, 2, 29)], "2024-02-29"),
        (
            TimestampType(),
            [datetime(2024, 2, 28), datetime(2024, 2, 29, 12)],
            "2024-02-29 12:00:00",
        ),
    ],
)
def test_freshness_is_proposed_of_the_event_time_alone(
    type_: DataType, values: list[Any], newest: str
) -> None:
    fresh = "expect_column_max_to_be_between"
    rule = proposed(type_, values, time="c")[fresh]
    assert rule.arguments == {"column": "c", "min_value": newest}
    assert f"the newest was of {newest}" in rule.why
    assert fresh not in proposed(type_, values, time="another")


def test_nothing_unique_is_demanded_where_repeats_were_taken_out() -> None:
    unique, values = "expect_column_values_to_be_unique", list(range(100))
    assert proposed(LongType(), values)[unique].severity == "error"
    assert unique not in proposed(LongType(), values, key=("c",))
    wish = proposed(LongType(), values, key=("c", "another"))[unique]
    assert wish.severity == "warn" and "before repeats of the key are taken out" in wish.why


def test_a_proposal_that_fails_on_a_value_is_named_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = {"column": "kind", "regex": "^a$"}
    found = [
        Proposal("expect_column_values_to_be_unique", {"column": "order_id"}, "a guess"),
        Proposal("expect_column_values_to_match_regex", tried, "1 shape"),
        Proposal("expect_column_values_to_be_between", {"column": "time"}, "a range"),
        Proposal("expect_table_row_count_to_be_between", {"min_value": 1}, "3 rows"),
    ]
    because = "cannot be told of every value: CAST_INVALID_INPUT"
    verdicts = [
        Verdict(found[0].rule, False, 3, 2, 0, None),
        Verdict(found[1].rule, False, 4, 1, 0, None),
        Verdict(found[2].rule, False, None, None, None, because, told=False),
        Verdict(found[3].rule, True, 3, None, None, "3"),
    ]
    named = [f"time: expect_column_values_to_be_between {because}"]
    loose = replace(
        found[1], arguments={**tried, "mostly": 0.75}, evidence="1 shape; 1 of 4 break it"
    )
    assert kept(found, verdicts) == ([loose, found[3]], named)

    monkeypatch.setattr(suggest, "looked_at", lambda rows: rows)
    monkeypatch.setattr(suggest, "proposals", lambda *_, **__: found)
    monkeypatch.setattr(job, "judge", lambda *_, **__: SimpleNamespace(verdicts=verdicts))
    rows: Any = SimpleNamespace(columns=[], select=lambda: rows, first=lambda: Row(rows=3))

    def nothing(*_: Any) -> None: ...

    run = nullcontext(SimpleNamespace(read=nothing, progress=nothing))
    line: Any = SimpleNamespace(
        ledger=SimpleNamespace(run=lambda _: run),
        tables=SimpleNamespace(version=nothing, read=lambda *_, **__: rows),
        problem=SimpleNamespace(name="churn", sources={}),
    )
    path = tmp_path / "silver_orders.json"
    said = job.run(line, table="silver.orders", out=str(path))
    assert said.startswith("2 expectations about 3 rows")
    assert said.endswith(f"; not proposed: {named[0]}")
    assert len(json.loads(path.read_text())["expectations"]) == 2
    verdicts[2] = Verdict(found[2].rule, True, 3, 0, 0, None)
    assert "not proposed" not in job.run(line, table="silver.orders", out=str(tmp_path / "all"))
