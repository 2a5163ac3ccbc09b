"""Promises against tables: the number, the version and the run it comes from, and the history."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from subprocess import CompletedProcess
from types import SimpleNamespace

import duckdb
import pytest
import yaml
from deltalake import DeltaTable
from tests.serving.conftest import onnx
from tests.serving.test_server import Store, serving

from driftline import query, schemas, sla
from driftline.jobs import sla as job
from driftline.jobs.query import answer
from driftline.probing import Probe
from driftline.problem import load_problem
from driftline.registry import Version

NOW = datetime.now(timezone.utc)
DAY = datetime(2026, 3, 10, tzinfo=timezone.utc)
DAYS = timedelta(days=1)
LATER = NOW + timedelta(minutes=1)


def run(run_id: str, stage: str, status: str = "done", **more) -> tuple:
    row = dict.fromkeys(schemas.RUNS.column_names) | {"run_id": run_id, "stage": stage}
    row |= {"status": status, "started_at": NOW - timedelta(hours=30), "wall_seconds": 60.0}
    return tuple((row | more).values())


def quality(run_id: str, table: str, batch: str, rows: int, at: datetime) -> tuple:
    row = dict.fromkeys(schemas.QUALITY.column_names)
    row |= {"run_id": run_id, "table": table, "batch": batch, "element_count": rows, "at": at}
    return tuple(row.values())


@pytest.fixture
def line(open_line, repository, tmp_path):
    conf = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    conf["sla"]["freshness"] = {"silver.orders": "36h", "silver.visits": "1h"}
    conf["sla"]["duration"]["score"] = "10m"
    path = tmp_path / "churn.yaml"
    path.write_text(yaml.safe_dump(conf), "utf-8")
    return open_line(load_problem(path), data=tmp_path, warehouse=tmp_path / "w")


def verdicts(judged) -> dict:
    return {
        f"{each.promise.kind} {each.promise.subject}".strip(): (
            each.verdict,
            each.found and each.found.value,
            each.found and each.found.run_id,
            each.found and each.found.version,
        )
        for each in judged
    }


@pytest.mark.slow
def test_nothing_has_run_yet_and_so_nothing_is_known(line, monkeypatch) -> None:
    monkeypatch.setattr(job, "Registry", lambda *_: SimpleNamespace(champion=lambda: None))
    judged = job.run(line)
    assert len(judged) == 11
    assert {each.verdict for each in judged} == {"unknown"}
    rows = line.tables.read("ops.sla").collect()
    assert {row.verdict for row in rows} == {"unknown"}
    assert {row.run_id for row in rows} == {line.ledger.last_run_id}


def test_each_promise_by_the_newest_evidence(line, monkeypatch) -> None:
    tables = line.tables
    orders = schemas.silver(line.problem, "orders")
    index = orders.column_names.index("time")
    empty = [None] * len(orders.columns)
    rows = []
    for hours in (-50, -12, 10 * 365 * 24):  # the last one of a wrong clock
        rows.append(list(empty))
        rows[-1][index] = DAY + timedelta(hours=hours)
    tables.append_values(rows, orders, key=None)
    tables.append_values([], schemas.silver(line.problem, "visits"), key=None)
    wrote = [("silver.orders", 1)]
    refused = {"rows_in": 100, "rows_out": 90, "rows_rejected": 4, "rows_duplicate": 6}
    tables.append_values(
        [
            run("i1", "ingest", wall_seconds=700.0, started_at=NOW - timedelta(hours=40)),
            run("i2", "ingest", wall_seconds=599.0),
            run("i3", "ingest", "failed", started_at=NOW, wall_seconds=9.0),
            run("v1", "validate", "refused", tables_written=wrote, **refused),
            # Verdicts were kept of rows that were not written.
            *(run(f"v{each}", "validate", "killed", started_at=NOW) for each in range(2, 8)),
            run("v8", "validate", "failed", started_at=NOW, rows_in=5, rows_out=5),
            run("f1", "features", wall_seconds=901.0),
            run("s1", "score", wall_seconds=1.0),
            run("s2", "score", "killed", started_at=NOW - timedelta(hours=29), wall_seconds=5.0),
            run("t2", "train"),
            run("t3", "train", "refused", started_at=NOW - timedelta(hours=2), wall_seconds=3601.0),
            run("t4", "train", "failed", started_at=NOW - timedelta(hours=1), wall_seconds=9.0),
            # A day made up for is not that day's turn, and what came later was not there then.
            run("m3", "monitor", started_at=NOW - timedelta(hours=80), as_of=DAY - DAYS),
            run("m2", "monitor", started_at=DAY - timedelta(minutes=2), as_of=DAY - 30 * DAYS),
            run("m1", "monitor", started_at=DAY - timedelta(hours=80)),
        ],
        schemas.RUNS,
        key=None,
    )
    tables.append_values(
        [
            quality("v0", "silver.orders", "a", 10, NOW - timedelta(hours=99)),
            quality("v1", "silver.orders", "b", 70, NOW),
            quality("v1", "silver.orders", "b", 70, NOW),
            quality("v1", "silver.visits", "c", 30, NOW),
            quality("v1", "silver.visits", "of a refused batch", 100, NOW),
            *(quality(f"v{each}", "silver.orders", "d", 50, LATER) for each in range(2, 9)),
            quality("g1", "gold.features", "", 7, NOW + timedelta(hours=1)),
        ],
        schemas.QUALITY,
        key=None,
    )
    evaluation = dict.fromkeys(schemas.EVALUATIONS.column_names)
    evaluation |= {"part": "test", "model": "model", "metric": "roc_auc", "value": 0.7}
    evaluation |= {"model_version": 2, "low": 0.61, "high": 0.8, "run_id": "t1"}
    newer = evaluation | {"model_version": 3, "low": 0.4, "run_id": "t2"}
    evaluations = [tuple(each.values()) for each in (evaluation, newer)]
    tables.append_values(evaluations, schemas.EVALUATIONS, key=None)
    there = [  # the champion of today learnt from what the day that is asked for had not seen
        Version(number, "", "", {"line": line_, "watermark": (DAY + days * DAYS).isoformat()})
        for number, line_, days in ((2, "[2]", -40), (3, "[2, 3]", 1))
    ]
    models = SimpleNamespace(champion=lambda: there[-1], passed=lambda: there)
    monkeypatch.setattr(job, "Registry", lambda *_: models)

    found = verdicts(job.run(line, as_of=DAY))
    assert found.pop("deadline cycle") == ("broken", 24.0, None, None)  # and none until then
    killed = found.pop("duration score")
    assert killed[0] == "broken" and killed[1] > 29 * 3600 and killed[2] == "s2"
    assert found == {
        "freshness silver.orders": ("kept", 12.0, "v1", 1),
        "freshness silver.visits": ("unknown", None, None, None),
        "duration ingest": ("kept", 599.0, "i2", None),
        "duration features": ("broken", 901.0, "f1", None),
        "duration train": ("broken", 3601.0, "t3", None),
        "quality validate": ("broken", 0.48, "v1", None),
        "model roc_auc": ("kept", 0.61, "t1", 1),
        "response p99": ("unknown", None, None, None),
        "throughput": ("unknown", None, None, None),
    }

    # Labels have come: they count, and not the test set.
    performance = dict.fromkeys(schemas.PERFORMANCE.column_names)
    performance |= {"cutoff": DAY, "model_version": 2, "slice": "", "kind": "real", "rows": 90}
    performance |= {"metric": "roc_auc", "value": 0.62, "low": 0.55, "high": 0.7, "labelled": 90}
    performance |= {"as_of": DAY, "run_id": "m1", "at": NOW, "content": "c", "assumption": True}
    tables.append_values([tuple(performance.values())], schemas.PERFORMANCE, key=None)
    probed = Probe("http://a", "2", 100.0, 500, 0, 12.5, 99.0)
    assert verdicts(job.run(line, probed=probed)) == {
        "response p99": ("kept", 12.5, None, None),
        "throughput": ("broken", 99.0, None, None),
    }
    by = line.ledger.last_run_id
    again = job.run(line, as_of=DAY)
    found = verdicts(again)
    assert found["model roc_auc"][:2] == ("broken", 0.55)
    assert found["response p99"] == ("kept", 12.5, by, 2)
    assert found["throughput"][:3] == ("broken", 99.0, by)
    assert "500 requests to http://a" in again[-1].found.said
    # Ten times as much is promised now: nobody has asked at that rate.
    serving = line.problem.sla.serving.model_copy(update={"throughput": 1000.0})
    asked = line.problem.sla.model_copy(update={"serving": serving})
    more = replace(line, problem=line.problem.model_copy(update={"sla": asked}))
    for promise in sla.promises(asked, "roc_auc"):
        if promise.kind in sla.PROBED:
            assert job._last_probe(more, promise) is None
            of_then = replace(promise, limit=100.0)
            assert job._last_probe(line, of_then).run_id == by

    # Of today another one is champion, of whose predictions nothing is known yet.
    model = next(each for each in sla.promises(asked, "roc_auc") if each.kind == "model")
    today = job._found(line, model, None)
    assert today is not None and (today.value, today.run_id) == (0.4, "t2")
    assert job._found(line, model, DAY - 41 * DAYS) is None  # and then there was none

    # Before the first turn there was nothing to be late; asked of what is to come, it is as now.
    deadline = next(each for each in sla.promises(asked, "roc_auc") if each.kind == "deadline")
    assert job._found(line, deadline, DAY - 9 * DAYS) is None
    coming = job._found(line, deadline, NOW + 300 * DAYS)
    assert coming is not None and 6 < coming.value < 31

    history = line.tables.read("ops.sla").where("kind = 'model'").orderBy("at").collect()
    assert [(row.verdict, row.value, row.limit, row.at_most) for row in history] == [
        ("kept", 0.61, 0.6, False),
        ("broken", 0.55, 0.6, False),
    ]
    dead = Probe("http://a", "", 100.0, 0, 0, None, 0.0, "ConnectionRefusedError")
    assert {each.verdict for each in job.run(line, probed=dead)} == {"broken"}

    # What of it was broken is a ready question, to Spark and to DuckDB alike. The probe that was
    # told again in between is not counted twice.
    sql = query.text("broken_promises")
    told = {(row.kind, row.subject): row for row in answer(line, sql, "broken_promises").collect()}
    counts = {key: (row.judged, row.broken, row.worst_by) for key, row in told.items()}
    late = counts.pop(("deadline", "cycle"))
    assert late[:2] == (2, 2) and late[2] > 0
    assert counts.pop(("duration", "score"))[:2] == (2, 2)
    assert counts == {
        ("duration", "features"): (2, 2, 1.0),
        ("duration", "train"): (2, 2, 1.0),
        ("quality", "validate"): (2, 2, 0.5),
        ("model", "roc_auc"): (2, 1, 0.05),
        ("response", "p99"): (2, 1, None),
        ("throughput", ""): (2, 2, 1.0),
    }
    assert told["throughput", ""].evidence == "http://a gave no answer: ConnectionRefusedError"
    assert told["model", "roc_auc"].newest == "broken"
    given = DeltaTable(line.tables.path("ops.sla")).to_pyarrow_dataset()
    analyst = duckdb.connect()
    analyst.sql("set timezone = 'UTC'")
    analyst.register("given", given)
    analyst.sql("create schema ops")
    analyst.sql("create view ops.sla as from given")
    same = analyst.sql(sql).fetchall()
    assert [tuple(row)[:4] for row in told.values()] == [row[:4] for row in same]
    assert [tuple(row)[5:] for row in told.values()] == [row[5:] for row in same]


HOLDER = """
import sys, time
from driftline import running
with running.marked(None, sys.argv[1], "t2", sys.argv[2]):
    print("marked", flush=True)
    time.sleep(600)
"""


def test_a_stage_that_hangs_breaks_its_promise(line) -> None:
    """Training, promised within an hour, goes on since two; yesterday's was in time."""
    line.tables.append_values([run("t1", "train"), run("i1", "ingest")], schemas.RUNS, key=None)
    begun = datetime.now(timezone.utc) - timedelta(hours=2)  # NOW is when the tests began
    said = {"stage": "train", "started_at": begun.isoformat()}
    root = line.tables.root
    durations = [each for each in sla.promises(line.problem.sla, "") if each.kind == "duration"]

    def found() -> dict:
        judged = [sla.judge(each, job._found(line, each, None)) for each in durations]
        return {of: (told[0], told[2]) for of, told in verdicts(judged).items()}

    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, root, json.dumps(said)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "marked\n"
            judged = found()
            train = next(each for each in durations if each.subject == "train")
            hangs = job._found(line, train, None)
            late = job._found(line, replace(train, limit=3 * 3600.0), None)
            line.tables.append_values([run("t2", "train")], schemas.RUNS, key=None)
            ended = job._found(line, train, None)
        finally:
            holder.kill()
    assert judged["duration train"] == ("broken", "t2")
    assert judged["duration ingest"] == ("kept", "i1")
    assert hangs.value == pytest.approx(7200, abs=600)
    assert hangs.said == f"running, begun {begun:%Y-%m-%d %H:%M}, " + ("and not ended since")
    assert (late.value, late.run_id) == (60.0, "t1")  # within its limit it says nothing
    assert (ended.value, ended.said[:4]) == (60.0, "done")  # its row is in, its mark not gone yet


@pytest.mark.slow
def test_the_command_says_it_and_ends_with_3(command, line, tmp_path) -> None:
    """A process of its own, on what is in the warehouse: nothing but a run that took too long."""
    line.tables.append_values([run("f1", "features", wall_seconds=901.0)], schemas.RUNS, key=None)
    (tmp_path / "conf" / "env").mkdir(parents=True)
    conf = tmp_path / "conf" / "churn.yaml"
    conf.write_text((tmp_path / "churn.yaml").read_text("utf-8"), "utf-8")
    place = {"warehouse": str(tmp_path / "w"), "data": str(tmp_path), "mlflow": "w/mlflow.db"}
    (tmp_path / "conf" / "env" / "local.yaml").write_text(yaml.safe_dump(place), "utf-8")
    done = command("sla", "--problem", conf, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stdout.split())
    assert "duration features broken 901.0 s ≤ 900.0 s" in said
    assert "run f1" in said and "sla 0 kept, 1 broken, 10 unknown" in said
    assert "1 of 11 promises are broken" in done.stderr and "duration features" in done.stderr


@pytest.mark.slow
def test_a_probe_of_a_server_is_a_command(command, open_line, repository, tmp_path) -> None:
    """A process of `driftline serve`, asked by a process of `driftline sla`, as people do it.

    What it finds depends on the machine, so the promises are such that it cannot be otherwise.
    """
    store = Store(tmp_path)
    store.put(1, onnx())
    store.promote(1)
    problem = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    conf = tmp_path / "churn.yaml"

    def sla(address: str, p99: float) -> CompletedProcess[str]:
        problem["sla"]["serving"] = {"p99": p99, "throughput": 5}
        conf.write_text(yaml.safe_dump(problem), "utf-8")
        where = ("--problem", conf, "--warehouse", tmp_path)
        where += ("--env", repository / "conf" / "env" / "local.yaml")
        return command("sla", *where, "--probe", address, "--seconds", 4)

    with serving(tmp_path) as (_, address, _rpc):
        late = sla(address, 0.1)
        good = sla(address, 4_000)
    gone = sla(address, 4_000)

    assert (late.returncode, good.returncode, gone.returncode) == (3, 0, 3), late.stderr
    lines = [" ".join(line.split()) for line in late.stdout.splitlines()]
    assert lines[0] == "promise of verdict found limit evidence"
    assert re.match(
        r"response p99 broken [\d.]+ ms ≤ 0.1 ms at 5/s: \d+ requests to http", lines[1]
    )
    assert re.match(r"throughput kept [\d.]+/s ≥ 5.0/s \d+ requests to http", lines[2])
    assert lines[1].endswith("0 failed, model version 1")
    assert lines[-1] == "sla 1 kept, 1 broken, 0 unknown"
    assert "1 of 2 promises are broken" in late.stderr and "response p99" in late.stderr
    assert "2 kept, 0 broken" in " ".join(good.stdout.split())
    assert gone.stdout.count("gave no answer: ConnectionRefusedError") == 2

    line = open_line(load_problem(conf), data=tmp_path, warehouse=tmp_path)
    rows = line.tables.read("ops.sla").orderBy("at", "kind").collect()
    assert [(row.kind, row.verdict, row.limit) for row in rows] == [
        ("response", "broken", 0.1),
        ("throughput", "kept", 5.0),
        ("response", "kept", 4_000.0),
        ("throughput", "kept", 5.0),
        ("response", "broken", 4_000.0),
        ("throughput", "broken", 5.0),
    ]
    assert all(row.value > 5 for row in rows[1:4:2])
    assert [row.value for row in rows[4:]] == [None, None]
