"""What is trained already, and is not there any more: an alias, files, or what they came from."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.spark.test_bad_input import FIRST, opened

from driftline import schemas
from driftline.errors import Missing, TryAgain
from driftline.events import Feature
from driftline.jobs import certifying, features, proving, rollback, searching, train
from driftline.registry import CHAMPION, Registry
from driftline.sections import Gate


@pytest.fixture
def line(open_line, tmp_path, spark, monkeypatch):
    """People of two kinds, one candidate, and a gate that lets all pass."""
    monkeypatch.setattr(proving, "SIMULATED", 200)
    draw = random.Random(4)
    rows = []
    for who in range(120):
        for _ in range(12 if who % 3 == 0 else 3):
            at = FIRST + timedelta(days=draw.uniform(0, 60))
            rows.append((f"w{who}", at, draw.gauss(5, 1), "a"))
    one = {"decision_tree": {"maxDepth": (2,)}}
    asked = {
        "train": {"metric": "roc_auc", "candidates": one, "folds": 2, "gate": {"beat": ()}},
        "cutoffs": {"first": "2024-04-14", "every": "10d"},
    }
    line = opened(open_line, tmp_path, spark, rows, **asked)
    features.run(line)
    return line


def test_features_of_another_problem_are_not_trained_on(line) -> None:
    """Its labels would be learnt as this one's; a column that it has not would be a trace."""
    problem, name = line.problem, "gold.features"
    more = Feature(name="h", source="events", operation="max", value="amount", windows=("30d",))
    for changed in (
        {"label": problem.label.model_copy(update={"horizon": 9})},
        {"features": (*problem.features, more)},
        {"population": problem.population.model_copy(update={"within": 20})},
    ):
        now = replace(line, problem=problem.model_copy(update=changed))
        with pytest.raises(Missing, match="before the problem became what it is now") as caught:
            train.run(now)
        assert "run `driftline features`" in caught.value.hint
    assert not line.tables.exists(schemas.TRIALS.full_name)
    assert "as-ofs up to" in features.run(now)
    made = line.tables.version(name)
    assert certifying.evidence(now, made).horizon == problem.label.horizon
    with pytest.raises(Missing, match="before the problem became"):
        certifying.evidence(line, made)


@pytest.mark.slow
def test_a_champion_comes_back_while_another_is_trained_or_where_there_is_none(
    line, monkeypatch
) -> None:
    registry = Registry(line.environment.mlflow, "bad")
    held = []

    def watched(of, name: str) -> None:
        """Note whether the champion is held while a step runs."""
        step = getattr(of, name)

        def stepping(*given, **more):
            try:
                with line.tables.lock("gold.champion"):
                    held.append((name, False))
            except TryAgain:
                held.append((name, True))
            return step(*given, **more)

        monkeypatch.setattr(of, name, stepping)

    for of, name in (*((searching, each) for each in ("search", "refit")), (Registry, "judge")):
        watched(of, name)
    assert "now champion" in train.run(line)
    assert held == [("search", False), ("refit", False), ("judge", True)]
    with line.tables.lock("gold.model"):  # as by another training
        assert rollback.run(line, to=1) == "version 1 is champion already"
    with line.tables.lock("gold.champion"), pytest.raises(TryAgain):
        rollback.run(line, to=1)

    def taken_away() -> None:
        registry._client.delete_registered_model_alias("bad", CHAMPION)
        assert registry.champion() is None

    taken_away()
    with pytest.raises(Missing, match="has no champion"):
        rollback.run(line)
    assert rollback.run(line, to=1) == "version 1 is champion again; there was none"
    assert registry.champion().number == 1
    taken_away()
    said = "nothing new: version 1 was trained on exactly this, and is champion now"
    assert train.run(line) == said
    assert registry.champion().number == 1


def changed(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"?")


@pytest.mark.slow
def test_what_cannot_be_loaded_is_trained_again(line, monkeypatch) -> None:
    """A champion, and versions that were killed before the verdict, and after it."""
    registry = Registry(line.environment.mlflow, "bad")
    assert "now champion" in train.run(line)
    changed(registry.folder(registry.version(1)) / "portable.onnx")
    said = train.run(line)
    assert said.startswith("version 2: ") and said.endswith(
        "; not compared with champion version 1: model bad version 1 is not what was recorded, "
        "now champion"
    )
    assert train.run(line) == "nothing new: version 2 was trained on exactly this"

    # Another gate is another training, which is killed at one place or the other.
    other = line.problem.train.model_copy(update={"gate": Gate(beat=(), floor=0.01)})
    object.__setattr__(line, "problem", line.problem.model_copy(update={"train": other}))
    for number, step in ((3, "judge"), (4, "promote")):

        def killed(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
            once.setattr(Registry, step, killed)
            train.run(line)
        assert registry.version(number).finished == (step == "promote")
        shutil.rmtree(registry.folder(registry.version(number)))
    assert train.run(line).startswith("version 5: ")
    assert registry.champion().number == 5
    shutil.rmtree(registry.folder(registry.version(5)))
    rollback.run(line, to=2)  # what was rolled back from is needed by nobody
    assert train.run(line) == "nothing new: version 5 was trained on exactly this"
