"""Sums over the ledger: nothing is lost, and money of two currencies is never one sum."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from driftline import spending

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def ran(stage: str, hours: int, money: float, **more) -> dict:
    run = {"stage": stage, "started_at": NOON + timedelta(hours=hours), "status": "done"}
    run |= {"run_id": f"r{hours}", "wall_seconds": 2.0, "task_seconds": 3.0, "bytes_read": 5}
    run |= {"bytes_written": None, "money": money, "currency": "EUR", "rows_out": None}
    return run | more


RUNS = [
    ran("score", 13, 0.5, rows_out=1_500),
    ran("train", 1, 2.0),
    ran("score", 0, 0.25, rows_out=500),
    ran("score", 14, 0.125, status="failed"),
    ran("train", 2, 8.0, currency="USD"),
]


@pytest.mark.parametrize("by", ["stage", "day", "month", "status", "run"])
def test_every_run_is_in_one_group(by) -> None:
    found = spending.added_up(RUNS, by)
    assert sum(each.runs for each in found.values()) == len(RUNS)
    for currency, money in (("EUR", 2.875), ("USD", 8.0)):
        mine = [each.money for (_, other), each in found.items() if other == currency]
        assert sum(mine) == spending.total(RUNS)[currency].money == money


def test_groups_in_the_order_one_looks_for_them() -> None:
    stages = spending.added_up(RUNS, "stage")
    assert list(stages) == [("train", "USD"), ("train", "EUR"), ("score", "EUR")]
    assert stages["score", "EUR"] == spending.Spent(3, 6.0, 9.0, 15, 0, 0.875)
    days = spending.added_up(RUNS, "day")
    assert list(days) == [
        ("2026-01-31", "EUR"),
        ("2026-01-31", "USD"),
        ("2026-02-01", "EUR"),
    ]
    assert list(spending.added_up(RUNS, "month"))[-1] == ("2026-02", "EUR")
    assert spending.added_up([], "stage") == {}


def test_a_thousand_predictions_cost_what_scoring_them_cost() -> None:
    assert spending.a_thousand_predictions(RUNS) == {"EUR": pytest.approx(0.375)}
    assert spending.a_thousand_predictions(RUNS[1:2]) == {}


def test_the_parts_of_a_run_share_all_that_it_took() -> None:
    parts = {"r1": {"forest": 3.0, "line": 1.0}, "r2": {"forest": 0.0, "line": 0.0}}
    runs = spending.parted(RUNS, parts)
    assert [(run["run_id"], run["part"], run["money"]) for run in runs] == [
        *(("r1", "forest", 1.5), ("r1", "line", 0.5)),
        *(("r2", "forest", 4.0), ("r2", "line", 4.0)),
    ]
    found = spending.added_up(runs, "trial")
    assert list(found)[:2] == [("forest", "USD"), ("line", "USD")]
    assert found["forest", "EUR"] == spending.Spent(1, 1.5, 2.25, 3.75, 0, 1.5)


def test_a_run_is_shared_by_the_tables_it_wrote_as_it_added_bytes() -> None:
    """The second run wrote two versions of orders; the log of visits begins after the first run."""
    runs = [
        ran("validate", 1, 3.0, tables_written=[("orders", 0), ("visits", 0)]),
        ran("validate", 2, 8.0, tables_written=[("orders", 2), ("visits", 1)]),
        ran("validate", 3, 1.0, tables_written=[], status="unchanged"),
        ran("report", 4, 1.0, tables_written=None),
    ]
    added = {"orders": {0: 10, 1: 20, 2: 10}, "visits": {1: 10}}
    found = spending.written(reversed(runs), added)
    assert found == {"r1": {"orders": 10, "visits": 0}, "r2": {"orders": 30, "visits": 10}}
    # Of two at once the one that began first may write last.
    slow, fast = (ran("validate", n, 1.0, tables_written=[("orders", 3 - n)]) for n in (1, 2))
    assert spending.written([slow, fast], added) == {"r2": {"orders": 30}, "r1": {"orders": 10}}
    spent = spending.added_up(spending.parted(runs, found), "table")
    money = {name: each.money for (name, _), each in spent.items()}
    assert money == {"orders": 3.0 + 6.0, "visits": 2.0}
