"""What the line opens, tells and keeps: nobody outside is met, and no secret is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from driftline import pseudonyms
from driftline.cli import cli
from driftline.jobs import STAGES
from driftline.simulate import Shop, simulate
from listeners import listeners, outward
from small_shop import write_project

SHOP = Shop(customers=400, malformed=0.01)
INSIDE = {*STAGES, "monitor"}
"""What ``run`` and ``cycle`` run."""
WITHOUT_SPARK = {"explain", "schedule", "serve", "simulate"}
CANARY = "canary-key-that-nobody-may-find-0123456789"
_NETWORK = """
ip link set lo up && ip link add out type veth peer name far &&
ip address add 203.0.113.1/24 dev out && ip link set out up && ip link set far up && exec "$@"
"""
ALONE = ("unshare", "--net", "sh", "-c", _NETWORK, "sh")
"""A network namespace with loopback, and an outward address behind which nobody is."""


def alone() -> bool:
    """Whether a process can have a network of its own here."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("closed")
    path = write_project(root, repository)
    problem = yaml.safe_load(path.read_text("utf-8"))
    for source in problem["sources"].values():
        named = source["columns"]["customer_id"]
        named = {"type": "string"} | (named if isinstance(named, dict) else {})
        source["columns"]["customer_id"] = named | {"pseudonym": True}
    path.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    place = root / "conf" / "env" / "local.yaml"
    environment = yaml.safe_load(place.read_text("utf-8"))
    (root / "events").mkdir()
    environment["spark"] = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": str(root / "events"),
        "spark.eventLog.compress": "false",  # else nothing is found in it
    }
    place.write_text(yaml.safe_dump(environment), "utf-8")
    simulate(SHOP, root / "data" / "shop", months=9)
    return root


class Watched:
    """Commands of the line, each in a network of its own, with the key in their environment."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.open_: set[str] = set()
        """Addresses at which any of them listened."""
        self.ran: set[str] = set()
        """Their names."""
        self.told: set[bool] = set()
        """Whether the key was in the arguments of any process, as often as one looked."""

    def __call__(self, command: str, *more: str, codes: tuple[int, ...] = (0,)) -> str:
        self.ran.add(command)
        program = [str(Path(sys.executable).with_name("driftline")), command]
        program += ["--problem", str(self.project / "conf" / "churn.yaml"), *more]
        process = subprocess.Popen(
            [*ALONE, *program, "--verbose"],
            env=os.environ | {pseudonyms.VARIABLE: CANARY},
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.2):
                self.open_.update(listeners(process.pid).values())
                for each in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        self.told.add(CANARY.encode() in each.read_bytes())
                    except OSError:
                        continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        said, _ = process.communicate(timeout=600)
        done.set()
        watcher.join()
        assert process.returncode in codes, said[-3000:]
        assert CANARY not in said
        return said


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not alone(), reason="no network namespaces: needs Linux, iproute2 and root")
def test_every_job_runs_alone_and_tells_nobody_its_key(project) -> None:
    """``run`` has the stages; then every command else that begins a Spark, and who is erased."""
    watched = Watched(project)
    watched("run")
    customer = next(
        row["customer_id"]
        for row in map(first_order, (project / "data/shop/orders").glob("*.ndjson"))
    )
    simulate(SHOP, project / "data" / "shop", first_month=9, months=1)
    watched("cycle")
    watched("explore", "--table", "silver.orders")
    watched("profile", "--table", "silver.orders", "--history")
    watched("drift", "--table", "silver.orders")
    watched("suggest", "--table", "silver.orders", "--out", str(project / "suggested.json"))
    watched("watch", codes=(0, 3))
    watched("reproduce")
    watched("rollback", "--to", "1")
    watched("validate", "--replay")
    watched("docs", "--out", str(project / "docs"))
    watched("query", "failing_rules", "--out", str(project / "rules.csv"))
    watched("cost")
    watched("sla", codes=(3,))  # of a year that is over: nothing is fresh
    watched("report")
    watched("vacuum")
    gone = pseudonyms.pseudonym(customer, CANARY.encode())
    watched("erase", "--entity", gone, "--request", "R-1", "--yes")
    assert watched.ran | INSIDE | WITHOUT_SPARK == set(cli.commands)
    assert watched.open_
    assert outward(watched.open_) == set()
    assert watched.told == {False}
    for path in (each for each in project.rglob("*") if each.is_file()):
        if path.is_relative_to(project / "data"):
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.ParquetFile(path).read().to_pylist()).encode()
        assert CANARY.encode() not in content, path
        if "rejects" not in path.parts and "quarantine" not in path.parts:
            assert not re.search(rf"(?<!\w){customer}(?!\w)".encode(), content), path
    logged = [path.read_text("utf-8") for path in (project / "events").rglob("events_*")]
    assert sum('"spark.driver.host"' in each for each in logged) >= len(watched.ran)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not alone(), reason="no network namespaces: needs Linux, iproute2 and root")
def test_the_demo_passes_with_networking_off(repository, tmp_path) -> None:
    done = subprocess.run(
        [*ALONE, "scripts/demo"],
        cwd=repository,
        env=os.environ | {"DEMO_OUT": str(tmp_path / "demo")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo" / "warehouse" / "churn" / "report.html").exists()


def first_order(path: Path) -> dict:
    """The first order of a file that can be read."""
    for line in path.read_text().splitlines():
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise AssertionError(path)
