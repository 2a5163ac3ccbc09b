"""Calibration: scikit-learn's numbers, honest probabilities, and the same in the portable graph."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from driftline import calibration
from driftline.calibration import Isotonic, Platt
from driftline.metrics import calibration_error, roc_auc
from driftline.portable import graph
from driftline.portable.saved import Bayes, Linear, Perceptron, Trees
from driftline.prepare import Numeric, Preparation
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable


def drawn(n: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and log odds that are three times as sure as they should be, and too high."""
    random = np.random.default_rng(seed)
    truth = random.normal(0, 1.2, n)
    return (random.random(n) < expit(truth)).astype(float), scale * (3 * truth + 1.5)


class Margin(ClassifierMixin, BaseEstimator):
    """A classifier that says what it is given."""

    classes_ = np.array([0, 1])

    def fit(self, x, y):
        self.fitted_ = True
        return self

    def decision_function(self, x):
        return x[:, 0]

    def predict(self, x):
        return (x[:, 0] > 0).astype(int)


@pytest.mark.parametrize(("n", "scale"), [(60, 1.0), (400, 1.0), (5000, 10.0)])
def test_platt_is_scikit_learns_sigmoid(n: int, scale: float) -> None:
    """Of scores far smaller than 1 scikit-learn stops 1e-8 before the optimum; see the next."""
    label, odds = drawn(n, n, scale)
    theirs = CalibratedClassifierCV(
        FrozenEstimator(Margin().fit(None, None)), method="sigmoid", ensemble=False
    )
    theirs.fit(odds[:, None], label)
    asked = np.linspace(odds.min() * 2, odds.max() * 2, 301)
    ours = calibration.fit("platt", label, odds)
    expected = theirs.predict_proba(asked[:, None])[:, 1]
    assert np.abs(ours(asked) - expected).max() < 1e-9


def test_platts_targets_are_met_on_the_rows_it_was_fitted_on() -> None:
    """At the optimum the residuals are orthogonal to 1 and to the score (Platt 1999, eq. 3)."""
    label, odds = drawn(500, 3, 0.05)
    ones, zeros = label.sum(), (1 - label).sum()
    target = np.where(label == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    residual = calibration.fit("platt", label, odds)(odds) - target
    assert abs(residual.sum()) < 1e-9
    assert abs(residual @ odds) < 1e-8


@pytest.mark.parametrize("n", [5, 80, 3000])
def test_isotonic_is_scikit_learns_between_the_scores_too(n: int) -> None:
    label, odds = drawn(n, 2)
    score = np.round(expit(odds) * 2**26) / 2**26
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, label)
    ours = calibration.fit("isotonic", label, expit(odds))
    asked = np.concatenate([score, np.linspace(0, 1, 2001)])
    assert np.abs(ours(asked) - theirs.predict(asked)).max() < 1e-9


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_score_that_boasts_becomes_a_probability_on_rows_never_seen(method) -> None:
    label, odds = drawn(20_000, 5)
    sure = calibration.fit(method, label, odds if method == "platt" else expit(odds))
    label, odds = drawn(20_000, 6)
    plain = expit(odds)
    found = sure(odds if method == "platt" else plain)
    assert calibration_error(label, plain) > 0.15
    assert calibration_error(label, found) < 0.015
    assert abs(roc_auc(label, found) - roc_auc(label, plain)) < 0.002


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_what_says_little_or_too_much_stays_a_number(method) -> None:
    one, zero = np.ones(3), np.zeros(3)
    for label, score in (
        (np.r_[zero, one], np.r_[zero, one]),  # told apart without an error
        (np.r_[zero, one], np.full(6, 0.3)),  # one score for all
        (np.array([0.0, 1.0]), np.array([0.2, 0.2 + 1e-12])),  # nearer than any two engines agree
    ):
        sure = calibration.fit(method, label, score)
        found = sure(np.r_[score, -5.0, 5.0])
        assert ((found >= 0) & (found <= 1)).all()
        assert calibration.from_json(calibration.to_json(sure)) == sure
    share = calibration.fit(method, np.r_[zero, one], np.full(6, 0.3))(np.array([0.3]))
    assert share == pytest.approx([0.5])


@pytest.mark.parametrize(("rows", "odds"), [(1000, 0.1), (333, -0.7321)])
def test_one_score_for_all_is_their_share_of_ones(rows, odds) -> None:
    given, label = np.full(rows, odds), (np.arange(rows) % 3 == 0).astype(float)
    assert given.std() > 0  # the mean of equal numbers is not quite that number
    sure = calibration.fit("platt", label, given)
    assert sure.slope == 0
    assert sure(given) == pytest.approx(np.full(rows, 1 / 3), abs=0.002)


NAN, INF = math.nan, math.inf
ASKED = np.array([*np.linspace(-6, 6, 401), 1e308, -1e308, INF, -INF, NAN])[:, None]
TREE = Trees(
    *(np.array(each) for each in ([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1])),
    value=np.array([0.0, 0.2, 0.7]),
    roots=np.array([0]),
    logistic=False,
)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize(
    "model",
    [
        Linear(np.array([1.5]), -0.25, logistic=True),
        TREE,
        Perceptron(np.array([[2.0, -1.0]]), np.array([0.1, 0.2]), np.array([3.0, -2.0]), 0.5),
        Bayes(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]), np.log([0.4, 0.6])),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_portable_graph_says_the_same(model, method) -> None:
    learnt = Preparation((Numeric("x", 0.0, None, None, 0.0, 1.0),), ())
    facts = Facts("t", "?", "classification", "d", "who", "string", (Column("x", "double"),))
    words = np.empty((len(ASKED), 0), object)
    plain = Portable(graph.write(learnt, model, facts)).score(ASKED, words)
    # The model's own log odds, as its score does not keep them where it is nearly 0 or 1.
    odds = plain
    if not isinstance(model, Trees):
        with np.errstate(divide="ignore"):
            odds = np.log(plain / (1 - plain))
    usual = np.isfinite(odds) & (np.abs(odds) < 20)
    random = np.random.default_rng(1)
    label = (random.random(usual.sum()) < 0.1 + 0.3 * plain[usual]).astype(float)
    sure = calibration.fit(method, label, (odds if method == "platt" else plain)[usual])
    found = Portable(graph.write(learnt, model, facts, sure)).score(ASKED, words)
    expected = sure(odds if method == "platt" else plain)
    assert np.abs(found - expected)[usual].max() < 1e-12
    assert len(set(found[usual].tolist())) > 1
    # Where a naive Bayes finds both labels impossible, neither says anything.
    assert ((found >= 0) & (found <= 1) | np.isnan(plain)).all()


def test_the_two_forms_are_told_apart() -> None:
    assert calibration.from_json(calibration.to_json(Platt(1.0, 2.0))) == Platt(1.0, 2.0)
    steps = Isotonic(0.1, (0.2, 0.5), (0.1, 0.2), (0.3, 0.4))
    assert calibration.from_json(calibration.to_json(steps)) == steps
    assert steps(np.array([0.0, 0.25, 0.4, 0.6, 1.0])) == pytest.approx([0.1, 0.25, 0.4, 0.6, 0.8])
    assert math.isnan(steps(np.array([NAN]))[0])
