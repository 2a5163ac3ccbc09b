"""The model registry goes away, or its disk is full, in the middle of a training."""

from __future__ import annotations

import os
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from tests.spark.test_bad_input import FIRST, opened

from driftline import registry
from driftline.errors import Missing, TryAgain
from driftline.jobs import features, proving, train
from driftline.registry import Registry
from driftline.sections import Gate
from driftline.storage import explained

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


class Away:
    """MLflow whose server is gone from a call of that name on, the first or a later one."""

    def __init__(self, name: str = "", nth: int = 1) -> None:
        self.name, self.left, self.gone = name, nth, False

    def asked(self, name: str, function, *arguments, **named):
        self.left -= name == self.name
        self.gone = self.gone or self.left == 0
        if self.gone:
            raise MlflowException(
                "API request to http://127.0.0.1:5000/api/2.0/mlflow/runs/create failed with "
                "exception HTTPConnectionPool(host='127.0.0.1', port=5000): Max retries exceeded"
            )
        return function(*arguments, **named)


class Client:
    """A client that asks through it."""

    def __init__(self, client, away: Away) -> None:
        self._client, self._away = client, away

    def __getattr__(self, name: str):
        function = getattr(self._client, name)
        return lambda *arguments, **named: self._away.asked(name, function, *arguments, **named)


@pytest.fixture
def leaving(monkeypatch):
    """Let MLflow go away at a call; it stays away until it is told to come back."""
    real, fetch = registry.mlflow.MlflowClient, registry.mlflow.artifacts.download_artifacts

    def leave(name: str = "", nth: int = 1) -> None:
        away = Away(name, nth)
        monkeypatch.setattr(registry.mlflow, "MlflowClient", lambda *a: Client(real(*a), away))
        monkeypatch.setattr(
            registry.mlflow.artifacts,
            "download_artifacts",
            lambda *a, **more: away.asked("download_artifacts", fetch, *a, **more),
        )

    return leave


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


CALLS = [
    ("search_model_versions", 1),  # was it trained before?
    ("get_model_version_by_alias", 1),  # who is champion?
    ("create_run", 2),  # of a trial
    ("log_batch", 1),  # of that trial's metrics
    ("log_artifacts", 1),
    ("create_model_version", 1),
    ("download_artifacts", 1),  # what was registered is read again
    ("set_model_version_tag", 1),  # the gate's verdict
    ("set_registered_model_alias", 1),  # the champion
    ("set_model_version_tag", 2),  # that it was champion
]


def test_a_registry_that_goes_away_leaves_nothing_half(line, leaving) -> None:
    """At ten calls from the first to the last, the one that names the champion among them."""
    assert "now champion" in train.run(line)
    held = 0
    for number, call in enumerate(CALLS, 1):
        models = Registry(line.environment.mlflow, "bad")
        before, known = models.champion().number, whole(models)
        assert before == len(known) == number
        asking(line, 0.1 + number / 1000)
        leaving(*call)
        with pytest.raises(TryAgain, match="the model registry cannot be reached") as caught:
            train.run(line)
        assert caught.value.exit_code == 75
        leaving()
        champion, after = models.champion(), whole(models)  # no version that is not all there
        moved = call == CALLS[-1]
        assert champion.number == (number + 1 if moved else before)
        assert len(after) in (number, number + 1)
        # The same command goes on, and no training has two versions or a run without an end.
        said = train.run(line)
        assert models.champion().number == number + 1, said
        assert models.champion().promoted
        assert len(set(whole(models).values())) == len(whole(models)) == number + 1
        asked = "attributes.status = 'RUNNING'"
        assert not models._client.search_runs([models._experiment()], asked)
        held += 1
    print(f"\nregistry away: {held}/10 with a champion throughout, nothing half registered")


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
