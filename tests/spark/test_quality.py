"""The gate, row by row: each rule breaks what Great Expectations says is broken, nothing else."""

from __future__ import annotations

from datetime import datetime

import pytest

from driftline import quality, suites
from driftline.quality import RULES, Rule, Suite

DDL = "id int, n bigint, m bigint, word string, _delivery string, _offset bigint"

# (id, n, m, word); rule, its arguments, the ids of the rows that break it.
ROWS = [
    (0, 5, 4, "abc", "d", 0),
    (1, 1, 1, "A1", "d", 1),
    (2, 10, 11, "", "d", 2),
    (3, -7, None, "abcdef", "d", 3),
    (4, None, 0, None, "d", 4),
]
COLUMN_N, COLUMN_WORD = {"column": "n"}, {"column": "word"}
PAIR = {"column_A": "n", "column_B": "m"}
CASES = [
    ("expect_column_values_to_not_be_null", COLUMN_N, {4}),
    ("expect_column_values_to_be_null", COLUMN_N, {0, 1, 2, 3}),
    ("expect_column_values_to_be_between", {**COLUMN_N, "min_value": 1, "max_value": 5}, {2, 3}),
    ("expect_column_values_to_be_between", {**COLUMN_N, "min_value": 1}, {3}),
    ("expect_column_values_to_be_between", {**COLUMN_N, "max_value": 5}, {2}),
    (
        "expect_column_values_to_be_between",
        {**COLUMN_N, "min_value": 1, "strict_min": True, "max_value": 10, "strict_max": True},
        {1, 2, 3},
    ),
    (
        "expect_column_value_lengths_to_be_between",
        {**COLUMN_WORD, "min_value": 2, "max_value": 3},
        {2, 3},
    ),
    ("expect_column_values_to_be_in_set", {**COLUMN_N, "value_set": [5, 10]}, {1, 3}),
    ("expect_column_values_to_not_be_in_set", {**COLUMN_WORD, "value_set": ["abc", ""]}, {0, 2}),
    ("expect_column_values_to_match_regex", {**COLUMN_WORD, "regex": "^[a-z]+$"}, {1, 2}),
    ("expect_column_values_to_match_regex", {**COLUMN_WORD, "regex": "b"}, {1, 2}),
    ("expect_column_values_to_not_match_regex", {**COLUMN_WORD, "regex": "^abc"}, {0, 3}),
    ("expect_column_pair_values_a_to_be_greater_than_b", PAIR, {1, 2}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {**PAIR, "or_equal": True}, {2}),
]


def suite(*rules: Rule) -> Suite:
    return Suite("test", rules, "digest")


NUMBERED = [
    Rule(f"{place}", type_, arguments, "why") for place, (type_, arguments, _) in enumerate(CASES)
]


@pytest.fixture(scope="module")
def rows(spark):
    return spark.createDataFrame(ROWS, DDL)


def test_every_rule_has_a_case() -> None:
    assert {type_ for type_, _, _ in CASES} == set(RULES)


def test_each_rule_names_the_rows_that_break_it(rows) -> None:
    """In one judgement of all rules at once, as in the pipeline; a null breaks only null rules."""
    judged = quality.judge(rows, suite(*NUMBERED)).collect()
    broken = [{row.id for row in judged if rule.name in row._rules} for rule in NUMBERED]
    assert broken == [ids for _, _, ids in CASES]


def test_great_expectations_counts_the_same(rows) -> None:
    """Its own engine, on the same rows, rule by rule."""
    verdicts = suites.validate(rows, suite(*NUMBERED), file="test")
    assert [(each.rule.name, each.unexpected_count) for each in verdicts] == [
        (str(place), len(ids)) for place, (_, _, ids) in enumerate(CASES)
    ]
    assert not any(each.success for each in verdicts)
    assert {each.element_count for each in verdicts} == {5}


def test_warnings_and_rules_about_the_table_break_no_row(rows) -> None:
    warn = Rule("w", "expect_column_values_to_not_be_null", COLUMN_N, "why", "warn")
    table = Rule("t", "expect_table_row_count_to_be_between", {"min_value": 99}, "why")
    judged = quality.judge(rows, suite(warn, table))
    assert dict(judged.dtypes)["_rules"] == "array<string>"
    assert [row._rules for row in judged.collect()] == [[]] * 5


def test_an_empty_batch_an_all_null_column_and_a_broken_rule_are_refusals(rows) -> None:
    between = Rule("b", "expect_column_values_to_be_between", {**COLUMN_N, "min_value": 1}, "why")
    absent = Rule("n", "expect_column_values_to_be_null", COLUMN_N, "why")
    warn = Rule("w", between.type, {**COLUMN_N, "min_value": 2}, "why", "warn")
    judged = suite(between, absent, warn)

    def refusals(batch) -> list:
        return [each.refusal for each in suites.validate(batch, judged, file="test")]

    assert refusals(rows.where("id < 3")) == [None, "n: 3 of 3 rows break it (why)", None]
    assert refusals(rows) == [
        "b: 1 of 5 rows break it (why)",
        "n: 4 of 5 rows break it (why)",
        None,
    ]
    nothing = "there is no row to judge"
    assert refusals(rows.where("id > 99")) == [f"b: {nothing}", f"n: {nothing}", None]
    assert refusals(rows.where("id = 4")) == [
        "b: every value is null, nothing could be judged",
        None,
        None,
    ]


def test_bad_rows_keep_their_reasons_and_their_values(rows) -> None:
    high = Rule("n: high", "expect_column_values_to_be_between", {**COLUMN_N, "max_value": 9}, "y")
    abc = {**COLUMN_WORD, "value_set": ["abc"]}
    word = Rule("word: set", "expect_column_values_to_be_in_set", abc, "y")
    judged = quality.judge(rows, suite(high, word)).selectExpr("*", "'b1' AS _batch")
    found = quality.quarantined(judged, ["n", "word"], table="silver.x", run_id="r").collect()
    assert sorted(map(tuple, found)) == [
        ("silver.x", "d", 1, ["word: set"], '{"n":1,"word":"A1"}', "b1", "r"),
        ("silver.x", "d", 2, ["n: high", "word: set"], '{"n":10,"word":""}', "b1", "r"),
        ("silver.x", "d", 3, ["word: set"], '{"n":-7,"word":"abcdef"}', "b1", "r"),
    ]


# --- repeats -------------------------------------------------------------------------------------

KEYED = "id int, k string, k2 bigint, time timestamp, _delivery string, _offset bigint, bad boolean"


def keyed(spark, *rows: tuple):
    """Rows as :func:`quality.judge` leaves them; the last value says whether a rule is broken."""
    judged = spark.createDataFrame(list(rows), KEYED)
    return judged.selectExpr("*", "if(bad, array('r'), array()) AS _rules")


def repeats(judged, seen=None, key=("k", "k2")) -> set:
    marked = quality.mark_repeats(judged, seen, key=key, time="time")
    assert sorted(marked.columns) == sorted([*judged.columns, "_repeat"])
    rows = marked.collect()
    assert len(rows) == judged.count()
    return {row.id for row in rows if row._repeat}


NOON, ONE = datetime(2024, 3, 1, 12), datetime(2024, 3, 1, 13)


def test_the_first_of_a_key_is_by_time_then_delivery_then_place(spark) -> None:
    judged = keyed(
        spark,
        (0, "late", 1, ONE, "a", 0, False),
        (1, "late", 1, NOON, "z", 9, False),
        (2, "delivery", 1, NOON, "b", 0, False),
        (3, "delivery", 1, NOON, "a", 9, False),
        (4, "place", 1, NOON, "a", 20, False),
        (5, "place", 1, NOON, "a", 3, False),
        (6, "place", 1, NOON, "a", 100, False),
        (7, "place", 2, NOON, "a", 30, False),
        (8, "no time", 1, None, "a", 31, False),
        (9, "no time", 1, None, "a", 30, False),
    )
    assert repeats(judged) == {0, 2, 4, 6, 8}


def test_a_null_in_the_key_never_repeats_and_a_bad_row_neither(spark) -> None:
    judged = keyed(
        spark,
        (0, None, 1, NOON, "a", 0, False),
        (1, None, 1, NOON, "a", 1, False),
        (2, "x", None, NOON, "a", 2, False),
        (3, "x", None, NOON, "a", 3, False),
        # The first of the key is bad: it goes to quarantine, and the next one is the first.
        (4, "y", 1, NOON, "a", 4, True),
        (5, "y", 1, NOON, "a", 5, False),
        (6, "y", 1, NOON, "a", 6, True),
        (7, "y", 1, NOON, "a", 7, False),
    )
    assert repeats(judged) == {7}


def test_a_key_that_was_seen_repeats_unless_it_is_null(spark) -> None:
    judged = keyed(
        spark,
        (0, "old", 1, NOON, "a", 0, False),
        (1, "new", 1, NOON, "a", 1, False),
        (2, None, 1, NOON, "a", 2, False),
        (3, "old", 2, NOON, "a", 3, False),
        (4, "old", 1, NOON, "a", 4, True),
    )
    seen = spark.createDataFrame(
        [("old", 1, "x"), ("old", 1, "y"), (None, 1, "z")], "k string, k2 bigint, other string"
    )
    assert repeats(judged, seen) == {0}


def test_without_a_key_nothing_repeats(spark) -> None:
    judged = keyed(spark, (0, "a", 1, NOON, "a", 0, False), (1, "a", 1, NOON, "a", 0, False))
    assert repeats(judged, key=()) == set()
