"""What the cluster did is what the ledger says: hardly a core-second belongs to no stage."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from driftline import usage
from driftline.budgets import Budgets, OverBudget
from driftline.jobs import cost, cycle, planning
from driftline.jobs.spending_limits import Turn
from driftline.problem import load_problem
from driftline.simulate import Shop, simulate
from small_shop import write_project

SHOP = Shop(customers=400)
pytestmark = pytest.mark.slow  # a turn of the cycle, with its training


def run_seconds(spark) -> float:
    """Run time alone of all tasks so far, stage by stage: a lower bound of what they held."""
    return sum(stage["executorRunTime"] for stage in usage.stages(spark)) / 1000


@pytest.fixture(scope="module")
def line(open_line, repository, tmp_path_factory):
    root = tmp_path_factory.mktemp("attributed")
    conf = write_project(root, repository)
    simulate(SHOP, root / "data" / "shop", months=9)
    return open_line(load_problem(conf), data=root / "data", warehouse=root / "w", root=root)


@pytest.fixture(scope="module")
def stage(line):
    def run(name: str, **arguments: object) -> None:
        importlib.import_module(f"driftline.jobs.{name}").run(line, **arguments)

    return run


def test_core_seconds_belong_to_stages(line, stage, spark) -> None:
    before, ran, started = usage.core_seconds(spark), run_seconds(spark), time.monotonic()
    cycle.run(line, stage)
    spent, ran = usage.core_seconds(spark) - before, run_seconds(spark) - ran
    assert ran <= spent <= 2 * (time.monotonic() - started)
    runs = line.tables.read("ops.runs").collect()
    told = {row.stage: 0.0 for row in runs}
    for row in runs:
        told[row.stage] += row.task_seconds
    print(f"{sum(told.values()):.1f} of {spent:.1f} core-seconds: {told}")
    assert {"ingest", "validate", "features", "train", "score", "drift", "monitor", "cycle"} <= set(
        told
    )
    assert sum(told.values()) == pytest.approx(spent)
    assert sum(told.values()) - told["cycle"] >= 0.95 * spent  # what a turn does between its stages

    assert "a thousand predictions: " in cost.run(line)
    rows = sum(row.rows_out or 0 for row in runs if row.stage == "score")
    assert rows > 0
    names = {each.split()[0] for each in cost.run(line, by="table").splitlines()[2:]}
    assert {"bronze.orders", "silver.orders", "gold.features", "ops.runs"} <= names


def test_a_budget_ends_a_turn_between_two_stages_and_the_next_one_goes_on(line, stage) -> None:
    """After the turn above, which is the forecast of this one: a month more, too little money."""
    simulate(SHOP, Path(line.environment.data) / "shop", first_month=9, months=1)
    last = {row.stage: row for row in line.tables.read("ops.runs").collect()}
    told = planning.plan(line)
    print(told)
    for name in ("ingest", "validate", "features", "score"):
        [said] = [each for each in told.splitlines() if each.startswith(name)]
        assert f"{last[name].wall_seconds:.1f}" in said

    def dear(name: str, **arguments: object) -> None:
        stage(name, **arguments)
        line.ledger.money += 1.0

    budgets = Budgets.model_validate({"cycle": {"money": 0.5}})
    bounded = replace(line, problem=line.problem.model_copy(update={"budgets": budgets}))
    before = {name: line.tables.version(name) for name in line.tables.names()}
    with pytest.raises(OverBudget, match="validate") as caught:
        cycle.run(bounded, Turn(bounded, dear))
    assert caught.value.exit_code == 3
    after = {name: line.tables.version(name) for name in line.tables.names()}
    moved = {name for name, version in after.items() if version != before[name]}
    assert moved <= {"bronze.visits", "bronze.orders", "bronze.customers"} | {
        "ops.deliveries",
        "ops.rejects",
        "ops.runs",
    }
    assert "bronze.orders" in moved

    cycle.run(line, stage, only="validate")
    rows = line.tables.read("silver.orders")
    newest = rows.selectExpr("max(time)").first()
    assert newest[0].month == 10
    assert rows.count() == rows.select("order_id").distinct().count()
