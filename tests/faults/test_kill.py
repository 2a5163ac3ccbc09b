"""kill -9 at the worst moments, and two processes at once: the tables end as if nothing was."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline import schemas
from driftline.errors import Refused
from driftline.jobs import ingest, validate
from faults.conftest import SLOW, UNLOCKED, kill

TABLES = ("bronze.lines", "silver.lines", "ops.deliveries", "ops.rejects", "ops.quarantine")


@pytest.fixture(scope="module")
def project(six_days) -> Path:
    return six_days(300)


@pytest.fixture(scope="module")
def undisturbed(lined, tmp_path_factory, multiset) -> dict:
    line = lined(tmp_path_factory.mktemp("undisturbed"))
    ingest.run(line)
    validate.run(line)
    found = held(line, multiset)
    assert found["bronze.lines"].total() == 1_800 - found["ops.rejects"].total()
    assert found["ops.rejects"].total() == 36
    return found


def held(line, multiset) -> dict:
    """What the tables hold; a row in quarantine tells as JSON when it arrived."""
    found = {}
    for name in TABLES:
        rows = line.tables.read(name)
        if name == "ops.quarantine":
            rows = rows.withColumn("row", F.regexp_replace("row", '"_arrived_at":"[^"]*"', ""))
            rows = rows.drop("row_hash")
        found[name] = multiset(rows)
    return found


def kill_at(
    process: subprocess.Popen[str], folder: Path, name: str, seconds_later: float = 0
) -> None:
    """Wait for a file of a Delta table, then kill at once, or a moment later."""
    deadline = time.monotonic() + 120
    while not any(folder.glob(name)):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, f"{name} did not come"
        time.sleep(0.002)
    time.sleep(seconds_later)
    kill(process)


def folder_of(warehouse: Path, table: str) -> Path:
    return Path(warehouse, "online_retail", *table.split("."))


def commit(version: int) -> str:
    return f"_delta_log/{version:020d}.json"


def finished(lined, warehouse: Path, multiset) -> dict:
    line = lined(warehouse)
    ingest.run(line)
    validate.run(line)
    assert "nothing new" in ingest.run(line)
    return held(line, multiset)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "table", "file"),
    [
        ("ingest", "ops.deliveries", commit(1)),
        ("ingest", "bronze.lines", commit(0)),
        ("ingest", "bronze.lines", "*.parquet"),
        ("ingest", "bronze.lines", commit(1)),
        ("ingest", "ops.rejects", "*.parquet"),
        ("ingest", "ops.rejects", commit(1)),
        ("ingest", "ops.deliveries", commit(2)),
        ("validate", "silver.lines", commit(1)),
    ],
    ids=[
        "planned",
        "bronze made, empty",
        "first data file of bronze",
        "landed in bronze",
        "first data file of rejects",
        "rejects kept",
        "landing written down",
        "good rows in silver",
    ],
)
def test_a_killed_stage_goes_on_where_it_was(
    started, lined, undisturbed, multiset, tmp_path, stage, table, file
) -> None:
    if stage == "validate":
        ingest.run(lined(tmp_path))
    kill_at(started(stage, tmp_path), folder_of(tmp_path, table), file)
    assert finished(lined, tmp_path, multiset) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("reverted", [False, True], ids=["same suite", "suite put back"])
def test_killed_between_its_two_writes_a_replay_accounts_for_every_row(
    started, lined, project, tmp_path, reverted
) -> None:
    line = lined(tmp_path)
    ingest.run(line)
    validate.run(line)
    bad = line.tables.read("ops.quarantine").count()
    path = project / "expectations" / "online_retail" / "silver_lines.json"
    strict = path.read_text()
    suite = json.loads(strict)
    assert suite["expectations"][0]["kwargs"]["column"] == "customer_id"
    suite["expectations"][0]["meta"]["severity"] = "warn"  # walk-in customers are let in
    path.write_text(json.dumps(suite))
    try:
        kill_at(
            started("validate", tmp_path, "--replay"),
            folder_of(tmp_path, "silver.lines"),
            commit(2),
        )
        assert not (folder_of(tmp_path, "ops.quarantine") / commit(2)).exists()
        if reverted:
            path.write_text(strict)
        line = lined(tmp_path)
        assert " 0 cured" in validate.run(line, replay=True)
    finally:
        path.write_text(strict)
    assert bad > 0 and line.tables.read("ops.quarantine").count() == 0  # nothing else was wrong
    assert_each_record_is_in_one_place(line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "file", "seconds_later"),
    [
        ("ops.quarantine", commit(1), 0),
        ("ops.quarantine", commit(1), 0.1),
        ("silver.lines", "_delta_log", 0),
        ("silver.lines", commit(0), 0),
        ("silver.lines", "*.parquet", 0),
    ],
    ids=["quarantined", "a moment later", "silver begun", "silver made, empty", "silver's file"],
)
def test_killed_between_its_two_writes_the_gate_accounts_for_every_row(
    started, lined, undisturbed, multiset, tmp_path, table, file, seconds_later
) -> None:
    ingest.run(lined(tmp_path))
    process = started("validate", tmp_path)
    kill_at(process, folder_of(tmp_path, table), file, seconds_later)
    assert (folder_of(tmp_path, "ops.quarantine") / commit(1)).exists()
    assert not (folder_of(tmp_path, "silver.lines") / commit(1)).exists()
    assert finished(lined, tmp_path, multiset) == undisturbed
    assert_each_record_is_in_one_place(lined(tmp_path))


@pytest.mark.slow
def test_killed_while_a_batch_is_given_up_it_is_given_up_once(
    started, lined, project, tmp_path
) -> None:
    line = lined(tmp_path)
    ingest.run(line)
    batch = line.tables.read("bronze.lines").first()["_batch"]
    path = project / "expectations" / "online_retail" / "silver_lines.json"
    shipped = path.read_text()
    suite = json.loads(shipped)
    few = {"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 10}}
    suite["expectations"].append({**few, "meta": {"why": "so many were never delivered"}})
    path.write_text(json.dumps(suite))
    try:
        with pytest.raises(Refused):
            validate.run(line)
        kill_at(
            started("validate", tmp_path, "--quarantine", batch),
            folder_of(tmp_path, "ops.quarantine"),
            commit(1),
        )
        line = lined(tmp_path)
        assert f"validate:{batch}" not in line.tables.committed("silver.lines")
        assert "is given up" in validate.run(line, give_up=batch)
    finally:
        path.write_text(shipped)
    assert line.tables.read("silver.lines").isEmpty()
    assert_each_record_is_in_one_place(line)


def assert_each_record_is_in_one_place(line) -> None:
    """What landed is in silver or in quarantine, once."""
    at = ["_delivery", "_offset"]
    landed, good = (
        line.tables.read(name).select(*at).collect() for name in ("bronze.lines", "silver.lines")
    )
    bad = line.tables.read("ops.quarantine").select("delivery", "offset").collect()
    assert sorted(map(tuple, landed)) == sorted(map(tuple, [*good, *bad]))


def test_a_second_process_is_told_to_try_again(started, lined, tmp_path) -> None:
    line = lined(tmp_path)
    with line.tables.lock("bronze.lines"):
        process = started("ingest", tmp_path)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "bronze.lines is being written by another process" in said
    assert not line.tables.exists("bronze.lines")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "done"),
    [("ingest", "6 new deliveries with 1,800 records"), ("validate", " good, ")],
)
def test_of_two_at_once_one_writes(
    started, lined, undisturbed, multiset, tmp_path, stage, done
) -> None:
    """Each is as fast as the other; whoever comes second goes away, or finds nothing to do."""
    if stage == "validate":
        ingest.run(lined(tmp_path))
    both = [started(stage, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 75], [0, 0]), said
    assert sum(done in each for each in said) == 1, said
    assert finished(lined, tmp_path, multiset) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("processes", "rounds"), [(2, 10), (4, 6), (8, 4)])
def test_many_processes_on_one_warehouse(
    started, lined, undisturbed, multiset, tmp_path, processes, rounds
) -> None:
    for number in range(rounds):
        warehouse = tmp_path / str(number)
        all_ = [started("ingest", warehouse) for _ in range(processes)]
        said = [process.communicate(timeout=600)[0] for process in all_]
        codes = [process.returncode for process in all_]
        assert set(codes) <= {0, 75} and 0 in codes, said
        assert finished(lined, warehouse, multiset) == undisturbed
        shutil.rmtree(warehouse)
    print(f"{processes} processes at once, {rounds} rounds: 0 rows lost, 0 duplicated")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_without_the_lock_rows_land_twice(started, lined, undisturbed, multiset, tmp_path) -> None:
    """What the lock is for, and that the tests above would see it missing."""
    found = {}
    for name, patch in (("locked", SLOW), ("unlocked", UNLOCKED)):
        # Making a table is where two would meet first, and Delta lets only one of them through.
        made = lined(tmp_path / name)
        for table in (schemas.bronze(made.problem, "lines"), schemas.REJECTS, schemas.DELIVERIES):
            made.tables.takes_files(table)
        all_ = [started("ingest", tmp_path / name, patch=patch) for _ in range(3)]
        said = [process.communicate(timeout=600)[0] for process in all_]
        assert any(process.returncode == 0 for process in all_), said
        found[name] = multiset(lined(tmp_path / name).tables.read("bronze.lines"))
    twice = (found["unlocked"] - undisturbed["bronze.lines"]).total()
    print(f"3 processes with slow commits: 0 rows twice with the lock, {twice:,} without")
    assert found["locked"] == undisturbed["bronze.lines"]
    assert twice > 0


@pytest.mark.slow
def test_told_to_stop_it_stops_cleanly(started, lined, undisturbed, multiset, tmp_path) -> None:
    process = started("ingest", tmp_path)
    plan = folder_of(tmp_path, "ops.deliveries") / commit(1)
    while not plan.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 75, said
    assert "told to stop" in said
    assert finished(lined, tmp_path, multiset) == undisturbed
    killed = lined(tmp_path).tables.read("ops.runs").where("status = 'killed'").collect()
    assert [row.stage for row in killed] == ["ingest"]
    assert 0 < killed[0].wall_seconds < 60 and killed[0].money > 0
