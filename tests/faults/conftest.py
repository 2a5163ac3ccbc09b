"""What the tests of faults share: projects in the form of Online Retail, real processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from driftline.problem import load_problem

SLOW = """
import contextlib, time
from driftline import cli, delta_log, tables
commit = delta_log.commit
def slow(*arguments, **named):
    time.sleep(5)
    return commit(*arguments, **named)
delta_log.commit = slow
"""
"""Five seconds between looking whether a batch is there and committing it: others may come in."""

UNLOCKED = SLOW + "tables.Tables.lock = lambda *names, wait=0.0: contextlib.nullcontext()\n"


@pytest.fixture(scope="module")
def six_days(tmp_path_factory, repository):
    """Write a project with six files of so many invoice lines; some broken, some of nobody."""

    def written(lines_a_day: int) -> Path:
        root = tmp_path_factory.mktemp("killed")
        folder = root / "data" / "online_retail" / "by_day"
        folder.mkdir(parents=True)
        for day in range(1, 7):
            lines = [
                "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
            ]
            for n in range(lines_a_day):
                quantity = "many" if n % 50 == day else n % 9 - 1
                customer = "" if n % 7 == 0 else 12_000 + n % 40
                lines.append(
                    f"{500_000 + day * lines_a_day + n},S{n},thing {n},{quantity},"
                    f"2011-03-0{day} 10:00:00,{n / 100},{customer},France"
                )
            (folder / f"2011-03-0{day}.csv").write_text("\n".join(lines) + "\n")
        (root / "conf" / "env").mkdir(parents=True)
        shutil.copy(repository / "conf" / "online_retail.yaml", root / "conf")
        place = {"warehouse": "none", "data": "data", "mlflow": "none/mlflow.db", "memory_gib": 2}
        (root / "conf" / "env" / "local.yaml").write_text(yaml.safe_dump(place))
        suites = root / "expectations" / "online_retail"
        shutil.copytree(repository / "expectations" / "online_retail", suites)
        return root

    return written


@pytest.fixture(scope="module")
def problem(project):
    return load_problem(project / "conf" / "online_retail.yaml")


@pytest.fixture(scope="module")
def lined(open_line, project, problem):
    """The same jobs over a warehouse, in this process."""

    def opened(warehouse: Path):
        return open_line(problem, data=project / "data", warehouse=warehouse, root=project)

    return opened


@pytest.fixture
def started(project, repository):
    """Start a real stage in a process group of its own; whatever is left of it dies at the end."""
    processes = []

    def start(stage: str, warehouse: Path, *more: str, patch: str = "") -> subprocess.Popen[str]:
        program = [Path(sys.executable).with_name("driftline")]
        process = subprocess.Popen(
            [
                *([sys.executable, "-c", f"{patch}cli.main()"] if patch else program),
                stage,
                *("--problem", str(project / "conf" / "online_retail.yaml")),
                *("--warehouse", str(warehouse), *more),
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
