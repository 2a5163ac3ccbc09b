"""Two workers, each on a host of its own; one is killed in the middle of each stage.

The hosts are network namespaces: the master and the driver are on one that holds the switch. The
workers' Python has no driftline but the zip that came with the job.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline.simulate import simulate
from driftline.tables import Tables
from executors import LIBRARIES, link
from small_shop import INTERPRETED, SHOP, write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STAGES = {
    "ingest": (),
    "validate": (),
    "features": (),
    "train": (),
    "score": (),
    "drift": ("--table", "silver.visits", "--from", "1", "--to", "latest"),
}
SMALL = INTERPRETED | {  # without these Delta alone starts 50 tasks a table
    "spark.sql.shuffle.partitions": "3",
    "spark.databricks.delta.snapshotPartitions": "3",
}
EXACT = [f"{layer}.{name}" for layer in ("bronze", "silver") for name in ("visits", "orders")]
EXACT += ["bronze.customers", "silver.customers", "ops.deliveries", "ops.rejects"]
MASTER = "10.77.0.1"


def ip(*arguments: object) -> None:
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, text=True)


@dataclass
class Host:
    """A network namespace with an address at the switch."""

    name: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: list[object], log: Path, **named) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            started = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, command)],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **named,
            )
        self.processes.append(started)
        return started

    def kill(self) -> None:
        """SIGKILL all that runs there."""
        listed = ["ip", "netns", "pids", self.name]
        for pid in subprocess.run(listed, capture_output=True, text=True).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for each in self.processes:
            each.wait(timeout=60)
        self.processes.clear()


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Host]]:
    """The driver's host, and two for workers."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    mark = f"dl{os.getpid()}"
    made = [Host(f"{mark}-{n}", f"10.77.0.{n}") for n in (1, 2, 3)]
    names = [each.name for each in made]
    try:
        for host in made:
            try:
                ip("netns", "add", host.name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
            ip("-n", host.name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "switch", "type", "bridge")
        ip("-n", names[0], "link", "set", "switch", "up")
        ip("-n", names[0], "addr", "add", f"{MASTER}/24", "dev", "switch")
        for n, host in enumerate(made[1:]):
            port = f"port{n}"
            peer = ["peer", "name", "eth0", "netns", host.name]
            ip("-n", names[0], "link", "add", port, "type", "veth", *peer)
            ip("-n", names[0], "link", "set", port, "master", "switch", "up")
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "eth0", "up")
        yield made
    finally:
        for host in made:
            host.kill()
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", host.name)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> str:
    """A Python with the libraries that docs/cluster.md names, and no driftline."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    link(LIBRARIES, site)
    python = str(folder / "bin" / "python")
    bare = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    for module, found in (("pyarrow", 0), ("pydantic", 1), ("driftline", 1)):
        done = subprocess.run([python, "-c", f"import {module}"], env=bare, capture_output=True)
        assert done.returncode == found, done.stderr
    return python


@dataclass
class Cluster:
    """A master and its workers, which can be killed and started again."""

    hosts: list[Host]
    folder: Path
    python: str
    home: Path

    def environment(self, host: Host) -> dict[str, str]:
        return {
            **{name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
            "SPARK_HOME": str(self.home),
            "SPARK_LOCAL_IP": host.address,
            "SPARK_NO_DAEMONIZE": "1",
            "PYSPARK_PYTHON": self.python,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }

    @property
    def url(self) -> str:
        return f"spark://{MASTER}:7077"

    def deploy(self, host: Host, name: str, *arguments: object) -> None:
        kind = f"org.apache.spark.deploy.{name.lower()}.{name}"
        command = [self.home / "bin" / "spark-class", kind, "--host", host.address, *arguments]
        host.start(command, self.log(name), env=self.environment(host), cwd=self.folder)

    def log(self, name: str) -> Path:
        return self.folder / f"{name.lower()}.log"

    def registered(self) -> int:
        found = self.log("Master")
        return found.read_text().count("Registering worker") if found.exists() else 0

    def start_worker(self, n: int) -> None:
        before = self.registered()
        work = self.folder / f"work{n}"
        options = ["--cores", 1, "--memory", "2g", "--webui-port", 0, "--work-dir", work, self.url]
        self.deploy(self.hosts[n], "Worker", *options)
        wait(lambda: self.registered() > before, "a worker registers")

    def tasks(self, n: int) -> int:
        """How many tasks the executors on worker ``n`` have begun, of all applications."""
        logs = Path(self.folder, f"work{n}").glob("app-*/*/stderr")
        return sum(each.read_text(errors="replace").count(" Running task ") for each in logs)


def wait(until, what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"waited for: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster(hosts, bare_python, tmp_path_factory) -> Cluster:
    find = [sys.executable, "-m", "pyspark.find_spark_home"]
    home = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    made = Cluster(hosts, tmp_path_factory.mktemp("workers"), bare_python, Path(home))
    made.deploy(hosts[0], "Master", "--port", 7077, "--webui-port", 0)
    wait(
        lambda: made.log("Master").exists() and "ALIVE" in made.log("Master").read_text(),
        "the master",
    )
    for n in (1, 2):
        made.start_worker(n)
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_project(root, repository, {name: {"spark": SMALL} for name in ("one", "two")})
    return root


@pytest.fixture(scope="module")
def undisturbed(spark, project, command) -> Tables:
    """Two deliveries, one process. After the first its tables are copied: both go on from there."""
    options = ["--problem", project / "conf" / "churn.yaml", "--env", "one"]
    simulate(SHOP, project / "data" / "shop", months=8)
    first = command("run", *options, "--stages", "ingest,validate")
    assert first.returncode == 0, first.stderr
    shutil.copytree(project / "one", project / "two")
    simulate(SHOP, project / "data" / "shop", first_month=8, months=1)
    second = command("run", *options, "--stages", "ingest,validate,features,train,score")
    assert second.returncode == 0, second.stderr
    third = command("drift", *options, *STAGES["drift"])
    assert third.returncode == 0, third.stderr
    return Tables(spark, str(project / "one/churn"))


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_survives_a_worker(cluster, project, repository, stage) -> None:
    """In turn: each goes on from what the one before made."""
    lost, left = (1, 2) if list(STAGES).index(stage) % 2 else (2, 1)
    before = cluster.tasks(lost)
    driver = cluster.hosts[0]
    output = cluster.folder / f"{stage}.log"
    submit = [repository / "scripts" / "submit", stage, "--master", cluster.url]
    for setting in (f"spark.driver.host={MASTER}", "spark.executor.memory=1g"):
        submit += ["--conf", setting]
    options = ["--problem", project / "conf" / "churn.yaml", "--env", "two", *STAGES[stage]]
    process = driver.start(
        [*submit, "--", *options], output, env=cluster.environment(driver), cwd=repository
    )
    # The third task: within a job of it, not before the first and not after the last.
    wait(lambda: cluster.tasks(lost) >= before + 3 or process.poll() is not None, "tasks", 300)
    assert process.poll() is None, output.read_text()
    cluster.hosts[lost].kill()
    then = cluster.tasks(left)
    process.wait(timeout=600)
    assert process.returncode == 0, output.read_text()[-4000:]
    assert cluster.tasks(left) > then, "the stage was over before the worker was killed"
    cluster.start_worker(lost)


def rounded(rows):
    """Sums of doubles depend on the order of rows, which no cluster promises."""
    columns = [
        F.round(name, 9).alias(name) if type_ == "double" else F.col(name)
        for name, type_ in rows.dtypes
    ]
    return rows.select(*columns)


@pytest.mark.parametrize("table", [*EXACT, "gold.features"])
def test_a_table_is_the_same(undisturbed, spark, project, multiset, table) -> None:
    one, other = (
        each.read(table) for each in (undisturbed, Tables(spark, str(project / "two/churn")))
    )
    if table == "gold.features":
        one, other = rounded(one), rounded(other)
    expected = multiset(one)
    assert multiset(other) == expected
    assert expected


def test_drift_differs_by_no_more_than_its_bound(undisturbed, spark, project) -> None:
    """Sketches of numbers draw lots: two runs that nobody disturbed differ, too."""

    def told(tables: Tables) -> dict:
        rows = tables.read("ops.drift").collect()
        return {(row.table, row.slice, row.column, row.statistic): row for row in rows}

    one, other = told(undisturbed), told(Tables(spark, str(project / "two/churn")))
    assert one
    assert one.keys() == other.keys()
    for key, row in one.items():
        assert row.drifted == other[key].drifted
        assert other[key].value == pytest.approx(row.value, abs=row.bound or 1e-9)


def test_predictions_differ_by_no_more_than_rounding(undisturbed, spark, project) -> None:
    one, other = (
        {(row.entity, row.as_of): row.score for row in each.read("gold.predictions").collect()}
        for each in (undisturbed, Tables(spark, str(project / "two/churn")))
    )
    assert other == {key: pytest.approx(score, abs=1e-6) for key, score in one.items()}
    assert one
