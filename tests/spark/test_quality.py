"""The gate's plan beside Great Expectations' own engine, rule by rule and row by row."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest

from driftline import quality, quarantine, suites
from driftline.errors import ConfError
from driftline.jobs import gate
from driftline.rule_checks import check
from driftline.suite_files import Rule, Suite
from driftline.watch import Vitals

DDL = (
    "id int, n bigint, m bigint, x double, word string, other string, flag boolean, "
    "day date, at timestamp"
)

INF, NAN = float("inf"), float("nan")
DAY, NOON = date(2024, 2, 29), datetime(2024, 2, 29, 12)
FRAMES: dict[str, list[tuple]] = {
    "clean": [
        (n, n, n - 1, n / 4, f"w{n}", f"o{n}", True, date(2024, 1, n), datetime(2024, 1, n))
        for n in range(1, 9)
    ],
    "dirty": [
        (0, 5, 4, 0.5, "abc", "abc", True, DAY, NOON),
        (1, 1, 1, 1.5, "A1", "x", False, date(1999, 1, 1), datetime(1999, 1, 1)),
        (2, 10, 11, -1.0, "", "", None, DAY, NOON),
        (3, -7, None, 1e9, "abcdef", "abc", True, None, NOON),
        (4, None, 0, None, None, "x", False, DAY, None),
        (5, 5, 4, 0.5, "abc", "abc", True, DAY, NOON),
        (6, None, None, None, None, None, None, None, None),
    ],
    "null-heavy": [(n, None, None, None, None, None, None, None, None) for n in range(5)]
    + [(9, 3, 2, 0.25, "abc", "b", True, DAY, NOON)],
    "one row": [(0, 5, 4, 0.5, "abc", "b", True, DAY, NOON)],
    "edges": [
        (0, 2**63 - 1, 2**63 - 1, NAN, "é\u0301", "\t", True, date(1, 1, 1), datetime(1970, 1, 1)),
        (1, -(2**63), 0, INF, " abc ", "ABC", False, date(9999, 12, 31), datetime(2262, 1, 1)),
        (2, 0, -1, -INF, "a\nb", "a b", None, DAY, datetime(2024, 3, 10, 2, 30)),
        (3, 1, 1, -0.0, "\u00a0", "null", True, DAY, NOON),
        (4, 5, 5, 0.0, "abc", "🙂", True, DAY, NOON),
    ],
}

# Without 2^63 and its negative: what floats sum up to with them depends on their order.
FRAMES["all sorts"] = FRAMES["dirty"] + FRAMES["edges"][2:]

N, X, WORD, DAYS, AT, FLAG = ({"column": name} for name in ("n", "x", "word", "day", "at", "flag"))
PAIR, WORDS = {"column_A": "n", "column_B": "m"}, {"column_A": "word", "column_B": "other"}
LIST = {"column_list": ["n", "m"]}
TEXTS = {"column_list": ["word", "other"]}
SPARK = {"row_condition": "id > 0 AND word <> 'A1'", "condition_parser": "spark"}
PASSED = {
    "row_condition": {
        "type": "pass_through",
        "pass_through_filter": "id > 0 AND word <> 'A1'",
    }
}
COMPARED = {
    "row_condition": {
        "type": "or",
        "conditions": [
            {"type": "nullity", "column": {"name": "word"}, "is_null": True},
            {
                "type": "and",
                "conditions": [
                    {
                        "type": "comparison",
                        "column": {"name": "id"},
                        "operator": ">",
                        "parameter": 0,
                    },
                    {
                        "type": "comparison",
                        "column": {"name": "word"},
                        "operator": "NOT_IN",
                        "parameter": ["A1", "it's"],
                    },
                ],
            },
        ],
    }
}
SQL = "unexpected_rows_expectation"
LATE = {"min_value": "2024-01-01 00:00:00", "max_value": "2024-12-31 00:00:00"}
IN = {"min_value": 1, "max_value": 5}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", N),
    ("expect_column_values_to_not_be_null", {**N, "mostly": 0.7}),
    ("expect_column_values_to_not_be_null", {**N, **SPARK}),
    ("expect_column_values_to_be_null", N),
    ("expect_column_values_to_be_between", {**N, **IN}),
    ("expect_column_values_to_be_between", {**N, **IN, "mostly": 0.5}),
    ("expect_column_values_to_be_between", {**N, "min_value": 1}),
    ("expect_column_values_to_be_between", {**N, **IN, **SPARK}),
    (
        "expect_column_values_to_be_between",
        {**N, "min_value": 1, "strict_min": True, "max_value": 10, "strict_max": True},
    ),
    ("expect_column_values_to_be_between", {**X, "min_value": 0, "max_value": 1.5}),
    ("expect_column_values_to_be_between", {**X, "max_value": 1e308}),
    ("expect_column_values_to_be_between", {**DAYS, **LATE}),
    ("expect_column_values_to_be_between", {**AT, **LATE}),
    ("expect_column_value_lengths_to_be_between", {**WORD, "min_value": 2, "max_value": 3}),
    ("expect_column_value_lengths_to_equal", {**WORD, "value": 3}),
    ("expect_column_values_to_be_in_set", {**N, "value_set": [5, 10, 0]}),
    ("expect_column_values_to_be_in_set", {**X, "value_set": [0.5, 0]}),
    ("expect_column_values_to_be_in_set", {**FLAG, "value_set": [True]}),
    ("expect_column_values_to_be_in_set", {**WORD, "value_set": ["abc", "A1"]}),
    ("expect_column_values_to_not_be_in_set", {**WORD, "value_set": ["abc", ""]}),
    ("expect_column_values_to_match_regex", {**WORD, "regex": "^[a-z]+$"}),
    ("expect_column_values_to_match_regex", {**WORD, "regex": "b"}),
    ("expect_column_values_to_not_match_regex", {**WORD, "regex": "^abc"}),
    ("expect_column_values_to_match_regex_list", {**WORD, "regex_list": ["^a", "1$"]}),
    (
        "expect_column_values_to_match_regex_list",
        {**WORD, "regex_list": ["^a", "c$"], "match_on": "all"},
    ),
    ("expect_column_values_to_not_match_regex_list", {**WORD, "regex_list": ["^A", "f$"]}),
    ("expect_column_pair_values_a_to_be_greater_than_b", PAIR),
    ("expect_column_pair_values_a_to_be_greater_than_b", {**PAIR, "or_equal": True}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {**PAIR, "ignore_row_if": "either_value_is_missing", "mostly": 0.5},
    ),
    ("expect_column_pair_values_to_be_equal", WORDS),
    ("expect_column_pair_values_to_be_equal", {**WORDS, "ignore_row_if": "neither"}),
    (
        "expect_column_pair_values_to_be_in_set",
        {**WORDS, "value_pairs_set": [["abc", "abc"], ["A1", "x"]]},
    ),
    ("expect_multicolumn_sum_to_equal", {**LIST, "sum_total": 9}),
    (
        "expect_multicolumn_sum_to_equal",
        {**LIST, "sum_total": 0, "ignore_row_if": "any_value_is_missing"},
    ),
    ("expect_multicolumn_sum_to_equal", {**LIST, "sum_total": 2.0**64}),  # of two of 2^63 - 1
    ("expect_multicolumn_values_to_be_equal", TEXTS),
    ("expect_select_column_values_to_be_unique_within_record", TEXTS),
    (
        "expect_select_column_values_to_be_unique_within_record",
        {**TEXTS, "ignore_row_if": "never"},
    ),
    (SQL, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE n < m"}),
    ("expect_table_row_count_to_be_between", {"min_value": 2, "max_value": 7}),
    ("expect_table_row_count_to_equal", {"value": 7}),
    ("expect_column_max_to_be_between", {**N, "max_value": 10}),
    ("expect_column_max_to_be_between", {**X, "max_value": 10}),
    ("expect_column_max_to_be_between", {**AT, **LATE}),
    ("expect_column_min_to_be_between", {**N, "min_value": 0}),
    ("expect_column_min_to_be_between", {**DAYS, "min_value": "2024-01-01"}),
    ("expect_column_min_to_be_between", {**N, "min_value": 0, **SPARK}),
    ("expect_column_mean_to_be_between", {**N, "min_value": 1, "max_value": 5}),
    ("expect_column_mean_to_be_between", {**X, "min_value": 0, "max_value": 2}),
    ("expect_column_stdev_to_be_between", {**N, "min_value": 0, "max_value": 6.5}),
    ("expect_column_sum_to_be_between", {**N, "min_value": 14, "max_value": 14}),
    ("expect_column_sum_to_be_between", {**X, "min_value": 0}),
    ("expect_column_proportion_of_non_null_values_to_be_between", {**N, "min_value": 0.8}),
    ("expect_column_values_to_be_unique", N),
    ("expect_column_values_to_be_unique", {**X, "mostly": 0.5}),
    ("expect_compound_columns_to_be_unique", LIST),
    ("expect_compound_columns_to_be_unique", {**TEXTS, "ignore_row_if": "any_value_is_missing"}),
    ("expect_column_unique_value_count_to_be_between", {**N, "min_value": 2, "max_value": 4}),
    ("expect_column_proportion_of_unique_values_to_be_between", {**N, "min_value": 0.9}),
    ("expect_column_distinct_values_to_be_in_set", {**N, "value_set": [5, 1, 10]}),
    ("expect_column_distinct_values_to_contain_set", {**WORD, "value_set": ["abc", "A1"]}),
    ("expect_column_distinct_values_to_equal_set", {**N, "value_set": [5, 1, 10, -7]}),
    ("expect_column_to_exist", N),
    ("expect_column_to_exist", {"column": "absent"}),
    ("expect_column_values_to_be_of_type", {**N, "type_": "LongType"}),
    ("expect_column_values_to_be_of_type", {**N, "type_": "StringType"}),
    ("expect_column_values_to_be_in_type_list", {**X, "type_list": ["FloatType", "DoubleType"]}),
    ("expect_table_column_count_to_be_between", {"max_value": 8}),
    ("expect_table_column_count_to_equal", {"value": 9}),
    ("expect_table_columns_to_match_set", {"column_set": ["id", "n"], "exact_match": False}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["id", "n"]}),
    # Beyond 64 bits, as the greatest of an unsigned number.
    ("expect_column_values_to_be_between", {**N, "min_value": 0, "max_value": 2**64 - 1}),
    ("expect_column_values_to_be_between", {**X, "min_value": -(2**64)}),
    ("expect_column_max_to_be_between", {**N, "max_value": 2**64}),
    ("expect_multicolumn_sum_to_equal", {**LIST, "sum_total": 2**64}),
    # Times as text, with a date where the column has times and the other way round.
    ("expect_column_max_to_be_between", {**AT, "max_value": "2024-12-31"}),
    ("expect_column_min_to_be_between", {**AT, "min_value": "1970-01-02"}),
    ("expect_column_max_to_be_between", {**DAYS, "max_value": "2024-12-31 00:00:00"}),
    ("expect_column_min_to_be_between", {**DAYS, "min_value": "1999-01-01 00:00:00"}),
    ("expect_column_values_to_be_in_set", {**DAYS, "value_set": ["2024-02-29", "1999-01-01"]}),
    ("expect_column_values_to_not_be_in_set", {**AT, "value_set": ["2024-02-29 12:00:00"]}),
    ("expect_column_distinct_values_to_be_in_set", {**AT, "value_set": ["2024-02-29 12:00"]}),
    ("expect_column_distinct_values_to_contain_set", {**DAYS, "value_set": ["2024-02-29"]}),
    (
        "expect_column_distinct_values_to_equal_set",
        {**DAYS, "value_set": ["2024-02-29", "0001-01-01"]},
    ),
    # Conditions as Great Expectations writes them, and as texts without the parser's name.
    ("expect_column_values_to_be_between", {**N, **IN, **PASSED}),
    ("expect_column_values_to_be_between", {**N, **IN, "row_condition": "id > 0 -- or none"}),
    ("expect_column_mean_to_be_between", {**N, "min_value": 1, **PASSED}),
    ("expect_column_values_to_be_unique", {**N, **PASSED}),
    ("expect_column_values_to_be_between", {**N, **IN, **COMPARED}),
    ("expect_column_mean_to_be_between", {**N, "min_value": 1, **COMPARED}),
    ("expect_column_values_to_be_unique", {**N, **COMPARED}),
    ("expect_column_values_to_match_regex", WORD),
    (SQL, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE word RLIKE '^[a-z]{{3}}$'"}),
    (SQL, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE word LIKE '%{{%' OR n < 0"}),
    (SQL, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE n < m -- the other way round"}),
]
RULES = [
    Rule(f"{place}", type_, arguments, "why") for place, (type_, arguments) in enumerate(CASES)
]


def suite(*rules: Rule) -> Suite:
    return Suite("test", rules, "digest")


@pytest.fixture(scope="module")
def frame(spark):
    made = {}

    def of(name: str):
        if name not in made:
            made[name] = spark.createDataFrame(FRAMES[name], DDL)
        return made[name]

    return of


def test_every_compiled_type_has_a_case() -> None:
    compiled = {*quality.ROWS, *quality.AGGREGATES, *quality.GROUPS, *quality.SCHEMA}
    assert {type_ for type_, _ in CASES} == compiled
    assert len(compiled) >= 30
    assert all(quality.compiled(rule) for rule in RULES)


def facts(result: str) -> list[dict[str, Any]]:
    """What a result says, where it says it, of each rule; decimals to 12 places of the number."""

    def rounded(value: Any) -> Any:
        return float(f"{value:.12g}") if isinstance(value, float) else value

    names = ("element_count", "unexpected_count", "missing_count", "observed_value")
    return [
        {"success": each["success"]} | {name: rounded(each["result"].get(name)) for name in names}
        for each in json.loads(result)["results"]
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[] if each == "all sorts" else pytest.mark.slow) for each in FRAMES],
)
def test_the_plan_gives_great_expectations_verdicts(frame, name: str) -> None:
    """Its own engine runs every rule on the same rows: success, counts and what was observed."""
    rows, asked = frame(name), suite(*RULES)
    ours = gate.judge(rows, asked, meta={})
    theirs = suites.judge(rows, asked, [None] * len(RULES), count=len(FRAMES[name]), meta={})
    told = zip(CASES, facts(ours.result), facts(theirs.result), strict=True)
    assert [each for each in told if each[1] != each[2]] == []


def test_an_empty_batch_an_all_null_column_and_a_broken_rule_are_refusals(frame) -> None:
    between = Rule("b", "expect_column_values_to_be_between", {**N, "min_value": 1}, "why")
    absent = Rule("n", "expect_column_values_to_be_null", N, "why")
    mean = Rule("m", "expect_column_mean_to_be_between", {**N, "max_value": 99}, "why")
    some = Rule("s", between.type, {**N, "min_value": 0, **SPARK}, "why")
    warn = Rule("w", between.type, {**N, "min_value": 2}, "why", "warn")
    asked = suite(between, absent, mean, some, warn)

    def refusals(rows) -> list:
        return [each.refusal for each in gate.judge(rows, asked, meta={}).verdicts]

    dirty = frame("dirty")
    assert (
        refusals(dirty.where("id IN (0, 2)"))
        == [None, "n: 2 of 2 rows break it (why)"] + [None] * 3
    )
    assert refusals(dirty.where("id IN (0, 1)"))[3] is None  # its condition holds for no row
    nothing = "there is no row to judge"
    assert refusals(dirty.where("id > 99")) == [
        *(f"{name}: {nothing}" for name in "bnm"),
        None,
        None,
    ]
    nulls = "every value is null, nothing could be judged"
    assert refusals(dirty.where("id = 4")) == [f"b: {nulls}", None, f"m: {nulls}", None, None]


def test_quantiles_that_great_expectations_finds_are_kept(frame) -> None:
    """It says of each whether it holds in NumPy's truth values."""
    ranges = {"quantiles": [0.1, 0.9], "value_ranges": [[-1e9, 1e9], [1e9, 2e9]]}
    rule = Rule(
        "q", "expect_column_quantile_values_to_be_between", {**N, "quantile_ranges": ranges}, "why"
    )
    judged = gate.judge(frame("clean"), suite(rule), meta={})
    (kept,) = json.loads(judged.result)["results"]
    assert [each.success for each in judged.verdicts] == [False] == [kept["success"]]
    assert judged.verdicts[0].engine == "great_expectations"


def test_what_great_expectations_runs_has_its_own_verdict_whatever_it_is_called(frame) -> None:
    query = "SELECT n FROM {{batch}} GROUP BY n HAVING COUNT(*) > {}"
    rules = [Rule("r", SQL, {"unexpected_rows_query": query.format(k)}, "why") for k in (9, 1, 3)]
    judged = gate.judge(frame("dirty"), suite(*rules), meta={})
    assert [each.success for each in judged.verdicts] == [True, False, True]
    asked = [each["expectation_config"] for each in json.loads(judged.result)["results"]]
    assert [each["kwargs"]["unexpected_rows_query"] for each in asked] == [
        rule.arguments["unexpected_rows_query"] for rule in rules
    ]
    assert all(set(each["meta"]) == {"name", "severity", "why"} for each in asked)
    # Two that are equal but for a default that one of them says.
    median, least = "expect_column_median_to_be_between", {**N, "min_value": 0}
    alike = [
        Rule("r", median, {**least, **more}, "why")
        for more in ({}, {"strict_min": False}, {"min_value": 99})
    ]
    judged = gate.judge(frame("dirty"), suite(*alike), meta={})
    assert [each.success for each in judged.verdicts] == [True, True, False]


def test_results_are_great_expectations_own_and_hold_no_value_of_a_row(frame, tmp_path) -> None:
    """Its library reads them back; what an aggregate saw of a text is masked."""
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResultSchema,
    )

    first = Rule("first", "expect_column_min_to_be_between", {**AT, **LATE}, "why")
    common = Rule(
        "common",
        "expect_column_most_common_value_to_be_in_set",
        {**WORD, "value_set": ["x"]},
        "why",
    )
    number = Rule("number", common.type, {**N, "value_set": [1]}, "why")
    meta = {"run_id": {"run_name": "r1", "run_time": "2024-03-01T12:00:00+00:00"}, "batch": "b7"}
    judged = gate.judge(frame("dirty"), suite(*RULES[:30], first, number, common), meta=meta)
    read = ExpectationSuiteValidationResultSchema().load(json.loads(judged.result))
    assert len(read.results) == 33
    assert read.success is False
    assert "abcdef" not in judged.result.replace('"value_set"', "")
    assert [each.observed for each in judged.verdicts[-2:]] == ["masked", "masked"]
    page = suites.data_docs([judged.result], tmp_path / "docs")
    shown = next(page.parent.glob("validations/**/b7.html")).read_text()
    assert page.exists() and "unexpected values" in shown and "abcdef" not in shown
    assert [each.engine for each in judged.verdicts] == ["plan"] * 31 + ["great_expectations"] * 2


REFUSED = [
    ("expect_column_values_to_be_between", {**WORD, "min_value": 1}, "word is string"),
    ("expect_column_values_to_be_in_set", {**N, "value_set": ["a"]}, "n is bigint"),
    ("expect_column_values_to_be_in_set", {**FLAG, "value_set": [1]}, "flag is boolean"),
    ("expect_column_values_to_be_in_set", {**WORD, "value_set": ["abc", None]}, "a null"),
    ("expect_column_values_to_be_in_set", {**N, "value_set": [1, 2**63]}, "9223372036854775808"),
    ("expect_column_value_lengths_to_equal", {**WORD, "value": 2**64}, "18446744073709551616"),
    ("expect_column_max_to_be_between", {**AT, "max_value": "soon"}, "at is timestamp"),
    ("expect_column_values_to_be_between", {**DAYS, "min_value": "2024-02-30"}, "day is date"),
    ("expect_column_mean_to_be_between", {**WORD, "min_value": 1}, "word is string"),
    ("expect_column_values_to_match_regex", {**WORD, "regex": "("}, "Unclosed group"),
    ("expect_column_values_to_match_regex_list", {**WORD, "regex_list": ["a", "[b"]}, "Unclosed"),
    ("expect_column_values_to_match_regex", {**N, "regex": "1"}, "n is bigint"),
    ("expect_column_values_to_be_between", {**N, "min_value": 0, "row_condition": "nn > 1"}, "nn"),
    ("expect_column_values_to_be_between", {**WORD, "min_value": "2024-01-01"}, "word is string"),
    ("expect_column_max_to_be_between", {**WORD, "max_value": "2024-01-01"}, "word is string"),
    ("expect_column_min_to_be_between", {**FLAG, "min_value": True}, "flag is boolean"),
    (
        "expect_select_column_values_to_be_unique_within_record",
        {**TEXTS, "ignore_row_if": "any_value_missing"},
        "ignore_row_if 'any_value_missing'",
    ),
]
CONDITIONS = [
    ("n >", "PARSE_SYNTAX_ERROR"),
    ("n > (SELECT 1)", "a subquery"),
    ("EXISTS (SELECT 1)", "a subquery"),
    ("sum(n) > 1", "INVALID_WHERE_CONDITION"),
    ("row_number() OVER (ORDER BY n) > 1", "WINDOW_FUNCTION_NOT_ALLOWED"),
    ("rand() > 0.5", "not the same each time"),
    ("reflect('java.lang.System', 'exit', 0) = '1'", "runs code"),
    ("`java_method`('java.lang.Runtime', 'getRuntime') = '1'", "runs code"),
    ("n + 1", "DATATYPE_MISMATCH"),
    ("at > now()", "not the same each time"),
    ("at > 'now'", "not the same each time"),
    ("at > TIMESTAMP 'now'", "not the same each time"),
    ("day < DATE'today'", "not the same each time"),
    ("day < cast('Tomorrow ' AS date)", "not the same each time"),
]
QUERIES = [
    ("DROP TABLE x", "DropTable"),
    ("SELECT * FROM {batch} JOIN other ON true", "Join"),
    ("SELECT * FROM secrets", "secrets"),
    ("SELECT n FROM {batch} WHERE n IN (SELECT m FROM {batch})", "a subquery"),
    ("SELECT reflect('java.lang.System', 'exit', 0) FROM {batch}", "runs code"),
    ("SELECT n FROM {batch} WHERE rand() > 0.5", "not the same each time"),
    ("SELECT n FROM {batch} GROUP BY n HAVING max(at) < now()", "not the same each time"),
    ("SELECT n FROM {batch} WHERE at < 'yesterday'", "not the same each time"),
    ("SELECT n FROM {batch} WHERE nn > 1", "nn"),
    ("SELECT n FROM the_batch", "the_batch"),
    ("SELECT * FROM {batch} WHERE word RLIKE '^[0-9]{3}$'", "{3}"),
    ("SELECT n FROM {batch} WHERE word LIKE '{%'", "'}'"),
    ("INSERT INTO x SELECT * FROM {batch}", "InsertInto"),
    ("SELECT * FROM {batch} WHERE n > 1; DROP TABLE x", "PARSE_SYNTAX_ERROR"),
]


def test_what_cannot_be_run_is_refused_before_a_row_is_read(spark, frame) -> None:
    rows = frame("dirty")
    between = {**N, "min_value": 0, "condition_parser": "spark"}
    cases = [(type_, {"condition_parser": "spark", **a}, said) for type_, a, said in REFUSED]
    cases += [
        ("expect_column_values_to_be_between", {**between, "row_condition": text}, said)
        for text, said in CONDITIONS
    ]
    for text, said in CONDITIONS:
        passed = {"type": "pass_through", "pass_through_filter": text}
        deep = {"type": "or", "conditions": [{"type": "and", "conditions": [passed]}]}
        median = "expect_column_median_to_be_between"  # which Great Expectations runs
        cases += [
            ("expect_column_values_to_be_between", {**between, "row_condition": passed}, said),
            (median, {**N, "min_value": 0, "row_condition": passed}, said),
            (median, {**N, "min_value": 0, "row_condition": deep}, said),
            (median, {**N, "min_value": 0, "row_condition": text}, said),
            (SQL, {"unexpected_rows_query": f"SELECT * FROM {{batch}} WHERE {text}"}, said),
        ]
    cases += [(SQL, {"unexpected_rows_query": text}, said) for text, said in QUERIES]
    jobs = spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()
    for type_, arguments, said in cases:
        with pytest.raises(ConfError) as caught:
            check(rows, suite(Rule("the rule", type_, arguments, "why")))
        assert said in caught.value.found, (type_, arguments, caught.value.found)
        assert "the rule" in caught.value.key and caught.value.hint
    assert spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs() == jobs
    check(rows, suite(*RULES))
    named = Rule(
        "r", SQL, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE word = 'now'"}, ""
    )
    check(rows, suite(named))
    assert not [each for each in spark.catalog.listTables() if each.name.startswith("batch_")]


def test_an_expectation_nobody_knows_is_refused() -> None:
    for type_, arguments in (
        ("expect_column_values_to_be_nice", N),
        ("expect_column_values_to_be_between", {**N, "minimum": 1}),
        ("expect_column_values_to_be_between", N),
    ):
        with pytest.raises(ConfError, match="not an expectation of Great Expectations"):
            suites.check(suite(Rule("r", type_, arguments, "why")))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM {batch} WHERE n < 0 LIMIT 10",
        "SELECT * FROM {batch} WHERE n < 0 ORDER BY m, n DESC",
        "SELECT * FROM {batch} WHERE n < 0 order by n\nlimit 2 offset 0",
        "SELECT * FROM {batch} AS b WHERE length(b.word) > 5",
        "SELECT id FROM {batch} WHERE upper(word) = 'ABC'",
        "SELECT n, COUNT(*) FROM {batch} GROUP BY n HAVING COUNT(*) > 1",
    ],
)
def test_a_query_that_is_more_than_a_condition_is_run_as_it_is(frame, query: str) -> None:
    rule = Rule("r", "unexpected_rows_expectation", {"unexpected_rows_query": query}, "why")
    check(frame("dirty"), suite(rule))
    [verdict] = gate.judge(frame("dirty"), suite(rule), meta={}).verdicts
    assert (verdict.success, verdict.engine) == (False, "great_expectations")


@pytest.mark.parametrize(
    "condition", ["limit > 5", "`order by` = 1", "word = 'no limit 10'", "word <> ' order by x'"]
)
def test_a_condition_is_compiled_whatever_its_words_are(condition: str) -> None:
    assert quality.sql_condition(f"SELECT * FROM {{batch}} WHERE {condition};") == condition


CAST, DIVISION = "cast(word AS int) > 1", "1 / (n - 5) > 0"
FAILING = [
    Rule(f"{text} {severity}", type_, arguments, "y", severity)
    for text, severity in ((CAST, "error"), (DIVISION, "warn"))
    for where in ({"row_condition": text, "condition_parser": "spark"},)
    for type_, arguments in (
        (SQL, {"unexpected_rows_query": f"SELECT * FROM {{batch}} WHERE {text}"}),
        ("expect_column_values_to_be_between", {**N, "max_value": 99, **where}),
        ("expect_column_values_to_be_unique", {**N, **where}),
        ("expect_column_median_to_be_between", {**N, "max_value": 99, **where}),
        (SQL, {"unexpected_rows_query": f"SELECT n FROM {{batch}} WHERE {text} GROUP BY n"}),
    )
]


def test_a_rule_that_fails_on_a_value_has_a_verdict_of_its_own(frame, tmp_path) -> None:
    """As Great Expectations has it, which keeps the value with it; the others have theirs."""
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResultSchema,
    )

    median = Rule("median", "expect_column_median_to_be_between", {**N, "max_value": 99}, "why")
    others = [*RULES[:3], median, *RULES[3:6]]
    check(frame("dirty"), suite(*FAILING))
    meta = {"run_id": {"run_name": "r1", "run_time": "2024-03-01T12:00:00+00:00"}, "batch": "b7"}
    vitals = Vitals(("n",), "at", "at")
    together = gate.judge(
        frame("dirty"), suite(*others[:4], *FAILING, *others[4:]), meta=meta, vitals=vitals
    )
    alone = gate.judge(frame("dirty"), suite(*others), meta=meta, vitals=vitals)
    failed = together.verdicts[4 : 4 + len(FAILING)]
    assert [*together.verdicts[:4], *together.verdicts[4 + len(FAILING) :]] == alone.verdicts
    assert (together.rows, together.told) == (alone.rows, alone.told)
    for each in failed:
        cast = each.rule.severity == "error"
        said = (
            f"cannot be told of every value: {'CAST_INVALID_INPUT' if cast else 'DIVIDE_BY_ZERO'}"
        )
        assert (each.success, each.told, each.observed) == (False, False, said)
        assert each.element_count is each.unexpected_count is each.missing_count is None
        hint = "in its SQL use try_cast, try_divide"
        assert each.refusal == (f"{each.rule.name}: {said}; {hint} (y)" if cast else None)
    assert [each.engine for each in failed] == (["plan"] * 3 + ["great_expectations"] * 2) * 2
    read = ExpectationSuiteValidationResultSchema().load(json.loads(together.result))
    raised = [each.exception_info["raised_exception"] for each in read.results]
    assert raised == [False] * 4 + [True] * len(FAILING) + [False] * 3
    assert "abc" not in "".join(str(each.exception_info) for each in read.results)
    page = suites.data_docs([together.result], tmp_path / "docs")
    shown = next(page.parent.glob("validations/**/b7.html")).read_text()
    assert "raised an exception" in shown and "every value: CAST_INVALID_INPUT" in shown


def test_what_fails_whatever_the_rules_are_is_no_verdict_on_them(frame) -> None:
    """Nor does it say the value."""
    rows = frame("dirty").where(CAST)
    with pytest.raises(ConfError) as caught:
        gate.judge(rows, suite(*RULES[:8]), meta={})
    assert caught.value.found == "CAST_INVALID_INPUT"
    assert "abc" not in str(caught.value)


def test_numbers_of_values_are_not_taken_for_numbers_of_rows(frame) -> None:
    """Great Expectations gives the same names to both."""
    begin = "expect_column_distinct_values_to_"
    asked = suite(
        Rule("in", f"{begin}be_in_set", {**N, "value_set": [5, 1]}, "why"),
        Rule("contain", f"{begin}contain_set", {**N, "value_set": [5, 77]}, "why"),
        Rule("equal", f"{begin}equal_set", {**N, "value_set": [5, 77]}, "why"),
    )
    verdicts = gate.judge(frame("dirty"), asked, meta={}).verdicts
    assert [(each.unexpected_count, each.missing_count) for each in verdicts] == [(None, 2)] * 3
    assert [each.refusal for each in verdicts] == [
        "in: observed 2 different values are not in the set (why)",
        "contain: observed 1 values of the set are absent (why)",
        "equal: observed 3 different values are not in the set; "
        "1 values of the set are absent (why)",
    ]
    full = frame("dirty").where("id IN (0, 1)")  # two rows of it, two of the set are absent
    absent = Rule("contain", f"{begin}contain_set", {**N, "value_set": [8, 9]}, "why")
    [verdict] = gate.judge(full, suite(absent), meta={}).verdicts
    assert verdict.refusal == "contain: observed 2 values of the set are absent (why)"


# ---- splitting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dirty", "edges"])
def test_each_rule_names_the_rows_that_break_it(frame, name: str) -> None:
    """As many as it counts, and each rule beside all others as it does alone."""
    by_row = [rule for rule in RULES if quality.by_row(rule)]
    rows = frame(name)
    told = rows.select(
        "id", quarantine.broken(by_row).alias("rules"), quarantine.is_bad(by_row).alias("b")
    )
    broken = {row.id: [each.name for each in row.rules] for row in told.collect()}
    counts = {
        each.rule.name: each.unexpected_count
        for each in gate.judge(rows, suite(*by_row), meta={}).verdicts
    }
    assert {rule: sum(rule in names for names in broken.values()) for rule in counts} == counts
    assert {row.id: row.b for row in told.collect()} == {id_: bool(r) for id_, r in broken.items()}


KEPT = (
    "n bigint, m bigint, x double, word string, other string, flag boolean, day date, at timestamp"
)


def test_bad_rows_keep_their_reasons_and_come_back_as_they_were(frame) -> None:
    high = Rule("n: high", "expect_column_values_to_be_between", {**N, "max_value": 9}, "y")
    absent = Rule("no day", "expect_column_values_to_not_be_null", DAYS, "y")
    warn = Rule("warn", "expect_column_values_to_be_null", N, "y", "warn")
    table = Rule("t", "expect_table_row_count_to_be_between", {"min_value": 99}, "y")
    rules = quarantine.splitting(suite(high, absent, warn, table))
    assert rules == [high, absent]
    rows = (
        frame("edges")
        .unionByName(frame("dirty"))
        .selectExpr("*", "'d' AS _delivery", "cast(id AS bigint) AS _offset", "'b1' AS _batch")
    )
    columns = [each.split(" ")[0] for each in KEPT.split(", ")]
    kept = quarantine.quarantined(rows, rules, columns, table="silver.x", run_id="r")
    found = sorted(kept.collect(), key=lambda row: row.rules[0].name + row.row)
    assert [[(each.name, each.columns) for each in row.rules] for row in found] == [
        [("n: high", ["n"])],
        [("n: high", ["n"])],
        [("no day", ["day"])],
        [("no day", ["day"])],
    ]
    assert {each.fingerprint for row in found for each in row.rules} == {
        high.fingerprint,
        absent.fingerprint,
    }
    assert {(row.table, row.delivery, row.batch, row.run_id) for row in found} == {
        ("silver.x", "d", "b1", "r")
    }
    back = quarantine.restored(
        quarantine.quarantined(rows, [warn], columns, table="t", run_id="r"), KEPT
    )
    came = back.select(*columns, "_delivery", "_offset", "_batch")
    assert sorted(map(str, came.collect())) == sorted(
        map(str, rows.where("n IS NOT NULL").select(*came.columns).collect())
    )
    assert {row._readable for row in back.collect()} == {True}
    mended = kept.selectExpr("* EXCEPT (row)", '\'{"n": "many"}\' AS row')
    assert {row._readable for row in quarantine.restored(mended, KEPT).collect()} == {False}
    misspelt = kept.selectExpr("* EXCEPT (row)", '\'{"n": 1, "dya": "2024-02-29"}\' AS row')
    assert {row._readable for row in quarantine.restored(misspelt, KEPT).collect()} == {False}
    fewer = KEPT.removesuffix(", at timestamp")  # a column that was dropped since
    assert {row._readable for row in quarantine.restored(kept, fewer).collect()} == {True}


# ---- repeats -------------------------------------------------------------------------------------

KEYED = "id int, k string, k2 bigint, time timestamp, _delivery string, _offset bigint"


def repeats(spark, rows: list[tuple], seen=None, key=("k", "k2")) -> set:
    given = spark.createDataFrame(rows, KEYED)
    marked = quarantine.mark_repeats(given, seen, key=key, time="time")
    assert sorted(marked.columns) == sorted([*given.columns, "_repeat"])
    found = marked.collect()
    assert len(found) == len(rows)
    return {row.id for row in found if row._repeat}


ONE = datetime(2024, 2, 29, 13)


def test_the_first_of_a_key_is_by_time_then_delivery_then_place(spark) -> None:
    rows = [
        (0, "late", 1, ONE, "a", 0),
        (1, "late", 1, NOON, "z", 9),
        (2, "delivery", 1, NOON, "b", 0),
        (3, "delivery", 1, NOON, "a", 9),
        (4, "place", 1, NOON, "a", 20),
        (5, "place", 1, NOON, "a", 3),
        (6, "place", 1, NOON, "a", 100),
        (7, "place", 2, NOON, "a", 30),
        (8, "no time", 1, None, "a", 31),
        (9, "no time", 1, None, "a", 30),
        (10, None, 1, NOON, "a", 0),
        (11, None, 1, NOON, "a", 1),
    ]
    assert repeats(spark, rows) == {0, 2, 4, 6, 8}
    assert repeats(spark, rows, key=()) == set()


def test_a_key_that_was_seen_repeats_unless_it_is_null(spark) -> None:
    rows = [
        (0, "old", 1, NOON, "a", 0),
        (1, "new", 1, NOON, "a", 1),
        (2, None, 1, NOON, "a", 2),
        (3, "old", 2, NOON, "a", 3),
    ]
    seen = spark.createDataFrame(
        [("old", 1, "x"), ("old", 1, "y"), (None, 1, "z")], "k string, k2 bigint, other string"
    )
    assert repeats(spark, rows, seen) == {0}
