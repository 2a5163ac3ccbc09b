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
