"""A turn killed and given again, the first at seven points, one that trains again at five: tables
and registry as if undisturbed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from pyspark.sql import functions as F

from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.simulate import simulate
from small_shop import SHOP, write_project

pytestmark = pytest.mark.slow  # twenty-eight turns

DATA = ("silver.visits", "silver.orders", "silver.customers", "gold.features", "gold.predictions")
BOOKS = ("ops.rejects", "ops.deliveries", "ops.trials", "ops.evaluations", "ops.performance")
COMPARED = {
    "ops.drift": ("table", "slice", "column", "statistic"),
    "ops.skew": ("cutoff", "model_version", "table", "column", "statistic"),
}
"""What was compared is the same each time; what came of it is drawn by sketches."""
LEFT_OUT = ("run_id", "at", "_arrived_at", "seconds", "features_version", "search", "problem")
"""What tells a run or a clock; versions count the commits it took."""


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("turns")
    write_project(root, repository)
    simulate(SHOP, root / "data/shop", months=9)
    return root


@pytest.fixture(scope="module")
def turn():
    """The arguments of a turn in a warehouse of its own, with a registry of its own."""

    def asked(project: Path, warehouse: Path) -> list[str]:
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


def killed(command: list[str], cwd: Path, when: Callable[[], bool]) -> None:
    """Begin a command, and kill it as soon as something is there."""
    process = subprocess.Popen(command, cwd=cwd, start_new_session=True)
    deadline = time.monotonic() + 600
    while not when():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def state(open_line, multiset):
    """What the tables and the registry of a warehouse hold."""

    def found(project: Path, warehouse: Path) -> dict:
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
        for name, columns in COMPARED.items():
            held[name] = multiset(line.tables.read(name).select(*columns))
        models = Registry(line.environment.mlflow, "churn")
        held["versions"] = [(each.number, each.passed) for each in models.versions()]
        held["champion"] = models.champion().number
        made = line.tables.read("ops.decisions").select("action", "as_of", "model_version")
        held["decisions"] = sorted(map(tuple, made.collect()), key=str)
        came = line.tables.read("ops.outcomes").select("kind", "verdict", "detail", "model_version")
        held["outcomes"] = sorted(map(tuple, came.collect()), key=str)
        return held

    return found


@pytest.fixture(scope="module")
def undisturbed(turn, state, project, tmp_path_factory) -> dict:
    warehouse = tmp_path_factory.mktemp("undisturbed")
    run(turn(project, warehouse), project)
    return state(project, warehouse)


@pytest.mark.parametrize(
    "table",
    [
        "bronze.orders",
        "silver.orders",
        "gold.features",
        "ops.trials",
        "ops.evaluations",
        "gold.predictions",
        "ops.skew",
    ],
)
def test_a_killed_turn_goes_on_where_it_was(
    table, turn, state, undisturbed, project, tmp_path_factory
) -> None:
    warehouse = tmp_path_factory.mktemp(table.replace(".", "_"))
    command = turn(project, warehouse)
    killed(command, project, (_log(warehouse, table) / f"{1:020d}.json").exists)
    _goes_on(command, project, warehouse, state, undisturbed)


class Retraining:
    """A second turn that trains again: one month more, and a service level nothing reaches."""

    def __init__(self, root: Path, repository: Path, turn) -> None:
        self.root, self.warehouse, self._kept = root, root / "warehouse", root / "kept"
        conf = write_project(root, repository)
        problem = yaml.safe_load(conf.read_text("utf-8"))
        problem["monitor"] = {"floor": 0.999, "at_least": 1, "cooldown": 0}
        conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
        simulate(SHOP, root / "data/shop", months=9)
        self.command = turn(root, self.warehouse)
        run(self.command, root)
        simulate(SHOP, root / "data/shop", first_month=9, months=1)
        shutil.copytree(self.warehouse, self._kept)

    def back(self) -> None:
        """As after the first turn, in the same place: MLflow knows its files by it."""
        shutil.rmtree(self.warehouse)
        shutil.copytree(self._kept, self.warehouse)

    def compared(self) -> bool:
        return self._grew("ops.drift")

    def decided(self) -> bool:
        return self._grew("ops.decisions")

    def registered(self) -> bool:
        return self._holds("SELECT 1 FROM model_versions WHERE version = 2")

    def judged(self) -> bool:
        said = "SELECT 1 FROM model_version_tags WHERE version = 2 AND key = 'gate'"
        return self._holds(said)

    def promoted(self) -> bool:
        said = "SELECT 1 FROM registered_model_aliases WHERE alias = 'champion' AND version = 2"
        return self._holds(said)

    def _grew(self, table: str) -> bool:
        now, before = (
            len(list(_log(each, table).glob("*.json"))) for each in (self.warehouse, self._kept)
        )
        return now > before

    def _holds(self, query: str) -> bool:
        place = f"file:{self.warehouse / 'mlflow.db'}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=10)) as books:
            return books.execute(query).fetchone() is not None


@pytest.fixture(scope="module")
def retraining(turn, tmp_path_factory, repository) -> Retraining:
    return Retraining(tmp_path_factory.mktemp("retraining"), repository, turn)


@pytest.fixture(scope="module")
def retrained(retraining, state) -> dict:
    run(retraining.command, retraining.root)
    found = state(retraining.root, retraining.warehouse)
    assert found["champion"] == 2
    assert [each[1] for each in found["outcomes"] if each[0] == "training"] == ["promoted"] * 2
    return found


@pytest.mark.parametrize("point", ["compared", "decided", "registered", "judged", "promoted"])
def test_a_killed_retraining_is_carried_out_once(point, retraining, retrained, state) -> None:
    retraining.back()
    killed(retraining.command, retraining.root, getattr(retraining, point))
    _goes_on(retraining.command, retraining.root, retraining.warehouse, state, retrained)


def _log(warehouse: Path, table: str) -> Path:
    return warehouse / "churn" / table.replace(".", "/") / "_delta_log"


def _goes_on(command: list[str], project: Path, warehouse: Path, state, undisturbed: dict) -> None:
    """The same command again ends as one that was never killed; once more, it changes nothing."""
    run(command, project)
    found = state(project, warehouse)
    assert found.keys() == undisturbed.keys()
    for name, expected in undisturbed.items():
        assert found[name] == expected, name
    run(command, project)
    assert state(project, warehouse) == found
