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
from driftline.simulate import Shop, simulate
from small_shop import write_project

CANARY = "canary-key-that-nobody-may-find-0123456789"
ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""A network namespace with loopback and nothing else."""


def alone() -> bool:
    """Whether a process can have a network of its own here."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


def listeners(pid: int) -> set[str]:
    """Addresses, other than loopback, on which the network of a process is listened at."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, *_ = row.split()
            address = local.partition(":")[0]
            # Bytes stand reversed within words of four: 127.x.x.x ends in 7F, ::1 is 0…01000000.
            mapped = address.startswith("0000000000000000FFFF0000") and address.endswith("7F")
            one = address == "0" * 24 + "01000000"
            if state == "0A" and not (mapped or one or (len(address) == 8 and address[6:] == "7F")):
                found.add(local)
    return found


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
    }
    place.write_text(yaml.safe_dump(environment), "utf-8")
    simulate(Shop(customers=400, malformed=0.01), root / "data" / "shop", months=9)
    return root


@pytest.mark.slow
@pytest.mark.skipif(not alone(), reason="no network namespaces: needs Linux, iproute2 and root")
def test_the_whole_line_runs_alone_and_tells_nobody_its_key(project) -> None:
    program = [str(Path(sys.executable).with_name("driftline")), "run"]
    program += ["--problem", str(project / "conf" / "churn.yaml"), "--verbose"]
    environment = os.environ | {pseudonyms.VARIABLE: CANARY}
    process = subprocess.Popen(
        [*ALONE, *program],
        env=environment,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    open_, told = set(), set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            open_.update(listeners(process.pid))
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    told.add(CANARY.encode() in each.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate(timeout=600)
    done.set()
    watcher.join()
    assert process.returncode == 0, said[-3000:]
    assert open_ == set()
    assert told == {False}
    assert CANARY not in said
    customer = next(
        row["customer_id"]
        for row in map(first_order, (project / "data/shop/orders").glob("*.ndjson"))
    )
    for path in (each for each in project.rglob("*") if each.is_file()):
        if path.is_relative_to(project / "data"):
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.ParquetFile(path).read().to_pylist()).encode()
        assert CANARY.encode() not in content, path
        if "rejects" not in path.parts and "quarantine" not in path.parts:
            assert not re.search(rf"(?<!\w){customer}(?!\w)".encode(), content), path
    assert list((project / "events").iterdir())


def first_order(path: Path) -> dict:
    """The first order of a file that can be read."""
    for line in path.read_text().splitlines():
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise AssertionError(path)
