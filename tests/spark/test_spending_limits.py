"""Budgets around jobs: refused before it begins, warned after, stopped between two stages."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from driftline import schemas
from driftline.budgets import OverBudget
from driftline.jobs import planning
from driftline.jobs.spending_limits import Turn, bounded
from driftline.problem import load_problem

NOW = datetime.now(timezone.utc)


@pytest.fixture
def opened(open_line, repository, tmp_path, monkeypatch):
    """A line whose features ran six times, by the rows they read, and a section of budgets."""

    def open_(budgets: dict):
        conf = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
        path = tmp_path / "churn.yaml"
        path.write_text(yaml.safe_dump(conf | {"budgets": budgets}), "utf-8")
        line = open_line(load_problem(path), data=tmp_path, warehouse=tmp_path / "w")
        row = dict.fromkeys(schemas.RUNS.column_names) | {"stage": "features", "status": "done"}
        runs = [
            row | {"started_at": NOW - timedelta(hours=day), "wall_seconds": 600.0, "money": 2.0}
            for day in range(3)
        ]
        runs.append(runs[0] | {"status": "failed", "wall_seconds": 1.0, "money": 0.0})
        line.tables.append_values([tuple(each.values()) for each in runs], schemas.RUNS, key=None)
        return line

    return open_


def test_a_stage_whose_forecast_exceeds_its_budget_is_not_begun(opened, monkeypatch) -> None:
    ran: list[dict] = []
    job = lambda line, **given: ran.append(given) or "did it"  # noqa: E731
    line = opened({"stages": {"features": {"minutes": 9}, "train": {"minutes": 5}}})
    due = [True]
    monkeypatch.setattr(planning, "due", lambda *_: due[0])
    with pytest.raises(OverBudget, match="features is not begun") as caught:
        bounded(line, "features", job, {"as_of": None})
    assert caught.value.exit_code == 3
    assert caught.value.where == "10 of 9 minutes, by 3 runs"
    assert ran == []
    (row,) = line.tables.read("ops.runs").where("status = 'refused'").collect()
    assert (row.stage, row.message) == ("features", caught.value.what)
    due[0] = False  # nothing to do costs nothing
    assert bounded(line, "features", job, {"as_of": NOW}) == "did it"
    assert line.ledger.as_of == NOW  # the row notes what was asked for
    assert bounded(line, "score", job, {}) == "did it"
    assert line.ledger.as_of is None
    # Training ends by itself, with the best so far: the smaller bound counts.
    bounded(line, "train", job, {"budget": None, "budget_money": None})
    bounded(line, "train", job, {"budget": 3.0, "budget_money": None})
    assert [each.get("budget") for each in ran[2:]] == [5.0, 3.0]

    enough = opened({"stages": {"features": {"minutes": 11, "money": 3}}})
    due[0] = True
    assert bounded(enough, "features", job, {}) == "did it"


@pytest.mark.parametrize(
    ("before", "waiting", "begun"),
    [(3_000_000, 10_000, True), (10_000, 3_000_000, False)],
)
def test_validate_is_forecast_by_the_rows_that_wait(
    opened, monkeypatch, before: int, waiting: int, begun: bool
) -> None:
    """A backlog at first is no forecast of a night, nor nights one of a backlog: as planned."""
    line = opened({"stages": {"validate": {"minutes": 5}}})
    row = dict.fromkeys(schemas.RUNS.column_names) | {"stage": "validate", "status": "done"}
    runs = []
    for day in range(7):
        rows = before + day * before // 10
        more = {"started_at": NOW - timedelta(days=day), "rows_in": rows, "money": 0.0}
        runs.append(row | more | {"wall_seconds": 2.0 + rows / 5000})
    runs.append(row | {"stage": "ingest", "rows_in": 4, "rows_out": 2, "started_at": NOW})
    line.tables.append_values([tuple(each.values()) for each in runs], schemas.RUNS, key=None)
    none = dict.fromkeys(schemas.DELIVERIES.column_names) | {"source": "orders"}
    books = [
        none | {"delivery": delivery, "batch": batch, "status": status, "accepted": rows}
        for delivery, batch, status, rows in (
            ("a", "1", "planned", None),
            ("a", "1", "landed", 7 * before),
            ("b", "2", "landed", waiting - 4),
            ("c", "2", "landed", 4),
            ("d", "3", "refused", None),
        )
    ]
    books.append(books[2] | {"source": "gone"})  # it is no source of the problem now
    line.tables.append_values(
        [tuple(each.values()) for each in books], schemas.DELIVERIES, key=None
    )
    orders = schemas.silver(line.problem, "orders")
    line.tables.append_values([], orders, key="validate:1")

    monkeypatch.setattr(planning, "due", lambda *_: True)
    if begun:
        assert bounded(line, "validate", lambda _: "did it", {}) == "did it"
    else:
        with pytest.raises(OverBudget, match="validate is not begun") as caught:
            bounded(line, "validate", lambda _: "did it", {})
        assert caught.value.where == "10.03 of 5 minutes, by 7 runs"

    # The plan tells the same, before anything more has landed and with it.
    told = planning._Told(None, None, None, None, "refused before")
    for records, more in ((0, 0), (2000, 1000)):
        monkeypatch.setattr(planning.ingest, "waiting", lambda _, of=records: (None, of))
        steps = planning._steps(line, planning.runs_of(line), told)
        assert [each.rows for each in steps if each.stage == "validate"] == [waiting + more]


def test_a_turn_warns_and_then_stops_between_two_stages(opened, monkeypatch, caplog) -> None:
    monkeypatch.setattr("driftline.logs.LOGGER.propagate", True)
    monkeypatch.setattr(planning, "due", lambda *_: True)
    line = opened({"warn": 0.5, "cycle": {"money": 3}})
    ran: list[str] = []

    def stage(name: str, **given) -> None:
        ran.append(name)
        line.ledger.money += 1.0

    turn = Turn(line, stage)
    with caplog.at_level(logging.WARNING):
        turn("ingest")
        assert "has taken" not in caplog.text
        turn("validate")
        assert "this turn has taken 2 of 3 money" in caplog.text
    with pytest.raises(OverBudget, match="features is not begun") as caught:
        turn(
            "features", as_of=datetime(2024, 6, 9, tzinfo=timezone.utc)
        )  # 2 by its history, and 1 is left
    assert "2 of 1 money" in caught.value.where
    turn("score")
    with pytest.raises(OverBudget, match="the budget of this turn ended before drift") as caught:
        turn("drift")
    assert (ran, caught.value.exit_code) == (["ingest", "validate", "score"], 3)
    rows = line.tables.read("ops.runs").where("status = 'refused'").collect()
    assert {row.stage: row.as_of and row.as_of.day for row in rows} == {
        "features": 9,
        "drift": None,
    }


def test_training_in_a_turn_has_what_is_left(opened) -> None:
    line = opened({"cycle": {"money": 3}})
    given: dict = {}
    turn = Turn(line, lambda name, **arguments: given.update(arguments))
    line.ledger.money += 2.5
    turn("train")
    assert given == {"budget": None, "budget_money": pytest.approx(0.5)}
