"""The baseline of recency, frequency and money: chosen by operation, fitted as by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from driftline import baselines, rfm
from driftline.events import Feature
from driftline.metrics import roc_auc
from driftline.problem import load_problem


def feature(name: str, operation: str, *windows: int, source: str = "orders", **more) -> Feature:
    said = {"name": name, "operation": operation, "source": source}
    return Feature(**said, windows=tuple(f"{each}d" for each in windows), **more)


RECENCY = feature("frequency", "recency", 30, 90)  # whose name lies
COUNT = feature("recency", "count", 7, 60)
DAYS = feature("days", "frequency", 30)
MONEY = feature("x", "sum", 30, 365, 90, value="amount")
OTHERS = [
    feature("last", "recency", 10, source="visits"),
    feature("often", "count", 10, source="visits"),
    feature("bytes", "sum", 10, source="visits", value="bytes"),
]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([MONEY, COUNT, RECENCY], ("frequency_90d", "recency_60d", "x_365d")),
        ([*OTHERS, MONEY, COUNT, DAYS, RECENCY], ("frequency_90d", "days_30d", "x_365d")),
        ([MONEY, COUNT, *OTHERS], ("last_10d", "often_10d", "bytes_10d")),
        ([MONEY, COUNT, OTHERS[0]], ()),  # of other events
        ([MONEY, COUNT, RECENCY.model_copy(update={"where": "amount > 0"})], ()),
        ([MONEY, feature("mean", "mean", 9, value="amount"), RECENCY], ()),
    ],
)
def test_operations_tell_which_features_those_are(features, expected) -> None:
    assert rfm.columns(features, "orders") == expected


def test_the_problems_of_the_repository_have_it(repository) -> None:
    found = {
        path.stem: load_problem(path).rfm for path in sorted((repository / "conf").glob("*.yaml"))
    }
    shop = ("recency_365d", "purchase_days_365d", "spend_365d")
    assert found["churn"] == ("recency_90d", "orders_180d", "spend_90d")
    assert found["cdnow"] == found["cdnow_spend"] == shop
    assert found["online_retail"] == ("recency_365d", "purchase_days_180d", "spend_365d")


def test_it_is_a_logistic_regression_of_the_three() -> None:
    """With scikit-learn's ridge of 1 on standardised numbers, minimised by hand."""
    random = np.random.default_rng(1)
    x = random.normal(size=(400, 3)) * [5, 2, 100] + [10, 3, 50]
    label = (random.random(400) < expit((x[:, 0] - 10) / 5 - (x[:, 2] - 50) / 80)).astype(float)
    z = (x - x.mean(axis=0)) / x.std(axis=0)

    def loss(w: np.ndarray) -> float:
        margin = z @ w[:3] + w[3]
        return float(np.sum(np.logaddexp(0, margin) - label * margin) + w[:3] @ w[:3] / 2)

    by_hand = minimize(loss, np.zeros(4), tol=1e-10).x
    score = baselines.fit_three(label, x, task="classification")
    assert score(x) == pytest.approx(expit(z @ by_hand[:3] + by_hand[3]), abs=1e-4)
    assert roc_auc(label, score(x)) > 0.75
    # Nothing known: as if all were the median.
    nothing, middle = np.full((1, 3), np.nan), np.median(x, axis=0)[None, :]
    assert score(nothing) == pytest.approx(score(middle))


def test_of_a_regression_it_is_a_line_and_empty_columns_say_nothing() -> None:
    x = np.array([[1.0, 2.0, np.nan], [2.0, 1.0, np.nan], [3.0, 5.0, np.nan], [4.0, 0.0, np.nan]])
    score = baselines.fit_three(3 * x[:, 0] - x[:, 1] + 2, x, task="regression")
    assert score(np.array([[10.0, 1.0, 7.0]])) == pytest.approx([31.0])
