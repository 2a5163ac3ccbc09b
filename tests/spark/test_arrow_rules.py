"""What Arrow tells of rows in files is what Spark tells of them, or it is not told by Arrow."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tests.spark.test_quality import DDL, FRAMES, INF, NAN, RULES, facts, suite

from driftline import arrow_files, arrow_rules, arrow_scan, measures, quality, re2
from driftline.arrow_files import Files
from driftline.jobs import gate
from driftline.suite_files import Rule
from driftline.watch import Vitals

SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("n", pa.int64()),
        ("m", pa.int64()),
        ("x", pa.float64()),
        ("word", pa.string()),
        ("other", pa.string()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
VITALS = Vitals(("id", "n", "x", "word"), "at", "at")
NOW = datetime(2024, 3, 1, tzinfo=timezone.utc)


SUMS = ("expect_column_mean_to_be_between", "expect_column_sum_to_be_between")


def files_of(rows: Sequence[tuple], folder: Path, *, parts: int) -> Files:
    """Some rows in files of several row groups, every second one among rows of another batch."""
    utc = [
        [
            each.replace(tzinfo=timezone.utc) if isinstance(each, datetime) else each
            for each in column
        ]
        for column in zip(*rows, strict=True)
    ]
    whole = pa.table(
        [pa.array(column, each.type) for column, each in zip(utc, SCHEMA, strict=True)],
        schema=SCHEMA,
    )
    paths = []
    for part in range(parts):
        mine = whole.filter(pa.array([place % parts == part for place in range(len(rows))]))
        both = [named(mine, "b1"), *([named(whole, "b2")] if part % 2 else [])]
        paths.append(str(folder / f"{part}.parquet"))
        pq.write_table(
            pa.concat_tables(reversed(both)), paths[-1], row_group_size=1 + len(rows) // 3
        )
    return arrow_files.found(paths, SCHEMA, ("_batch", "b1"))


def named(rows: pa.Table, batch: str) -> pa.Table:
    return rows.append_column("_batch", pa.array([batch] * len(rows), pa.string()))


@pytest.mark.parametrize("name", FRAMES)
def test_arrow_and_spark_have_the_same_verdicts(spark, tmp_path, name: str) -> None:
    """Of every type, on every frame."""
    rows = spark.createDataFrame(FRAMES[name], DDL)
    files = files_of(FRAMES[name], tmp_path, parts=3)
    # What floats sum up to with 2^63 and its negative depends on their order.
    asked = [each for each in RULES if name != "edges" or each.type not in SUMS]
    plan = gate.judge(rows, suite(*asked), meta={}, vitals=VITALS)
    arrow = gate.judge(rows, suite(*asked), meta={}, vitals=VITALS, files=files)
    told = zip(asked, facts(arrow.result), facts(plan.result), strict=True)
    assert [each for each in told if each[1] != each[2]] == []
    assert arrow.rows == plan.rows == len(FRAMES[name])
    assert VITALS.measured(arrow.told) == VITALS.measured(plan.told)


def test_what_arrow_tells(spark) -> None:
    """Most of the cases; never what has a condition, or a regular expression of Java's own."""
    told = {place for place, rule in enumerate(RULES) if arrow_rules.tells(rule, SCHEMA)}
    assert len(told) > 0.6 * len(RULES)
    assert not any("row_condition" in RULES[place].arguments for place in told)
    for regex in ("(?i)a", "a++", r"\bword", "(?<=a)b", r"(a)\1", "[a-z&&[^b]]", r"\p{L}", "a$b"):
        word = {"column": "word", "regex": regex}
        rule = Rule("r", "expect_column_values_to_match_regex", word, "why")
        assert not arrow_rules.tells(rule, SCHEMA), regex


NUMBERS = [None, NAN, INF, -INF, -0.0, 0.0, 1.0, 1.5, -1.5, 1e308, 5e-324, 2.0**53, 2.0**53 + 2]
WHOLE = [None, 0, 1, -1, 5, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]


def test_random_rows_and_rules(spark, tmp_path) -> None:
    """Bounds at, just below and beyond the values that are hard to compare."""
    chance = random.Random(7)
    words = [None, "", "abc", "A1", "é\u0301", "🙂", "a\nb"]
    rows = [
        (
            place,
            chance.choice(WHOLE),
            chance.choice(WHOLE),
            chance.choice(NUMBERS),
            chance.choice(words),
            chance.choice(words),
            chance.choice([None, True, False]),
            None,
            chance.choice([None, NOW + timedelta(microseconds=chance.randint(-2, 2))]),
        )
        for place in range(2_000)
    ]
    rules = [Rule("r", *_random(chance), "why") for _ in range(150)]
    assert all(arrow_rules.tells(rule, SCHEMA) for rule in rules)
    files = files_of(rows, tmp_path, parts=4)
    told = arrow_scan.scan(spark, files, rules, ("at",))
    naive = [
        tuple(e.replace(tzinfo=None) if isinstance(e, datetime) else e for e in r) for r in rows
    ]
    seen = measures.scan(spark.createDataFrame(naive, DDL), rules).first()
    wrong = []
    for place, rule in enumerate(rules):
        expected = {
            name: seen[f"r{place}_{n}"] for n, name in enumerate(measures.numbers_asked(rule))
        }
        found = arrow_scan.numbers(place, rule, told)
        if list(found) != list(expected) or not all(
            _alike(found[each], expected[each]) for each in expected
        ):
            wrong.append((rule.type, rule.arguments, found, expected))
    assert wrong == []
    assert told.newest["at"] == max(row[8] for row in rows if row[8])


def _alike(one: Any, other: Any, *, within: float = 1e-12) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=within)
    return bool(one == other)


def _random(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """An expectation and its arguments."""
    column = chance.choice(["n", "x", "at"])
    bounds = {
        "n": [None, 0, 1, 2**53, 2**53 + 0.0, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 0.5],
        "x": [None, 0, 1, 1.5, -1.5, 2**53 + 1, 1e308, 2**64],
        "at": [None, "2024-03-01", "2024-03-01 00:00:00.000001", "2024-03-01T00:00:00"],
    }[column]
    between = {
        "column": column,
        "min_value": chance.choice(bounds),
        "max_value": chance.choice(bounds),
        "strict_min": chance.random() < 0.5,
        "strict_max": chance.random() < 0.5,
    }
    numbers = {"column": chance.choice(["n", "x"]), "min_value": 0}
    pair = {"column_A": "n", "column_B": chance.choice(["m", "x"])}
    if chance.random() < 0.3:
        pair = {"column_A": "x", "column_B": "x"}
    pair["ignore_row_if"] = chance.choice(list(quality.IGNORING["column_A"]))
    words = {"column": "word", "value_set": chance.sample(["", "abc", "A1", "é\u0301", "z"], 2)}
    return chance.choice(
        [
            ("expect_column_values_to_be_between", between),
            ("expect_column_values_to_be_between", between),
            ("expect_column_pair_values_a_to_be_greater_than_b", pair),
            ("expect_column_pair_values_a_to_be_greater_than_b", {**pair, "or_equal": True}),
            ("expect_column_pair_values_to_be_equal", pair),
            ("expect_column_values_to_be_in_set", words),
            ("expect_column_values_to_not_be_in_set", {"column": "n", "value_set": [1, 2**53]}),
            ("expect_column_max_to_be_between", numbers),
            ("expect_column_min_to_be_between", numbers),
            ("expect_column_sum_to_be_between", numbers),
            ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "day"}),
            ("expect_compound_columns_to_be_unique", {"column_list": ["n", "m", "x"]}),
        ]
    )


def test_moments_are_merged_as_spark_has_them(spark, tmp_path) -> None:
    """Means and spreads of numbers far from 0, of parts of different sizes; of one, of none."""
    chance = random.Random(3)
    for values in (
        [1e9 + chance.gauss(0, 1) for _ in range(999)] + [None] * 5,
        [2.5],
        [None],
        [1.0, NAN, 3.0],
        [1.0, INF, -INF],
        [NAN, None, NAN],
    ):
        rows = [(1, None, None, each, None, None, None, None, None) for each in values]
        folder = tmp_path / f"{len(values)} {values[0]} {values[-1]}"
        folder.mkdir()
        rules = [
            Rule("r", f"expect_column_{name}_to_be_between", {"column": "x", "min_value": 0}, "why")
            for name in ("mean", "stdev", "sum", "max", "min")
        ]
        told = arrow_scan.scan(spark, files_of(rows, folder, parts=3), rules)
        seen = measures.scan(spark.createDataFrame(rows, DDL), rules).first()
        for place, rule in enumerate(rules):
            name, *_ = measures.numbers_asked(rule)
            found = arrow_scan.numbers(place, rule, told)[name]
            # A mean of so much, with 16 digits, leaves a spread of 1 about 8 of them.
            assert _alike(found, seen[f"r{place}_0"], within=1e-7), (rule.type, values[:3])


REGEXES = (
    *(
        "^o[0-9]{3}$",
        "^[^@]+@[^@]+$",
        r"\s",
        "^[A-Z]{2}$",
        "a|b$",
        "^/[a-z0-9/_-]*$",
        "^$",
        "$",
        "^",
    ),
    *(r"^\d{4}-\d{2}-\d{2}$", r"[\w.-]+@[\w-]+\.[a-z]{2,}", "x+?y", "(?:ab)+$", "é+", "[à-ü]", "."),
    *(
        "^.$",
        "^.{2}$",
        "a.b",
        r"^[^\n]{2}$",
        r"^[^\r]*$",
        r"^\S+$",
        r"^\W$",
        r"^\D{2}$",
        "[a-]",
        "[-a]",
    ),
    *(
        r"[\]\[]",
        r"^[+\-]?\d+(\.\d+)?$",
        "(a|b)*$",
        "^(a|bc)?$",
        r"\r$",
        r"^[^@]{3}$",
        r"\\",
        "[ ]b",
    ),
    *(r"[\d\s]+$", r"^[\w-]+$", "[.]", "^a*?$", "a{0}b", "#", "a b", r"[a\-z]", r"[^\w]"),
)


def test_regular_expressions_are_javas(spark) -> None:
    """On texts made of what the two libraries see differently."""
    chance = random.Random(11)
    letters = "aboxyzA09@.-/_ \t\n\r\x0b\x0c\x85\u2028\u2029éà🙂[]\\+#"
    texts = [
        "",
        "a\r\n",
        "\r\n",
        "\r",
        "\n",
        "DE\n",
        "DE\r\n",
        "ab\r\n",
        "2024-01-31",
        "a@b.de",
        "bc",
    ]
    texts += ["".join(chance.choices(letters, k=chance.randint(0, 6))) for _ in range(3_000)]
    texts += [
        f"{chance.choice(texts)}{end}" for end in ("\n", "\r\n", "\u2028") for _ in range(300)
    ]
    frame = spark.createDataFrame([(each,) for each in texts], "word string")
    java = frame.select(*(F.col("word").rlike(each) for each in REGEXES)).collect()
    rows = pa.RecordBatch.from_pydict({"word": texts})
    wrong = []
    for place, regex in enumerate(REGEXES):
        assert re2.spelt(regex) is not None, regex
        rule = Rule(
            "r", "expect_column_values_to_match_regex", {"column": "word", "regex": regex}, "w"
        )
        broken = pc.fill_null(arrow_rules.breaks(rule, rows), False).to_pylist()
        wrong += [
            (regex, text)
            for text, row, breaks in zip(texts, java, broken, strict=True)
            if row[place] == breaks
        ]
    assert wrong == []


def test_a_file_with_another_type_is_left_to_spark(spark, tmp_path) -> None:
    """As one that a writer of before has left, of a column that is wider today."""
    rows = [(n, n, n, 0.5, "a", "b", True, None, datetime(2024, 1, 1)) for n in range(4)]
    paths = sorted({part.path for part in files_of(rows, tmp_path, parts=2).parts})
    table = pq.read_table(paths[1])
    place = table.schema.get_field_index("n")
    pq.write_table(table.set_column(place, "n", table["n"].cast(pa.int32())), paths[1])
    with pytest.raises(arrow_files.OtherColumns, match=r"1\.parquet has n as int32"):
        arrow_files.found(paths, SCHEMA, ("_batch", "b1"))
