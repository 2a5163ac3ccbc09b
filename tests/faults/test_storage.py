"""Disks that are full, read-only or damaged: refused with the remedy, earlier versions readable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from driftline.jobs import ingest
from driftline.problem import load_problem
from driftline.storage import explained
from driftline.tables import Tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    """Two files of access-log lines; the second is large."""
    root = tmp_path_factory.mktemp("stored")
    (root / "conf" / "env").mkdir(parents=True)
    (root / "data" / "weblogs").mkdir(parents=True)
    shutil.copy(repository / "conf" / "weblog.yaml", root / "conf")
    shutil.copytree(repository / "expectations" / "weblog", root / "expectations" / "weblog")
    place = {"warehouse": "none", "data": "data", "mlflow": "none/mlflow.db", "memory_gib": 2}
    (root / "conf" / "env" / "local.yaml").write_text(yaml.safe_dump(place))
    return root


def lines(count: int) -> str:
    return "".join(
        f"10.0.{n % 256}.{n * 7919 % 256} - - [17/May/2015:10:{n % 60:02}:03 +0000] "
        f'"GET /{n * 104729 % 1_000_003:x} HTTP/1.1" 200 {n * 31 % 9973} "-" "agent {n:x}"\n'
        for n in range(count)
    )


@pytest.fixture
def log(project) -> Iterator[Path]:
    path = project / "data" / "weblogs" / "apache_combined.log"
    path.write_text(lines(500))
    yield path
    path.unlink()


@pytest.fixture
def place(tmp_path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can only be mounted by root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk))
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def stage(command, project):
    def run(name: str, warehouse: Path):
        conf = project / "conf" / "weblog.yaml"
        return command(name, "--problem", conf, "--warehouse", warehouse)

    return run


def rows(spark, warehouse: Path, version: int | None = None) -> int:
    tables = Tables(spark, str(warehouse / "weblog"))
    (name,) = (path.name for path in (warehouse / "weblog" / "bronze").iterdir())
    return tables.read(f"bronze.{name}", version=version).count()


def test_a_full_disk_is_said_and_room_is_all_it_takes(stage, spark, place, log) -> None:
    first = stage("ingest", place / "w")
    assert first.returncode == 0, first.stderr
    log.write_text(lines(200_000))
    full = stage("ingest", place / "w")
    assert full.returncode == 4, full.stderr
    assert "the disk is full" in full.stderr
    assert "make room" in full.stderr
    assert rows(spark, place / "w") == 500
    mount("-o", "remount,size=300m", str(place))
    again = stage("ingest", place / "w")
    assert again.returncode == 0, again.stderr
    assert rows(spark, place / "w") == 200_500


def test_a_read_only_disk_is_said(stage, spark, place, log) -> None:
    mount("-o", "remount,size=100m", str(place))
    assert stage("ingest", place / "w").returncode == 0
    log.write_text(lines(600))
    mount("-o", "remount,ro", str(place))
    refused = stage("ingest", place / "w")
    assert refused.returncode == 4, refused.stderr
    assert "cannot be written" in refused.stderr
    assert rows(spark, place / "w") == 500
    mount("-o", "remount,rw", str(place))
    assert stage("ingest", place / "w").returncode == 0
    assert rows(spark, place / "w") == 1100


@pytest.fixture
def landed(project, open_line, tmp_path, log) -> Path:
    """A warehouse with 500 rows in version 1 of bronze and 600 more in version 2."""
    problem = load_problem(project / "conf" / "weblog.yaml")
    line = open_line(problem, data=project / "data", warehouse=tmp_path / "w", root=project)
    ingest.run(line)
    log.write_text(lines(600))
    ingest.run(line)
    return tmp_path / "w"


def test_a_data_file_that_is_gone_is_named(stage, spark, landed) -> None:
    (bronze,) = (landed / "weblog" / "bronze").iterdir()
    newest = max(bronze.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    aside = newest.with_suffix(".aside")
    newest.rename(aside)
    refused = stage("validate", landed)
    assert refused.returncode == 4, refused.stderr
    assert "a data file of a table is gone" in refused.stderr
    assert newest.name in refused.stderr
    assert rows(spark, landed, version=1) == 500
    aside.rename(newest)
    assert stage("validate", landed).returncode == 0


def test_a_torn_last_commit_is_named(stage, spark, landed) -> None:
    (bronze,) = (landed / "weblog" / "bronze").iterdir()
    last = max((bronze / "_delta_log").glob("*.json"))
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    last.with_name(f".{last.name}.crc").unlink(missing_ok=True)
    refused = stage("validate", landed)
    assert refused.returncode == 4, refused.stderr
    assert "the last commit of a table is damaged" in refused.stderr
    assert last.name in refused.stderr
    last.write_bytes(whole)
    assert stage("validate", landed).returncode == 0


@pytest.mark.parametrize(
    ("trace", "what", "where"),
    [
        ("java.io.IOException: No space left on device", "the disk is full", ""),
        ("java.io.FileNotFoundException: /w/x (Read-only file system)", "a folder cannot be", ""),
        ("[FAILED_READ_FILE.FILE_NOT_EXIST] … file:/w/a.parquet", "gone", "/w/a.parquet"),
        ("o.a.h.fs.s3a.UnknownStoreException: `s3a://b/w': getFileStatus", "no such", "s3a://b"),
    ],
)
def test_what_a_trace_comes_down_to(trace, what, where) -> None:
    found = explained(trace)
    assert what in found.what
    assert found.where == where


def test_other_traces_are_left_as_they_are() -> None:
    assert explained("ZeroDivisionError: division by zero") is None
