"""What scikit-learn and XGBoost fitted, read as numbers: the same predictions everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from driftline import scoring
from driftline.adapter import Numbers
from driftline.calibration import Platt
from driftline.candidates import built
from driftline.errors import Refused
from driftline.portable import numbers
from driftline.portable.estimators import READERS, in_double
from driftline.portable.numbers import Linear, Onnx, Trees

SMALL = {
    "HistGradientBoosting": {"max_iter": 20, "max_leaf_nodes": 7},
    "RandomForest": {"n_estimators": 8, "max_depth": 5},
    "ExtraTrees": {"n_estimators": 8, "max_depth": 5},
    "DecisionTree": {"min_samples_leaf": 9},
    "XGB": {"n_estimators": 15, "max_depth": 3},
}


def test_what_a_class_without_probabilities_says_is_a_margin() -> None:
    def fitted(model: Linear | Onnx) -> Numbers:
        return Numbers(numbers=numbers.to_json(model))

    assert not scoring.probable(fitted(Onnx(b"", logistic=True)), None)
    assert scoring.probable(fitted(Onnx(b"")), None)
    assert scoring.probable(fitted(Linear(np.ones(2), 0.5, logistic=True)), None)
    assert scoring.probable(fitted(Onnx(b"", logistic=True)), Platt(1.0, 0.0))


def drawn() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    x = random.normal(size=(600, 4))
    x[:, 3] = np.round(x[:, 3], 1)
    return x, x[:, 0] * x[:, 1] + x[:, 2] + random.normal(0, 0.3, 600)


@pytest.mark.parametrize("name", READERS)
def test_the_numbers_say_what_the_model_says(name: str) -> None:
    """On its rows, and at every threshold and the doubles and floats beside it."""
    if name.startswith("xgboost"):
        pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    x, amount = drawn()
    kind = name.rpartition(".")[2]
    classifies = kind.endswith("Classifier") or kind == "LogisticRegression"
    parameters = next((each for prefix, each in SMALL.items() if kind.startswith(prefix)), {})
    model = built(name, parameters, seed=7)
    model.fit(x, (amount > 0).astype(float) if classifies else amount, sample_weight=None)
    fitted = numbers.from_json(numbers.to_json(READERS[name](model)))
    asked = [x]
    if isinstance(fitted, Trees):
        inner = fitted.left >= 0
        for feature, at in zip(fitted.feature[inner], fitted.threshold[inner], strict=True):
            beside = np.float32(at)
            for value in (
                *(at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf), float(beside)),
                *(float(np.nextafter(beside, np.float32(end))) for end in (np.inf, -np.inf)),
            ):
                row = x[0].copy()
                row[feature] = value
                asked.append(row[None, :])
    rows = np.concatenate(asked)
    expected = model.predict_proba(rows)[:, 1] if classifies else model.predict(rows)
    total = numbers.totals(fitted)(rows)
    score = 1 / (1 + np.exp(-total)) if fitted.logistic else total
    # XGBoost adds up in single precision; the others are as exact as we are.
    near = 3e-6 if name.startswith("xgboost") else 1e-12
    assert np.abs(score - expected).max() < near
    assert len(set(np.round(expected, 5).tolist())) > 10


def test_a_threshold_of_single_precision_is_the_same_in_double() -> None:
    random = np.random.default_rng(2)
    plain = np.r_[0.0, 1.0, -1.5, 0.1, 1e-40, 3e38, random.normal(size=500)]
    threshold = np.r_[plain, plain.astype(np.float32).astype(np.float64)]
    last = in_double(threshold)
    assert (last.astype(np.float32).astype(np.float64) <= threshold).all()
    beyond = np.nextafter(last, np.inf).astype(np.float32).astype(np.float64)
    assert (beyond > threshold).all()


def test_what_has_no_such_form_is_told() -> None:
    x, amount = drawn()
    name = "sklearn.ensemble.HistGradientBoostingRegressor"
    loss = built(name, {"loss": "poisson"}, seed=7)
    with pytest.raises(Refused, match="exponential"):
        READERS[name](loss.fit(x, np.exp(amount)))
