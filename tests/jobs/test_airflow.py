"""The DAG in a real Airflow, installed apart: parsed, run, a task tried again, days made up for.

The real jobs run as commands of driftline, and by SparkSubmitOperator on a standalone cluster.

``DRIFTLINE_AIRFLOW`` may name a folder that ``scripts/airflow`` has filled before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from deltalake import DeltaTable

from driftline import airflow_dag
from driftline.problem import load_problem
from driftline.schedules import Turn
from driftline.simulate import Shop, simulate
from small_shop import write_project

pytestmark = pytest.mark.slow  # installs Airflow, starts its scheduler, runs the whole line

PROGRAM = """#!/bin/sh
echo "$*" >> calls
code=$(head -n 1 codes 2>/dev/null); sed -i 1d codes 2>/dev/null
[ "$code" = slow ] && exec sleep 60
exit "${code:-0}"
"""
PARTS = ["ingest", "validate", "features", "score", "drift", "monitor", "train", "report"]
DAG = "driftline_churn"


@pytest.fixture(scope="module")
def place(tmp_path_factory, repository) -> Path:
    """An environment with Airflow."""
    given = os.environ.get("DRIFTLINE_AIRFLOW")
    folder = Path(given) if given else tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [repository / "scripts" / "airflow", folder],
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Airflow:
    """Its command line, on a database and a folder of DAGs of a test's own."""

    def __init__(self, place: Path, home: Path) -> None:
        self._program, self.home = place / "bin" / "airflow", home
        (home / "dags").mkdir(parents=True)
        self.settings = {
            **{name: each for name, each in os.environ.items() if name != "PYTHONPATH"},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough for it",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        }
        self("db", "migrate")

    def __call__(
        self, *arguments: str, seconds: float = 120, cwd: Path | None = None, **more: str
    ) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            cwd=cwd,
            env={**self.settings, **more},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self, run_id: str) -> dict[str, str]:
        told = self("tasks", "states-for-dag-run", DAG, run_id, "-o", "json")
        found = json.loads(told.splitlines()[-1])
        return {each["task_id"]: each["state"] for each in found}

    def runs(self) -> list[dict]:
        told = self("dags", "list-runs", DAG, "-o", "json")
        return json.loads(told.splitlines()[-1])  # warnings go before

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """Scheduler, DAG processor and API server, on loopback."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        address = f"http://127.0.0.1:{port}"
        self.settings |= {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/"}
        self.settings |= {"AIRFLOW__API__BASE_URL": address}
        commands = [
            ["api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1"],
            ["dag-processor"],
            ["scheduler", "--skip-serve-logs"],
        ]
        running = []
        try:
            for each in commands:
                with (self.home / f"{each[0]}.log").open("w") as log:
                    running.append(
                        subprocess.Popen(
                            [self._program, *each],
                            env=self.settings,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
            yield
        finally:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in running:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def airflow(place, tmp_path) -> Airflow:
    return Airflow(place, tmp_path / "home")


@pytest.fixture
def stub(airflow, repository, tmp_path) -> Path:
    """A project whose driftline writes down how it is called, and ends with the codes it is given;
    its DAG is Airflow's.
    """
    conf = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    conf["schedule"] = {"retries": 2, "pause": "1s", "first": "2024-06-01", "patience": "5s"}
    conf["schedule"]["wait_for"] = ["%Y-%m-%d.csv"]
    root = tmp_path / "project"
    root.mkdir()
    (root / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    for day in ("2024-06-08", "2024-06-09"):
        (root / f"{day}.csv").touch()
    program = root / "driftline"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    turn = Turn(load_problem(root / "x.yaml"), ("--env", "a"), root, program, root, root)
    text = airflow_dag.text([turn], operator="bash", master=None)
    (airflow.home / "dags" / "churn.py").write_text(text, "utf-8")
    return root


def calls(root: Path) -> list[str]:
    path = root / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_it_parses_with_either_operator(airflow, stub) -> None:
    turn = Turn(load_problem(stub / "x.yaml"), ("--env", "a"), stub, stub / "d", stub, stub)
    text = airflow_dag.text([turn], operator="spark", master=None).replace("driftline_{", "spark_{")
    (airflow.home / "dags" / "spark.py").write_text(text, "utf-8")
    airflow("dags", "reserialize")
    assert "No data found" in airflow("dags", "list-import-errors")
    for name in (DAG, "spark_churn"):
        told = airflow("tasks", "list", name).split()
        assert [each for each in told if each in PARTS] == sorted(PARTS)
        assert {"deliveries", "sla", "done"} <= set(told)


def test_75_is_tried_again(airflow, stub) -> None:
    (stub / "codes").write_text("0\n75\n75\n0\n")
    airflow("dags", "test", DAG, "2024-06-10T04:00:00")
    tried = ["ingest", *["validate"] * 3, *PARTS[2:]]
    assert calls(stub) == [
        *(f"cycle --env a --only {part} --as-of 2024-06-10" for part in tried),
        "sla --env a --as-of 2024-06-10",
    ]
    [run] = airflow.runs()
    assert run["state"] == "success"
    assert set(airflow.states(run["run_id"]).values()) == {"success"}


def test_spark_submit_is_judged_by_its_code_too(airflow, stub) -> None:
    """SparkSubmitOperator, with a spark-submit that writes down how it is called."""
    (stub / "driftline").rename(stub / "spark-submit")
    turn = Turn(load_problem(stub / "x.yaml"), ("--env", "a"), stub, stub / "d", stub, stub)
    text = airflow_dag.text([turn], operator="spark", master=None)
    (airflow.home / "dags" / "churn.py").write_text(text, "utf-8")
    connection = json.dumps({"conn_type": "spark", "host": "spark://127.0.0.1:7077"})
    more = {"AIRFLOW_CONN_SPARK_DEFAULT": connection, "PATH": f"{stub}:{os.environ['PATH']}"}
    (stub / "codes").write_text("75\n0\n4\n")
    with pytest.raises(AssertionError):
        airflow("dags", "test", DAG, "2024-06-10T04:00:00", cwd=stub, **more)
    made = calls(stub)
    assert len(made) == 4  # ingest twice, validate once, sla
    assert "--master spark://127.0.0.1:7077" in made[0]
    assert made[0].endswith(f"{stub}/jobs/cycle.py --env a --only ingest --as-of 2024-06-10")
    assert f"--py-files {stub}/dist/driftline.zip" in made[0]
    [run] = airflow.runs()
    states = airflow.states(run["run_id"])
    assert (states["ingest"], states["validate"], states["sla"]) == ("success", "failed", "success")


def test_what_takes_too_long_is_stopped_and_not_tried_again(airflow, stub) -> None:
    conf = yaml.safe_load((stub / "x.yaml").read_text("utf-8"))
    conf["schedule"]["timeout"] = "10s"
    (stub / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    turn = Turn(load_problem(stub / "x.yaml"), ("--env", "a"), stub, stub / "driftline", stub, stub)
    text = airflow_dag.text([turn], operator="bash", master=None)
    (airflow.home / "dags" / "churn.py").write_text(text, "utf-8")
    (stub / "codes").write_text("0\nslow\n")
    began = time.monotonic()
    with pytest.raises(AssertionError, match="told to stop: too long"):
        airflow("dags", "test", DAG, "2024-06-10T04:00:00")
    assert time.monotonic() - began < 50
    assert len(calls(stub)) == 3  # ingest and validate once each, sla
    [run] = airflow.runs()
    assert airflow.states(run["run_id"])["validate"] == "failed"


def test_any_other_code_is_not_and_somebody_is_told(airflow, stub) -> None:
    (stub / "codes").write_text("0\n3\n")
    told = stub / "told"
    alarm = stub / "alarm"
    alarm.write_text(f'#!/bin/sh\necho "$1 $3" >> {told}\n')
    alarm.chmod(0o755)
    arguments = ("dags", "test", DAG, "2024-06-10T04:00:00")
    with pytest.raises(AssertionError):
        airflow(*arguments, DRIFTLINE_ALERT=str(alarm))
    parts = [each.split()[4] if "--only" in each else "sla" for each in calls(stub)]
    assert parts == ["ingest", "validate", "sla"]
    assert told.read_text() == f"{DAG} validate\n"
    [run] = airflow.runs()
    states = airflow.states(run["run_id"])
    assert run["state"] == "failed"
    assert (states["validate"], states["done"], states["sla"]) == (
        "failed",
        "upstream_failed",
        "success",
    )


def test_two_days_are_made_up_for_one_after_the_other(airflow, stub) -> None:
    """By the scheduler: a backfill of two logical dates, each with its as-of."""
    airflow("dags", "reserialize")
    with airflow.started():
        airflow(
            *("backfill", "create", "--dag-id", DAG, "--max-active-runs", "1"),
            *("--from-date", "2024-06-09", "--to-date", "2024-06-10T23:00:00"),
        )
        airflow("dags", "unpause", DAG)
        until = time.monotonic() + 400
        while time.monotonic() < until:
            made = [each for each in airflow.runs() if each["run_id"].startswith("backfill")]
            if len(made) == 2 and {each["state"] for each in made} <= {"success", "failed"}:
                break
            time.sleep(5)
    assert [each["state"] for each in made] == ["success", "success"], made
    by_day = [call.rsplit(" ", 1)[1] for call in calls(stub) if call.startswith("cycle")]
    days = [day for day in by_day if day in ("2024-06-09", "2024-06-10")]
    assert days == ["2024-06-09"] * 8 + ["2024-06-10"] * 8


def shop(root: Path, repository: Path, **places: dict[str, Any]) -> Path:
    """A small shop and its problem, with promises; as of a day before its data end all is kept."""
    conf = write_project(root, repository, places)
    problem = yaml.safe_load(conf.read_text("utf-8"))
    problem["schedule"] = {"wait_for": ["shop/orders/%Y-%m-%d*.ndjson"]}
    problem["drift"]["tables"] = ["gold.features"]
    problem["sla"] = {"freshness": {"silver.orders": "36h"}, "quality": 0.9}
    conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    simulate(Shop(customers=400), root / "data" / "shop", months=9)
    return conf


def all_went_through(airflow: Airflow, root: Path) -> None:
    """A turn as of 20 September: every task, every stage, a decision, predictions, promises."""
    [run] = airflow.runs()
    states = airflow.states(run["run_id"])
    assert set(states.values()) == {"success"} and set(PARTS) < set(states)

    def table(name: str) -> pd.DataFrame:
        return DeltaTable(str(root / "warehouse" / "churn" / name)).to_pandas()

    runs = table("ops/runs")
    assert {*PARTS, "sla"} <= set(runs[runs.status == "done"].stage)
    assert f"{table('ops/decisions').as_of.max():%Y-%m-%d}" == "2024-09-20"
    assert set(table("ops/sla").verdict) == {"kept"}
    assert len(table("gold/predictions")) > 100


def test_the_whole_line(airflow, command, repository, tmp_path) -> None:
    """The real jobs on the simulated shop, as commands of driftline."""
    root = tmp_path / "shop"
    here = {"warehouse": "warehouse", "mlflow": "warehouse/mlflow.db", "master": "local[2]"}
    conf = shop(root, repository, local=here)
    done = command("schedule", "--problem", conf, "--airflow")
    assert done.returncode == 0, done.stderr
    (airflow.home / "dags" / "churn.py").write_text(done.stdout, "utf-8")
    path = str(repository / "lib")
    airflow("dags", "test", DAG, "2024-09-20T04:00:00", seconds=880, PYTHONPATH=path)
    all_went_through(airflow, root)


@pytest.mark.timeout(3600)
def test_the_whole_line_by_spark_submit_on_a_cluster(
    airflow, cluster, cluster_folder, command, repository, tmp_path
) -> None:
    """The same by the real SparkSubmitOperator: a task is a spark-submit to a master."""
    root = tmp_path / "shop"
    settings = {"spark.executor.memory": "1g", "spark.cores.max": "1"}
    settings |= {"spark.sql.shuffle.partitions": "3", "spark.sql.codegen.wholeStage": "false"}
    settings |= {"spark.databricks.delta.snapshotPartitions": "2"}
    place = {"warehouse": "warehouse", "mlflow": "warehouse/mlflow.db", "spark": settings}
    conf = shop(root, repository, cluster=place)
    subprocess.run([repository / "scripts" / "package"], check=True, capture_output=True)
    shutil.copytree(repository / "jobs", root / "jobs")
    shutil.copytree(repository / "dist", root / "dist")
    options = ("--problem", conf, "--env", "cluster", "--airflow", "--operator", "spark")
    done = command("schedule", *options)
    assert done.returncode == 0, done.stderr
    assert "SparkSubmitOperator" in done.stdout
    (airflow.home / "dags" / "churn.py").write_text(done.stdout, "utf-8")
    airflow(
        *("dags", "test", DAG, "2024-09-20T04:00:00"),
        seconds=3000,
        cwd=root,
        PYTHONPATH=str(repository / "lib"),
        AIRFLOW_CONN_SPARK_DEFAULT=json.dumps({"conn_type": "spark", "host": cluster}),
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        SPARK_LOCAL_IP="127.0.0.1",
    )
    all_went_through(airflow, root)
    # Not in the driver: each submit is an application of its own, and its executors had tasks.
    logs = [each.read_text(errors="replace") for each in cluster_folder.glob("work/app-*/*/stderr")]
    assert len(list(cluster_folder.glob("work/app-*"))) == len(PARTS) + 1
    assert sum(" Running task " in each for each in logs) >= len(PARTS)
