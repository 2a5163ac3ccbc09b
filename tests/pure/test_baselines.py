"""What a model has to beat: the best column alone, whether it is of numbers or of words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from driftline.baselines import Line, Means, best_feature, means
from driftline.metrics import roc_auc


def best(label, features, *, entity=None, task="classification") -> Any:
    """Where each row is an entity of its own, unless something else is said."""
    entity = np.arange(len(label)) if entity is None else entity
    return best_feature(label, features, entity=entity, task=task)


def test_best_feature_of_a_regression_is_the_planted_line() -> None:
    generator = np.random.default_rng(11)
    x = generator.normal(size=200)
    features = {"noise": generator.normal(size=200), "planted": x}
    features["weak"] = x + generator.normal(size=200)
    found = best(-3 * x + 2, features, task="regression")
    assert isinstance(found, Line)
    assert (found.column, found.fill) == ("planted", np.median(x))
    assert (found.slope, found.intercept) == pytest.approx((-3, 2))
    given = np.array([1.0, np.nan])
    assert replace(found, fill=0.5).scores(given) == pytest.approx([-1.0, 0.5])


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_best_feature_of_a_classification_is_a_calibrated_probability(direction: float) -> None:
    generator = np.random.default_rng(12)
    x = generator.normal(100, 20, size=3000)
    label = (generator.random(3000) < 1 / (1 + np.exp(-direction * (x - 90) / 10))).astype(float)
    features = {"noise": generator.normal(size=3000), "planted": x}
    found = best(label, features)
    assert isinstance(found, Line)
    assert (found.column, found.fill) == ("planted", np.median(x))
    assert found.slope == pytest.approx(direction / 10, rel=0.1)
    assert -found.intercept / found.slope == pytest.approx(90, abs=2)
    score = found.scores(x)
    assert score.mean() == pytest.approx(label.mean(), abs=1e-4)
    assert roc_auc(label, score) == pytest.approx(roc_auc(label, direction * x), abs=1e-12)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_best_feature_ranks_as_its_column_however_far_a_few_values_are(direction: float) -> None:
    """As money has it: higher where the label is 1, but for a few rows that are a thousand times
    as high. A line that is fitted to those falls where it should rise.
    """
    generator = np.random.default_rng(5)
    label = (generator.random(4000) < 0.5).astype(np.float64)
    x = np.exp(generator.normal(size=4000) + 1.2 * label)
    x[(label == 0) & (generator.random(4000) < 0.02)] *= 2_000
    found = best(label, {"x": direction * x})
    assert found is not None
    score = found.scores(direction * x)
    assert roc_auc(label, score) == pytest.approx(roc_auc(label, x), abs=0.01)
    assert roc_auc(label, score) > 0.75


def test_best_feature_passes_over_columns_that_say_nothing() -> None:
    label = np.array([0.0, 0.0, 1.0, 1.0])
    features = {
        "nothing": np.full(4, np.nan),
        "constant": np.full(4, 3.0),
        "constant_or_nothing": np.array([3.0, np.nan, 3.0, 3.0]),
        "holes": np.array([1.0, np.nan, 2.0, 9.0]),
    }
    found = best(label, features)
    assert isinstance(found, Line)
    assert (found.column, found.fill) == ("holes", 2.0)
    assert found.slope > 0


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_without_a_usable_feature_there_is_none(task: str) -> None:
    label = np.array([0.0, 0.0, 0.0, 1.0])
    words = np.array(["a"] * 4, object)
    assert best(label, {"constant": np.full(4, 3.0), "word": words}, task=task) is None
    assert best(np.ones(4), {"x": np.arange(4.0)}, task=task) is None


def test_far_values_do_not_overflow() -> None:
    with np.errstate(all="raise"):
        found = Line("x", 0.0, 1.0, 0.0, logistic=True).scores(np.array([-1e9, 1e9]))
    assert found.tolist() == pytest.approx([0.0, 1.0])


def test_a_word_is_its_mean_label_shrunk_by_twenty_rows() -> None:
    words = np.array(["a"] * 60 + ["b"] * 30 + [None] * 10, object)
    label = np.r_[np.ones(45), np.zeros(15), np.ones(3), np.zeros(27), np.ones(2), np.zeros(8)]
    found = means("word", label, words)
    assert (found.mean, set(found.means)) == (0.5, {"a", "b"})
    assert found.means == pytest.approx({"a": (45 + 10) / 80, "b": (3 + 10) / 50})
    scores = found.scores(np.array(["b", None, "unseen"], object))
    assert scores == pytest.approx([13 / 50, 0.5, 0.5])
    # As in the preparation, only the most frequent words have a value of their own.
    many = means("word", np.arange(62.0), np.array([f"w{n % 31:02}" for n in range(62)], object))
    assert sorted(many.means) == [f"w{n:02}" for n in range(30)]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_word_that_tells_most_is_the_best_feature(task: str) -> None:
    generator = np.random.default_rng(3)
    word = generator.choice(np.array(["x", "y", "z", None], object), 2000)
    label = (generator.random(2000) < np.where(word == "y", 0.8, 0.3)).astype(np.float64)
    weak = label + generator.normal(size=2000) * 2
    found = best(label, {"weak": weak, "word": word}, task=task)
    assert isinstance(found, Means)
    assert found.column == "word"
    strong = label + generator.normal(size=2000) / 4
    found = best(label, {"strong": strong, "word": word}, task=task)
    assert found is not None and found.column == "strong"


def test_names_tell_no_label_but_their_own() -> None:
    """By the rows that made them, mean labels of a few rows each tell any label."""
    generator = np.random.default_rng(4)
    label = (generator.random(300) < 0.5).astype(np.float64)
    who = np.array([f"w{n % 30}" for n in range(300)], object)
    faint = label + generator.normal(size=300) * 5
    assert roc_auc(label, means("who", label, who).scores(who)) > roc_auc(label, faint) > 0.5
    found = best(label, {"who": who, "faint": faint}, entity=np.arange(300) % 30)
    assert found is not None and found.column == "faint"
