"""Which files of bronze the gate reads by itself, and which are left to Spark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from delta.tables import DeltaTable

from driftline import arrow_scan, arrow_split
from driftline.jobs import admission, validate
from driftline.problem import load_problem
from gated_orders import AMOUNT, NOON, NULL, OUT, SUITE, Shop, killed_at, with_sql
from gated_orders import ORDERS as MIXED

ORDERS = [(f"o{n}", NOON, float(n), "web") for n in range(6)]


@pytest.fixture
def read(monkeypatch) -> list[tuple[int, int]]:
    """Files that were read, and rows that were counted, each time it was done without Spark."""
    found = []
    real = arrow_scan.scan

    def scan(spark: Any, files: Any, *asked: Any) -> Any:
        told = real(spark, files, *asked)
        found.append((len({part.path for part in files.parts}), told.rows))
        return told

    monkeypatch.setattr(arrow_scan, "scan", scan)
    return found


def broken(shop: Shop) -> dict[tuple[str, str], int]:
    return {(row.batch, row.rule): row.unexpected_count for row in shop.read("ops.quality")}


def test_batches_that_share_a_file(shop, read) -> None:
    """As after OPTIMIZE: each is judged by its own rows."""
    shop.lands("b1", [*ORDERS, ("o7", NOON, -1.0, "web")])
    shop.lands("b2", [(f"p{n}", NOON, -1.0 if n < 2 else 1.0, "web") for n in range(9)])
    path = shop.line.tables.path("bronze.orders")
    DeltaTable.forPath(shop.line.spark, path).optimize().executeCompaction()
    assert validate.run(shop.line) == "orders: 13 good, 3 quarantined, 0 known duplicates"
    assert read == [(1, 7), (1, 9)]
    assert (broken(shop)["b1", AMOUNT], broken(shop)["b2", AMOUNT]) == (1, 2)


def test_rows_that_are_hidden_are_not_judged(shop, read) -> None:
    """Somebody let Delta make deletion vectors: what they hide only Spark knows."""
    shop.lands("b1", ORDERS)
    path = shop.line.tables.path("bronze.orders")
    wanted = "'delta.enableDeletionVectors' = 'true'"
    shop.line.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ({wanted})")
    DeltaTable.forPath(shop.line.spark, path).delete("order_id = 'o2'")
    assert validate.run(shop.line) == "orders: 5 good, 0 quarantined, 0 known duplicates"
    assert read == []
    assert {row.element_count for row in shop.read("ops.quality")} == {5}


def test_a_rule_of_sparks_beside_those_of_arrow(shop, read) -> None:
    shop.guarded_by([*SUITE, with_sql("length(order_id) > 2", "warn")])
    shop.lands("b1", [*ORDERS, (None, NOON, 1.0, "web"), ("o10", NOON, 1.0, "web")])
    assert validate.run(shop.line) == "orders: 7 good, 1 quarantined, 0 known duplicates"
    assert read == [(1, 8)]
    told = {row.rule: (row.element_count, row.unexpected_count) for row in shop.read("ops.quality")}
    assert told[NULL] == (8, 1)
    assert told["table: unexpected_rows_expectation"] == (8, 1)


@pytest.fixture
def opened(open_line, repository, tmp_path) -> Callable[..., Shop]:
    """The same orders in a warehouse of a name, with a key or without."""

    def of(name: str, key: tuple[str, ...]) -> Shop:
        problem = load_problem(repository / "conf" / "churn.yaml")
        orders = problem.sources["orders"].model_copy(update={"key": key})
        problem = problem.model_copy(update={"sources": {"orders": orders}})
        return Shop(open_line(problem, data=tmp_path, warehouse=tmp_path / name, root=tmp_path))

    return of


REPEATS = [
    ("o3", NOON, 1.0, "web"),  # of the batch before
    ("q1", NOON + timedelta(hours=1), 2.0, "web"),
    ("q1", NOON, 3.0, "web"),  # the first, by its time
    ("q1", NOON, -3.0, "web"),  # bad ones repeat nothing
    (None, NOON, 4.0, "web"),
    ("q2", NOON, 5.0, "web"),
    ("q2", NOON, 5.0, "web"),
]


@pytest.mark.parametrize("key", [(), ("order_id",)])
def test_workers_write_what_spark_would(opened, multiset, monkeypatch, key) -> None:
    """All columns and their types, nulls and microseconds, whatever is a repeat of what."""
    told, silver = [], []
    for name in ("workers", "Spark"):
        each = opened(name, key)
        if name == "Spark":
            monkeypatch.setattr(type(each.line.tables), "takes_files", lambda *_: False)
        said = []
        for batch, orders in (("b1", MIXED), ("b2", REPEATS)):
            each.lands(batch, orders)
            each.guarded_by([rule for rule in SUITE if "null" not in rule["type"]])
            said.append(validate.run(each.line))
        told.append((said, each.kept_out(), [row.rows_duplicate for row in each.read("ops.runs")]))
        silver.append(each.line.tables.read("silver.orders"))
    assert told[0] == told[1]
    assert told[0][0][1].endswith(f"1 quarantined, {3 if key else 0} known duplicates")
    assert silver[0].schema == silver[1].schema
    assert multiset(silver[0]) == multiset(silver[1])


def test_too_many_repeats_are_left_to_spark(opened, monkeypatch) -> None:
    """To be told by name they would have to fit the driver, and each task."""
    shop = opened("w", ("order_id",))
    monkeypatch.setattr(admission, "_FEW", 1)
    shop.lands("b1", [(f"o{n % 3}", NOON, 1.0, "web") for n in range(9)])
    assert validate.run(shop.line) == "orders: 3 good, 0 quarantined, 6 known duplicates"


def test_killed_between_quarantine_and_silver(shop, monkeypatch) -> None:
    """No row is in both, none in neither; files that were written for the commit that never came
    are not read.
    """
    shop.lands("b1", MIXED)
    killed_at(monkeypatch, shop, "append_files", "silver.")
    assert shop.read("silver.orders") == []
    assert validate.run(shop.line) == "orders: 3 good, 3 quarantined, 1 known duplicates"
    assert (len(shop.read("silver.orders")), shop.kept_out()) == (3, OUT)
    assert validate.run(shop.line) == "orders: nothing new"


def test_workers_and_spark_must_agree_on_what_is_bad(shop, monkeypatch) -> None:
    """Were there a row of which they do not, nothing would come to silver."""
    shop.lands("b1", MIXED)
    real = arrow_split._written
    monkeypatch.setattr(
        arrow_split, "_written", lambda asked, parts: real(replace(asked, rules=()), parts)
    )
    with pytest.raises(RuntimeError, match=r"6 rows would go to silver\.orders, not 3"):
        validate.run(shop.line)
    assert shop.read("silver.orders") == []


def test_a_warehouse_of_any_name(opened, read) -> None:
    """Its files are found where paths are spelt with signs of their own."""
    shop = opened("a b%20c+é#d", ("order_id",))
    shop.lands("b1", ORDERS)
    assert validate.run(shop.line) == "orders: 6 good, 0 quarantined, 0 known duplicates"
    assert read == [(1, 6)]
