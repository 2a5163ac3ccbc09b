"""A turn killed at six points and given again: tables and registry as if undisturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.simulate import simulate
from small_shop import SHOP, write_project

pytestmark = pytest.mark.slow  # thirteen turns from the beginning

DATA = ("silver.visits", "silver.orders", "silver.customers", "gold.features", "gold.predictions")
BOOKS = ("ops.rejects", "ops.deliveries", "ops.trials", "ops.evaluations", "ops.performance")
LEFT_OUT = ("run_id", "at", "_arrived_at", "seconds", "features_version", "search", "problem")
"""What tells a run or a clock; versions count the commits it took."""


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("turns")
    write_project(root, repository)
    simulate(SHOP, root / "data/shop", months=9)
    return root


@pytest.fixture(scope="module")
def turn(project):
    """The arguments of a turn in a warehouse of its own, with a registry of its own."""

    def asked(warehouse: Path) -> list[str]:
        place = project / "conf" / "env" / f"{warehouse.name}.yaml"
        text = (project / "conf" / "env" / "local.yaml").read_text()
        text = text.replace("mlflow: warehouse/mlflow.db", f"mlflow: {warehouse}/mlflow.db")
        place.write_text(text.replace("warehouse: warehouse", f"warehouse: {warehouse}"))
        program = Path(sys.executable).with_name("driftline")
        conf = project / "conf" / "churn.yaml"
        return [str(program), "cycle", "--problem", str(conf), "--env", str(place)]

    return asked


def run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def state(project, open_line, multiset):
    """What the tables and the registry of a warehouse hold."""

    def found(warehouse: Path) -> dict:
        line = open_line(
            load_problem(project / "conf" / "churn.yaml"),
            data=project / "data",
            warehouse=warehouse,
            root=project,
        )
        held: dict = {name: multiset(line.tables.read(name), LEFT_OUT) for name in DATA}
        for name in BOOKS:
            rows = line.tables.read(name)
            for column, type_ in rows.dtypes:  # sums of another order of the rows
                if type_ == "double":
                    rows = rows.withColumn(column, F.round(column, 9))
            held[name] = multiset(rows, (*LEFT_OUT, "content", "batch"))
        models = Registry(line.environment.mlflow, "churn")
        held["versions"] = [(each.number, each.passed) for each in models.versions()]
        held["champion"] = models.champion().number
        made = line.tables.read("ops.decisions").select("action", "as_of", "model_version")
        held["decisions"] = sorted(map(tuple, made.collect()), key=str)
        return held

    return found


@pytest.fixture(scope="module")
def undisturbed(turn, state, project, tmp_path_factory) -> dict:
    warehouse = tmp_path_factory.mktemp("undisturbed")
    run(turn(warehouse), project)
    return state(warehouse)


@pytest.mark.parametrize(
    "table",
    [
        "bronze.orders",
        "silver.orders",
        "gold.features",
        "ops.trials",
        "ops.evaluations",
        "gold.predictions",
    ],
)
def test_a_killed_turn_goes_on_where_it_was(
    table, turn, state, undisturbed, project, tmp_path_factory
) -> None:
    warehouse = tmp_path_factory.mktemp(table.replace(".", "_"))
    command = turn(warehouse)
    process = subprocess.Popen(command, cwd=project, start_new_session=True)
    commit = warehouse / "churn" / table.replace(".", "/") / "_delta_log" / f"{1:020d}.json"
    deadline = time.monotonic() + 600
    while not commit.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    run(command, project)
    found = state(warehouse)
    assert found.keys() == undisturbed.keys()
    for name, expected in undisturbed.items():
        assert found[name] == expected, name
    before = found
    run(command, project)
    assert state(warehouse) == before
