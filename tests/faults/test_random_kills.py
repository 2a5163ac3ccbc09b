"""A hundred thousand lines, killed at random, again and again: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from driftline.jobs import ingest
from faults.conftest import kill

TABLES = ("bronze.lines", "ops.rejects")
TIMES = 60


@pytest.fixture(scope="module")
def project(six_days) -> Path:
    return six_days(17_000)


@pytest.fixture(scope="module")
def undisturbed(lined, tmp_path_factory, multiset) -> dict:
    line = lined(tmp_path_factory.mktemp("undisturbed"))
    ingest.run(line)
    found = {name: multiset(line.tables.read(name)) for name in TABLES}
    assert sum(each.total() for each in found.values()) == 102_000
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_at_random_and_started_again(
    started, lined, undisturbed, multiset, tmp_path
) -> None:
    draw = random.Random(7)
    equal = 0
    for number in range(TIMES):
        warehouse = tmp_path / str(number)
        process = started("ingest", warehouse)
        # A start takes a few seconds; what is to be hit comes after it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=4 + draw.random() * 12)
        kill(process)
        line = lined(warehouse)
        ingest.run(line)
        found = {name: multiset(line.tables.read(name)) for name in TABLES}
        equal += found == undisturbed
        shutil.rmtree(warehouse)
    print(f"{equal}/{TIMES} killed at random and started again: tables equal")
    assert equal == TIMES
