"""What several tests share: one Spark session, the public data, opened lines, the real command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"

# Far from UTC, as many a machine is: no result may depend on it.
os.environ["TZ"] = "Pacific/Auckland"
time.tzset()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A slow test may be slow: on a machine with other work to do, too."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def public_data() -> Callable[[str], Path]:
    """The data folder, once the named file or folder is known to be there; else the test skips."""

    def folder(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"the public data set {name} is not beside the repository")
        return DATA

    return folder


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """One session for all tests in this process: starting one takes longer than most tests."""
    from driftline import session
    from small_shop import COMPILED_ONCE

    log = tmp_path_factory.mktemp("spark") / "spark.log"
    started = session.build(cores=2, memory_gib=2, settings=COMPILED_ONCE, log=log)
    yield started
    started.stop()


@pytest.fixture
def tables(spark, tmp_path: Path):
    """An empty warehouse."""
    from driftline.tables import Tables

    return Tables(spark, str(tmp_path / "warehouse"))


@pytest.fixture(scope="session")
def open_line(spark) -> Callable:
    """A problem over the shared session: jobs run as in `driftline run`, minus the start."""
    from driftline.environment import Environment
    from driftline.jobs.line import Line
    from driftline.ledger import Ledger
    from driftline.problem import Problem
    from driftline.tables import Tables

    def opened(problem: Problem, *, data: Path, warehouse: Path, root: Path = REPOSITORY) -> Line:
        environment = Environment(
            warehouse=str(warehouse),
            data=str(data),
            mlflow=f"sqlite:///{warehouse}/mlflow.db",
            memory_gib=2,
        )
        tables = Tables(spark, f"{warehouse}/{problem.name}")
        ledger = Ledger(tables, problem, environment)
        return Line(problem, environment, root, spark, tables, ledger)

    return opened


@pytest.fixture(scope="session")
def multiset() -> Callable[..., Counter]:
    """The rows of a DataFrame, however ordered, without the columns that name a run or a clock."""

    def counted(rows, without: tuple[str, ...] = ("run_id", "at", "_arrived_at")) -> Counter:
        kept = [name for name in rows.columns if name not in without]
        return Counter(str(row.asDict(recursive=True)) for row in rows.select(*kept).collect())

    return counted


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `driftline …` as people do: a process of its own."""

    def run(
        *arguments: object, cwd: Path = REPOSITORY, seconds: float = 600
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("driftline"), *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run
