"""The model registry fails in the middle of a training: its disk is full, its server is away."""

from __future__ import annotations

import math
import os
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from tests.spark.test_bad_input import FIRST, opened

from driftline.errors import Missing, TryAgain
from driftline.jobs import features, proving, train
from driftline.registry import Registry
from driftline.sections import Gate
from driftline.storage import explained
from tracking import Door, served

pytestmark = pytest.mark.slow


@pytest.fixture
def line(open_line, tmp_path, spark, monkeypatch):
    """People of two kinds: who comes often comes again. One candidate, one champion."""
    monkeypatch.setattr(proving, "SIMULATED", 1000)
    draw = random.Random(4)
    rows = []
    for who in range(90):
        for _ in range(12 if who % 3 == 0 else 3):
            at = FIRST + timedelta(days=draw.uniform(0, 60))
            rows.append((f"w{who}", at, draw.gauss(5, 1), "a"))
    candidates = {"logistic_regression": {"regParam": (0.01,), "maxIter": (5,)}}
    asked = {
        "train": {
            "metric": "roc_auc",
            "folds": 2,
            "candidates": candidates,
            "gate": {"beat": ()},
        },
        "cutoffs": {"first": "2024-03-25", "every": "10d"},
    }
    line = opened(open_line, tmp_path, spark, rows, **asked)
    features.run(line)
    return line


def asking(line, floor: float):
    """Another gate: the same search is judged again, as a version of its own."""
    changed = line.problem.train.model_copy(update={"gate": Gate(floor=floor, beat=())})
    object.__setattr__(line, "problem", line.problem.model_copy(update={"train": changed}))
    return line


def whole(models: Registry) -> dict[int, str]:
    """Every version's training, once each file of it was found to be what was recorded."""
    found = {}
    for number in range(1, 100):
        try:
            version = models.version(number)
        except Missing:
            break
        assert models.folder(version).is_dir()
        found[number] = version.tags["training"]
    return found


def test_a_disk_that_is_full_while_logging_is_said(line, tmp_path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can only be mounted by root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], check=True)
    try:
        place = line.environment.model_copy(update={"mlflow": f"sqlite:///{disk}/mlflow.db"})
        object.__setattr__(line, "environment", place)
        assert "now champion" in train.run(line)
        models = Registry(place.mlflow, "bad")
        for floor, left in ((0.2, 0), (0.3, 60_000)):  # for the database; for a part of the files
            known = whole(models)
            filled(disk, left)
            with pytest.raises(Exception) as caught:
                train.run(asking(line, floor))
            error = caught.value
            said = error if isinstance(error, Missing) else explained(f"{error!r} {error}")
            assert said is not None and said.what == "the disk is full", error
            assert whole(models) == known
            assert models.champion().number == len(known)
            (disk / "filler").unlink()
            assert "now champion" in train.run(line)
            assert models.champion().number == len(known) + 1
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # MLflow holds the database


def filled(disk: Path, left: int) -> None:
    """Fill a disk but for so many bytes."""
    state = os.statvfs(disk)
    free = state.f_bavail * state.f_frsize
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(0, free - left)))


def test_a_server_that_goes_away_leaves_a_champion_and_nothing_half(
    line, tmp_path, monkeypatch
) -> None:
    """At ten points of a training, evenly spread over what it asks of MLflow."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with served(tmp_path) as address, Door(address).there() as door:
        place = line.environment.model_copy(update={"mlflow": door.address})
        object.__setattr__(line, "environment", place)
        assert "now champion" in train.run(line)
        before = door.passed
        assert "now champion" in train.run(asking(line, 0.01))
        usual = door.passed - before
        for point in range(10):
            models = Registry(address, "bad")  # not through the door
            known, champion = whole(models), models.champion()
            asking(line, 0.1 + point / 100)
            door.left = round(usual * (point + 0.5) / 10)
            with pytest.raises(TryAgain, match="registry cannot be reached"):
                train.run(line)
            models = Registry(address, "bad")
            assert models.champion() == champion
            left = whole(models).items() - known.items()
            assert [models.version(number).passed for number, _ in left] in ([], [False], [True])
            door.left = math.inf
            train.run(line)
            models = Registry(address, "bad")
            now = whole(models)
            assert len(now) == len(set(now.values())) == len(known) + 1
            assert models.champion().number == len(now)
            assert models.champion().passed
        experiment = models._client.get_experiment_by_name("bad").experiment_id
        assert not models._client.search_runs([experiment], "attributes.status = 'RUNNING'")
