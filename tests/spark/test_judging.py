"""A model beside its baselines and slices, through the train job: what odd columns do to each."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest
from tests.spark.test_bad_input import FIRST, feature, opened

from driftline import schemas
from driftline.errors import Refused
from driftline.jobs import features, proving, train
from driftline.registry import Registry
from driftline.sections import Gate

COLUMNS = {
    "who": "string",
    "time": "timestamp",
    "amount": "double",
    "kind": "string",
    "loyal": "boolean",
}
ASKED = {
    "sources": {"events": {"path": "-", "format": "csv", "time": "time", "columns": COLUMNS}},
    "features": (
        feature(),
        feature("sum", name="g", value="amount"),
        feature("max", name="h", value="exp(amount)"),
    ),
    "profile": {"source": "events", "attributes": ("kind", "loyal")},
    "cutoffs": {"first": "2024-03-25", "every": "40d"},
    "split": {"by": "random", "test": 0.4},
}


def people(comes, kind) -> list[tuple]:
    """400 with an event before the as-of; of whom one ``comes``, an event after it."""
    draw = random.Random(6)
    rows = []
    for who in range(400):
        back = comes(draw)
        loyal = draw.choice([None, back, back, back, not back])
        amount = {0: 800.0, 1: math.nan}.get(who % 20, draw.gauss(5, 1))  # exp(800) is infinite
        rows.append((f"w{who}", FIRST + timedelta(days=20), amount, kind(draw, back), loyal))
        if back:
            rows.append((f"w{who}", FIRST + timedelta(days=30), 1.0, "late", None))
    return [*rows, ("last", FIRST + timedelta(days=40), 1.0, "late", None)]


@pytest.fixture
def made(open_line, tmp_path, spark, monkeypatch):
    """A line with features of such people."""
    monkeypatch.setattr(proving, "SIMULATED", 2000)

    def features_of(comes, kind, **gate):
        rows = people(comes, kind)
        candidates = {"logistic_regression": {}}
        asked = {"train": {"metric": "roc_auc", "candidates": candidates, "gate": gate}}
        line = opened(open_line, tmp_path, spark, rows, more="loyal boolean", **ASKED, **asked)
        features.run(line)
        return line

    return features_of


def coin(draw: random.Random) -> bool:
    return draw.random() < 0.4


@pytest.mark.slow
def test_a_planted_leak_is_refused_by_name_until_somebody_vouches_for_it(made) -> None:
    """Beside features that are infinite or no number, which end nothing."""
    line = made(coin, lambda draw, back: f"{'left' if not back else 'here'} {draw.randrange(3)}")
    with pytest.raises(Refused, match="did not become champion") as caught:
        train.run(line)
    leak = "kind alone has ROC AUC 1.000"
    assert caught.value.where == f"may have seen the label (else gate: {{suspicions: say}}): {leak}"
    models = Registry(line.environment.mlflow, "bad")
    assert models.champion() is None
    vouched = line.problem.train.model_copy(update={"gate": Gate(suspicions="say")})
    object.__setattr__(line, "problem", line.problem.model_copy(update={"train": vouched}))
    said = train.run(line)
    assert said.endswith(f"; suspicious: {leak}, now champion")
    assert line.tables.read("ops.runs").where(f"message LIKE '%suspicious: {leak}%'").count() == 1
    # The word is what a model has to beat.
    found = line.tables.read(schemas.EVALUATIONS.full_name).where("model_version = 1")
    [alone] = found.where(
        "part = 'test' AND model = 'best_feature' AND metric = 'roc_auc'"
    ).collect()
    assert (alone.detail, alone.value) == ("kind", 1.0)


@pytest.mark.slow
def test_truth_values_are_baselines_and_slices(made) -> None:
    line = made(coin, lambda draw, back: draw.choice("abc"), mode="dry-run")
    train.run(line)
    found = line.tables.read(schemas.EVALUATIONS.full_name).where("part = 'test'")
    [alone] = found.where("model = 'best_feature' AND metric = 'roc_auc'").collect()
    assert alone.detail == "loyal" and 0.65 < alone.value < 0.9
    sliced = line.tables.read(schemas.SLICES.full_name).where("column = 'loyal'").collect()
    assert {"true", "false"} <= {row.value for row in sliced}


@pytest.mark.slow
def test_one_class_is_refused_before_anything_is_fitted(made) -> None:
    line = made(lambda _: True, lambda *_: "a")
    with pytest.raises(Refused, match="the training rows have 1 different labels"):
        train.run(line)
    assert not line.tables.exists(schemas.TRIALS.full_name)
