"""Days that a real Airflow makes up for by the real jobs, then one for which nothing is delivered:
each sees what was there by then, and the program that is named is told what is missing and broken.

One shop for all: a start of Spark costs more than what it does here.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from real_airflow import DAG, PARTS, Airflow, alarm, shop, table

pytestmark = pytest.mark.slow  # installs Airflow, starts its scheduler, runs the line twice

FIRST, SECOND, THIRD = "2024-09-28", "2024-09-29", "2024-09-30"
"""Logical dates. The first's midnight is a cut-off, which nobody can see before the second day."""

NEVER = "shop/orders/2024-09-29*.ndjson"
"""What the third waits for."""


@dataclass(frozen=True)
class Seen:
    """What there was when nothing ran."""

    states: list[dict[str, str]]
    """Of the tasks of each run of the backfill, by day."""
    ordered: str
    """The day of the newest order."""
    decided: set[str]
    scored: set[str]
    """Days as of which there are decisions, and predictions."""
    promises: list[str]
    """The verdicts on freshness."""
    ended: dict[str, list[str]]
    """How the runs of each stage ended."""
    told: str


@dataclass(frozen=True)
class Days:
    airflow: Airflow
    conf: Path
    alarm: Path
    """What it was told is in a file."""
    between: Seen
    """The second day waited for its delivery."""
    after: Seen


def look(airflow: Airflow, root: Path, told: Path) -> Seen:
    def days(name: str) -> set[str]:
        return set(table(root, name).as_of.dt.strftime("%Y-%m-%d"))

    runs, promises = table(root, "ops/runs"), table(root, "ops/sla").sort_values("at")
    return Seen(
        [airflow.states(each["run_id"]) for each in airflow.runs("backfill")],
        f"{table(root, 'silver/orders').time.max():%Y-%m-%d}",
        days("ops/decisions"),
        days("gold/predictions"),
        list(promises[promises.kind == "freshness"].verdict),
        {stage: sorted(each.status) for stage, each in runs.groupby("stage")},
        told.read_text("utf-8") if told.exists() else "",
    )


def wait(airflow: Airflow, seconds: float, until: Callable[[list[dict]], bool]) -> None:
    """Until the runs of the backfill are as they shall be, and none has failed."""
    deadline = time.monotonic() + seconds
    while not until(made := airflow.runs("backfill")):
        failed = [each["run_id"] for each in made if each["state"] == "failed"]
        assert not failed, [airflow.states(each) for each in failed]
        assert time.monotonic() < deadline, made
        time.sleep(10)


def scheduled(airflow: Airflow, command: Callable, conf: Path) -> None:
    """The DAG of a problem file, as people write it."""
    done = command("schedule", "--problem", conf, "--airflow")
    assert done.returncode == 0, done.stderr
    airflow.write(done.stdout)


@pytest.fixture(scope="module")
def days(airflow_place, command, repository, tmp_path_factory) -> Days:
    """Two days made up for; the second's delivery comes when it is waited for."""
    folder = tmp_path_factory.mktemp("days")
    root, held = folder / "shop", folder / "held"
    here = {"warehouse": "warehouse", "mlflow": "warehouse/mlflow.db", "master": "local[2]"}
    conf = shop(root, repository, local=here)
    files = [
        each for each in (root / "data" / "shop").glob("*/2024-09-*") if each.name[8:10] > "27"
    ]
    held.mkdir()
    kept = [Path(shutil.move(each, held)) for each in sorted(files) if each.name[8:10] == "28"]
    for each in files:
        each.unlink(missing_ok=True)  # of later days: nothing comes after it
    assert [each.name for each in kept] == ["2024-09-28.log.gz", "2024-09-28.ndjson"]

    airflow = Airflow(airflow_place, folder / "home")
    program, told = alarm(folder)
    airflow.settings |= {"PYTHONPATH": str(repository / "lib"), "DRIFTLINE_ALERT": program}
    scheduled(airflow, command, conf)
    airflow("dags", "reserialize")
    airflow.backfill(FIRST, SECOND)  # before others write: SQLite has one writer
    with airflow.started():

        def waits(made: list[dict]) -> bool:
            states = [airflow.states(each["run_id"]) for each in made[1:]]
            return [each["deliveries"] for each in states] == ["up_for_reschedule"]

        wait(airflow, 1500, waits)
        between = look(airflow, root, told)
        for each, source in zip(kept, ("access", "orders"), strict=True):
            shutil.copy(each, root / "data" / "shop" / source)
        wait(airflow, 1200, lambda made: [each["state"] for each in made] == ["success"] * 2)
    return Days(airflow, conf, told, between, look(airflow, root, told))


def test_a_day_that_is_made_up_for_sees_what_was_delivered_by_then(days) -> None:
    first, second = days.between.states
    assert set(first.values()) == {"success"} and {*PARTS, "deliveries", "sla"} < set(first)
    assert {second[part] for part in [*PARTS, "sla", "done"]} == {""}
    assert days.between.ordered == "2024-09-27"
    assert days.between.decided == {FIRST}
    assert days.between.scored == {"2024-08-29"}

    assert [set(each.values()) for each in days.after.states] == [{"success"}] * 2
    assert days.after.ordered == "2024-09-28"
    assert days.after.decided == {FIRST, SECOND}
    assert days.after.scored == {"2024-08-29", FIRST}


def test_promises_of_such_a_day_are_judged_as_of_it_and_nobody_is_told(days) -> None:
    assert (days.between.promises, days.after.promises) == (["kept"], ["kept", "kept"])
    assert days.after.told == ""
    endings = {each for several in days.after.ended.values() for each in several}
    assert not endings & {"failed", "killed"}
    for stage in (*PARTS[:3], "sla"):  # each day once
        assert days.after.ended[stage] == ["done", "done"], stage


def test_a_delivery_that_never_comes_and_the_promise_it_breaks_are_told(days, command) -> None:
    """The jobs do not run. What the newest order is too old for is broken, which is exit code 3:
    with three retries left it is not judged again.
    """
    problem = yaml.safe_load(days.conf.read_text("utf-8"))
    problem["schedule"]["patience"] = "5s"
    assert problem["schedule"].get("retries", 3) == 3
    days.conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    scheduled(days.airflow, command, days.conf)
    with pytest.raises(AssertionError, match="promises are broken"):
        days.airflow("dags", "test", DAG, f"{THIRD}T04:00:00", seconds=400)

    root = days.conf.parents[1]
    delivery, promise = days.alarm.read_text("utf-8").split(f"{DAG} sla: ")
    assert delivery == f"{DAG} deliveries: not delivered: {NEVER} in {root / 'data'}\n"
    ended, what, where, _hint = promise.splitlines()
    assert ended == "driftline ended with exit code 3"
    assert what == "driftline: 1 of 2 promises are broken"
    age = r"2[4-9]\.\d h, promised ≤ 20\.0 h"  # since some order of the evening before the last
    assert re.fullmatch(rf"where: +freshness silver\.orders \({age}\)", where)
    [run] = days.airflow.runs("manual")
    states = days.airflow.states(run["run_id"])
    assert (run["state"], states.pop("deliveries"), states.pop("sla")) == ("failed",) * 3
    assert states == dict.fromkeys([*PARTS, "done"], "upstream_failed")
    now = look(days.airflow, root, days.alarm)
    assert now.promises == [*days.after.promises, "broken"]  # once, too
    assert now.ended.pop("sla") == ["done"] * 3
    assert now.ended == {each: days.after.ended[each] for each in now.ended}
    assert (now.decided, now.scored) == (days.after.decided, days.after.scored)
