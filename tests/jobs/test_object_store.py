"""A warehouse in an object store: the same line over moto's S3 server gives the tables of a disk.

The server speaks S3 over HTTP, conditional writes included; it does not check signatures. What it
holds is read by delta-rs, so not by the code that wrote it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs
import pytest

from driftline.simulate import simulate
from small_shop import INTERPRETED, SHOP, write_project

deltalake = pytest.importorskip("deltalake", reason="needs pip install driftline[serve]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVER = "moto[s3,server]==5.2.5"
BUCKET = "lake"
TABLES = [f"{layer}.{name}" for layer in ("bronze", "silver") for name in ("visits", "orders")]
TABLES += ["bronze.customers", "silver.customers", "ops.deliveries", "ops.rejects"]
TABLES += ["gold.features", "gold.tiles_orders", "gold.tiles_visits"]


@dataclass(frozen=True)
class Store:
    """A running server and who may ask it."""

    port: int
    environment: dict[str, str]

    @property
    def options(self) -> dict[str, str]:
        """For delta-rs."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            **self.environment,
        }

    @property
    def files(self) -> pyarrow.fs.S3FileSystem:
        return pyarrow.fs.S3FileSystem(
            access_key=self.environment["AWS_ACCESS_KEY_ID"],
            secret_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )


@pytest.fixture(scope="module")
def server(repository) -> Path:
    """moto's server in an environment of its own: it asks for other versions than the lock has."""
    folder = repository / "build" / "moto"
    program = folder / "bin" / "moto_server"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", SERVER]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{SERVER} cannot be installed here: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def store(tmp_path_factory, server) -> Iterator[Store]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    secrets = {"AWS_ACCESS_KEY_ID": "shop", "AWS_SECRET_ACCESS_KEY": "canary-of-a-secret"}
    with (tmp_path_factory.mktemp("store") / "log").open("w") as log:
        started = subprocess.Popen(
            [server, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline and started.poll() is None
                time.sleep(0.1)
        made = Store(port, secrets)
        made.files.create_dir(BUCKET)
        yield made
    finally:
        started.terminate()
        started.wait(timeout=60)


def settings(store: Store) -> dict[str, str]:
    """What an environment says of the store."""
    s3a = {
        "endpoint": f"http://127.0.0.1:{store.port}",
        "endpoint.region": "us-east-1",
        "path.style.access": "true",
    }
    return {f"spark.hadoop.fs.s3a.{key}": value for key, value in s3a.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository, store) -> Path:
    root = tmp_path_factory.mktemp("project")
    lake = {"warehouse": f"s3a://{BUCKET}/warehouse", "mlflow": "store.db"}
    lake["spark"] = INTERPRETED | settings(store)
    write_project(root, repository, {"disk": {"mlflow": "disk.db"}, "store": lake})
    simulate(SHOP, root / "data" / "shop", months=9)
    return root


@pytest.fixture(scope="module")
def driftline(project, store):
    """Run a command in one of the two places, from an empty folder."""

    def run(*arguments: object, env: str = "store") -> subprocess.CompletedProcess[str]:
        empty = project / "empty"
        empty.mkdir(exist_ok=True)
        place = ["--problem", project / "conf" / "churn.yaml", "--env", env]
        return subprocess.run(
            [str(each) for each in (Path(sys.executable).with_name("driftline"), *arguments)]
            + [str(each) for each in place],
            env={**os.environ, **store.environment, "AWS_EC2_METADATA_DISABLED": "true"},
            cwd=empty,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def both(driftline) -> str:
    """The whole line on a disk and in the store; what the latter printed."""
    disk = driftline("run", env="disk")
    assert disk.returncode == 0, disk.stderr
    there = driftline("run")
    assert there.returncode == 0, there.stderr[-4000:]
    return there.stdout


def rows(path: str, options: dict[str, str] | None) -> list[dict]:
    return deltalake.DeltaTable(path, storage_options=options).to_pyarrow_table().to_pylist()


def in_the_store(store: Store, table: str) -> list[dict]:
    return rows(f"s3a://{BUCKET}/warehouse/churn/{table.replace('.', '/')}", store.options)


def on_disk(project: Path, table: str) -> list[dict]:
    return rows(str(project / "disk" / "churn" / table.replace(".", "/")), None)


def multiset(found: list[dict]) -> Counter:
    return Counter(
        str(
            {
                name: round(value, 9) if isinstance(value, float) else value
                for name, value in sorted(row.items())
                if name not in ("run_id", "at", "_arrived_at", "_arrived")
            }
        )
        for row in found
    )


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_the_same(project, store, table) -> None:
    expected = multiset(on_disk(project, table))
    assert multiset(in_the_store(store, table)) == expected
    assert expected


@pytest.mark.usefixtures("both")
def test_predictions_differ_by_no_more_than_rounding(project, store) -> None:
    one, other = (
        {(row["customer_id"] if "customer_id" in row else row["entity"], row["as_of"]): row["score"]
         for row in found}
        for found in (
            on_disk(project, "gold.predictions"), in_the_store(store, "gold.predictions")
        )
    )  # fmt: skip
    assert other == {key: pytest.approx(score, abs=1e-6) for key, score in one.items()}
    assert one


def test_the_report_lies_beside_the_tables_and_nothing_where_it_ran(both, project, store) -> None:
    assert f"report: s3a://{BUCKET}/warehouse/churn/report.html" in both
    with store.files.open_input_stream(f"{BUCKET}/warehouse/churn/report.html") as page:
        assert page.read().startswith(b"<!doctype html>")
    left = {path.relative_to(project).parts[0] for path in project.rglob("*")}
    assert left <= {
        "conf",
        "data",
        "disk",
        "disk.db",
        "empty",
        "expectations",
        "mlartifacts",
        "store.db",
    }
    assert [
        path.name for path in (project / "empty").iterdir() if path.name.startswith("s3a")
    ] == []


@pytest.mark.usefixtures("both")
def test_what_is_up_to_date_is_left_alone(driftline) -> None:
    again = driftline("run", "--stages", "ingest,validate,features,train,score")
    assert again.returncode == 0, again.stderr
    lines = [line for line in again.stdout.splitlines() if " unchanged " in line]
    assert [line.split()[0] for line in lines] == [
        "ingest", "validate", "features", "train", "score",
    ]  # fmt: skip


@pytest.mark.usefixtures("both")
def test_tables_are_listed(driftline) -> None:
    """`cost --by table` lists folders and reads logs; what must see every file refuses."""
    cost = driftline("cost", "--by", "table")
    assert cost.returncode == 0, cost.stderr
    for table in TABLES:
        assert f"\n{table} " in cost.stdout
    for command in (["vacuum"], ["erase", "--entity", "c1", "--request", "r", "--yes"]):
        refused = driftline(*command)
        assert refused.returncode == 4, refused.stderr
        assert "in a local warehouse only" in refused.stderr


@pytest.mark.usefixtures("both")
def test_no_secret_is_told(project, store, both) -> None:
    secret = store.environment["AWS_SECRET_ACCESS_KEY"]
    assert secret not in both
    files = [path for path in project.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("warehouse", "key", "said"),
    [
        ("s3a://nobodys/warehouse", "shop", "there is no such bucket"),
        (f"s3a://{BUCKET}/other", "", "there are no credentials for the object store"),
    ],
)
def test_what_is_missing_is_said(driftline, monkeypatch, store, warehouse, key, said) -> None:
    if not key:
        for name in [*store.environment]:
            monkeypatch.delitem(store.environment, name)
    refused = driftline("ingest", "--warehouse", warehouse)
    assert refused.returncode == 4, refused.stderr[-4000:]
    assert said in refused.stderr


def test_two_at_once_write_once(project, store, driftline, both) -> None:
    """Both begin with an empty warehouse; whoever comes second waits for nothing, or is told."""
    place = ["ingest", "--warehouse", f"s3a://{BUCKET}/twice"]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: driftline(*place), range(2)))
    codes = sorted(each.returncode for each in ended)
    assert codes in ([0, 0], [0, 75]), [each.stderr[-2000:] for each in ended]
    for name in ("visits", "orders", "customers"):
        found = rows(f"s3a://{BUCKET}/twice/churn/bronze/{name}", store.options)
        assert multiset(found) == multiset(on_disk(project, f"bronze.{name}"))


LEASES = """
import json, sys, time
from driftline import delta_log, jars, locks, session
from driftline.errors import TryAgain

path, settings = sys.argv[1], json.loads(sys.argv[2])
spark = session.build(cores=1, memory_gib=1, settings=settings, drivers=[jars.S3])
locks.LEASE, locks.RENEWED = 6.0, 1.0

def lost():
    try:
        with locks.in_store(spark, path, "a table", 0.0):
            return False
    except TryAgain:
        return True

with locks.in_store(spark, path, "a table", 0.0):
    print("held:", lost())
    of_this_machine, time.time = time.time, lambda: of_this_machine() + 3600
    print("held, by a clock that is ahead:", lost())
    time.time = of_this_machine
    time.sleep(9)
    print("renewed:", lost())
print("released:", lost())
delta_log.put_if(spark, path, b"by one that was killed")
print("killed:", lost())
with locks.in_store(spark, path, "a table", 30.0):
    print("taken over:", lost())
delta_log.put_if(spark, path, b"by one that was killed")
stale, _ = delta_log.mark(spark, path)
print("two take over:", [delta_log.put_if(spark, path, b"%d" % n, mark=stale) for n in (1, 2)])
delta_log.remove(spark, path)
print("it is gone:", delta_log.put_if(spark, path, b"3", mark=stale))
with locks.in_store(spark, path, "a table", 0.0):
    delta_log.put(spark, path, b"another's", replace=True)
    print("stolen", flush=True)
    time.sleep(60)
print("never")
"""


def test_a_lease(repository, store) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEASES, f"s3a://{BUCKET}/lease", json.dumps(settings(store))],
        env={**os.environ, **store.environment, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 75, done.stderr[-4000:]
    assert done.stdout.splitlines()[-9:] == [
        "held: True",
        "held, by a clock that is ahead: True",
        "renewed: True",
        "released: False",
        "killed: True",
        "taken over: True",
        "two take over: [True, False]",
        "it is gone: False",
        "stolen",
    ]
    assert "another process has it" in done.stderr


MARKS = """
import json, sys, time
from driftline import delta_log, jars, running, session

root, settings = sys.argv[1], json.loads(sys.argv[2])
spark = session.build(cores=1, memory_gib=1, settings=settings, drivers=[jars.S3])
running.LEASE, running.RENEWED = 6.0, 1.0
of_this_machine, time.time = time.time, lambda: of_this_machine() + 3600  # it is ahead

def killed():
    return [(each.name, each.said) for each in running.killed(spark, root)]

print("none yet:", killed())
with running.marked(spark, root, "r1", "said") as mark:
    time.sleep(9)
    print("alive:", killed())
    mark.over = True
left = delta_log.listed_files(spark, root + "/_running")
print("over:", [each.rpartition("/")[2] for each in left])
with running.marked(spark, root, "r2", "said"):
    pass
print("just now:", killed())
time.sleep(8)
print("killed:", killed())
for each in running.killed(spark, root):
    running.forget(spark, root, each)
print("forgotten:", killed())
"""


def test_a_mark_of_a_run(repository, store) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MARKS, f"s3a://{BUCKET}/marks", json.dumps(settings(store))],
        env={**os.environ, **store.environment, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-6:] == [
        "none yet: []",
        "alive: []",
        "over: ['.now']",
        "just now: []",
        "killed: [('r2', 'said')]",
        "forgotten: []",
    ]
