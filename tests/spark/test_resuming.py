"""What is trained already, and is not there any more: an alias, files, or what they came from."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from tests.spark.test_bad_input import FIRST, opened

from driftline.errors import Missing
from driftline.jobs import features, proving, rollback, train
from driftline.registry import CHAMPION, Registry


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


@pytest.mark.slow
def test_a_model_that_was_trained_comes_back_as_champion(line) -> None:
    registry = Registry(line.environment.mlflow, "bad")
    assert "now champion" in train.run(line)

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
