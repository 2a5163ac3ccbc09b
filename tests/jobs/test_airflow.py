"""The DAG in a real Airflow: parsed, run, a task tried again, days caught up on, people told.

Commands are of a program with known exit codes; the real jobs run by SparkSubmitOperator on a
standalone cluster, and in ``test_airflow_backfill.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from driftline import airflow_dag
from driftline.problem import load_problem
from driftline.schedules import Turn
from real_airflow import DAG, PARTS, Airflow, alarm, shop, table

pytestmark = pytest.mark.slow  # installs Airflow, starts its scheduler, runs the whole line

PROGRAM = """#!/bin/sh
echo "$*" >> calls
code=$(head -n 1 codes 2>/dev/null); sed -i 1d codes 2>/dev/null
[ "$code" = slow ] && exec sleep 60
[ "${code:-0}" = 0 ] || { printf 'driftline: it is so\n  where:   there\n'; seq 60; } >&2
exit "${code:-0}"
"""
# What Spark says while it stops comes after driftline's last words.
SAID = "driftline ended with exit code 3\ndriftline: it is so\nwhere:   there"


@pytest.fixture
def airflow(airflow_place, tmp_path) -> Airflow:
    return Airflow(airflow_place, tmp_path / "home")


@pytest.fixture
def stub(airflow, repository, tmp_path) -> Path:
    """A project whose driftline writes down how it is called, and ends with the codes it is given;
    its DAG is Airflow's.
    """
    conf = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    conf["schedule"] = {"retries": 2, "pause": "1s", "patience": "5s"}
    conf["schedule"]["wait_for"] = ["%Y-%m-%d.csv"]
    root = tmp_path / "project"
    root.mkdir()
    (root / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    for day in ("2024-06-08", "2024-06-09"):
        (root / f"{day}.csv").touch()
    program = root / "driftline"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    airflow.write(dag(root))
    return root


def dag(root: Path, *, operator: str = "bash", **schedule: str) -> str:
    """The DAG file of a stub, whose schedule may be another."""
    conf = yaml.safe_load((root / "x.yaml").read_text("utf-8"))
    conf["schedule"] |= schedule
    (root / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    problem = load_problem(root / "x.yaml")
    turn = Turn(problem, ("--env", "a"), root, root / "driftline", root, root)
    return airflow_dag.text([turn], operator=operator, master=None)


def calls(root: Path) -> list[str]:
    path = root / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_it_parses_with_either_operator(airflow, stub) -> None:
    text = dag(stub, operator="spark").replace("driftline_{", "spark_{")
    (airflow.home / "dags" / "spark.py").write_text(text, "utf-8")
    airflow("dags", "reserialize")
    assert "No data found" in airflow("dags", "list-import-errors")
    for name in (DAG, "spark_churn"):
        told = airflow("tasks", "list", name).split()
        assert [each for each in told if each in PARTS] == sorted(PARTS)
        assert {"deliveries", "sla", "done"} <= set(told)
    # A process that is lost while it waits is no delivery that is missing.
    dag_of = f"runpy.run_path({str(airflow.home / 'dags' / 'churn.py')!r})[{DAG!r}]"
    tries = airflow.python(f"import runpy; print({dag_of}.get_task('deliveries').retries)")
    assert tries.split()[-1] == "2"


def test_the_day_is_that_of_the_run_whatever_airflow_takes_a_cron_for(airflow, stub) -> None:
    """By this setting a schedule that is a text would have logical dates a day before its runs."""
    intervals = {"AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True"}
    path = airflow.home / "dags" / "churn.py"
    code = f"import runpy; print(type(runpy.run_path({str(path)!r})[{DAG!r}].timetable).__name__)"
    assert airflow.python(code, **intervals).split()[-1] == "CronTriggerTimetable"


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
    airflow.write(dag(stub, operator="spark"))
    connection = json.dumps({"conn_type": "spark", "host": "spark://127.0.0.1:7077"})
    more = {"AIRFLOW_CONN_SPARK_DEFAULT": connection, "PATH": f"{stub}:{os.environ['PATH']}"}
    more["DRIFTLINE_ALERT"], told = alarm(stub)
    (stub / "codes").write_text("75\n0\n3\n")
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
    assert told.read_text() == f"{DAG} validate: {SAID}\n"


def test_what_takes_too_long_is_stopped_and_not_tried_again(airflow, stub) -> None:
    airflow.write(dag(stub, timeout="10s"))
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
    program, told = alarm(stub)
    with pytest.raises(AssertionError):
        airflow("dags", "test", DAG, "2024-06-10T04:00:00", DRIFTLINE_ALERT=program)
    parts = [each.split()[4] if "--only" in each else "sla" for each in calls(stub)]
    assert parts == ["ingest", "validate", "sla"]
    assert told.read_text() == f"{DAG} validate: {SAID}\n"
    [run] = airflow.runs()
    states = airflow.states(run["run_id"])
    assert run["state"] == "failed"
    assert (states["validate"], states["done"], states["sla"]) == (
        "failed",
        "upstream_failed",
        "success",
    )


def test_a_delivery_that_is_missing_is_named_and_nothing_is_run(airflow, stub) -> None:
    """Promises are judged all the same, and what is broken (3) is not judged again."""
    (stub / "codes").write_text("3\n")
    program, told = alarm(stub)
    lacking = f"not delivered: 2024-06-10.csv in {stub}"
    with pytest.raises(AssertionError, match=r"not delivered: 2024-06-10\.csv"):
        airflow("dags", "test", DAG, "2024-06-11T04:00:00", DRIFTLINE_ALERT=program)
    assert told.read_text() == f"{DAG} deliveries: {lacking}\n{DAG} sla: {SAID}\n"
    assert calls(stub) == ["sla --env a --as-of 2024-06-11"]
    [run] = airflow.runs()
    assert run["state"] == "failed"
    states = airflow.states(run["run_id"])
    assert (states.pop("deliveries"), states.pop("sla")) == ("failed", "failed")
    assert states == dict.fromkeys([*PARTS, "done"], "upstream_failed")


def test_it_catches_up_from_the_first_day_on(airflow, stub) -> None:
    """By the scheduler, with nobody's help: one day after the other, each as of its logical date,
    until one for which nothing has been delivered.
    """
    airflow.write(dag(stub, first="2024-06-09", patience="1h"))
    airflow("dags", "reserialize")
    with airflow.started():
        airflow("dags", "unpause", DAG)
        until = time.monotonic() + 600
        while not airflow.runs("scheduled__2024-06-11"):
            assert time.monotonic() < until, airflow.runs()
            time.sleep(5)
    made = airflow.runs()
    days = ["2024-06-09", "2024-06-10"]
    starts = [f"scheduled__{day}T04:00:00" for day in days]
    assert [each["run_id"][: len(starts[0])] for each in made[:2]] == starts
    assert [each["state"] for each in made[:2]] == ["success", "success"], made
    expected = []
    for day in days:
        expected += [f"cycle --env a --only {part} --as-of {day}" for part in PARTS]
        expected += [f"sla --env a --as-of {day}"]
    assert calls(stub) == expected


def all_went_through(airflow: Airflow, root: Path) -> None:
    """A turn as of 20 September: every task, every stage, a decision, predictions, promises."""
    [run] = airflow.runs()
    states = airflow.states(run["run_id"])
    assert set(states.values()) == {"success"} and set(PARTS) < set(states)
    runs = table(root, "ops/runs")
    assert {*PARTS, "sla"} <= set(runs[runs.status == "done"].stage)
    assert f"{table(root, 'ops/decisions').as_of.max():%Y-%m-%d}" == "2024-09-20"
    assert set(table(root, "ops/sla").verdict) == {"kept"}
    assert len(table(root, "gold/predictions")) > 100


@pytest.mark.timeout(3600)
def test_the_whole_line_by_spark_submit_on_a_cluster(
    airflow, cluster, cluster_folder, command, repository, tmp_path
) -> None:
    """The real jobs by the real SparkSubmitOperator: a task is a spark-submit to a master."""
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
    airflow.write(done.stdout)
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
