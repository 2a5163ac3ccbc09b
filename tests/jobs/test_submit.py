"""spark-submit and the command line are the same command: same options, same tables."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from driftline.tables import Tables
from listeners import listeners_of_session, outward

pytestmark = pytest.mark.slow


def watched(command: list, folder: Path) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run a command; beside it, the addresses at which it listened."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    open_: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(process.communicate)
        try:
            deadline = time.monotonic() + 600
            while not wait([said], timeout=0.2).done and time.monotonic() < deadline:
                open_ |= listeners_of_session(process.pid)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, *said.result()), open_


def test_spark_submit_writes_what_driftline_writes(
    spark, repository, public_data, command, multiset, tmp_path
) -> None:
    data = public_data("cdnow")

    def options(name: str) -> list[str]:
        place = ["--data", str(data), "--warehouse", str(tmp_path / name)]
        return ["--problem", str(repository / "conf" / "cdnow.yaml"), *place]

    for stage in ("ingest", "validate"):
        ours = command(stage, *options("command"))
        assert ours.returncode == 0, ours.stderr
        theirs, open_ = watched(
            [repository / "scripts" / "submit", stage, "--master", "local[2]", "--"]
            + options("submit"),
            repository,
        )
        assert theirs.returncode == 0, theirs.stderr
        # spark-submit hands a Python job's stderr, where the log goes, on as stdout.
        assert theirs.stdout.endswith(ours.stdout)
        assert open_
        assert outward(open_) == set()
        assert ours.stdout.startswith(stage)
    one, other = (Tables(spark, str(tmp_path / name / "cdnow")) for name in ("command", "submit"))
    for table in ("bronze.purchases", "silver.purchases", "ops.deliveries"):
        assert multiset(one.read(table)) == multiset(other.read(table))
    assert one.read("bronze.purchases").count() == 69_659
    # And it takes as much, of which nothing escapes the ledger.
    took = [{row.stage: row for row in each.read("ops.runs").collect()} for each in (one, other)]
    for stage, row in took[0].items():
        assert took[1][stage].jobs == row.jobs
        assert took[1][stage].bytes_read == pytest.approx(row.bytes_read, rel=0.02)
        assert row.bytes_read > 0


def test_an_exit_code_comes_through_spark_submit(repository, tmp_path) -> None:
    """No deliveries: 4, so that a scheduler does not retry."""
    done = subprocess.run(
        [repository / "scripts" / "submit", "ingest", "--"]
        + ["--problem", str(repository / "conf" / "cdnow.yaml")]
        + ["--data", str(tmp_path), "--warehouse", str(tmp_path / "warehouse")],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "no deliveries of purchases found" in done.stdout
    assert not Path(tmp_path, "warehouse", "cdnow", "bronze").exists()
