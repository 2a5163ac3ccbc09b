"""Persons erased: no byte that was written holds them any more, and all else is as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow.parquet as pq
import pytest

from driftline.errors import Missing, Refused
from driftline.jobs import (
    drift,
    erase,
    explore,
    features,
    ingest,
    planning,
    reproduce,
    score,
    train,
    vacuum,
    validate,
)
from driftline.jobs.sides import Asked
from driftline.problem import load_problem
from driftline.simulate import Shop, simulate
from engines import assert_read_by_four
from small_shop import write_project

pytestmark = pytest.mark.slow  # the whole line first

GONE = ["!canary0", *(f"canary{place}" for place in range(1, 9)), "~canary9"]
"""Of them one comes before, and one after, all that a file or a table has."""
KEPT = [f"keeper{place}" for place in range(10)]
SIGNED = {name: date(1931, 5, 1 + place) for place, name in enumerate(GONE + KEPT)}
"""Days on which nobody else registered, and the first of all."""
AGENT = "Mozilla/9.9 (of {} alone) " + "x" * 300
"""A browser of one person, longer than what a profile keeps of a value."""


def deliver(data: Path) -> None:
    """Orders, visits, profiles, an unreadable record and a bad row of each person."""
    orders, visits, profiles = [], [], ["customer_id,signup_date,age,gender,country,updated_at"]
    for name in GONE + KEPT:
        profiles.append(f"{name},{SIGNED[name]},44,f,DE,2024-08-01 00:00:00")
        for month in range(1, 9):
            at = f"2024-{month:02d}-11T10:00:00Z"
            row = {"order_id": f"{name}-{month}", "customer_id": name, "time": at}
            row |= {"amount": 20.0, "items": 1, "category": "books", "channel": "web"}
            orders.append(json.dumps(row))
            visits.append(
                f'10.0.0.1 - {name} [11/{MONTHS[month - 1]}/2024:10:00:00 +0000] "GET /p HTTP/1.1"'
                f' 200 10 "-" "{AGENT.format(name)}"'
            )
        orders.append(f'{{"customer_id": "{name}", "amount": ')
        if name.endswith("3"):
            orders.append(json.dumps({**row, "order_id": f"{name}-bad", "items": -1}))
    for folder, name, lines in (
        ("orders", "2024-08b.ndjson", orders),
        ("customers", "2024-08b.csv", profiles),
        ("access", "2024-08-31b.log.gz", visits),
    ):
        (data / "shop" / folder / name).write_text("\n".join(lines) + "\n")


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug")


def bytes_that_hold(warehouse: Path, names: list[str]) -> dict[str, set[str]]:
    """Name → the files that hold it: text as it is, Parquet by its values. No code of ours."""
    said = re.compile("|".join(map(re.escape, names)).encode())
    found: dict[str, set[str]] = {name: set() for name in names}
    for path in (each for each in warehouse.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.ParquetFile(path).read().to_pylist()).encode()
        for name in {each.decode() for each in said.findall(content)}:
            found[name].add(str(path))
    return found


def files_with_their_days(warehouse: Path, names: list[str]) -> dict[str, set[str]]:
    """Name → the Parquet files that hold the day it registered: as a day, as seconds, in words, or
    in the bytes of a sketch.
    """
    ways = {}
    for name in names:
        day = SIGNED[name]
        seconds = datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()
        packed = repr(struct.pack("<d", seconds))[2:-1]
        ways[name] = (repr(day), day.isoformat(), packed, str(seconds), f"{seconds / 1e9}E9")
    found: dict[str, set[str]] = {name: set() for name in names}
    for path in warehouse.rglob("*.parquet"):
        content = str(pq.ParquetFile(path).read().to_pylist())
        for name, told in ways.items():
            if any(each in content for each in told):
                found[name].add(str(path))
    return found


def rows_by_table(line) -> dict[str, Counter]:
    """Rows a table of data has of anybody else."""
    found = {}
    for name in ("bronze.orders", "silver.orders", "silver.visits", "gold.features"):
        rows = line.tables.read(name)
        rows = rows.where(~rows["customer_id"].isin(GONE))
        found[name] = Counter(map(tuple, rows.drop("label").collect()))
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("erase")
    write_project(root, repository)
    simulate(Shop(customers=200, malformed=0.01), root / "data" / "shop", months=8)
    deliver(root / "data")
    return root


@pytest.fixture(scope="module")
def opened(project, open_line):
    def line(warehouse: Path):
        problem = load_problem(project / "conf" / "churn.yaml")
        return open_line(problem, data=project / "data", warehouse=warehouse, root=project)

    return line


@pytest.fixture(scope="module")
def whole(project, opened):
    """A warehouse with every table in which a person may be."""
    line = opened(project / "warehouse")
    for job in (ingest, validate, features, train, score, drift):
        try:
            job.run(line)
        except Refused:
            assert job is train  # whether the model is good enough is not asked here
    explore.run(line, table="silver.orders")
    for table, by in (("silver.visits", "agent"), ("silver.customers", "customer_id")):
        drift.run(line, table=table, asked=Asked("0", "1", by=by))
    return line


def test_nothing_that_was_written_holds_them_any_more(whole, project) -> None:
    line, warehouse = whole, project / "warehouse"
    before = bytes_that_hold(warehouse, GONE + KEPT)
    assert all(before.values())
    for layer in ("bronze/orders", "silver/visits", "gold/features", "ops/rejects"):
        assert any(f"/churn/{layer}/" in each for each in before["canary3"]), layer
    for table in ("quarantine", "profiles", "drift", "histograms"):
        assert any(f"/churn/ops/{table}/" in each for each in before["canary3"]), table
    days = files_with_their_days(warehouse, GONE)
    for table in ("bronze/customers", "silver/customers", "ops/profiles"):
        assert all(any(f"/{table}/" in each for each in held) for held in days.values()), table
    others = rows_by_table(line)
    said = erase.run(line, entities=GONE, request="R-1")
    after = bytes_that_hold(warehouse, GONE + KEPT)
    assert {name: after[name] for name in GONE} == {name: set() for name in GONE}
    assert all(after[name] for name in KEPT)
    assert files_with_their_days(warehouse, GONE) == {name: set() for name in GONE}
    assert all(files_with_their_days(warehouse, KEPT).values())
    assert rows_by_table(line) == others
    assert "request R-1, 10 erased" in said and "3 delivered files" in said
    begun, past, complete = line.tables.read("ops.erasures").orderBy("at").collect()
    assert [begun.status, past.status] == ["begun"] * 2
    assert (complete.status, complete.left) == ("complete", [])
    assert {each.split("/")[-1] for each in complete.deliveries} == {
        "2024-08b.ndjson",
        "2024-08b.csv",
        "2024-08-31b.log.gz",
    }
    listed = {each.table: each for each in complete.tables}
    old = {each.table: each.files for each in past.tables if each.files}
    assert old == {name: each.files for name, each in listed.items() if each.files}
    assert old["silver.orders"] and old["ops.profiles"]
    assert listed["silver.orders"].rows == 80 and listed["bronze.orders"].rows == 81
    assert listed["ops.quarantine"].rows == 1 and listed["ops.rejects"].rows == 10
    profiled = line.tables.read("ops.profiles").where("column = 'agent' AND part = ''").collect()
    for row in profiled:  # what is not listed any more may have as many rows as it had
        assert not row["values"] or row.unlisted >= 0
    assert "0 rows" in erase.run(line, entities=GONE, request="R-2")
    assert {"ops.erasures", "ops.quarantine"} <= set(line.tables.names())
    for name in line.tables.names():
        assert_read_by_four(line.tables, name)


def test_the_line_goes_on_without_them(whole) -> None:
    line = whole
    erase.run(line, entities=GONE, request="R-3")
    newest = line.tables.version("gold.features")
    assert not line.tables.noted("gold.features", newest)  # erasing notes nothing of the data
    assert planning.plan(line).startswith("As of 2024-08-31 (the end of what is known so far)")
    assert "nothing new" in ingest.run(line)
    assert "nothing new" in validate.run(line)
    features.run(line)
    vacuum.run(line, hours=168)
    rows = line.tables.read("gold.features")
    assert not rows.where(rows["customer_id"].isin(GONE)).count()
    assert rows.where(rows["customer_id"].isin(KEPT)).count()
    with pytest.raises(Missing):
        reproduce.run(line, version=1)


def test_a_name_that_is_still_found_is_told(whole, project) -> None:
    left = project / "warehouse" / "churn" / "_logs" / "spark.log"
    left.parent.mkdir(exist_ok=True)
    left.write_text("failed on keeper9")
    with pytest.raises(Refused, match="still found in 1 places"):
        erase.run(whole, entities=["keeper9"], request="R-4")
    last = whole.tables.read("ops.erasures").orderBy("at").collect()[-1]
    assert (last.status, last.left) == ("left", [str(left)])
    erased = {each.table: each.rows for each in last.tables}
    assert last.deliveries and erased["bronze.orders"] == 8
    # What was left goes, and the certificate that says complete is of what went before, too.
    left.unlink()
    said = erase.run(whole, entities=["keeper9"], request="R-4")
    assert "in no row" not in said
    done = whole.tables.read("ops.erasures").orderBy("at").collect()[-1]
    assert (done.request, done.status, done.absent) == ("R-4", "complete", 0)
    assert done.deliveries == last.deliveries
    assert erased.items() <= {each.table: each.rows for each in done.tables}.items()
    files = {each.table: each.files for each in done.tables}
    assert all(files[each.table] >= each.files for each in last.tables)


FILES = "files of its past"
"""Not a table that is written: the first old files, of bronze.customers, are removed."""


@pytest.mark.parametrize(
    "table",
    ["ops.erasures", "ops.profiles", "ops.rejects", "silver.orders", "bronze.customers", FILES],
)
def test_killed_at_six_points_and_given_again(table, whole, project, opened, tmp_path) -> None:
    shutil.copytree(project / "warehouse", tmp_path, dirs_exist_ok=True)
    line = opened(tmp_path)
    asked = ["erase", "--problem", project / "conf" / "churn.yaml", "--warehouse", tmp_path]
    asked += ["--entity", "keeper3", "--request", "K", "--yes"]
    program = [Path(sys.executable).with_name("driftline"), *map(str, asked)]
    (held_by,) = (
        Path(unquote(urlparse(row.path).path))
        for row in line.tables.read("bronze.customers")
        .where("customer_id = 'keeper3'")
        .selectExpr("_metadata.file_path AS path")
        .collect()
    )
    point = held_by
    if table != FILES:
        newest = line.tables.version(table) if line.tables.exists(table) else -1
        point = Path(line.tables.path(table), "_delta_log", f"{newest + 1:020d}.json")

    def reached() -> bool:
        return point.exists() == (table != FILES)

    assert not reached()
    theirs = {
        name: line.tables.read(name).where("customer_id = 'keeper3'").count()
        for name in ("bronze.customers", "bronze.orders", "silver.orders", "gold.features")
    }
    assert all(theirs.values())
    process = subprocess.Popen(program, cwd=project, start_new_session=True)
    deadline = time.monotonic() + 600
    try:
        while not reached():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = subprocess.run(program, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = bytes_that_hold(tmp_path, ["keeper3", "keeper2"])
    assert not held["keeper3"] and held["keeper2"]
    # The certificate tells of both tries.
    told = line.tables.read("ops.erasures").where("request = 'K'").orderBy("at").collect()
    of_the_first = 2 if table == FILES else 1
    assert [row.status for row in told] == ["begun"] * (of_the_first + 2) + ["complete"]
    assert told[-1].deliveries == told[0].deliveries != []
    old = {each.table: each.files for each in told[of_the_first - 1].tables}
    files = {each.table: each.files for each in told[-1].tables}
    assert files["bronze.customers"] and files["silver.orders"]
    assert all(files.get(name, 0) >= count for name, count in old.items())
    taken = {each.table: each.rows for each in told[-1].tables}
    assert theirs.items() <= taken.items()
