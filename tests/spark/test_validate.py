"""The gate as a stage: split, refuse, go on after a kill."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from driftline import schemas
from driftline.errors import ConfError, Missing, Refused
from driftline.jobs import gate, query, validate
from driftline.query import text
from gated_orders import (
    AMOUNT,
    CHANNEL,
    NOON,
    NULL,
    ORDERS,
    OUT,
    SUITE,
    killed_at,
)


def jobs(line: Any) -> int:
    return int(line.spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def test_rows_are_split_once_and_accounted_for(shop) -> None:
    shop.lands("b1", ORDERS)
    said = validate.run(shop.line)
    assert said == "orders: 3 good, 3 quarantined, 1 known duplicates"
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert shop.kept_out() == OUT
    assert validate.run(shop.line) == "orders: nothing new"
    assert shop.kept_out() == OUT
    told = {row.rule: row for row in shop.read("ops.quality")}
    assert [told[name].unexpected_count for name in (AMOUNT, NULL, CHANNEL)] == [2, 1, 2]
    assert {row.engine for row in told.values()} == {"plan"}
    measured = {(row.metric, row.column): row.value for row in shop.read("ops.metrics")}
    assert measured["rows", None] == 7
    assert measured["null_rate", "amount"] == pytest.approx(1 / 7)
    assert len(shop.read("ops.validations")) == 1
    # Forty-six rules more start no Spark job more.
    shop.guarded_by(SUITE + SUITE_OF_MANY)
    shop.lands("b2", [(f"p{n}", NOON, n - 1.0, "web") for n in range(50)])
    before = jobs(shop.line)
    assert validate.run(shop.line) == "orders: 49 good, 1 quarantined, 0 known duplicates"
    assert jobs(shop.line) - before <= PINNED_WITH_BAD


@pytest.mark.slow
def test_a_batch_takes_as_many_spark_jobs_as_it_has_writes(shop) -> None:
    """One pass to judge, one to keep out, one to let in; no rule adds any."""
    shop.lands("b1", [(f"o{n}", NOON, 1.0, "web") for n in range(50)])
    validate.run(shop.line)
    counts = []
    for batch, more in (("b2", SUITE_OF_MANY), ("b3", []), ("b4", SUITE_OF_MANY)):
        bad = -1.0 if batch == "b4" else 1.0
        shop.guarded_by(SUITE + more)
        shop.lands(batch, [(f"{batch}{n}", NOON, bad if n == 3 else 1.0, "web") for n in range(50)])
        before = jobs(shop.line)
        validate.run(shop.line)
        counts.append(jobs(shop.line) - before)
    assert counts[0] == counts[1] <= PINNED
    assert counts[2] <= PINNED_WITH_BAD


SUITE_OF_MANY = [
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "items", "max_value": n}}
    for n in range(100, 146)
]
PINNED, PINNED_WITH_BAD = 19, 25


def test_a_refused_batch_is_seen_nowhere_and_holds_up_no_other(shop) -> None:
    shop.lands("b1", [("o0", NOON, -5.0, "web"), ("o1", NOON, 5.0, "web"), ("o2", NOON, -1.0, "x")])
    shop.lands("b2", ORDERS, at=NOON + timedelta(hours=1))
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    file = gate.suite_path(shop.line, shop.silver)
    assert caught.value.where == (
        f"silver.orders, batch b1 (b1.ndjson), {file}: amount: values_to_be_between: 2 of 3 rows "
        "break it (Refunds are elsewhere)"
    )
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert shop.kept_out() == OUT
    assert len(shop.read("ops.quality")) == 2 * len(SUITE)
    # What is judged again and again is counted once, as it was last.
    with pytest.raises(Refused):
        validate.run(shop.line)
    told = {row.rule: row for row in query.answer(shop.line, text("failing_rules"), "").collect()}
    assert (told[AMOUNT].judged, told[AMOUNT].failed) == (2, 1)
    assert (told[AMOUNT].rows_that_break_it, told[AMOUNT].rows_judged) == (4, 10)
    # Once the suite is mended, what was refused goes through.
    shop.guarded_by([SUITE[0], SUITE[3]])
    assert validate.run(shop.line) == "orders: 2 good, 0 quarantined, 1 known duplicates"


def test_every_refused_batch_is_named_with_some_of_its_deliveries(shop) -> None:
    shop.lands("b1", [("o0", NOON, -5.0, "web")])
    later = NOON + timedelta(hours=1)
    shop.lands("b2", [(None, NOON, 5.0, "web")], at=later)
    others = [
        ("orders", f"d{n}", f"{n}.ndjson", 1, "landed", None, "b2", 0, 0, 0, "r", later)
        for n in range(4)
    ]
    shop.line.tables.append_values(others, schemas.DELIVERIES, key="others")
    with pytest.raises(Refused, match="2 batches were refused") as caught:
        validate.run(shop.line)
    first, second = caught.value.where.split("; silver.orders, ")  # a line: an alert tells one
    assert "batch b1 (b1.ndjson)" in first and AMOUNT in first
    assert "batch b2 (0.ndjson, 1.ndjson, 2.ndjson and 2 more)" in second and NULL in second


def test_a_delivery_without_a_record_holds_up_nothing_once_silver_has_rows(shop) -> None:
    """Unless its suite demands rows of a batch: it is refused until it is given up."""
    shop.guarded_by(SUITE[:3])
    shop.lands("b1", [])
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    assert "there is no row to judge" in caught.value.where
    shop.lands("b2", ORDERS, at=NOON + timedelta(hours=1))
    with pytest.raises(Refused, match="1 batch was refused"):
        validate.run(shop.line)
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert validate.run(shop.line) == "orders: 1 delivery without a record"
    assert validate.run(shop.line) == "orders: nothing new"
    shop.lands("b3", [], at=NOON + timedelta(hours=2))
    shop.lands("b4", [("o7", NOON, 1.0, "web")], at=NOON + timedelta(hours=3))
    said = "orders: 1 good, 0 quarantined, 0 known duplicates, 1 delivery without a record"
    assert validate.run(shop.line) == said
    # Records that could not be read are something else: nobody knows what they were.
    shop.lands("b5", [], at=NOON + timedelta(hours=4), rejected=3)
    for _ in range(2):
        with pytest.raises(Refused, match="1 batch was refused"):
            validate.run(shop.line)
    assert shop.numbers() == ["o0", "o3", "o6", "o7"]
    rows = {row.batch: row.value for row in shop.read("ops.metrics") if row.metric == "rows"}
    assert rows == {"b1": 0.0, "b2": 7.0, "b3": 0.0, "b4": 1.0}
    validate.run(shop.line, give_up="b5")
    shop.guarded_by(SUITE)
    shop.lands("b6\n  hint: none", [], at=NOON + timedelta(hours=5))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            validate.run(shop.line)
        assert "(b6\\n  hint: none.ndjson)" in caught.value.where
    said = validate.run(shop.line, give_up="b6\n  hint: none")
    assert said.endswith("is given up, all its 0 rows are quarantined")
    assert validate.run(shop.line) == "orders: nothing new"


def test_what_bronze_has_lost_is_not_given_up(shop) -> None:
    """It lands again, and would be in no table."""
    shop.lands("b1", ORDERS)
    lost = [("orders", "db2", "b2.ndjson", 1, "landed", None, "b2", 3, 3, 0, "r", NOON)]
    shop.line.tables.append_values(lost, schemas.DELIVERIES, key="landed:b2")
    with pytest.raises(Refused, match="1 batch was refused"):
        validate.run(shop.line)
    with pytest.raises(Missing, match="has lost batch b2"):
        validate.run(shop.line, give_up="b2")
    shop.lands("b2", [("o7", NOON, 1.0, "web")])
    assert validate.run(shop.line).startswith("orders: 1 good")


def test_a_wrong_suite_is_refused_before_anything_is_written(shop) -> None:
    shop.lands("b1", ORDERS)
    for type_, kwargs in (
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": "low"}),
        ("expect_column_values_to_match_regex", {"column": "channel", "regex": "("}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "DROP TABLE {batch}"}),
        ("expect_column_values_to_be_nice", {"column": "amount"}),
    ):
        shop.guarded_by([*SUITE, {"type": type_, "kwargs": kwargs}])
        with pytest.raises(ConfError) as caught:
            validate.run(shop.line)
        assert caught.value.file.endswith("silver_orders.json")
    assert not shop.read("ops.quality") and not shop.read("silver.orders")


def test_killed_between_the_two_writes_it_goes_on_even_with_another_suite(
    shop, monkeypatch
) -> None:
    shop.lands("b1", ORDERS)
    killed_at(monkeypatch, shop, "append_files", "silver.orders")
    assert shop.kept_out() == OUT and not shop.numbers()
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])  # the channel does not matter any more
    assert validate.run(shop.line) == "orders: 4 good, 2 quarantined, 1 known duplicates"
    assert shop.kept_out() == {1: [AMOUNT], 2: [AMOUNT, NULL]}
    assert shop.numbers() == ["o0", "o3", "o5", "o6"]


def test_killed_with_one_suite_then_another_it_goes_on_with_the_first_again(
    shop, monkeypatch
) -> None:
    """What the second put into quarantine is not taken for what the first had."""
    shop.lands("b1", ORDERS)
    killed_at(monkeypatch, shop, "append_files", "silver.orders")
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])
    killed_at(monkeypatch, shop, "append_files", "silver.orders")
    assert shop.kept_out() == {1: [AMOUNT], 2: [AMOUNT, NULL]}
    shop.guarded_by(SUITE)
    assert validate.run(shop.line) == "orders: 3 good, 3 quarantined, 1 known duplicates"
    assert shop.kept_out() == OUT
    assert shop.numbers() == ["o0", "o3", "o6"]


def test_a_field_of_other_deliveries_is_none_of_silver_nor_of_its_suite(shop) -> None:
    own = [name for name in shop.silver.column_names if not name.startswith("_")]
    count = {"type": "expect_table_column_count_to_equal", "kwargs": {"value": len(own)}}
    listed = {"column_set": own, "exact_match": True}
    matching = {"type": "expect_table_columns_to_match_set", "kwargs": listed}
    median = {"type": "expect_column_median_to_be_between", "kwargs": {"column": "amount"}}
    median["kwargs"] |= {"min_value": -5, "max_value": 5}
    shop.guarded_by([*SUITE, count, matching, median])
    shop.lands("b1", ORDERS)
    path = shop.line.tables.path("bronze.orders")
    shop.line.spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS (coupon string)")
    assert validate.run(shop.line) == (
        "orders: 3 good, 3 quarantined, 1 known duplicates (expect_column_median_to_be_between: "
        "run by Great Expectations, rows that break it are not kept out)"
    )
    assert "coupon" not in shop.line.tables.read("silver.orders").columns


def test_a_column_that_bronze_has_not_got_yet_is_null(shop) -> None:
    """It gets it with the next delivery; the rule on it is tried before."""
    shop.lands("b1", ORDERS[:2])
    orders = shop.line.problem.sources["orders"]
    wider = orders.model_copy(
        update={"columns": {**orders.columns, "coupon": orders.columns["channel"]}}
    )
    changed = shop.line.problem.model_copy(update={"sources": {"orders": wider}})
    object.__setattr__(shop.line, "problem", changed)
    coupon = {"type": SUITE[0]["type"], "kwargs": {"column": "coupon"}, "meta": {"why": "New"}}
    shop.guarded_by([*SUITE, coupon])
    said = validate.run(shop.line, dry_run=True)
    assert "coupon: values_to_not_be_null (error): 2 of 2 rows break it" in said
    shop.guarded_by([*SUITE, {**coupon, "meta": {"severity": "warn"}}])
    assert validate.run(shop.line) == "orders: 1 good, 1 quarantined, 0 known duplicates"
    assert [row.coupon for row in shop.read("silver.orders")] == [None]


@pytest.mark.slow
def test_of_a_hundred_thousand_rows_no_bad_one_passes(shop) -> None:
    bad = {0: (-1.0, "web"), 1: (5.0, "fax")}
    shop.lands(
        "b1",
        [(f"o{n}", NOON, *bad.get(n % 20, (n / 7, "mobile"))) for n in range(100_000)],
    )
    said = validate.run(shop.line)
    assert said == "orders: 90,000 good, 10,000 quarantined, 0 known duplicates"
    passed = shop.line.tables.read("silver.orders")
    assert passed.where("amount < 0 OR channel NOT IN ('web', 'mobile')").count() == 0
    assert shop.line.tables.read("ops.quarantine").count() == 10_000
