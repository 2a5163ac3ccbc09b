"""What the gate tells of history: rules on trial, unusual batches, a suite to begin with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftline.errors import ConfError
from driftline.jobs import dry_run, gate, suggest, validate, watch
from driftline.suite_files import read_suite
from gated_orders import (
    BECAUSE,
    CODED,
    NOON,
    NULL,
    ORDERS,
    SUITE,
    UNTOLD,
    with_sql,
)


def test_a_rule_that_fails_on_a_value_is_tried_on_history_beside_others(shop, monkeypatch) -> None:
    for batch, rows in {"b1": CODED, "b2": ORDERS, "b3": CODED, "b4": ORDERS[:1]}.items():
        shop.lands(batch, rows)
    shop.lands("b2", ORDERS[:2], delivery="late")
    shop.lands("b2", CODED[:1], delivery="later")
    monkeypatch.setattr(dry_run, "_SHOWN", 2)
    wish = with_sql("cast(channel AS int) > 2", "warn")
    shop.guarded_by([with_sql("cast(channel AS int) > 1"), SUITE[0], SUITE[3], wish])
    said = validate.run(shop.line, dry_run=True).splitlines()
    name = said[-2].split(" (")[0]
    assert said == [
        "dry run, nothing is written",
        f"silver.orders {NULL} (error): 3 of 17 rows break it",
        "  2024-03-01  b1.ndjson: 1 of 3",
        "  2024-03-01  b2.ndjson: 1 of 6",
        "  and 1 more deliveries and days",
        f"silver.orders {UNTOLD} (error): {BECAUSE}; 2 of 4 batches would be refused",
        "  b2.ndjson: fails on at least one row",
        "  b4.ndjson: fails on at least one row",
        "  and 1 more deliveries",
        f"{name} (warn): {BECAUSE}",
        "silver.orders not tried, being about all rows of a batch, or for Great Expectations to "
        "run: table: table_row_count_to_be_between",
    ]


@pytest.mark.slow
def test_a_rule_is_tried_on_history_and_nothing_is_written(shop) -> None:
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    shop.lands("b2", [("p0", NOON + timedelta(days=1), 99.0, "web")])
    high = {"column": "amount", "max_value": 5.5}
    channel = {"column": "channel", "value_set": ["web", "mobile"], "mostly": 0.5}
    shop.guarded_by(
        [
            {"type": "expect_column_values_to_be_between", "kwargs": high},
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": channel,
                "meta": {"severity": "warn"},
            },
            SUITE[0],
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "time"}},
            {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "order_id"}},
            SUITE[3],
        ]
    )
    before = {name: len(shop.read(name)) for name in ("silver.orders", "ops.quarantine")}
    said = validate.run(shop.line, dry_run=True).splitlines()
    assert said == [
        "dry run, nothing is written",
        "silver.orders amount: values_to_be_between (error): 2 of 8 rows break it; "
        "2 of 2 batches would be refused",
        "  2024-03-01  b1.ndjson: 1 of 6",
        "  2024-03-02  b2.ndjson: 1 of 1",
        "silver.orders channel: values_to_be_in_set (warn): 2 of 8 rows break it",
        "  2024-03-01  b1.ndjson: 2 of 6",
        "silver.orders order_id: values_to_not_be_null (error): 1 of 8 rows break it",
        "  2024-03-01  b1.ndjson: 1 of 6",
        "silver.orders time: values_to_not_be_null (error): 1 of 8 rows break it; "
        "1 of 2 batches would be refused",
        "  no day  b1.ndjson: 1 of 1",
        "silver.orders not tried, being about all rows of a batch, or for Great Expectations to "
        "run: order_id: values_to_be_unique, table: table_row_count_to_be_between",
    ]
    assert before == {name: len(shop.read(name)) for name in before}


@pytest.mark.slow
def test_an_unusual_batch_is_noticed(shop) -> None:
    for day in range(10):
        rows = 60 if day < 9 else 8
        at = NOON + timedelta(days=day)
        time = at - timedelta(hours=1)
        orders = [(f"{day}.{n}", time, 1.0, "web" if n % 2 else None) for n in range(rows)]
        shop.lands(f"b{day}", orders, at=at)
        if day == 8:
            validate.run(shop.line)
    # A rule that demands more is another one, though it is called the same.
    high = {"column": "amount", "max_value": 0.5}
    tighter = {"type": SUITE[1]["type"], "kwargs": high, "meta": {"severity": "warn"}}
    shop.guarded_by([SUITE[0], tighter, SUITE[2], SUITE[3]])
    validate.run(shop.line)
    said = watch.run(shop.line).splitlines()
    assert said[0].startswith("1 of ") and ", 1 have fewer than 8 batches before" in said[0]
    assert "silver.orders rows: 8, expected " in said[1] and "after 9 batches" in said[1]


@pytest.mark.slow
def test_a_suggested_suite_holds_where_it_comes_from(shop, tmp_path) -> None:
    shop.lands("b1", [(f"o{n:04}", NOON, n / 4, "web" if n % 3 else "mobile") for n in range(300)])
    shop.guarded_by([SUITE[3]])
    validate.run(shop.line)
    said = suggest.run(shop.line, table="silver.orders", out=str(tmp_path / "s" / "orders.json"))
    assert "about 300 rows" in said
    with pytest.raises(ConfError, match="there already"):
        suggest.run(shop.line, table="silver.orders", out=str(tmp_path / "s" / "orders.json"))
    suite = read_suite(tmp_path / "s" / "orders.json", shop.silver.column_names)
    found = {(rule.type, rule.column): rule for rule in suite.rules}
    regex = found["expect_column_values_to_match_regex", "order_id"]
    assert regex.arguments["regex"] == "^(o[0-9]{4})$" or "[a-z]" in regex.arguments["regex"]
    assert found["expect_column_values_to_be_in_set", "channel"].arguments["value_set"] == [
        "mobile",
        "web",
    ]
    # A batch is judged before the repeats of its key, order_id, are taken out.
    assert ("expect_column_values_to_be_unique", "order_id") not in found
    unique = found["expect_column_values_to_be_unique", "amount"]
    assert unique.severity == "warn" and "before repeats of the key" in unique.why
    assert "300" in found["expect_column_values_to_not_be_null", "amount"].why
    rows = shop.line.tables.read("silver.orders")
    assert all(each.success for each in gate.judge(rows, suite, meta={}).verdicts)
    # From bronze, as before there is any suite: silver has no fields that nobody declared.
    bronze = shop.line.tables.path("bronze.orders")
    shop.line.spark.sql(f"ALTER TABLE delta.`{bronze}` ADD COLUMNS (coupon string)")
    suggest.run(shop.line, table="bronze.orders", out=str(tmp_path / "silver_orders.json"))
    landed = read_suite(tmp_path / "silver_orders.json", shop.silver.column_names)
    assert landed.name == "churn.silver_orders"
    found = {(rule.type, rule.column): rule for rule in landed.rules}
    assert ("expect_column_values_to_be_in_set", "channel") in found
    assert ("expect_column_values_to_be_unique", "order_id") not in found
