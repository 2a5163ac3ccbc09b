"""The ledger: a row a stage, however it ends, with what Spark itself measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from driftline import running, schemas, usage
from driftline.environment import Environment
from driftline.errors import DriftlineError, Missing, Refused
from driftline.jobs import cost, searching
from driftline.ledger import Ledger, Run
from driftline.logs import Progress
from driftline.models import Candidate
from driftline.problem import load_problem
from driftline.report.words import money
from driftline.session import utc
from driftline.tables import Written
from driftline.trials import Trial


@pytest.fixture
def ledger(tables, repository) -> Ledger:
    problem = load_problem(repository / "conf" / "churn.yaml")
    environment = Environment(warehouse="w", data="d", mlflow="m", cores=3, memory_gib=2)
    return Ledger(tables, problem, environment)


def rows(ledger: Ledger) -> list:
    return ledger._tables.read("ops.runs").orderBy("started_at").collect()


def test_a_stage_becomes_a_row(ledger) -> None:
    with ledger.run("ingest") as run:
        run.read("bronze.x", 3)
        run.wrote(Written("silver.x", 7))
        run.wrote(Written("silver.y", 2, skipped=True))
        run.count(in_=10, out=6, rejected=3, duplicate=1)
        run.count(in_=5, out=5)
        run.message = "fine"
    ledger.as_of = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with ledger.run("score") as second:
        pass
    one, two = rows(ledger)
    assert (one.run_id, one.stage, one.status, one.message) == (
        run.run_id,
        "ingest",
        "done",
        "fine",
    )
    assert (one.rows_in, one.rows_out, one.rows_rejected, one.rows_duplicate) == (15, 11, 3, 1)
    assert [tuple(each) for each in one.tables_read] == [("bronze.x", 3)]
    assert [tuple(each) for each in one.tables_written] == [("silver.x", 7)]
    assert one.problem == ledger._problem.digest
    assert (two.status, two.rows_in, two.jobs) == ("unchanged", None, 0)
    assert (one.as_of, two.as_of) == (None, datetime(2026, 1, 1))
    assert ledger.last_run_id == second.run_id == two.run_id
    prices = ledger._problem.prices
    hours = one.wall_seconds / 3600
    held = hours * (3 * prices.core_hour + 2 * prices.gib_hour)
    stored = one.bytes_written / 1024**3 * prices.gib_month
    assert one.money == pytest.approx(held + stored, rel=1e-9)
    assert (one.currency, one.wall_seconds > 0) == ("EUR", True)


def test_metrics_are_those_of_the_stage_alone(ledger, spark, tmp_path) -> None:
    """A file of known size is written in one stage; what was written before is nobody's."""
    path = str(tmp_path / "numbers")
    spark.range(1000).write.parquet(f"{path}-before")
    with ledger.run("ingest"):
        spark.range(0, 100_000, 1, 2).selectExpr("uuid() u").write.parquet(path)
    with ledger.run("validate"):
        spark.range(0, 10, 1, 1).collect()
        spark.range(0, 10, 1, 1).collect()
    with ledger.run("features"):
        spark.range(0, 10_000, 1, 2).repartition(7).collect()
    wrote, idle, shuffled = rows(ledger)
    written = sum(each.stat().st_size for each in Path(path).glob("*.parquet"))
    assert wrote.bytes_written == written > 3_000_000
    assert (wrote.jobs, wrote.bytes_read, wrote.shuffle_bytes) == (1, 0, 0)
    assert (idle.jobs, idle.bytes_written, idle.shuffle_bytes) == (2, 0, 0)
    assert shuffled.shuffle_bytes > 10_000
    assert wrote.cpu_seconds > 0
    # Two cores, and the rounding of two tasks to milliseconds.
    assert 0 < wrote.task_seconds <= 2 * wrote.wall_seconds + 0.002


def test_core_seconds_are_those_that_tasks_held(spark) -> None:
    """Three tasks of half a second each, and a driver that waits a second and holds no core."""
    mark, started = usage.mark(spark), time.monotonic()
    nap = "java_method('java.lang.Thread', 'sleep', 500L)"
    spark.range(0, 3, 1, 3).selectExpr(nap).collect()
    held = usage.since(spark, mark).task_seconds
    assert 1.5 <= held <= 2 * (time.monotonic() - started)
    time.sleep(1)
    assert usage.since(spark, mark).task_seconds == held


def test_bytes_read_are_those_of_the_files(spark, tmp_path) -> None:
    path = str(tmp_path / "numbers")
    spark.range(0, 100_000, 1, 2).selectExpr("uuid() u").write.parquet(path)
    mark = usage.mark(spark)
    spark.read.parquet(path).selectExpr("max(u)").collect()
    size = sum(each.stat().st_size for each in Path(path).glob("*.parquet"))
    assert 0.9 * size < usage.since(spark, mark).bytes_read <= 1.2 * size


def test_a_stage_that_fails_is_written_down_too(ledger) -> None:
    errors = {
        "refused": Refused("the gate says no\nand more"),
        "failed": DriftlineError("a promise did not hold"),
        "a bug": ZeroDivisionError("division by zero"),
    }
    for error in errors.values():
        with pytest.raises(type(error)), ledger.run("ingest") as run:
            run.wrote(Written("silver.x", 7))
            raise error
    with (
        pytest.raises(DriftlineError, match=r"10 in, 8 out \+ 1 rejected \+ 0 duplicate") as caught,
        ledger.run("ingest") as run,
    ):
        run.count(in_=10, out=8, rejected=1)
    found = rows(ledger)
    assert [(row.status, row.message) for row in found] == [
        ("refused", "the gate says no\nand more"),
        ("failed", "a promise did not hold"),
        ("failed", "ZeroDivisionError"),  # others may quote a row: only their kind
        ("failed", caught.value.what),
    ]
    assert [tuple(each) for each in found[0].tables_written] == [("silver.x", 7)]


def test_a_run_that_was_killed_is_written_down_by_the_next(ledger) -> None:
    """It took until it was last alive, with the cores it had; and it is there once."""
    folder = Path(ledger._tables.root, "_running")
    begun = datetime(2026, 1, 1, 4, tzinfo=timezone.utc)
    lost = Run("train", Progress("train"), "lost", begun)
    with ledger._marked(lost):
        pass  # it ends without a row
    os.utime(folder / "lost", (begun.timestamp() + 90,) * 2)
    ledger._environment = ledger._environment.model_copy(update={"cores": 1})
    with ledger.run("score") as run:
        assert [path.name for path in folder.iterdir()] == [run.run_id]
    assert list(folder.iterdir()) == []
    killed, own = rows(ledger)
    found = (killed.run_id, killed.stage, killed.status, killed.wall_seconds, killed.problem)
    assert found == ("lost", "train", "killed", 90.0, ledger._problem.digest)
    prices = ledger._problem.prices
    held = 90 / 3600 * (3 * prices.core_hour + 2 * prices.gib_hour)
    assert killed.money == pytest.approx(held, rel=1e-9)
    assert "last alive 2026-01-01 04:01:30" in killed.message
    assert (own.run_id, own.status) == (run.run_id, "unchanged")
    # One that was killed with its row in already.
    with ledger._marked(run):
        pass
    with ledger.run("score"):
        pass
    assert [row.status for row in rows(ledger)] == ["killed", "unchanged", "unchanged"]


def test_marks_in_a_store_are_files_of_hadoop(spark, tmp_path, monkeypatch) -> None:
    root = f"file://{tmp_path}"
    monkeypatch.setattr(running, "LEASE", 0.0)
    assert list(running._dead_in_store(spark, f"{root}/_running")) == []
    with running._in_store(spark, f"{root}/_running", "r1", "said", running.Mark()):
        pass
    [dead] = running._dead_in_store(spark, f"{root}/_running")
    assert (dead.name, dead.said) == ("r1", "said")
    assert abs(dead.at.timestamp() - time.time()) < 60
    with running._in_store(spark, f"{root}/_running", "r1", "said", running.Mark(over=True)):
        pass
    assert list(running._dead_in_store(spark, f"{root}/_running")) == []


def test_a_row_is_not_lost_when_two_stages_end_together(ledger) -> None:
    """Two stages of one problem may run at once; both write to ops.runs at their ends."""
    code = (
        "import sys, time\nfrom driftline.tables import Tables\n"
        "with Tables(None, sys.argv[1]).lock('ops.runs'):\n"
        "    print('held', flush=True)\n    time.sleep(2)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, ledger._tables.root], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with ledger.run("drift") as run:
            run.message = "an hour's work"
    finally:
        other.communicate()
    assert [row.message for row in rows(ledger)] == ["an hour's work"]


def test_marks_begin_where_spark_stands(spark) -> None:
    mark = usage.mark(spark)
    nothing = usage.since(spark, mark)
    # A task that a job of before had no need to wait for may end only now.
    assert replace(nothing, task_seconds=0.0) == usage.Usage()
    assert 0 <= nothing.task_seconds < 1
    spark.range(10).collect()
    assert usage.since(spark, mark).jobs == 1


def test_what_was_spent_and_what_the_tables_hold(open_line, repository, tmp_path) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path)
    with pytest.raises(Missing, match="the ledger is empty"):
        cost.run(line)
    for stage in ("ingest", "ingest", "train", "validate", "features"):
        with line.ledger.run(stage):
            pass
    said = cost.run(line).replace("\u202f", " ").replace("\xa0", " ").splitlines()
    # The look at an empty ledger was a run, too, and so is in it now.
    assert said[0].startswith("6 runs, ")
    groups = {each.split()[0]: each.split()[1] for each in said[2:]}
    assert groups.pop("ingest") == "2"
    assert groups.pop("all") == "6"
    assert groups == dict.fromkeys(("cost", "train", "validate", "features"), "1")
    # Two candidates of the training share what it took, by their seconds.
    rows = line.tables.read("ops.runs").collect()
    [train] = [row for row in rows if row.stage == "train"]
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    tried = [
        (family, "{}", "roc_auc", 0.7, 0.1, [0.7], seconds, False, train.run_id, at, "s", None)
        for family, seconds in (("forest", 3.0), ("line", 1.0))
    ]
    line.tables.append_values(tried, schemas.TRIALS, key=None)
    told = cost.run(line, by="trial").splitlines()
    assert told[0].startswith("1 runs, ")
    assert [each.split()[0] for each in told[2:]] == ["forest", "line", "all"]
    # So do suites of their rows; what the gate of features judged is not what that stage took.
    told = cost.run(line, by="suite").splitlines()
    assert told[0].startswith("1 runs, ")
    assert [each.split("  ")[0] for each in told[2:]] == ["no suite", "all"]
    ids = {row.stage: row.run_id for row in rows}
    none = dict.fromkeys(schemas.QUALITY.column_names)
    judged = [
        none | {"run_id": ids[stage], "table": table, "element_count": count}
        for stage, table, count in (
            ("validate", "silver.orders", 3),
            ("validate", "silver.visits", 1),
            ("features", "gold.features", 5),
        )
    ]
    values = [tuple(each.values()) for each in judged]
    line.tables.append_values(values, schemas.QUALITY, key=None)
    told = cost.run(line, by="suite").splitlines()
    assert [each.split()[0] for each in told[2:]] == ["silver.orders", "silver.visits", "all"]
    never = datetime(2200, 1, 1, tzinfo=timezone.utc)
    assert cost.run(line, since=never).startswith("0 runs since 2200-01-01")


def test_a_killed_training_paid_for_what_it_measured(open_line, repository, tmp_path) -> None:
    """The forest, before it was killed; the run that ended, for the line, which it chose. A third
    had nothing to do, and of a fourth only what failed was left until the second tried it again.
    """
    line = open_line(
        load_problem(repository / "conf" / "churn.yaml"), data=tmp_path, warehouse=tmp_path / "w"
    )
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    spent = {"killed": 10.0, "done": 0.4, "unchanged": 0.05, "refused": 0.01}
    none = dict.fromkeys(schemas.RUNS.column_names) | {"stage": "train", "currency": "EUR"}
    runs = [
        none | {"run_id": f"r-{each}", "status": each, "started_at": at, "money": paid}
        for each, paid in spent.items()
    ]
    line.tables.append_values([tuple(run.values()) for run in runs], schemas.RUNS, key=None)
    forest, straight, bayes = (Candidate(each, ()) for each in ("forest", "line", "bayes"))
    tried = {
        "killed": [Trial(forest, "roc_auc", (0.7,), 7000.0)],
        "refused": [Trial(bayes, "roc_auc", (), 1.0, "an error")],
        "done": [
            Trial(straight, "roc_auc", (0.8,), 300.0),
            Trial(bayes, "roc_auc", (), 100.0, "an error"),
        ],
    }
    for status, trials in tried.items():
        run: Any = SimpleNamespace(run_id=f"r-{status}", wrote=lambda written: None)
        for each in trials:
            searching._write(line, run, each, "s")
    ended = [*tried["killed"], *tried["done"]]
    searching._choose(line, run, searching.Searched("s", ended, ended[1], "", []))
    chosen = {row.family for row in line.tables.read("ops.trials").collect() if row.chosen}
    assert chosen == {"line"}
    said, _, *told = cost.run(line, by="trial").splitlines()
    shares = {"forest {}": 10.0, "line {}": 0.3, "bayes {}": 0.1, "no trial": 0.06, "all": 10.46}
    assert {each.split("  ")[0]: each.split("  ")[-1].strip() for each in told} == {
        what: money(share, "EUR") for what, share in shares.items()
    }
    assert said == f"4 runs, {money(10.46, 'EUR')}"
    [stage] = [each for each in cost.run(line).splitlines() if each.startswith("train")]
    assert stage.endswith(money(10.46, "EUR"))


def test_growth_and_storage_of_a_table(open_line, repository, tmp_path) -> None:
    """Made, and written to three times; all but the last of that is forty days old."""
    problem = load_problem(repository / "conf" / "churn.yaml")
    prices = problem.prices.model_copy(update={"gib_month": 1e6})
    line = open_line(
        problem.model_copy(update={"prices": prices}), data=tmp_path, warehouse=tmp_path / "w"
    )
    for _ in range(3):
        with line.ledger.run("ingest"):
            pass
    folder = Path(line.tables.path("ops.runs"))
    sizes = {path: path.stat().st_size for path in folder.glob("*.parquet")}
    newest = max(sizes, key=lambda path: path.stat().st_mtime)
    old = time.time() - 40 * 86_400
    for version in range(3):
        os.utime(folder / "_delta_log" / f"{version:020}.json", (old + version, old + version))
    said = cost.run(line, by="table").replace("\u202f", " ").replace("\xa0", " ")
    [held] = [each for each in said.splitlines() if each.startswith("ops.runs")]
    everything = sum(sizes.values())
    before = everything - sizes[newest]
    assert held.split()[1] == "4"
    assert f"{everything / 1000:.1f} kB" in held, (held, sizes)
    assert f"{before / 1000:.1f} kB" in held, (held, sizes)
    assert f"{everything / 1024**3 * 1e6:.1f}" in held, (held, sizes)


def test_what_was_spent_on_writing_a_table(open_line, repository, tmp_path) -> None:
    line = open_line(
        load_problem(repository / "conf" / "churn.yaml"), data=tmp_path, warehouse=tmp_path / "w"
    )
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for _ in range(2):
        with line.ledger.run("train") as run:
            tried = (
                "forest",
                "{}",
                "roc_auc",
                0.7,
                0.1,
                [0.7],
                1.0,
                False,
                run.run_id,
                at,
                "s",
                None,
            )
            run.wrote(line.tables.append_values([tried], schemas.TRIALS, key=None))
    runs = sorted(line.tables.read("ops.runs").collect(), key=lambda row: row.started_at)
    second = utc(runs[1].started_at)
    for since, spent in ((None, runs[0].money + runs[1].money), (second, runs[1].money)):
        said = cost.run(line, by="table", since=since)
        assert (f"spent since {second:%Y-%m-%d}" in said) is (since is not None)
        [told] = [each for each in said.splitlines() if each.startswith("ops.trials")]
        assert told.endswith(f"  {money(spent, 'EUR')}")
    # What VACUUM took costs no storage any more.
    gone, left = sorted(Path(line.tables.path("ops.trials")).glob("*.parquet"))
    gone.unlink()
    [fewer] = [
        each for each in cost.run(line, by="table").splitlines() if each.startswith("ops.trials")
    ]
    words = fewer.replace("\u202f", " ").replace("\xa0", " ")
    assert f"  {left.stat().st_size / 1000:.1f} kB  " in words, words
