"""A hundred thousand lines, killed at random, again and again: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from driftline.jobs import ingest
from faults.conftest import kill

TABLES = ("bronze.lines", "ops.rejects")
FOLDERS = ("ops/deliveries", "bronze/lines", "ops/rejects")
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
    began = time.monotonic()
    assert started("ingest", tmp_path / "whole").wait(timeout=600) == 0
    whole = time.monotonic() - began
    reached: Counter[str] = Counter()
    equal = 0
    for number in range(TIMES):
        warehouse = tmp_path / str(number)
        process = started("ingest", warehouse)
        # The first third is Python and Java starting; what is to be hit comes after it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=whole * (0.35 + 0.7 * draw.random()))
        kill(process)
        reached[how_far(warehouse)] += 1
        line = lined(warehouse)
        ingest.run(line)
        found = {name: multiset(line.tables.read(name)) for name in TABLES}
        equal += found == undisturbed
        shutil.rmtree(warehouse)
    print(f"{equal}/{TIMES} killed at random and started again: tables equal; {dict(reached)}")
    assert equal == TIMES
    assert len(reached) > 2, reached


def how_far(warehouse: Path) -> str:
    """What a killed run had done, by its commits."""
    tables = warehouse / "online_retail"
    commits = {name: len(list((tables / name / "_delta_log").glob("*.json"))) for name in FOLDERS}
    books, bronze, rejects = (commits[name] for name in FOLDERS)
    if books < 2:
        return "nothing"
    return ("planned", "landed", "rejects kept", "finished")[
        (bronze > 1) + (rejects > 1) + (books > 2)
    ]
