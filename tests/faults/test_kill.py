"""kill -9 at the worst moments, and two processes at once: the tables end as if nothing was."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from driftline.jobs import ingest, validate
from driftline.problem import load_problem

TABLES = ("bronze.lines", "silver.lines", "ops.deliveries", "ops.rejects", "ops.quarantine")


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    """Six files of invoice lines in the form of Online Retail; some broken, some of nobody."""
    root = tmp_path_factory.mktemp("killed")
    folder = root / "data" / "online_retail" / "by_day"
    folder.mkdir(parents=True)
    for day in range(1, 7):
        lines = [
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
        ]
        for n in range(300):
            quantity = "many" if n % 50 == day else n % 9 - 1
            customer = "" if n % 7 == 0 else 12_000 + n % 40
            lines.append(
                f"{500_000 + day * 300 + n},S{n},thing {n},{quantity},2011-03-0{day} 10:00:00,"
                f"{n / 100},{customer},France"
            )
        (folder / f"2011-03-0{day}.csv").write_text("\n".join(lines) + "\n")
    (root / "conf" / "env").mkdir(parents=True)
    shutil.copy(repository / "conf" / "online_retail.yaml", root / "conf")
    place = {"warehouse": "none", "data": "data", "mlflow": "none/mlflow.db", "memory_gib": 2}
    (root / "conf" / "env" / "local.yaml").write_text(yaml.safe_dump(place))
    suites = root / "expectations" / "online_retail"
    shutil.copytree(repository / "expectations" / "online_retail", suites)
    return root


@pytest.fixture(scope="module")
def problem(project):
    return load_problem(project / "conf" / "online_retail.yaml")


@pytest.fixture(scope="module")
def lined(open_line, project, problem):
    """The same jobs over a warehouse, in this process."""

    def opened(warehouse: Path):
        return open_line(problem, data=project / "data", warehouse=warehouse, root=project)

    return opened


@pytest.fixture(scope="module")
def undisturbed(lined, tmp_path_factory, multiset) -> dict:
    line = lined(tmp_path_factory.mktemp("undisturbed"))
    ingest.run(line)
    validate.run(line)
    found = {name: multiset(line.tables.read(name)) for name in TABLES}
    assert found["bronze.lines"].total() == 1_800 - found["ops.rejects"].total()
    assert found["ops.rejects"].total() == 36
    return found


@pytest.fixture
def started(project, repository):
    """Start a real stage in a process group of its own; whatever is left of it dies at the end."""
    processes = []

    def start(stage: str, warehouse: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("driftline"), stage),
                *("--problem", str(project / "conf" / "online_retail.yaml")),
                *("--warehouse", str(warehouse)),
            ],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the Python process and its JVM, both of which this test started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_at(process: subprocess.Popen[str], commit: Path) -> None:
    """Wait for a commit of a Delta table, then kill at once."""
    deadline = time.monotonic() + 120
    while not commit.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, f"{commit} did not come"
        time.sleep(0.002)
    kill(process)


def commit(warehouse: Path, table: str, version: int) -> Path:
    folder = Path(warehouse, "online_retail", *table.split("."), "_delta_log")
    return folder / f"{version:020d}.json"


def finished(lined, warehouse: Path, multiset) -> dict:
    line = lined(warehouse)
    ingest.run(line)
    validate.run(line)
    assert "nothing new" in ingest.run(line)
    return {name: multiset(line.tables.read(name)) for name in TABLES}


@pytest.mark.parametrize(
    ("stage", "table", "version"),
    [
        pytest.param("ingest", "ops.deliveries", 1, marks=pytest.mark.slow),
        pytest.param("ingest", "bronze.lines", 0, marks=pytest.mark.slow),
        pytest.param("ingest", "bronze.lines", 1, marks=pytest.mark.slow),
        pytest.param("ingest", "ops.rejects", 1, marks=pytest.mark.slow),
        pytest.param("ingest", "ops.deliveries", 2, marks=pytest.mark.slow),
        pytest.param("validate", "ops.quarantine", 1, marks=pytest.mark.slow),
        pytest.param("validate", "silver.lines", 1, marks=pytest.mark.slow),
    ],
    ids=[
        "planned",
        "bronze made, empty",
        "landed in bronze",
        "rejects kept",
        "landing written down",
        "quarantined",
        "good rows in silver",
    ],
)
def test_a_killed_stage_goes_on_where_it_was(
    started, lined, undisturbed, multiset, tmp_path, stage, table, version
) -> None:
    if stage == "validate":
        ingest.run(lined(tmp_path))
    kill_at(started(stage, tmp_path), commit(tmp_path, table, version))
    assert finished(lined, tmp_path, multiset) == undisturbed


def test_a_second_process_is_told_to_try_again(started, lined, tmp_path, undisturbed) -> None:
    line = lined(tmp_path)
    with line.tables.lock("bronze.lines"):
        process = started("ingest", tmp_path)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "bronze.lines is being written by another process" in said
    assert not line.tables.exists("bronze.lines")


@pytest.mark.slow
def test_of_two_at_once_one_writes(started, lined, undisturbed, multiset, tmp_path) -> None:
    """Each is as fast as the other; whoever comes second goes away, or finds nothing to do."""
    both = [started("ingest", tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 75], [0, 0]), said
    landed = sum("6 new deliveries with 1,800 records" in each for each in said)
    assert landed == 1, said
    assert finished(lined, tmp_path, multiset) == undisturbed
